"""A damaged sidecar -> a GeoTIFF of what is whole; the tiles that are lost become nodata.

Header and index stand before the tiles and are needed for every one of them. A file that lost
them says so; of others, each tile that passes its checksums and decodes is saved.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from dask.array.core import normalize_chunks

from xhsinr.errors import DamagedSidecarError, SceneError
from xhsinr.outputs import check_output
from xhsinr.progress import bar
from xhsinr.reading.reader import Reader
from xhsinr.scene import Scene, write_geotiff
from xhsinr.scene.numbers import holds
from xhsinr.sidecar.file import Sidecar
from xhsinr.tiling import Window

__all__ = ["LostTile", "Salvage", "salvage"]


@dataclass(frozen=True)
class LostTile:
    """A tile that could not be saved.

    Attributes
    ----------
    number : int
    window : (slice, slice)
        Its rows and columns in the scene.
    error : str
        What is wrong with it.
    """

    number: int
    window: Window
    error: str

    def __str__(self) -> str:
        rows, cols = self.window
        where = f"rows {rows.start} to {rows.stop - 1}, columns {cols.start} to {cols.stop - 1}"
        return f"lost: {where}: {self.error}"


@dataclass(frozen=True)
class Salvage:
    """What `salvage` saved.

    Attributes
    ----------
    path : Path
        Of the GeoTIFF.
    tiles : int
        Tiles of the scene.
    nodata : int or float
        The value of all samples of the lost tiles.
    lost : tuple of LostTile
        In the order of their numbers.
    """

    path: Path
    tiles: int
    nodata: int | float
    lost: tuple[LostTile, ...]


def salvage(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    nodata: float | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Salvage:
    """Save what is whole of a damaged sidecar into a GeoTIFF.

    The tiles that pass are decoded as ever; all others become nodata. Files that were cut off
    or have something appended are read as well, as long as what stands before their tiles is
    whole.

    Parameters
    ----------
    path : str or path
        Of the damaged ``.hsinr`` file, or a URL.
    out : str or path
        Of the GeoTIFF to write.
    nodata : int or float, optional
        Value for lost tiles of a scene that has no nodata value of its own. Integers need one,
        which no valid sample has; floats become NaN without.
    overwrite : bool
        Replace ``out`` if it exists.
    progress : bool
        Show a bar for what takes more than two seconds.

    Raises
    ------
    DamagedSidecarError
        If what stands before the tiles is damaged: nothing can be saved then.
    SceneError
        If a value for nodata is needed, or does not suit.
    NetworkError
        If the base network is missing: with it, more can be saved.
    OutputExistsError
    """
    target = Path(out)
    if target.suffix.lower() not in (".tif", ".tiff"):
        raise SceneError(f"{target}: what is saved is written as GeoTIFF: give a name with .tif")
    check_output(target, overwrite=overwrite, source=os.fspath(path))
    try:
        reader = Reader(Sidecar.open(path, whole=False))
        scene = reader.scene()
    except DamagedSidecarError as error:
        raise DamagedSidecarError(
            f"{error}. Nothing can be saved: its header and index, without which no tile can be "
            "found or decoded, stand there only. Take another copy of the file"
        ) from error
    _ = reader.codec  # without its base network all tiles would seem lost
    value = _nodata_for(scene, reader, nodata)
    tiles = len(reader.tiling)
    with bar(range(tiles), "salvage", unit="tile", progress=progress) as shown:
        samples = _WholeTiles(reader, value, shown)
        write_geotiff(replace(scene, nodata=value), samples, target)
    return Salvage(target, tiles, value, tuple(samples.lost))


def _nodata_for(scene: Scene, reader: Reader, asked: float | None) -> int | float:
    """The value of what is lost."""
    name = reader.sidecar.name
    if scene.nodata is not None:
        if asked is not None and asked != scene.nodata:
            raise SceneError(f"{name}: its nodata value is {scene.nodata}: leave nodata out")
        return scene.nodata
    if asked is None:
        if scene.dtype.kind == "f":
            return float("nan")
        raise SceneError(
            f"{name}: a scene of {scene.dtype} without a nodata value: name one for the tiles that "
            f"are lost (--nodata), outside {_range(reader)}, the range of its samples"
        )
    fits = scene.dtype.kind == "f" or holds(scene.dtype, asked)
    if not fits or reader.codec.low <= asked <= reader.codec.high:
        raise SceneError(
            f"{name}: nodata = {asked:g} is no value of {scene.dtype} outside {_range(reader)}, "
            "the range of its samples"
        )
    return asked if scene.dtype.kind == "f" else int(asked)


def _range(reader: Reader) -> str:
    return f"{reader.codec.low:g} to {reader.codec.high:g}"


@dataclass
class _WholeTiles:
    """The samples as `write_geotiff` asks for them, a tile at a time; keeps a list of the lost."""

    reader: Reader
    nodata: int | float
    bar: Any
    lost: list[LostTile] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.reader.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.reader.dtype

    @property
    def chunks(self) -> tuple[tuple[int, ...], ...]:
        tile = self.reader.tiling.tile
        chunks: tuple[tuple[int, ...], ...] = normalize_chunks((-1, tile, tile), self.shape)
        return chunks

    def __getitem__(self, key: tuple[slice, slice, slice]) -> npt.NDArray[Any]:
        _, rows, cols = key
        (number,) = self.reader.tiling.touching(rows, cols)
        self.bar.update()
        try:
            return self.reader.tile(number)
        except DamagedSidecarError as error:
            self.lost.append(LostTile(number, (rows, cols), str(error)))
            shape = self.shape[0], rows.stop - rows.start, cols.stop - cols.start
            return np.full(shape, self.nodata, self.dtype)
