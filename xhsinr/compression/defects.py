"""What is in a tile and is no scenery: impulses, and borders of one repeated spectrum.

An impulse is a sample far from what the bands beside it make of the pixel, farther than that
differs in the pixels around: dead, saturated and struck samples, and columns of them. It would
cost its neighbours and the basis far more than it costs to be sent by itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from xhsinr.coding.voids import bits_of

__all__ = ["FAR_OFF", "impulses", "repeated_spectra"]

FAR_OFF = 0.4
"""Share of the range that an impulse is off by which the basis need not know: what is less is
scenery as often as not, and planes hold it for less than it takes by itself."""

_FAR = 12.0  # robust deviations
_APART = 0.75  # share of its distance by which an impulse differs from its neighbours
_TINY = 0.02  # of a band's spread, below which nothing is an impulse
_MOST = 0.02  # share of a tile's samples: more are no exceptions
_PIXELS = 512  # that deviations are estimated from
_FEW_TOLD = 16  # of them, from which a deviation is no estimate
_LEAST = 0.002  # share of a tile's pixels that a repeated spectrum has at least
_FEWEST = 8

Samples = npt.NDArray[Any]
Valid = npt.NDArray[np.bool_]


def impulses(samples: Samples, valid: Valid, least: float = 0.0) -> Valid | None:
    """Which samples of a tile are impulses, shape (bands, rows, cols); None for none.

    Parameters
    ----------
    samples : ndarray, shape (bands, rows, cols)
    valid : ndarray of bool, same shape
    least : float
        Distance below which none is worth being sent by itself.
    """
    if min(samples.shape) < 3:
        return None
    some = samples.reshape(len(samples), -1)[:, :: max(1, samples[0].size // _PIXELS)]
    known = valid.reshape(len(samples), -1)[:, :: max(1, samples[0].size // _PIXELS)]
    beside = _bands_beside(len(samples))
    with np.errstate(over="ignore", invalid="ignore"):
        centres, limits = _usual(np.where(known, some, 0).astype(np.float64), known, beside)
    found = np.zeros(samples.shape, np.bool_)
    count = _find(samples, valid, beside, centres, np.maximum(limits, least), found)
    return found if 0 < count <= _MOST * samples.size else None


def _bands_beside(bands: int) -> npt.NDArray[np.int64]:
    """The two bands that each band is compared with, shape (2, bands): at the ends both inner."""
    low, high = np.arange(bands) - 1, np.arange(bands) + 1
    low[0], low[-1], high[-1] = 2, bands - 3, bands - 2
    return np.stack([low, high])


def _usual(
    spectra: npt.NDArray[np.float64], known: Valid, beside: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """What is usual of a band's distance to the bands beside it: centre, and how far is too far."""
    low, high = beside
    distances = spectra - (spectra[low] + spectra[high]) / 2
    told = known & known[low] & known[high]
    (centres,) = _quantiles(distances, told, 0.5)
    (deviations,) = _quantiles(np.abs(distances - centres[:, None]), told, 0.5)
    least, most = _quantiles(spectra, known, 0.01, 0.99)
    limits = np.maximum(_FAR * (1.4826 * deviations), _TINY * (most - least))
    few = np.count_nonzero(told, axis=1) < _FEW_TOLD
    return np.where(few, 0.0, centres), np.where(few | ~(limits > 0), np.inf, limits)


def _quantiles(
    values: npt.NDArray[np.float64], known: Valid, *shares: float
) -> npt.NDArray[np.float64]:
    """Of the known values of each row, below which such shares of them lie, (shares, rows)."""
    last = np.maximum(np.count_nonzero(known, axis=1) - 1, 0)
    places = np.array(shares)[:, None] * last
    before, after = places.astype(np.intp), np.ceil(places).astype(np.intp)
    ordered = np.where(known, values, np.inf)
    ordered.partition(np.unique([before, after]), axis=1)
    rows = np.arange(len(values))
    first, second = ordered[rows, before], ordered[rows, after]
    return np.asarray(first + (places - before) * (second - first))


