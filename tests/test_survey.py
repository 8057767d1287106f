from __future__ import annotations

import numpy as np
import pytest

from xhsinr.compression.survey import Survey, survey
from xhsinr.errors import SceneError
from xhsinr.running.tasks import Tasks
from xhsinr.scene import Scene
from xhsinr.spectral.basis import SpectralStatistics
from xhsinr.tiling import Tiling


def _survey(data: np.ndarray, nodata: float | None = None, tile: int = 8) -> Survey:
    scene = Scene(data=data, nodata=nodata)
    tiling = Tiling(scene.rows, scene.cols, tile)
    tasks = Tasks(scene, threads=1, progress=False)
    return survey(scene, lambda f: tasks.run(f, tiling, range(len(tiling)), "survey", 0))


def _samples(rng: np.random.Generator, dtype: str = "f4") -> np.ndarray:
    mixing = rng.normal(size=(6, 3))
    samples = np.tensordot(mixing, rng.normal(size=(3, 20, 30)), 1) * 50 + 500
    return (samples + rng.normal(size=samples.shape)).astype(dtype)


def _check_statistics(found: Survey, spectra: np.ndarray) -> None:
    expected = np.atleast_2d(np.cov(spectra.astype(np.float64), bias=True))
    np.testing.assert_allclose(found.mean, spectra.mean(1, dtype=np.float64), rtol=1e-9)
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-7, atol=1e-7)
    eigenvalues = np.linalg.eigvalsh(expected)[::-1]
    np.testing.assert_allclose(found.variances, eigenvalues, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("tile", [7, 8, 256])
@pytest.mark.parametrize("dtype", ["u2", "i2", "f4", "f8"])
def test_the_statistics_of_a_scene_without_gaps_are_numpy_s(
    dtype: str, tile: int, rng: np.random.Generator
) -> None:
    samples = _samples(rng, dtype)
    found = _survey(samples, tile=tile)
    assert (found.low, found.high) == (samples.min(), samples.max())
    assert found.live.all()
    assert not found.states.any()
    assert found.pixels == 600
    _check_statistics(found, samples.reshape(6, -1))


def test_the_statistics_are_those_of_the_pixels_that_are_complete(
    rng: np.random.Generator,
) -> None:
    samples = _samples(rng)
    samples[2, 3:9, 4:11] = np.nan
    samples[4, 15, :] = -9999
    found = _survey(samples, nodata=-9999)
    invalid = np.isnan(samples) | (samples == -9999)
    complete = ~invalid.any(axis=0)
    assert (found.low, found.high) == (samples[~invalid].min(), samples[~invalid].max())
    assert found.pixels == 600
    _check_statistics(found, samples[:, complete])


def test_bands_that_are_invalid_throughout_are_found(rng: np.random.Generator) -> None:
    samples = _samples(rng)
    samples[0] = -1
    samples[3] = np.nan
    samples[4, :, :11] = -1
    samples[4, :, 11:] = np.nan
    found = _survey(samples, nodata=-1)
    nodata, nan = found.states[[0, 3]]
    assert found.voids.spectra[nodata - 1].tolist() == [-1] * 6
    assert np.isnan(found.voids.spectra[nan - 1]).all()
    assert not found.states[[1, 2, 4, 5]].any()
    assert found.live.tolist() == [False, True, True, False, False, True]
    assert found.pixels == 600
    _check_statistics(found, samples[[1, 2, 5]].reshape(3, -1))


def test_a_band_of_zeros_is_live_unless_zero_is_nodata(rng: np.random.Generator) -> None:
    samples = np.maximum(_samples(rng, "u2"), 1)
    samples[1] = 0
    assert _survey(samples).live.all()
    found = _survey(samples, nodata=0)
    assert found.live.tolist() == [True, False, True, True, True, True]
    assert found.low == samples[found.live].min()


def test_tiles_without_a_valid_sample_do_not_count(rng: np.random.Generator) -> None:
    samples = _samples(rng)
    samples[:, :8, :8] = np.nan
    found = _survey(samples)
    assert found.pixels == 600 - 64
    _check_statistics(found, samples[:, ~np.isnan(samples[0])])


def test_tiles_that_lack_a_band_do_not_disturb_the_others(rng: np.random.Generator) -> None:
    samples = _samples(rng)
    samples[5, :8, :] = np.nan
    found = _survey(samples)
    assert found.live.all()
    _check_statistics(found, samples[:, 8:].reshape(6, -1))


def test_a_scene_in_which_no_pixel_is_complete_gets_statistics_all_the_same(
    rng: np.random.Generator,
) -> None:
    samples = _samples(rng)
    columns = np.arange(30)
    for band in range(6):
        samples[band, :, columns % 6 == band] = np.nan
    found = _survey(samples)
    assert found.live.all()
    assert found.pixels == 500
    np.testing.assert_allclose(found.mean, np.nanmean(samples, axis=(1, 2)), rtol=0.02)
    assert np.isfinite(found.covariance).all()
    assert (np.diff(found.variances) <= 0).all()
    assert found.variances[0] > 0
    assert found.variances[-1] >= 0


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_value_is_named_with_its_band_and_place(
    value: float, rng: np.random.Generator
) -> None:
    samples = _samples(rng)
    samples[4, 13, 21] = value
    samples[1, 13, 21] = np.nan
    with pytest.raises(
        SceneError, match="band 4 has infinite values in rows 8 to 15, columns 16 to 23"
    ):
        _survey(samples)


def test_an_infinite_nodata_value_is_nodata(rng: np.random.Generator) -> None:
    samples = _samples(rng)
    samples[:, 2, 3] = np.inf
    found = _survey(samples, nodata=np.inf)
    complete = np.isfinite(samples[0])
    assert found.high == samples[:, complete].max()
    _check_statistics(found, samples[:, complete])


@pytest.mark.parametrize(
    ("fill", "words"),
    [
        ([np.nan, np.nan], r"all are NaN$"),
        ([-1, -1], r"all are nodata \(-1\) or NaN"),
        ([-1, np.nan], r"all are nodata \(-1\) or NaN"),
    ],
)
def test_a_scene_without_a_valid_sample_is_refused(fill: list[float], words: str) -> None:
    samples = np.empty((2, 10, 10), "f4")
    samples[:, :4], samples[:, 4:] = fill
    with pytest.raises(SceneError, match=words):
        _survey(samples, nodata=-1)


def test_large_scenes_are_sampled_evenly(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = _samples(rng)
    samples[:, 0, 0] = np.nan
    monkeypatch.setattr("xhsinr.compression.survey._SPECTRA", 200)
    found = _survey(samples, tile=256)
    kept = samples.reshape(6, -1)[:, ::3]
    _check_statistics(found, kept[:, ~np.isnan(kept[0])])
    assert (found.low, found.high) == (np.nanmin(samples), np.nanmax(samples))


def _spectra(rng: np.random.Generator) -> np.ndarray:
    """Samples of three materials in smooth amounts, and noise, shape (40, 48, 50)."""
    spectra = 1000 + 300 * np.cumsum(rng.normal(size=(3, 40)), axis=1)
    amounts = np.cumsum(rng.normal(size=(3, 48, 50)), axis=1)
    return np.einsum("cb,cij->bij", spectra, amounts) / 20 + rng.normal(size=(40, 48, 50)) * 5


@pytest.mark.parametrize("share", [0.01, 0.3])
def test_gaps_hardly_change_the_statistics(share: float, rng: np.random.Generator) -> None:
    samples = _spectra(rng)
    whole = _survey(samples, tile=64)
    samples[rng.random(samples.shape) < share] = np.nan
    found = _survey(samples, tile=64)
    np.testing.assert_allclose(found.variances[:3], whole.variances[:3], rtol=0.02)
    assert found.variances[3:].sum() < 1.5 * whole.variances[3:].sum()


def test_impulses_hardly_change_the_statistics(rng: np.random.Generator) -> None:
    samples = _spectra(rng)
    whole = _survey(samples, tile=64)
    struck = rng.random(samples.shape) < 0.001
    samples[struck] = samples.max()
    found = _survey(samples, tile=64)
    plain = np.linalg.eigvalsh(np.cov(samples.reshape(40, -1)))[:-3].sum()
    left = whole.variances[3:].sum()
    assert found.variances[3:].sum() - left < 0.2 * (plain - left)


@pytest.mark.parametrize("fill", [-9999, 0])
def test_a_border_that_nobody_declared_is_found(fill: int, rng: np.random.Generator) -> None:
    samples = np.rint(_spectra(rng)).astype(np.int32)
    inside = samples[:, :, 12:]
    expected = _survey(inside.copy(), tile=16)
    samples[:, :, :12] = fill
    found = _survey(samples, tile=16)
    assert (found.voids.spectra == fill).all()
    assert len(found.voids.spectra) == 1
    assert (found.low, found.high) == (inside.min(), inside.max())
    np.testing.assert_allclose(found.variances, expected.variances, rtol=1e-6)
    assert found.fills == {fill: 12 / samples.shape[2]}
    assert expected.undeclared is None


def test_a_scene_of_one_spectrum_is_no_border() -> None:
    found = _survey(np.full((4, 20, 20), 7, np.int16))
    assert found.live.all()
    assert not len(found.voids.spectra)
    assert (found.low, found.high) == (7, 7)


def test_the_step_of_a_scene_is_found_over_its_tiles(rng: np.random.Generator) -> None:
    integers = np.rint(_spectra(rng)).astype(np.int32)
    found = _survey((integers * 1e-4).astype(np.float32), tile=16)
    assert found.lattice is not None
    assert np.ptp(found.lattice.to_integers((integers * 1e-4).astype(np.float32))) == np.ptp(
        integers
    )


@pytest.mark.parametrize("parts", [[0, 50], [10, 0, 40], [1, 49], [50, 0]])
def test_merged_statistics_are_those_of_all_spectra(
    parts: list[int], rng: np.random.Generator
) -> None:
    spectra = rng.normal(size=(4, 50)) * 3 + 1e4
    merged = SpectralStatistics(4)
    for part in np.split(spectra, np.cumsum(parts)[:-1], axis=1):
        statistics = SpectralStatistics(4)
        statistics.update(part)
        merged.merge(statistics)
    assert merged.count == 50
    expected = np.cov(spectra, bias=True)
    np.testing.assert_allclose(merged.mean, spectra.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(merged.covariance, expected, rtol=1e-9)
