"""Bands of wavelet coefficients as symbols, with the odds that the prior gives for each.

Decoding, encoding and recording for training go through the same `expect_row`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from xhsinr.coding.planes_odds import FIRST_STICKS, MARGIN, SEEN, expect_row, late_share, share_of
from xhsinr.entropy.rans import BITS, ZERO, get, get_raw, peek, put_raw
from xhsinr.network.prior import INPUTS, STICKS

__all__ = [
    "ESCAPE",
    "LARGEST",
    "MOST_SAVED",
    "SAVED_UNITS",
    "decode_band",
    "encode_band",
    "kind_of",
    "symbol_room",
]

LARGEST = (1 << 30) - 1
"""Largest magnitude of a coefficient."""

MOST_SAVED, SAVED_UNITS = 2.0**20, 2.0**20
"""What a coefficient saves at most, as far as it counts, and units that are counted."""

ESCAPE = 3 << 11
"""Smallest magnitude of the last class."""

_TOTAL = 1 << BITS
_SIGN_BITS, _LENGTH_BITS = ZERO + 1, ZERO + 5
_MOST_SYMBOLS = STICKS + 8  # of a coefficient


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
            expect_row(y, left, cols, group, near, network, room)
            number = -1
            for x in range(left, cols, 2):
                number += 1
                place = places[number]
                kind = ZERO
                while kind < STICKS:
                    if kind < FIRST_STICKS:
                        share = share_of(sticks[place, kind], odds)
                    else:
                        share = late_share(kind, room.hidden[place], network)
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
                    size = min(size + (1 << bits) - 1 + ESCAPE, LARGEST)
                state, count, negative = get_raw(state, words, count, _SIGN_BITS)
                values[y, x] = -size if negative else size
        _show(values, own, top, left)
    return state, count, values


@njit(cache=True, nogil=True)
def _show(values: Any, own: Any, top: int, left: int) -> None:
    """Let what comes later see the magnitudes of a group, which begins at ``top`` and ``left``."""
    rows, cols = values.shape
    for y in range(top, rows, 2):
        for x in range(left, cols, 2):
            own[y + MARGIN, x + MARGIN] = min(abs(values[y, x]), SEEN)


@njit(cache=True, nogil=True)
def kind_of(size: int) -> int:
    """Class of a magnitude."""
    if size < 4:
        return size
    if size >= ESCAPE:
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
        while (size - ESCAPE + 1) >> (bits + 1):
            bits += 1
        return 6 + bits
    return (kind > 0) + (((kind - 2) >> 1) if kind > 3 else 0)


@njit(cache=True, nogil=True)
def _bits(size: int, shares: Any, costs: Any) -> float:
    """Bits of a magnitude and its sign."""
    kind = kind_of(size)
    bits: float = float(_raw_bits(kind, size)) + costs[shares[kind]]
    for stick in range(kind):
        bits += costs[_TOTAL - shares[stick]]
    return bits


@njit(cache=True, nogil=True)
def _put(symbols: Any, n: int, size: int, negative: bool, shares: Any) -> int:
    """Collect the symbols of a coefficient; returns how many there are now."""
    kind = kind_of(size)
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
        n = put_raw(symbols, n, size - ESCAPE + 1 - (1 << bits), bits)
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
) -> tuple[int, Any, int]:
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
    saved : int
        Squared error plus cost of bits that the band saves against leaving it out, in
        ``2**-20``: integers, whose sum does not depend on its order.
    """
    rows, cols = targets.shape
    values = np.zeros((rows, cols), np.int32)
    own = near.level[near.component, near.orientation]
    places, sticks, odds = room.places, room.sticks, network.odds
    shares = np.empty(STICKS + 1, np.int64)
    n, recorded, saved = ZERO, 0, ZERO
    for group in range(4):
        top, left = int(group & 1), int(group == 1 or group == 2)
        for y in range(top, rows, 2):
            expect_row(y, left, cols, group, near, network, room)
            number = -1
            for x in range(left, cols, 2):
                number += 1
                place = places[number]
                exact = min(abs(targets[y, x]), float(LARGEST - 1))
                upper = int(exact + 0.5)
                shares[0] = share_of(sticks[place, 0], odds)
                best, least = ZERO, exact * exact + worth * costs[shares[0]]
                if upper > 0:
                    for stick in range(1, kind_of(upper) + 1):
                        if stick < FIRST_STICKS:
                            shares[stick] = share_of(sticks[place, stick], odds)
                        elif stick < STICKS:
                            shares[stick] = late_share(stick, room.hidden[place], network)
                        else:
                            shares[stick] = _TOTAL
                    for size in range(max(upper - 1, 1), upper + 1):
                        cost = (exact - size) ** 2 + worth * _bits(size, shares, costs)
                        if cost < least:
                            best, least = size, cost
                saved += int(min(exact * exact - least, MOST_SAVED) * SAVED_UNITS)
                if recorded < len(record):
                    for j in range(INPUTS):
                        record[recorded, j] = room.inputs[place, j]
                    record[recorded, INPUTS] = group
                    kinds[recorded] = kind_of(best)
                    recorded += 1
                n = _put(symbols, n, best, targets[y, x] < 0, shares)
                if best > 0:
                    values[y, x] = -best if targets[y, x] < 0 else best
        _show(values, own, top, left)
    return n, values, saved


def symbol_room(coefficients: int) -> npt.NDArray[np.uint16]:
    """Room for the symbols of so many coefficients; untouched memory costs nothing."""
    return np.empty((coefficients * _MOST_SYMBOLS, 2), np.uint16)
