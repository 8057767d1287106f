"""Principal components of spectra, whole or folded, as they are stored in a codec's bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.bench.codecs import Cube

__all__ = ["Axes", "Basis"]

_HEADER = struct.Struct("<HHf")

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Axes:
    """Principal axes of a cube's spectra, each cut into ``folds`` pieces of equal length.

    One fold is ordinary PCA. The pieces of all spectra share their axes (Mei et al. 2018), so
    that these take a fold-th of the bytes and the covariance far less work.

    Attributes
    ----------
    mean : ndarray, shape (bands,)
    vectors : ndarray, shape (length, length)
        Orthonormal rows, strongest first; length is bands / folds, rounded up.
    folds : int
    """

    mean: Floats
    vectors: Floats
    folds: int

    @classmethod
    def of(cls, cube: Cube, folds: int = 1) -> Axes:
        """The axes of a cube of shape (rows, cols, bands)."""
        pixels = cube.reshape(-1, cube.shape[2]).astype(np.float64)
        mean = pixels.mean(0)
        pieces = _folded(pixels - mean, folds)
        pieces = pieces.reshape(-1, pieces.shape[-1])
        _, vectors = np.linalg.eigh(pieces.T @ pieces)
        return cls(mean, vectors.T[::-1], folds)

    def strongest(self, count: int) -> Basis:
        """The first axes as a codec stores them."""
        scale = np.float32(np.abs(self.mean).max() or 1.0)
        mean = (self.mean / scale).astype(np.float16)
        return Basis(float(scale), mean, self.vectors[:count].astype(np.float16), self.folds)


@dataclass(frozen=True)
class Basis:
    """A mean spectrum and axes in half precision.

    Attributes
    ----------
    scale : float
        Unit of the mean.
    mean : ndarray of float16, shape (bands,)
    vectors : ndarray of float16, shape (axes, length)
    folds : int
    """

    scale: float
    mean: npt.NDArray[np.float16]
    vectors: npt.NDArray[np.float16]
    folds: int

    @property
    def n_planes(self) -> int:
        return len(self.vectors) * self.folds

    def to_bytes(self) -> bytes:
        head = _HEADER.pack(len(self.vectors), self.folds, self.scale)
        return head + self.mean.tobytes() + self.vectors.tobytes()

    @classmethod
    def from_bytes(cls, payload: bytes, shape: tuple[int, int, int]) -> tuple[Basis, bytes]:
        """A basis for cubes of a shape, and the bytes behind it."""
        bands = shape[2]
        count, folds, scale = _HEADER.unpack_from(payload)
        length = -(-bands // folds)
        end = _HEADER.size + 2 * (bands + count * length)
        stored = np.frombuffer(payload[_HEADER.size : end], np.float16)
        basis = cls(scale, stored[:bands], stored[bands:].reshape(count, length), folds)
        return basis, payload[end:]

    def scores(self, cube: Cube) -> Floats:
        """Least-squares scores of a cube on the axes as stored, shape (planes, rows, cols)."""
        rows, cols, bands = cube.shape
        centred = cube.reshape(-1, bands) - self.mean.astype(np.float64) * self.scale
        axes = self.vectors.astype(np.float64)
        pieces = _folded(centred, self.folds).reshape(-1, axes.shape[1])
        scores = np.linalg.solve(axes @ axes.T, axes @ pieces.T)
        by_fold = scores.reshape(len(axes), rows * cols, self.folds).transpose(0, 2, 1)
        return np.asarray(by_fold.reshape(-1, rows, cols), np.float64)

    def spectra(self, planes: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """The cube of these scores, shape (rows, cols, bands)."""
        rows, cols = planes.shape[1:]
        scores = planes.reshape(len(self.vectors), self.folds, -1).astype(np.float32)
        pieces = np.einsum("kfn,kl->nfl", scores, self.vectors.astype(np.float32), optimize=True)
        centred = pieces.reshape(rows, cols, -1)[..., : len(self.mean)]
        spectra: npt.NDArray[np.float32] = centred + self.mean.astype(np.float32) * np.float32(
            self.scale
        )
        return spectra


def _folded(pixels: Floats, folds: int) -> Floats:
    """Spectra, shape (pixels, bands), as shape (pixels, folds, length), zeros at the end."""
    length = -(-pixels.shape[1] // folds)
    padded = np.pad(pixels, ((0, 0), (0, folds * length - pixels.shape[1])))
    return padded.reshape(len(pixels), folds, length)
