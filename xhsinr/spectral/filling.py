"""What stands in for samples that are not valid: what the scene's own spectra make likely.

Where a pixel has some valid bands, the strongest directions of the scene's spectra are fitted to
them, held back by how much spectra vary along each (the conditional mean of a Gaussian model, as
in probabilistic PCA with missing data; Roweis 1998, Tipping and Bishop 1999). Where it has none,
its scores continue those around it smoothly. Nothing of it needs to come back, so nothing of it
has to be the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["Filler", "complete_spectra"]

_COMPONENTS = 24  # directions at most
_ROUNDS = 6  # of filling spectra and looking for their directions
_SPECTRA = 4096  # that directions are looked for in
_RELAXATIONS = 8  # per scale

Samples = npt.NDArray[Any]
Valid = npt.NDArray[np.bool_]
Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Filler:
    """Fills spectra.

    Attributes
    ----------
    mean : ndarray of float64, shape (bands,)
    vectors : ndarray of float64, shape (components, bands)
        Orthonormal directions.
    ridge : ndarray of float64, shape (components,)
        Noise variance over the variance along each.
    """

    mean: Float64Array
    vectors: Float64Array
    ridge: Float64Array

    @classmethod
    def from_statistics(cls, mean: Float64Array, covariance: Float64Array) -> Self:
        """Of a scene with this mean spectrum and covariance."""
        values, columns = np.linalg.eigh(covariance)
        values, vectors = np.maximum(values[::-1], 0.0), columns.T[::-1]
        # Half of the directions hold noise alone.
        noise = float(np.median(values))
        kept = min(_COMPONENTS, int(np.count_nonzero(values > 2 * noise)))
        floor = max(noise, float(values[0]) * 1e-9, np.finfo(np.float64).tiny)
        return cls(mean, vectors[:kept], floor / np.maximum(values[:kept], floor))

    def fill(self, samples: Samples, valid: Valid, low: float, high: float) -> Samples:
        """Samples of a tile with likely ones in place of those that are not valid.

        Parameters
        ----------
        samples : ndarray, shape (bands, rows, cols)
        valid : ndarray of bool, same shape
        low, high : float
            Range of the valid samples of the scene, which fillers keep to.
        """
        if valid.all():
            return samples
        bands, rows, cols = samples.shape
        filled = samples.copy()
        flat, known = filled.reshape(bands, -1), valid.reshape(bands, -1)
        scores = np.zeros((len(self.vectors), rows * cols))
        gaps = np.flatnonzero(~known.all(axis=0))
        empty = np.asarray(~known.any(axis=0))
        partly = gaps[~empty[gaps]]
        scores[:, partly] = self._fit(flat[:, partly], known[:, partly])
        if empty.any():
            whole = np.flatnonzero(known.all(axis=0))
            centred = flat[:, whole].astype(np.float64) - self.mean[:, None]
            scores[:, whole] = self.vectors @ centred
            _continue(scores.reshape(-1, rows, cols), ~empty.reshape(rows, cols))
        for start in range(0, len(gaps), _SPECTRA):
            some = gaps[start : start + _SPECTRA]
            likely = self.mean[:, None] + self.vectors.T @ scores[:, some]
            likely = np.clip(likely, low, high)
            if samples.dtype.kind != "f":
                likely = np.rint(likely)
            flat[:, some] = np.where(known[:, some], flat[:, some], likely.astype(samples.dtype))
        return filled

    def _fit(self, spectra: Samples, known: Valid) -> Float64Array:
        """Scores of spectra, shape (components, spectra), by their valid bands."""
        if not len(self.vectors):
            return np.zeros((0, spectra.shape[1]))
        centred = np.where(known, spectra, 0).astype(np.float64) - self.mean[:, None]
        centred[~known] = 0.0
        sums = np.ascontiguousarray((self.vectors @ centred).T)
        gram = self.vectors @ self.vectors.T + np.diag(self.ridge)
        by_band = np.ascontiguousarray(self.vectors.T)
        _solve(gram, by_band, np.ascontiguousarray(known.T), sums)
        return sums.T


@njit(cache=True, nogil=True)
def _solve(gram: Any, by_band: Any, known: Any, sums: Any) -> None:
    """Solve a spectrum's normal equations in place of ``sums``, by Cholesky's method."""
    components = len(gram)
    lower = np.empty_like(gram)
    for pixel in range(len(sums)):
        # Element by element: whole arrays would be compiled with words for shapes that differ.
        for i in range(components):
            for j in range(i + 1):
                lower[i, j] = gram[i, j]
        for band in range(len(by_band)):
            if not known[pixel, band]:
                for i in range(components):
                    weight = by_band[band, i]
                    for j in range(i + 1):
                        lower[i, j] -= weight * by_band[band, j]
        for i in range(components):
            for j in range(i + 1):
                rest = lower[i, j]
                for k in range(j):
                    rest -= lower[i, k] * lower[j, k]
                if i == j:
                    lower[i, i] = np.sqrt(max(rest, 1e-12))
                else:
                    lower[i, j] = rest / lower[j, j]
        row = sums[pixel]
        for i in range(components):
            for k in range(i):
                row[i] -= lower[i, k] * row[k]
            row[i] /= lower[i, i]
        for i in range(components - 1, -1, -1):
            for k in range(i + 1, components):
                row[i] -= lower[k, i] * row[k]
            row[i] /= lower[i, i]


def _continue(planes: Float64Array, known: Valid) -> None:
    """Continue planes smoothly, in place, where pixels are not known.

    From coarse to fine: means of what is known, then what each pixel's four neighbours average.
    """
    if known.all() or not known.any():
        return
    rows, cols = known.shape
    coarse = -(-rows // 2), -(-cols // 2)
    weights = np.zeros((2 * coarse[0], 2 * coarse[1]))
    weights[:rows, :cols] = known
    counts = weights.reshape(coarse[0], 2, coarse[1], 2).sum(axis=(1, 3))
    padded = np.zeros((len(planes), *weights.shape))
    padded[:, :rows, :cols] = np.where(known, planes, 0.0)
    means = padded.reshape(-1, coarse[0], 2, coarse[1], 2).sum(axis=(2, 4))
    means /= np.maximum(counts, 1.0)
    _continue(means, counts > 0)
    finer = means.repeat(2, axis=1).repeat(2, axis=2)[:, :rows, :cols]
    gaps = ~known
    planes[:, gaps] = finer[:, gaps]
    for _ in range(_RELAXATIONS):
        around = np.pad(planes, ((0, 0), (1, 1), (1, 1)), mode="edge")
        average = around[:, 1:-1, :-2] + around[:, 1:-1, 2:]
        average += around[:, :-2, 1:-1] + around[:, 2:, 1:-1]
        planes[:, gaps] = average[:, gaps] / 4


def complete_spectra(spectra: Samples, valid: Valid) -> Float64Array:
    """Spectra with likely samples in place of those that are not valid, for statistics.

    Filling and looking for directions take turns (expectation and maximisation). What spectra
    vary beside their directions is not made up, so a filled band varies a little less.

    Parameters
    ----------
    spectra : ndarray, shape (bands, pixels)
    valid : ndarray of bool, same shape
        Each pixel and each band has some.
    """
    known = np.where(valid, spectra, 0).astype(np.float64)
    mean = known.sum(axis=1) / valid.sum(axis=1)
    filled = np.where(valid, known, mean[:, None])
    some = slice(None, None, max(1, spectra.shape[1] // _SPECTRA))
    filler = Filler(mean, np.zeros((0, len(mean))), np.zeros(0))
    part, part_known = filled[:, some].copy(), valid[:, some]
    for _ in range(_ROUNDS):
        mean = part.mean(axis=1)
        filler = Filler.from_statistics(mean, np.cov(part, bias=True).reshape(len(mean), -1))
        likely = mean[:, None] + filler.vectors.T @ filler._fit(part, part_known)
        part = np.where(part_known, part, likely)
    gaps = ~valid.all(axis=0)
    likely = filler.mean[:, None] + filler.vectors.T @ filler._fit(filled[:, gaps], valid[:, gaps])
    filled[:, gaps] = np.where(valid[:, gaps], filled[:, gaps], likely)
    return filled
