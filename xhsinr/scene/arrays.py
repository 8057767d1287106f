"""Which of what xarray and NumPy hold is the scene, and which of its dimensions are which."""

from __future__ import annotations

import math
import warnings
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import numpy.typing as npt
import xarray as xr

from xhsinr.errors import SceneError
from xhsinr.scene.spectrum import FWHM_NAMES, WAVELENGTH_NAMES

__all__ = [
    "LOOK",
    "axes_of",
    "check_sizes",
    "named",
    "variable_of",
    "warn_of_bands_first",
    "with_general_attrs",
]

_BAND_NAMES = WAVELENGTH_NAMES | {"band", "bands", "channel", "channels", "spectral", "spectrum"}
_ROW_NAMES = {"y", "row", "rows", "line", "lines", "lat", "latitude", "north"} | (
    {"northing", "northings", "downtrack", "along_track"}
)
_COL_NAMES = {"x", "col", "cols", "column", "columns", "sample", "samples", "lon"} | (
    {"longitude", "east", "easting", "eastings", "crosstrack", "across_track"}
)
# Attributes that say something of one variable, and of a dataset nothing.
_OF_VARIABLES = {"_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned"} | (
    {"scales", "offsets", "units", "long_name", "standard_name", "dtype", "coordinates"}
    | {"grid_mapping", "crs", "transform", "rpcs"}
)
# Share of the steps from band to band that all pixels have in common, at least: 0.12 to 0.99 on
# scenes at hand, and more than five times as much as of those from row to row, column to column.
_SHARED, _APART, _BY_CHANCE = 0.1, 4, 8
LOOK = 64
"""Samples along a side that tell how an array is laid out."""


def variable_of(dataset: xr.Dataset) -> xr.DataArray:
    """The variable of a Dataset that is the scene, or its bands where they are variables each.

    Raises
    ------
    SceneError
        If there is none, or several.
    """
    found = []
    for name, variable in dataset.data_vars.items():
        check_sizes(variable.shape, repr(name))
        try:
            axes = axes_of(variable)
        except SceneError:
            continue
        if variable.shape[axes[0]] > 1 and variable.dtype.kind in "iuf":
            found.append(name)
    bands = [] if found else _bands_of(dataset)
    if bands:
        return with_general_attrs(_stacked(dataset, bands), dataset)
    if not found:
        shapes = [f"{name} {tuple(v.dims)}" for name, v in dataset.data_vars.items()]
        listed = ", ".join(shapes[:5]) + (", ..." if len(shapes) > 5 else "")
        raise SceneError(
            "the dataset has no variable with band, row and column dimensions "
            f'({listed or "no variables"}); rename its dimensions to "band", "y", "x"; '
            "bands that are variables each need one type and the same dimensions, y and x"
        )
    if len(found) > 1:
        names = " and ".join(repr(name) for name in found)
        raise SceneError(
            f"{names} could each be the scene; pass one of them, for example ds[{found[0]!r}]"
        )
    variable = dataset[found[0]]
    band = variable.dims[axes_of(variable)[0]]
    # netCDF files keep the grid mapping, and at times the wavelengths, as variables.
    beside = {variable.attrs.get("grid_mapping"), variable.encoding.get("grid_mapping")}
    beside |= {
        name
        for name, other in dataset.data_vars.items()
        if other.dims == (band,) and str(name).lower() in WAVELENGTH_NAMES | FWHM_NAMES
    }
    beside &= set(dataset.data_vars)
    scene = dataset.set_coords(list(beside))[found[0]]
    placed = {"grid_mapping"} & (scene.attrs.keys() | scene.encoding.keys())
    lone = [] if placed else _grid_mappings(dataset)
    if len(lone) == 1:
        # Written without saying which variables it is of.
        scene = scene.assign_coords({lone[0]: dataset[lone[0]].variable})
        scene.encoding["grid_mapping"] = lone[0]
    return with_general_attrs(scene, dataset)


def with_general_attrs(scene: xr.DataArray, dataset: xr.Dataset) -> xr.DataArray:
    """A variable of a Dataset with the attributes of all of it, its title and the like."""
    general = {key: v for key, v in dataset.attrs.items() if key not in _OF_VARIABLES}
    return scene.assign_attrs(general | scene.attrs)


def _grid_mappings(dataset: xr.Dataset) -> list[str]:
    """Variables that can only be how pixels lie on the ground."""
    told = {"crs_wkt", "spatial_ref", "grid_mapping_name"}
    return [
        str(name)
        for name, variable in dataset.data_vars.items()
        if variable.ndim == 0 and told & variable.attrs.keys()
    ]


def _bands_of(dataset: xr.Dataset) -> list[Hashable]:
    """Variables that are one band each: all numbers on one pair of row and column dimensions."""
    flat = {
        name: variable
        for name, variable in dataset.data_vars.items()
        if variable.ndim == 2 and variable.dtype.kind in "iuf"
    }
    kinds = {(variable.dims, variable.dtype) for variable in flat.values()}
    if len(flat) < 2 or len(kinds) != 1:
        return []
    dims = {str(dim).lower() for dim in next(iter(kinds))[0]}
    return list(flat) if dims & _ROW_NAMES and dims & _COL_NAMES else []


