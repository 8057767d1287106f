"""The odds of a row of wavelet coefficients: what is decoded around them, through the prior.

The coefficients of a band come in four groups, by whether row and column are even (both, none,
the row, the column). All coefficients of a group are expected from what came before the group: none
waits for another.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from xhsinr.entropy.rans import ZERO
from xhsinr.network.prior import (
    FIXED,
    HIDDEN,
    INPUTS,
    LARGEST_UNIT,
    ODDS_LIMIT,
    Prior,
    odds_table,
)

__all__ = [
    "FIRST_STICKS",
    "MARGIN",
    "SEEN",
    "Neighbours",
    "Network",
    "Room",
    "expect_row",
    "fixed_inputs",
    "late_share",
    "share_of",
]

MARGIN = 2
"""Zeros around the magnitudes of a band."""

SEEN = 65535
"""Magnitudes are clipped to it where they predict others."""

FIRST_STICKS = 8
"""Decisions whose odds `expect_row` gives; the others are left to `late_share`."""

_ONE, _FOUR = np.float32(1), np.float32(4)

Magnitudes = npt.NDArray[np.float32]


class Network(NamedTuple):
    """A prior as compiled code takes it."""

    weights_1: Any
    weights_2: Any
    bias_2: Any
    weights_3: Any
    bias_3: Any
    first_sticks: Any
    odds: Any

    @classmethod
    def of(cls, prior: Prior) -> Network:
        """The arrays of a prior, and the tables."""
        return cls(
            np.ascontiguousarray(prior.weights_1[:INPUTS]),
            prior.weights_2,
            prior.bias_2,
            prior.weights_3,
            prior.bias_3,
            np.ascontiguousarray(prior.weights_3[:, :FIRST_STICKS]),
            odds_table(),
        )


class Neighbours(NamedTuple):
    """Where a band is, and what is decoded around it.

    Attributes
    ----------
    level : ndarray of float32, shape (components, orientations, rows + 4, cols + 4)
        Magnitudes of this level with their margin, zero where not yet decoded.
    parent : ndarray of float32, the same a level up; no component if there is none.
    earlier : ndarray of float32, shape (rows + 4, cols + 4)
        Sum over the components before the last three.
    component, orientation : int
        Index into `level`.
    expected : ndarray of float64, shape (rows, cols), or (0, 0)
        What was predicted of the coefficients, in steps.
    bias : ndarray of float32, shape (4, HIDDEN)
        Of the first layer, for each group.
    """

    level: Magnitudes
    parent: Magnitudes
    earlier: npt.NDArray[np.float32]
    component: int
    orientation: int
    expected: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float32]


class Room(NamedTuple):
    """Where a row of coefficients is worked on."""

    row: Any
    total: Any
    places: Any
    inputs: Any
    first: Any
    hidden: Any
    sticks: Any

    @classmethod
    def of(cls, cols: int) -> Room:
        """Room for a row of a band."""
        count = (cols + 1) // 2 + 1
        return cls(
            np.empty((INPUTS, cols), np.float32),
            np.empty(cols, np.float32),
            np.empty(count, np.int64),
            np.zeros((count, INPUTS), np.float32),
            np.empty((count, HIDDEN), np.float32),
            np.empty((count, HIDDEN), np.float32),
            np.empty((count, FIRST_STICKS), np.float32),
        )


@njit(cache=True, nogil=True)
def _sum_around(own: Any, row: int, cols: int, out: Any) -> None:
    """Sums of the 24 coefficients around each of a row: five rings, in quarters, plus 1."""
    a, b, c, d, e = own[row - 2], own[row - 1], own[row], own[row + 1], own[row + 2]
    beside, over, corners, straight, rest = out[0], out[1], out[2], out[3], out[4]
    for x in range(cols):
        beside[x] = _ONE + _FOUR * (c[x + 1] + c[x + 3])
        over[x] = _ONE + _FOUR * (b[x + 2] + d[x + 2])
        corners[x] = _ONE + _FOUR * (b[x + 1] + b[x + 3] + d[x + 1] + d[x + 3])
        straight[x] = _ONE + _FOUR * (a[x + 2] + e[x + 2] + c[x] + c[x + 4])
        far = a[x] + a[x + 1] + a[x + 3] + a[x + 4] + e[x] + e[x + 1] + e[x + 3] + e[x + 4]
        rest[x] = _ONE + _FOUR * (far + b[x] + b[x + 4] + d[x] + d[x + 4])


@njit(cache=True, nogil=True)
def _sum_rings(plane: Any, row: int, cols: int, cross: Any, corners: Any) -> None:
    """Add, in quarters, the four coefficients beside each of a row and the four at its corners."""
    b, c, d = plane[row - 1], plane[row], plane[row + 1]
    for x in range(cols):
        cross[x] += _FOUR * (b[x + 2] + d[x + 2] + c[x + 1] + c[x + 3])
        corners[x] += _FOUR * (b[x + 1] + b[x + 3] + d[x + 1] + d[x + 3])


@njit(cache=True, nogil=True)
def _sum_parents(near: Any, y: int, cols: int, out: Any) -> None:
    """Sums over the level above, in quarters: at the parent of each coefficient and around it."""
    c, o = near.component, near.orientation
    row, further = (y >> 1) + MARGIN, 1 if y & 1 else -1
    above = near.parent[c, o]
    b, m, d, f = above[row - 1], above[row], above[row + 1], above[row + further]
    others, later = near.parent[c], near.parent
    first, second = 1 if o == 0 else 0, 1 if o == 2 else 2
    last = len(later)
    for x in range(cols):
        i = (x >> 1) + MARGIN
        side = m[i + 1] if x & 1 else m[i - 1]
        closest = f[i] + side
        ring = b[i - 1] + b[i] + b[i + 1] + m[i - 1] + m[i + 1] + d[i - 1] + d[i] + d[i + 1]
        out[5, x] += _FOUR * m[i]
        out[6, x] += _FOUR * closest
        out[7, x] += _FOUR * (ring - closest)
        out[8, x] += _FOUR * (others[first, row, i] + others[second, row, i])
        for k in range(c + 1, min(c + 4, last)):
            out[22, x] += _FOUR * later[k, o, row, i]


@njit(cache=True, nogil=True)
def _inputs_of_row(y: int, cols: int, near: Any, out: Any, total: Any) -> None:
    """Inputs of the network for each coefficient of a row, shape (INPUTS, cols), and their sums.

    Of a sum ``v`` in quarters plus 1 the input is about ``16 log2 v``: exponent and first four
    bits of the mantissa of a float32, straight lines between powers of two.
    """
    c, o = near.component, near.orientation
    row = y + MARGIN
    out[:] = _ONE
    _sum_around(near.level[c, o], row, cols, out)
    if len(near.parent) > 0:
        _sum_parents(near, y, cols, out)
    for other in range(o):
        _sum_rings(near.level[c, other], row, cols, out[10], out[10])
        _add(near.level[c, other, row], cols, out[9])
    for back in range(min(c, 3)):
        plane = near.level[c - 1 - back, o]
        _add(plane[row], cols, out[11 + 3 * back])
        _sum_rings(plane, row, cols, out[12 + 3 * back], out[13 + 3 * back])
    if c > 3:
        b, m, d = near.earlier[row - 1], near.earlier[row], near.earlier[row + 1]
        share = _FOUR / np.float32(c - 3)
        for x in range(cols):
            out[20, x] += share * m[x + 2]
            out[21, x] += share * (b[x + 2] + d[x + 2] + m[x + 1] + m[x + 3])
    if near.expected.size > 0:
        row_expected = near.expected[y]
        for x in range(cols):
            size = abs(row_expected[x])
            out[23, x] += _FOUR * np.float32(size if size < SEEN else SEEN)
    total[:] = np.float32(0)
    for k in range(INPUTS):
        values = out[k]
        bits = values.view(np.int32)
        for x in range(cols):
            values[x] = np.float32((bits[x] >> 19) - (127 << 4))
            total[x] += values[x]


@njit(cache=True, nogil=True)
def _add(values: Any, cols: int, out: Any) -> None:
    for x in range(cols):
        out[x] += _FOUR * values[x + MARGIN]


@njit(cache=True, nogil=True)
def _activate(sums: Any, bias: Any) -> None:
    """Hidden units of sums, in place: no less than zero, rounded down, clipped."""
    for i in range(len(sums)):
        for j in range(HIDDEN):
            unit = np.floor(max(sums[i, j] + bias[j], np.float32(0)) * np.float32(1 / 64))
            sums[i, j] = min(unit, np.float32(LARGEST_UNIT))


@njit(cache=True, nogil=True)
def _evaluate(count: int, group: int, near: Any, network: Any, room: Any) -> None:
    """The network for the first ``count`` rows of inputs; products of integers, all exact."""
    inputs, first, hidden, sticks = room.inputs, room.first, room.hidden, room.sticks
    np.dot(inputs[:count], network.weights_1, first[:count])
    _activate(first[:count], near.bias[group])
    np.dot(first[:count], network.weights_2, hidden[:count])
    _activate(hidden[:count], network.bias_2)
    np.dot(hidden[:count], network.first_sticks, sticks[:count])
    for i in range(count):
        for j in range(FIRST_STICKS):
            sticks[i, j] += network.bias_3[j]


@njit(cache=True, nogil=True)
def share_of(odds: Any, table: Any) -> int:
    index = (int(odds) >> 5) + ODDS_LIMIT
    return int(table[min(max(index, 0), 2 * ODDS_LIMIT - 1)])


@njit(cache=True, nogil=True)
def late_share(stick: int, hidden: Any, network: Any) -> int:
    """Share, in ``2**-15``, of a class among those not yet ruled out, past the first sticks."""
    odds = network.bias_3[stick]
    for i in range(HIDDEN):
        odds += hidden[i] * network.weights_3[i, stick]
    return share_of(odds, network.odds)


@njit(cache=True, nogil=True)
def expect_row(
    y: int, left: int, cols: int, group: int, near: Any, network: Any, room: Any
) -> None:
    """Expect every second coefficient of a row, from ``left`` on.

    ``room.places`` gets, for each, where its hidden units and log-odds are: row 0 is for inputs
    that are all zero, which only need to be looked at once.
    """
    _inputs_of_row(y, cols, near, room.row, room.total)
    count = ZERO + 1
    for i in range((cols - left + 1) // 2):
        x = left + 2 * i
        if room.total[x] == 0:
            room.places[i] = 0
        else:
            for k in range(INPUTS):
                room.inputs[count, k] = room.row[k, x]
            room.places[i] = count
            count += 1
    _evaluate(count, group, near, network, room)


@njit(cache=True, nogil=True)
def fixed_inputs(
    level: int,
    orientation: int,
    component: int,
    components: int,
    means: tuple[int, int, int, int],
    expected: bool,
) -> Any:
    """Numbers that are the same for all coefficients of a group of a band, shape (4, FIXED).

    Parameters
    ----------
    level : int
        0 for the coarse image.
    means : tuple of int
        Codes of the means of this band, its parent, and both of the component before.
    expected : bool
        Whether the band was predicted.

    Returns
    -------
    ndarray of float32
        Whole numbers.
    """
    fixed = np.zeros((4, FIXED), np.float32)
    bits = np.array([1 + component, 1 + components], np.float32).view(np.int32)
    for group in range(4):
        row = fixed[group]
        for i in range(4):
            row[i] = 4 * means[i]
        row[4 + level] = 32
        row[9 + orientation] = 32
        row[13 + group] = 32
        row[17] = (bits[0] >> 19) - (127 << 4)
        row[18] = (bits[1] >> 19) - (127 << 4)
        row[19] = 32 * expected
    return fixed
