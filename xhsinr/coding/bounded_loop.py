"""The compiled loops over the samples of a band: prediction from its neighbours, model, rANS.

Each row of a band is coded in two halves, first the even columns and then the odd ones, which is
also how they lie in memory. What the bands before say of a sample comes in beforehand, for the
whole band; what the errors that this prediction made at the neighbours say is added here. Even
columns see the row above, odd columns the samples to the left and right too, so that within a half
no sample waits for another (see `xhsinr.coding.bounded_steps`).

Four states of a range coder take turns, sample by sample.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, uint64

from xhsinr.coding.bounded_coder import next_word
from xhsinr.coding.bounded_model import ONE, PRECISION, quantile, stretch
from xhsinr.coding.bounded_steps import (
    centre_between,
    centre_on,
    clip,
    count_values,
    least_share,
    missed,
    of_class,
    predict,
    quantise,
    reconstruct,
    share_below,
    share_steps,
    share_values,
)

__all__ = ["NEIGHBOURS", "STATES", "Band", "decode_band", "encode_band"]

NEIGHBOURS = 8
"""Weights of errors: NW, N, NE for even columns; NW, N, NE, W, E for odd ones."""

STATES = 4
"""States of a range coder that take turns."""

_SHIFT = uint64(PRECISION)
_MASK = uint64(ONE - 1)
_FIRST_REBUILD = 1000
"""Samples seen before a band's axis is stretched for the first time; then 1.5 times as many."""


