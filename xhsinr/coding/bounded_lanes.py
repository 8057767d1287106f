"""Symbols of many samples side by side: shares of those that there are, symbols of those to come.

A range coder has as many states as there are lanes, and samples take turns with them, so that what
one sample has is no reason for the next one to wait. Samples that are not coded have a symbol with
all of the shares, which costs nothing.

A block, up to one sample a lane, goes through steps that are loops: what a processor does several
turns of at once is kept apart from what looks up tables. The numbers of a block lie in one array,
at constant places, as compilers then know them to be apart; unsigned indices spare them a test.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, uint64

from xhsinr.coding.bounded_coder import EMPTY
from xhsinr.coding.bounded_model import CELL_BITS, ONE, PRECISION, REACH, RISE_BITS

__all__ = ["WORK", "find_bits", "find_symbols", "lanes", "share_bits", "share_symbols"]

LANES = 32
"""Most states of a range coder, which samples take turns with."""

_FEWEST, _LANE_SYMBOLS = 4, 1 << 16
"""States of a small tile, each of which costs eight bytes; symbols that are worth another one."""

_SYMBOL, _CENTRE, _INVERSE, _BEGIN, _END, _CELL, _NEXT = range(0, 7 * LANES, LANES)
WORK = 7 * LANES
"""Numbers of a block."""

_SHIFT = uint64(PRECISION)
_MASK = uint64(ONE - 1)
_WORD = uint64(32)
_HALF_WORD = uint64((1 << 32) - 1)
_QUANTILE_BITS = uint64(PRECISION - 10)
_PART = uint64((1 << (PRECISION - 10)) - 1)
_RISE = (1 << RISE_BITS) - 1
_IN_CELL = (1 << CELL_BITS) - 1


def lanes(symbols: int) -> int:
    """States of the range coders of a tile with so many symbols: a power of two."""
    worth = min(max(symbols // _LANE_SYMBOLS, _FEWEST), LANES)
    return 1 << worth.bit_length() - 1


@njit(inline="always")
def _clip(value: Any, low: Any, high: Any) -> Any:
    return min(max(value, low), high)


@njit(inline="always")
def _begin(symbol: Any, z: Any, cell: Any, floor: Any) -> Any:
    """Share of all symbols below one, the first of which has at least nothing below it."""
    below = (cell >> RISE_BITS) + ((cell & _RISE) * (z & _IN_CELL) >> CELL_BITS)
    return below + symbol * floor if symbol > 0 else 0


@njit(inline="always")
def _place(distance: Any, inverse: Any) -> Any:
    """Where a table has a distance from the centre, in parts of its cells."""
    return _clip((distance * inverse >> 14) + (REACH >> 1), 0, REACH)


@njit(inline="always")
def _edge(symbol: Any, axis: Any, comb: Any) -> Any:
    """Where a symbol begins on the axis."""
    return np.int64(axis[uint64(symbol)]) if comb else symbol << 6


@njit(cache=True, nogil=True, error_model="numpy")
def _share(work: Any, n: Any, axis: Any, comb: Any, table: Any, last: Any, floor: Any) -> None:
    """Where the shares of a block's symbols begin and end."""
    if comb:
        for j in range(n):
            work[_BEGIN + j] = axis[uint64(work[_SYMBOL + j])]
            work[_END + j] = axis[uint64(work[_SYMBOL + j] + 1)]
    else:
        for j in range(n):
            work[_BEGIN + j] = work[_SYMBOL + j] << 6
            work[_END + j] = (work[_SYMBOL + j] + 1) << 6
    for j in range(n):
        work[_BEGIN + j] = _place(work[_BEGIN + j] - work[_CENTRE + j], work[_INVERSE + j])
    for j in range(n):
        work[_END + j] = _place(work[_END + j] - work[_CENTRE + j], work[_INVERSE + j])
    for j in range(n):
        work[_CELL + j] = table[uint64(work[_BEGIN + j] >> CELL_BITS)]
        work[_NEXT + j] = table[uint64(work[_END + j] >> CELL_BITS)]
    for j in range(n):
        work[_BEGIN + j] = _begin(work[_SYMBOL + j], work[_BEGIN + j], work[_CELL + j], floor)
    for j in range(n):
        end = _begin(work[_SYMBOL + j] + 1, work[_END + j], work[_NEXT + j], floor)
        work[_END + j] = end if work[_SYMBOL + j] < last else ONE


