"""What the encoder finds out before it codes a band: weights, scales, shape, comb.

Nothing here is repeated by a decoder, so floats of any rounding do.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from xhsinr.coding.bounded_loop import NEIGHBOURS
from xhsinr.coding.bounded_model import (
    COMBS,
    LARGEST_WIDTH,
    LEVELS,
    ONE,
    SHAPES,
    distributions,
    scale,
    stretch,
)
from xhsinr.coding.bounded_steps import WEIGHT_BITS

__all__ = [
    "choose_comb",
    "choose_scales",
    "error_weights",
    "errors_around",
    "solve",
    "symbol_counts",
]

_RIDGE = 1e-3
_RELATIVE_RIDGE = 1e-9
_NAT = 1 / math.log(2)
"""Bits of a nat."""
_EXACT_BINS = 32
_BINS = _EXACT_BINS + 8 * 30
"""Magnitudes of symbols are counted one by one up to 32, and in eighths of octaves above."""

Floats = npt.NDArray[np.float32]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _sweep(table: Any, pivot: int) -> None:
    """Solve for one unknown, or undo it: Gauss-Jordan elimination in place."""
    inverse = 1.0 / table[pivot, pivot]
    row = table[pivot]
    for j in range(len(table)):
        row[j] *= inverse
    row[pivot] = inverse
    for i in range(len(table)):
        factor = table[i, pivot]
        if i != pivot and factor != 0:
            table[i, pivot] = 0
            for j in range(len(table)):
                table[i, j] -= factor * row[j]


@njit(cache=True, nogil=True, error_model="numpy")
def solve(gram: Any, count: float, noise: float, worth: float, digits: int, weights: Any) -> None:
    """Least squares, without the weights that save fewer bits than they are worth, and rounded.

    The one that saves least is left out first, as each left out changes the others. Weights are
    rounded one by one, the least certain first, as those that are left make up for each.

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
    digits : int
        Binary ones of a weight, after the point; the last weight keeps all.
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
    unit = 2.0**-digits
    while True:
        which = -1
        for i in range(n - 1):
            if kept[i] and (which < 0 or table[i, i] > table[which, which]):
                which = i
        if which < 0:
            return
        kept[which] = False
        rounded = unit * np.rint(weights[which] / unit)
        change = (rounded - weights[which]) / table[which, which]
        weights[which] = rounded
        for i in range(n):
            if kept[i]:
                weights[i] += change * table[i, which]
        _sweep(table, which)


