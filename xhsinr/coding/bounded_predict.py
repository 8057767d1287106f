"""What the bands before say of a band: integer weights on what was decoded at and around a pixel.

Pixels of like spectra are kept together, one cluster after the other, as each cluster has weights
of its own: the loops over pixels then have none but constant weights.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from xhsinr.coding.bounded_fit import solve

__all__ = [
    "LAGS",
    "LARGEST_OFFSET",
    "LARGEST_WEIGHT",
    "NEAR_LAGS",
    "WEIGHT_BITS",
    "Fit",
    "History",
    "classify",
]

LAGS = 40
"""Earlier bands that predict a band at the same pixel."""

NEAR_LAGS = 8
"""Earlier bands that predict it by the mean of the four neighbours."""

WEIGHT_BITS = 9
"""Fractional bits of a weight."""

LARGEST_WEIGHT = 8 << WEIGHT_BITS

LARGEST_OFFSET = 1 << 40
"""Largest magnitude of an offset, in 64ths."""

_LIMIT = 1 << 30
"""Largest magnitude of what predicts."""
_CHUNK = 1024
_BINS = 1 << 14
_SAMPLE = 8192
"""Pixels, at most, that weights are fitted to."""
_CONSTANT = 64
"""What the offset of the weights is a weight of."""
_MOST = float(LARGEST_WEIGHT >> WEIGHT_BITS), float(LARGEST_OFFSET // (_CONSTANT << 6))
"""Largest magnitudes of a weight, and of that of the constant."""
_WORTH = 10.0
"""Bits that a weight must save to be kept."""

Ints = npt.NDArray[Any]


class History:
    """The decoded integers of the last bands, less the centre of each.

    Parameters
    ----------
    labels : ndarray of uint8, shape (rows, cols)
        Cluster of each pixel.
    clusters : int
    bands : int
    """

    def __init__(self, labels: npt.NDArray[np.uint8], clusters: int, bands: int) -> None:
        self.shape = labels.shape
        self.order = np.argsort(labels, axis=None, kind="stable").astype(np.uint32)
        self.starts = np.searchsorted(labels.ravel()[self.order], np.arange(clusters + 1))
        self.lags, self.near_lags = min(LAGS, bands - 1), min(NEAR_LAGS, bands - 1)
        # Of 16 bits until a value has more: reading them takes most of the time.
        self.values = np.zeros((self.lags + self.near_lags, labels.size), np.int16)
        self._largest = np.zeros(len(self.values), np.int64)
        self.band = 0

    def slots(self) -> npt.NDArray[np.intp]:
        """Row of `values` of each weight: lags are kept in two rings, nothing is moved."""
        own = (self.band - 1 - np.arange(self.lags)) % max(self.lags, 1)
        near = (self.band - 1 - np.arange(self.near_lags)) % max(self.near_lags, 1)
        return np.concatenate([own, self.lags + near])

    def expect(self, offsets: Ints, weights: Ints, centre: int) -> Ints:
        """What is expected of the band to come, in 64ths.

        Parameters
        ----------
        offsets : ndarray of int64, shape (clusters,)
            In 64ths.
        weights : ndarray of int64, shape (clusters, lags + near lags)
            In ``2**-WEIGHT_BITS``.
        centre : int
        """
        slots = self.slots()
        fixed = ((offsets + (centre << 6)) << (WEIGHT_BITS - 6)) + (1 << (WEIGHT_BITS - 7))
        reach = np.abs(fixed) + np.abs(weights) @ self._largest[slots]
        kind = np.int32 if reach.max() < 1 << 31 else np.int64
        total, expected = np.empty(_CHUNK, kind), np.empty(len(self.order), kind)
        _expect(self.values, slots, self.starts, fixed, weights, self.order, total, expected)
        return expected

    def add(self, decoded: Ints, centre: int) -> None:
        """Remember a band: ``decoded`` has the shape (pixels,)."""
        if self.lags:
            own, near = self.band % self.lags, self.lags + self.band % self.near_lags
            keep = partial(_remember, decoded, centre, self.order, self.shape[1], own, near)
            largest = keep(self.values)
            if max(largest) > np.iinfo(self.values.dtype).max:
                self.values = self.values.astype(np.int32)
                keep(self.values)
            self._largest[own], self._largest[near] = largest
        self.band += 1


class Fit:
    """Weights by least squares, from some of the pixels.

    Parameters
    ----------
    history : History
    usable : ndarray of bool, shape (pixels,)
        Pixels without filler.
    """

    def __init__(self, history: History, usable: npt.NDArray[np.bool_]) -> None:
        self._history = history
        places = np.flatnonzero(usable[history.order])
        self._places = places[:: max(1, len(places) // _SAMPLE)]
        self.pixels = history.order[self._places].astype(np.intp)
        self._cuts = np.searchsorted(self._places, history.starts)
        self._counts = np.diff(self._cuts).astype(np.float64)
        size = len(history.values) + 1
        self._features = np.zeros((size, len(self._places)), history.values.dtype)
        self._features[-1] = _CONSTANT
        # The last row and column are those of the target.
        self._grams = np.zeros((len(self._counts), size + 1, size + 1))
        self._grams[:, -2, -2] = _CONSTANT**2 * self._counts

    def weights(self, target: Ints, noise: float) -> tuple[Ints, Ints]:
        """Offsets and weights for the band to come, as `History.expect` takes them.

        The first row are weights of all clusters, the others what each cluster adds to them.

        Parameters
        ----------
        target : ndarray of int, shape (pixels,)
            The band less its centre, at `pixels`.
        noise : float
            Variance that the quantiser adds.
        """
        history = self._history
        slots = history.slots()
        self._features = self._features.astype(history.values.dtype, copy=False)
        # The band that is remembered last is new.
        new = slots[[0, history.lags]] if history.lags else slots
        _renew(history.values, self._places, self._features, self._cuts, target, new, self._grams)
        found = np.zeros((len(self._grams) + 1, len(self._features)))
        _find(self._grams, self._counts, noise, found)
        offsets = np.rint(found[:, -1] * (_CONSTANT << 6))
        weights = np.rint(found[:, slots] * (1 << WEIGHT_BITS))
        return offsets.astype(np.int64), weights.astype(np.int64)


# Sums in any order: only the encoder has them.
@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _renew(
    values: Any, places: Any, features: Any, cuts: Any, target: Any, new: Any, grams: Any
) -> None:
    """Take in new features, and sum the products of all with them and the target, by clusters."""
    size, factors = len(features), np.empty((3, _CHUNK))
    for slot in new:
        source, feature = values[slot], features[slot]
        for i in range(len(places)):
            feature[i] = source[places[i]]
    for cluster in range(len(grams)):
        products, energy = np.zeros((3, size)), 0.0
        for start in range(cuts[cluster], cuts[cluster + 1], _CHUNK):
            end = min(start + _CHUNK, cuts[cluster + 1])
            for k in range(len(new)):
                factors[k, : end - start] = features[new[k], start:end]
            a, b, c = factors
            c[: end - start] = target[start:end]
            for j in range(end - start):
                energy += c[j] * c[j]
            for i in range(size):
                feature, by_a, by_b, by_c = features[i, start:end], 0.0, 0.0, 0.0
                for j in range(end - start):
                    by_a += feature[j] * a[j]
                    by_b += feature[j] * b[j]
                    by_c += feature[j] * c[j]
                products[0, i] += by_a
                products[1, i] += by_b
                products[2, i] += by_c
        gram = grams[cluster]
        for k in range(len(new) + 1):
            at, product = (new[k], products[k]) if k < len(new) else (size, products[2])
            for i in range(size):
                gram[at, i] = product[i]
                gram[i, at] = product[i]
        gram[size, size] = energy


@njit(cache=True, nogil=True, error_model="numpy")
def _find(grams: Any, counts: Any, noise: float, found: Any) -> None:
    """Weights of all clusters, then what each cluster adds to some of them."""
    size = found.shape[1]
    gram, common, count = np.zeros((size + 1, size + 1)), found[0], 0.0
    for cluster in range(len(grams)):
        count += counts[cluster]
        for i in range(size + 1):
            for j in range(size + 1):
                gram[i, j] += grams[cluster, i, j]
    solve(gram, count, noise, _WORTH, WEIGHT_BITS, common)
    limits = np.full(size, _MOST[0])
    limits[size - 1] = _MOST[1]
    for i in range(size):
        weight = min(max(common[i], -limits[i]), limits[i])
        common[i] = np.rint(weight * (1 << WEIGHT_BITS)) / (1 << WEIGHT_BITS)
    change = 0.0
    for i in range(size):
        along = -2 * gram[i, size]
        for j in range(size):
            along += gram[i, j] * common[j]
        change += common[i] * along
    if change > 0:
        # Rounding can spoil weights of bands that are nearly the same, limits those of any.
        common[:] = 0
    # Others than the common ones, the constant and the target gain little, and take time.
    places, last = np.empty(size + 1, np.int64), 0
    for i in range(size):
        if common[i] != 0 or i == size - 1:
            places[last] = i
            last += 1
    places[last] = size
    for cluster in range(len(grams) if len(grams) > 1 else 0):
        if counts[cluster] < 4 * size:
            continue
        # The target is what the common weights leave.
        gram = np.empty((last + 1, last + 1))
        for i in range(last + 1):
            for j in range(last + 1):
                gram[i, j] = grams[cluster, places[i], places[j]]
        for i in range(last):
            for j in range(last + 1):
                gram[last, j] -= common[places[i]] * gram[i, j]
        for i in range(last):
            gram[i, last] = gram[last, i]
            gram[last, last] -= common[places[i]] * gram[last, i]
        weights = np.zeros(last)
        solve(gram, counts[cluster], noise, _WORTH, WEIGHT_BITS, weights)
        # An offset is that of its weights: what has some beyond the limits is of no use.
        fits = True
        for i in range(last):
            fits = fits and abs(weights[i]) <= limits[places[i]]
        if fits:
            for i in range(last):
                found[cluster + 1, places[i]] = weights[i]


@njit(cache=True, nogil=True, error_model="numpy")
def _expect(
    values: Any,
    slots: Any,
    starts: Any,
    fixed: Any,
    weights: Any,
    order: Any,
    total: Any,
    expected: Any,
) -> None:
    used = np.empty(len(slots) + 4, np.int64)
    # Of 32 bits, as what they are multiplied with: processors have such products in parallel.
    factors = np.empty(len(slots) + 4, np.int32)
    for cluster in range(len(fixed)):
        count = 0
        for i in range(len(slots)):
            if weights[cluster, i] != 0:
                used[count], factors[count] = slots[i], weights[cluster, i]
                count += 1
        for i in range(count, count + 4):
            used[i], factors[i] = 0, 0
        for start in range(starts[cluster], starts[cluster + 1], _CHUNK):
            size = min(_CHUNK, starts[cluster + 1] - start)
            total[:size] = fixed[cluster]
            for i in range(0, count, 4):
                w0, w1, w2, w3 = factors[i], factors[i + 1], factors[i + 2], factors[i + 3]
                v0 = values[used[i], start : start + size]
                v1 = values[used[i + 1], start : start + size]
                v2 = values[used[i + 2], start : start + size]
                v3 = values[used[i + 3], start : start + size]
                for j in range(size):
                    total[j] += w0 * v0[j] + w1 * v1[j] + w2 * v2[j] + w3 * v3[j]
            for j in range(size):
                expected[order[start + j]] = total[j] >> (WEIGHT_BITS - 6)


@njit(cache=True, nogil=True, error_model="numpy")
def _remember(
    decoded: Any, centre: int, order: Any, cols: int, own: int, near: int, values: Any
) -> tuple[int, int]:
    """Keep a band less its centre, at the pixels and around them; the largest magnitudes."""
    pixels, half = len(decoded), (cols + 1) >> 1
    here, around = np.empty(pixels, values.dtype), np.empty(pixels, values.dtype)
    evens, odds = np.empty(half + 1, np.int64), np.empty(half + 1, np.int64)
    largest, largest_around = 0, 0
    for start in range(0, pixels, cols):
        # Rows of their own: loops over them are vectorised.
        row, kept = decoded[start : start + cols], here[start : start + cols]
        up = decoded[start - cols : start] if start else row
        down = decoded[start + cols : start + 2 * cols] if start + cols < pixels else row
        for i in range(cols):
            value = min(max(row[i] - centre, -_LIMIT), _LIMIT)
            kept[i] = value
            largest = max(largest, abs(value))
        # A pixel without a neighbour has itself for one.
        for i in range(half):
            evens[i] = row[i]
        evens[half], odds[0], odds[half] = row[cols - 1], row[0], row[half - 1]
        for i in range(half, cols):
            odds[1 + i - half] = row[i]
        for first, end, beside in ((0, half, odds), (half, cols, evens)):
            above, below, means = up[first:end], down[first:end], around[start + first :]
            for i in range(end - first):
                total = np.int64(above[i]) + below[i] + beside[i] + beside[i + 1]
                value = min(max((total - 4 * centre + 2) >> 2, -_LIMIT), _LIMIT)
                means[i] = value
                largest_around = max(largest_around, abs(value))
    kept, means = values[own], values[near]
    for place in range(pixels):
        kept[place], means[place] = here[order[place]], around[order[place]]
    return largest, largest_around


@njit(cache=True, nogil=True, error_model="numpy")
def classify(
    expected: Any, base: Any, low: int, high: int, count: int, skipped: Any, classes: Any
) -> None:
    """Cut the pixels of a band into classes of like brightness, equally many in each.

    Parameters
    ----------
    expected : ndarray of int32 or int64, shape (pixels,)
        In 64ths.
    base : ndarray of int32, shape (pixels,)
    low, high : int
        Range of the samples.
    count : int
        Classes.
    skipped : ndarray of bool, shape (pixels,) or (0,)
        Pixels that are not coded.
    classes : ndarray of uint8, shape (pixels,)
        Set to the class of each pixel, 255 where it is skipped.
    """
    pixels = len(expected)
    shift = 0
    while (high - low) >> shift >= _BINS:
        shift += 1
    bins = ((high - low) >> shift) + 1
    keys = np.empty(pixels, np.uint16)
    for at in range(pixels):
        value = ((expected[at] + 32) >> 6) + base[at]
        keys[at] = (min(max(value, low), high) - low) >> shift
    histogram = np.zeros(bins, np.int32)
    for at in range(pixels):
        histogram[keys[at]] += 1
    below = 0
    of_key = np.empty(bins, np.uint8)
    for key in range(bins):
        if histogram[key]:
            of_key[key] = min((below + (histogram[key] >> 1)) * count // pixels, count - 1)
            below += histogram[key]
    for at in range(pixels):
        classes[at] = of_key[keys[at]]
    for at in range(len(skipped)):
        if skipped[at]:
            classes[at] = 255
