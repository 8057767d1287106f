from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xhsinr.coding import detail
from xhsinr.errors import DamagedSidecarError
from xhsinr.spectral.basis import (
    SpectralBasis,
    SpectralStatistics,
    worthwhile_components,
)


def _planes(rng: np.random.Generator, components: int, rows: int, cols: int) -> np.ndarray:
    walk = np.cumsum(np.cumsum(rng.normal(size=(components, rows, cols)), axis=1), axis=2)
    walk /= walk.std() + 1e-9
    return walk * np.geomspace(1000, 10, components)[:, None, None]


def _error(scores: np.ndarray, decoded: np.ndarray) -> float:
    difference = np.array(scores, np.float64)
    difference[: len(decoded)] -= decoded
    return float(np.square(difference).mean())


def _jasper_scores(scenes: Path, psnr: float) -> tuple[np.ndarray, float]:
    """Scores of a real scene, and the distortion per score that ``psnr`` leaves."""
    cube = np.load(scenes / "jasper_ridge_198.npy")
    samples = np.moveaxis(cube, 2, 0)
    statistics = SpectralStatistics(198)
    statistics.update(samples.reshape(198, -1))
    error = float(np.ptp(cube)) ** 2 * 10 ** (-psnr / 10)
    variances = np.linalg.eigvalsh(statistics.covariance)
    basis = SpectralBasis.from_statistics(
        statistics.mean,
        statistics.covariance,
        components=worthwhile_components(variances, error * 198),
        distortion=error,
        pixels=10_000,
    )
    left = basis.unexplained(statistics.mean, statistics.covariance)
    return basis.scores(samples), (error - left) * 198 / basis.components


@pytest.mark.parametrize("integer", [False, True])
@pytest.mark.parametrize("distortion", [0.01, 1.0, 30.0])
def test_the_distortion_asked_for_is_met(
    rng: np.random.Generator, distortion: float, integer: bool
) -> None:
    scores = _planes(rng, 7, 96, 120)
    payload = detail.encode(scores, distortion, integer=integer)
    decoded = detail.decode(payload, 96, 120, 7)
    assert decoded.dtype == np.float32
    assert _error(scores, decoded) == pytest.approx(distortion, rel=0.15)


@pytest.mark.parametrize("psnr", [35, 40, 45, 50])
def test_the_distortion_is_met_on_a_real_scene(scenes: Path, psnr: float) -> None:
    scores, distortion = _jasper_scores(scenes, psnr)
    payload = detail.encode(scores, distortion)
    decoded = detail.decode(payload, 100, 100, len(scores))
    assert _error(scores, decoded) == pytest.approx(distortion, rel=0.08)


@pytest.mark.parametrize("integer", [False, True])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (6, 1, 1), (3, 1, 50), (3, 50, 1), (4, 2, 3), (9, 17, 4), (1, 64, 64)]
)
def test_tiles_of_any_size_come_back(
    rng: np.random.Generator, shape: tuple[int, int, int], integer: bool
) -> None:
    scores = rng.normal(size=shape) * 100 + 30
    payload = detail.encode(scores, 1e-4, integer=integer)
    decoded = detail.decode(payload, shape[1], shape[2], shape[0])
    assert decoded.shape == shape
    assert _error(scores, decoded) < 1e-2 * np.square(scores).mean()


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_scores_of_any_unit_take_the_same_bytes(rng: np.random.Generator, unit: float) -> None:
    scores = _planes(rng, 4, 64, 64)
    plain = detail.encode(scores, 1.0)
    scaled = detail.encode(scores * unit, unit**2)
    assert len(scaled) == pytest.approx(len(plain), rel=0.05)
    error = _error(scores * unit, detail.decode(scaled, 64, 64, 4))
    assert error == pytest.approx(unit**2, rel=0.15)


def test_scores_of_float32_work_as_well(rng: np.random.Generator) -> None:
    scores = _planes(rng, 4, 40, 40)
    assert detail.encode(scores.astype(np.float32), 1.0) == detail.encode(
        scores.astype(np.float32).astype(np.float64), 1.0
    )