@njit(cache=True, nogil=True, error_model="numpy")
def share_symbols(
    symbols: Any,
    centres: Any,
    labels: Any,
    inverses: Any,
    axis: Any,
    comb: bool,
    table: Any,
    last: int,
    floor: int,
    work: Any,
    firsts: Any,
    shares: Any,
) -> None:
    """Where the shares of symbols begin, and what they are.

    Parameters
    ----------
    symbols : ndarray of int64, shape (n,)
        From 0 to ``last`` where samples are coded, near that elsewhere unless there is a comb.
    centres : ndarray of int64, shape (n,)
        Where they are expected on the axis, in 64ths of a step.
    labels : ndarray of uint8, shape (n,)
        Classes; samples of a class that there is not are not coded.
    inverses : ndarray of int64, shape (classes,)
        ``2**44`` over the scale of each class in ``2**-16`` steps.
    axis : ndarray of int32
        Where symbols begin, if there is a comb; else they are a step apart.
    comb : bool
    table, floor
        Of `bounded_model.distribution`, for so many symbols.
    last : int
    work : ndarray of int64, shape (WORK,)
    firsts, shares : ndarray of uint32, shape (n,)
        Set.
    """
    classes = len(inverses)
    for start in range(0, len(symbols), LANES):
        n = min(LANES, len(symbols) - start)
        for j in range(n):
            which: Any = min(np.int64(labels[uint64(start + j)]), classes - 1)
            work[_INVERSE + j] = inverses[uint64(which)]
        for j in range(n):
            work[_SYMBOL + j] = symbols[uint64(start + j)]
            work[_CENTRE + j] = centres[uint64(start + j)]
        _share(work, n, axis, comb, table, last, floor)
        for j in range(n):
            firsts[uint64(start + j)] = (
                work[_BEGIN + j] if labels[uint64(start + j)] < classes else 0
            )
        for j in range(n):
            share = work[_END + j] - work[_BEGIN + j]
            shares[uint64(start + j)] = share if labels[uint64(start + j)] < classes else ONE


@njit(cache=True, nogil=True, error_model="numpy")
def share_bits(bits: Any, count: int, labels: Any, classes: int, firsts: Any, shares: Any) -> None:
    """Where the shares of so many low bits of samples begin, and what they are."""
    for i in range(len(bits)):
        raw = bits[i] & ((1 << count) - 1)
        firsts[i] = raw << (PRECISION - count) if labels[i] < classes else 0
        shares[i] = 1 << (PRECISION - count) if labels[i] < classes else ONE


@njit(cache=True, nogil=True, error_model="numpy")
def _fill(states: Any, turn: int, n: int, words: Any, left: Any) -> Any:
    """States that are used up take in a word each; the words left after it."""
    for j in range(turn, turn + n):
        state = states[uint64(j)]
        used_up = state < EMPTY
        left -= np.int64(used_up)
        # Without words a file is damaged, whatever is read in their place.
        filled = (state << _WORD) | uint64(words[uint64(max(left, 0))])
        states[uint64(j)] = filled if used_up else state
    return left


