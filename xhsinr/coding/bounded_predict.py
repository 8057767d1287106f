"""What the bands before say of a band: integer weights on what was decoded at and around a pixel.

Pixels of like spectra are kept together, one cluster after the other, as each cluster has weights
of its own: the loops over pixels then have none but constant weights.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from xhsinr.coding.bounded_fit import solve

__all__ = ["LAGS", "LARGEST_WEIGHT", "NEAR_LAGS", "WEIGHT_BITS", "Fit", "History", "classify"]

LAGS = 40
"""Earlier bands that predict a band at the same pixel."""

NEAR_LAGS = 8
"""Earlier bands that predict it by the mean of the four neighbours."""

WEIGHT_BITS = 10
"""Fractional bits of a weight."""

LARGEST_WEIGHT = 8 << WEIGHT_BITS

_LIMIT = 1 << 30
"""Largest magnitude of what predicts."""
_CHUNK = 1024
_BINS = 1 << 14
_SAMPLE = 16384
"""Pixels, at most, that weights are fitted to."""
_WORTH = 4.0
_CLUSTER_WORTH = 8.0
"""Bits that a weight must save to be kept, of all clusters and of one."""

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
        self.values = np.zeros((self.lags + self.near_lags, labels.size), np.int32)
        self.band = 0

    def slots(self) -> npt.NDArray[np.intp]:
        """Row of `values` of each weight: lags are kept in two rings, nothing is moved."""
        own = (self.band - 1 - np.arange(self.lags)) % max(self.lags, 1)
        near = (self.band - 1 - np.arange(self.near_lags)) % max(self.near_lags, 1)
        return np.concatenate([own, self.lags + near])

    def expect(self, offsets: Ints, weights: Ints, centre: int) -> npt.NDArray[np.int64]:
        """What is expected of the band to come, in 64ths.

        Parameters
        ----------
        offsets : ndarray of int64, shape (clusters,)
            In 64ths.
        weights : ndarray of int64, shape (clusters, lags + near lags)
            In ``2**-WEIGHT_BITS``.
        centre : int
        """
        expected = np.empty(len(self.order), np.int64)
        fixed = offsets + (centre << 6)
        _expect(self.values, self.slots(), self.starts, fixed, weights, self.order, expected)
        return expected

    def add(self, decoded: Ints, centre: int) -> None:
        """Remember a band: ``decoded`` has the shape (pixels,)."""
        if self.lags:
            own = self.band % self.lags
            near = self.lags + self.band % self.near_lags
            _remember(
                decoded, centre, self.order, self.shape[1], self.values[own], self.values[near]
            )
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
        self.pixels = history.order[self._places]
        cuts = np.searchsorted(self._places, history.starts)
        self._clusters = [slice(a, b) for a, b in itertools.pairwise(cuts)]
        size = len(history.values) + 1
        self._features = np.zeros((size, len(self._places)), np.int32)
        self._features[-1] = 64
        self._grams = np.zeros((len(self._clusters), size, size))
        self._new = [size - 1, size - 1]

    def update(self) -> None:
        """Take in the band that the history remembers last."""
        history = self._history
        if history.lags:
            band = history.band - 1
            self._new = [band % history.lags, history.lags + band % history.near_lags]
            for slot in self._new:
                self._features[slot] = history.values[slot, self._places]

    def _moments(self, values: Ints) -> npt.NDArray[np.float64]:
        """Sums of the features' products with values, shape (clusters, features).

        Those with the newest features are renewed in the same pass, as reading the features takes
        most of the time.
        """
        products = np.zeros((len(self._clusters), len(self._features), 3))
        for gram, product, part in zip(self._grams, products, self._clusters, strict=True):
            one, other = self._new
            _multiply(self._features, one, other, values, part.start, part.stop, product)
            gram[:, self._new] = product[:, :2]
            gram[self._new] = product[:, :2].T
        return products[..., 2]

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
        wanted = np.append(self._history.slots(), len(self._features) - 1)
        moments = self._moments(target)[:, wanted]
        grams = self._grams[:, wanted[:, None], wanted]
        values = target.astype(np.float64)
        energies = np.array([values[p] @ values[p] for p in self._clusters])
        counts = np.array([p.stop - p.start for p in self._clusters])
        found = np.zeros((len(self._clusters) + 1, len(wanted)))
        gram, moment, energy = grams.sum(0), moments.sum(0), float(energies.sum())
        if counts.sum() == 0:
            return self._integers(found)
        solve(gram, moment, energy, float(counts.sum()), noise, _WORTH, found[0])
        rounded = self._rounded(found[:1])[0]
        if rounded @ gram @ rounded - 2 * (rounded @ moment) > 0:
            # Rounding can spoil weights of bands that are nearly the same.
            found[0] = 0
        for cluster in range(len(self._clusters) if len(self._clusters) > 1 else 0):
            if counts[cluster] < 4 * len(wanted):
                continue
            left = moments[cluster] - grams[cluster] @ found[0]
            energy = energies[cluster] - found[0] @ (moments[cluster] + left)
            solve(
                grams[cluster],
                left,
                max(float(energy), 0.0),
                float(counts[cluster]),
                noise,
                _CLUSTER_WORTH,
                found[cluster + 1],
            )
        return self._integers(found)

    def _rounded(self, found: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.rint(found * (1 << WEIGHT_BITS)) / (1 << WEIGHT_BITS)

    def _integers(self, found: npt.NDArray[np.float64]) -> tuple[Ints, Ints]:
        weights = np.rint(found[:, :-1] * (1 << WEIGHT_BITS))
        weights = np.clip(weights, -LARGEST_WEIGHT, LARGEST_WEIGHT)
        # The constant feature is 64, and offsets are 64ths.
        offsets = np.rint(found[:, -1] * 4096.0)
        return offsets.astype(np.int64), weights.astype(np.int64)


# Sums in any order: only the encoder has them.
@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _multiply(
    features: Any, one: int, other: int, values: Any, first: int, end: int, products: Any
) -> None:
    """Add sums of the products of all features with two of them, and with values."""
    factors = np.empty((3, _CHUNK))
    for start in range(first, end, _CHUNK):
        size = min(_CHUNK, end - start)
        factors[0, :size] = features[one, start : start + size]
        factors[1, :size] = features[other, start : start + size]
        factors[2, :size] = values[start : start + size]
        a, b, c = factors[0, :size], factors[1, :size], factors[2, :size]
        for i in range(len(features)):
            feature = features[i, start : start + size]
            by_a, by_b, by_c = 0.0, 0.0, 0.0
            for j in range(size):
                by_a += feature[j] * a[j]
                by_b += feature[j] * b[j]
                by_c += feature[j] * c[j]
            products[i, 0] += by_a
            products[i, 1] += by_b
            products[i, 2] += by_c


@njit(cache=True, nogil=True, error_model="numpy")
def _expect(
    values: Any, slots: Any, starts: Any, fixed: Any, weights: Any, order: Any, expected: Any
) -> None:
    total = np.empty(_CHUNK, np.int64)
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
            total[:size] = (fixed[cluster] << (WEIGHT_BITS - 6)) + (1 << (WEIGHT_BITS - 7))
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
def _remember(decoded: Any, centre: int, order: Any, cols: int, own: Any, near: Any) -> None:
    pixels, half = len(decoded), (cols + 1) >> 1
    values, around = np.empty(pixels, np.int32), np.empty(pixels, np.int32)
    for at in range(pixels):
        values[at] = min(max(decoded[at] - centre, -_LIMIT), _LIMIT)
    for start in range(0, pixels, cols):
        # Rows of their own: loops over them are vectorised.
        here, means = decoded[start : start + cols], around[start : start + cols]
        up = decoded[start - cols : start] if start else here
        down = decoded[start + cols : start + 2 * cols] if start + cols < pixels else here
        evens, odds = here[:half], here[half:]
        for i in range(len(evens)):
            left = odds[i - 1] if i else evens[i]
            right = odds[i] if i < len(odds) else evens[i]
            total = np.int64(up[i]) + down[i] + left + right
            means[i] = min(max((total - 4 * centre + 2) >> 2, -_LIMIT), _LIMIT)
        for i in range(len(odds)):
            right = evens[i + 1] if i + 1 < len(evens) else odds[i]
            total = np.int64(up[half + i]) + down[half + i] + evens[i] + right
            means[half + i] = min(max((total - 4 * centre + 2) >> 2, -_LIMIT), _LIMIT)
    for place in range(pixels):
        own[place] = values[order[place]]
    for place in range(pixels):
        near[place] = around[order[place]]


@njit(cache=True, nogil=True, error_model="numpy")
def classify(
    expected: Any, base: Any, low: int, high: int, count: int, skipped: Any, classes: Any
) -> None:
    """Cut the pixels of a band into classes of like brightness, equally many in each.

    Parameters
    ----------
    expected : ndarray of int64, shape (pixels,)
        In 64ths.
    base : ndarray of int32, shape (pixels,) or (0,)
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
    histogram = np.zeros(bins, np.int32)
    keys = np.empty(pixels, np.uint16)
    for at in range(pixels):
        value = (expected[at] + 32) >> 6
        if len(base):
            value += base[at]
        key = (min(max(value, low), high) - low) >> shift
        keys[at] = key
        histogram[key] += 1
    below = 0
    of_key = np.empty(bins, np.uint8)
    for key in range(bins):
        if histogram[key]:
            of_key[key] = min((below + (histogram[key] >> 1)) * count // pixels, count - 1)
            below += histogram[key]
    for at in range(pixels):
        classes[at] = of_key[keys[at]]
        if len(skipped) and skipped[at]:
            classes[at] = 255
