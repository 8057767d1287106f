"""The coding ``bounded``: bounds kept, exactness, damage, and what it costs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xhsinr.coding.bounded import BoundedCoding
from xhsinr.coding.bounded_side import most
from xhsinr.coding.bounded_tile import LARGEST
from xhsinr.coding.contract import Frame
from xhsinr.coding.lattice import Lattice
from xhsinr.errors import DamagedSidecarError

Samples = npt.NDArray[Any]


def coding_of(samples: Samples, max_error: int | list[int] = 0) -> BoundedCoding:
    frame = Frame(samples.dtype, len(samples), int(samples.min()), int(samples.max()))
    units = np.atleast_1d(np.array(max_error, np.int64))
    return BoundedCoding(frame, Lattice.plain(samples.dtype), units)


def round_trip(coding: BoundedCoding, samples: Samples, valid: Samples | None = None) -> Samples:
    parts = coding.encode(samples, valid, "cpu")
    again = BoundedCoding.from_bytes(coding.to_bytes(), coding.frame)
    decoded = again.decode(parts, *samples.shape[1:], None, valid)
    assert decoded.dtype == samples.dtype
    assert decoded.min() >= coding.frame.low
    assert decoded.max() <= coding.frame.high
    return decoded


def scene(bands: int = 20, rows: int = 40, cols: int = 50, seed: int = 0) -> Samples:
    """Smooth fields in a few mixtures, with noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :cols] / 10
    fields = np.stack([np.sin(x + k) * np.cos(y * (k + 1) / 2) for k in range(3)])
    mixed = np.tensordot(random.normal(300, 100, (bands, 3)), fields, 1)
    return np.rint(mixed + 2000 + random.normal(0, 6, mixed.shape)).astype(np.int16)


def test_a_band_without_a_valid_sample_in_a_tile_decodes_within_the_range() -> None:
    samples = scene(4, 6, 7)
    valid = np.ones(samples.shape, np.bool_)
    valid[2] = False
    decoded = round_trip(coding_of(samples), samples, valid)
    assert np.array_equal(decoded[valid], samples[valid])


def mistakes(decoded: Samples, samples: Samples) -> int:
    return int(np.abs(decoded.astype(np.int64) - samples.astype(np.int64)).max())


@given(
    dtype=st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4"]),
    shape=st.tuples(st.integers(1, 12), st.integers(1, 9), st.integers(1, 70)),
    max_error=st.sampled_from([0, 0, 1, 4, 50, 1 << 20]),
    spread=st.sampled_from([0.0, 1e-7, 1e-3, 1.0]),
    gain=st.sampled_from([1, 1, 3]),
    gaps=st.sampled_from([0, 0.02, 0.98]),
    seed=st.integers(0, 1 << 30),
)
@settings(max_examples=40, deadline=None)
def test_keeps_its_bounds_for_all_integers_shapes_ranges_and_masks(
    dtype: str,
    shape: tuple[int, int, int],
    max_error: int,
    spread: float,
    gain: int,
    gaps: float,
    seed: int,
) -> None:
    random, ends = np.random.default_rng(seed), np.iinfo(dtype)
    wide = random.integers(ends.min, ends.max, shape, endpoint=True)
    samples = (wide * spread).astype(dtype) // gain * gain
    samples[random.random(shape) < 0.1 * (spread > 0)] = ends.max
    bounds = random.integers(0, max_error, len(samples), endpoint=True)
    valid = random.random(shape) >= gaps
    valid[random.integers(len(samples))] &= gaps == 0
    decoded = round_trip(coding_of(samples, bounds.tolist()), samples, valid)
    errors = np.abs(decoded.astype(np.int64) - samples.astype(np.int64))
    assert (errors <= bounds[:, None, None])[valid].all()


@pytest.mark.parametrize("max_error", [0, 1, 7, 60])
def test_scene_comes_back_within_its_bound_and_smaller_than_its_noise(max_error: int) -> None:
    samples = scene()
    coding = coding_of(samples, max_error)
    assert mistakes(round_trip(coding, samples), samples) <= max_error
    size = sum(map(len, coding.encode(samples, None, "cpu").values()))
    noise = max(np.log2(6 * np.sqrt(2 * np.pi * np.e) / (2 * max_error + 1)), 0.0)
    assert 8 * size / samples.size < noise + 1.5