def _stacked(dataset: xr.Dataset, names: list[Hashable]) -> xr.DataArray:
    """Variables as bands of one scene, with the attributes that they share, nodata among them."""
    parts = [dataset[name] for name in names]
    array = dataset[names].to_dataarray("band")
    for kind in ("attrs", "encoding"):
        first = getattr(parts[0], kind)
        shared = {
            key: value
            for key, value in first.items()
            if all(
                key in vars_ and _same(vars_[key], value)
                for vars_ in (getattr(part, kind) for part in parts)
            )
        }
        setattr(array, kind, shared)
    for key in sorted({str(key) for part in parts for key in part.attrs}):
        values = [part.attrs.get(key) for part in parts]
        known = key.lower() in WAVELENGTH_NAMES | FWHM_NAMES
        if known and all(isinstance(value, int | float) for value in values):
            array.attrs.pop(key, None)
            array = array.assign_coords({key: ("band", np.array(values, np.float64))})
    return array


def _same(one: Any, other: Any) -> bool:
    return bool(np.array_equal(np.asarray(one), np.asarray(other)) or one is other)


def named(array: npt.NDArray[Any] | dask.array.Array) -> xr.DataArray:
    """An array without names as a scene of (rows, cols, bands).

    Raises
    ------
    SceneError
        If it has not three dimensions, or its samples say that bands come first, as rasterio
        reads them.
    """
    if array.ndim != 3:
        raise SceneError(f"the array has {array.ndim} dimensions; pass one of (rows, cols, bands)")
    check_sizes(array.shape)
    # A lazy array is not computed to find out.
    if isinstance(array, np.ndarray) and _bands_first(array):
        raise SceneError(
            f"the array of shape {array.shape} looks like (bands, rows, cols), as rasterio reads "
            "them, and (rows, cols, bands) is expected: pass xr.DataArray(array, dims=('band', "
            "'y', 'x')), or dims=('y', 'x', 'band') if it is right as it is, or the file itself"
        )
    return xr.DataArray(xr.Variable(("y", "x", "band"), array))


def warn_of_bands_first(path: Path, array: npt.NDArray[Any]) -> None:
    """Warn where samples from all over a file of (rows, cols, bands) say that bands come first."""
    if _bands_first(array):
        warnings.warn(
            f"{path} is read as (rows, cols, bands) and looks like (bands, rows, cols): if it is, "
            "save it again after np.moveaxis(array, 0, -1)",
            stacklevel=2,
        )


def _bands_first(array: npt.NDArray[Any]) -> bool:
    """Whether slices along the first axis differ as only bands do, and those along the last not."""
    if min(array.shape) < 2 or array.dtype.kind not in "iuf":
        return False
    look = array[tuple(slice(None, None, -(-size // LOOK)) for size in array.shape)]
    finite = np.isfinite(look)
    largest = np.abs(look, where=finite, out=np.zeros(look.shape)).max()
    if largest == 0:
        return False
    # On a scale of 1, whose steps do not overflow.
    look = np.divide(look, largest, where=finite, out=np.zeros(look.shape))
    # Neighbouring pixels are alike in every band; a step from band to band is shared by them.
    first, *others = (_shared_steps(look, axis) for axis in range(3))
    # Steps that are few share something by chance.
    least = max(_SHARED, _BY_CHANCE / math.prod(look.shape[1:]))
    return first > least and first > _APART * max(others)


def _shared_steps(values: npt.NDArray[np.float64], axis: int) -> float:
    """Share of the steps along an axis that all places have in common, 0 to 1."""
    steps = np.diff(values, axis=axis)
    others = tuple(other for other in range(3) if other != axis)
    common, whole = np.mean(steps.mean(axis=others) ** 2), np.mean(steps**2)
    return float(common / whole) if whole > 0 else 0.0


def axes_of(array: xr.DataArray) -> tuple[int, int, int]:
    """Where bands, rows and columns stand among the dimensions."""
    dims = [str(dim) for dim in array.dims]
    if len(dims) != 3:
        raise SceneError(
            f"a scene has three dimensions and this has {len(dims)}: {tuple(dims)}; select one "
            "time or file first, for example with .isel(time=0)"
        )
    if all(dim.startswith("dim_") for dim in dims):
        raise SceneError(
            f"the dimensions {tuple(dims)} have no names; rename them to what they are: "
            '.rename(dim_0="y", dim_1="x", dim_2="band") if bands come last, .rename(dim_0="band", '
            'dim_1="y", dim_2="x") if they come first, as rasterio reads them'
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


def check_sizes(shape: Iterable[float], what: str = "the array") -> None:
    """Refuse dask chunks of unknown size."""
    if any(np.isnan(size) for size in shape):
        raise SceneError(
            f"{what} has dask chunks of unknown size; call .compute_chunk_sizes() on it first"
        )
