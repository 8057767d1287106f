"""Sidecar -> samples: decodes the tiles that a window touches, and only the bands asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dask.array
import numpy as np
import numpy.typing as npt

from xhsinr.codec import Codec
from xhsinr.codec_header import codec_of
from xhsinr.errors import DamagedSidecarError
from xhsinr.scene import Scene
from xhsinr.sidecar import Sidecar

__all__ = ["Reader"]

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Reader:
    """Decodes windows of a sidecar; can be pickled and used from many threads.

    Looks like an array: it has a shape, (bands, rows, cols), and a data type.

    Attributes
    ----------
    sidecar : Sidecar
    """

    sidecar: Sidecar

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.sidecar.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.sidecar.dtype

    @cached_property
    def codec(self) -> Codec:
        """Read, with its base network, when the first tile is decoded."""
        return codec_of(self.sidecar)

    def scene(self) -> Scene:
        """The scene with this reader as its data."""
        self.sidecar.check_report()
        prefix = "scene."
        arrays = {
            name.removeprefix(prefix): value
            for name, value in self.sidecar.arrays.items()
            if name.startswith(prefix)
        }
        try:
            return Scene.from_description(self.sidecar.header["scene"], arrays, self)
        except (DamagedSidecarError, ValueError, RecursionError) as error:
            raise DamagedSidecarError(f"{self.sidecar.path}: {error}") from error

    def tile(self, number: int, bands: Indices | None = None) -> npt.NDArray[Any]:
        """Decode one tile, shape (bands, rows, cols).

        Raises
        ------
        DamagedSidecarError
            Naming the file and the tile.
        """
        payload = self.sidecar.payload(number)
        codec = self.codec
        try:
            return codec.decode(payload, *self.sidecar.tiling.shape(number), bands)
        except DamagedSidecarError as error:
            raise DamagedSidecarError(f"{self.sidecar.path}: tile {number}: {error}") from error

    def window(self, bands: Indices, rows: Indices, cols: Indices) -> npt.NDArray[Any]:
        """Samples at the crossings of some bands, rows and columns, in the orders given.

        Returns
        -------
        ndarray, shape (len(bands), len(rows), len(cols))
        """
        out = np.empty((len(bands), len(rows), len(cols)), self.dtype)
        if out.size == 0:
            return out
        tiling = self.sidecar.tiling
        touched = tiling.touching(
            slice(int(rows.min()), int(rows.max()) + 1), slice(int(cols.min()), int(cols.max()) + 1)
        )
        for number in touched:
            down, across = tiling.window(number)
            i = np.flatnonzero((rows >= down.start) & (rows < down.stop))
            j = np.flatnonzero((cols >= across.start) & (cols < across.stop))
            if len(i) and len(j):
                tile = self.tile(number, None if _whole(bands, self.shape[0]) else bands)
                part = tile[:, _run(rows[i] - down.start)][:, :, _run(cols[j] - across.start)]
                if part.shape == out.shape:
                    return part
                # Rows first, then columns of that view: runs copy faster than picked places.
                if isinstance(_run(i), slice):
                    out[:, _run(i)][:, :, _run(j)] = part
                else:
                    out[:, i[:, None], j[None, :]] = part
        return out

    def to_dask(self) -> dask.array.Array:
        """The samples (bands, rows, cols) as a lazy array, one chunk a tile."""
        tile = self.sidecar.header["tile"]
        lazy: dask.array.Array = dask.array.from_array(
            self, chunks=(-1, tile, tile), asarray=False, fancy=False
        )
        return lazy

    @property
    def ndim(self) -> int:
        return 3

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        """Basic slicing of all three axes, as `Scene.window` needs it."""
        bands, rows, cols = (
            np.arange(size)[part] for size, part in zip(self.shape, key, strict=True)
        )
        return self.window(bands, rows, cols)


def _run(indices: Indices) -> slice | Indices:
    """A slice where indices follow each other, else the indices."""
    first, last = int(indices[0]), int(indices[-1])
    if last - first + 1 == len(indices) and (np.diff(indices) == 1).all():
        return slice(first, last + 1)
    return indices


def _whole(bands: Indices, count: int) -> bool:
    run = _run(bands)
    return isinstance(run, slice) and run == slice(0, count)