def test_bound_may_differ_by_band() -> None:
    samples = scene(8)
    units = np.arange(8)
    coding = coding_of(samples, units.tolist())
    decoded = round_trip(coding, samples)
    errors = np.abs(decoded.astype(int) - samples).max(axis=(1, 2))
    assert (errors <= units).all()
    assert errors[0] == 0
    assert errors[7] > 3


def test_filler_costs_next_to_nothing_and_does_not_harm() -> None:
    samples = scene(20, 60, 60)
    valid = np.ones(samples.shape, bool)
    valid[:, :, 30:] = False
    filled = np.where(valid, samples, 0).astype(np.int16)
    coding = coding_of(samples)
    parts = coding.encode(filled, valid, "cpu")
    decoded = coding.decode(parts, 60, 60, None, valid)
    assert (decoded == samples)[valid].all()
    half = np.ascontiguousarray(samples[:, :, :30])
    alone = coding_of(samples).encode(half, None, "cpu")
    assert len(parts["bound"]) < 1.05 * len(alone["bound"])


def test_scattered_invalid_samples_are_left_out() -> None:
    samples = scene(12)
    valid = np.random.default_rng(1).random(samples.shape) > 0.05
    coding = coding_of(samples)
    parts = coding.encode(np.where(valid, samples, 0).astype(np.int16), valid, "cpu")
    assert (coding.decode(parts, 40, 50, None, valid) == samples)[valid].all()


def test_wide_ranges_cost_no_more_than_their_noise() -> None:
    random = np.random.default_rng(0)
    samples = np.rint(random.normal(0, 1 << 24, (8, 60, 60))).astype(np.int32)
    size = len(coding_of(samples).encode(samples, None, "cpu")["bound"])
    assert 8 * size / samples.size < 24 + np.log2(np.sqrt(2 * np.pi * np.e)) + 0.15


