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
    "CELL_BITS",
    "COMBS",
    "LARGEST_WIDTH",
    "LEVELS",
    "ONE",
    "PRECISION",
    "REACH",
    "RISE_BITS",
    "SHAPES",
    "distribution",
    "distributions",
    "quantiles",
    "scale",
    "stretch",
]

PRECISION = 28
"""Shares of the symbols sum to ``2**PRECISION``."""

ONE = 1 << PRECISION

SHAPES = 3
"""Normal, half normal and half Laplace, Laplace."""

LEVELS = 132
"""Scales are ``2**(level / 6 - 3)`` steps of the quantiser, the level below this."""

COMBS = (0, 2, 14, 44)
"""Quarters of a count that a band's histogram is dampened by; 0 leaves the axis as it is."""

_GRID = 8
"""Standard deviations that the tables reach to, on either side."""
_CELLS = 64
"""Cells of a table per standard deviation."""
CELL_BITS = 14
"""Bits of the places within a cell."""
REACH = 2 * _GRID * _CELLS << CELL_BITS
"""Where tables end, in parts of cells."""
RISE_BITS = 24
"""Bits of how far a table rises within a cell."""
_NORMAL = (4611123102832306901, 4610560255948314624)
"""``exp(-h**2 / 2)`` and ``exp(-h**2)`` of a cell's width ``h``, times ``2**62``."""
_LAPLACE = 4510898844149047330
"""``exp(-sqrt(2) h)``, times ``2**62``."""
_ROOTS = (8192, 9195, 10321, 11585, 13004, 14596)
"""Scales of the lowest octave, times ``2**16``."""
_BOX = 6
"""Values on either side that a histogram is smoothed over, three times."""
_WIDTH = 2 * _BOX + 1
_REACH = 3 * _BOX
_WEIGHT = float(_WIDTH**3)
"""Of a value in three sums over so many of them."""
LARGEST_WIDTH = 64 * 64
"""Most 64ths of a step that a value takes on an axis: distances stay below ``2**30``."""

Table = npt.NDArray[np.int64]


@functools.cache
def distributions() -> npt.NDArray[np.int32]:
    """Distribution functions, shape (SHAPES, 2 * 8 * 64 + 2), times `ONE`; the last is doubled."""
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


def distribution(shape: int, symbols: int) -> tuple[Table, int]:
    """A table for so many symbols, and the least share of each.

    Parameters
    ----------
    shape, symbols : int

    Returns
    -------
    ndarray of int64
        Of each cell of the distribution function where it begins, times ``2**RISE_BITS``, plus its
        rise, after the least shares of all symbols, which are a 2**14th of all, are taken away.
    int
        That of each symbol, one at least.
    """
    floor = max((ONE >> 14) // symbols, 1)
    return _cells(distributions()[shape], ONE - symbols * floor), floor


@njit(cache=True, nogil=True, error_model="numpy")
def _cells(whole: Any, kept: int) -> Any:
    """Where the cells of a distribution begin, and how far it rises within, cut to so much."""
    cells = np.empty(len(whole) - 1, np.int64)
    for i in range(len(cells)):
        begin, end = whole[i] * kept >> PRECISION, whole[i + 1] * kept >> PRECISION
        cells[i] = (begin << RISE_BITS) + end - begin
    return cells


@functools.cache
def quantiles() -> Table:
    """Where `distributions` reach each 1024th of `ONE`, and how far the next is, (SHAPES, 1024).

    In parts of cells; the former times ``2**32``.
    """
    ends = np.arange(1025) << (PRECISION - 10)
    cells = np.arange(len(distributions()[0]) - 1) << CELL_BITS
    reached = [np.interp(ends, row[:-1], cells) for row in distributions()]
    whole = np.array(reached).astype(np.int64)
    return np.ascontiguousarray((whole[:, :-1] << 32) + np.diff(whole))


def scale(level: npt.NDArray[np.integer[Any]]) -> Table:
    """Scales of levels, in ``2**-16`` steps."""
    steps: Table = np.array(_ROOTS, np.int64)[level % 6] << (level // 6)
    return steps


@njit(cache=True, nogil=True, error_model="numpy")
def stretch(counts: Any, dampening: int, axis: Any) -> None:
    """The axis of a band whose values were seen so often.

    Parameters
    ----------
    counts : ndarray of int32, shape (values,)
    dampening : int
        Quarters of a count, above zero; see `COMBS`.
    axis : ndarray of int32, shape (values + 1,)
        Set to where each value begins, in 64ths of a step, increasing from 0.
    """
    values = len(counts)
    gains, room = np.empty(values, np.int64), np.empty((2, values + 3 * _WIDTH), np.int64)
    _gain(counts, _smooth(counts, room), dampening, gains)
    _widen(gains, _smooth(gains, room), axis)
    axis[0] = 0
    for i in range(values):
        axis[i + 1] += axis[i]


@njit(cache=True, nogil=True, error_model="numpy")
def _gain(counts: Any, smooth: Any, dampening: int, gains: Any) -> None:
    """How much more often values were seen than those around, times ``2**16``."""
    for i in range(len(counts)):
        often = 65536.0 * _WEIGHT * (4.0 * counts[i] + dampening)
        gains[i] = np.int64(often / (4.0 * smooth[i] + _WEIGHT * dampening))


@njit(cache=True, nogil=True, error_model="numpy")
def _widen(gains: Any, smooth: Any, axis: Any) -> None:
    """Widths of the values, each in the place after its own."""
    for i in range(len(gains)):
        width = 64.0 * _WEIGHT * gains[i] / smooth[i]
        axis[i + 1] = np.int32(min(max(width, 1.0), LARGEST_WIDTH))


@njit(cache=True, nogil=True, error_model="numpy")
def _smooth(values: Any, room: Any) -> Any:
    """Three times the sums of so many neighbours on either side; beyond the ends lie mirrors.

    Sums over so many are differences of sums over all, and three of them can be taken at once, as
    mirrors remain mirrors.
    """
    size, sums, smooth = len(values), room[0], room[1]
    first = _WIDTH * 3
    for i in range(size):
        sums[first - _REACH + i] = values[i]
    for i in range(_REACH):
        # Mirrors of mirrors, where there are few values.
        low, high = i % (2 * size), (size - 1 - i) % (2 * size)
        sums[first - _REACH - 1 - i] = values[min(low, 2 * size - 1 - low)]
        sums[first - _REACH + size + i] = values[min(high, 2 * size - 1 - high)]
    once, twice, thrice = np.int64(0), np.int64(0), np.int64(0)
    for i in range(first - 2 * _REACH):
        sums[i] = 0
    for i in range(first - 2 * _REACH, len(sums)):
        once += sums[i]
        twice += once
        thrice += twice
        sums[i] = thrice
    for i in range(size):
        inner = sums[i + 2 * _WIDTH] - sums[i + _WIDTH]
        smooth[i] = sums[i + 3 * _WIDTH] - sums[i] - 3 * inner
    return smooth
