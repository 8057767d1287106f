"""The 9/7 wavelet of Cohen, Daubechies and Feauveau, by lifting, the same bits on every machine.

Lifting steps after Daubechies and Sweldens (1998), with whole-sample symmetric extension, in
IEEE float64 and in the order in which they stand here: compiled without ``fastmath``, nothing is
reordered or fused. Filters are scaled so that they are nearly orthonormal, and `gain` has what is
left: an error of ``e`` in a coefficient is an error of ``gain * e`` in the plane.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = [
    "HIGH",
    "LEVELS",
    "LOW",
    "STEPS",
    "analyse",
    "band_shape",
    "gain",
    "smooth_columns",
    "synthesise",
]

LEVELS = 4
"""Levels of a plane's decomposition, whatever its size."""

Plane = npt.NDArray[np.float64]

_PREDICT_1, _UPDATE_1 = -1.586134342059924, -0.052980118572961
_PREDICT_2, _UPDATE_2 = 0.882911075530934, 0.443506852043971
STEPS = ((_PREDICT_1, True), (_UPDATE_1, False), (_PREDICT_2, True), (_UPDATE_2, False))
"""Lifting steps of the analysis: the factor, and whether odd samples are what it changes."""

LOW, HIGH = 1.1496043988602411, 0.8698644516247813
"""What even and odd samples are multiplied by in the end."""

# Norms of the synthesis functions of each level, in one dimension.
_LOW_NORMS = (1.0, 0.9914401935, 1.0151859281, 1.0257158584, 1.0288212938)
_HIGH_NORMS = (1.0, 1.0200176289, 0.9834713041, 1.0196213942, 1.0368802098)


