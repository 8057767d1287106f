"""Floating-point samples: every bit comes back, or no sample errs by more than asked."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import xhsinr
from xhsinr.coding.contract import Frame
from xhsinr.coding.floats import FloatsCoding
from xhsinr.errors import DamagedSidecarError

SHAPE = st.tuples(st.integers(1, 9), st.integers(1, 12), st.integers(1, 12))
SEED = st.integers(0, 2**32 - 1)


def coding_of(samples: npt.NDArray[Any]) -> FloatsCoding:
    low, high = float(samples.min()), float(samples.max())
    return FloatsCoding(Frame(samples.dtype, len(samples), low, high))


def round_trip(samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
    coding = coding_of(samples)
    return coding.decode(coding.encode(samples, None, "cpu"), *samples.shape[1:], None)


def size(samples: npt.NDArray[Any]) -> float:
    """Bits a sample."""
    parts = coding_of(samples).encode(samples, None, "cpu")
    return 8 * sum(map(len, parts.values())) / samples.size


@settings(deadline=None, max_examples=100)
@given(
    seed=SEED,
    shape=SHAPE,
    dtype=st.sampled_from([np.float32, np.float64]),
    kind=st.sampled_from(["bits", "normal", "decimal", "powers", "subnormal", "zeros"]),
)
def test_floats_come_back_bit_by_bit(
    seed: int, shape: tuple[int, int, int], dtype: type, kind: str
) -> None:
    rng = np.random.default_rng(seed)
    if kind == "bits":
        count = np.dtype(dtype).itemsize * int(np.prod(shape))
        values = np.frombuffer(rng.bytes(count), dtype).reshape(shape)
        values = np.where(np.isfinite(values), values, dtype(-0.0))
    elif kind == "normal":
        values = rng.normal(size=shape).astype(dtype)
    elif kind == "powers":
        values = np.ldexp(1.0, rng.integers(-120, 120, shape)).astype(dtype)
    elif kind == "subnormal":
        values = (rng.integers(-9, 9, shape) * np.finfo(dtype).smallest_subnormal).astype(dtype)
    elif kind == "zeros":
        values = np.where(rng.random(shape) < 0.5, dtype(0.0), dtype(-0.0))
    else:
        values = (rng.integers(-5, 9999, shape) / 10000).astype(dtype)
    decoded = round_trip(values)
    assert decoded.dtype == dtype
    assert decoded.tobytes() == values.tobytes()


def test_the_extremes_come_back_bit_by_bit() -> None:
    for dtype in (np.float32, np.float64):
        about = np.finfo(dtype)
        ends = [0.0, -0.0, about.max, about.min, about.tiny, -about.smallest_subnormal, 1.0, 0.25]
        values = np.array(ends, dtype).reshape(2, 2, 2)
        assert round_trip(values).tobytes() == values.tobytes()


def test_the_digits_that_noise_takes_are_all_that_it_costs(rng: np.random.Generator) -> None:
    noise = rng.normal(0, 1e-3, (20, 50, 50))
    signal = 0.75 + 0.2 * rng.normal(size=(50, 50)).clip(-1, 1)
    entropy = np.log2(1e-3 * np.sqrt(2 * np.pi * np.e)) + 24
    assert size((signal + noise).astype(np.float32)) < entropy + 1.2
    # Across zero as well, where the floats are denser.
    assert size(noise.astype(np.float32)) < 28


def test_digits_that_are_zero_throughout_cost_nothing(rng: np.random.Generator) -> None:
    single = rng.normal(1, 0.1, (8, 40, 40)).astype(np.float32)
    assert size(single.astype(np.float64)) == pytest.approx(size(single), abs=0.01)


def test_bands_are_decoded_in_the_order_asked_for(rng: np.random.Generator) -> None:
    samples = rng.normal(size=(5, 9, 8)).astype(np.float32)
    coding, bands = coding_of(samples), np.array([3, 0])
    decoded = coding.decode(coding.encode(samples, None, "cpu"), 9, 8, bands)
    assert decoded.tobytes() == samples[bands].tobytes()


def test_what_is_not_valid_is_left_out(rng: np.random.Generator) -> None:
    samples = rng.normal(size=(6, 30, 30))
    valid = rng.random(samples.shape) < 0.5
    coding = coding_of(samples)
    parts = coding.encode(samples, valid, "cpu")
    decoded = coding.decode(parts, 30, 30, None, valid)
    assert (decoded == samples)[valid].all()
    assert 8 * sum(map(len, parts.values())) < 0.6 * size(samples) * samples.size


@settings(deadline=None, max_examples=100)
@given(data=st.data(), dtype=st.sampled_from([np.float32, np.float64]))
def test_damaged_floats_raise_or_return_the_declared_shape(
    data: st.DataObject, dtype: type
) -> None:
    shape = (3, 4, 5)
    samples = np.linspace(0, 1, 60).reshape(shape).astype(dtype)
    coding = coding_of(samples)
    parts = coding.encode(samples, None, "cpu")
    part = data.draw(st.sampled_from(sorted(parts)))
    content = bytearray(parts[part])
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1)):
        content[place] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(content)))
    try:
        decoded = coding.decode(parts | {part: bytes(content[:cut])}, 4, 5, None)
    except DamagedSidecarError:
        return
    assert decoded.shape == shape
    assert decoded.dtype == dtype


@settings(deadline=None, max_examples=60)
@given(
    seed=SEED,
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(2, 12)),
    dtype=st.sampled_from(["f4", "f8"]),
    kind=st.sampled_from(["near zero", "of any size", "far from zero", "constant"]),
    unit=st.floats(-45, 38) | st.floats(-320, 308),
    relative=st.floats(-20, 3),
)
@example(0, (1, 1, 2), "f4", "constant", 0, 0)
@example(0, (1, 1, 2), "f4", "constant", -10, 3)
@example(1, (6, 6, 8), "f4", "near zero", -30, -2)
@example(1, (6, 6, 8), "f4", "near zero", 30, -2)
@example(1, (6, 6, 8), "f8", "far from zero", 0, 2)
@example(1, (6, 6, 8), "f4", "far from zero", 0, -12)
def test_a_bound_holds_for_floats_of_any_size(
    seed: int, shape: tuple[int, int, int], dtype: str, kind: str, unit: float, relative: float
) -> None:
    rng = np.random.default_rng(seed)
    samples = rng.normal(size=shape) * (kind != "constant") + 1e4 * (kind == "far from zero")
    if kind == "of any size":
        samples *= 10.0 ** rng.uniform(-6, 0, shape)
    with np.errstate(over="ignore"):
        samples = (np.clip(samples, -1e5, 1e5) * 10.0**unit).astype(dtype)
    samples = np.nan_to_num(samples)
    spread = np.ptp(samples.astype(np.longdouble)) or np.longdouble(1)
    max_error = float(np.clip(spread * 10.0**relative, 5e-324, 1e308))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.hsinr"
        handle = xhsinr.compress(samples, path, max_error=max_error, progress=False)
        back = handle.open().transpose("y", "x", "band").values
    assert back.dtype == samples.dtype
    assert np.abs(back.astype(np.longdouble) - samples).max() <= max_error
