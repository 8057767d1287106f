"""Scenes to files in the format of their suffix: GeoTIFF, netCDF, Zarr, ENVI."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xhsinr.errors import HsinrError, SceneError
from xhsinr.outputs import replacing, scratch, sync, unwritten
from xhsinr.scene.geotiff import gdal_profile, spectral_lists, write_geotiff, write_image
from xhsinr.scene.hdf5 import NEEDED
from xhsinr.scene.model import Scene, as_dataset

__all__ = ["WRITTEN", "check_format", "write_scene"]

_ROWS = 256
_SPECTRAL = {"wavelength", "wavelength units", "fwhm", "bbl"}  # fields of ENVI's header


def check_format(path: Path) -> None:
    """Refuse a name whose suffix stands for no format that is written.

    Raises
    ------
    SceneError
    """
    if path.suffix.lower() not in _WRITERS:
        raise SceneError(
            f"{path}: {path.suffix or 'no suffix'} is no format that is written; give one of "
            f"{', '.join(_WRITERS)}"
        )


def write_scene(scene: Scene, data: Any, path: Path) -> None:
    """Write a scene in the format of the path's suffix.

    Parameters
    ----------
    scene : Scene
    data : dask array, shape (bands, rows, cols)
    path : Path
        Is replaced.

    Raises
    ------
    SceneError
        If the format is not written, or cannot hold the samples.
    """
    check_format(path)
    if scene.lookup is not None:
        warnings.warn(
            f"{path}: the geometry lookup table has no place in it and stays in the sidecar: write "
            "the scene on the ground (--ortho, da.hsinr.orthorectify()), or keep the sidecar",
            stacklevel=2,
        )
    _WRITERS[path.suffix.lower()](scene, data, path)


def _dataset(scene: Scene, data: Any) -> xr.Dataset:
    """With attributes that netCDF and Zarr can hold: what is nested becomes JSON."""
    array = scene.with_cf_nodata(scene.to_xarray(data))
    array.attrs = {key: _plain(value) for key, value in array.attrs.items() if value is not None}
    return as_dataset(array)


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    kinds = {type(item) for item in value} if isinstance(value, list) else set()
    simple = kinds <= {str} or kinds <= {int, float}
    nested = isinstance(value, dict) or (isinstance(value, list) and not (kinds and simple))
    return json.dumps(value) if nested else value


def _write_netcdf(scene: Scene, data: Any, path: Path) -> None:
    with replacing(path) as part:
        try:
            _dataset(scene, data).to_netcdf(part, engine="netcdf4")
        except UnicodeError:
            raise
        except RuntimeError as error:
            raise unwritten(path, error) from error
        except (ImportError, ValueError) as error:
            raise SceneError(f"{path}: {error} (netCDF needs: {NEEDED})") from error


def _write_zarr(scene: Scene, data: Any, path: Path) -> None:
    with scratch(path.parent, path.name) as folder:
        part = folder / "store"
        dataset = _dataset(scene, data)
        try:
            with warnings.catch_warnings(action="ignore"):
                dataset.chunk(dict.fromkeys(scene.dims, _ROWS)).to_zarr(part, consolidated=True)
        except ImportError as error:
            raise SceneError(f"{path}: {error} (Zarr needs: pip install 'xhsinr[zarr]')") from error
        except HsinrError:
            raise
        except OSError as error:
            raise unwritten(path, error.strerror) from error
        part.rename(path)


def _write_envi(scene: Scene, data: Any, path: Path) -> None:
    """Samples and header, which appear together."""
    with scratch(path.parent, path.name) as folder:
        part = folder / path.name
        profile = gdal_profile(scene, np.dtype(data.dtype)) | {"driver": "ENVI"}
        write_image(scene, data, part, path, profile)
        _add_spectrum(scene, part.with_suffix(".hdr"))
        found = sorted(folder.iterdir(), key=lambda file: file == part)
        for made in found:
            sync(made)
        for made in found:
            made.replace(path.with_name(made.name))


def _add_spectrum(scene: Scene, header: Path) -> None:
    """Wavelengths and the like, exact, as GDAL does not write them there, and no temporary name."""
    # GDAL describes the file by the path that it was made under.
    text = re.sub(r"^description = \{[^}]*\}\n", "", header.read_text("utf-8"), flags=re.MULTILINE)
    kept = [
        line
        for line in text.splitlines()
        if line.partition("=")[0].strip().lower() not in _SPECTRAL
    ]
    for name, values in spectral_lists(scene).items():
        kept.append(f"{name} = {{{', '.join(map(repr, values))}}}")
    if scene.wavelength_units:
        kept.append(f"wavelength units = {scene.wavelength_units}")
    header.write_text("\n".join(kept) + "\n", "utf-8")


_WRITERS: dict[str, Callable[[Scene, Any, Path], None]] = {
    **dict.fromkeys((".tif", ".tiff"), write_geotiff),
    **dict.fromkeys((".nc", ".nc4"), _write_netcdf),
    ".zarr": _write_zarr,
    **dict.fromkeys((".img", ".dat"), _write_envi),
}

WRITTEN = tuple(_WRITERS)
"""Suffixes of the formats that are written."""