def band_shape(rows: int, cols: int, level: int, orientation: int) -> tuple[int, int]:
    """Shape of a band of a plane's decomposition; a side of a small plane may be 0.

    Orientations are 0 the coarse image, 1 high along columns, 2 high along rows, 3 along both.
    """
    for _ in range(level - 1):
        rows, cols = -(-rows // 2), -(-cols // 2)
    low_rows, low_cols = -(-rows // 2), -(-cols // 2)
    if level == 0:
        return rows, cols
    return (
        rows - low_rows if orientation & 2 else low_rows,
        cols - low_cols if orientation & 1 else low_cols,
    )


def gain(level: int, orientation: int) -> float:
    """Norm of what one coefficient of a band adds to the plane."""
    down = _HIGH_NORMS[level] if orientation & 2 else _LOW_NORMS[level]
    across = _HIGH_NORMS[level] if orientation & 1 else _LOW_NORMS[level]
    return down * across


@njit(cache=True, nogil=True)
def _lift(even: Any, odd: Any, factor: float, into_odd: bool) -> None:
    """Add ``factor`` times both neighbours to the odd samples, or to the even ones."""
    n, m = len(even), len(odd)
    if into_odd:
        for i in range(min(m, n - 1)):
            odd[i] += factor * (even[i] + even[i + 1])
        if m == n:
            odd[m - 1] += factor * (even[n - 1] + even[n - 1])
    else:
        even[0] += factor * (odd[0] + odd[0])
        for i in range(1, m):
            even[i] += factor * (odd[i - 1] + odd[i])
        if n > m:
            even[n - 1] += factor * (odd[m - 1] + odd[m - 1])


@njit(cache=True, nogil=True)
def _lift_rows(even: Any, odd: Any, factor: float, into_odd: bool) -> None:
    """`_lift` down the columns of two arrays of rows."""
    n, m, cols = len(even), len(odd), even.shape[1]
    if into_odd:
        for i in range(m):
            target, first, second = odd[i], even[i], even[min(i + 1, n - 1)]
            for x in range(cols):
                target[x] += factor * (first[x] + second[x])
    else:
        for i in range(n):
            target, first, second = even[i], odd[max(i - 1, 0)], odd[min(i, m - 1)]
            for x in range(cols):
                target[x] += factor * (first[x] + second[x])


@njit(cache=True, nogil=True)
def analyse(plane: Plane) -> tuple[Plane, Plane, Plane, Plane]:
    """One level: the four bands of a plane, by orientation.

    Parameters
    ----------
    plane : ndarray of float64, shape (rows, cols)
    """
    rows, cols = plane.shape
    low_rows, low_cols = (rows + 1) // 2, (cols + 1) // 2
    even, odd = plane[0::2].copy(), plane[1::2].copy()
    if rows > 1:
        _lift_rows(even, odd, _PREDICT_1, True)
        _lift_rows(even, odd, _UPDATE_1, False)
        _lift_rows(even, odd, _PREDICT_2, True)
        _lift_rows(even, odd, _UPDATE_2, False)
    down_low, down_high = (LOW, HIGH) if rows > 1 else (1.0, 1.0)
    across_low, across_high = (LOW, HIGH) if cols > 1 else (1.0, 1.0)
    coarse = np.empty((low_rows, low_cols))
    across = np.empty((low_rows, cols - low_cols))
    down = np.empty((rows - low_rows, low_cols))
    both = np.empty((rows - low_rows, cols - low_cols))
    for high in range(2):
        source, scale = (odd, down_high) if high else (even, down_low)
        for y in range(len(source)):
            low = down[y] if high else coarse[y]
            detail = both[y] if high else across[y]
            row = source[y]
            for x in range(low_cols):
                low[x] = scale * row[2 * x]
            for x in range(cols - low_cols):
                detail[x] = scale * row[2 * x + 1]
            if cols > 1:
                _lift(low, detail, _PREDICT_1, True)
                _lift(low, detail, _UPDATE_1, False)
                _lift(low, detail, _PREDICT_2, True)
                _lift(low, detail, _UPDATE_2, False)
            for x in range(low_cols):
                low[x] *= across_low
            for x in range(cols - low_cols):
                detail[x] *= across_high
    return coarse, across, down, both


@njit(cache=True, nogil=True)
def synthesise(coarse: Plane, across: Plane, down: Plane, both: Plane) -> Plane:
    """The plane whose bands `analyse` gave, up to rounding, as a new array."""
    low_rows, low_cols = coarse.shape
    rows, cols = low_rows + len(down), low_cols + across.shape[1]
    even, odd = np.empty((low_rows, cols)), np.empty((rows - low_rows, cols))
    down_low, down_high = (1.0 / LOW, 1.0 / HIGH) if rows > 1 else (1.0, 1.0)
    across_low, across_high = (1.0 / LOW, 1.0 / HIGH) if cols > 1 else (1.0, 1.0)
    low, detail = np.empty(low_cols), np.empty(cols - low_cols)
    for high in range(2):
        target, scale = (odd, down_high) if high else (even, down_low)
        for y in range(len(target)):
            first = down[y] if high else coarse[y]
            second = both[y] if high else across[y]
            for x in range(low_cols):
                low[x] = scale * across_low * first[x]
            for x in range(cols - low_cols):
                detail[x] = scale * across_high * second[x]
            if cols > 1:
                _lift(low, detail, -_UPDATE_2, False)
                _lift(low, detail, -_PREDICT_2, True)
                _lift(low, detail, -_UPDATE_1, False)
                _lift(low, detail, -_PREDICT_1, True)
            row = target[y]
            for x in range(low_cols):
                row[2 * x] = low[x]
            for x in range(cols - low_cols):
                row[2 * x + 1] = detail[x]
    plane = np.empty((rows, cols))
    if rows > 1:
        _lift_rows(even, odd, -_UPDATE_2, False)
        _lift_rows(even, odd, -_PREDICT_2, True)
        _lift_rows(even, odd, -_UPDATE_1, False)
        _lift_rows(even, odd, -_PREDICT_1, True)
    # Sample by sample: whole arrays would be compiled with words for shapes that differ.
    for y in range(rows):
        row = odd[y >> 1] if y & 1 else even[y >> 1]
        for x in range(cols):
            plane[y, x] = row[x]
    return plane


def smooth_columns(side: int, levels: int) -> npt.NDArray[np.float64]:
    """What each sample of a column becomes without its finest levels, shape (samples, side)."""
    sides = [band_shape(side, 1, level, 0)[0] for level in range(levels + 1)]
    columns = np.empty((sides[-1], side))
    for column, unit in zip(columns, np.eye(sides[-1]), strict=True):
        plane = unit[:, None]
        for rows in reversed(sides[:-1]):
            down = np.zeros((rows - len(plane), 1))
            plane = synthesise(plane, plane[:, :0], down, down[:, :0])
        column[:] = plane[:, 0]
    return columns
