"""Metrics against their definitions, and the sums that add up tile by tile."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xhsinr import metrics
from xhsinr.metrics import Quality

NUMBERS = {
    "int16": st.integers(-32768, 32767),
    "uint16": st.integers(0, 65535),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "float32": st.floats(-1e6, 1e6, width=32),
}


@st.composite
def scene_pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    dtype = draw(st.sampled_from(sorted(NUMBERS)))
    shape = draw(hnp.array_shapes(min_dims=3, max_dims=3, max_side=5))
    original, decoded = (draw(hnp.arrays(dtype, shape, elements=NUMBERS[dtype])) for _ in range(2))
    return original, decoded, draw(hnp.arrays(bool, shape))


@pytest.fixture
def pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    original = rng.integers(100, 5000, (7, 40, 30)).astype(np.int16)
    return original, (original + rng.integers(-9, 10, original.shape)).astype(np.int16)


@given(scene_pairs())
def test_sums_are_those_of_the_definition_and_no_integer_overflows(scenes):
    original, decoded, valid = scenes
    a, b = original[valid].astype(object), decoded[valid].astype(object)
    measured = Quality.of(original, decoded, valid)
    exact = float(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))
    assert measured.samples == valid.sum()
    assert measured.squared_error == pytest.approx(exact, rel=1e-13)
    assert measured.max_error == max((abs(x - y) for x, y in zip(a, b, strict=True)), default=0)
    assert measured.minimum == min(a, default=math.inf)
    assert measured.maximum == max(a, default=-math.inf)


@given(scene_pairs())
def test_equal_scenes_have_no_error_at_all(scenes):
    original, _, valid = scenes
    measured = Quality.of(original, original, valid)
    assert (measured.squared_error, measured.max_error, measured.angle) == (0, 0, 0)
    assert math.copysign(1, measured.max_error) == 1


def test_uint16_differences_and_int32_extremes_are_not_wrapped():
    low, high = np.zeros((1, 1, 1), np.uint16), np.full((1, 1, 1), 65535, np.uint16)
    assert metrics.max_error(low, high) == 65535
    assert metrics.mse(high, low) == 65535**2
    ends = np.iinfo(np.int32)
    low, high = (np.full((1, 1, 1), end, np.int32) for end in (ends.min, ends.max))
    assert metrics.max_error(low, high) == 2**32 - 1


def test_psnr_follows_eq_4(pair):
    original, decoded = pair
    error = np.mean((original.astype(float) - decoded) ** 2)
    largest_variation = float(original.max()) - float(original.min())
    assert metrics.mse(original, decoded) == pytest.approx(error)
    assert metrics.rmse(original, decoded) == pytest.approx(math.sqrt(error))
    expected = 10 * math.log10(largest_variation**2 / error)
    assert metrics.psnr(original, decoded) == pytest.approx(expected)


def test_psnr_with_a_fixed_peak_ignores_the_range(pair):
    original, decoded = pair
    error = metrics.mse(original, decoded)
    assert metrics.psnr_fixed_peak(original, decoded) == pytest.approx(10 * math.log10(1e8 / error))
    assert metrics.psnr_fixed_peak(original, decoded, peak=100) == pytest.approx(
        10 * math.log10(1e4 / error)
    )


def test_psnr_per_band_is_the_mean_over_bands_that_have_one(pair):
    original, decoded = (scene.copy() for scene in pair)
    valid = np.ones(original.shape, bool)
    original[2], valid[4] = 17, False
    kept = [
        metrics.psnr(original[band : band + 1], decoded[band : band + 1])
        for band in (0, 1, 3, 5, 6)
    ]
    assert metrics.psnr_per_band(original, decoded, valid) == pytest.approx(np.mean(kept))
    assert math.isnan(metrics.psnr_per_band(original, decoded, np.zeros_like(valid)))


def test_psnr_is_infinite_when_lossless_and_undefined_without_samples(pair):
    original, decoded = pair
    assert metrics.psnr(original, original) == math.inf
    assert metrics.psnr_fixed_peak(original, original) == math.inf
    assert metrics.psnr_per_band(original, original) == math.inf
    empty = Quality.of(original, decoded, np.zeros(original.shape[1:], bool))
    assert empty == Quality()
    assert all(
        math.isnan(value)
        for value in (empty.mse, empty.rmse, empty.psnr_db, empty.mean_sam_deg, empty.range)
    )


def test_psnr_of_a_constant_scene_with_errors_is_minus_infinity():
    flat = np.full((2, 3, 3), 5, np.uint8)
    assert metrics.psnr(flat, flat + np.uint8(1)) == -math.inf


def test_spectral_angle_is_that_between_the_spectra():
    original = np.array([[[1.0, 0.0, 3.0]], [[0.0, 2.0, 3.0]]])
    decoded = np.array([[[1.0, 5.0, 6.0]], [[1.0, 0.0, 6.0]]])
    assert metrics.mean_sam_deg(original, decoded) == pytest.approx((45 + 90 + 0) / 3)


def test_opposite_spectra_are_180_degrees_apart():
    spectrum = np.array([3.0, -1.0, 2.0]).reshape(3, 1, 1)
    assert metrics.mean_sam_deg(spectrum, -2 * spectrum) == pytest.approx(180)


def test_pixels_with_a_spectrum_of_norm_zero_have_no_angle():
    original = np.array([[[0.0, 1.0, 1.0]], [[0.0, 0.0, 0.0]]])
    decoded = np.array([[[3.0, 0.0, 1.0]], [[1.0, 0.0, 1.0]]])
    measured = Quality.of(original, decoded)
    assert measured.pixels == 1
    assert measured.mean_sam_deg == pytest.approx(45)


def test_angles_too_small_for_a_cosine_are_still_measured():
    angle = 1e-9
    original = np.array([1.0, 0.0]).reshape(2, 1, 1)
    decoded = np.array([math.cos(angle), math.sin(angle)]).reshape(2, 1, 1)
    assert Quality.of(original, decoded).angle == pytest.approx(angle, rel=1e-6)


def test_spectra_that_differ_only_in_brightness_have_no_angle_between_them(rng):
    original = rng.uniform(1, 5000, (30, 40, 40))
    measured = Quality.of(original, original * rng.uniform(0.2, 3, (40, 40)))
    assert measured.angle / measured.pixels == pytest.approx(0, abs=1e-7)


def test_what_is_not_valid_changes_nothing(pair):
    original, decoded = (scene.astype(np.float32) for scene in pair)
    valid = np.ones(original.shape, bool)
    valid[3], valid[:, 5:9, 2] = False, False
    clean = Quality.of(original, decoded, valid)
    for scene, junk in ((original, np.nan), (decoded, np.inf), (decoded, np.nan)):
        scene[~valid] = junk
        assert Quality.of(original, decoded, valid) == clean


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize("masked", [False, True])
def test_scenes_that_are_equal_measure_the_same_in_every_type(rng, dtype, masked):
    scene = rng.integers(-3, 4, (5, 30, 20)).astype(dtype)
    scene[:, :4] = 0
    valid = np.ones(scene.shape, bool)
    if masked:
        valid[2], valid[:, 20:, 3] = False, False
    wide = scene.astype(np.float64)
    measured = Quality.of(scene, scene.copy(), valid)
    assert measured == Quality.of(wide, wide.copy(), valid)
    assert measured.max_error == measured.mean_sam_deg == 0


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_equal_scenes_with_samples_that_are_not_finite_have_no_quality(rng, odd):
    scene = rng.uniform(1, 2, (3, 8, 8)).astype(np.float32)
    scene[1, 2, 3] = odd
    assert math.isnan(Quality.of(scene, scene.copy()).max_error)


def test_a_mask_of_pixels_covers_all_bands(pair):
    original, decoded = pair
    pixels = np.ones(original.shape[1:], bool)
    pixels[:10] = False
    whole = np.broadcast_to(pixels, original.shape)
    assert Quality.of(original, decoded, pixels) == Quality.of(original, decoded, whole)
    assert Quality.of(original, decoded, pixels).samples == 7 * 30 * 30


@pytest.mark.parametrize("place", [(0, 0, 0), (6, 39, 29)])
@pytest.mark.parametrize("damaged", [0, 1])
def test_a_valid_nan_is_never_left_out(pair, place, damaged):
    scenes = [scene.astype(np.float64) for scene in pair]
    scenes[damaged][place] = np.nan
    measured = Quality.of(*scenes)
    assert math.isnan(measured.mse)
    assert math.isnan(measured.max_error)
    assert math.isnan(measured.psnr_db)
    assert math.isnan((measured + Quality.of(*pair)).max_error)
    assert math.isnan((Quality.of(*pair) + measured).max_error)


def test_tiles_add_up_to_the_scene_in_any_order(pair):
    original, decoded = pair
    parts = [
        Quality.of(original[:, r : r + 16, c : c + 16], decoded[:, r : r + 16, c : c + 16])
        for r in range(0, 40, 16)
        for c in range(0, 30, 16)
    ]
    whole = Quality.of(original, decoded)
    merged = Quality.merge(parts)
    # Sums of integers are exact below 2**53.
    assert (merged.samples, merged.squared_error) == (whole.samples, whole.squared_error)
    assert merged.angle == pytest.approx(whole.angle, rel=1e-12)
    assert merged.psnr_db == whole.psnr_db
    assert all(
        Quality.merge(order) == merged for order in itertools.permutations(parts, len(parts))
    )
    assert Quality.merge([]) == Quality()
    assert Quality() + whole == whole


@given(st.lists(st.floats(0, 1e30), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_the_parts_changes_no_bit(sums, random):
    parts = [Quality(1, value, value, 1, value, -value, value) for value in sums]
    shuffled = random.sample(parts, len(parts))
    assert Quality.merge(shuffled) == Quality.merge(parts)


def test_results_do_not_depend_on_the_memory_layout(pair):
    original, decoded = pair
    pixel_interleaved = np.ascontiguousarray(original.transpose(1, 2, 0)).transpose(2, 0, 1)
    assert Quality.of(pixel_interleaved, decoded) == Quality.of(original, decoded)


def test_blocks_cover_scenes_larger_than_one_block(rng, monkeypatch):
    monkeypatch.setattr(metrics, "BLOCK", 64)
    original = rng.integers(0, 1000, (5, 9, 31)).astype(np.uint16)
    decoded = rng.integers(0, 1000, (5, 9, 31)).astype(np.uint16)
    measured = Quality.of(original, decoded)
    assert measured.samples == original.size
    assert measured.squared_error == ((original.astype(np.int64) - decoded) ** 2).sum()


def test_scenes_of_no_pixels_measure_nothing():
    for shape in ((3, 0, 4), (3, 4, 0), (0, 4, 4)):
        assert Quality.of(np.zeros(shape), np.zeros(shape)) == Quality()


def test_shapes_that_do_not_fit_are_named():
    scene = np.zeros((3, 4, 5))
    with pytest.raises(ValueError, match=r"\(3, 4, 5\).*\(3, 5, 4\)"):
        Quality.of(scene, np.zeros((3, 5, 4)))
    with pytest.raises(ValueError, match="bands, rows, cols"):
        metrics.mse(scene[0], scene[0])
    with pytest.raises(ValueError, match="broadcast"):
        metrics.mse(scene, scene, np.ones((5, 4), bool))
    with pytest.raises(ValueError, match="booleans"):
        metrics.mse(scene, scene, np.ones((4, 5), np.uint8))


def test_rates_count_bytes_or_parameters():
    assert metrics.bpppb(1000, 16_000) == 0.5
    # Eq. 5 on Jasper Ridge: 600 float32 numbers for 100 x 100 pixels of 224 bands.
    assert metrics.bpppb_eq5(600, 32, 100 * 100, 224) == pytest.approx(0.00857, rel=1e-3)


def test_a_real_scene_and_its_rounding(scenes: Path):
    original = np.moveaxis(np.load(scenes / "jasper_ridge_198_int16.npy"), -1, 0)
    decoded = np.floor_divide(original, 8) * 8 + 4
    measured = Quality.of(original, decoded.astype(np.int16))
    assert measured.max_error == 4
    assert measured.range == 5437 + 448
    error = np.mean((original.astype(float) - decoded) ** 2)
    assert measured.psnr_db == pytest.approx(10 * math.log10(5885**2 / error))
