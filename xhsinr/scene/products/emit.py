"""EMIT L2A: a netCDF-4 file in sensor geometry, with the way to the ground in a table beside.

Files EMIT_L2A_RFL of EMITL2ARFL version 1: ``reflectance`` on (downtrack, crosstrack,
bands), the bands in the group ``sensor_band_parameters``, and in ``location`` the latitude and
longitude of each pixel and the geometry lookup table (GLT).
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rioxarray  # noqa: F401  (registers the rio accessor)
import xarray as xr
from rasterio.control import GroundControlPoint

from xhsinr.errors import SceneError
from xhsinr.scene.hdf5 import attributes, lazy_cube, open_hdf5
from xhsinr.scene.products.acquisition import acquisition
from xhsinr.scene.spectrum import with_spectrum

__all__ = ["BANDS", "SAMPLES", "open_emit"]

SAMPLES = "reflectance"
BANDS = "sensor_band_parameters"
"""By a variable and a group of these names the product is known."""

# Attributes of the file's own structure, and of the grid that the GLT leads to.
_LEFT_OUT = {"_NCProperties", "_Netcdf4Dimid", "_Netcdf4Coordinates", "spatial_ref"}
# Ground control points along each side: enough to find the scene, the GLT has the rest.
_POINTS = 5


def open_emit(path: Path) -> xr.DataArray:
    """The scene in an EMIT L2A reflectance product, in sensor geometry.

    The GLT is neither applied nor copied; ground control points from the product's latitudes and
    longitudes say where the scene is.

    Raises
    ------
    SceneError
        If the bands are not described.
    """
    with open_hdf5(path) as file:
        bands = {name: np.asarray(item[()]) for name, item in file[BANDS].items()}
        known, own = attributes(file), attributes(file[SAMPLES])
        points = _ground_control_points(file)
    samples = lazy_cube(path, {SAMPLES: None}, (2, 0, 1))
    array = xr.DataArray(xr.Variable(("bands", "downtrack", "crosstrack"), samples), name=SAMPLES)
    for name in ("wavelengths", "fwhm"):
        if bands.get(name, np.empty(0)).shape != (len(samples),):
            raise SceneError(
                f"{path}: {BANDS}/{name} is missing or not one number for each of the "
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
    warnings.warn(
        f"{path}: the scene stays in sensor geometry, without location (lon, lat, elev, GLT); "
        "keep the product if you want to orthorectify it",
        UserWarning,
        stacklevel=2,
    )
    if points:
        array = array.rio.write_gcps(points, "EPSG:4326")
    return array


def _ground_control_points(file: Any) -> list[GroundControlPoint]:
    """A regular sample of the positions of pixel centres that are known."""
    location = file.get("location", {})
    if "lat" not in location or "lon" not in location:
        return []
    rows, cols = (
        np.unique(np.linspace(0, size - 1, _POINTS).astype(int)) for size in location["lat"].shape
    )

    def sampled(name: str) -> npt.NDArray[np.float64]:
        values = np.stack([location[name][row][cols] for row in rows.tolist()])
        fill = location[name].attrs.get("_FillValue", np.nan)
        return np.where(np.isin(values, fill), np.nan, values).astype(np.float64)

    lat, lon = sampled("lat"), sampled("lon")
    known = np.argwhere(np.isfinite(lat) & np.isfinite(lon)).tolist()
    return [
        # Without a name it would get a random one.
        GroundControlPoint(rows[i] + 0.5, cols[j] + 0.5, lon[i, j], lat[i, j], id=str(number))
        for number, (i, j) in enumerate(known, 1)
    ]
