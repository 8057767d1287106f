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
_ATTEMPTS = 4
"""After the last one all weights stay: each left out changes the others."""
_EXACT_BINS = 32
_BINS = _EXACT_BINS + 8 * 30
"""Magnitudes of symbols are counted one by one up to 32, and in eighths of octaves above."""

Floats = npt.NDArray[np.float64]


@njit(cache=True, nogil=True, error_model="numpy")
def solve(
    gram: Any, moment: Any, energy: float, count: float, noise: float, worth: float, weights: Any
) -> None:
    """Least squares, without the weights that save fewer bits than they are worth.

    Parameters
    ----------
    gram : ndarray of float64, shape (n, n)
        Sums of products of features.
    moment : ndarray of float64, shape (n,)
        Sums of their products with the target.
    energy, count : float
        Sum of the target's squares, and of how many.
    noise : float
        Variance that a quantiser adds to what is left.
    worth : float
        In bits.
    weights : ndarray of float64, shape (n,)
        Set to the weights, 0 where one is not worth it.
    """
    n = len(moment)
    kept = np.empty(n, np.int64)
    size = 0
    for i in range(n):
        if gram[i, i] > 0:
            kept[size] = i
            size += 1
    for attempt in range(_ATTEMPTS):
        weights[:] = 0
        if size == 0:
            return
        trace = 0.0
        for i in range(size):
            trace += gram[kept[i], kept[i]]
        ridge = _RIDGE * count + 1e-9 * trace / size
        lower = np.zeros((size, size))
        for i in range(size):
            for j in range(i + 1):
                total = gram[kept[i], kept[j]] + (ridge if i == j else 0.0)
                for k in range(j):
                    total -= lower[i, k] * lower[j, k]
                if i == j:
                    lower[i, i] = np.sqrt(max(total, ridge * 1e-6))
                else:
                    lower[i, j] = total / lower[j, j]
        half = np.zeros(size)
        for i in range(size):
            total = moment[kept[i]]
            for k in range(i):
                total -= lower[i, k] * half[k]
            half[i] = total / lower[i, i]
        best = np.zeros(size)
        for i in range(size - 1, -1, -1):
            total = half[i]
            for k in range(i + 1, size):
                total -= lower[k, i] * best[k]
            best[i] = total / lower[i, i]
        # Rows of the inverse of the factor: their squares sum to the inverse's diagonal.
        diagonal = np.zeros(size)
        column = np.zeros(size)
        for j in range(size):
            column[j] = 1.0 / lower[j, j]
            diagonal[j] += column[j] ** 2
            for i in range(j + 1, size):
                total = 0.0
                for k in range(j, i):
                    total -= lower[i, k] * column[k]
                column[i] = total / lower[i, i]
                diagonal[j] += column[i] ** 2
        explained = 0.0
        for i in range(size):
            weights[kept[i]] = best[i]
            explained += best[i] * moment[kept[i]]
        if attempt == _ATTEMPTS - 1:
            return
        left = max(energy - explained, 0.0) / count + noise
        fewer = 0
        for i in range(size):
            if best[i] ** 2 / diagonal[i] / (2 * np.log(2) * left) >= worth:
                kept[fewer] = kept[i]
                fewer += 1
        if fewer == size:
            return
        size = fewer


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
    grams, moments = np.zeros((2, 5, 5)), np.zeros((2, 5))
    energies, numbers = np.zeros(2), np.zeros(2)
    errors, above, beside = np.zeros(5), np.zeros(cols + 2), np.zeros(cols + 2)
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
            for i in range(size):
                moments[odd, i] += errors[i] * target
                for j in range(i + 1):
                    grams[odd, i, j] += errors[i] * errors[j]
            energies[odd] += target * target
            numbers[odd] += 1
    for odd in range(2):
        size = 5 if odd else 3
        if numbers[odd] < 16:
            continue
        gram = grams[odd, :size, :size].copy()
        for i in range(size):
            gram[i, i] += noise * numbers[odd]
            for j in range(i):
                gram[j, i] = gram[i, j]
        best = np.zeros(size)
        solve(gram, moments[odd, :size], energies[odd], numbers[odd], noise, 2.0, best)
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
    cells = np.arange(distributions().shape[1] - 1) / 256 - 8
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
