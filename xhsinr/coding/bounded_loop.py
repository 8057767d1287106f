"""The compiled loops over the samples of a band: prediction from its neighbours, model, rANS.

Each row of a band is coded in two halves, first the even columns and then the odd ones. What the
bands before say of a sample comes in beforehand, for the whole band; what the errors that this
prediction made at the neighbours say is added here. Even columns see the row above, odd columns
the samples to the left and right too, so that within a half no sample waits for another.

Two states of a range coder (see `xhsinr.entropy.rans`) take turns, sample by sample.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit, uint32, uint64

from xhsinr.coding.bounded_model import ONE, PRECISION, quantile, share, stretch

__all__ = ["EMPTY", "NEIGHBOURS", "WEIGHT_BITS", "Band", "decode_band", "encode_band", "take"]

NEIGHBOURS = 8
"""Weights of errors: NW, N, NE for even columns; NW, N, NE, W, E for odd ones."""

WEIGHT_BITS = 8
"""Fractional bits of the weights of errors."""

EMPTY = np.uint64(1 << 31)
"""State of a range coder without symbols."""
_LIMIT = uint64(63 - PRECISION)
_SHIFT = uint64(PRECISION)
_MASK = uint64(ONE - 1)
_FIRST_REBUILD = 200
"""Samples seen before a band's axis is stretched for the first time; then 1.5 times as many."""

Ints = npt.NDArray[Any]


