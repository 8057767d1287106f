"""Scenes to GeoTIFF: the way out for those who want the samples in a file again."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import rasterio
from dask.array.core import normalize_chunks, slices_from_chunks
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.windows import Window

from xhsinr.errors import SceneError
from xhsinr.outputs import replacing, sync, unwritten
from xhsinr.scene.images import placeless
from xhsinr.scene.model import Scene

__all__ = [
    "gdal_place",
    "gdal_profile",
    "spectral_lists",
    "write_geotiff",
    "write_image",
    "write_tags",
]

_BLOCK = 256
_NOT_TAGS = {"_FillValue", "scale_factor", "add_offset", "scales", "offsets", "long_name"} | (
    {"units", "rpcs"}
)
# Names that rasterio's update_tags has for itself.
_NOT_KEYWORDS = {"self", "bidx", "ns"}


def write_geotiff(scene: Scene, data: Any, path: str | Path) -> None:
    """Write a scene to a tiled, DEFLATE-compressed GeoTIFF, window by window.

    CRS, transform, ground control points or RPCs, nodata, band names, scale and offset, wavelengths
    (exact in band tags, in micrometres in GDAL's IMAGERY domain) and attributes go with it.
    The file appears under its name when it is complete, replacing one that was there.

    Parameters
    ----------
    scene : Scene
        What the samples belong to.
    data : array, shape (bands, rows, cols)
        Samples; those of a dask array are computed a chunk of rows and columns at a time.
    path : path

    Raises
    ------
    SceneError
        If the shape is not the scene's, or GeoTIFF cannot hold the data type.
    OSError
        If what was written does not read back as it was, for example because the disk is full.
    """
    target = Path(path)
    if tuple(data.shape) != scene.shape:
        raise SceneError(f"data of shape {tuple(data.shape)} for a scene of shape {scene.shape}")
    dtype = np.dtype(data.dtype)
    if not rasterio.dtypes.check_dtype(dtype.name):
        raise SceneError(f"GeoTIFF cannot hold {dtype}; convert the scene to float32 first")
    with replacing(target) as part:
        write_image(scene, data, part, target, _geotiff_profile(scene, dtype))


def write_image(
    scene: Scene, data: Any, part: Path, target: Path, profile: Mapping[str, Any]
) -> None:
    """Write samples and tags to ``part``, which is to be ``target``, by GDAL; read all of it back.

    Raises
    ------
    OSError
        As `write_geotiff`.
    """
    with placeless():
        checksums = {}
        try:
            with rasterio.open(part, "w", **profile) as out:
                write_tags(scene, out)
                for rows, cols in _windows(data):
                    block = np.ascontiguousarray(data[:, rows, cols])
                    window = Window.from_slices(rows, cols)
                    checksums[window] = google_crc32c.value(block.tobytes())
                    out.write(block, window=window)
        except (RasterioError, SystemError) as error:  # the latter where GDAL says nothing
            raise unwritten(target, error.__cause__ or error) from error
        _check_written(part, target, profile["driver"], checksums)


def _check_written(part: Path, target: Path, driver: str, checksums: Mapping[Window, int]) -> None:
    """Read all of it back: GDAL keeps to itself what goes wrong when it closes a file."""
    try:
        sync(part)
        with rasterio.open(part, driver=driver) as found:
            whole = all(
                google_crc32c.value(found.read(window=window).tobytes()) == checksum
                for window, checksum in checksums.items()
            )
    except RasterioError as error:
        whole, reason = False, error
    else:
        reason = None
    if not whole:
        raise OSError(
            errno.EIO, "what was written does not read back: is the disk full?", str(target)
        ) from reason


def gdal_profile(scene: Scene, dtype: np.dtype[Any]) -> dict[str, Any]:
    """What rasterio has to be told to create a dataset for a scene, whatever the driver."""
    profile: dict[str, Any] = {
        "count": scene.bands,
        "height": scene.rows,
        "width": scene.cols,
        "dtype": dtype.newbyteorder("=").name,
    }
    nodata = scene.nodata
    if nodata is None and dtype.kind == "f" and "_FillValue" in scene.encoding:
        # Masked on reading: the samples without data have become NaN.
        nodata = np.nan
    given = {"nodata": nodata, "rpcs": scene.rpcs}
    profile |= {key: value for key, value in given.items() if value is not None}
    return profile | gdal_place(scene)


def gdal_place(scene: Scene) -> dict[str, Any]:
    """CRS and transform, or ground control points, as rasterio takes them."""
    if scene.gcps:
        # rasterio writes points in no CRS, but takes none for an answer.
        return {"gcps": list(scene.gcps), "crs": scene.crs or CRS()}
    given = {"crs": scene.crs, "transform": scene.transform}
    return {key: value for key, value in given.items() if value is not None}


def _geotiff_profile(scene: Scene, dtype: np.dtype[Any]) -> dict[str, Any]:
    return gdal_profile(scene, dtype) | {
        "driver": "GTiff",
        "tiled": True,
        "blockxsize": _BLOCK,
        "blockysize": _BLOCK,
        "compress": "deflate",
        "predictor": 3 if dtype.kind == "f" else 2,
        "interleave": "band",
        "BIGTIFF": "IF_SAFER",
    }


def write_tags(scene: Scene, out: Any) -> None:
    """Write band names, units, scales, wavelengths and attributes to an open rasterio dataset."""
    attrs = scene.attrs
    tags = {
        key: value
        for key, value in attrs.items()
        if isinstance(value, str | int | float) and key not in _NOT_TAGS | _NOT_KEYWORDS
    }
    out.update_tags(**tags)
    names, units = _texts(attrs.get("long_name"), scene), _texts(attrs.get("units"), scene)
    if names is not None:
        out.descriptions = names
    if units is not None:
        out.units = units
    if scene.scaling is not None:
        out.scales, out.offsets = (tuple(values.tolist()) for values in scene.scaling)
    spectral = spectral_lists(scene)
    imagery = {"CENTRAL_WAVELENGTH_UM": scene.wavelengths_um, "FWHM_UM": scene.fwhm_um}
    units_tag = {"wavelength_units": scene.wavelength_units} if scene.wavelength_units else {}
    for band in range(scene.bands):
        own = {key: repr(values[band]) for key, values in spectral.items()}
        if own:
            out.update_tags(band + 1, **own, **units_tag)
        um = {key: f"{v[band]:.12g}" for key, v in imagery.items() if v is not None}
        if um:
            out.update_tags(band + 1, ns="IMAGERY", **um)


def spectral_lists(scene: Scene) -> dict[str, list[float]]:
    """Wavelengths, widths and bad bands of a scene, as far as it has them, by ENVI's names."""
    good = scene.coords.get("bbl")
    lists = {
        "wavelength": scene.wavelengths,
        "fwhm": scene.fwhm,
        "bbl": good.values if good is not None and good.dims == (scene.band_dim,) else None,
    }
    return {name: values.tolist() for name, values in lists.items() if values is not None}


def _texts(value: Any, scene: Scene) -> tuple[str, ...] | None:
    """A text for each band; None if the attribute is no such thing."""
    texts = [text or "" for text in value] if isinstance(value, list) else [value] * scene.bands
    if len(texts) != scene.bands or not all(isinstance(text, str) for text in texts):
        return None
    return tuple(texts)


def _windows(data: Any) -> list[tuple[slice, slice]]:
    """Windows of a dask array's own chunks, of the file's blocks for other arrays."""
    chunks = getattr(data, "chunks", None) or normalize_chunks(_BLOCK, data.shape)
    windows: list[tuple[slice, slice]] = slices_from_chunks(chunks[1:])
    return windows
