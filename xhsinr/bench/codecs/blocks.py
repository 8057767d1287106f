"""Blocks of a cube and their discrete cosine transform."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.fft import dctn, idctn

__all__ = ["DctBlocks"]

Floats = npt.NDArray[np.float64]


class DctBlocks:
    """Between arrays and planes of orthonormal DCT coefficients.

    Parameters
    ----------
    shape : tuple of int
        Of the arrays, three axes.
    block : tuple of int
        Sides of a block; arrays are mirrored at their ends to whole blocks.

    A plane holds one coefficient of every block and has an axis for each axis of the array;
    planes are in the order of rising frequency.
    """

    def __init__(self, shape: tuple[int, int, int], block: tuple[int, int, int]) -> None:
        self.shape, self.block = shape, block
        self._counts = tuple(-(-n // side) for n, side in zip(shape, block, strict=True))
        frequency = sum(np.meshgrid(*(np.arange(side) / side for side in block), indexing="ij"))
        self._order = np.argsort(np.ravel(frequency), kind="stable")

    def forward(self, values: npt.NDArray[Any]) -> Floats:
        """Coefficients, shape (positions, blocks along each of the three axes)."""
        sides = zip(self._counts, self.block, self.shape, strict=True)
        padding = [(0, count * side - n) for count, side, n in sides]
        padded = np.pad(values.astype(np.float64), padding, mode="symmetric")
        (a, b, c), (p, q, r) = self._counts, self.block
        blocks = padded.reshape(a, p, b, q, c, r).transpose(1, 3, 5, 0, 2, 4)
        coefficients = dctn(blocks, axes=(0, 1, 2), norm="ortho").reshape(p * q * r, a, b, c)
        return np.asarray(coefficients[self._order], np.float64)

    def inverse(self, planes: npt.NDArray[Any]) -> Floats:
        """The array whose coefficients `forward` gave."""
        (a, b, c), (p, q, r) = self._counts, self.block
        coefficients = np.empty_like(planes, np.float64)
        coefficients[self._order] = planes
        blocks = idctn(coefficients.reshape(p, q, r, a, b, c), axes=(0, 1, 2), norm="ortho")
        padded = blocks.transpose(3, 0, 4, 1, 5, 2).reshape(a * p, b * q, c * r)
        rows, cols, bands = self.shape
        return np.asarray(padded[:rows, :cols, :bands], np.float64)