@pytest.mark.parametrize("bits", [28, 31])
def test_clusters_whose_weights_would_need_offsets_beyond_any_limit_come_back(bits: int) -> None:
    """Of two kinds of pixels, one has bright samples whose last bits a band is a multiple of."""
    random, (y, x) = np.random.default_rng(0), np.indices((90, 90))
    kind = (x // 10 + y // 10) % 2
    samples = np.concatenate([[20 * kind] * 8, [20 * (1 - kind)] * 8, [kind << 10, kind << bits]])
    samples[:16] += random.integers(0, 9, (16, 90, 90))
    last_bits = random.integers(-2, 3, (90, 90))
    samples[16] += last_bits + 2
    samples[17] += (last_bits << bits - 2) * (2 * kind - 1) + (1 << bits - 1)
    samples = samples.astype(np.uint32)
    assert np.array_equal(round_trip(coding_of(samples), samples), samples)


@pytest.mark.parametrize("least", [0, -LARGEST // 2])
def test_integers_as_far_apart_as_a_file_may_have_them_come_back(least: int) -> None:
    samples = np.random.default_rng(0).integers(0, LARGEST, (3, 9, 8)) + least
    samples[:, 0, 0], samples[:, 1, 1] = least, least + LARGEST
    lattice = Lattice(np.dtype(np.float64), np.ones(1), np.zeros(1))
    floats = samples.astype(np.float64)
    frame = Frame(floats.dtype, 3, floats.min(), floats.max())
    coding = BoundedCoding(frame, lattice, np.zeros(1, np.int64))
    assert np.array_equal(round_trip(coding, floats), floats)
    floats[0, 0, 0] -= 2
    wider = BoundedCoding(Frame(floats.dtype, 3, floats.min(), floats.max()), lattice, coding.units)
    with pytest.raises(ValueError, match="too fine"):
        wider.encode(floats, None, "cpu")


def test_the_largest_error_that_predicts_grows_with_the_scale_at_every_bound() -> None:
    for step in (1, 1 << 20, 2 * LARGEST + 1):
        limits = most(np.arange(132), step)
        assert (np.diff(limits) >= 0).all()
        assert limits[0] == 32 * step


@pytest.mark.parametrize("axis", [1, 2])
def test_steps_without_noise_cost_next_to_nothing(axis: int) -> None:
    steps = np.indices((5, 100, 100))[axis] // 8
    samples = (steps + np.arange(5)[:, None, None]).astype(np.uint8)
    coding = coding_of(samples)
    assert len(coding.encode(samples, None, "cpu")["bound"]) < 0.8 / 8 * samples.size
    assert np.array_equal(round_trip(coding, samples), samples)


def test_values_on_a_comb_cost_less() -> None:
    """A gain above one leaves values that never come: their share goes to the others."""
    plain = scene(16, 128, 128)
    comb = np.floor(plain * 1.618).astype(np.int16)
    sizes = [len(coding_of(s).encode(s, None, "cpu")["bound"]) for s in (plain, comb)]
    assert mistakes(round_trip(coding_of(comb), comb), comb) == 0
    assert 8 * (sizes[1] - sizes[0]) / plain.size < 0.38 * np.log2(1.618)


def test_what_lies_beyond_the_range_has_no_share() -> None:
    """Noise that is cut off at zero: one bit says that it is, half of the samples have more."""
    noise = np.random.default_rng(0).normal(0, 20, (8, 60, 60))
    samples = np.maximum(np.rint(noise), 0).astype(np.int16)
    size = len(coding_of(samples).encode(samples, None, "cpu")["bound"])
    least = 0.5 + 0.5 * np.log2(20 * np.sqrt(2 * np.pi * np.e))
    assert 8 * size / samples.size < 1.2 * least
    assert np.array_equal(round_trip(coding_of(samples), samples), samples)


def test_bands_are_decoded_in_the_order_asked_for() -> None:
    samples = scene(9)
    coding = coding_of(samples)
    parts = coding.encode(samples, None, "cpu")
    wanted = np.array([7, 2])
    assert (coding.decode(parts, 40, 50, wanted) == samples[wanted]).all()


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_damage_raises_or_decodes_within_the_range(data: st.DataObject) -> None:
    samples = scene(6, 12, 14)
    coding = coding_of(samples, data.draw(st.sampled_from([0, 3])))
    content = bytearray(coding.encode(samples, None, "cpu")["bound"])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    try:
        decoded = coding.decode({"bound": bytes(content)}, 12, 14, None)
    except DamagedSidecarError:
        return
    assert decoded.min() >= coding.frame.low
    assert decoded.max() <= coding.frame.high


@given(content=st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_arbitrary_bytes_raise(content: bytes) -> None:
    coding = coding_of(scene(3, 5, 5))
    with pytest.raises(DamagedSidecarError):
        coding.decode({"bound": content}, 5, 5, None)
    with pytest.raises(DamagedSidecarError):
        BoundedCoding.from_bytes(b"\x02" + content, coding.frame)


def test_an_axis_is_stretched_only_where_its_values_are_few_for_the_pixels() -> None:
    """It takes time for each value: of a band of few pixels, files made to do harm had no other."""
    samples = np.random.default_rng(0).integers(0, 300, (4, 40, 40)).astype(np.int16) * 20
    coding = coding_of(samples)
    parts = coding.encode(samples, None, "cpu")
    with pytest.raises(DamagedSidecarError, match="out of its range"):
        coding.decode(parts, 20, 20, None)


def test_nothing_is_read_past_the_words_while_none_is_taken(tmp_path: Path) -> None:
    """Compiled loops check indices where numba is told so: only the smallest, as it takes long."""
    code = """if True:
        import numpy as np
        from xhsinr.coding.bounded_lanes import find_bits
        from xhsinr.coding.bounded_tile import _start
        states, words, left = _start(b"\\xff" * 44, 4)
        bits, labels = np.zeros(8, np.int64), np.zeros(8, np.uint8)
        assert find_bits(states, 0, words, left, 2, labels, 1, bits) == left == 3
        assert (bits == 3).all()
    """
    checked = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | checked, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
