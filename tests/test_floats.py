"""Floating-point samples: every bit comes back, or no sample errs by more than asked."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

import xhsinr
from xhsinr.coding import bound
from xhsinr.coding.floats import decode_floats, encode_floats
from xhsinr.errors import DamagedSidecarError

SHAPE = st.tuples(st.integers(1, 9), st.integers(1, 12), st.integers(1, 12))
SEED = st.integers(0, 2**32 - 1)


@settings(deadline=None, max_examples=100)
@given(
    seed=SEED,
    shape=SHAPE,
    dtype=st.sampled_from([np.float32, np.float64]),
    kind=st.sampled_from(["bits", "normal", "decimal"]),
)
def test_floats_come_back_bit_by_bit(
    seed: int, shape: tuple[int, int, int], dtype: type, kind: str
) -> None:
    rng = np.random.default_rng(seed)
    if kind == "bits":
        size = np.dtype(dtype).itemsize * int(np.prod(shape))
        values = np.frombuffer(rng.bytes(size), dtype).reshape(shape)
    elif kind == "normal":
        values = rng.normal(size=shape).astype(dtype)
    else:
        values = (rng.integers(-5, 9999, shape) / 10000).astype(dtype)
    payload = encode_floats(values)
    decoded = decode_floats(payload, shape, dtype)
    assert decoded.dtype == dtype
    assert decoded.tobytes() == values.tobytes()


def test_odd_floats_come_back_bit_by_bit() -> None:
    values = np.array([0.0, -0.0, 5e-324, -1e-42, np.inf, -np.inf, np.nan, 0.25]).reshape(2, 2, 2)
    for dtype in (np.float32, np.float64):
        odd = values.astype(dtype)
        decoded = decode_floats(encode_floats(odd), odd.shape, dtype)
        assert decoded.tobytes() == odd.tobytes()


def test_decimal_fractions_cost_as_much_as_integers(rng: np.random.Generator) -> None:
    integers = rng.integers(0, 10000, (4, 40, 40))
    for dtype in (np.float32, np.float64):
        payload = encode_floats((integers / 10000).astype(dtype))
        assert len(payload) == 1 + len(bound.encode(integers, None, 0))


@settings(deadline=None, max_examples=100)
@given(data=st.data(), dtype=st.sampled_from([np.float32, np.float64]))
def test_damaged_floats_raise_or_return_the_declared_shape(
    data: st.DataObject, dtype: type
) -> None:
    shape = (3, 4, 5)
    payload = bytearray(encode_floats(np.linspace(0, 1, 60).reshape(shape).astype(dtype)))
    for place in data.draw(st.lists(st.integers(0, len(payload) - 1), min_size=1)):
        payload[place] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(payload)))
    try:
        decoded = decode_floats(bytes(payload[:cut]), shape, dtype)
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
