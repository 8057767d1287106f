"""EMIT: a netCDF-4 file in sensor geometry, with the way to the ground in a table beside.

Files EMIT_L2A_RFL of EMITL2ARFL version 1: ``reflectance`` on (downtrack, crosstrack,
bands), the bands in the group ``sensor_band_parameters``, and in ``location`` the latitude and
longitude of each pixel and the geometry lookup table (GLT).
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import rioxarray  # noqa: F401  (registers the rio accessor)
import xarray as xr
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError

from xhsinr.errors import SceneError
from xhsinr.scene.hdf5 import attributes, lazy_cube, open_hdf5
from xhsinr.scene.lookup import Lookup
from xhsinr.scene.products.acquisition import acquisition
from xhsinr.scene.products.layouts import ground_control_points
from xhsinr.scene.spectrum import with_spectrum

__all__ = ["is_emit", "open_emit"]

_SAMPLES = ("reflectance", "radiance")
_BANDS = "sensor_band_parameters"
_WGS84 = "EPSG:4326"  # of every grid so far

# Attributes of the file's own structure, and of the grid that the GLT leads to.
_LEFT_OUT = {"_NCProperties", "_Netcdf4Dimid", "_Netcdf4Coordinates", "spatial_ref"}


def is_emit(file: Any) -> bool:
    """Whether an open HDF5 file is of EMIT, by the names in it."""
    return f"{_BANDS}/wavelengths" in file and any(name in file for name in _SAMPLES)


def open_emit(path: Path) -> xr.DataArray:
    """The scene in an EMIT L2A reflectance or L1B radiance product, in sensor geometry.

    The GLT comes along and is not applied: see `xhsinr.scene.ortho`. Ground control points from
    the product's latitudes and longitudes say where the scene is; the others are left out.

    Raises
    ------
    SceneError
        If the bands are not described.
    """
    with open_hdf5(path) as file:
        samples_name = next(name for name in _SAMPLES if name in file)
        bands = {name: np.asarray(item[()]) for name, item in file[_BANDS].items()}
        known, own = attributes(file), attributes(file[samples_name])
        location = file.get("location", {})
        known_place = "lat" in location and "lon" in location
        points = ground_control_points(location["lat"], location["lon"]) if known_place else []
        lookup = _lookup(location, known)
        others = [str(name) for name in location if name not in ("glt_x", "glt_y")]
    samples = lazy_cube(path, {samples_name: None}, (2, 0, 1))
    array = xr.DataArray(
        xr.Variable(("bands", "downtrack", "crosstrack"), samples), name=samples_name
    )
    for name in ("wavelengths", "fwhm"):
        if bands.get(name, np.empty(0)).shape != (len(samples),):
            raise SceneError(
                f"{path}: {_BANDS}/{name} is missing or not one number for each of the "
                f"{len(samples)} bands; get the file again"
            )
    array = with_spectrum(
        array,
        bands["wavelengths"].astype(np.float64),
        bands["fwhm"].astype(np.float64),
        "nm",
        bands.get("good_wavelengths"),
    )
    kept = {
        name: value
        for name, value in (known | own).items()
        if name not in _LEFT_OUT and not isinstance(value, np.ndarray)
    }
    array.attrs = kept | acquisition(
        known.get("time_coverage_start"),
        known.get("time_coverage_end"),
        product_id=path.stem if path.stem.startswith("EMIT_") else known.get("flight_line"),
        platform=known.get("platform", "ISS"),
        instrument=known.get("instrument", "EMIT"),
    )
    if lookup is None:
        told = "it has no geometry lookup table, so the scene stays in sensor geometry"
    else:
        array.encoding["lookup"] = lookup
        told = (
            "the scene stays in sensor geometry, with the lookup table that leads to the ground; "
            f"{', '.join(others)} of each pixel are left out"
        )
    if lookup is None or others:
        warnings.warn(f"{path}: {told}", stacklevel=2)
    if points:
        array = array.rio.write_gcps(points, _WGS84)
    return array


def _lookup(location: Any, known: dict[str, Any]) -> Lookup | None:
    """The product's GLT on its grid."""
    if "glt_x" not in location or "glt_y" not in location:
        return None
    rows, cols = (np.asarray(location[name][()], np.int32) for name in ("glt_y", "glt_x"))
    try:
        transform = Affine.from_gdal(*map(float, known["geotransform"]))
    except (KeyError, TypeError, ValueError):
        return None
    try:
        crs = CRS.from_user_input(known.get("spatial_ref", _WGS84))
    except CRSError:
        crs = CRS.from_user_input(_WGS84)
    # Interpolated cells are negative in products that tell them.
    return Lookup(transform, crs, np.abs(rows), np.abs(cols))
