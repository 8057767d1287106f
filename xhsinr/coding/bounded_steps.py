"""Steps of the bounded coding over half a row: predict, quantise, reconstruct.

No sample of a half waits for another, so that each step is a loop that a processor does several
turns of at once. Each has one result, as compilers see no more than a few arrays apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, uint64

__all__ = [
    "WEIGHT_BITS",
    "centre_on",
    "centre_plainly",
    "count_values",
    "missed",
    "predict",
    "quantise",
    "reconstruct",
]

WEIGHT_BITS = 5
"""Fractional bits of the weights of errors."""


@njit(inline="always")
def _clip(value: Any, low: Any, high: Any) -> Any:
    return min(max(value, low), high)


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
            positions[i] = _clip(place, (low - base[i]) << 6, (high - base[i]) << 6)
    else:
        nw, n, ne = weights[0], weights[1], weights[2]
        for i in range(len(expected)):
            total = nw * odds[i] + n * evens[i] + ne * odds[i + 1] + rounding
            place = expected[i] + (total >> WEIGHT_BITS)
            positions[i] = _clip(place, (low - base[i]) << 6, (high - base[i]) << 6)


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
        decoded[i] = _clip(((positions[i] + 32) >> 6) + away, low - base[i], high - base[i])


@njit(cache=True, nogil=True, error_model="numpy")
def missed(decoded: Any, expected: Any, classes: Any, count: int, most: int, errors: Any) -> None:
    """How far the bands before were off, where there is a class."""
    for i in range(len(decoded)):
        error = (np.int64(decoded[i]) << 6) - expected[i]
        errors[i] = _clip(error, -most, most) if classes[i] < count else 0


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
def centre_plainly(positions: Any, base: Any, low: int, centres: Any) -> None:
    """Where symbols that are values are expected, a step apart."""
    for i in range(len(centres)):
        centres[i] = positions[i] + 32 - ((low - base[i]) << 6)


@njit(cache=True, nogil=True, error_model="numpy")
def centre_on(
    axis: Any, positions: Any, base: Any, low: int, values: Any, parts: Any, centres: Any
) -> None:
    """Where symbols that are values are expected, on a stretched axis.

    ``values`` and ``parts`` are for numbers on the way.
    """
    last = len(axis) - 2
    for i in range(len(centres)):
        values[i] = _clip((positions[i] + 32 - ((low - base[i]) << 6)) >> 6, 0, last)
    for i in range(len(centres)):
        parts[i] = _clip(positions[i] + 32 - ((low - base[i]) << 6) - (values[i] << 6), 0, 64)
    for i in range(len(centres)):
        start = np.int64(axis[uint64(values[i])])
        centres[i] = start + ((parts[i] * (axis[uint64(values[i] + 1)] - start)) >> 6)
