"""The door in: `read` makes a `Scene` of what people have.

A DataArray, a Dataset, an array or a file comes in; what cannot be compressed is refused here,
with what is wrong and what to do. Samples stay lazy where the source is lazy.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import dask.array
import numpy as np
import numpy.typing as npt
import pyproj.exceptions
import xarray as xr
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import CRSError

from xhsinr.errors import SceneError
from xhsinr.scene.chunks import joined
from xhsinr.scene.files import open_file, with_spectrum_of_file
from xhsinr.scene.header import grid_attrs, pixel_centres, plain
from xhsinr.scene.model import Scene
from xhsinr.scene.parts import NODATA_KEYS, Coordinate, GridMapping
from xhsinr.scene.spectrum import FWHM_NAMES, WAVELENGTH_NAMES

__all__ = ["read"]

_BAND_NAMES = WAVELENGTH_NAMES | {"band", "bands", "channel", "channels", "spectral", "spectrum"}
_ROW_NAMES = {"y", "row", "rows", "line", "lines", "lat", "latitude", "north"} | (
    {"northing", "northings", "downtrack", "along_track"}
)
_COL_NAMES = {"x", "col", "cols", "column", "columns", "sample", "samples", "lon"} | (
    {"longitude", "east", "easting", "eastings", "crosstrack", "across_track"}
)
_DTYPES = frozenset(map(np.dtype, ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8")))
_ENCODING_KEYS = {"scale_factor", "add_offset", "scales", "offsets", "units", "_Unsigned"} | (
    {"_FillValue", "missing_value"}
)
_UNIT_KEYS = ("wavelength_units", "wavelength_unit", "wavelengths_units", "wavelengths_unit")
_CHUNK = 256


def read(source: xr.DataArray | xr.Dataset | npt.NDArray[Any] | str | Path) -> Scene:
    """The scene in a DataArray, a Dataset, an array or a file.

    Parameters
    ----------
    source : xr.DataArray, xr.Dataset, ndarray or path
        A DataArray with three dimensions called like ``band``, ``y``, ``x`` in any order; a
        Dataset with one such variable; an array of shape (rows, cols, bands); or a file:
        a product (EnMAP L2A, DESIS, PRISMA L2D, EMIT L2A), GeoTIFF, ENVI (data or header) and
        what else GDAL opens, MATLAB ``.mat``, ``.npy``. Files are read window by window.

    Raises
    ------
    SceneError
        If there is no scene in it, or not one alone; says what is wrong and what to do.
    """
    if isinstance(source, xr.DataArray):
        return _from_dataarray(with_spectrum_of_file(source))
    if isinstance(source, xr.Dataset):
        return _from_dataarray(with_spectrum_of_file(_variable_of(source)))
    if isinstance(source, str | Path):
        return _from_dataarray(open_file(Path(source)))
    if isinstance(source, np.ndarray | dask.array.Array):
        if source.ndim != 3:
            raise SceneError(
                f"the array has {source.ndim} dimensions; pass one of (rows, cols, bands)"
            )
        _check_sizes(source.shape)
        return _from_dataarray(xr.DataArray(xr.Variable(("y", "x", "band"), source)))
    raise SceneError(
        f"{type(source).__name__} is not a scene; pass an xarray DataArray or Dataset, "
        "an array of (rows, cols, bands), or a path"
    )


def _variable_of(dataset: xr.Dataset) -> xr.DataArray:
    found = []
    for name, variable in dataset.data_vars.items():
        _check_sizes(variable.shape, repr(name))
        try:
            axes = _axes(variable)
        except SceneError:
            continue
        if variable.shape[axes[0]] > 1 and variable.dtype.kind in "iuf":
            found.append(name)
    if not found:
        shapes = [f"{name} {tuple(v.dims)}" for name, v in dataset.data_vars.items()]
        listed = ", ".join(shapes[:5]) + (", ..." if len(shapes) > 5 else "")
        raise SceneError(
            "the dataset has no variable with band, row and column dimensions "
            f'({listed or "no variables"}); rename its dimensions to "band", "y", "x", or stack '
            'bands that are variables with .to_dataarray("band")'
        )
    if len(found) > 1:
        names = " and ".join(repr(name) for name in found)
        raise SceneError(
            f"{names} could each be the scene; pass one of them, for example ds[{found[0]!r}]"
        )
    variable = dataset[found[0]]
    band = variable.dims[_axes(variable)[0]]
    # netCDF files keep the grid mapping, and at times the wavelengths, as variables.
    beside = {variable.attrs.get("grid_mapping"), variable.encoding.get("grid_mapping")}
    beside |= {
        name
        for name, other in dataset.data_vars.items()
        if other.dims == (band,) and str(name).lower() in WAVELENGTH_NAMES | FWHM_NAMES
    }
    return dataset.set_coords(list(beside & set(dataset.data_vars)))[found[0]]


def _axes(array: xr.DataArray) -> tuple[int, int, int]:
    """Where bands, rows and columns stand among the dimensions."""
    dims = [str(dim) for dim in array.dims]
    if len(dims) != 3:
        raise SceneError(
            f"a scene has three dimensions and this has {len(dims)}: {tuple(dims)}; select one "
            "time or file first, for example with .isel(time=0)"
        )
    if all(dim.startswith("dim_") for dim in dims):
        raise SceneError(
            f"the dimensions {tuple(dims)} have no names; rename them first, for example "
            '.rename(dim_0="y", dim_1="x", dim_2="band")'
        )
    with_spectrum = {
        str(coord.dims[0])
        for name, coord in array.coords.items()
        if coord.ndim == 1 and str(name).lower() in WAVELENGTH_NAMES
    }
    roles = []
    for role, names in (("band", _BAND_NAMES), ("y", _ROW_NAMES), ("x", _COL_NAMES)):
        found = [i for i, dim in enumerate(dims) if dim.lower() in names]
        if role == "band" and not found:
            found = [i for i, dim in enumerate(dims) if dim in with_spectrum]
        if not found:
            usual = _BAND_NAMES | _ROW_NAMES | _COL_NAMES
            odd = next((dim for dim in dims if dim.lower() not in usual), dims[0])
            raise SceneError(
                f'none of the dimensions {tuple(dims)} is called "{role}" or the like; '
                f'rename one, for example .rename({odd}="{role}")'
            )
        if len(found) > 1:
            both = " and ".join(repr(dims[i]) for i in found)
            raise SceneError(f'{both} could each be the "{role}" dimension; rename one of them')
        roles.append(found[0])
    return roles[0], roles[1], roles[2]


def _check_sizes(shape: Iterable[float], what: str = "the array") -> None:
    if any(np.isnan(size) for size in shape):
        raise SceneError(
            f"{what} has dask chunks of unknown size; call .compute_chunk_sizes() on it first"
        )


def _check(array: xr.DataArray, bands: int) -> None:
    if array.dtype.newbyteorder("=") not in _DTYPES:
        advice = (
            "convert it first, for example with .astype('float32')"
            if array.dtype.kind in "iufb"
            else "only real numbers can be compressed"
        )
        if array.dtype.kind in "iu":
            advice = "convert it first, for example with .astype('int32') if the values fit"
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
    _check_sizes(array.shape)
    axes = _axes(array)
    dims = (str(array.dims[0]), str(array.dims[1]), str(array.dims[2]))
    band, row, col = (dims[axis] for axis in axes)
    _check(array, array.sizes[array.dims[axes[0]]])
    if dims != array.dims:
        array = array.rename(dict(zip(array.dims, dims, strict=True)))
    attrs = _plain_attrs(array.attrs, "attribute")
    wavelength_name = _spectral_coord(array, band, WAVELENGTH_NAMES)
    fwhm_name = _spectral_coord(array, band, FWHM_NAMES)
    place = _place(array, row, col)
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
        own = coords[wavelength_name].attrs if wavelength_name is not None else {}
        low = {key.lower(): value for key, value in attrs.items()}
        candidates = [own.get("units"), own.get("unit"), *(low.get(key) for key in _UNIT_KEYS)]
        units = next((text for text in candidates if isinstance(text, str) and text), None)
    kept = {key: value for key, value in array.encoding.items() if key in _ENCODING_KEYS}
    encoding = _plain_attrs(kept, "encoding")
    if "dtype" in array.encoding and array.encoding["dtype"] is not str:
        try:
            encoding["dtype"] = str(np.dtype(array.encoding["dtype"]))
        except TypeError as error:
            warnings.warn(f"encoding 'dtype' is left out: {error}", UserWarning, stacklevel=2)
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
    )


def _samples(array: xr.DataArray, canonical: tuple[str, str, str]) -> Any:
    band, row, col = canonical
    pieces = {band: -1, row: _CHUNK, col: _CHUNK}
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
            data = xr.Variable(canonical, data).chunk({row: _CHUNK, col: _CHUNK}).data
        data = data.astype(data.dtype.newbyteorder("="))
    return data


def _plain_attrs(attrs: Mapping[Any, Any], what: str) -> dict[str, Any]:
    kept = {}
    for key, value in attrs.items():
        try:
            if not isinstance(key, str):
                raise TypeError("its name is not text")
            kept[key] = plain(value)
        except TypeError as error:
            warnings.warn(f"{what} {key!r} is left out: {error}", UserWarning, stacklevel=2)
    return kept


def _spectral_coord(array: xr.DataArray, band: str, names: Iterable[str]) -> str | None:
    found = [
        str(name)
        for name, coord in array.coords.items()
        if coord.dims == (band,) and str(name).lower() in names and coord.dtype.kind in "iuf"
    ]
    return found[0] if found else None


def _from_attrs(
    attrs: Mapping[str, Any], names: Iterable[str], bands: int
) -> npt.NDArray[np.float64] | None:
    for key, value in attrs.items():
        numbers = value if key.lower() in names and isinstance(value, list) else []
        if len(numbers) == bands and all(type(number) in (int, float) for number in numbers):
            return np.array(numbers, np.float64)
    return None


def _nodata(attrs: Mapping[str, Any], dtype: np.dtype[Any]) -> int | float | None:
    value = next((attrs[key] for key in NODATA_KEYS if attrs.get(key) is not None), None)
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int) and abs(value) >= 1 << 64:
        return None
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return float(dtype.type(value))
    # A value that no sample can have, as -9999 in unsigned data, marks none.
    limits = np.iinfo(dtype)
    return int(value) if limits.min <= value <= limits.max and value == int(value) else None


def _coords(array: xr.DataArray, place: _Place) -> dict[str, Coordinate]:
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
        elif values.ndim > 1 and not _on_grid(values, place.transform):
            reason = "it has two dimensions and does not follow from a transform"
        if reason is None:
            dims = tuple(str(dim) for dim in coord.dims)
            kept[str(name)] = Coordinate(dims, values, _plain_attrs(coord.attrs, f"{name}:"))
        else:
            warnings.warn(f"coordinate {name!r} is left out: {reason}", UserWarning, stacklevel=2)
    return kept


def _on_grid(values: npt.NDArray[Any], transform: Affine | None) -> bool:
    if transform is None or values.ndim != 2:
        return False
    made = pixel_centres(transform, *values.shape)
    return any(np.array_equal(values, grid) for grid in made)


class _Place(NamedTuple):
    crs: CRS | None
    transform: Affine | None
    gcps: tuple[GroundControlPoint, ...] | None
    mapping: GridMapping | None


def _place(array: xr.DataArray, row: str, col: str) -> _Place:
    """Where the pixels are, and what of the grid mapping rioxarray would not write itself."""
    # The accessor remembers dimensions on the object: this one is not the caller's.
    own = array.copy(deep=False).rio.set_spatial_dims(x_dim=col, y_dim=row)
    name = own.rio.grid_mapping
    mapped = name in own.coords and own.coords[name].ndim == 0
    try:
        crs = own.rio.crs
        gcps = own.rio.get_gcps() if mapped else None
    except (CRSError, pyproj.exceptions.CRSError, ValueError, KeyError) as error:
        raise SceneError(
            f"the CRS or the ground control points in {name!r} are malformed ({error}); mend "
            "them with .rio.write_crs(...) or drop the coordinate"
        ) from error
    transform = _transform(own, row, col, crs is not None)
    points = tuple(gcps) if gcps else None
    if not mapped:
        return _Place(crs, transform, points, None)
    found = own.coords[name]
    written = grid_attrs(crs, transform, points)
    attrs = _plain_attrs(found.attrs, f"{name}:")
    value = found.item() if found.dtype.kind in "iu" else 0
    extra = {k: v for k, v in attrs.items() if k not in written or written[k] != v}
    missing = tuple(key for key in written if key not in attrs)
    return _Place(crs, transform, points, GridMapping(name, value, missing, extra))


def _transform(array: xr.DataArray, row: str, col: str, has_crs: bool) -> Affine | None:
    written = _written_transform(array)
    if written is not None and written.is_identity and not has_crs:
        return None
    # xarray makes up coordinates for dimensions that have none.
    centres = [array.coords[dim] if dim in array.coords else None for dim in (row, col)]  # noqa: SIM401
    if any(c is None or c.dtype.kind not in "iuf" or c.size < 2 for c in centres):
        return written
    y, x = (np.asarray(c.values, np.float64) for c in centres if c is not None)
    if written is not None:
        made = pixel_centres(written, y.size, x.size)
        if made[0].ndim == 2 or all(
            np.array_equal(a, b) for a, b in zip((y, x), made, strict=True)
        ):
            return written
    if not has_crs:
        return None
    for centre in (y, x):
        steps = np.diff(centre)
        if not (np.ptp(steps) <= 1e-3 * np.abs(steps).min()):
            return None
    # Coordinates follow a selection of pixels, what is written down does not.
    transform: Affine = array.rio.transform(recalc=True)
    return transform


def _written_transform(array: xr.DataArray) -> Affine | None:
    mapping = array.coords.get(array.rio.grid_mapping)
    text = None if mapping is None else mapping.attrs.get("GeoTransform")
    try:
        if text is not None:
            return Affine.from_gdal(*map(float, str(text).split()))
        numbers = array.attrs.get("transform")
        return None if numbers is None else Affine(*map(float, tuple(numbers)[:6]))
    except (TypeError, ValueError):
        return None
