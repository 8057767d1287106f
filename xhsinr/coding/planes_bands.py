"""Bands of wavelet coefficients, coded with the odds that the prior gives for each.

The coefficients of a band come in four groups, by whether row and column are even (both, none,
the row, the column), and a group row after row; all coefficients of a row of a group are
expected from what came before that row. Decoding, encoding and recording for training go through
the same `_expect_row`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from xhsinr.entropy.rans import BITS, ZERO, get, get_raw, peek, put_raw
from xhsinr.network.prior import (
    FIXED,
    HIDDEN,
    INPUTS,
    LARGEST_UNIT,
    ODDS_LIMIT,
    STICKS,
    Prior,
    odds_table,
)

__all__ = [
    "LARGEST",
    "MARGIN",
    "Neighbours",
    "Network",
    "Room",
    "decode_band",
    "encode_band",
    "fixed_inputs",
    "symbol_room",
]

MARGIN = 2
"""Zeros around the magnitudes of a band."""

LARGEST = (1 << 30) - 1
"""Largest magnitude of a coefficient."""

_FIRST_STICKS = 8
_SEEN = 65535  # magnitudes are clipped to it where they predict others
_ONE, _FOUR = np.float32(1), np.float32(4)
_ESCAPE = 3 << 11  # smallest magnitude of the last class
_TOTAL = 1 << BITS
_SIGN_BITS, _LENGTH_BITS = ZERO + 1, ZERO + 5
_MOST_SYMBOLS = STICKS + 8  # of a coefficient

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
            np.ascontiguousarray(prior.weights_3[:, :_FIRST_STICKS]),
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
            np.empty((count, _FIRST_STICKS), np.float32),
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
            out[23, x] += _FOUR * np.float32(size if size < _SEEN else _SEEN)
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
        for j in range(_FIRST_STICKS):
            sticks[i, j] += network.bias_3[j]


@njit(cache=True, nogil=True)
def _share(odds: Any, table: Any) -> int:
    index = (int(odds) >> 5) + ODDS_LIMIT
    return int(table[min(max(index, 0), 2 * ODDS_LIMIT - 1)])


@njit(cache=True, nogil=True)
def _late_share(stick: int, hidden: Any, network: Any) -> int:
    """Share, in ``2**-15``, of a class among those not yet ruled out, past the first sticks."""
    odds = network.bias_3[stick]
    for i in range(HIDDEN):
        odds += hidden[i] * network.weights_3[i, stick]
    return _share(odds, network.odds)


@njit(cache=True, nogil=True)
def _expect_row(
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
def decode_band(
    state: Any, words: Any, count: int, rows: int, cols: int, near: Any, network: Any, room: Any
) -> tuple[Any, int, Any]:
    """Coefficients of a band; their magnitudes are written to `Neighbours.level`.

    Returns
    -------
    state, count
        Of the range decoder, see `xhsinr.entropy.rans`.
    values : ndarray of int32, shape (rows, cols)
    """
    values = np.zeros((rows, cols), np.int32)
    own = near.level[near.component, near.orientation]
    places, sticks, odds = room.places, room.sticks, network.odds
    for group in range(4):
        top, left = int(group & 1), int(group == 1 or group == 2)
        for y in range(top, rows, 2):
            _expect_row(y, left, cols, group, near, network, room)
            number = -1
            for x in range(left, cols, 2):
                number += 1
                place = places[number]
                kind = ZERO
                while kind < STICKS:
                    if kind < _FIRST_STICKS:
                        share = _share(sticks[place, kind], odds)
                    else:
                        share = _late_share(kind, room.hidden[place], network)
                    if int(peek(state)) < share:
                        state, count = get(state, words, count, 0, share)
                        break
                    state, count = get(state, words, count, share, _TOTAL - share)
                    kind += 1
                if kind == 0:
                    continue
                if kind < 4:
                    size = kind
                elif kind < STICKS:
                    low = (kind - 2) >> 1
                    state, count, size = get_raw(state, words, count, low)
                    size += (2 + ((kind - 2) & 1)) << low
                else:
                    state, count, bits = get_raw(state, words, count, _LENGTH_BITS)
                    state, count, size = get_raw(state, words, count, bits)
                    size = min(size + (1 << bits) - 1 + _ESCAPE, LARGEST)
                state, count, negative = get_raw(state, words, count, _SIGN_BITS)
                own[y + MARGIN, x + MARGIN] = min(size, _SEEN)
                values[y, x] = -size if negative else size
    return state, count, values


@njit(cache=True, nogil=True)
def _kind(size: int) -> int:
    """Class of a magnitude."""
    if size < 4:
        return size
    if size >= _ESCAPE:
        return STICKS
    low = 0
    while size >> low >= 4:
        low += 1
    return 2 + 2 * low + ((size >> low) & 1)


@njit(cache=True, nogil=True)
def _raw_bits(kind: int, size: int) -> int:
    """Bits without a model of a magnitude in a class: sign and mantissa."""
    if kind == STICKS:
        bits = 0
        while (size - _ESCAPE + 1) >> (bits + 1):
            bits += 1
        return 6 + bits
    return (kind > 0) + (((kind - 2) >> 1) if kind > 3 else 0)


@njit(cache=True, nogil=True)
def _bits(size: int, shares: Any, costs: Any) -> float:
    """Bits of a magnitude and its sign."""
    kind = _kind(size)
    bits: float = float(_raw_bits(kind, size)) + costs[shares[kind]]
    for stick in range(kind):
        bits += costs[_TOTAL - shares[stick]]
    return bits


@njit(cache=True, nogil=True)
def _put(symbols: Any, n: int, size: int, negative: bool, shares: Any) -> int:
    """Collect the symbols of a coefficient; returns how many there are now."""
    kind = _kind(size)
    for stick in range(min(kind + 1, STICKS)):
        share = shares[stick]
        symbols[n, 0] = 0 if stick == kind else share
        symbols[n, 1] = share if stick == kind else _TOTAL - share
        n += 1
    if kind == 0:
        return n
    if kind == STICKS:
        bits = _raw_bits(kind, size) - 6
        n = put_raw(symbols, n, bits, _LENGTH_BITS)
        n = put_raw(symbols, n, size - _ESCAPE + 1 - (1 << bits), bits)
    elif kind > 3:
        low = (kind - 2) >> 1
        n = put_raw(symbols, n, size & ((1 << low) - 1), low)
    return put_raw(symbols, n, int(negative), _SIGN_BITS)


@njit(cache=True, nogil=True)
def encode_band(
    targets: Any,
    near: Any,
    network: Any,
    room: Any,
    costs: Any,
    worth: float,
    symbols: Any,
    record: Any,
    kinds: Any,
) -> tuple[int, Any, float]:
    """Quantise a band and collect its symbols.

    Of each coefficient the magnitude is taken that makes squared error plus ``worth`` times bits
    least, among those next to it and zero. What it does to the odds of later ones is left out.

    Parameters
    ----------
    targets : ndarray of float64, shape (rows, cols)
        Coefficients, less what was predicted, in steps.
    costs : ndarray of float32
        `xhsinr.network.prior.bits_of_odds`.
    worth : float
        What a bit costs, in squared steps; 0 rounds.
    symbols : ndarray of uint16, shape (n, 2)
        Where first and frequency of each symbol go, in decoding order.
    record : ndarray of int16, shape (n, INPUTS + 1), and kinds : ndarray of uint8, shape (n,)
        Where each coefficient's inputs and group, and its class go, if there is room.

    Returns
    -------
    n : int
        Symbols.
    values : ndarray of int32, shape (rows, cols)
    saved : float
        Squared error plus cost of bits that the band saves against leaving it out.
    """
    rows, cols = targets.shape
    values = np.zeros((rows, cols), np.int32)
    own = near.level[near.component, near.orientation]
    places, sticks, odds = room.places, room.sticks, network.odds
    shares = np.empty(STICKS + 1, np.int64)
    n, recorded, saved = ZERO, 0, 0.0
    for group in range(4):
        top, left = int(group & 1), int(group == 1 or group == 2)
        for y in range(top, rows, 2):
            _expect_row(y, left, cols, group, near, network, room)
            number = -1
            for x in range(left, cols, 2):
                number += 1
                place = places[number]
                exact = min(abs(targets[y, x]), float(LARGEST - 1))
                upper = int(exact + 0.5)
                shares[0] = _share(sticks[place, 0], odds)
                best, least = ZERO, exact * exact + worth * costs[shares[0]]
                if upper > 0:
                    for stick in range(1, _kind(upper) + 1):
                        if stick < _FIRST_STICKS:
                            shares[stick] = _share(sticks[place, stick], odds)
                        elif stick < STICKS:
                            shares[stick] = _late_share(stick, room.hidden[place], network)
                        else:
                            shares[stick] = _TOTAL
                    for size in range(max(upper - 1, 1), upper + 1):
                        cost = (exact - size) ** 2 + worth * _bits(size, shares, costs)
                        if cost < least:
                            best, least = size, cost
                saved += exact * exact - least
                if recorded < len(record):
                    for j in range(INPUTS):
                        record[recorded, j] = room.inputs[place, j]
                    record[recorded, INPUTS] = group
                    kinds[recorded] = _kind(best)
                    recorded += 1
                n = _put(symbols, n, best, targets[y, x] < 0, shares)
                if best > 0:
                    own[y + MARGIN, x + MARGIN] = min(best, _SEEN)
                    values[y, x] = -best if targets[y, x] < 0 else best
    return n, values, saved


def symbol_room(coefficients: int) -> npt.NDArray[np.uint16]:
    """Room for the symbols of so many coefficients; untouched memory costs nothing."""
    return np.empty((coefficients * _MOST_SYMBOLS, 2), np.uint16)


def fixed_inputs(
    level: int,
    orientation: int,
    component: int,
    components: int,
    means: list[int],
    expected: bool,
) -> npt.NDArray[np.int64]:
    """Numbers that are the same for all coefficients of a group of a band, shape (4, FIXED).

    Parameters
    ----------
    level : int
        0 for the coarse image.
    means : list of int
        Codes of the means of this band, its parent, and both of the component before.
    expected : bool
        Whether the band was predicted.
    """
    fixed = np.zeros((4, FIXED), np.int64)
    fixed[:, :4] = 4 * np.array(means)
    fixed[:, 4 + level] = 32
    fixed[:, 9 + orientation] = 32
    fixed[range(4), range(13, 17)] = 32
    bits = np.array([1 + component, 1 + components], np.float32).view(np.int32)
    fixed[:, 17:19] = (bits >> 19) - (127 << 4)
    fixed[:, 19] = 32 * expected
    return fixed
