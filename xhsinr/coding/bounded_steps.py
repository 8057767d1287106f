"""Steps of the bounded coding over half a row: predict, quantise, share out.

No sample of a half waits for another, so that each step is a loop that a processor does several
turns of at once. Each has one result, as compilers see no more than a few arrays apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from xhsinr.coding.bounded_model import ONE, PRECISION, share

__all__ = [
    "WEIGHT_BITS",
    "centre_between",
    "centre_on",
    "clip",
    "count_values",
    "least_share",
    "missed",
    "of_class",
    "predict",
    "quantise",
    "reconstruct",
    "share_below",
    "share_steps",
    "share_values",
]

WEIGHT_BITS = 8
"""Fractional bits of the weights of errors."""


@njit(inline="always")
def clip(value: Any, low: Any, high: Any) -> Any:
    return min(max(value, low), high)


@njit(inline="always")
def least_share(symbols: Any) -> Any:
    """Least share of a symbol: a 2**14th of all is spread evenly."""
    return max((ONE >> 14) // symbols, 1)


@njit(inline="always")
def share_below(index: Any, distance: Any, last: Any, inverse: Any, table: Any, floor: Any) -> Any:
    """Share of all symbols below one, whose distance from the centre is in 64ths of a step."""
    below = share(distance, inverse, table) * (ONE - (last + 1) * floor) >> PRECISION
    begin = index * floor + below
    return 0 if index <= 0 else ONE if index > last else begin


@njit(cache=True, nogil=True, error_model="numpy")
def predict(
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
            positions[i] = clip(place, (low - base[i]) << 6, (high - base[i]) << 6)
    else:
        nw, n, ne = weights[0], weights[1], weights[2]
        for i in range(len(expected)):
            total = nw * odds[i] + n * evens[i] + ne * odds[i + 1] + rounding
            place = expected[i] + (total >> WEIGHT_BITS)
            positions[i] = clip(place, (low - base[i]) << 6, (high - base[i]) << 6)


@njit(cache=True, nogil=True, error_model="numpy")
def quantise(integers: Any, positions: Any, max_error: int, steps: Any) -> None:
    """Steps of the quantiser from the expected integers to those that there are."""
    width = 2.0 * max_error + 1.0
    for i in range(len(integers)):
        error = integers[i] - ((positions[i] + 32) >> 6)
        steps[i] = np.int64(np.floor((error + max_error) / width))


@njit(cache=True, nogil=True, error_model="numpy")
def reconstruct(
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
        decoded[i] = clip(((positions[i] + 32) >> 6) + away, low - base[i], high - base[i])


@njit(cache=True, nogil=True, error_model="numpy")
def missed(decoded: Any, expected: Any, classes: Any, count: int, most: int, errors: Any) -> None:
    """How far the bands before were off, where there is a class."""
    for i in range(len(decoded)):
        error = (np.int64(decoded[i]) << 6) - expected[i]
        errors[i] = clip(error, -most, most) if classes[i] < count else 0


@njit(cache=True, nogil=True, error_model="numpy")
def of_class(numbers: Any, classes: Any, found: Any) -> None:
    """The number of each pixel's class; of pixels without one any."""
    last = len(numbers) - 1
    for i in range(len(classes)):
        found[i] = numbers[min(np.int64(classes[i]), last)]


@njit(cache=True, nogil=True, error_model="numpy")
def count_values(values: Any, classes: Any, count: int, counts: Any) -> int:
    """Count values where there is a class; returns how many these are."""
    seen = 0
    for i in range(len(values)):
        if classes[i] < count:
            counts[values[i]] += 1
            seen += 1
    return seen


@njit(cache=True, nogil=True, error_model="numpy")
def centre_between(positions: Any, exact: bool, centres: Any) -> None:
    """Centres of symbols that are steps: where the expected one, the zeroth, is expected."""
    for i in range(len(centres)):
        away = positions[i] - ((positions[i] + 32) >> 6 << 6)
        centres[i] = 32 + (away if exact else 0)


@njit(cache=True, nogil=True, error_model="numpy")
def centre_on(axis: Any, positions: Any, base: Any, low: int, centres: Any) -> None:
    """Centres of symbols that are values, on a stretched axis."""
    last = len(axis) - 2
    for i in range(len(centres)):
        place = positions[i] + 32 - ((low - base[i]) << 6)
        value = clip(place >> 6, 0, last)
        start = np.int64(axis[value])
        width = axis[value + 1] - start
        centres[i] = start + ((clip(place - (value << 6), 0, 64) * width) >> 6)


@njit(cache=True, nogil=True, error_model="numpy")
def share_steps(
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
    floor, half = least_share(last + 1), (1 << shift) >> 1
    for i in range(len(begins)):
        symbol = ((steps[i] + half) >> shift) + after
        begins[i] = share_below(
            symbol + symbols, (symbol << 6) - centres[i], last, inverses[i], table, floor
        )


@njit(cache=True, nogil=True, error_model="numpy")
def share_values(
    values: Any, after: int, axis: Any, centres: Any, inverses: Any, table: Any, begins: Any
) -> None:
    """Where the shares of symbols begin that are values, or so many after."""
    last = len(axis) - 2
    floor = least_share(last + 1)
    for i in range(len(begins)):
        index = values[i] + after
        begins[i] = share_below(index, axis[index] - centres[i], last, inverses[i], table, floor)