@njit(cache=True, nogil=True, error_model="numpy")
def find_symbols(
    states: Any,
    turn: int,
    words: Any,
    left: int,
    centres: Any,
    labels: Any,
    spreads: Any,
    inverses: Any,
    quantiles: Any,
    axis: Any,
    places: Any,
    comb: bool,
    table: Any,
    last: int,
    floor: int,
    work: Any,
    symbols: Any,
) -> int:
    """The symbols that `share_symbols` had, from their range coder.

    Parameters
    ----------
    states : ndarray of uint64, shape (lanes,)
        Moved on.
    turn : int
        The lane of the first sample.
    words : ndarray of uint32
        With one more that is read ahead while none is taken.
    left : int
        Words not yet taken, the last one next.
    spreads : ndarray of int64, shape (classes,)
        Scales in ``2**-16`` steps.
    quantiles : ndarray of int64
        One of `bounded_model.quantiles`.
    places : ndarray of uint16
        The symbol at each whole number of the axis, if there is a comb.
    symbols : ndarray of int64, shape (n,)
        Set; anything within their range where samples are not coded.

    Returns
    -------
    int
        Words left, negative if there were too few.
    """
    classes, top, start = len(inverses), len(places) - 1, 0
    while start < len(symbols):
        n = min(len(states) - turn, len(symbols) - start)
        for j in range(n):
            which: Any = min(np.int64(labels[uint64(start + j)]), classes - 1)
            work[_INVERSE + j] = inverses[uint64(which)]
            work[_END + j] = spreads[uint64(which)]
            work[_CELL + j] = quantiles[(states[uint64(turn + j)] & _MASK) >> _QUANTILE_BITS]
        for j in range(n):
            work[_CENTRE + j] = centres[uint64(start + j)]
        for j in range(n):
            cell = uint64(work[_CELL + j])
            rise = (cell & _HALF_WORD) * (states[uint64(turn + j)] & _PART) >> _QUANTILE_BITS
            z = np.int64((cell >> _WORD) + rise) - (REACH >> 1)
            work[_BEGIN + j] = work[_CENTRE + j] + (z * (work[_END + j] >> 4) >> 26)
        if comb:
            for j in range(n):
                work[_CELL + j] = _clip(work[_BEGIN + j] >> 6, 0, top)
            for j in range(n):
                symbol: Any = np.int64(places[uint64(work[_CELL + j])])
                symbol += np.int64(axis[uint64(symbol + 1)] <= work[_BEGIN + j])
                symbol = min(symbol, last)
                symbol += np.int64(axis[uint64(symbol + 1)] <= work[_BEGIN + j])
                work[_SYMBOL + j] = min(symbol, last)
        else:
            for j in range(n):
                work[_SYMBOL + j] = _clip(work[_BEGIN + j] >> 6, 0, last)
        _share(work, n, axis, comb, table, last, floor)
        wrong = 0
        for j in range(n):
            target: Any = np.int64(states[uint64(turn + j)] & _MASK)
            missed = (work[_BEGIN + j] > target) | (work[_END + j] <= target)
            wrong += missed & (labels[uint64(start + j)] < classes)
        if wrong:
            for j in range(n):
                target = np.int64(states[uint64(turn + j)] & _MASK)
                if (work[_BEGIN + j] > target) | (work[_END + j] <= target):
                    _search(work, j, target, axis, comb, table, last, floor)
        for j in range(n):
            coded = labels[uint64(start + j)] < classes
            begin = uint64(work[_BEGIN + j]) if coded else uint64(0)
            end = uint64(work[_END + j]) if coded else uint64(ONE)
            states[uint64(turn + j)] = (
                (end - begin) * (states[uint64(turn + j)] >> _SHIFT)
                + (states[uint64(turn + j)] & _MASK)
                - begin
            )
        left = _fill(states, turn, n, words, left)
        for j in range(n):
            symbols[uint64(start + j)] = work[_SYMBOL + j]
        start += n
        turn = 0
    return left


@njit(cache=True, nogil=True, error_model="numpy")
def find_bits(
    states: Any,
    turn: int,
    words: Any,
    left: int,
    count: int,
    labels: Any,
    classes: int,
    bits: Any,
) -> int:
    """The bits that `share_bits` had, as `find_symbols` finds symbols."""
    start = 0
    while start < len(bits):
        n = min(len(states) - turn, len(bits) - start)
        low = uint64(PRECISION - count)
        for j in range(n):
            if labels[uint64(start + j)] < classes:
                raw = (states[uint64(turn + j)] & _MASK) >> low
                states[uint64(turn + j)] = (
                    (states[uint64(turn + j)] >> _SHIFT << low)
                    + (states[uint64(turn + j)] & _MASK)
                    - (raw << low)
                )
                bits[uint64(start + j)] = raw
        left = _fill(states, turn, n, words, left)
        start += n
        turn = 0
    return left


@njit(cache=True, nogil=True, error_model="numpy")
def _search(
    work: Any, j: int, target: int, axis: Any, comb: bool, table: Any, last: int, floor: int
) -> None:
    """Correct a lane's guess: the symbol whose share holds a target, where that begins and ends.

    In steps from the guess that double, then by halving.
    """
    centre, inverse = work[_CENTRE + j], work[_INVERSE + j]
    low, begins, high, ends = np.int64(0), np.int64(0), np.int64(last + 1), np.int64(ONE)
    if work[_END + j] <= target:
        low, begins = work[_SYMBOL + j] + 1, work[_END + j]
        probe = low + 1
    elif work[_BEGIN + j] > target:
        high, ends = work[_SYMBOL + j], work[_BEGIN + j]
        probe = high - 1
    else:
        return
    reach = np.int64(1)
    while high - low > 1:
        z = _place(_edge(probe, axis, comb) - centre, inverse)
        begin = _begin(probe, z, table[uint64(z >> CELL_BITS)], floor)
        if begin > target:
            high, ends = probe, begin
        else:
            low, begins = probe, begin
        reach *= 2
        if high > last:
            probe = min(low + reach, high - 1)
        elif low == 0:
            probe = max(high - reach, 1)
        else:
            probe = (low + high) >> 1
    work[_SYMBOL + j], work[_BEGIN + j], work[_END + j] = low, begins, ends