class Band(NamedTuple):
    """What the loops know of a band.

    Attributes
    ----------
    expected : ndarray of int64, shape (pixels,)
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
        Scale of each class, see `bounded_model.share`.
    most : int
        Largest magnitude of an error that predicts, in 64ths.
    symbols, shift : int
        Largest magnitude of a symbol, and low bits that are coded as they are.
    comb : int
        Dampening of the axis in quarters, 0 for none.
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


@njit(cache=True, nogil=True, error_model="numpy")
def encode_band(
    integers: Any,
    cols: int,
    band: Any,
    table: Any,
    decoded: Any,
    firsts: Any,
    shares: Any,
    count: int,
) -> int:
    """Model the samples of a band: their symbols' shares, for `take_bytes`, and what is decoded.

    Parameters
    ----------
    integers : ndarray of int32, shape (pixels,)
        Samples less the base.
    cols : int
    band : Band
    table : ndarray of int64
        Distribution function of the band's shape.
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
    counts, axis = _counts_and_axis(band)
    seen, rebuild = 0, _FIRST_REBUILD
    above, beside = np.zeros((2, half + 1), np.int64), np.zeros((2, half + 1), np.int64)
    numbers = np.empty((6, half), np.int64)
    for start in range(0, len(integers), cols):
        if comb and seen >= rebuild:
            stretch(counts, band.comb, axis)
            rebuild = seen + (seen >> 1)
        for odd in range(2):
            a, b = start + odd * half, start + (cols if odd else half)
            n = b - a
            positions, steps, inverses = numbers[0, :n], numbers[1, :n], numbers[2, :n]
            centres, begins, ends = numbers[3, :n], numbers[4, :n], numbers[5, :n]
            expected, base, labels = band.expected[a:b], band.base[a:b], band.classes[a:b]
            found = decoded[a:b]
            predict(expected, base, band.weights, odd, above, beside, low, high, positions)
            quantise(integers[a:b], positions, max_error, steps)
            reconstruct(positions, steps, base, labels, classes, low, high, max_error, found)
            missed(found, expected, labels, classes, band.most, beside[odd, odd : odd + n])
            of_class(band.inverses, labels, inverses)
            if comb:
                centre_on(axis, positions, base, low, centres)
                for i in range(n):
                    steps[i] = found[i] - (low - base[i])
                seen += count_values(steps, labels, classes, counts)
                share_values(steps, 0, axis, centres, inverses, table, begins)
                share_values(steps, 1, axis, centres, inverses, table, ends)
            else:
                centre_between(positions, exact, centres)
                share_steps(steps, shift, 0, band.symbols, centres, inverses, table, begins)
                share_steps(steps, shift, 1, band.symbols, centres, inverses, table, ends)
            for i in range(n):
                if labels[i] >= classes:
                    continue
                firsts[count] = begins[i]
                shares[count] = ends[i] - begins[i]
                count += 1
                if shift:
                    raw = (steps[i] + ((1 << shift) >> 1)) & ((1 << shift) - 1)
                    firsts[count] = raw << (PRECISION - shift)
                    shares[count] = 1 << (PRECISION - shift)
                    count += 1
        above, beside = beside, above
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def decode_band(
    cols: int,
    band: Any,
    table: Any,
    backwards: Any,
    states: Any,
    words: Any,
    left: int,
    decoded: Any,
) -> int:
    """The reverse of `encode_band` and `take_bytes`.

    Parameters
    ----------
    cols, band, table
        As `encode_band` got them.
    backwards : ndarray of int32
        One of `bounded_model.inverses`, of the band's shape.
    states : ndarray of uint64, shape (STATES,)
        Of the range coder, the next one first, which are moved on.
    words : ndarray of uint32
        Past them zeros follow.
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
    low, high, max_error, symbols = band.low, band.high, band.max_error, band.symbols
    exact, half = max_error == 0 and shift == 0, (cols + 1) >> 1
    counts, axis = _counts_and_axis(band)
    last = high - low if comb else 2 * symbols
    floor = least_share(last + 1)
    places = _places(axis)
    seen, rebuild = 0, _FIRST_REBUILD
    above, beside = np.zeros((2, half + 1), np.int64), np.zeros((2, half + 1), np.int64)
    numbers = np.empty((3, half), np.int64)
    one, two, three, four = states[0], states[1], states[2], states[3]
    for start in range(0, len(decoded), cols):
        if comb and seen >= rebuild:
            stretch(counts, band.comb, axis)
            places = _places(axis)
            rebuild = seen + (seen >> 1)
        for odd in range(2):
            a, b = start + odd * half, start + (cols if odd else half)
            n = b - a
            positions, steps, centres = numbers[0, :n], numbers[1, :n], numbers[2, :n]
            expected, base, labels = band.expected[a:b], band.base[a:b], band.classes[a:b]
            predict(expected, base, band.weights, odd, above, beside, low, high, positions)
            if comb:
                centre_on(axis, positions, base, low, centres)
            else:
                centre_between(positions, exact, centres)
            for i in range(n):
                which = labels[i]
                if which >= classes:
                    continue
                target, inverse, centre = np.int64(one & _MASK), band.inverses[which], centres[i]
                place = centre + quantile(target, band.spreads[which], backwards)
                if comb:
                    index = np.int64(places[clip(place >> 6, 0, len(places) - 1)])
                    index = min(index + np.int64(axis[index + 1] <= place), last)
                    edge, after = axis[index] - centre, axis[index + 1] - centre
                    first = share_below(index, edge, last, inverse, table, floor)
                    end = share_below(index + 1, after, last, inverse, table, floor)
                else:
                    index = clip((place >> 6) + symbols, 0, last)
                    edge = ((index - symbols) << 6) - centre
                    first = share_below(index, edge, last, inverse, table, floor)
                    end = share_below(index + 1, edge + 64, last, inverse, table, floor)
                if first > target or end <= target:
                    index, first, end = _search(
                        target, index, centre, symbols, comb, axis, last, inverse, table, floor
                    )
                one = uint64(end - first) * (one >> _SHIFT) + uint64(target - first)
                one, left = next_word(one, words, left)
                one, two, three, four = two, three, four, one
                if comb:
                    steps[i] = index
                else:
                    steps[i] = index - symbols
                    if shift:
                        raw = np.int64(one & _MASK) >> (PRECISION - shift)
                        one = (one >> _SHIFT << uint64(PRECISION - shift)) + (
                            (one & _MASK) - uint64(raw << (PRECISION - shift))
                        )
                        one, left = next_word(one, words, left)
                        one, two, three, four = two, three, four, one
                        steps[i] = (steps[i] << shift) + raw - ((1 << shift) >> 1)
            if comb:
                seen += count_values(steps, labels, classes, counts)
                for i in range(n):
                    steps[i] += low - base[i] - ((positions[i] + 32) >> 6)
            found = decoded[a:b]
            reconstruct(positions, steps, base, labels, classes, low, high, max_error, found)
            missed(found, expected, labels, classes, band.most, beside[odd, odd : odd + n])
        above, beside = beside, above
    states[0], states[1], states[2], states[3] = one, two, three, four
    return left


@njit(cache=True, nogil=True, error_model="numpy")
def _counts_and_axis(band: Any) -> Any:
    """How often the values of a band were seen, and its axis, at first; small without a comb."""
    values = band.high - band.low + 1 if band.comb > 0 else 1
    return np.zeros(values, np.int32), (np.arange(values + 1) << 6).astype(np.int32)


@njit(cache=True, nogil=True, error_model="numpy")
def _search(
    target: Any,
    index: Any,
    centre: Any,
    symbols: Any,
    comb: Any,
    axis: Any,
    last: Any,
    inverse: Any,
    table: Any,
    floor: Any,
) -> Any:
    """The symbol whose share holds a target, where that begins and ends.

    In steps from a guess that double, then by halving.
    """
    low, begins, high, ends = np.int64(0), np.int64(0), np.int64(last + 1), np.int64(ONE)
    probe, reach = index, np.int64(1)
    while high - low > 1:
        edge = np.int64(axis[probe]) if comb else (probe - symbols) << 6
        begin = share_below(probe, edge - centre, last, inverse, table, floor)
        if begin > target:
            high, ends = probe, begin
        else:
            low, begins = probe, begin
        if high > last:
            probe = min(low + reach, high - 1)
        elif low == 0:
            probe = max(high - reach, 1)
        else:
            probe = (low + high) >> 1
        reach *= 2
    return low, begins, ends


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
