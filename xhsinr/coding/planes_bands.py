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

from xhsinr.entropy.rans import BITS, get, peek
from xhsinr.network.prior import (
    FIXED,
    HIDDEN,
    INPUTS,
    LARGEST_UNIT,
    ODDS_LIMIT,
    STICKS,
    Prior,
    magnitude_table,
    odds_table,
)

__all__ = [
    "LARGEST",
    "MARGIN",
    "Neighbours",
    "Network",
    "decode_band",
    "encode_band",
    "fixed_inputs",
    "symbol_room",
    "take_symbol",
]

MARGIN = 2
"""Zeros around the magnitudes of a band."""

LARGEST = (1 << 30) - 1
"""Largest magnitude of a coefficient."""

_FIRST_STICKS = 8
_SEEN = 65535  # magnitudes are clipped to it where they predict others
_LARGEST_INPUT = (1 << 18) - 1
_ESCAPE = 3 << 11  # smallest magnitude of the last class
_TOTAL = 1 << BITS
_MOST_SYMBOLS = STICKS + 8  # of a coefficient

Magnitudes = npt.NDArray[np.uint16]


class Network(NamedTuple):
    """A prior as compiled code takes it."""

    weights_1: Any
    weights_2: Any
    bias_2: Any
    weights_3: Any
    bias_3: Any
    magnitudes: Any
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
            magnitude_table(),
            odds_table(),
        )


