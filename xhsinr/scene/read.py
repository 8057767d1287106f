"""The door in: `read` makes a `Scene` of what people have.

A DataArray, a Dataset, an array or a file comes in; what cannot be compressed is refused here,
with what is wrong and what to do. Samples stay lazy where the source is lazy.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import numpy.typing as npt
import xarray as xr
from affine import Affine

from xhsinr.errors import SceneError
from xhsinr.scene.arrays import axes_of, check_sizes, named, variable_of
from xhsinr.scene.bands import without_named_bands
from xhsinr.scene.chunks import SIDE, joined
from xhsinr.scene.files import open_file, with_what_its_file_says
from xhsinr.scene.grid import pixel_centres
from xhsinr.scene.lookup import Lookup
from xhsinr.scene.model import Scene
from xhsinr.scene.numbers import holds, number_of
from xhsinr.scene.parts import Coordinate, nodata_of, plain_attrs
from xhsinr.scene.place import Place, place_of_array
from xhsinr.scene.spectrum import (
    FWHM_NAMES,
    WAVELENGTH_NAMES,
    in_lower_case,
    micrometres,
    numbers_of_text,
    units_of,
)
from xhsinr.storage import locate

__all__ = ["read"]

_DTYPES = frozenset(map(np.dtype, ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8")))
_ENCODING_KEYS = {"scale_factor", "add_offset", "scales", "offsets", "units", "_Unsigned"} | (
    {"_FillValue", "missing_value"}
)
# Share of the coordinates by which those of a rotated grid may be off it.
_ROUNDING = 1e-13


def read(
    source: xr.DataArray | xr.Dataset | npt.NDArray[Any] | str | Path, variable: str | None = None
) -> Scene:
    """The scene in a DataArray, a Dataset, an array or a file.

    Parameters
    ----------
    source : xr.DataArray, xr.Dataset, ndarray or path
        A DataArray with three dimensions called like ``band``, ``y``, ``x`` in any order; a
        Dataset with one such variable, or one for each band; an array of shape (rows, cols,
        bands); or a file: a product of `xhsinr.scene.products`, GeoTIFF, ENVI (data or header) and
        other images that GDAL opens, also behind a URL, MATLAB ``.mat``, ``.npy``. Files are read
        window by window.
    variable : str, optional
        Which variable of a netCDF file or Zarr store is the scene, where there are several.

    Raises
    ------
    SceneError
        If there is no scene in it, or not one alone; says what is wrong and what to do.
    """
    if isinstance(source, xr.DataArray):
        return _from_dataarray(with_what_its_file_says(source))
    if isinstance(source, xr.Dataset):
        return _from_dataarray(with_what_its_file_says(variable_of(source)))
    if isinstance(source, str | Path):
        return _from_dataarray(open_file(locate(source), variable))
    if isinstance(source, np.ndarray | dask.array.Array):
        return _from_dataarray(named(source))
    raise SceneError(
        f"{type(source).__name__} is not a scene; pass an xarray DataArray or Dataset, "
        "an array of (rows, cols, bands), or a path"
    )


def _check(array: xr.DataArray, bands: int) -> None:
    if array.dtype.newbyteorder("=") not in _DTYPES:
        advice = "only real numbers can be compressed"
        if array.dtype.kind in "iu":
            advice = "convert it first, for example with .astype('int32') if the values fit"
        elif array.dtype.kind in "fb":
            advice = "convert it first, for example with .astype('float32')"
        raise SceneError(
            f"samples of type {array.dtype} are not supported (8 to 32-bit integers, float32 and "
            f"float64 are); {advice}"
        )
    if array.size == 0:
        raise SceneError(f"the scene is empty: its shape is {array.shape}; check the selection")
    if bands == 1:
        raise SceneError(
            "the scene has one band and the method needs several; keep such images as GeoTIFF"
        )


def _from_dataarray(array: xr.DataArray) -> Scene:
    check_sizes(array.shape)
    axes = axes_of(array)
    dims = (str(array.dims[0]), str(array.dims[1]), str(array.dims[2]))
    band, row, col = (dims[axis] for axis in axes)
    _check(array, array.sizes[array.dims[axes[0]]])
    if dims != array.dims:
        array = array.rename(dict(zip(array.dims, dims, strict=True)))
    array = without_named_bands(array, band)
    attrs = plain_attrs(array.attrs, "attribute")
    wavelength_name = _spectral_coord(array, band, WAVELENGTH_NAMES)
    fwhm_name = _spectral_coord(array, band, FWHM_NAMES)
    place = place_of_array(array, row, col)
    coords = _coords(array, place)
    spectral: dict[str, npt.NDArray[np.float64] | None] = {}
    for key, coord, names in (
        ("wavelength", wavelength_name, WAVELENGTH_NAMES),
        ("fwhm", fwhm_name, FWHM_NAMES),
    ):
        if coord is not None:
            spectral[key] = coords[coord].values.astype(np.float64)
            continue
        spectral[key] = values = _from_attrs(attrs, names, array.sizes[band])
        if values is not None and key not in coords:
            coords[key] = Coordinate((band,), values)
    units = None
    if spectral["wavelength"] is not None:
        units = units_of(coords[wavelength_name].attrs if wavelength_name else {}, attrs)
    kept = {key: value for key, value in array.encoding.items() if key in _ENCODING_KEYS}
    encoding = plain_attrs(kept, "encoding")
    if "dtype" in array.encoding and array.encoding["dtype"] is not str:
        try:
            encoding["dtype"] = str(np.dtype(array.encoding["dtype"]))
        except TypeError as error:
            warnings.warn(f"encoding 'dtype' is left out: {error}", stacklevel=2)
    return Scene(
        data=_samples(array, (band, row, col)),
        dims=dims,
        axes=axes,
        name=None if array.name is None else str(array.name),
        wavelengths=spectral["wavelength"],
        wavelength_units=units,
        fwhm=spectral["fwhm"],
        nodata=None if "_FillValue" in encoding else _nodata(attrs, array.dtype),
        crs=place.crs,
        transform=place.transform,
        gcps=place.gcps,
        attrs=attrs,
        encoding=encoding,
        coords=coords,
        grid_mapping=place.mapping,
        lookup=_lookup(array, row, col),
        source=str(array.encoding.get("source") or ""),
    )


def _lookup(array: xr.DataArray, row: str, col: str) -> Lookup | None:
    found = array.encoding.get("lookup")
    if not isinstance(found, Lookup):
        return None
    if found.fits(array.sizes[row], array.sizes[col]):
        return found
    warnings.warn(
        "the geometry lookup table is of the whole scene and this is a part of it, so it is left "
        "out: orthorectify the whole scene, or compress it",
        stacklevel=2,
    )
    return None


def _samples(array: xr.DataArray, canonical: tuple[str, str, str]) -> Any:
    band, row, col = canonical
    pieces = {band: -1, row: SIDE, col: SIDE}
    if array.chunks is not None:
        array = array.copy(data=joined(array.data, array.dims, pieces))
    elif not array.variable._in_memory:
        # An array that xarray has not read yet would be read whole by its values.
        array = array.chunk(pieces)
    data = array.variable.transpose(band, row, col).data
    if not isinstance(data, dask.array.Array):
        data = np.asarray(data)
    if not data.dtype.isnative:
        if not isinstance(data, dask.array.Array):
            data = xr.Variable(canonical, data).chunk({row: SIDE, col: SIDE}).data
        data = data.astype(data.dtype.newbyteorder("="))
    return data


def _spectral_coord(array: xr.DataArray, band: str, names: Iterable[str]) -> str | None:
    found = [
        str(name)
        for name, coord in array.coords.items()
        if coord.dims == (band,) and str(name).lower() in names and coord.dtype.kind in "iuf"
    ]
    if found or names is not WAVELENGTH_NAMES or band not in array.coords:
        return found[0] if found else None
    return band if _are_wavelengths(array.coords[band]) else None


def _are_wavelengths(coord: xr.DataArray) -> bool:
    """Whether the coordinate of the band dimension has wavelengths and not numbers of bands."""
    values = coord.values
    told = in_lower_case(coord.attrs)
    units = told.get("units", told.get("unit"))
    if coord.ndim != 1 or values.dtype.kind not in "iuf" or values.size < 2:
        return False
    if isinstance(units, str) and micrometres(units) is not None:
        return True
    steps = np.diff(values.astype(np.float64))
    counted = bool((values == np.round(values)).all() and (np.abs(steps) == 1).all())
    growing = bool((steps > 0).all() or (steps < 0).all())
    return values.dtype.kind == "f" and growing and not counted and bool(values.min() > 0)


def _from_attrs(
    attrs: Mapping[str, Any], names: Iterable[str], bands: int
) -> npt.NDArray[np.float64] | None:
    for key, value in attrs.items():
        numbers = value if key.lower() in names and isinstance(value, list | str) else []
        if isinstance(numbers, list) and numbers and all(isinstance(n, str) for n in numbers):
            numbers = ",".join(numbers)
        if isinstance(numbers, str):
            # As GDAL keeps lists in the tags of a file, and ENVI in its header.
            found = numbers_of_text(numbers, bands)
            if found is not None:
                return found
        elif len(numbers) == bands and all(type(number) in (int, float) for number in numbers):
            return np.array(numbers, np.float64)
    return None


def _nodata(attrs: Mapping[str, Any], dtype: np.dtype[Any]) -> int | float | None:
    value = nodata_of(attrs)
    if isinstance(value, list):
        if len({repr(one) for one in value}) > 1:
            warnings.warn(
                f"there are several nodata values, {', '.join(map(str, value[:5]))}: the first "
                "counts, and the others are data",
                stacklevel=2,
            )
        value = value[0] if value else None
    if isinstance(value, str):
        value = number_of(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int) and abs(value) >= 1 << 64:
        return None
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return float(dtype.type(value))
    # A value that no sample can have, as -9999 in unsigned data, marks none.
    return int(value) if holds(dtype, value) else None


def _coords(array: xr.DataArray, place: Place) -> dict[str, Coordinate]:
    kept = {}
    for name, coord in array.coords.items():
        if place.mapping is not None and name == place.mapping.name:
            continue
        values = coord.values
        reason = None
        if not isinstance(name, str):
            reason = "its name is not text"
        elif values.dtype.kind in "OU" and not all(isinstance(v, str) for v in values.ravel()):
            reason = "its values are not text"
        elif values.dtype.kind not in "biufmMOU":
            reason = f"its type is {values.dtype}"
        elif values.ndim > 1:
            values = _on_grid(values, place.transform)
            if values is None:
                reason = "it has two dimensions and does not follow from a transform"
        if reason is None:
            dims = tuple(str(dim) for dim in coord.dims)
            kept[str(name)] = Coordinate(dims, values, plain_attrs(coord.attrs, f"{name}:"))
        else:
            warnings.warn(f"coordinate {name!r} is left out: {reason}", stacklevel=2)
    return kept


def _on_grid(values: npt.NDArray[Any], transform: Affine | None) -> npt.NDArray[Any] | None:
    """The pixel centres that a coordinate has but for rounding; None if it has none."""
    if transform is None or values.ndim != 2 or values.dtype.kind != "f":
        return None
    close = _ROUNDING * max(map(abs, tuple(transform)[:6]))
    made = pixel_centres(transform, *values.shape)
    return next(
        (g for g in made if g.shape == values.shape and np.abs(g - values).max() <= close), None
    )
