"""Sidecar -> samples: decodes the tiles that a window touches, and only the bands asked for.

Needs neither rasterio nor dask to decode: programs with a GDAL of their own read through it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xhsinr.coding.overview import coarse_side
from xhsinr.coding.tile import TileCodec
from xhsinr.errors import DamagedSidecarError, SidecarError
from xhsinr.reading.store import shared_store
from xhsinr.running.threads import on_all_cores
from xhsinr.sidecar.file import Sidecar
from xhsinr.tiling import Tiling

if TYPE_CHECKING:
    import dask.array

    from xhsinr.scene import Scene

__all__ = ["Reader", "finest_overview"]

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Reader:
    """Decodes windows of a sidecar; can be pickled and used from many threads.

    Looks like an array: it has a shape, (bands, rows, cols), and a data type.

    Attributes
    ----------
    sidecar : Sidecar
    overview : int
        Above one, everything is in coarse pixels: pixel (i, j) is the mean of the valid samples
        of the block of ``overview`` x ``overview`` pixels from (i, j) times ``overview``, cut at
        the scene's edges; about the mean where the coding leaves out what hardly shows, see
        `xhsinr.coding.contract.Coding.decode_coarse`.

    Raises
    ------
    SidecarError
        If blocks of that size would straddle tiles: it has to divide the side of a tile, unless
        the scene is one tile.
    """

    sidecar: Sidecar
    overview: int = 1

    def __post_init__(self) -> None:
        factor, tile = self.overview, self.sidecar.header.tile
        if isinstance(factor, bool) or not isinstance(factor, int | np.integer) or factor < 1:
            raise SidecarError(f"overview = {factor!r}: it should be a whole number from 1 up")
        if tile % factor and len(self.sidecar.tiling) > 1:
            raise SidecarError(
                f"{self.sidecar.name}: overview = {factor} does not divide the side of its tiles, "
                f"{tile}: take {finest_overview(self.sidecar, factor)}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        bands, rows, cols = self.sidecar.shape
        return bands, coarse_side(rows, self.overview), coarse_side(cols, self.overview)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.sidecar.dtype

    @cached_property
    def tiling(self) -> Tiling:
        """Tiles in pixels of this resolution, numbered as the sidecar's."""
        tile = coarse_side(self.sidecar.header.tile, self.overview)
        return Tiling(self.shape[1], self.shape[2], tile)

    @cached_property
    def codec(self) -> TileCodec:
        """Read, with its base network, when the first tile is decoded."""
        return self.sidecar.codec()

    def scene(self) -> Scene:
        """The scene with this reader as its data."""
        # These bring rasterio.
        from xhsinr.reading.coarse_scene import coarse_scene
        from xhsinr.scene import Scene

        description, arrays = self.sidecar.description
        full = self if self.overview == 1 else Reader(self.sidecar)
        try:
            scene = Scene.from_description(description, arrays, full)
        except (DamagedSidecarError, ValueError, RecursionError) as error:
            raise DamagedSidecarError(f"{self.sidecar.name}: {error}") from error
        return scene if self.overview == 1 else coarse_scene(scene, int(self.overview), self)

    def tile(self, number: int, bands: Indices | None = None) -> npt.NDArray[Any]:
        """Decode one tile, shape (bands, rows, cols), from the file and not from the store.

        Raises
        ------
        DamagedSidecarError, LimitError
            Naming the file and the tile.
        """
        shape = self.sidecar.tiling.shape(number)
        # Whatever is asked for: layers decode all bands of a tile together.
        self._check_load(self.shape[0], *shape)
        payload = self.sidecar.payload(number)
        codec = self.codec
        try:
            # Numbers that somebody forged may overflow; that is not worth a warning.
            with np.errstate(over="ignore", invalid="ignore"):
                if self.overview > 1:
                    return codec.decode_coarse(payload, *shape, int(self.overview), bands)
                return codec.decode(payload, *shape, bands)
        except DamagedSidecarError as error:
            raise DamagedSidecarError(f"{self.sidecar.name}: tile {number}: {error}") from error

    def _check_load(self, bands: int, rows: int, cols: int) -> None:
        self.sidecar.limits.check(
            "load_bytes",
            bands * rows * cols * self.dtype.itemsize,
            f"{self.sidecar.name}: {bands} bands of {rows} x {cols} pixels are to be decoded in "
            "one piece",
        )

    def window(self, bands: Indices, rows: Indices, cols: Indices) -> npt.NDArray[Any]:
        """Samples at the crossings of some bands, rows and columns, in the orders given.

        Returns
        -------
        ndarray, shape (len(bands), len(rows), len(cols))
        """
        self._check_load(len(bands), len(rows), len(cols))
        out = np.empty((len(bands), len(rows), len(cols)), self.dtype)
        if out.size == 0:
            return out
        touched = self.tiling.touching(
            slice(int(rows.min()), int(rows.max()) + 1), slice(int(cols.min()), int(cols.max()) + 1)
        )
        on_all_cores(
            partial(self._fill, out, bands, rows, cols), self._holding(touched, rows, cols)
        )
        return out

    def _holding(self, touched: Iterable[int], rows: Indices, cols: Indices) -> list[int]:
        """Those of some tiles that have one of the rows and one of the columns."""

        def any_within(indices: Indices, side: slice) -> bool:
            return bool(((indices >= side.start) & (indices < side.stop)).any())

        windows = ((number, *self.tiling.window(number)) for number in touched)
        return [n for n, i, j in windows if any_within(rows, i) and any_within(cols, j)]

    def _fill(
        self, out: npt.NDArray[Any], bands: Indices, rows: Indices, cols: Indices, number: int
    ) -> None:
        """Put a tile's part of a window in its place."""
        down, across = self.tiling.window(number)
        i = np.flatnonzero((rows >= down.start) & (rows < down.stop))
        j = np.flatnonzero((cols >= across.start) & (cols < across.stop))
        tile = self._held(number)[_run(bands)]
        part = tile[:, _run(rows[i] - down.start)][:, :, _run(cols[j] - across.start)]
        # Rows first, then columns of that view: runs copy faster than picked places.
        if isinstance(_run(i), slice):
            out[:, _run(i)][:, :, _run(j)] = part
        else:
            out[:, i[:, None], j[None, :]] = part

    def _held(self, number: int) -> npt.NDArray[Any]:
        """All bands of a tile, from the store of this process, or decoded into it."""
        sidecar = self.sidecar
        key = sidecar.name, sidecar.file_bytes, sidecar.front_crc, int(self.overview), number
        samples: npt.NDArray[Any] = shared_store().get(key, partial(self.tile, number))
        return samples

    def to_dask(self) -> dask.array.Array:
        """The samples (bands, rows, cols) as a lazy array, one chunk a tile."""
        import dask.array

        tile = self.tiling.tile
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


def finest_overview(sidecar: Sidecar, at_most: float) -> int:
    """The largest factor up to ``at_most`` that a sidecar can be read at; 1 if there is none."""
    limit = max(1, int(at_most))
    if len(sidecar.tiling) == 1:
        return limit
    tile = sidecar.header.tile
    return next(factor for factor in range(min(limit, tile), 0, -1) if tile % factor == 0)


def _run(indices: Indices) -> slice | Indices:
    """A slice where indices follow each other, else the indices."""
    first, last = int(indices[0]), int(indices[-1])
    if last - first + 1 == len(indices) and (np.diff(indices) == 1).all():
        return slice(first, last + 1)
    return indices