def test_scores_far_larger_than_the_error_keep_18_bits(rng: np.random.Generator) -> None:
    scores = _planes(rng, 2, 50, 50) * 1e6
    decoded = detail.decode(detail.encode(scores, 1e-6), 50, 50, 2)
    assert _error(scores, decoded) < np.square(np.abs(scores).max() * 2.0**-18)


def test_what_is_cheaper_left_out_takes_no_bytes(rng: np.random.Generator) -> None:
    scores = _planes(rng, 3, 30, 30)
    assert detail.encode(scores, float(np.square(scores).mean())) == b""
    assert detail.encode(np.zeros((3, 30, 30)), 1.0) == b""
    assert detail.encode(np.zeros((0, 30, 30)), 1.0) == b""
    assert detail.decode(b"", 30, 30, 3).shape == (0, 30, 30)
    assert detail.decode_integer(b"", 30, 30, 3)[0].shape == (0, 30, 30)


def test_planes_that_do_not_pay_decode_as_zero(rng: np.random.Generator) -> None:
    scores = _planes(rng, 5, 64, 64)
    scores[1] *= 1e-5
    scores[4] *= 1e-5
    decoded = detail.decode(detail.encode(scores, 0.5), 64, 64, 5)
    assert len(decoded) == 4
    assert not decoded[1].any()
    assert decoded[3].any()
    assert _error(scores, decoded) == pytest.approx(0.5, rel=0.15)


def test_integers_and_floats_of_a_payload_agree(rng: np.random.Generator) -> None:
    scores = _planes(rng, 5, 70, 50)
    payload = detail.encode(scores, 2.0, integer=True)
    integers, exponent = detail.decode_integer(payload, 70, 50, 5)
    assert integers.dtype == np.int32
    assert np.array_equal(np.ldexp(integers, exponent), detail.decode(payload, 70, 50, 5))
    again = detail.decode_integer(payload, 70, 50, 5)[0]
    assert np.array_equal(integers, again)


def test_integers_cannot_come_from_the_9_7_wavelet(rng: np.random.Generator) -> None:
    payload = detail.encode(_planes(rng, 2, 40, 40), 1.0)
    with pytest.raises(DamagedSidecarError, match="9/7"):
        detail.decode_integer(payload, 40, 40, 2)


def test_the_9_7_wavelet_takes_fewer_bytes_on_a_real_scene(scenes: Path) -> None:
    scores, distortion = _jasper_scores(scenes, 45)
    assert len(detail.encode(scores, distortion)) < len(
        detail.encode(scores, distortion, integer=True)
    )


@pytest.mark.parametrize("shape", [(4, 64, 48), (3, 5, 37), (2, 1, 1)])
def test_the_expected_distortion_grows_from_nothing_to_the_energy(
    rng: np.random.Generator, shape: tuple[int, int, int]
) -> None:
    scores = _planes(rng, *shape)
    levels = np.geomspace(1e-6, 1e12, 60)
    expected = detail.expected_distortion(scores, levels)
    assert expected[0] == pytest.approx(1e-6, rel=0.05)
    assert expected[-1] == pytest.approx(np.square(scores).mean(), rel=0.3)
    assert (np.diff(expected) > -1e-9 * expected[-1]).all()


def test_the_expected_distortion_follows_the_unit_of_the_scores(rng: np.random.Generator) -> None:
    scores, levels = _planes(rng, 3, 32, 32).astype(np.float32), np.geomspace(1e-3, 1e6, 9)
    expected = detail.expected_distortion(scores, levels)
    for exponent in (-90, 90):
        scaled = detail.expected_distortion(
            np.ldexp(scores, exponent), np.ldexp(levels, 2 * exponent)
        )
        assert np.array_equal(scaled, np.ldexp(expected, 2 * exponent))


