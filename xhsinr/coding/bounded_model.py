"""What values are expected: distributions around a prediction, in integers.

A value is expected within a few *scales* of its prediction; how that falls off is one of three
shapes, normal, Laplace's, and half of each. Distribution functions are tables of `F`, made by
integer recurrences, so that every machine has the same.

Sensors whose counts are multiplied by a gain leave combs in the histogram of a band: values that
never come, and values that come twice as often as their neighbours. The *axis* of such a band is
stretched where values were seen more often than smoothly, and shrunk where less, which multiplies
what is expected of each value.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = [
    "COMBS",
    "LEVELS",
    "ONE",
    "PRECISION",
    "SHAPES",
    "distributions",
    "inverses",
    "quantile",
    "scale",
    "share",
    "stretch",
]

PRECISION = 28
"""Shares of the symbols sum to ``2**PRECISION``."""

ONE = 1 << PRECISION

SHAPES = 3
"""Normal, half normal and half Laplace, Laplace."""

LEVELS = 132
"""Scales are ``2**(level / 6 - 3)`` steps of the quantiser, the level below this."""

COMBS = (0, 5, 14, 44)
"""Quarters of a count that a band's histogram is dampened by; 0 leaves the axis as it is."""

_GRID = 8
"""Standard deviations that the tables reach to, on either side."""
_CELLS = 256
"""Cells of a table per standard deviation."""
_NORMAL = (4611650834189516459, 4611615650220078421)
"""``exp(-h**2 / 2)`` and ``exp(-h**2)`` of a cell's width ``h``, times ``2**62``."""
_LAPLACE = 4586280051081533910
"""``exp(-sqrt(2) h)``, times ``2**62``."""
_ROOTS = (8192, 9195, 10321, 11585, 13004, 14596)
"""Scales of the lowest octave, times ``2**16``."""
_BOX = 6
"""Values on either side that a histogram is smoothed over, three times."""
_WIDTH = 2 * _BOX + 1
_LARGEST_STRETCH = 64 * 64
"""Most 64ths of a step that a value takes on an axis: distances stay below ``2**30``."""

Table = npt.NDArray[np.int64]


