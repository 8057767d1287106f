"""Where the pixels of a grid are: coordinates of their centres, made when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from affine import Affine
from xarray.backends import BackendArray
from xarray.core import indexing

__all__ = ["RotatedCentres", "centre_coords", "lazily", "pixel_centres"]

Floats = npt.NDArray[np.float64]


def pixel_centres(transform: Affine, rows: int, cols: int) -> tuple[Floats, Floats]:
    """y and x of the pixel centres: of each row and column, or of each pixel of a rotated grid.

    In the order of operations of rioxarray, so that its coordinates come out to the last bit.
    """
    if transform.b == 0 and transform.d == 0:
        return _line(transform.e, _corner(transform)[1], rows), _line(
            transform.a, _corner(transform)[0], cols
        )
    row, col = np.arange(rows), np.arange(cols)
    y, x = (RotatedCentres(transform, rows, cols, axis).at(row, col) for axis in ("y", "x"))
    return y, x


def _corner(transform: Affine) -> tuple[float, float]:
    a, b, c, d, e, f = tuple(transform)[:6]
    return a * 0.5 + b * 0.5 + c, d * 0.5 + e * 0.5 + f


def _line(step: float, first: float, size: int) -> Floats:
    return np.arange(size, dtype=np.float64) * step + first


class RotatedCentres(BackendArray):
    """x or y of the centre of each pixel of a rotated grid; takes no memory until it is read."""

    def __init__(self, transform: Affine, rows: int, cols: int, axis: str) -> None:
        self.transform, self.axis = transform, axis
        self.shape = (rows, cols)
        self.dtype = np.dtype(np.float64)

    def at(self, rows: npt.NDArray[np.intp], cols: npt.NDArray[np.intp]) -> Floats:
        """Of some rows and columns, shape (rows, cols)."""
        a, b, _, d, e, _ = tuple(self.transform)[:6]
        along, down = (a, b) if self.axis == "x" else (d, e)
        first = _corner(self.transform)[0 if self.axis == "x" else 1]
        col, row = cols.astype(np.float64)[None, :], rows.astype(np.float64)[:, None]
        made: Floats = col * along + row * down + first
        return made

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> Any:
        rows, cols = (np.arange(size)[part] for size, part in zip(self.shape, key, strict=True))
        values = self.at(np.atleast_1d(rows), np.atleast_1d(cols))
        return values.reshape([part.size for part in (rows, cols) if part.ndim])


def lazily(values: Any) -> Any:
    """Values of a coordinate as xarray takes them, those of a rotated grid unread."""
    return indexing.LazilyIndexedArray(values) if isinstance(values, RotatedCentres) else values


def centre_coords(
    transform: Affine, rows: int, cols: int, dims: tuple[str, str]
) -> Mapping[str, Any]:
    """Coordinates of pixel centres as rioxarray names them: ``y`` and ``x``, or ``yc``, ``xc``."""
    if transform.b == 0 and transform.d == 0:
        y, x = pixel_centres(transform, rows, cols)
        return {"x": (dims[1], x), "y": (dims[0], y)}
    return {
        f"{axis}c": xr.Variable(dims, lazily(RotatedCentres(transform, rows, cols, axis)))
        for axis in ("x", "y")
    }
