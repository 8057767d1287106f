"""Small pictures of compressed scenes: a quicklook to show, a preview file for any program."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import ColorInterp

from xhsinr.outputs import check_output, replacing
from xhsinr.pictures import picture
from xhsinr.pictures.encoded import jpeg_bytes
from xhsinr.reading.coarse_scene import coarse_scene
from xhsinr.reading.reader import Reader, finest_overview
from xhsinr.running.tasks import run_tiles
from xhsinr.scene import Scene
from xhsinr.scene.geotiff import gdal_place
from xhsinr.scene.images import placeless
from xhsinr.sidecar.file import Sidecar

__all__ = [
    "Quicklook",
    "opened_preview",
    "preview_path",
    "quicklook",
    "small_preview",
    "write_preview",
    "write_thumbnail",
]

# Largest sides in pixels, of a preview and of a thumbnail.
_SIDE = 1024
_THUMBNAIL = 512


class Quicklook(NamedTuple):
    """A scene in natural colours, made smaller.

    Attributes
    ----------
    colours : ndarray of uint8, shape (rows, cols, 3)
    valid : ndarray of bool, shape (rows, cols)
        Pixels with data in all three bands; the others are black.
    bands : list of int
        The bands shown as red, green and blue, counted from 0.
    step : int
        Pixels of the scene along each side of one pixel of the picture.
    """

    colours: picture.Picture
    valid: npt.NDArray[np.bool_]
    bands: list[int]
    step: int


def quicklook(sidecar: Sidecar, side: int, *, progress: bool = False) -> Quicklook:
    """Picture of a sidecar whose larger side has at most that many pixels.

    Only the three bands shown are decoded, a row of tiles at a time, to the mean of each block
    of pixels.
    """
    scene = Reader(sidecar).scene()
    factor = _overview(sidecar, math.ceil(max(scene.rows, scene.cols) / side))
    reader = Reader(sidecar, factor)
    bands = picture.picture_bands(reader.codec.live, scene.wavelengths_um)
    every = math.ceil(max(reader.shape[1:]) / side)
    rows, cols = (_centres(length, every) for length in reader.shape[1:])
    ends = np.flatnonzero(np.diff(rows // reader.tiling.tile)) + 1
    parts = np.split(rows, ends)
    strips = run_tiles(
        lambda number: reader.window(np.array(bands), parts[number], cols),
        range(len(parts)),
        "preview",
        progress=progress,
    )
    samples = np.concatenate(list(strips), axis=1)
    valid = ~scene.invalid(samples)
    colours = picture.stretched(samples, valid, picture.limits(samples, valid))
    shown: npt.NDArray[np.bool_] = np.asarray(valid.all(axis=0))
    return Quicklook(colours, shown, bands, factor * every)


def preview_path(sidecar: Path) -> Path:
    """Where the preview of a sidecar lies: ``scene.preview.tif`` beside ``scene.hsinr``."""
    return sidecar.with_suffix(".preview.tif")


def write_preview(
    sidecar: Sidecar | str | Path,
    path: str | Path | None = None,
    *,
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Write a small picture of a sidecar that opens anywhere, with its place on the ground.

    A cloud-optimized GeoTIFF of 8 bits in natural colours, at most 1024 pixels a side, each
    band stretched between its 2nd and 98th percentile; JPEG in tiles with overviews, and a mask
    where the scene has no data. It shows what the sidecar decodes to. CRS and transform, or
    ground control points, are the scene's at the picture's resolution. The file appears under
    its name when it is complete.

    Parameters
    ----------
    sidecar : Sidecar, str or Path
        What to show.
    path : str or Path, optional
        Of the GeoTIFF; without it, `preview_path` of the sidecar.
    overwrite : bool
        Replace the file if it exists.
    progress : bool
        Show a bar for what takes more than two seconds.

    Returns
    -------
    Path
        Of the file written.

    Raises
    ------
    OutputExistsError, SidecarError
    """
    sidecar = sidecar if isinstance(sidecar, Sidecar) else Sidecar.open(sidecar)
    target = preview_path(sidecar.path) if path is None else Path(path)
    check_output(target, overwrite=overwrite, source=sidecar.place)
    look = quicklook(sidecar, _SIDE, progress=progress)
    with replacing(target) as part, placeless():
        _write(look, Reader(sidecar).scene(), part)
    return target


@contextlib.contextmanager
def opened_preview(preview: Path) -> Iterator[rasterio.DatasetReader]:
    """A preview to read from; it need not have a place on the ground."""
    with placeless(), rasterio.open(preview, driver="GTiff") as opened:
        yield opened


def small_preview(preview: Path, side: int) -> picture.Picture:
    """A preview with at most ``side`` pixels a side, shape (rows, cols, 3)."""
    with opened_preview(preview) as opened:
        scale = min(1.0, side / max(opened.shape))
        shape = [max(1, round(size * scale)) for size in opened.shape]
        planes: picture.Picture = opened.read((1, 2, 3), out_shape=(3, *shape))
    return planes.transpose(1, 2, 0)


def write_thumbnail(preview: Path, path: Path) -> None:
    """Write what browsers show of a preview: a JPEG of at most 512 pixels a side."""
    path.write_bytes(jpeg_bytes(small_preview(preview, _THUMBNAIL)))


def _write(look: Quicklook, scene: Scene, path: Path) -> None:
    height, width = look.valid.shape
    planes = np.moveaxis(look.colours, -1, 0)
    place = gdal_place(coarse_scene(scene, look.step, planes))
    profile = {
        "driver": "COG",
        "count": 4,
        "height": height,
        "width": width,
        "dtype": "uint8",
        "compress": "JPEG",
        "quality": 85,
        "overview_resampling": "average",
    }
    with rasterio.open(path, "w", **profile, **place) as out:
        # With JPEG, GDAL turns the alpha band into a mask.
        out.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
        out.descriptions = [*(_label(scene, band) for band in look.bands), "alpha"]
        out.write(planes, (1, 2, 3))
        out.write(np.where(look.valid, 255, 0).astype(np.uint8), 4)


def _label(scene: Scene, band: int) -> str:
    micrometres = scene.wavelengths_um
    name = f"band {band + 1}"
    return name if micrometres is None else f"{name}, {1000 * micrometres[band]:.6g} nm"


def _overview(sidecar: Sidecar, step: int) -> int:
    """The factor from ``step`` to its double that a sidecar can be read at, or the next below."""
    fitting = (f for f in range(step, 2 * step) if finest_overview(sidecar, f) == f)
    return next(fitting, finest_overview(sidecar, step))


def _centres(length: int, step: int) -> npt.NDArray[np.intp]:
    """Middle of each run of ``step`` pixels, the last of which may be shorter."""
    return np.minimum(np.arange(step // 2, length + step // 2, step), length - 1)