@njit(cache=True, nogil=True)
def _distance(
    samples: Any, valid: Any, beside: Any, centres: Any, band: int, row: int, col: int
) -> float:
    """How far a sample is from the bands beside it; 0 where that can't be told."""
    low, high = beside[0, band], beside[1, band]
    if not (valid[band, row, col] and valid[low, row, col] and valid[high, row, col]):
        return 0.0
    expected = (float(samples[low, row, col]) + float(samples[high, row, col])) / 2
    return float(samples[band, row, col]) - expected - float(centres[band])


@njit(cache=True, nogil=True)
def _stands_out(
    samples: Any, valid: Any, beside: Any, centres: Any, band: int, row: int, col: int
) -> bool:
    """Whether a sample that is far off is so alone: in its spectrum, and along a row or column."""
    bands, rows, cols = samples.shape
    distance = _distance(samples, valid, beside, centres, band, row, col)
    far = abs(distance)
    if not far > 0:
        return False
    for side in (-1, 1):
        other = min(max(band + side, 0), bands - 1)
        if other != band and abs(_distance(samples, valid, beside, centres, other, row, col)) > far:
            return False
    apart = far * _APART
    across = along = 0
    for side in (-1, 1):
        other = min(max(col + side, 0), cols - 1)
        near = _distance(samples, valid, beside, centres, band, row, other)
        across += other == col or abs(distance - near) > apart
        other = min(max(row + side, 0), rows - 1)
        near = _distance(samples, valid, beside, centres, band, other, col)
        along += other == row or abs(distance - near) > apart
    return across == 2 or along == 2


@njit(inline="always", cache=True)
def _off(here: Any, before: Any, after: Any, centre: float) -> float:
    return abs(float(here) - (float(before) + float(after)) / 2 - centre)


@njit(cache=True, nogil=True)
def _find(samples: Any, valid: Any, beside: Any, centres: Any, limits: Any, found: Any) -> int:
    bands, rows, cols = samples.shape
    count = 0
    for band in range(bands):
        centre, limit = centres[band], limits[band]
        low, high = beside[0, band], beside[1, band]
        for row in range(rows):
            here, before, after = samples[band, row], samples[low, row], samples[high, row]
            # Nearly all rows are done with here, several samples at a time.
            far = False
            for col in range(cols):
                far |= _off(here[col], before[col], after[col], centre) > limit
            if not far:
                continue
            for col in range(cols):
                if _off(here[col], before[col], after[col], centre) > limit and _stands_out(
                    samples, valid, beside, centres, band, row, col
                ):
                    found[band, row, col] = True
                    count += 1
    return count


def repeated_spectra(samples: Samples, invalid: Valid) -> list[tuple[Samples, int]]:
    """Spectra that many pixels of a tile have, side by side and bit for bit, and how many have it.

    Noise makes no two spectra the same, so that what is repeated was filled in.

    Parameters
    ----------
    samples : ndarray, shape (bands, rows, cols)
    invalid : ndarray of bool, same shape
        Pixels without a valid sample do not count.
    """
    bands, rows, cols = samples.shape
    held = bits_of(samples)
    like = np.ones((rows, cols - 1), np.bool_)
    # Bands far apart first, which tell most spectra apart.
    for band in dict.fromkeys([bands // 2, bands // 4, 3 * bands // 4, *range(bands)]):
        like &= held[band, :, 1:] == held[band, :, :-1]
        if not like.any():
            return []
    pixels = np.zeros((rows, cols), np.bool_)
    pixels[:, 1:], pixels[:, :-1] = like, pixels[:, :-1] | like
    pixels &= ~invalid.all(axis=0)
    where = np.flatnonzero(pixels)
    if not len(where):
        return []
    spectra = np.ascontiguousarray(held.reshape(bands, -1)[:, where].T)
    whole = spectra.view(np.dtype((np.void, spectra.itemsize * bands))).ravel()
    _, firsts, counts = np.unique(whole, return_index=True, return_counts=True)
    least = max(_FEWEST, _LEAST * rows * cols)
    return [
        (spectra[first].view(samples.dtype), int(count))
        for first, count in zip(firsts, counts, strict=True)
        if count >= least
    ]
