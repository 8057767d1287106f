"""What is known of planes before they are coded: their coefficients, and what a step leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from xhsinr.coding.planes_tile import decompose

__all__ = ["blocks_of_details", "expected_errors"]

# Coefficients below this many steps become zero, as a rule; those above err by so many squared
# steps (fitted to files of training scenes).
_DEAD, _ERROR = 0.7, 0.06
_LOWEST, _PER_OCTAVE, _BINS = -512, 8, 8192


def expected_errors(
    scores: npt.NDArray[np.float64], steps: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Mean squared error of scores at each step, from the sizes of their coefficients.

    Parameters
    ----------
    scores : ndarray of float64, shape (components, rows, cols)
    steps : ndarray of float64
    """
    counts, energies = np.zeros(_BINS), np.zeros(_BINS)
    for plane in scores:
        for band in decompose(plane).values():
            _count(band, counts, energies)
    below = np.concatenate([[0.0], np.cumsum(energies)])
    above = counts.sum() - np.concatenate([[0.0], np.cumsum(counts)])
    with np.errstate(divide="ignore"):
        at = (np.log2(_DEAD * steps) - _LOWEST) * _PER_OCTAVE
    places = np.arange(_BINS + 1.0)
    zeros, coded = np.interp(at, places, below), np.interp(at, places, above)
    return np.asarray((zeros + coded * _ERROR * np.square(steps)) / max(scores.size, 1))


def blocks_of_details(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Wavelet coefficients of scores in squares of 2 x 2, shape (components, squares, 4).

    Of bands with odd sides the last row or column is left out.
    """
    bands = zip(*(decompose(plane).values() for plane in scores), strict=True)
    return np.concatenate([_squares(np.stack(band)) for band in bands], axis=1)


def _squares(planes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    count, rows, cols = len(planes), planes.shape[1] // 2, planes.shape[2] // 2
    whole = planes[:, : 2 * rows, : 2 * cols].reshape(count, rows, 2, cols, 2)
    return whole.swapaxes(2, 3).reshape(count, rows * cols, 4)


@njit(cache=True, nogil=True)
def _count(band: Any, counts: Any, energies: Any) -> None:
    """Add to a histogram of the logarithms of sizes, and to the energy in each of its bins."""
    for y in range(band.shape[0]):
        for x in range(band.shape[1]):
            energy = band[y, x] * band[y, x]
            if energy > 0:
                at = int((0.5 * np.log2(energy) - _LOWEST) * _PER_OCTAVE)
                place = min(max(at, 0), _BINS - 1)
                counts[place] += 1
                energies[place] += energy