@njit(cache=True, nogil=True, error_model="numpy")
def errors_around(
    integers: Any, expected: Any, classes: Any, bad: int, cols: int, every: int
) -> Any:
    """Errors of some pixels and at their neighbours, from every so many rows.

    Parameters
    ----------
    integers, expected, classes : ndarray, shape (pixels,)
        The even columns of each row, then the odd ones.
    bad : int
        Pixels of this class and above count for nothing.
    cols, every : int

    Returns
    -------
    ndarray of float32, shape (2, 6, n)
        Of even columns, then of odd ones: NW, N, NE, W, E, the pixels' own, in 64ths. Even ones
        have no W and E.
    ndarray of uint8, shape (2, n)
        Classes of the pixels.
    """
    half = (cols + 1) >> 1
    first = cols if len(integers) > cols else 0
    rows = (len(integers) - first + cols * every - 1) // (cols * every)
    around = np.zeros((2, 6, rows * half), np.float32)
    which = np.full((2, rows * half), bad, np.uint8)
    # Of the row above and the row itself: even columns, two zeros, odd columns, a zero.
    lines = np.zeros((2, cols + 3), np.float32)
    for row in range(rows):
        start = first + row * cols * every
        for k in range(0 if start else 1, 2):
            at = start + (k - 1) * cols
            for end, line in ((half, lines[k]), (cols - half, lines[k, half + 2 :])):
                own, mean, label = integers[at:], expected[at:], classes[at:]
                for i in range(end):
                    error = np.float32((np.int64(own[i]) << 6) - mean[i])
                    line[i] = error if label[i] < bad else np.float32(0)
                at += end
        at = row * half
        even, odd = lines[:, : half + 1], lines[:, half + 1 :]
        for i in range(half):
            around[0, 0, at + i] = odd[0, i]
            around[0, 1, at + i] = even[0, i]
            around[0, 2, at + i] = odd[0, i + 1]
            around[0, 5, at + i] = even[1, i]
            which[0, at + i] = classes[start + i]
        for i in range(cols - half):
            around[1, 0, at + i] = even[0, i]
            around[1, 1, at + i] = odd[0, i + 1]
            around[1, 2, at + i] = even[0, i + 1]
            around[1, 3, at + i] = even[1, i]
            around[1, 4, at + i] = even[1, i + 1]
            around[1, 5, at + i] = odd[1, i + 1]
            which[1, at + i] = classes[start + half + i]
    return around, which


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def error_weights(around: Any, which: Any, bad: int, most: float, noise: float) -> Any:
    """Weights of the errors at the neighbours.

    Parameters
    ----------
    around, which : ndarray
        From `errors_around`.
    bad : int
        Pixels of this class and above count for nothing.
    most : float
        Errors are cut to this magnitude.
    noise : float
        Variance of what the quantiser adds to each error, in squared 64ths.

    Returns
    -------
    ndarray of int64, shape (NEIGHBOURS,)
    """
    weights = np.zeros(NEIGHBOURS, np.int64)
    limit = np.float32(most)
    for odd in range(2):
        pixels, count = around.shape[2], 0.0
        errors = np.empty((6, pixels), np.float32)
        for at in range(pixels):
            count += which[odd, at] < bad
        for i in range(6):
            for at in range(pixels):
                error = min(max(around[odd, i, at], -limit), limit)
                errors[i, at] = error if which[odd, at] < bad else np.float32(0)
        if count < 16:
            continue
        gram = np.zeros((6, 6))
        for i in range(6):
            for j in range(i + 1):
                one, other, total = errors[i], errors[j], np.float32(0)
                for at in range(pixels):
                    total += one[at] * other[at]
                gram[i, j] = total
                gram[j, i] = total
        for i in range(5):
            gram[i, i] += noise * count
        best = np.zeros(5)
        solve(gram, count, noise, 2.0, WEIGHT_BITS, best)
        for i in range(5 if odd else 3):
            limited = min(max(best[i], -2.0), 2.0)
            weights[3 * odd + i] = np.int64(np.rint(limited * (1 << WEIGHT_BITS)))
    return weights


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def symbol_counts(around: Any, which: Any, bad: int, weights: Any, step: int, most: float) -> Any:
    """How often symbols of each magnitude come in each class, shape (classes, bins).

    Of errors as `error_weights` has them, with weights that it found; a symbol has that step.
    """
    counts = np.zeros((bad, _BINS), np.float32)
    symbols, limit = np.empty(around.shape[2], np.float32), np.float32(most)
    for odd in range(2):
        for at in range(len(symbols)):
            symbols[at] = around[odd, 5, at]
        for i in range(5 if odd else 3):
            factor, errors = np.float32(weights[3 * odd + i] / (1 << WEIGHT_BITS)), around[odd, i]
            for at in range(len(symbols)):
                symbols[at] -= factor * min(max(errors[at], -limit), limit)
        scale = np.float32(1 / (64 * step))
        for at in range(len(symbols)):
            symbols[at] = abs(symbols[at]) * scale + np.float32(0.5)
        for at in range(len(symbols)):
            if which[odd, at] >= bad:
                continue
            symbol: Any = np.int64(symbols[at])
            if symbol >= _EXACT_BINS:
                octave = 0
                while symbol >> octave >= 16:
                    octave += 1
                symbol = _EXACT_BINS + (octave - 2) * 8 + ((symbol >> octave) & 7)
            counts[which[odd, at], min(symbol, _BINS - 1)] += 1
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
    return np.ascontiguousarray(costs.reshape(-1, _BINS).T, np.float32)


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


@functools.cache
def _width_bits() -> npt.NDArray[np.float64]:
    """Bits that a value of each width on an axis saves, and one that there is not."""
    return np.log2(np.maximum(np.arange(LARGEST_WIDTH + 1), 1) / 64)


@njit(cache=True, nogil=True, error_model="numpy")
def _comb_gains(
    samples: Any, low: int, values: int, reach: int, combs: Any, width_bits: Any
) -> Any:
    """Bits that each axis learned from the first half of the samples saves on the second.

    A value's share is its width over the mean width of those that may come as well. Where that is
    not a step, as many values are expected as a spread too small or too large for them has.
    """
    learned, tried = np.zeros(values, np.int32), np.zeros(values, np.int32)
    half = len(samples) // 2
    for at in range(half):
        learned[np.int64(samples[at]) - low] += 1
    for at in range(half, len(samples)):
        tried[np.int64(samples[at]) - low] += 1
    gains = np.zeros(len(combs))
    axis = np.zeros(values + 1, np.int32)
    for i in range(len(combs)):
        if combs[i] > 0:
            stretch(learned, combs[i], axis)
            for value in range(values):
                if tried[value]:
                    first, end = max(value - reach, 0), min(value + reach + 1, values)
                    usual = (axis[end] - axis[first]) / (64.0 * (end - first))
                    # The divergence of Laplace distributions whose scales have that ratio.
                    gained = width_bits[axis[value + 1] - axis[value]] - (usual - 1.0) * _NAT
                    gains[i] += tried[value] * gained
    return gains


def choose_comb(samples: npt.NDArray[Any], low: int, high: int, spread: int) -> int:
    """Which of `COMBS` suits the samples of a band, none of them filler, if any does.

    ``spread`` is how far off predictions are, in ``2**-16`` steps: of what is foreseen to a value
    there is no neighbour to choose it from.
    """
    # As many values as a uniform distribution of that spread has.
    reach = int((math.sqrt(12 * (spread / 65536) ** 2 + 1) - 1) / 2 + 0.5)
    gains = _comb_gains(samples, low, high - low + 1, reach, np.array(COMBS), _width_bits())
    return int(gains.argmax())