class Band(NamedTuple):
    """What the loops know of a band.

    Attributes
    ----------
    expected : ndarray of int64, shape (pixels,)
        What the bands before predict, in 64ths.
    base : ndarray of int32, shape (pixels,) or (0,)
        What is added to decoded integers to give samples; without it nothing.
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
def _correction(w: Any, odd: Any, above: Any, beside: Any, col: Any) -> Any:
    """What the errors at the neighbours add; ``above`` and ``beside`` have a frame of zeros."""
    if odd:
        total = w[3] * above[col] + w[4] * above[col + 1] + w[5] * above[col + 2]
        total += w[6] * beside[col] + w[7] * beside[col + 2]
    else:
        total = w[0] * above[col] + w[1] * above[col + 1] + w[2] * above[col + 2]
    return (total + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS


@njit(inline="always")
def _clip(value: Any, low: Any, high: Any) -> Any:
    return min(max(value, low), high)


@njit(cache=True, nogil=True, error_model="numpy")
def _below(
    index: Any, centre: Any, comb: Any, axis: Any, last: Any, inverse: Any, table: Any, floor: Any
) -> Any:
    """Share of all symbols below one."""
    if index <= 0:
        return np.int64(0)
    if index > last:
        return np.int64(ONE)
    edge = (axis[index] if comb else index << 6) - centre
    return index * floor + (share(edge, inverse, table) * (ONE - (last + 1) * floor) >> PRECISION)


@njit(inline="always")
def _locate(axis: Any, position: Any, last: Any) -> Any:
    """Place on a stretched axis of a position in 64ths of a value."""
    value = _clip(position >> 6, 0, last)
    width = axis[value + 1] - axis[value]
    return axis[value] + ((_clip(position - (value << 6), 0, 64) * width) >> 6)


@njit(inline="always")
def _floor(symbols: Any) -> Any:
    """Least share of a symbol: a 2**14th of all is spread evenly."""
    return max((ONE >> 14) // symbols, 1)


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
    """Model the samples of a band: their symbols' shares, for `take`, and what is decoded.

    Parameters
    ----------
    integers : ndarray of int32, shape (pixels,)
        Samples less the base.
    cols : int
    band : Band
    table : ndarray of int32
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
    pixels, classes = len(integers), len(band.spreads)
    expected, added, labels, weights = band.expected, band.base, band.classes, band.weights
    inverses, most, symbols = band.inverses, band.most, band.symbols
    based, comb, shift = len(added) > 0, band.comb > 0, band.shift
    least, greatest, max_error = band.low, band.high, band.max_error
    step, half = 2 * max_error + 1, (cols + 1) >> 1
    last = greatest - least if comb else 2 * symbols
    floor, exact = _floor(last + 1), step == 1 and shift == 0
    values = last + 1 if comb else 1
    counts, axis = np.zeros(values, np.int32), np.arange(values + 1) << 6
    seen, rebuild = 0, _FIRST_REBUILD
    above, beside = np.zeros(cols + 2, np.int64), np.zeros(cols + 2, np.int64)
    for start in range(0, pixels, cols):
        if comb and seen >= rebuild:
            stretch(counts, band.comb, axis)
            rebuild = seen + (seen >> 1)
        for odd in range(2):
            for col in range(odd, cols, 2):
                at = start + half * odd + (col >> 1)
                position = expected[at] + _correction(weights, odd, above, beside, col)
                base = np.int64(added[at]) if based else np.int64(0)
                low, high = least - base, greatest - base
                position = _clip(position, low << 6, high << 6)
                middle = (position + 32) >> 6
                which = labels[at]
                if which >= classes:
                    decoded[at] = middle
                    beside[col + 1] = 0
                    continue
                inverse = inverses[which]
                error = np.int64(integers[at]) - middle
                whole = error if step == 1 else np.int64(np.floor((error + max_error) / step))
                value = _clip(middle + whole * step, low, high)
                symbol = (whole + ((1 << shift) >> 1)) >> shift
                if comb:
                    index = value - low
                    centre = _locate(axis, position - (low << 6) + 32, last)
                    counts[index] += 1
                    seen += 1
                else:
                    index = symbol + symbols
                    centre = (symbols << 6) + 32
                    if exact:
                        centre += position - (middle << 6)
                first = _below(index, centre, comb, axis, last, inverse, table, floor)
                end = _below(index + 1, centre, comb, axis, last, inverse, table, floor)
                firsts[count] = first
                shares[count] = end - first
                count += 1
                if shift:
                    raw = whole + ((1 << shift) >> 1) - (symbol << shift)
                    firsts[count] = raw << (PRECISION - shift)
                    shares[count] = 1 << (PRECISION - shift)
                    count += 1
                decoded[at] = value
                error = (value << 6) - expected[at]
                beside[col + 1] = _clip(error, -most, most)
        above, beside = beside, above
        beside[:] = 0
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def take(firsts: Any, shares: Any, count: int, words: Any) -> tuple[Any, Any, int]:
    """Code symbols, the last one first; two states and the number of words that came of it."""
    one, other, size = EMPTY, EMPTY, 0
    for i in range(count - 1, -1, -1):
        wide = uint64(shares[i])
        if one >= wide << _LIMIT:
            words[size] = uint32(one & uint64(0xFFFFFFFF))
            size += 1
            one = one >> uint64(32)
        quotient = one // wide
        one = (quotient << _SHIFT) + (one - quotient * wide) + uint64(firsts[i])
        one, other = other, one
    return other, one, size


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
    """The reverse of `encode_band` and `take`.

    Parameters
    ----------
    cols, band, table
        As `encode_band` got them.
    backwards : ndarray of int64
        One of `bounded_model.inverses`, of the band's shape.
    states : ndarray of uint64, shape (2,)
        Of the range coder, which are moved on.
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
    pixels, classes = len(decoded), len(band.spreads)
    expected, added, labels, weights = band.expected, band.base, band.classes, band.weights
    spreads, inverses, most, symbols = band.spreads, band.inverses, band.most, band.symbols
    based, comb, shift = len(added) > 0, band.comb > 0, band.shift
    least, greatest, max_error = band.low, band.high, band.max_error
    step, half = 2 * max_error + 1, (cols + 1) >> 1
    last = greatest - least if comb else 2 * symbols
    floor, exact = _floor(last + 1), step == 1 and shift == 0
    values = last + 1 if comb else 1
    counts, axis = np.zeros(values, np.int32), np.arange(values + 1) << 6
    places = np.arange(values + 1)
    seen, rebuild = 0, _FIRST_REBUILD
    above, beside = np.zeros(cols + 2, np.int64), np.zeros(cols + 2, np.int64)
    one, other = states[0], states[1]
    for start in range(0, pixels, cols):
        if comb and seen >= rebuild:
            stretch(counts, band.comb, axis)
            places = _places(axis)
            rebuild = seen + (seen >> 1)
        for odd in range(2):
            for col in range(odd, cols, 2):
                at = start + half * odd + (col >> 1)
                position = expected[at] + _correction(weights, odd, above, beside, col)
                base = np.int64(added[at]) if based else np.int64(0)
                low, high = least - base, greatest - base
                position = _clip(position, low << 6, high << 6)
                middle = (position + 32) >> 6
                which = labels[at]
                if which >= classes:
                    decoded[at] = middle
                    beside[col + 1] = 0
                    continue
                inverse = inverses[which]
                target = np.int64(one & _MASK)
                away = quantile(target, spreads[which], backwards)
                if comb:
                    centre = _locate(axis, position - (low << 6) + 32, last)
                    index = places[_clip((centre + away) >> 6, 0, len(places) - 1)]
                    # More than one value may begin within a whole number, sixty-four at most.
                    while index < last and axis[index + 1] <= centre + away:
                        index += 1
                else:
                    centre = (symbols << 6) + 32
                    if exact:
                        centre += position - (middle << 6)
                    index = _clip((centre + away) >> 6, 0, last)
                first = _below(index, centre, comb, axis, last, inverse, table, floor)
                end = _below(index + 1, centre, comb, axis, last, inverse, table, floor)
                if first > target or end <= target:
                    index = _search(target, index, centre, comb, axis, last, inverse, table, floor)
                    first = _below(index, centre, comb, axis, last, inverse, table, floor)
                    end = _below(index + 1, centre, comb, axis, last, inverse, table, floor)
                one = uint64(end - first) * (one >> _SHIFT) + uint64(target - first)
                if one < EMPTY:
                    left -= 1
                    word = uint64(words[left]) if left >= 0 else uint64(0)
                    one = (one << uint64(32)) | word
                one, other = other, one
                if comb:
                    value = index + low
                    counts[index] += 1
                    seen += 1
                else:
                    whole = index - symbols
                    if shift:
                        raw = np.int64(one & _MASK) >> (PRECISION - shift)
                        one = (one >> _SHIFT << uint64(PRECISION - shift)) + (
                            (one & _MASK) - uint64(raw << (PRECISION - shift))
                        )
                        if one < EMPTY:
                            left -= 1
                            word = uint64(words[left]) if left >= 0 else uint64(0)
                            one = (one << uint64(32)) | word
                        one, other = other, one
                        whole = (whole << shift) + raw - ((1 << shift) >> 1)
                    value = _clip(middle + whole * step, low, high)
                decoded[at] = value
                error = (value << 6) - expected[at]
                beside[col + 1] = _clip(error, -most, most)
        above, beside = beside, above
        beside[:] = 0
    states[0], states[1] = one, other
    return left


@njit(cache=True, nogil=True, error_model="numpy")
def _search(
    target: Any,
    index: Any,
    centre: Any,
    comb: Any,
    axis: Any,
    last: Any,
    inverse: Any,
    table: Any,
    floor: Any,
) -> Any:
    """The symbol whose share holds a target: in steps that double, then by halving."""
    reach = np.int64(1)
    if _below(index, centre, comb, axis, last, inverse, table, floor) > target:
        high = index
        low = max(index - 1, 0)
        while _below(low, centre, comb, axis, last, inverse, table, floor) > target:
            high, reach = low, 2 * reach
            low = max(low - reach, 0)
    else:
        low = index
        high = min(index + 1, last + 1)
        while _below(high, centre, comb, axis, last, inverse, table, floor) <= target:
            low, reach = high, 2 * reach
            high = min(high + reach, last + 1)
    while high - low > 1:
        between = (low + high) >> 1
        if _below(between, centre, comb, axis, last, inverse, table, floor) > target:
            high = between
        else:
            low = between
    return low


@njit(cache=True, nogil=True, error_model="numpy")
def _places(axis: Any) -> Any:
    """The value at each whole number of an axis."""
    places = np.empty((axis[-1] >> 6) + 1, np.int64)
    value, last = 0, len(axis) - 2
    for place in range(len(places)):
        while value < last and axis[value + 1] <= place << 6:
            value += 1
        places[place] = value
    return places
