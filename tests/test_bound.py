"""The bound layer: no sample errs by more than asked, and the rate stays where it was measured."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xhsinr.coding import bound
from xhsinr.errors import DamagedSidecarError

Cube = npt.NDArray[np.int64]
SHAPE = st.tuples(st.integers(1, 9), st.integers(1, 12), st.integers(1, 12))
SEED = st.integers(0, 2**32 - 1)


def _noisy(seed: int, shape: tuple[int, int, int], scale: float, outliers: float) -> Cube:
    rng = np.random.default_rng(seed)
    cube = rng.normal(size=shape) + rng.normal(size=shape[1:])
    cube *= np.where(rng.random(shape) < outliers, 1e4, 1) * scale
    limit = bound.LARGEST_RESIDUAL
    return np.clip(np.rint(cube), -limit, limit).astype(np.int64)


def _assert_bounded(residual: Cube, base: Cube | None, max_error: int) -> bytes:
    payload = bound.encode(residual, base, max_error)
    decoded = bound.decode(payload, base, max_error, residual.shape)
    assert decoded.shape == residual.shape
    assert np.abs(decoded.astype(np.int64) - residual).max(initial=0) <= max_error
    return payload


def _noise_weighted_base(scene: Cube, components: int, floor: float) -> Cube:
    """A rounded projection on the leading components in units of the noise."""
    flat = scene.reshape(len(scene), -1).astype(np.float64)
    centred = flat - flat.mean(1, keepdims=True)
    covariance = centred @ centred.T / flat.shape[1]
    ridge = 1e-6 * np.trace(covariance) / len(scene) + 0.1
    noise = np.sqrt(1 / np.linalg.inv(covariance + ridge * np.eye(len(scene))).diagonal())
    noise = np.maximum(noise, floor)[:, None]
    vectors = np.linalg.eigh(covariance / noise / noise.T)[1][:, -components:]
    base = flat - centred + noise * (vectors @ (vectors.T @ (centred / noise)))
    return np.rint(base).astype(np.int64).reshape(scene.shape)


@settings(deadline=None, max_examples=150)
@given(
    seed=SEED,
    shape=SHAPE,
    scale=st.sampled_from([0.0, 0.3, 4.0, 300.0, 1e5, 3e9]),
    outliers=st.sampled_from([0.0, 0.02]),
    max_error=st.one_of(st.sampled_from([0, 1, 4, 16, 50]), st.integers(0, 2**33)),
    with_base=st.booleans(),
)
def test_no_sample_errs_by_more_than_the_bound(
    seed: int,
    shape: tuple[int, int, int],
    scale: float,
    outliers: float,
    max_error: int,
    with_base: bool,
) -> None:
    residual = _noisy(seed, shape, scale, outliers)
    base = _noisy(seed + 1, shape, 1000, 0) if with_base else None
    _assert_bounded(residual, base, max_error)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint16, np.uint32, np.int64])
def test_lossless_is_exact_for_full_range_noise_at_about_its_entropy(
    dtype: type, rng: np.random.Generator
) -> None:
    bits = min(8 * np.dtype(dtype).itemsize, 34)
    low = -(1 << (bits - 1)) if np.dtype(dtype).kind == "i" else 0
    noise = rng.integers(low, low + (1 << bits), (4, 60, 50)).astype(dtype)
    payload = bound.encode(noise, None, 0)
    assert np.array_equal(bound.decode(payload, None, 0, noise.shape), noise)
    assert len(payload) * 8 / noise.size < 1.03 * bits + 0.2


def test_differences_of_the_extremes_of_32_bits_survive() -> None:
    residual = np.zeros((3, 5, 7), np.int64)
    residual[0, 0, 0], residual[1, 2, 3], residual[2, 4, 6] = 2**32 - 1, 1 - 2**32, 2**33
    base = np.full(residual.shape, -(2**31))
    base[1] = 2**32 - 1
    _assert_bounded(residual, base, 0)
    _assert_bounded(residual, base, 2**31)


def test_what_cannot_be_coded_is_refused() -> None:
    zeros = np.zeros((1, 2, 2), np.int64)
    with pytest.raises(ValueError, match="max_error is -1"):
        bound.encode(zeros, None, -1)
    with pytest.raises(ValueError, match="magnitude"):
        bound.encode(zeros + 2 * bound.LARGEST_RESIDUAL, None, 0)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 30, 40), (400, 1, 1), (3, 1, 64), (400, 8, 8)])
def test_constant_bands_cost_next_to_nothing(shape: tuple[int, int, int]) -> None:
    residual = np.zeros(shape, np.int64) + 12345
    assert len(_assert_bounded(residual, None, 0)) < 150 + 3 * shape[0]
    assert len(_assert_bounded(residual * 0, residual, 7)) < 24


def test_masked_pixels_cost_next_to_nothing(rng: np.random.Generator) -> None:
    residual = _noisy(7, (20, 60, 60), 10, 0)
    base = rng.integers(0, 5000, residual.shape)
    alone = len(bound.encode(residual[:, :30], base[:, :30], 0))
    residual[:, 30:] = 0
    payload = _assert_bounded(residual, base, 0)
    assert len(payload) < alone * 1.01


def test_the_same_input_gives_the_same_bytes() -> None:
    residual, base = _noisy(1, (12, 40, 40), 9, 0.001), _noisy(2, (12, 40, 40), 900, 0)
    assert bound.encode(residual, base, 2) == bound.encode(residual.copy(), base.copy(), 2)
    assert bound.encode(residual.astype(np.int32), base, 2) == bound.encode(residual, base, 2)


def test_an_earlier_band_and_a_known_brightness_save_bits(rng: np.random.Generator) -> None:
    base = rng.integers(0, 1000, (6, 50, 50))
    residual = np.rint(rng.normal(size=base.shape) * (1 + base / 100)).astype(np.int64)
    assert len(bound.encode(residual, base, 0)) < 0.97 * len(bound.encode(residual, None, 0))
    residual[1::2] = residual[::2]
    assert (
        len(bound.encode(residual, base, 0)) < 0.6 * len(bound.encode(residual[::2], None, 0)) * 2
    )


@settings(deadline=None, max_examples=200)
@given(seed=SEED, data=st.data())
def test_damage_raises_or_returns_the_declared_shape(seed: int, data: st.DataObject) -> None:
    shape = (6, 9, 8)
    residual = _noisy(seed, shape, data.draw(st.sampled_from([1.0, 40.0, 1e6])), 0.02)
    residual[:, :3] *= data.draw(st.integers(0, 1))
    payload = bytearray(bound.encode(residual, None, 1))
    damage = data.draw(st.sampled_from(["cut", "flip", "noise"]))
    if damage == "cut":
        payload = payload[: data.draw(st.integers(0, len(payload) - 1))]
    elif damage == "flip":
        for place in data.draw(st.lists(st.integers(0, len(payload) - 1), min_size=1)):
            payload[place] ^= data.draw(st.integers(1, 255))
    else:
        payload = bytearray(data.draw(st.binary(max_size=400)))
    try:
        decoded = bound.decode(bytes(payload), None, 1, shape)
    except DamagedSidecarError:
        return
    assert decoded.shape == shape


@pytest.mark.parametrize("payload", [b"", b"\0", b"\0" * 5, b"\xff" * 300])
def test_a_payload_that_is_none_is_reported(payload: bytes) -> None:
    with pytest.raises(DamagedSidecarError, match="damaged"):
        bound.decode(payload, None, 0, (4, 5, 6))


def test_predictions_are_exact_at_the_limits_of_what_is_clipped(rng: np.random.Generator) -> None:
    live = np.ones((5, 6), np.bool_)
    history = bound._History(bound._Plan(60, live, based=False))
    bands = rng.choice([-1, 1], (60, 30)) * (bound.HISTORY_LIMIT - rng.integers(0, 9, (60, 30)))
    near = []
    for band in bands:
        history.add(band * 4)
        clipped = np.clip(band * 4, -bound.HISTORY_LIMIT, bound.HISTORY_LIMIT)
        p = np.pad(clipped.reshape(5, 6), 1)
        near.append((p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:] + 2).ravel() >> 2)
    weights = rng.choice([-1, 1], len(history.features)) * bound.LARGEST_WEIGHT
    predicted = history.predict(weights, 3)
    past = np.clip(bands * 4, -bound.HISTORY_LIMIT, bound.HISTORY_LIMIT)[::-1][: bound.LAGS]
    features = [*past.tolist(), *[row.tolist() for row in near[::-1][: bound.NEAR_LAGS]]]
    bits = bound.WEIGHT_BITS_ALONE
    for pixel in range(30):
        total = sum(int(w) * f[pixel] for w, f in zip(weights, features, strict=True))
        assert predicted[pixel] == (total + (1 << bits - 1) >> bits) + 3


def test_what_the_first_version_wrote_decodes_forever() -> None:
    payload = base64.b85decode(
        "01N;C0C?JC{0{^N01mzcz5oCKj{q6~766|B000000ET=3000000000003aj+Qt$wYvmiJJVxlZZ;E)^$LU25JG"
        "X2YRMQo!$`_p@^2w+^>MG{7adJMY4IWc$$K(Z^d=0o3{h4nLTO0)0=briq0Nk+xqCc5p-SHkq$Ju1VmhbuF+_m"
        "5T*3}DD?kt<7#EyZ;;&wwDfifKRZ+ED$md&$E-6la_Q0000"
    )
    base = np.arange(5 * 6 * 7).reshape(5, 6, 7) * 37 % 1001
    decoded = bound.decode(payload, base, 2, base.shape)
    assert zlib.crc32(decoded.astype("<i8").tobytes()) == 812471294


@pytest.mark.parametrize(
    ("max_error", "components", "measured"),
    [(0, 10, 5.498), (4, 10, 2.424), (16, 14, 0.7755), (50, 10, 0.1791)],
)
def test_the_rate_on_a_real_scene_stays_where_it_was_measured(
    scenes: Path, max_error: int, components: int, measured: float
) -> None:
    scene = np.load(scenes / "jasper_ridge_198_int16.npy").transpose(2, 0, 1).astype(np.int64)
    base = _noise_weighted_base(scene, components, 0.577 * max_error + 0.5)
    payload = _assert_bounded(scene - base, base, max_error)
    assert len(payload) * 8 / scene.size < 1.02 * measured
