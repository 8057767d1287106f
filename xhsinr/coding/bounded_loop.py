"""The compiled loops over the samples of a band: prediction from its neighbours, model, rANS.

Each row of a band is coded in two halves, first the even columns and then the odd ones, which is
also how they lie in memory. What the bands before say of a sample comes in beforehand, for the
whole band; what the errors that this prediction made at the neighbours say is added here. Even
columns see the row above, odd columns the samples to the left and right too, so that within a half
no sample waits for another: steps over a half are loops that a processor does several turns of at
once. Each has one result, as compilers see no more than a few arrays apart.

Four states of a range coder (see `xhsinr.entropy.rans`) take turns, sample by sample.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit, uint32, uint64

from xhsinr.coding.bounded_model import ONE, PRECISION, quantile, share, stretch

__all__ = [
    "EMPTY",
    "NEIGHBOURS",
    "STATES",
    "WEIGHT_BITS",
    "Band",
    "decode_band",
    "encode_band",
    "take_bytes",
]

NEIGHBOURS = 8
"""Weights of errors: NW, N, NE for even columns; NW, N, NE, W, E for odd ones."""

WEIGHT_BITS = 8
"""Fractional bits of the weights of errors."""

STATES = 4
"""States of a range coder that take turns."""

EMPTY = np.uint64(1 << 31)
"""State of a range coder without symbols."""
_LIMIT = uint64(63 - PRECISION)
_SHIFT = uint64(PRECISION)
_MASK = uint64(ONE - 1)
_WORD = uint64(32)
_FIRST_REBUILD = 1000
"""Samples seen before a band's axis is stretched for the first time; then 1.5 times as many."""

Ints = npt.NDArray[Any]


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


@njit(inline="always")
def _clip(value: Any, low: Any, high: Any) -> Any:
    return min(max(value, low), high)


