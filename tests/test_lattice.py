"""Samples that are integers times a step: found, and every bit comes back whatever they are."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xhsinr.coding.lattice import PRODUCT, QUOTIENT, ROUNDED, Lattice
from xhsinr.coding.rest import decode_rest, encode_rest, from_order, in_order
from xhsinr.compression.steps import find_lattice
from xhsinr.errors import DamagedSidecarError

INTEGERS = np.random.default_rng(3).normal(900, 400, (6, 30, 31)).astype(np.int64)


def found(samples, hints=()):
    return find_lattice([band.ravel() for band in samples], samples.dtype, hints)


def roundtrip(lattice, samples):
    decoded = lattice.to_samples(lattice.to_integers(samples))
    rest = lattice.rest(samples, decoded, None)
    again = Lattice.from_bytes(lattice.to_bytes(), samples.dtype, len(samples))
    same = again.to_samples(lattice.to_integers(samples))
    assert same.tobytes() == decoded.tobytes()
    back = again.correct(same, rest, None, len(samples))
    assert back.tobytes() == samples.tobytes()
    return rest


@pytest.mark.parametrize(
    ("samples", "step"),
    [
        (INTEGERS.astype(np.int16) * np.int16(5) + np.int16(3), 5),
        ((INTEGERS.astype(np.uint16) & 0xFFF) << 4, 16),
        (INTEGERS.astype(np.int16), 1),
        (INTEGERS.astype(np.int32) * 1000 - 7, 1000),
    ],
)
def test_integers_are_divided_by_their_step(samples, step):
    lattice = found(samples)
    assert lattice.steps.tolist() == [step]
    assert roundtrip(lattice, samples) == b""
    assert len(lattice.to_bytes()) <= (0 if step == 1 else 5)


def test_bands_have_steps_of_their_own():
    steps = np.array([1, 2, 3, 4, 8, 10])[:, None, None]
    samples = (INTEGERS * steps + np.arange(6)[:, None, None]).astype(np.int32)
    lattice = found(samples)
    assert lattice.steps.tolist() == steps.ravel().tolist()
    assert roundtrip(lattice, samples) == b""


def test_a_constant_band_beside_one_with_a_step_is_what_it_is():
    samples = np.array([[[0, 3, 6, 3]], [[7, 7, 7, 7]]], np.int16)
    lattice = found(samples)
    assert np.array_equal(lattice.to_samples(lattice.to_integers(samples)), samples)


def test_a_saturated_sample_does_not_hide_the_step():
    samples = INTEGERS.astype(np.uint16) << 4
    samples[2, 5, 5] = 65535
    lattice = found(samples)
    assert lattice.steps.tolist() == [16]
    assert roundtrip(lattice, samples)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    "make",
    [
        lambda n: n * 1e-4,
        lambda n: n / 1e4,
        lambda n: n * 2.75e-5 - 0.2,
        lambda n: n * 0.0137,
        lambda n: n * 2.0**-8,
        lambda n: n * 1.0,
    ],
)
def test_floats_that_are_scaled_integers_are_found_exactly(make, dtype):
    samples = make(INTEGERS).astype(dtype)
    lattice = found(samples)
    assert roundtrip(lattice, samples) == b""
    assert np.ptp(lattice.to_integers(samples)) == np.ptp(INTEGERS)
    assert len(lattice.to_bytes()) < 32


def test_floats_computed_in_single_precision_are_found_exactly():
    scaled = INTEGERS.astype(np.float32) * np.float32(2.75e-5)
    for samples in (scaled, scaled - np.float32(0.2)):
        assert roundtrip(found(samples), samples) == b""


def test_single_precision_in_doubles_is_found_exactly():
    scaled = INTEGERS.astype(np.float32) * np.float32(1e-4)
    for samples in (scaled, scaled - np.float32(0.2), INTEGERS.astype(np.float32) / 7):
        lattice = found(samples.astype(np.float64))
        assert roundtrip(lattice, samples.astype(np.float64)) == b""
        assert np.ptp(lattice.to_integers(samples)) == np.ptp(INTEGERS)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    "make",
    [lambda n: n * 1e-4 - 0.1, lambda n: n * 1e-4 + 1, lambda n: n / 1e4 - 0.5],
)
def test_offsets_that_are_multiples_of_the_step_are_found_exactly(make, dtype):
    samples = make(INTEGERS).astype(dtype)
    assert roundtrip(found(samples), samples) == b""


def test_what_the_metadata_say_of_the_scale_is_used():
    # Too few values to see the step by themselves.
    few = np.array([[[3, 90], [41, 1003]]] * 2)
    samples = few.astype(np.float32) * np.float32(0.0137) + np.float32(4)
    assert roundtrip(found(samples, [(0.0137, 4.0)]), samples) == b""


def test_bands_of_floats_with_gains_of_their_own():
    rng = np.random.default_rng(1)
    gains, offsets = rng.uniform(1e-4, 1e-3, (6, 1, 1)), rng.normal(0, 0.2, (6, 1, 1))
    samples = (INTEGERS * gains + offsets).astype(np.float32)
    lattice = found(samples)
    assert len(lattice.steps) == 6
    assert np.ptp(lattice.to_integers(samples)) <= np.ptp(INTEGERS)
    assert len(roundtrip(lattice, samples)) < 0.05 * samples.size


def test_real_floats_have_no_lattice():
    assert found(np.random.default_rng(0).normal(0.3, 0.1, (4, 40, 40)).astype(np.float32)) is None


@pytest.mark.parametrize("dtype", ["i2", "u2", "i4", "f4", "f8"])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_any_samples_come_back_from_any_lattice(dtype, data):
    kind = np.dtype(dtype)
    samples = data.draw(hnp.arrays(kind, (2, 3, 4)))
    if kind.kind == "f":
        bits = data.draw(hnp.arrays(f"u{kind.itemsize}", (2, 3, 4)))
        samples = np.where(samples == 0, bits.view(kind), samples)
        number = st.floats(1e-30, 1e30)
        rule = data.draw(st.sampled_from([PRODUCT, QUOTIENT, ROUNDED]))
    else:
        number, rule = st.integers(1, 5000), PRODUCT
    bands = data.draw(st.sampled_from([1, 2]))
    steps = np.array(data.draw(st.lists(number, min_size=bands, max_size=bands)))
    lattice = Lattice(kind, steps, steps[::-1] / 2 if kind.kind == "f" else steps // 2, rule)
    roundtrip(lattice, samples)


@given(
    n=hnp.arrays(np.int64, (3, 4, 5), elements=st.integers(-3000, 3000)),
    step=st.floats(1e-6, 1e3),
    bound=st.floats(1e-3, 1e4),
)
@settings(max_examples=60, deadline=None)
def test_a_bound_on_integers_bounds_the_samples(n, step, bound):
    lattice = Lattice(np.dtype(np.float32), np.array([step]), np.array([0.5]))
    samples = lattice.to_samples(n)
    units = int(lattice.units(bound, float(np.abs(samples).max()))[0])
    decoded = lattice.to_samples(np.clip(n - units, n.min(), n.max()))
    assert np.abs(samples.astype(np.float64) - decoded).max() <= bound


def test_all_of_a_bound_is_used_where_floats_are_whole_numbers():
    for step, offset in ((1.0, 0.0), (2.0**-8, 0.5), (3.0, -1.0)):
        lattice = Lattice(np.dtype(np.float32), np.array([step]), np.array([offset]))
        assert lattice.units(4 * step, 5000.0).tolist() == [4]
    assert Lattice(np.dtype(np.float32), np.array([0.1]), np.zeros(1)).units(0.4, 9.0) == [3]


def test_a_rounding_keeps_its_bound():
    samples = np.random.default_rng(0).normal(0, 1, (2, 20, 20)).astype(np.float32)
    lattice = Lattice.rounding(samples.dtype, 0.01)
    units = int(lattice.units(0.01, float(np.abs(samples).max()))[0])
    assert units >= 30
    decoded = lattice.to_samples(lattice.to_integers(samples) + units)
    assert np.abs(samples - decoded).max() <= 0.01
    assert lattice.rest(samples, decoded, None, max_error=0.01) == b""


def test_a_sample_that_errs_by_more_than_the_bound_is_corrected():
    samples = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    decoded = samples + np.float32(0.25)
    decoded[1, 2, 3] += 5
    lattice = Lattice(samples.dtype, np.ones(1), np.zeros(1))
    rest = lattice.rest(samples, decoded, None, max_error=1.0)
    back = lattice.correct(decoded[1:], rest, np.array([1]), 2)
    assert back[0, 2, 3] == samples[1, 2, 3]
    assert (back[0, :2] == decoded[1, :2]).all()


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4"])
def test_order_is_that_of_the_samples(dtype):
    samples = np.array([-3, -1, 0, 1, 2], dtype)
    assert (np.diff(in_order(samples)) > 0).all()
    assert from_order(in_order(samples), samples.dtype).tobytes() == samples.tobytes()


@given(hnp.arrays(np.int64, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6)))
@settings(max_examples=60, deadline=None)
def test_rests_of_any_size_come_back(rest):
    assert (decode_rest(encode_rest(rest), *rest.shape) == rest).all()


@given(st.binary(max_size=60))
@settings(max_examples=100, deadline=None)
def test_damaged_bytes_are_refused(content):
    for decode in (
        lambda: decode_rest(content, 2, 3, 4),
        lambda: Lattice.from_bytes(content, np.dtype(np.float32), 3),
        lambda: Lattice.from_bytes(content, np.dtype(np.int16), 3),
    ):
        with contextlib.suppress(DamagedSidecarError):
            decode()