@functools.cache
def distributions() -> npt.NDArray[np.int32]:
    """Distribution functions, shape (SHAPES, 2 * 8 * 256 + 2), times `ONE`; the last is doubled."""
    half = _GRID * _CELLS
    density, falls, fall = 1 << 62, *_NORMAL
    tail = 1 << 62
    densities, tails = [density], [tail >> 1]
    for _ in range(half):
        density, falls = density * falls >> 62, falls * fall >> 62
        tail = tail * _LAPLACE >> 62
        densities.append(density)
        tails.append(tail >> 1)
    # The trapezoidal rule; its error on a normal density is far below a unit.
    beyond = [0]
    for outer, inner in zip(densities[:0:-1], densities[-2::-1], strict=True):
        beyond.append(beyond[-1] + ((outer + inner) >> 1))
    normal = [value * (ONE >> 1) // beyond[-1] for value in beyond]
    laplace = [value >> (62 - PRECISION) for value in tails[::-1]]
    lower = [normal, [(a + b) >> 1 for a, b in zip(normal, laplace, strict=True)], laplace]
    table = np.zeros((SHAPES, 2 * half + 2), np.int32)
    table[:, : half + 1] = lower
    table[:, 0] = 0
    table[:, half:-1] = ONE - table[:, half::-1]
    table[:, -1] = ONE
    return table


@functools.cache
def inverses() -> Table:
    """Where `distributions` reach each 1024th of `ONE`, in cells, shape (SHAPES, 1025)."""
    reached = [np.searchsorted(row, np.arange(1025) << (PRECISION - 10)) for row in distributions()]
    return np.array(reached, np.int64)


def scale(level: npt.NDArray[np.integer[Any]]) -> Table:
    """Scales of levels, in ``2**-16`` steps."""
    steps: Table = np.array(_ROOTS, np.int64)[level % 6] << (level // 6)
    return steps


@njit(inline="always")
def share(distances: Any, inverse: Any, table: Any) -> Any:
    """Distribution function at a distance from the prediction.

    Parameters
    ----------
    distances : int
        In 64ths of a step, below ``2**30`` in magnitude.
    inverse : int
        ``2**44`` over the scale in ``2**-16`` steps.
    table : ndarray of int32
        One of `distributions`.

    Returns
    -------
    int
        From 0 to `ONE`.
    """
    z = (distances * inverse >> 14) + (8 << 20)
    if z <= 0:
        return 0
    if z >= 16 << 20:
        return ONE
    cell = z >> 12
    return table[cell] + ((table[cell + 1] - table[cell]) * (z & 4095) >> 12)


@njit(inline="always")
def quantile(target: Any, spread: Any, table: Any) -> Any:
    """Roughly where `share` reaches a target from 0 to ``ONE - 1``, in 64ths of a step.

    ``spread`` is the scale in ``2**-16`` steps, ``table`` one of `inverses`.
    """
    cell = target >> (PRECISION - 10)
    low = table[cell]
    z = (low << 12) + ((table[cell + 1] - low) * (target & ((1 << (PRECISION - 10)) - 1)) >> 6)
    return ((z - (8 << 20)) * (spread >> 4)) >> 26


@njit(cache=True, nogil=True, error_model="numpy")
def stretch(counts: Any, dampening: int, axis: Any) -> None:
    """The axis of a band whose values were seen so often.

    Parameters
    ----------
    counts : ndarray of int32, shape (values,)
    dampening : int
        Quarters of a count, above zero; see `COMBS`.
    axis : ndarray of int64, shape (values + 1,)
        Set to where each value begins, in 64ths of a step, increasing from 0.
    """
    values = len(counts)
    gains, smooth = np.empty(values), np.empty(values)
    one, two = np.empty(values), np.empty(values)
    for i in range(values):
        smooth[i] = counts[i]
    _smooth(smooth, one, two)
    for i in range(values):
        gains[i] = (4.0 * counts[i] + dampening) / (4.0 * smooth[i] + dampening)
        smooth[i] = gains[i]
    _smooth(smooth, one, two)
    for i in range(values):
        # Floats to whole numbers at once: sums of these are exact in any order.
        axis[i + 1] = min(max(int(gains[i] / smooth[i] * 64.0), 1), _LARGEST_STRETCH)
    axis[0] = 0
    for i in range(values):
        axis[i + 1] += axis[i]


@njit(cache=True, nogil=True, error_model="numpy")
def _smooth(values: Any, one: Any, two: Any) -> None:
    """Three running means in place, of a fixed width, zeros beyond the ends.

    Each follows the one before at once, a window behind: their sums wait for nothing but
    themselves.
    """
    n, lag = len(values), _BOX + 1
    first = _mean_some(values, one, _head(values), 0, min(2 * lag, n))
    second = _mean_some(one, two, _head(one), 0, min(lag, n))
    third = _head(two)
    for i in range(2 * lag, n):
        j, k = i - lag, i - 2 * lag
        if i + _BOX < n:
            first += values[i + _BOX]
        second += one[j + _BOX]
        third += two[k + _BOX]
        one[i], two[j] = first / _WIDTH, second / _WIDTH
        first -= values[i - _BOX]
        second -= one[j - _BOX]
        values[k] = third / _WIDTH
        if k >= _BOX:
            third -= two[k - _BOX]
    _mean_some(one, two, second, max(min(lag, n), n - lag), n)
    _mean_some(two, values, third, max(0, n - 2 * lag), n)


@njit(cache=True, nogil=True, error_model="numpy")
def _head(values: Any) -> float:
    """What a running sum begins with."""
    total = 0.0
    for i in range(min(_BOX, len(values))):
        total += values[i]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _mean_some(values: Any, means: Any, total: float, start: int, stop: int) -> float:
    """Running means from some place to another; returns the sum at the end."""
    for i in range(start, stop):
        if i + _BOX < len(values):
            total += values[i + _BOX]
        means[i] = total / _WIDTH
        if i >= _BOX:
            total -= values[i - _BOX]
    return total
