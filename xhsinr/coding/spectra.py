"""Samples of scores: mean plus vectors times scores, the same bits on every machine.

IEEE arithmetic in a stated order: of each sample the mean first, then one component after the
other from the strongest on; compiled without ``fastmath``, nothing is reordered or fused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from xhsinr.coding.contract import Bands, Frame, Planes, Samples
from xhsinr.spectral.basis import SpectralBasis

__all__ = ["means_of_scores", "samples_of_scores"]

_BLOCK = 512  # pixels worked on at a time, which stay in the processor's cache


def samples_of_scores(
    scores: Planes, basis: SpectralBasis, frame: Frame, bands: Bands | None
) -> Samples:
    """Samples of a tile, clipped to the frame's range, integers rounded.

    Parameters
    ----------
    scores : ndarray of float64, shape (n, rows, cols)
        Of the first ``n`` components.
    bands : ndarray of int, or None
        Live bands wanted, None for all.

    Returns
    -------
    ndarray, shape (bands, rows, cols)
    """
    return _of_scores(scores, basis, frame, bands, frame.dtype)


def means_of_scores(
    scores: Planes, basis: SpectralBasis, frame: Frame, bands: Bands | None
) -> Planes:
    """The same as numbers, clipped but not rounded."""
    return _of_scores(scores, basis, frame, bands, _precision(frame))


def _precision(frame: Frame) -> np.dtype[Any]:
    narrow = frame.dtype.itemsize <= 2 or frame.dtype == np.float32
    return np.dtype(np.float32 if narrow else np.float64)


def _of_scores(
    scores: Planes, basis: SpectralBasis, frame: Frame, bands: Bands | None, dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    chosen = slice(None) if bands is None else bands
    precision = _precision(frame).type
    vectors = basis.vectors[: len(scores), chosen].T.astype(precision, order="C")
    mean = basis.mean[chosen].astype(precision)
    flat = scores.reshape(len(scores), scores.shape[1] * scores.shape[2]).astype(precision)
    samples = np.empty((len(mean), flat.shape[1]), dtype)
    low, high = precision(frame.low), precision(frame.high)
    _reconstruct(flat, vectors, mean, low, high, dtype.kind != "f", samples)
    return samples.reshape(len(mean), *scores.shape[1:])


@njit(cache=True, nogil=True)
def _reconstruct(
    scores: Any, vectors: Any, mean: Any, low: Any, high: Any, rounds: bool, samples: Any
) -> None:
    components, pixels = scores.shape
    total = np.empty(_BLOCK, scores.dtype)
    for start in range(0, pixels, _BLOCK):
        stop = min(start + _BLOCK, pixels)
        n = stop - start
        for band in range(len(mean)):
            for p in range(n):
                total[p] = mean[band]
            k = 0
            while k + 4 <= components:
                a, b, c, d = vectors[band, k : k + 4]
                first, second = scores[k, start:stop], scores[k + 1, start:stop]
                third, fourth = scores[k + 2, start:stop], scores[k + 3, start:stop]
                for p in range(n):
                    now = total[p] + a * first[p]
                    now = now + b * second[p]
                    now = now + c * third[p]
                    total[p] = now + d * fourth[p]
                k += 4
            for rest in range(k, components):
                a, first = vectors[band, rest], scores[rest, start:stop]
                for p in range(n):
                    total[p] = total[p] + a * first[p]
            out = samples[band, start:stop]
            for p in range(n):
                value = total[p] if total[p] > low else low  # low for NaN, too
                value = value if value < high else high
                out[p] = np.rint(value) if rounds else value
