from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xhsinr.errors import DamagedSidecarError, SceneError
from xhsinr.spectral.basis import (
    VECTOR_BITS,
    SpectralBasis,
    SpectralStatistics,
    water_level,
    worthwhile_components,
)
from xhsinr.spectral.independent import sparsest_turn


def _statistics(samples: np.ndarray, chunk: int = 1000) -> SpectralStatistics:
    statistics = SpectralStatistics(len(samples))
    for start in range(0, samples.shape[1], chunk):
        statistics.update(samples[:, start : start + chunk])
    return statistics


def _basis(samples: np.ndarray, components: int, distortion: float) -> SpectralBasis:
    statistics = _statistics(samples)
    return SpectralBasis.from_statistics(
        statistics.mean,
        statistics.covariance,
        components=components,
        distortion=distortion,
        pixels=samples.shape[1],
    )


def _smooth_spectra(
    rng: np.random.Generator, bands: int, pixels: int, sources: int = 6
) -> np.ndarray:
    spectra = np.cumsum(rng.normal(size=(bands, sources)), axis=0)
    weights = rng.normal(size=(sources, pixels)) * np.geomspace(100, 1, sources)[:, None]
    return spectra @ weights + 2000 + rng.normal(size=(bands, pixels))


def test_streamed_statistics_equal_those_of_all_samples_at_once(rng: np.random.Generator) -> None:
    samples = rng.normal(size=(7, 5000)) * 3 + 1e6
    statistics = _statistics(samples, 700)
    np.testing.assert_allclose(statistics.mean, samples.mean(1), rtol=1e-12)
    np.testing.assert_allclose(statistics.covariance, np.cov(samples, bias=True), atol=1e-8)
    assert statistics.count == 5000


def test_the_same_updates_give_the_same_bits(rng: np.random.Generator) -> None:
    samples = rng.normal(size=(5, 900))
    first, second = _statistics(samples, 100), _statistics(samples, 100)
    assert np.array_equal(first.covariance, second.covariance)
    assert np.array_equal(first.mean, second.mean)


def test_statistics_beyond_float64_are_zero(rng: np.random.Generator) -> None:
    statistics = _statistics(rng.choice([-1.7e308, 1.7e308], (3, 10)))
    assert statistics.count == 10
    assert not statistics.covariance.any()
    assert np.isfinite(statistics.mean).all()


def test_statistics_of_no_samples_are_zero() -> None:
    statistics = _statistics(np.zeros((3, 0)))
    statistics.update(np.zeros((3, 0)))
    assert not statistics.mean.any()
    assert not statistics.covariance.any()


def test_a_sample_that_is_not_finite_names_its_band() -> None:
    samples = np.ones((4, 10))
    samples[2, 5] = np.nan
    with pytest.raises(SceneError, match="band 2"):
        _statistics(samples)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=12), st.floats(1e-3, 1e7))
def test_errors_at_the_water_level_sum_to_the_distortion(
    variances: list[float], distortion: float
) -> None:
    level = water_level(variances, distortion)
    total = float(np.minimum(variances, level).sum())
    assert total == pytest.approx(min(distortion, sum(variances)), rel=1e-9, abs=1e-9)


def test_components_well_above_the_water_level_are_worth_their_vectors() -> None:
    assert worthwhile_components([100.0, 50.0, 0.001], 2.0) == 2
    assert worthwhile_components([0.0, 0.0], 2.0) == 0


