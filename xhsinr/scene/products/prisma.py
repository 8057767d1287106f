"""PRISMA L2D: an HDF5 file with one cube for VNIR and one for SWIR.

PRISMA Products Specification Document, issue 2.3: cubes of (rows, bands, cols), uint16, bands by
descending wavelength, those with a wavelength of zero unused; what they mean is in attributes of
the file.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import rioxarray  # noqa: F401  (registers the rio accessor)
import xarray as xr
from affine import Affine

from xhsinr.errors import SceneError
from xhsinr.scene.hdf5 import attributes, lazy_cube, open_hdf5
from xhsinr.scene.parts import scaling
from xhsinr.scene.products.acquisition import acquisition
from xhsinr.scene.spectrum import with_spectrum

__all__ = ["GROUP", "open_prisma"]

GROUP = "HDFEOS/SWATHS/PRS_L2D_HCO/Data Fields"
"""Where the cubes are, by which the product is known."""

_RANGE = 65535
_PIXEL = 30.0
# Outside the swath; the specification has no fill value of its own.
_NODATA = 0


class _Detector(NamedTuple):
    used: npt.NDArray[np.intp]
    wavelengths: npt.NDArray[np.float64]
    fwhm: npt.NDArray[np.float64]
    scales: npt.NDArray[np.float64]
    offsets: npt.NDArray[np.float64]


def open_prisma(path: Path) -> xr.DataArray:
    """The scene in a PRISMA L2D product.

    The bands in use of VNIR, then those of SWIR, each by ascending wavelength; reflectance is
    ``scale * stored + offset``.

    Raises
    ------
    SceneError
        If an attribute that the specification has is missing or malformed.
    """
    with open_hdf5(path) as file:
        known = attributes(file)
    detectors = {name: _detector(path, known, name) for name in ("Vnir", "Swir")}
    parts = {f"{GROUP}/{name.upper()}_Cube": found.used for name, found in detectors.items()}
    samples = lazy_cube(path, parts, (1, 0, 2))
    _, wavelengths, fwhm, scales, offsets = map(
        np.concatenate, zip(*detectors.values(), strict=True)
    )
    array = xr.DataArray(xr.Variable(("band", "y", "x"), samples), name="reflectance")
    array = with_spectrum(array, wavelengths, fwhm, "nm")
    kept = {name: value for name, value in known.items() if not isinstance(value, np.ndarray)}
    array.attrs = kept | {"_FillValue": np.uint16(_NODATA)}
    array.attrs |= scaling(scales.tolist(), offsets.tolist())
    array.attrs |= acquisition(
        known.get("Product_StartTime"),
        known.get("Product_StopTime"),
        product_id=Path(str(known.get("Product_Name", path.name))).stem,
        platform="PRISMA",
        instrument="PRISMA",
    )
    return _placed(path, array, known)


def _detector(path: Path, known: dict[str, Any], name: str) -> _Detector:
    wavelengths, fwhm = (
        np.atleast_1d(_attribute(path, known, f"List_{what}_{name}")) for what in ("Cw", "Fwhm")
    )
    used = np.flatnonzero(wavelengths > 0)
    used = used[np.argsort(wavelengths[used], kind="stable")]
    low, high = (float(_attribute(path, known, f"L2Scale{name}{end}")) for end in ("Min", "Max"))
    return _Detector(
        used,
        wavelengths[used],
        fwhm[used],
        np.full(len(used), (high - low) / _RANGE),
        np.full(len(used), low),
    )


def _attribute(path: Path, known: dict[str, Any], name: str) -> npt.NDArray[np.float64]:
    try:
        return np.asarray(known[name], np.float64)
    except (KeyError, TypeError, ValueError):
        raise SceneError(
            f"{path}: the attribute {name} of PRISMA L2D is missing or not a number; get the "
            "file again"
        ) from None


def _placed(path: Path, array: xr.DataArray, known: dict[str, Any]) -> xr.DataArray:
    left, top, right, bottom = (
        float(_attribute(path, known, f"Product_{corner}"))
        for corner in (
            "ULcorner_easting", "ULcorner_northing", "LRcorner_easting", "LRcorner_northing",
        )
    )  # fmt: skip
    rows, cols = array.sizes["y"], array.sizes["x"]
    # The corners are centres of pixels: rows and columns less one lie between them.
    if not np.allclose((right - left, top - bottom), (_PIXEL * (cols - 1), _PIXEL * (rows - 1))):
        warnings.warn(
            f"{path}: {right - left:g} by {top - bottom:g} m between the corners of {cols} by "
            f"{rows} pixels of {_PIXEL:g} m: the scene is left without a place on the ground",
            stacklevel=2,
        )
        return array
    half = _PIXEL / 2
    place = Affine(_PIXEL, 0, left - half, 0, -_PIXEL, top + half)
    array = array.assign_coords(y=top - _PIXEL * np.arange(rows), x=left + _PIXEL * np.arange(cols))
    epsg = int(_attribute(path, known, "Epsg_Code"))
    placed: xr.DataArray = array.rio.write_crs(epsg).rio.write_transform(place)
    return placed