class Neighbours(NamedTuple):
    """Where a band is, and what is decoded around it.

    Attributes
    ----------
    level : ndarray of uint16, shape (components, orientations, rows + 4, cols + 4)
        Magnitudes of this level with their margin, zero where not yet decoded.
    parent : ndarray of uint16, the same a level up; no component if there is none.
    earlier : ndarray of int32, shape (rows + 4, cols + 4)
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
    earlier: npt.NDArray[np.int32]
    component: int
    orientation: int
    expected: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float32]


@njit(cache=True)
def _input(quarters: Any, table: Any) -> Any:
    if quarters > _LARGEST_INPUT:
        quarters = _LARGEST_INPUT
    if quarters < 4096:
        return table[quarters]
    return table[quarters >> 6] + np.float32(96)


@njit(cache=True)
def _evaluate(inputs: Any, bias: Any, network: Any, first: Any, hidden: Any, sticks: Any) -> None:
    """Hidden units of the second layer, and log-odds of the first sticks, of one coefficient."""
    for j in range(HIDDEN):
        first[j] = bias[j]
    for i in range(INPUTS):
        value = inputs[i]
        if value != 0:
            for j in range(HIDDEN):
                first[j] += value * network.weights_1[i, j]
    for j in range(HIDDEN):
        unit = np.floor(max(first[j], np.float32(0)) * np.float32(1 / 64))
        first[j] = min(unit, np.float32(LARGEST_UNIT))
        hidden[j] = network.bias_2[j]
    for i in range(HIDDEN):
        value = first[i]
        if value != 0:
            for j in range(HIDDEN):
                hidden[j] += value * network.weights_2[i, j]
    for j in range(HIDDEN):
        unit = np.floor(max(hidden[j], np.float32(0)) * np.float32(1 / 64))
        hidden[j] = min(unit, np.float32(LARGEST_UNIT))
    for j in range(_FIRST_STICKS):
        sticks[j] = network.bias_3[j]
    for i in range(HIDDEN):
        value = hidden[i]
        if value != 0:
            for j in range(_FIRST_STICKS):
                sticks[j] += value * network.weights_3[i, j]


@njit(cache=True)
def _probability(stick: int, sticks: Any, hidden: Any, network: Any) -> int:
    """Share, in ``2**-15``, of a class among those not yet ruled out."""
    if stick < _FIRST_STICKS:
        odds = sticks[stick]
    else:
        odds = network.bias_3[stick]
        for i in range(HIDDEN):
            odds += hidden[i] * network.weights_3[i, stick]
    index = (int(odds) >> 5) + ODDS_LIMIT
    return int(network.odds[min(max(index, 0), 2 * ODDS_LIMIT - 1)])


@njit(cache=True)
def _expect_row(
    y: int,
    start: int,
    cols: int,
    group: int,
    near: Any,
    network: Any,
    inputs: Any,
    first: Any,
    hidden: Any,
    sticks: Any,
) -> None:
    """`_evaluate` every second coefficient of a row, from ``start`` on.

    ``inputs``, ``hidden`` and ``sticks`` have a row for each; the last row of the latter two is
    what comes of inputs that are all zero.
    """
    c, o = near.component, near.orientation
    own, table = near.level[c, o], network.magnitudes
    has_parent, expects = len(near.parent) > 0, near.expected.size > 0
    row, up = y + MARGIN, (y >> 1) + MARGIN
    further = 1 if y & 1 else -1
    share = (1 << 18) // max(c - 3, 1)
    idle = len(hidden) - 1
    n = 0
    for x in range(start, cols, 2):
        col = x + MARGIN
        f = inputs[n]
        f[0] = _input(4 * (int(own[row, col - 1]) + own[row, col + 1]), table)
        f[1] = _input(4 * (int(own[row - 1, col]) + own[row + 1, col]), table)
        total = int(own[row - 1, col - 1]) + own[row - 1, col + 1]
        f[2] = _input(4 * (total + own[row + 1, col - 1] + own[row + 1, col + 1]), table)
        total = int(own[row - 2, col]) + own[row + 2, col] + own[row, col - 2]
        f[3] = _input(4 * (total + own[row, col + 2]), table)
        total = int(own[row - 2, col - 1]) + own[row - 2, col + 1] + own[row - 2, col - 2]
        total += int(own[row - 2, col + 2]) + own[row + 2, col - 1] + own[row + 2, col + 1]
        total += int(own[row + 2, col - 2]) + own[row + 2, col + 2] + own[row - 1, col - 2]
        total += int(own[row - 1, col + 2]) + own[row + 1, col - 2] + own[row + 1, col + 2]
        f[4] = _input(4 * total, table)
        for i in range(5, INPUTS):
            f[i] = 0
        if has_parent:
            above, across = near.parent[c, o], (x >> 1) + MARGIN
            side = 1 if x & 1 else -1
            f[5] = _input(4 * int(above[up, across]), table)
            closest = int(above[up + further, across]) + above[up, across + side]
            total = int(above[up - 1, across - 1]) + above[up - 1, across] + above[up, across - 1]
            total += int(above[up - 1, across + 1]) + above[up, across + 1]
            total += int(above[up + 1, across - 1]) + above[up + 1, across]
            total += int(above[up + 1, across + 1])
            f[6] = _input(4 * closest, table)
            f[7] = _input(4 * (total - closest), table)
            total = 0
            for other in range(3):
                if other != o:
                    total += int(near.parent[c, other, up, across])
            f[8] = _input(4 * total, table)
            total = 0
            for later in range(c + 1, min(c + 4, len(near.parent))):
                total += int(near.parent[later, o, up, across])
            f[22] = _input(4 * total, table)
        centre, ring = 0, 0
        for other in range(o):
            a = near.level[c, other]
            centre += int(a[row, col])
            ring += int(a[row - 1, col - 1]) + a[row - 1, col] + a[row - 1, col + 1]
            ring += int(a[row, col - 1]) + a[row, col + 1]
            ring += int(a[row + 1, col - 1]) + a[row + 1, col] + a[row + 1, col + 1]
        f[9] = _input(4 * centre, table)
        f[10] = _input(4 * ring, table)
        for back in range(min(c, 3)):
            a = near.level[c - 1 - back, o]
            f[11 + 3 * back] = _input(4 * int(a[row, col]), table)
            ring = int(a[row - 1, col]) + a[row + 1, col] + a[row, col - 1] + a[row, col + 1]
            f[12 + 3 * back] = _input(4 * ring, table)
            ring = int(a[row - 1, col - 1]) + a[row - 1, col + 1] + a[row + 1, col - 1]
            f[13 + 3 * back] = _input(4 * (ring + a[row + 1, col + 1]), table)
        if c > 3:
            a = near.earlier
            f[20] = _input((int(a[row, col]) * share) >> 16, table)
            ring = int(a[row - 1, col]) + a[row + 1, col] + a[row, col - 1] + a[row, col + 1]
            f[21] = _input((ring * share) >> 16, table)
        if expects:
            size = abs(near.expected[y, x])
            f[23] = _input(int(4 * size + 0.5) if size < _SEEN else _LARGEST_INPUT, table)
        n += 1
    for i in range(n):
        silent = True
        for j in range(INPUTS):
            if inputs[i, j] != 0:
                silent = False
                break
        if silent:
            for j in range(HIDDEN):
                hidden[i, j] = hidden[idle, j]
            for j in range(_FIRST_STICKS):
                sticks[i, j] = sticks[idle, j]
        else:
            _evaluate(inputs[i], near.bias[group], network, first, hidden[i], sticks[i])


@njit(cache=True)
def _raw(state: Any, words: Any, count: int, bits: int) -> tuple[Any, int, int]:
    """So many bits that have no model."""
    value = 0
    while bits > 0:
        now = min(bits, BITS)
        part = int(peek(state)) >> (BITS - now)
        state, count = get(state, words, count, part << (BITS - now), 1 << (BITS - now))
        value = value << now | part
        bits -= now
    return state, count, value


@njit(cache=True)
def decode_band(
    state: Any, words: Any, count: int, rows: int, cols: int, near: Any, network: Any
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
    length = (cols + 1) // 2
    inputs = np.zeros((length + 1, INPUTS), np.float32)
    hidden = np.zeros((length + 1, HIDDEN), np.float32)
    sticks = np.zeros((length + 1, _FIRST_STICKS), np.float32)
    first = np.zeros(HIDDEN, np.float32)
    for group in range(4):
        top, left = int(group & 1), int(group == 1 or group == 2)
        _evaluate(inputs[length], near.bias[group], network, first, hidden[length], sticks[length])
        for y in range(top, rows, 2):
            _expect_row(y, left, cols, group, near, network, inputs, first, hidden, sticks)
            i = -1
            for x in range(left, cols, 2):
                i += 1
                kind = 0
                while kind < STICKS:
                    share = _probability(kind, sticks[i], hidden[i], network)
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
                    state, count, size = _raw(state, words, count, low)
                    size += (2 + ((kind - 2) & 1)) << low
                else:
                    state, count, bits = _raw(state, words, count, 5)
                    state, count, size = _raw(state, words, count, bits)
                    size = min(size + (1 << bits) - 1 + _ESCAPE, LARGEST)
                state, count, negative = _raw(state, words, count, 1)
                own[y + MARGIN, x + MARGIN] = min(size, _SEEN)
                values[y, x] = -size if negative else size
    return state, count, values


@njit(cache=True)
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


@njit(cache=True)
def _raw_bits(kind: int, size: int) -> int:
    """Bits without a model of a magnitude in a class: sign and mantissa."""
    if kind == STICKS:
        bits = 0
        while (size - _ESCAPE + 1) >> (bits + 1):
            bits += 1
        return 6 + bits
    return (kind > 0) + (((kind - 2) >> 1) if kind > 3 else 0)


@njit(cache=True)
def _put_raw(symbols: Any, n: int, value: int, bits: int) -> int:
    while bits > 0:
        now = min(bits, BITS)
        bits -= now
        symbols[n, 0] = ((value >> bits) & ((1 << now) - 1)) << (BITS - now)
        symbols[n, 1] = 1 << (BITS - now)
        n += 1
    return n


@njit(cache=True)
def encode_band(
    targets: Any,
    near: Any,
    network: Any,
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
    length = (cols + 1) // 2
    inputs = np.zeros((length + 1, INPUTS), np.float32)
    hidden = np.zeros((length + 1, HIDDEN), np.float32)
    sticks = np.zeros((length + 1, _FIRST_STICKS), np.float32)
    first = np.zeros(HIDDEN, np.float32)
    n, recorded, saved = 0, 0, 0.0
    for group in range(4):
        top, left = int(group & 1), int(group == 1 or group == 2)
        _evaluate(inputs[length], near.bias[group], network, first, hidden[length], sticks[length])
        for y in range(top, rows, 2):
            _expect_row(y, left, cols, group, near, network, inputs, first, hidden, sticks)
            i = -1
            for x in range(left, cols, 2):
                i += 1
                exact = min(abs(targets[y, x]), float(LARGEST - 1))
                upper = int(exact + 0.5)
                share = _probability(0, sticks[i], hidden[i], network)
                best, least = 0, exact * exact + worth * costs[share]
                if upper > 0:
                    lower = max(upper - 1, 1)
                    spent, stick, highest = costs[_TOTAL - share], 1, _kind(upper)
                    for kind in range(_kind(lower), highest + 1):
                        while stick < kind and stick < STICKS:
                            share = _probability(stick, sticks[i], hidden[i], network)
                            spent += costs[_TOTAL - share]
                            stick += 1
                        if kind < STICKS:
                            now = costs[_probability(kind, sticks[i], hidden[i], network)]
                        else:
                            now = np.float32(0)
                        for size in range(lower, upper + 1):
                            if _kind(size) == kind:
                                bits = spent + now + _raw_bits(kind, size)
                                total = (exact - size) ** 2 + worth * bits
                                if total < least:
                                    best, least = size, total
                    saved += exact * exact - least
                else:
                    saved -= worth * costs[share]
                kind = _kind(best)
                if recorded < len(record):
                    for j in range(INPUTS):
                        record[recorded, j] = inputs[i, j]
                    record[recorded, INPUTS] = group
                    kinds[recorded] = kind
                    recorded += 1
                for stick in range(min(kind + 1, STICKS)):
                    share = _probability(stick, sticks[i], hidden[i], network)
                    symbols[n, 0] = 0 if stick == kind else share
                    symbols[n, 1] = share if stick == kind else _TOTAL - share
                    n += 1
                if kind == 0:
                    continue
                if kind == STICKS:
                    bits = _raw_bits(kind, best) - 6
                    n = _put_raw(symbols, n, bits, 5)
                    n = _put_raw(symbols, n, best - _ESCAPE + 1 - (1 << bits), bits)
                elif kind > 3:
                    low = (kind - 2) >> 1
                    n = _put_raw(symbols, n, best & ((1 << low) - 1), low)
                negative = targets[y, x] < 0
                n = _put_raw(symbols, n, int(negative), 1)
                own[y + MARGIN, x + MARGIN] = min(best, _SEEN)
                values[y, x] = -best if negative else best
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
    table = magnitude_table()
    fixed = np.zeros((4, FIXED), np.int64)
    fixed[:, :4] = 4 * np.array(means)
    fixed[:, 4 + level] = 32
    fixed[:, 9 + orientation] = 32
    fixed[range(4), range(13, 17)] = 32
    fixed[:, 17] = table[min(component, 4095)]
    fixed[:, 18] = table[min(components, 4095)]
    fixed[:, 19] = 32 * expected
    return fixed


@njit(cache=True)
def take_symbol(state: Any, words: Any, count: int, frequencies: Any) -> tuple[Any, int, int]:
    """Decode a symbol of a table of frequencies."""
    point, first, symbol = int(peek(state)), 0, 0
    while symbol < len(frequencies) - 1 and first + int(frequencies[symbol]) <= point:
        first += int(frequencies[symbol])
        symbol += 1
    state, count = get(state, words, count, first, int(frequencies[symbol]))
    return state, count, symbol
