"""The wavelet: perfect reconstruction at any size, gains as measured, the same bits for ever."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xhsinr.transform.wavelet import LEVELS, analyse, band_shape, gain, smooth_columns, synthesise

SIDES = st.integers(1, 40)


@given(SIDES, SIDES, st.integers(0, 99))
def test_any_size_comes_back(rows, cols, seed):
    plane = np.random.default_rng(seed).normal(0, 1000, (rows, cols))
    bands = analyse(plane)
    assert [band.shape for band in bands] == [band_shape(rows, cols, 1, o) for o in range(4)]
    np.testing.assert_allclose(synthesise(*bands), plane, atol=1e-9)


@given(SIDES, SIDES, st.integers(0, LEVELS))
def test_smooth_columns_are_a_synthesis_without_details(rows, cols, levels):
    coarse = np.random.default_rng(0).normal(0, 1, band_shape(rows, cols, levels, 0))
    plane = coarse
    for level in range(levels, 0, -1):
        plane = synthesise(plane, *(np.zeros(band_shape(rows, cols, level, o)) for o in (1, 2, 3)))
    found = smooth_columns(rows, levels).T @ coarse @ smooth_columns(cols, levels)
    np.testing.assert_allclose(found, plane, atol=1e-9)


@given(SIDES, SIDES)
def test_bands_of_all_levels_fill_the_plane(rows, cols):
    total = np.prod(band_shape(rows, cols, LEVELS, 0))
    for level in range(1, LEVELS + 1):
        total += sum(np.prod(band_shape(rows, cols, level, o)) for o in (1, 2, 3))
    assert total == rows * cols


@pytest.mark.parametrize("level", range(1, LEVELS + 1))
@pytest.mark.parametrize("orientation", range(4))
def test_gain_is_the_norm_of_what_a_coefficient_adds(level, orientation):
    shapes = [band_shape(256, 256, level, o) for o in range(4)]
    bands = [np.zeros(shape) for shape in shapes]
    bands[orientation][tuple(side // 2 for side in shapes[orientation])] = 1.0
    plane = synthesise(*bands)
    for finer in range(level - 1, 0, -1):
        blanks = [np.zeros(band_shape(256, 256, finer, o)) for o in (1, 2, 3)]
        plane = synthesise(plane, *blanks)
    assert np.linalg.norm(plane) == pytest.approx(gain(level, orientation), rel=1e-6)


def test_a_constant_has_no_details():
    coarse, *details = analyse(np.full((16, 12), 3.0))
    np.testing.assert_allclose(coarse, 6.0, rtol=1e-6)
    for band in details:
        np.testing.assert_allclose(band, 0.0, atol=1e-8)
