"""Scenes to GeoTIFF: the way out for those who want the samples in a file again."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from xhsinr.errors import SceneError
from xhsinr.scene.model import Scene

__all__ = ["write_geotiff"]

_BLOCK = 256
_NOT_TAGS = {"_FillValue", "scale_factor", "add_offset", "scales", "offsets", "long_name"} | {
    "units"
}


def write_geotiff(scene: Scene, data: Any, path: str | Path) -> None:
    """Write a scene to a tiled, DEFLATE-compressed GeoTIFF, window by window.

    CRS, transform or ground control points, nodata, band names, scale and offset, wavelengths
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
    """
    target = Path(path)
    if tuple(data.shape) != scene.shape:
        raise SceneError(f"data of shape {tuple(data.shape)} for a scene of shape {scene.shape}")
    dtype = np.dtype(data.dtype)
    if not rasterio.dtypes.check_dtype(dtype.name):
        raise SceneError(f"GeoTIFF cannot hold {dtype}; convert the scene to float32 first")
    part = target.with_name(target.name + ".part")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(part, "w", **_profile(scene, dtype)) as out:
                _write_tags(scene, out)
                for rows, cols in _windows(data):
                    block = np.asarray(data[:, rows, cols])
                    out.write(block, window=Window.from_slices(rows, cols))
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _profile(scene: Scene, dtype: np.dtype[Any]) -> dict[str, Any]:
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": scene.bands,
        "height": scene.rows,
        "width": scene.cols,
        "dtype": dtype.newbyteorder("=").name,
        "tiled": True,
        "blockxsize": _BLOCK,
        "blockysize": _BLOCK,
        "compress": "deflate",
        "predictor": 3 if dtype.kind == "f" else 2,
        "interleave": "band",
        "BIGTIFF": "IF_SAFER",
    }
    nodata = scene.nodata
    if nodata is None and dtype.kind == "f" and "_FillValue" in scene.encoding:
        # Masked on reading: the samples without data have become NaN.
        nodata = np.nan
    given = {"nodata": nodata, "crs": scene.crs, "transform": scene.transform}
    if scene.gcps:
        given |= {"gcps": list(scene.gcps), "transform": None}
    return profile | {key: value for key, value in given.items() if value is not None}


def _write_tags(scene: Scene, out: Any) -> None:
    attrs = scene.attrs
    tags = {
        key: value
        for key, value in attrs.items()
        if isinstance(value, str | int | float) and key not in _NOT_TAGS
    }
    out.update_tags(**tags)
    names, units = attrs.get("long_name"), attrs.get("units")
    names = [names] * scene.bands if isinstance(names, str) else names
    if isinstance(names, list) and len(names) == scene.bands:
        out.descriptions = tuple(names)
    units = [units] * scene.bands if isinstance(units, str) else units
    if isinstance(units, list) and len(units) == scene.bands:
        out.units = tuple(unit or "" for unit in units)
    for one, many in (("scale_factor", "scales"), ("add_offset", "offsets")):
        values = attrs.get(many, [attrs[one]] * scene.bands if one in attrs else None)
        if isinstance(values, list) and len(values) == scene.bands:
            setattr(out, many, tuple(map(float, values)))
    spectral = {"wavelength": scene.wavelengths, "fwhm": scene.fwhm}
    imagery = {"CENTRAL_WAVELENGTH_UM": scene.wavelengths_um, "FWHM_UM": scene.fwhm_um}
    units_tag = {"wavelength_units": scene.wavelength_units} if scene.wavelength_units else {}
    for band in range(scene.bands):
        own = {key: repr(v[band].item()) for key, v in spectral.items() if v is not None}
        if own:
            out.update_tags(band + 1, **own, **units_tag)
        um = {key: f"{v[band]:.12g}" for key, v in imagery.items() if v is not None}
        if um:
            out.update_tags(band + 1, ns="IMAGERY", **um)


def _windows(data: Any) -> Iterator[tuple[slice, slice]]:
    """Windows of a dask array's own chunks, of the file's blocks for other arrays."""
    chunks = getattr(data, "chunks", None)
    sizes = chunks[1:] if chunks else [_split(size) for size in data.shape[1:]]
    ends = [np.cumsum(size).tolist() for size in sizes]
    for row_end, rows in zip(ends[0], sizes[0], strict=True):
        for col_end, cols in zip(ends[1], sizes[1], strict=True):
            yield slice(row_end - rows, row_end), slice(col_end - cols, col_end)


def _split(size: int) -> list[int]:
    return [min(_BLOCK, size - start) for start in range(0, size, _BLOCK)]
