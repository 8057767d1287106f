"""Arrays in few bytes, to the last bit."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xhsinr.entropy.cursor import Cursor
from xhsinr.errors import DamagedSidecarError
from xhsinr.sidecar.vectors import DTYPES, read_array, write_array


def back(array: np.ndarray) -> bytes:
    content = write_array(array)
    cursor = Cursor(content, "an array")
    found = read_array(cursor, 1 << 30)
    cursor.end()
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()
    return content


@given(hnp.arrays(st.sampled_from(DTYPES), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)))
def test_any_array_comes_back(array: np.ndarray) -> None:
    back(array)


@given(hnp.arrays(np.int64, st.integers(1, 40)), st.integers(0, 10))
def test_decimals_come_back(whole: np.ndarray, digits: int) -> None:
    back(whole / 10.0**digits)


@pytest.mark.parametrize("digits", [1, 2, 3, 4])
def test_wavelengths_and_widths_take_three_bytes_a_band(digits: int) -> None:
    rng = np.random.default_rng(digits)
    # Detectors are linear but for a wavelength-dependent term, and calibrated to a tenth.
    wavelengths = np.linspace(400, 2500, 224) + np.sin(np.arange(224) / 20) * 5
    wavelengths = (wavelengths + rng.normal(0, 0.02, 224)).round(digits)
    widths = (9 + np.sin(np.arange(224) / 30) + rng.normal(0, 0.02, 224)).round(digits)
    assert len(back(wavelengths)) + len(back(widths)) <= 3 * 224


def test_floats_of_32_bits_that_became_64_take_few_bytes() -> None:
    rng = np.random.default_rng(0)
    values = (np.linspace(400, 2500, 224) + rng.normal(0, 0.1, 224)).astype(np.float32)
    assert len(back(values.astype(np.float64))) < 2 * 224


@given(st.binary(max_size=80))
def test_any_bytes_are_an_array_or_damage(content: bytes) -> None:
    with contextlib.suppress(DamagedSidecarError):
        assert read_array(Cursor(content, "an array"), 1 << 20).nbytes <= 1 << 20
