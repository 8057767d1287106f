"""Coarse reads: means over blocks of pixels. Pure functions.

Pixel (i, j) of an overview by a factor f is the mean of the pixels from (f i, f j) to
(f i + f, f j + f), of fewer at the scene's edges, where they end before.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.coding import mask

__all__ = ["block_means", "coarse_side", "put_into_means", "valid_means"]


def coarse_side(side: int, factor: int) -> int:
    """Pixels of an overview along a side of so many pixels."""
    return -(-side // factor)


def block_means(
    planes: npt.NDArray[Any], factor: int, dtype: type[np.floating[Any]] = np.float32
) -> npt.NDArray[np.floating[Any]]:
    """Means of blocks of ``factor`` x ``factor`` pixels of planes, shape (planes, rows, cols)."""
    sums = _block_sums(planes, factor, dtype)
    counts = _pixels(planes.shape[1], planes.shape[2], factor)
    return np.asarray(sums / counts.astype(dtype))


def valid_means(
    samples: npt.NDArray[Any], states: npt.NDArray[np.uint8], factor: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint8]]:
    """Means of the valid samples of each block, and the state of each block.

    Parameters
    ----------
    samples : ndarray, shape (bands, rows, cols)
    states : ndarray of uint8, shape (bands, rows, cols)
        State of each sample, see `xhsinr.coding.mask`.
    factor : int

    Returns
    -------
    means : ndarray of float64, shape (bands, coarse rows, coarse cols)
        Zero where no sample of the block is valid.
    states : ndarray of uint8, of that shape
        Valid where one sample of the block is, else the first void of those in it.
    """
    valid = states == mask.VALID
    counts = _block_sums(valid, factor, np.int64)
    with np.errstate(over="ignore"):
        sums = _block_sums(np.where(valid, samples, 0), factor, np.float64)
        means = sums / np.maximum(counts, 1)
    rows, cols = (np.arange(0, side, factor) for side in states.shape[1:])
    voids = np.minimum.reduceat(np.where(valid, np.uint8(255), states), rows, axis=1)
    voids = np.minimum.reduceat(voids, cols, axis=2)
    return means, np.where(counts > 0, np.uint8(mask.VALID), voids)


def put_into_means(
    means: npt.NDArray[np.floating[Any]],
    bands: npt.NDArray[np.intp],
    places: npt.NDArray[np.int64],
    values: npt.NDArray[Any],
    shape: tuple[int, int],
    factor: int,
) -> None:
    """Put single samples into means of blocks, in place of samples that were like the mean.

    Parameters
    ----------
    means : ndarray, shape (len(bands), coarse rows, coarse cols)
    bands : ndarray of int
        Which bands these are.
    places : ndarray of int64
        Of the samples, counted through all bands, rows and columns.
    values : ndarray
        What they are.
    shape : (int, int)
        Rows and columns of a band.
    factor : int
    """
    band, row, col = np.unravel_index(places, (int(places.max()) // math.prod(shape) + 1, *shape))
    down, across = row // factor, col // factor
    shares = 1 / _pixels(*shape, factor)[down, across]
    for mean, wanted in zip(means, bands, strict=True):
        i = np.flatnonzero(band == wanted)
        blocks = down[i], across[i]
        np.add.at(mean, blocks, (values[i] - mean[blocks]) * shares[i])


def _block_sums(planes: npt.NDArray[Any], factor: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    rows = np.arange(0, planes.shape[1], factor)
    cols = np.arange(0, planes.shape[2], factor)
    # Rows first: whole rows add up fast.
    sums: npt.NDArray[Any] = np.add.reduceat(
        np.add.reduceat(planes, rows, axis=1, dtype=dtype), cols, axis=2
    )
    return sums


def _pixels(rows: int, cols: int, factor: int) -> npt.NDArray[np.int64]:
    """Pixels of each block."""
    down = np.diff(np.append(np.arange(0, rows, factor), rows))
    across = np.diff(np.append(np.arange(0, cols, factor), cols))
    return np.asarray(down[:, None] * across[None, :])