@njit(inline="always")
def _floor(symbols: Any) -> Any:
    """Least share of a symbol: a 2**14th of all is spread evenly."""
    return max((ONE >> 14) // symbols, 1)


@njit(inline="always")
def _begin(index: Any, distance: Any, last: Any, inverse: Any, table: Any, floor: Any) -> Any:
    """Share of all symbols below one, whose distance from the centre is in 64ths of a step."""
    below = share(distance, inverse, table) * (ONE - (last + 1) * floor) >> PRECISION
    begin = index * floor + below
    return 0 if index <= 0 else ONE if index > last else begin


@njit(cache=True, nogil=True, error_model="numpy")
def _predict(
    expected: Any,
    base: Any,
    weights: Any,
    odd: int,
    above: Any,
    beside: Any,
    low: int,
    high: int,
    positions: Any,
) -> None:
    """Where the samples of a half are expected, in 64ths, by the errors at their neighbours.

    Errors have the shape (2, half + 1): even columns and a zero, a zero and odd columns.
    """
    evens, odds, own = above[0], above[1], beside[0]
    rounding = 1 << (WEIGHT_BITS - 1)
    if odd:
        nw, n, ne, w, e = weights[3], weights[4], weights[5], weights[6], weights[7]
        for i in range(len(expected)):
            total = nw * evens[i] + n * odds[i + 1] + ne * evens[i + 1] + w * own[i]
            total += e * own[i + 1] + rounding
            place = expected[i] + (total >> WEIGHT_BITS)
            positions[i] = _clip(place, (low - base[i]) << 6, (high - base[i]) << 6)
    else:
        nw, n, ne = weights[0], weights[1], weights[2]
        for i in range(len(expected)):
            total = nw * odds[i] + n * evens[i] + ne * odds[i + 1] + rounding
            place = expected[i] + (total >> WEIGHT_BITS)
            positions[i] = _clip(place, (low - base[i]) << 6, (high - base[i]) << 6)


@njit(cache=True, nogil=True, error_model="numpy")
def _quantise(integers: Any, positions: Any, max_error: int, steps: Any) -> None:
    """Steps of the quantiser from the expected integers to those that there are."""
    width = 2.0 * max_error + 1.0
    for i in range(len(integers)):
        error = integers[i] - ((positions[i] + 32) >> 6)
        steps[i] = np.int64(np.floor((error + max_error) / width))


@njit(cache=True, nogil=True, error_model="numpy")
def _reconstruct(
    positions: Any,
    steps: Any,
    base: Any,
    classes: Any,
    count: int,
    low: int,
    high: int,
    max_error: int,
    decoded: Any,
) -> None:
    """Integers so many steps away from the expected ones; these where there is no class."""
    width = 2 * max_error + 1
    for i in range(len(decoded)):
        away = width * steps[i] if classes[i] < count else 0
        decoded[i] = _clip(((positions[i] + 32) >> 6) + away, low - base[i], high - base[i])


@njit(cache=True, nogil=True, error_model="numpy")
def _missed(decoded: Any, expected: Any, classes: Any, count: int, most: int, errors: Any) -> None:
    """How far the bands before were off, where there is a class."""
    for i in range(len(decoded)):
        error = (np.int64(decoded[i]) << 6) - expected[i]
        errors[i] = _clip(error, -most, most) if classes[i] < count else 0


@njit(cache=True, nogil=True, error_model="numpy")
def _of_class(numbers: Any, classes: Any, found: Any) -> None:
    """The number of each pixel's class; of pixels without one any."""
    last = len(numbers) - 1
    for i in range(len(classes)):
        found[i] = numbers[min(np.int64(classes[i]), last)]


@njit(cache=True, nogil=True, error_model="numpy")
def _count(values: Any, classes: Any, count: int, counts: Any) -> int:
    """Count values where there is a class; returns how many these are."""
    seen = 0
    for i in range(len(values)):
        if classes[i] < count:
            counts[values[i]] += 1
            seen += 1
    return seen


@njit(cache=True, nogil=True, error_model="numpy")
def _centre_between(positions: Any, exact: bool, centres: Any) -> None:
    """Centres of symbols that are steps: where the expected one, the zeroth, is expected."""
    for i in range(len(centres)):
        away = positions[i] - ((positions[i] + 32) >> 6 << 6)
        centres[i] = 32 + (away if exact else 0)


@njit(cache=True, nogil=True, error_model="numpy")
def _centre_on(axis: Any, positions: Any, base: Any, low: int, centres: Any) -> None:
    """Centres of symbols that are values, on a stretched axis."""
    last = len(axis) - 2
    for i in range(len(centres)):
        place = positions[i] + 32 - ((low - base[i]) << 6)
        value = _clip(place >> 6, 0, last)
        start = np.int64(axis[value])
        width = axis[value + 1] - start
        centres[i] = start + ((_clip(place - (value << 6), 0, 64) * width) >> 6)


@njit(cache=True, nogil=True, error_model="numpy")
def _share_steps(
    steps: Any,
    shift: int,
    after: int,
    symbols: int,
    centres: Any,
    inverses: Any,
    table: Any,
    begins: Any,
) -> None:
    """Where the shares of symbols begin that are steps less their low bits, or so many after."""
    last = 2 * symbols
    floor, half = _floor(last + 1), (1 << shift) >> 1
    for i in range(len(begins)):
        symbol = ((steps[i] + half) >> shift) + after
        begins[i] = _begin(
            symbol + symbols, (symbol << 6) - centres[i], last, inverses[i], table, floor
        )


@njit(cache=True, nogil=True, error_model="numpy")
def _share_values(
    values: Any, after: int, axis: Any, centres: Any, inverses: Any, table: Any, begins: Any
) -> None:
    """Where the shares of symbols begin that are values, or so many after."""
    last = len(axis) - 2
    floor = _floor(last + 1)
    for i in range(len(begins)):
        index = values[i] + after
        begins[i] = _begin(index, axis[index] - centres[i], last, inverses[i], table, floor)


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
            _predict(expected, base, band.weights, odd, above, beside, low, high, positions)
            _quantise(integers[a:b], positions, max_error, steps)
            _reconstruct(positions, steps, base, labels, classes, low, high, max_error, found)
            _missed(found, expected, labels, classes, band.most, beside[odd, odd : odd + n])
            _of_class(band.inverses, labels, inverses)
            if comb:
                _centre_on(axis, positions, base, low, centres)
                for i in range(n):
                    steps[i] = found[i] - (low - base[i])
                seen += _count(steps, labels, classes, counts)
                _share_values(steps, 0, axis, centres, inverses, table, begins)
                _share_values(steps, 1, axis, centres, inverses, table, ends)
            else:
                _centre_between(positions, exact, centres)
                _share_steps(steps, shift, 0, band.symbols, centres, inverses, table, begins)
                _share_steps(steps, shift, 1, band.symbols, centres, inverses, table, ends)
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
def _take(firsts: Any, shares: Any, count: int, states: Any, words: Any) -> int:
    """Code symbols, the last one first; returns how many words came of it.

    ``states`` are set: two or four, or whatever power of two takes turns.
    """
    size, turns = 0, len(states) - 1
    states[:] = EMPTY
    for i in range(count - 1, -1, -1):
        state, wide = states[i & turns], uint64(shares[i])
        if state >= wide << _LIMIT:
            words[size] = uint32(state & uint64(0xFFFFFFFF))
            size += 1
            state = state >> _WORD
        quotient = state // wide
        states[i & turns] = (quotient << _SHIFT) + (state - quotient * wide) + uint64(firsts[i])
    return size


def take_bytes(firsts: Ints, shares: Ints, count: int, turns: int) -> bytes:
    """Code symbols with so many states: these, and the words."""
    states, words = np.empty(turns, np.uint64), np.empty(count, np.uint32)
    size = _take(firsts, shares, count, states, words)
    return states.astype("<u8").tobytes() + words[:size].astype("<u4").tobytes()


@njit(inline="always")
def _next_word(state: Any, words: Any, left: Any) -> Any:
    """A state that is used up takes in a word, zero past the last one; words left after it."""
    if state < EMPTY:
        left -= 1
        state = (state << _WORD) | (uint64(words[left]) if left >= 0 else uint64(0))
    return state, left


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
    backwards : ndarray of int64
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
    floor = _floor(last + 1)
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
            _predict(expected, base, band.weights, odd, above, beside, low, high, positions)
            if comb:
                _centre_on(axis, positions, base, low, centres)
            else:
                _centre_between(positions, exact, centres)
            for i in range(n):
                which = labels[i]
                if which >= classes:
                    continue
                target, inverse, centre = np.int64(one & _MASK), band.inverses[which], centres[i]
                place = centre + quantile(target, band.spreads[which], backwards)
                if comb:
                    index = np.int64(places[_clip(place >> 6, 0, len(places) - 1)])
                    index = min(index + np.int64(axis[index + 1] <= place), last)
                    first = _begin(index, axis[index] - centre, last, inverse, table, floor)
                    end = _begin(index + 1, axis[index + 1] - centre, last, inverse, table, floor)
                else:
                    index = _clip((place >> 6) + symbols, 0, last)
                    edge = ((index - symbols) << 6) - centre
                    first = _begin(index, edge, last, inverse, table, floor)
                    end = _begin(index + 1, edge + 64, last, inverse, table, floor)
                if first > target or end <= target:
                    index, first, end = _search(
                        target, index, centre, symbols, comb, axis, last, inverse, table, floor
                    )
                one = uint64(end - first) * (one >> _SHIFT) + uint64(target - first)
                one, left = _next_word(one, words, left)
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
                        one, left = _next_word(one, words, left)
                        one, two, three, four = two, three, four, one
                        steps[i] = (steps[i] << shift) + raw - ((1 << shift) >> 1)
            if comb:
                seen += _count(steps, labels, classes, counts)
                for i in range(n):
                    steps[i] += low - base[i] - ((positions[i] + 32) >> 6)
            found = decoded[a:b]
            _reconstruct(positions, steps, base, labels, classes, low, high, max_error, found)
            _missed(found, expected, labels, classes, band.most, beside[odd, odd : odd + n])
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
        begin = _begin(probe, edge - centre, last, inverse, table, floor)
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
