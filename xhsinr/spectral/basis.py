"""Spectral bases: a scene's own KLT from streamed statistics, stored in small integers.

A spectrum is the mean spectrum plus a weighted sum of basis vectors; the weights are its
scores. Mean and vectors are fixed point, so that what rests on them can decode in integers.

Each number is stored as coarsely as the distortion aimed at allows. ``X = V S`` treats vectors
and scores alike: where one score sample is coded with mean squared error ``D``, an entry of
vector ``k`` deserves the error ``D / (pixels * variance_k)``, which is the point where a bit
spent on the basis and a bit spent on the scores buy the same.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.entropy import rans
from xhsinr.entropy.cursor import Cursor, varint
from xhsinr.entropy.rows import (
    Envelope,
    read_row,
    read_shifted_row,
    row_symbols,
    shifted_row_symbols,
)
from xhsinr.errors import DamagedSidecarError, SceneError

__all__ = [
    "VECTOR_BITS",
    "SpectralBasis",
    "SpectralStatistics",
    "water_level",
    "worthwhile_components",
]

VECTOR_BITS = 16
"""Basis vectors are integers times ``2**-VECTOR_BITS``."""

FloatArray = npt.NDArray[np.floating[Any]]
Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]

_MEAN_BITS = 40
_EXPONENT = struct.Struct("<b")
_LARGEST_EXPONENT = 127
# Entries of basis vectors lie below this: 1 over the smallest weight, and room for rounding.
_LONGEST = 32
# Entries of basis vectors that so many bytes can hold; real ones hold one to four a byte.
_MOST_ENTRIES, _ENTRIES_PER_BYTE = 1 << 16, 64


class SpectralStatistics:
    """Mean and covariance of spectra that arrive in chunks.

    Sums are kept of the samples less the first chunk's mean, which keeps them accurate where
    the mean is large beside the spread. The same sequence of updates gives the same result.
    """

    def __init__(self, bands: int) -> None:
        self.count = 0
        self._shift = np.zeros(bands)
        self._sum = np.zeros(bands)
        self._products = np.zeros((bands, bands))

    def update(self, samples: npt.NDArray[Any]) -> None:
        """Add the spectra ``samples`` of shape (bands, pixels), all of them valid.

        Raises
        ------
        SceneError
            If a sample is NaN or infinite: mask such pixels out first.
        """
        if samples.shape[1] == 0:
            return
        values = samples.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # `mean` and `covariance` see to it
            if self.count == 0:
                self._shift = values.mean(axis=1)
            values -= self._shift[:, None]
            total = values.sum(axis=1)
            self._sum += total
            self._products += values @ values.T
        if not np.isfinite(total).all() and not np.isfinite(samples).all():
            raise SceneError(
                f"band {int(np.argmin(np.isfinite(samples).all(axis=1)))} has NaN or infinite "
                "samples among the valid pixels: declare them as nodata or mask those pixels"
            )
        self.count += values.shape[1]

    def merge(self, other: SpectralStatistics) -> None:
        """Add the spectra of other statistics of the same bands."""
        if other.count == 0:
            return
        with np.errstate(over="ignore", invalid="ignore"):  # as in `update`
            if self.count == 0:
                self._shift = other._shift
            apart = other._shift - self._shift
            crossed = np.outer(other._sum, apart)
            self._products += other._products + crossed + crossed.T
            self._products += other.count * np.outer(apart, apart)
            self._sum += other._sum + other.count * apart
        self.count += other.count

    @property
    def mean(self) -> Float64Array:
        """Mean spectrum, shape (bands,); zeros without samples or where float64 overflows."""
        with np.errstate(over="ignore", invalid="ignore"):
            mean = self._shift + self._sum / max(self.count, 1)
        return np.where(np.isfinite(mean), mean, 0.0)

    @property
    def covariance(self) -> Float64Array:
        """Population covariance, shape (bands, bands); zeros without samples or if it overflows."""
        with np.errstate(over="ignore", invalid="ignore"):
            shifted = self._sum / max(self.count, 1)
            covariance = self._products / max(self.count, 1) - np.outer(shifted, shifted)
        return covariance if np.isfinite(covariance).all() else np.zeros_like(covariance)


def water_level(variances: npt.ArrayLike, distortion: float) -> float:
    """Error variance per score at which the scores' errors sum to ``distortion``.

    Reverse water-filling (Cover and Thomas, section 10.3.3): a component whose variance lies
    below the level is left out and costs its variance, every other one costs the level.

    Parameters
    ----------
    variances : array_like, shape (n,)
        Variances of all components (the eigenvalues), in any order.
    distortion : float
        Sum of the components' mean squared errors aimed at: bands times the MSE per sample.

    Returns
    -------
    float
        The level; the largest variance where ``distortion`` is out of reach from below.
    """
    ordered = np.sort(np.maximum(np.asarray(variances, np.float64), 0.0))
    below = np.concatenate([[0.0], np.cumsum(ordered)[:-1]])
    levels = (distortion - below) / np.arange(len(ordered), 0, -1)
    inside = levels <= ordered
    return float(levels[np.argmax(inside)]) if inside.any() else float(ordered[-1])


def worthwhile_components(variances: npt.ArrayLike, distortion: float, share: float = 0.7) -> int:
    """How many of the strongest components pay for their vectors and headers.

    Those above a share of the water level: below it, as a component that is weak on the whole may
    be strong in places. The optimum is flat, 0.5 to 1 cost within 2 % of the same bytes.

    Parameters
    ----------
    variances, distortion
        As for `water_level`.
    share : float
    """
    level = water_level(variances, distortion)
    return int(np.count_nonzero(np.asarray(variances) > share * level))


@dataclass(frozen=True, eq=False)
class SpectralBasis:
    """Mean spectrum and basis vectors in fixed point.

    Attributes
    ----------
    mean_integers : ndarray of int64, shape (bands,)
        Mean spectrum in units of ``2**mean_exponent``.
    mean_exponent : int
        Power of two that scales the mean to the scene's units.
    vector_integers : ndarray of int64, shape (components, bands)
        Basis vectors in units of ``2**-VECTOR_BITS``, in the order in which they are coded.
    weights : ndarray of float64, shape (bands,), or None
        What an error in each band weighs when scores are fitted; None for all the same. Only
        encoding needs it, so it is not stored.
    """

    mean_integers: Int64Array
    mean_exponent: int
    vector_integers: Int64Array
    weights: Float64Array | None = None

    @classmethod
    def from_statistics(
        cls,
        mean: Float64Array,
        covariance: Float64Array,
        *,
        components: int,
        distortion: float,
        pixels: int,
        weights: Float64Array | None = None,
        turn: Float64Array | None = None,
    ) -> SpectralBasis:
        """The strongest ``components`` directions of a scene, as precise as is worth storing.

        Parameters
        ----------
        mean : ndarray of float64, shape (bands,)
            Mean spectrum in the scene's units.
        covariance : ndarray of float64, shape (bands, bands)
            Covariance of the bands.
        components : int
            Basis vectors wanted; directions without variance are left out.
        distortion : float
            Mean squared error per sample that the scene is going to be coded with, above zero;
            for samples that must come back exactly, 1/12 of the squared unit. With weights,
            of the weighted samples.
        pixels : int
            Pixels of the scene that the basis is for.
        weights : ndarray of float64, shape (bands,), optional
            What an error in each band weighs: the directions are the strongest of the weighted
            spectra, in which equal errors of the scores count the same.
        turn : ndarray of float64, shape (components, components), optional
            Orthogonal: each of its rows makes a vector of the strongest directions; without it
            they are the vectors.
        """
        if not distortion > 0 or pixels < 1 or components < 0:
            raise ValueError(
                f"need distortion > 0, pixels >= 1 and components >= 0; got {distortion}, "
                f"{pixels}, {components}"
            )
        bands = len(mean)
        factors = np.ones(bands) if weights is None else weights
        values, columns = np.linalg.eigh(covariance * factors * factors[:, None])
        values = np.maximum(values[::-1], 0.0)
        level = max(water_level(values, distortion * bands), distortion)
        negligible = values[0] * bands * np.finfo(np.float64).eps
        kept = min(components, int(np.count_nonzero(values > negligible)))
        vectors = columns.T[::-1][:kept] / factors
        vectors = vectors * np.where(vectors.sum(axis=1) < 0, -1.0, 1.0)[:, None]
        variances = values[:kept]
        if turn is not None:
            vectors, variances = turn @ vectors, np.square(turn) @ variances

        step = np.sqrt(12.0 * level / pixels / np.square(factors).mean())
        coarsest = _floor_log2(float(np.abs(mean).max())) + 1 - _MEAN_BITS
        exponent = min(max(_floor_log2(step), coarsest, -100), _LARGEST_EXPONENT)
        # A step no larger than length / sqrt(bands) never quantises a vector to zeros.
        longest = np.log2(np.linalg.norm(vectors, axis=1) * bands**-0.5)
        steps = np.minimum(np.log2(step / np.sqrt(variances)) + 0.25, longest)
        units = np.exp2(np.clip(np.floor(steps) + VECTOR_BITS, 0, VECTOR_BITS))[:, None]
        integers = np.rint(vectors * 2.0**VECTOR_BITS / units) * units
        return cls(
            mean_integers=np.rint(np.ldexp(mean, -exponent)).astype(np.int64),
            mean_exponent=exponent,
            vector_integers=integers.astype(np.int64),
            weights=weights,
        )

    @property
    def bands(self) -> int:
        """Bands of a spectrum."""
        return int(self.vector_integers.shape[1])

    @property
    def components(self) -> int:
        """Basis vectors, which is also the number of scores a spectrum has."""
        return int(self.vector_integers.shape[0])

    @cached_property
    def mean(self) -> Float64Array:
        """Mean spectrum in the scene's units, shape (bands,)."""
        return np.ldexp(self.mean_integers.astype(np.float64), self.mean_exponent)

    @cached_property
    def vectors(self) -> Float64Array:
        """Basis vectors, shape (components, bands), of about unit length once weighted."""
        return np.ldexp(self.vector_integers.astype(np.float64), -VECTOR_BITS)

    @cached_property
    def _projection(self) -> Float64Array:
        weights = np.ones(self.bands) if self.weights is None else self.weights
        return np.asarray(np.linalg.pinv(self.vectors.T * weights[:, None]) * weights)

    def unexplained(self, mean: Float64Array, covariance: Float64Array) -> float:
        """Mean squared error per sample that the basis leaves with exact scores.

        Parameters
        ----------
        mean, covariance
            Of the spectra, as for `from_statistics`.
        """
        # What is left of a spectrum x is L (x - mean), L = 1 - V^T V^+T.
        left = np.eye(self.bands) - self.vectors.T @ self._projection
        offset = left @ (mean - self.mean)
        spread = float(np.einsum("ij,jk,ik->", left, covariance, left, optimize=True))
        return max(spread + float(offset @ offset), 0.0) / self.bands

    def scores(self, samples: npt.NDArray[Any]) -> FloatArray:
        """Scores of spectra: the weighted least-squares fit by the vectors as they are stored.

        Parameters
        ----------
        samples : ndarray, shape (bands, ...)
            Spectra in the scene's units.

        Returns
        -------
        ndarray of float32 or float64, shape (components, ...)
            float32 for 8- and 16-bit integers and float32, else float64.
        """
        dtype = np.result_type(samples.dtype, np.float32)
        centred = samples.reshape(self.bands, math.prod(samples.shape[1:])).astype(dtype)
        centred -= self.mean.astype(dtype)[:, None]
        scores: FloatArray = self._projection.astype(dtype) @ centred
        return scores.reshape(self.components, *samples.shape[1:])

    def reconstruct(self, scores: FloatArray) -> FloatArray:
        """Spectra of scores, shape (bands, ...), in the data type of the scores.

        Parameters
        ----------
        scores : ndarray of float32 or float64, shape (n, ...)
            Scores of the first ``n`` components; the others count as zero.
        """
        flat = scores.reshape(len(scores), math.prod(scores.shape[1:]))
        spectra: FloatArray = self.vectors[: len(flat)].T.astype(scores.dtype) @ flat
        spectra += self.mean.astype(scores.dtype)[:, None]
        return spectra.reshape(self.bands, *scores.shape[1:])

    def to_bytes(self) -> bytes:
        """The basis as entropy-coded bytes, for `from_bytes`."""
        symbols = [row_symbols(self.mean_integers, Envelope(self.bands))]
        envelope = Envelope(self.bands)
        symbols += [shifted_row_symbols(row, envelope) for row in self.vector_integers]
        pairs = np.concatenate(symbols)
        coded = rans.finish(*rans.take(pairs[:, 0].copy(), pairs[:, 1].copy()))
        return varint(self.components) + _EXPONENT.pack(self.mean_exponent) + coded

    @classmethod
    def from_bytes(cls, payload: bytes, bands: int) -> SpectralBasis:
        """Read what `to_bytes` wrote for a scene of ``bands`` bands.

        Raises
        ------
        DamagedSidecarError
            If the payload is not a basis for that many bands.
        """
        cursor = Cursor(payload, "the spectral basis")
        components = cursor.varint()
        (exponent,) = _EXPONENT.unpack(cursor.take(_EXPONENT.size))
        if components > bands:
            raise DamagedSidecarError(
                f"the spectral basis declares {components} components of {bands} bands: the file "
                "is damaged"
            )
        if components * bands > _MOST_ENTRIES + _ENTRIES_PER_BYTE * len(payload):
            raise DamagedSidecarError(
                f"the spectral basis declares {components} components of {bands} bands in "
                f"{len(payload)} bytes: the file is damaged"
            )
        try:
            coder = rans.Decoder(cursor.rest())
        except ValueError as error:
            raise DamagedSidecarError(f"the spectral basis does not decode: {error}") from error
        mean = read_row(coder, Envelope(bands))
        envelope = Envelope(bands)
        vectors = np.zeros((components, bands), np.int64)
        for row in vectors:
            row[:] = read_shifted_row(coder, envelope)
        if not coder.finished:
            raise DamagedSidecarError("the spectral basis does not end where it should")
        if not (_within(vectors, _LONGEST << VECTOR_BITS) and _within(mean, 4 << _MEAN_BITS)):
            raise DamagedSidecarError(
                "the spectral basis holds numbers that no basis has: the file is damaged"
            )
        return cls(mean, exponent, vectors)


def _within(values: Int64Array, limit: int) -> bool:
    return bool(((values > -limit) & (values < limit)).all())


def _floor_log2(value: float) -> int:
    return int(np.frexp(value)[1]) - 1 if value > 0 else -100
