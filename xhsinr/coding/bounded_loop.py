"""The compiled loops over the samples of a band: prediction from its neighbours, model, rANS.

Each row of a band is coded in two halves, first the even columns and then the odd ones, which is
also how they lie in memory. What the bands before say of a sample comes in beforehand, for the
whole band; what the errors that this prediction made at the neighbours say is added here. Even
columns see the row above, odd columns the samples to the left and right too, so that within a half
no sample waits for another (see `xhsinr.coding.bounded_steps` and `xhsinr.coding.bounded_lanes`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from xhsinr.coding.bounded_lanes import (
    WORK,
    find_bits,
    find_symbols,
    share_bits,
    share_symbols,
)
from xhsinr.coding.bounded_model import stretch
from xhsinr.coding.bounded_steps import (
    centre_on,
    centre_plainly,
    count_values,
    missed,
    predict,
    quantise,
    reconstruct,
)

__all__ = ["NEIGHBOURS", "Band", "decode_band", "encode_band"]

NEIGHBOURS = 8
"""Weights of errors: NW, N, NE for even columns; NW, N, NE, W, E for odd ones."""


class Band(NamedTuple):
    """What the loops know of a band.

    Attributes
    ----------
    expected : ndarray of int32 or int64, shape (pixels,)
        What the bands before predict, in 64ths.
    base : ndarray of int32, shape (pixels,)
        What is added to decoded integers to give samples.
    classes : ndarray of uint8, shape (pixels,)
        Class of each pixel; above the last one a pixel that is not coded.
    low, high : int
        Range of the band's samples.
    max_error : int
    weights : ndarray of int64, shape (NEIGHBOURS,)
        Of the errors at the neighbours.
    spreads, inverses : ndarray of int64, shape (classes,)
        Scale of each class in ``2**-16`` steps, and ``2**44`` over it.
    most : int
        Largest magnitude of an error that predicts, in 64ths.
    symbols, shift : int
        Largest magnitude of a symbol, and low bits that are coded as they are.
    comb : int
        Dampening of the axis in quarters, 0 for none.
    table : ndarray of int64
    floor : int
        Of `bounded_model.distribution`.
    """

    expected: Any
    base: Any
    classes: Any
    low: Any
    high: Any
    max_error: Any
    weights: Any
    spreads: Any
    inverses: Any
    most: Any
    symbols: Any
    shift: Any
    comb: Any
    table: Any
    floor: Any


@njit(cache=True, nogil=True, error_model="numpy")
def encode_band(
    integers: Any, cols: int, band: Any, decoded: Any, firsts: Any, shares: Any, count: int
) -> int:
    """Model the samples of a band: their symbols' shares, for `take_bytes`, and what is decoded.

    Parameters
    ----------
    integers : ndarray of int32, shape (pixels,)
        Samples less the base.
    cols : int
    band : Band
    decoded : ndarray of int32, shape (pixels,)
        Set to what the decoder will have.
    firsts, shares : ndarray of uint32
        Where symbols go, with room for two a pixel.
    count : int
        Symbols there so far.

    Returns
    -------
    int
        Symbols there.
    """
    classes, comb, shift = len(band.inverses), band.comb > 0, band.shift
    low, high, max_error = band.low, band.high, band.max_error
    exact, half = max_error == 0 and shift == 0, (cols + 1) >> 1
    last = high - low if exact else 2 * band.symbols
    counts, axis = _counts_and_axis(band)
    seen, rebuild = 0, len(band.base) >> 6
    above, beside = np.zeros((2, half + 1), np.int64), np.zeros((2, half + 1), np.int64)
    numbers, work = np.empty((4, half), np.int64), np.empty(WORK, np.int64)
    for start in range(0, len(integers), cols):
        if comb and seen >= rebuild:
            stretch(counts, band.comb, axis)
            rebuild = _next_rebuild(seen, len(band.base))
        for odd in range(2):
            a, b = start + odd * half, start + (cols if odd else half)
            n = b - a
            positions, steps, centres = numbers[0, :n], numbers[1, :n], numbers[2, :n]
            expected, base, labels = band.expected[a:b], band.base[a:b], band.classes[a:b]
            found, symbols = decoded[a:b], numbers[3, :n]
            predict(expected, base, band.weights, odd, above, beside, low, high, positions)
            quantise(integers[a:b], positions, max_error, steps)
            reconstruct(positions, steps, base, labels, classes, low, high, max_error, found)
            missed(found, expected, labels, classes, band.most, beside[odd, odd : odd + n])
            _centre(band, axis, positions, base, exact, steps, symbols, centres)
            if exact:
                for i in range(n):
                    symbols[i] = found[i] - (low - base[i])
                if comb:
                    seen += count_values(symbols, labels, classes, counts)
            else:
                for i in range(n):
                    symbols[i] = ((steps[i] + ((1 << shift) >> 1)) >> shift) + band.symbols
            share_symbols(
                symbols,
                centres,
                labels,
                band.inverses,
                axis,
                comb,
                band.table,
                last,
                band.floor,
                work,
                firsts[count : count + n],
                shares[count : count + n],
            )
            count += n
            if shift:
                for i in range(n):
                    steps[i] += (1 << shift) >> 1
                ends = slice(count, count + n)
                share_bits(steps, shift, labels, classes, firsts[ends], shares[ends])
                count += n
        above, beside = beside, above
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def decode_band(
    cols: int,
    band: Any,
    quantiles: Any,
    states: Any,
    turn: int,
    words: Any,
    left: int,
    decoded: Any,
) -> int:
    """The reverse of `encode_band` and `take_bytes`.

    Parameters
    ----------
    cols, band
        As `encode_band` got them.
    quantiles : ndarray of int64
        One of `bounded_model.quantiles`, of the band's shape.
    states : ndarray of uint64, shape (lanes,)
        Of the range coder, which are moved on.
    turn : int
        The lane of the first sample.
    words : ndarray of uint32
        With one more that is read ahead while none is taken.
    left : int
        Words not yet taken, the last one next.
    decoded : ndarray of int32 or int64, shape (pixels,)
        Set to the integers, all within the band's range.

    Returns
    -------
    int
        Words left, negative if there were too few.
    """
    classes, comb, shift = len(band.inverses), band.comb > 0, band.shift
    low, high, max_error = band.low, band.high, band.max_error
    exact, half = max_error == 0 and shift == 0, (cols + 1) >> 1
    last = high - low if exact else 2 * band.symbols
    counts, axis = _counts_and_axis(band)
    places = _places(axis)
    seen, rebuild = 0, len(band.base) >> 6
    above, beside = np.zeros((2, half + 1), np.int64), np.zeros((2, half + 1), np.int64)
    numbers, work = np.empty((4, half), np.int64), np.empty(WORK, np.int64)
    for start in range(0, len(decoded), cols):
        if comb and seen >= rebuild:
            stretch(counts, band.comb, axis)
            places = _places(axis)
            rebuild = _next_rebuild(seen, len(band.base))
        for odd in range(2):
            a, b = start + odd * half, start + (cols if odd else half)
            n = b - a
            positions, steps, centres = numbers[0, :n], numbers[1, :n], numbers[2, :n]
            expected, base, labels = band.expected[a:b], band.base[a:b], band.classes[a:b]
            found, other = decoded[a:b], numbers[3, :n]
            predict(expected, base, band.weights, odd, above, beside, low, high, positions)
            _centre(band, axis, positions, base, exact, steps, other, centres)
            left = find_symbols(
                states,
                turn,
                words,
                left,
                centres,
                labels,
                band.spreads,
                band.inverses,
                quantiles,
                axis,
                places,
                comb,
                band.table,
                last,
                band.floor,
                work,
                steps,
            )
            turn = (turn + n) % len(states)
            if shift:
                left = find_bits(states, turn, words, left, shift, labels, classes, other)
                turn = (turn + n) % len(states)
                for i in range(n):
                    steps[i] = ((steps[i] - band.symbols) << shift) + other[i] - (1 << shift >> 1)
            elif exact:
                if comb:
                    seen += count_values(steps, labels, classes, counts)
                for i in range(n):
                    steps[i] += low - base[i] - ((positions[i] + 32) >> 6)
            else:
                for i in range(n):
                    steps[i] -= band.symbols
            reconstruct(positions, steps, base, labels, classes, low, high, max_error, found)
            missed(found, expected, labels, classes, band.most, beside[odd, odd : odd + n])
        above, beside = beside, above
    return left


@njit(cache=True, nogil=True, error_model="numpy")
def _counts_and_axis(band: Any) -> Any:
    """How often the values of a band were seen, and its axis, at first; small without a comb."""
    values = band.high - band.low + 1 if band.comb > 0 else 1
    return np.zeros(values, np.int32), (np.arange(values + 1) << 6).astype(np.int32)


@njit(cache=True, nogil=True, error_model="numpy")
def _next_rebuild(seen: int, pixels: int) -> int:
    """Samples seen before a band's axis is made anew, if it was after so many."""
    return seen + max(seen >> 2, pixels >> 5)


@njit(cache=True, nogil=True, error_model="numpy")
def _centre(
    band: Any,
    axis: Any,
    positions: Any,
    base: Any,
    exact: bool,
    values: Any,
    parts: Any,
    centres: Any,
) -> None:
    """Where the symbols of a half are expected; ``values`` and ``parts`` as in `centre_on`."""
    if band.comb > 0:
        centre_on(axis, positions, base, band.low, values, parts, centres)
    elif exact:
        centre_plainly(positions, base, band.low, centres)
    else:
        for i in range(len(centres)):
            centres[i] = 32 + (band.symbols << 6)


@njit(cache=True, nogil=True, error_model="numpy")
def _places(axis: Any) -> Any:
    """The value at each whole number of an axis."""
    places = np.empty((axis[-1] >> 6) + 1, np.uint16)
    place, last = 0, len(axis) - 2
    for value in range(last + 1):
        while place << 6 < axis[value + 1]:
            places[place] = value
            place += 1
    places[place:] = last
    return places
