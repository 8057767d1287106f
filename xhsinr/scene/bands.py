"""Bands of an array by their wavelengths, in whatever order they are, and their names."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from xhsinr.errors import SceneError
from xhsinr.scene.spectrum import FWHM_NAMES, WAVELENGTH_NAMES, micrometres, units_of

__all__ = ["at_wavelengths", "with_named_bands", "without_named_bands"]

Floats = npt.NDArray[np.float64]

_NANOMETRES = 1000.0
_NAMES = "band_name"


def at_wavelengths(
    array: xr.DataArray | xr.Dataset, wanted: npt.ArrayLike | slice, within: float | None
) -> xr.DataArray | xr.Dataset:
    """The bands nearest to some wavelengths, see `xhsinr.HsinrAccessor.sel_wavelength`."""
    band, centres, units = _centres(array)
    known = np.isfinite(centres)
    if not known.any():
        raise SceneError("none of its bands has a wavelength")
    if isinstance(wanted, slice):
        if wanted.step is not None:
            raise SceneError(f"{wanted}: a range of wavelengths has no step")
        low = -np.inf if wanted.start is None else float(wanted.start)
        high = np.inf if wanted.stop is None else float(wanted.stop)
        return array.isel({band: np.flatnonzero((centres >= low) & (centres <= high))})
    asked = np.asarray(wanted, np.float64)
    if asked.ndim > 1 or not np.isfinite(asked).all():
        raise SceneError(f"wavelength = {wanted!r}: give a number, a list of them, or a slice")
    distances = np.where(known, np.abs(centres - asked[..., None]), np.inf)
    if within is None:
        _check_inside(asked, centres[known], _width(array, centres[known]), units)
    chosen = distances.argmin(axis=-1)
    far = np.atleast_1d(distances.min(axis=-1) > (np.inf if within is None else within))
    if far.any():
        number = np.atleast_1d(asked)[far][0]
        nearest = centres[np.atleast_1d(chosen)[far][0]]
        raise SceneError(f"no band within {within:g} of {number:g}: the nearest is at {nearest:g}")
    return array.isel({band: int(chosen) if asked.ndim == 0 else chosen})


def with_named_bands(array: xr.DataArray, band: str) -> xr.DataArray:
    """Names of bands as a coordinate: as ``long_name`` they would label the axes of plots."""
    names = array.attrs.get("long_name")
    if not isinstance(names, list) or len(names) != array.sizes[band] or _NAMES in array.coords:
        return array
    if not all(type(name) is str for name in names):
        return array
    array = array.assign_coords({_NAMES: (band, names)})
    del array.attrs["long_name"]
    return array


def without_named_bands(array: xr.DataArray, band: str) -> xr.DataArray:
    """What `with_named_bands` was given, if it was."""
    names = array.coords.get(_NAMES)
    if names is None or names.dims != (band,) or names.dtype.kind not in "UO":
        return array
    if "long_name" in array.attrs or not all(type(name) is str for name in names.values.tolist()):
        return array
    return array.drop_vars(_NAMES).assign_attrs(long_name=names.values.tolist())


def _check_inside(asked: Floats, centres: Floats, width: float, units: str) -> None:
    """Refuse what lies off the spectrum: most likely it is in other units."""
    low, high = centres.min(), centres.max()
    outside = asked[(asked < low - width) | (asked > high + width)]
    if outside.size:
        raise SceneError(
            f"no band is near {outside[0]:g}{units}: those of the scene are at {low:g} to "
            f"{high:g}{units}; ask in these units, or say how far off with tolerance="
        )


def _width(array: xr.DataArray | xr.Dataset, centres: Floats) -> float:
    """Of the widest band, or their usual distance if that is more; infinite if nothing says."""
    found = _in_nanometres(array, FWHM_NAMES)
    widths = np.diff(np.unique(centres))
    known = [np.median(widths)] if widths.size else []
    if found is not None:
        known += found[1][np.isfinite(found[1])].tolist()
    return float(max(known, default=np.inf))


def _centres(array: xr.DataArray | xr.Dataset) -> tuple[str, Floats, str]:
    found = _in_nanometres(array, WAVELENGTH_NAMES)
    if found is None:
        raise SceneError(
            "it has no coordinate of wavelengths: give its bands one, such as "
            "da.assign_coords(wavelength=('band', centres))"
        )
    return found


def _in_nanometres(
    array: xr.DataArray | xr.Dataset, names: set[str]
) -> tuple[str, Floats, str] | None:
    """Dimension and values of a coordinate, and " nm"; no unit and as it is if none is known."""
    for name, coord in array.coords.items():
        if coord.ndim == 1 and str(name).lower() in names and coord.dtype.kind in "iuf":
            divisor = micrometres(units_of(coord.attrs, array.attrs))
            scale = 1.0 if divisor is None else _NANOMETRES / divisor
            unit = "" if divisor is None else " nm"
            return str(coord.dims[0]), scale * coord.values.astype(np.float64), unit
    return None
