"""What the encoder finds out before it codes a band: weights, scales, shape, comb.

Nothing here is repeated by a decoder, so floats of any rounding do.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from xhsinr.coding.bounded_loop import NEIGHBOURS, WEIGHT_BITS
from xhsinr.coding.bounded_model import (
    COMBS,
    LEVELS,
    ONE,
    SHAPES,
    distributions,
    scale,
    stretch,
)

__all__ = ["choose_comb", "choose_scales", "error_weights", "solve", "symbol_counts"]

_RIDGE = 1e-3
_RELATIVE_RIDGE = 1e-9
_EXACT_BINS = 32
_BINS = _EXACT_BINS + 8 * 30
"""Magnitudes of symbols are counted one by one up to 32, and in eighths of octaves above."""

Floats = npt.NDArray[np.float64]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _sweep(table: Any, pivot: int) -> None:
    """Solve for one unknown, or undo it: Gauss-Jordan elimination in place."""
    inverse = 1.0 / table[pivot, pivot]
    row = table[pivot] * inverse
    row[pivot] = inverse
    for i in range(len(table)):
        factor = table[i, pivot]
        if i != pivot and factor != 0:
            table[i, pivot] = 0
            for j in range(len(table)):
                table[i, j] -= factor * row[j]
    table[pivot] = row


@njit(cache=True, nogil=True, error_model="numpy")
def solve(gram: Any, count: float, noise: float, worth: float, weights: Any) -> None:
    """Least squares, without the weights that save fewer bits than they are worth.

    The one that saves least is left out first, as each left out changes the others.

    Parameters
    ----------
    gram : ndarray of float64, shape (n + 1, n + 1)
        Sums of products of features, the last of which is the target.
    count : float
        Of how many.
    noise : float
        Variance that a quantiser adds to what is left.
    worth : float
        In bits.
    weights : ndarray of float64, shape (n,)
        Set to the weights, 0 where one is not worth it.
    """
    n = len(weights)
    table = gram.copy()
    trace = 0.0
    for i in range(n):
        trace += gram[i, i]
    ridge = _RIDGE * count + _RELATIVE_RIDGE * trace / n
    kept = np.zeros(n, np.bool_)
    for i in range(n):
        table[i, i] += ridge
        # Below that it is a sum of the others.
        if table[i, i] > 1.5 * ridge:
            kept[i] = True
            _sweep(table, i)
    while True:
        # The diagonal of the inverse says what is lost without a weight.
        left = max(table[n, n], 0.0) / count + noise
        least, which = worth * 2 * np.log(2) * left, -1
        for i in range(n):
            if kept[i] and table[i, n] ** 2 < least * table[i, i]:
                least, which = table[i, n] ** 2 / table[i, i], i
        if which < 0:
            break
        kept[which] = False
        _sweep(table, which)
    for i in range(n):
        weights[i] = table[i, n] if kept[i] else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _errors_of_row(
    integers: Any, expected: Any, classes: Any, bad: int, most: int, start: int, errors: Any
) -> None:
    """Errors of the pixels of a row between two zeros; of bad ones zeros, too."""
    half = (len(errors) - 1) >> 1
    for col in range(len(errors) - 2):
        at = start + half * (col & 1) + (col >> 1)
        error = (np.int64(integers[at]) << 6) - expected[at]
        errors[col + 1] = 0.0 if classes[at] >= bad else float(min(max(error, -most), most))


@njit(cache=True, nogil=True, error_model="numpy")
def error_weights(
    integers: Any,
    expected: Any,
    classes: Any,
    bad: int,
    most: int,
    cols: int,
    every: int,
    noise: float,
) -> Any:
    """Weights of the errors at the neighbours, from every so many rows.

    Parameters
    ----------
    integers, expected, classes : ndarray, shape (pixels,)
    bad : int
        Pixels of this class and above count for nothing.
    most : int
        Errors are cut to this magnitude.
    cols, every : int
    noise : float
        Variance of what the quantiser adds to each error, in squared 64ths.

    Returns
    -------
    ndarray of int64, shape (NEIGHBOURS,)
    """
    weights = np.zeros(NEIGHBOURS, np.int64)
    grams, numbers = np.zeros((2, 6, 6)), np.zeros(2)
    errors, above, beside = np.zeros(6), np.zeros(cols + 2), np.zeros(cols + 2)
    half = (cols + 1) >> 1
    for start in range(cols, len(integers), cols * every):
        _errors_of_row(integers, expected, classes, bad, most, start - cols, above)
        _errors_of_row(integers, expected, classes, bad, most, start, beside)
        for col in range(cols):
            if classes[start + half * (col & 1) + (col >> 1)] >= bad:
                continue
            target = beside[col + 1]
            errors[0], errors[1], errors[2] = above[col], above[col + 1], above[col + 2]
            errors[3], errors[4] = beside[col], beside[col + 2]
            odd = col & 1
            size = 5 if odd else 3
            errors[size] = target
            for i in range(size + 1):
                for j in range(size + 1):
                    grams[odd, i, j] += errors[i] * errors[j]
            numbers[odd] += 1
    for odd in range(2):
        size = 5 if odd else 3
        if numbers[odd] < 16:
            continue
        gram = grams[odd, : size + 1, : size + 1].copy()
        for i in range(size):
            gram[i, i] += noise * numbers[odd]
        best = np.zeros(size)
        solve(gram, numbers[odd], noise, 2.0, best)
        for i in range(size):
            limited = min(max(best[i], -2.0), 2.0)
            weights[(3 if odd else 0) + i] = np.int64(np.rint(limited * (1 << WEIGHT_BITS)))
    return weights


@njit(cache=True, nogil=True, error_model="numpy")
def symbol_counts(
    integers: Any,
    expected: Any,
    classes: Any,
    bad: int,
    most: int,
    cols: int,
    every: int,
    weights: Any,
    step: int,
) -> Any:
    """How often symbols of each magnitude come in each class, shape (classes, bins)."""
    counts = np.zeros((bad, _BINS))
    above, beside = np.zeros(cols + 2), np.zeros(cols + 2)
    half = (cols + 1) >> 1
    first = cols if len(integers) > cols else 0
    for start in range(first, len(integers), cols * every):
        if start:
            _errors_of_row(integers, expected, classes, bad, most, start - cols, above)
            _errors_of_row(integers, expected, classes, bad, most, start, beside)
        for col in range(cols):
            at = start + half * (col & 1) + (col >> 1)
            which = classes[at]
            if which >= bad:
                continue
            if col & 1:
                total = weights[3] * above[col] + weights[4] * above[col + 1]
                total += weights[5] * above[col + 2]
                total += weights[6] * beside[col]
                total += weights[7] * beside[col + 2]
            else:
                total = weights[0] * above[col] + weights[1] * above[col + 1]
                total += weights[2] * above[col + 2]
            left = (np.int64(integers[at]) << 6) - expected[at] - np.int64(total) // 256
            symbol = (abs(left) + 32 * step) // (64 * step)
            if symbol >= _EXACT_BINS:
                octave = 0
                while symbol >> octave >= 16:
                    octave += 1
                symbol = _EXACT_BINS + (octave - 2) * 8 + ((symbol >> octave) & 7)
            counts[which, min(symbol, _BINS - 1)] += 1
    return counts


@functools.cache
def _costs() -> Floats:
    """Bits of a symbol of each magnitude, shape (bins, SHAPES * LEVELS)."""
    magnitudes = np.arange(_EXACT_BINS, dtype=np.float64)
    bins = np.arange(_BINS - _EXACT_BINS)
    magnitudes = np.append(magnitudes, (8.5 + bins % 8) * 2.0 ** (bins // 8 + 2))
    scales = scale(np.arange(LEVELS)) / 65536.0
    edges = np.stack([magnitudes - 0.5, magnitudes + 0.5]) / scales[:, None, None]
    cells = np.linspace(-8, 8, distributions().shape[1] - 1)
    costs = np.empty((SHAPES, LEVELS, _BINS))
    for shape in range(SHAPES):
        # The upper tail by the lower one, which has more digits.
        reached = np.interp(-edges, cells, distributions()[shape, :-1] / ONE)
        costs[shape] = -np.log2(np.maximum(reached[:, 0] - reached[:, 1], 2.0**-30))
    return np.ascontiguousarray(costs.reshape(-1, _BINS).T)


def choose_scales(counts: Floats, least: int = 0) -> tuple[int, list[int], float]:
    """Shape of a band, level of each class's scale, and bits, from `symbol_counts`.

    One class has `least` for its level at least: the one that loses least by it.
    """
    bins = int(np.flatnonzero(counts.sum(axis=0)).max(initial=0)) + 1
    bits = (counts[:, :bins] @ _costs()[:bins]).reshape(len(counts), SHAPES, LEVELS)
    fewest = bits.min(axis=2)
    more = bits[:, :, least:].min(axis=2) - fewest
    total = fewest.sum(axis=0) + more.min(axis=0)
    shape = int(total.argmin())
    levels = bits[:, shape].argmin(axis=1)
    one = int(more[:, shape].argmin())
    levels[one] = least + bits[one, shape, least:].argmin()
    return shape, levels.tolist(), float(total[shape])


@njit(cache=True, nogil=True, error_model="numpy")
def _comb_gains(samples: Any, low: int, values: int, combs: Any) -> Any:
    """Bits that each axis learned from the first half of the samples saves on the second."""
    learned, tried = np.zeros(values, np.int32), np.zeros(values, np.int32)
    for at in range(len(samples)):
        if at < len(samples) // 2:
            learned[samples[at] - low] += 1
        else:
            tried[samples[at] - low] += 1
    gains = np.zeros(len(combs))
    axis = np.zeros(values + 1, np.int64)
    for i in range(len(combs)):
        if combs[i] > 0:
            stretch(learned, combs[i], axis)
            for value in range(values):
                if tried[value]:
                    gains[i] += tried[value] * np.log2((axis[value + 1] - axis[value]) / 64.0)
    return gains


def choose_comb(samples: npt.NDArray[Any], low: int, high: int) -> int:
    """Which of `COMBS` suits the samples of a band, none of them filler."""
    gains = _comb_gains(samples, low, high - low + 1, np.array(COMBS))
    return int(gains.argmax())