def test_one_level_shares_bytes_better_than_one_distortion(scenes: Path) -> None:
    scores, distortion = _jasper_scores(scenes, 40)
    tiles = [scores[:, r : r + 50, c : c + 50] for r in (0, 50) for c in (0, 50)]
    levels = np.geomspace(distortion / 30, distortion * 30, 200)
    curves = np.array([detail.expected_distortion(tile, levels) for tile in tiles])
    chosen = int(np.argmin(np.abs(curves.mean(0) - distortion)))

    def cost(distortions: np.ndarray) -> tuple[int, float]:
        payloads = [detail.encode(t, d) for t, d in zip(tiles, distortions, strict=True)]
        errors = [
            _error(t, detail.decode(p, 50, 50, len(t)))
            for t, p in zip(tiles, payloads, strict=True)
        ]
        return sum(map(len, payloads)), float(np.mean(errors))

    level_bytes, level_error = cost(curves[:, chosen])
    equal_bytes, equal_error = cost(np.full(4, distortion))
    assert level_error == pytest.approx(distortion, rel=0.1)
    assert level_bytes * np.sqrt(level_error / equal_error) < equal_bytes


def test_no_planes_are_expected_to_cost_nothing() -> None:
    assert detail.expected_distortion(np.zeros((0, 8, 8)), [1.0, 2.0]).tolist() == [0.0, 0.0]


def test_scores_must_be_finite() -> None:
    with pytest.raises(ValueError, match="finite"):
        detail.encode(np.full((1, 8, 8), np.nan), 1.0)


def test_a_distortion_must_be_above_zero(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="above zero"):
        detail.encode(_planes(rng, 2, 10, 10), 0.0)


@pytest.mark.parametrize("cut", [1, 3, 5, 10, 40])
def test_a_payload_cut_short_is_damaged(rng: np.random.Generator, cut: int) -> None:
    payload = detail.encode(_planes(rng, 3, 40, 40), 1.0)
    with pytest.raises(DamagedSidecarError):
        detail.decode(payload[:cut], 40, 40, 3)


def test_more_planes_than_the_basis_has_are_damage(rng: np.random.Generator) -> None:
    payload = detail.encode(_planes(rng, 3, 40, 40), 1.0)
    with pytest.raises(DamagedSidecarError, match="basis has 2"):
        detail.decode(payload, 40, 40, 2)


def _replaced(payload: bytes, old: bytes, new: bytes) -> bytes:
    assert old in payload
    return payload.replace(old, new, 1)


def test_parameters_that_would_take_much_memory_are_refused(rng: np.random.Generator) -> None:
    payload = detail.encode(_planes(rng, 3, 64, 64), 1.0)
    at = payload.index(b"\xff\x52")
    for offset, value in ((4, 2), (6, 99), (8, 1), (9, 33), (10, 0), (13, 1), (14, 0)):
        hostile = bytearray(payload)
        hostile[at + offset] = value
        if bytes(hostile) == payload:
            hostile[at + offset] = 7
        with pytest.raises(DamagedSidecarError, match="parameters"):
            detail.decode(bytes(hostile), 64, 64, 3)
    with pytest.raises(DamagedSidecarError, match="parameters"):
        detail.decode(_replaced(payload, b"\xff\x5c", b"\xff\x51"), 64, 64, 3)


_PAYLOADS = {
    integer: detail.encode(_planes(np.random.default_rng(5), 3, 40, 30), 3.0, integer=integer)
    for integer in (False, True)
}


@settings(max_examples=150, deadline=None)
@given(
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_damage_raises_the_packages_error_or_keeps_the_shape(
    integer: bool, changes: list[tuple[int, int]]
) -> None:
    payload = bytearray(_PAYLOADS[integer])
    for position, value in changes:
        payload[position % len(payload)] = value
    try:
        decoded = detail.decode(bytes(payload), 40, 30, 3)
    except DamagedSidecarError:
        return
    assert decoded.shape[1:] == (40, 30)
    assert len(decoded) <= 3


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=1, max_size=300))
def test_bytes_that_are_no_payload_raise_the_packages_error(payload: bytes) -> None:
    with pytest.raises(DamagedSidecarError):
        detail.decode(payload, 16, 16, 4)


def test_high_rates_are_sent_in_fewer_resolutions(rng: np.random.Generator) -> None:
    scores = rng.normal(size=(6, 64, 64)) * 100
    levels = [
        detail._check_coding(rest, bool(flags & 0x80)) and rest[9]
        for _, flags, _, rest in (
            detail._read_header(detail.encode(scores, distortion))
            for distortion in (2000.0, 30.0, 0.1)
        )
    ]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] > levels[-1] == 1