@pytest.mark.parametrize("unit", [1.0, 1e-4, 3e3])
@pytest.mark.parametrize(("bands", "components"), [(2, 1), (2, 2), (60, 6), (300, 64)])
def test_a_basis_survives_its_bytes(
    rng: np.random.Generator, bands: int, components: int, unit: float
) -> None:
    samples = _smooth_spectra(rng, bands, 3000, sources=max(components, 6)) * unit
    basis = _basis(samples, components, unit**2)
    read = SpectralBasis.from_bytes(basis.to_bytes(), bands)
    assert read.components == min(components, bands)
    assert read.mean_exponent == basis.mean_exponent
    assert np.array_equal(read.mean_integers, basis.mean_integers)
    assert np.array_equal(read.vector_integers, basis.vector_integers)
    assert (read.vector_integers.sum(axis=1) >= -bands // 2 << VECTOR_BITS - 8).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(0, 8), st.integers(0, 2**32 - 1), st.integers(0, 38))
def test_any_integers_survive_their_bytes(
    bands: int, components: int, seed: int, mean_bits: int
) -> None:
    rng = np.random.default_rng(seed)
    components = min(components, bands)
    vectors = rng.integers(-(1 << VECTOR_BITS), 1 << VECTOR_BITS, (components, bands))
    shifts = rng.integers(0, VECTOR_BITS + 1, (components, 1))
    mean = rng.integers(-(1 << mean_bits), (1 << mean_bits) + 1, bands)
    basis = SpectralBasis(mean, int(rng.integers(-30, 30)), vectors >> shifts << shifts)
    read = SpectralBasis.from_bytes(basis.to_bytes(), bands)
    assert np.array_equal(read.mean_integers, basis.mean_integers)
    assert np.array_equal(read.vector_integers, basis.vector_integers)


def test_constant_scenes_need_no_component() -> None:
    samples = np.full((5, 100), 1234.0)
    basis = _basis(samples, 3, 1.0)
    read = SpectralBasis.from_bytes(basis.to_bytes(), 5)
    assert read.components == 0
    scores = read.scores(samples)
    assert scores.shape == (0, 100)
    np.testing.assert_allclose(read.reconstruct(scores), samples, atol=1.0)


def test_a_constant_band_stays_constant(rng: np.random.Generator) -> None:
    samples = _smooth_spectra(rng, 20, 2000)
    samples[7] = 55.0
    basis = _basis(samples, 6, 1.0)
    band = basis.reconstruct(basis.scores(samples))[7]
    np.testing.assert_allclose(band, 55.0, atol=1.0)


def test_no_components_give_the_mean(rng: np.random.Generator) -> None:
    samples = _smooth_spectra(rng, 20, 500)
    basis = _basis(samples, 0, 1.0)
    spectra = basis.reconstruct(basis.scores(samples.reshape(20, 50, 10)))
    assert spectra.shape == (20, 50, 10)
    np.testing.assert_allclose(spectra[:, 0, 0], samples.mean(1), atol=1.0)


def test_rounding_the_basis_costs_a_small_share_of_the_distortion(
    rng: np.random.Generator,
) -> None:
    samples = _smooth_spectra(rng, 100, 4000)
    exact = np.sort(np.linalg.eigvalsh(np.cov(samples, bias=True)))[:-6].sum() / 100
    for distortion in (2.0, 20.0, 200.0):
        basis = _basis(samples, 6, distortion)
        left = np.square(samples - basis.reconstruct(basis.scores(samples))).mean()
        assert left - exact < 0.03 * distortion
        statistics = _statistics(samples)
        expected = basis.unexplained(statistics.mean, statistics.covariance)
        assert left == pytest.approx(expected, rel=1e-6)


def _noisy_spectra(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Six sources in 100 bands, and the noise of the bands, between 1 and 300."""
    noise = np.geomspace(1, 300, 100)
    spectra = _smooth_spectra(rng, 100, 4000)
    return spectra + noise[:, None] * rng.normal(size=spectra.shape), noise


def test_weights_keep_the_basis_from_following_the_noise(rng: np.random.Generator) -> None:
    samples, noise = _noisy_spectra(rng)
    statistics = _statistics(samples)
    weights = np.exp(np.log(noise).mean()) / noise

    def left(weights: np.ndarray | None) -> np.ndarray:
        basis = SpectralBasis.from_statistics(
            statistics.mean,
            statistics.covariance,
            components=6,
            distortion=1.0,
            pixels=4000,
            weights=weights,
        )
        read = SpectralBasis.from_bytes(basis.to_bytes(), 100)
        errors = samples - read.reconstruct(basis.scores(samples))
        return np.sqrt(np.square(errors).mean(axis=1)) / noise

    assert np.log(left(weights)).mean() < np.log(left(None)).mean() - 0.3
    assert left(weights).max() < 1.2


def test_scores_are_the_weighted_fit(rng: np.random.Generator) -> None:
    samples, noise = _noisy_spectra(rng)
    plain = _basis(samples, 3, 1.0)
    basis = SpectralBasis(
        plain.mean_integers, plain.mean_exponent, plain.vector_integers, 1 / noise
    )
    centred = (samples[:, :5] - basis.mean[:, None]) / noise[:, None]
    expected = np.linalg.lstsq(basis.vectors.T / noise[:, None], centred, rcond=None)[0]
    np.testing.assert_allclose(basis.scores(samples[:, :5]), expected, rtol=1e-6)


def test_a_coarser_target_takes_fewer_bytes(rng: np.random.Generator) -> None:
    samples = _smooth_spectra(rng, 100, 4000)
    sizes = [len(_basis(samples, 6, distortion).to_bytes()) for distortion in (1, 30, 1000)]
    assert sizes[0] > sizes[1] > sizes[2]


def test_fewer_planes_than_components_count_as_zero_scores(rng: np.random.Generator) -> None:
    samples = _smooth_spectra(rng, 30, 500)
    basis = _basis(samples, 4, 1.0)
    scores = np.rint(basis.scores(samples)).astype(np.int64)
    scores[2:] = 0
    np.testing.assert_allclose(
        basis.reconstruct(scores[:2].astype(float)), basis.reconstruct(scores.astype(float))
    )


def test_integer_samples_of_16_bits_are_projected_in_float32(rng: np.random.Generator) -> None:
    samples = np.rint(_smooth_spectra(rng, 30, 500)).astype(np.int16)
    basis = _basis(samples, 4, 1.0)
    scores = basis.scores(samples)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, basis.scores(samples.astype(float)), atol=0.1)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_bytes_that_are_no_basis_raise_the_packages_error(payload: bytes) -> None:
    try:
        basis = SpectralBasis.from_bytes(payload, 6)
    except DamagedSidecarError:
        return
    assert basis.bands == 6


@settings(max_examples=60, deadline=None)
@given(st.integers(5, 120), st.integers(0, 255))
def test_a_damaged_basis_raises_or_keeps_its_shape(position: int, value: int) -> None:
    samples = _smooth_spectra(np.random.default_rng(1), 30, 300)
    payload = bytearray(_basis(samples, 4, 1.0).to_bytes())
    payload[position % len(payload)] = value
    try:
        basis = SpectralBasis.from_bytes(bytes(payload), 30)
    except DamagedSidecarError:
        return
    assert basis.vector_integers.shape[1] == 30
    assert np.isfinite(basis.vectors).all()


def test_nonsense_arguments_are_refused() -> None:
    for wrong in ({"distortion": 0.0}, {"pixels": 0}, {"components": -1}):
        arguments = {"components": 1, "distortion": 1.0, "pixels": 10} | wrong
        with pytest.raises(ValueError, match="distortion"):
            SpectralBasis.from_statistics(np.zeros(3), np.eye(3), **arguments)


def test_a_real_basis_takes_a_third_of_its_float16_bytes_at_most(scenes: Path) -> None:
    cube = np.load(scenes / "jasper_ridge_198.npy")
    samples = np.moveaxis(cube, 2, 0).reshape(198, -1)
    error = float(np.ptp(cube)) ** 2 * 10 ** (-40.7 / 10)
    basis = _basis(samples, 8, error)
    assert len(basis.to_bytes()) < 2 * 198 * 9 / 3
    left = np.square(samples - basis.reconstruct(basis.scores(samples))).mean()
    statistics = _statistics(samples)
    exact = np.sort(np.linalg.eigvalsh(statistics.covariance))[:-8].sum() / 198
    assert left - exact < 0.02 * error


def test_a_mean_of_enormous_steps_still_has_an_exponent_that_is_stored() -> None:
    covariance = np.diag([1e58, 1.0, 1.0])
    basis = SpectralBasis.from_statistics(
        np.zeros(3), covariance, components=1, distortion=1e80, pixels=1
    )
    again = SpectralBasis.from_bytes(basis.to_bytes(), 3)
    assert again.mean_exponent == basis.mean_exponent == 127


def test_sparse_scores_that_were_mixed_are_told_apart(rng: np.random.Generator) -> None:
    sparse = rng.laplace(size=(3, 500, 4)) * rng.exponential(size=(3, 500, 1)) ** 2
    mixing, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn = sparsest_turn(np.tensordot(mixing, sparse, 1), 0.01)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.sort(np.abs(turn @ mixing), axis=1)[:, :2], 0, atol=0.1)


def test_a_turned_basis_leaves_what_the_strongest_directions_leave(
    rng: np.random.Generator,
) -> None:
    statistics = _statistics(_smooth_spectra(rng, 40, 3000))
    mean, covariance = statistics.mean, statistics.covariance
    turn, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    left = [
        SpectralBasis.from_statistics(
            mean, covariance, components=5, distortion=1e-4, pixels=3000, turn=chosen
        ).unexplained(mean, covariance)
        for chosen in (None, turn)
    ]
    assert left[1] == pytest.approx(left[0], rel=0.01)
