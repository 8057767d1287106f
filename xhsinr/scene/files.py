"""Scenes in files: which reader takes which file.

`open_file` makes a DataArray of a file, lazy where the format allows it, with the wavelengths
as coordinates of its band dimension.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import xarray as xr

from xhsinr.errors import HsinrError, SceneError
from xhsinr.scene import products
from xhsinr.scene.arrays import variable_of, with_general_attrs
from xhsinr.scene.hdf5 import NEEDED, check_alone, is_hdf5, open_hdf5
from xhsinr.scene.images import place_of
from xhsinr.scene.matlab import open_mat, open_mat73
from xhsinr.scene.npy import open_npy
from xhsinr.scene.numbers import number_of
from xhsinr.scene.products import airborne, dlr
from xhsinr.scene.raster import open_raster
from xhsinr.scene.spectrum import WAVELENGTH_NAMES
from xhsinr.storage import Place, suffix_of

__all__ = ["open_file", "with_what_its_file_says"]

_NETCDF = frozenset((".nc", ".nc4", ".cdf", ".netcdf"))
_NOT_BY_URL = _NETCDF | {".npy", ".mat", ".h5", ".he5", ".hdf5", ".zarr", ".zip"}


def open_file(path: Place, variable: str | None = None) -> xr.DataArray:
    """The scene in a file as a DataArray.

    Parameters
    ----------
    path : Path or str
        A product of `xhsinr.scene.products` (image, metadata, folder or zip). Or an image that
        GDAL opens, also behind a URL, an ENVI header, a MATLAB ``.mat``, or a ``.npy`` of shape
        (rows, cols, bands), with ``<stem>.wavelength_nm.txt`` beside it where bands have known
        centres. Or netCDF or Zarr with one cube.
    variable : str, optional
        Which variable of a netCDF file or Zarr store is the scene.

    Raises
    ------
    SceneError
        If there is no such file, or no scene in it.
    """
    if suffix_of(path).lower() == ".hsinr":
        raise SceneError(f"{path} is a sidecar already: decompress it, or open it with xarray")
    if isinstance(path, Path) and not path.exists():
        raise SceneError(f"{path}: there is no such file; check the path")
    try:
        array = _open(path, variable)
        array.encoding.setdefault("source", str(path))
        return array
    except HsinrError:
        raise
    except Exception as error:  # what the libraries' parsers make of a broken file is theirs
        raise SceneError(
            f"{path} cannot be read ({type(error).__name__}: {error}): is it damaged, or of "
            "another kind than its name says?"
        ) from error


def with_what_its_file_says(array: xr.DataArray) -> xr.DataArray:
    """An array that rioxarray opened, with what that left behind in its file.

    Wavelengths, fwhm, bad bands, masks and RPCs are taken only where it is certain that they are
    the array's own: the file or URL that its encoding names is there, and its ``band`` coordinate
    numbers bands of that file.
    """
    opened = _opened_again(array)
    if opened is None:
        return array
    if opened.sizes["band"] < array.sizes["band"]:
        # An alpha band is a mask and no band of the scene.
        array = array.isel(band=array.coords["band"].isin(opened.coords["band"]))
    array = _with_texts(_with_spectrum(array, opened), opened)
    return _with_place(_with_mask(array, opened), opened)


def _opened_again(array: xr.DataArray) -> xr.DataArray | None:
    source = array.encoding.get("source")
    by_rasterio = isinstance(source, str) and "rasterio_dtype" in array.encoding
    if not by_rasterio or "band" not in array.coords:
        return None
    place, numbers = place_of(str(source)), array.coords["band"]
    if numbers.dims != ("band",) or numbers.dtype.kind not in "iu":
        return None
    try:
        if isinstance(place, Path) and (not place.is_file() or is_hdf5(place)):
            return None
        with warnings.catch_warnings(action="ignore"):
            opened = open_file(place)
    except (SceneError, OSError, ValueError):
        return None
    found = numbers.isin(opened.coords["band"])
    others = set(numbers.values[~found.values].tolist())
    if others - {*opened.encoding.get("alpha", ())}:
        return None
    return opened.sel(band=numbers[found])


def _with_spectrum(array: xr.DataArray, opened: xr.DataArray) -> xr.DataArray:
    # The attributes have the first band's alone.
    listed = {name for name, value in array.attrs.items() if _is_list(value)}
    known = {str(name).lower() for name in {*array.coords} | listed}
    if known & WAVELENGTH_NAMES:
        return array
    own = opened.coords
    found = {name: own[name] for name in ("wavelength", "fwhm", "bbl") if name in own}
    return array.assign_coords(
        {name: ("band", c.values, c.attrs) for name, c in found.items() if name not in known}
    )


def _with_texts(array: xr.DataArray, opened: xr.DataArray) -> xr.DataArray:
    """With tags such as ``007`` and ``1e5`` as they are, of which rioxarray makes numbers."""
    texts = {
        name: text
        for name, text in opened.attrs.items()
        if isinstance(text, str)
        and isinstance(number := array.attrs.get(name), int | float)
        and str(number) in (str(number_of(text)), text)
    }
    return array.assign_attrs(texts)


def _with_mask(array: xr.DataArray, opened: xr.DataArray) -> xr.DataArray:
    """With nodata where the file has a mask or an alpha band, unless the array knows better."""
    known = array.rio.nodata is not None or array.rio.encoded_nodata is not None
    if known or not opened.encoding.get("masked") or array.dtype != opened.dtype:
        return array
    axes = [axis for axis in ("y", "x") if axis in array.coords and axis in opened.coords]
    try:
        opened = opened.sel({axis: array.coords[axis] for axis in axes})
    except KeyError:
        opened = opened.isel(y=slice(0))
    if opened.sizes != array.sizes:
        warnings.warn(
            "its file masks pixels, which are taken for data here: open it with masked=True, or "
            "pass the path",
            stacklevel=2,
        )
        return array
    fill = opened.attrs["_FillValue"]
    valid = opened.notnull() if fill != fill else opened != fill
    samples = array.variable.where(valid.transpose(*array.dims).variable, fill)
    return array.copy(data=samples.data).assign_attrs(_FillValue=fill)


def _with_place(array: xr.DataArray, opened: xr.DataArray) -> xr.DataArray:
    """With RPCs; without them and without ground control points where it is a part of the file."""
    points = array.rio.get_gcps() if "spatial_ref" in array.coords else None
    if not points and "rpcs" not in opened.attrs:
        return array
    if all(opened.sizes[axis] == array.sizes.get(axis) for axis in ("y", "x")):
        return array.assign_attrs({k: v for k, v in opened.attrs.items() if k == "rpcs"})
    warnings.warn(
        "ground control points and RPCs are of the whole file and this is a part of it, so they "
        "are left out: write those of the part with .rio.write_gcps(...)",
        stacklevel=2,
    )
    if not points:
        return array
    part = array.drop_vars("spatial_ref").copy(deep=False)
    part.encoding = {k: v for k, v in array.encoding.items() if k != "grid_mapping"}
    return part


def _is_list(value: Any) -> bool:
    """Whether an attribute has several values; they need not be of one length or kind."""
    return len(value) > 1 if isinstance(value, list | tuple) else bool(np.size(value) > 1)


def _open(path: Place, variable: str | None) -> xr.DataArray:
    if isinstance(path, str):
        if suffix_of(path).lower() in _NOT_BY_URL:
            raise SceneError(f"{path}: files of this kind are not read by URL; download it first")
        return airborne.with_acquisition(open_raster(path), Path(urlsplit(path).path))
    if _is_zarr(path):
        return _of_dataset(path, variable, "zarr")
    image = dlr.find(path)
    if image is not None:
        return dlr.open_dlr(image)
    if is_hdf5(path):
        return _open_hdf5(path, variable)
    suffix = path.suffix.lower()
    if suffix in _NETCDF:
        return _of_dataset(path, variable, None)
    if suffix == ".npy":
        return open_npy(path)
    if suffix == ".mat":
        return open_mat(path)
    return airborne.with_acquisition(open_raster(path), path)


def _is_zarr(path: Path) -> bool:
    marks = ("zarr.json", ".zgroup", ".zmetadata", ".zarray")
    return path.is_dir() and any((path / name).is_file() for name in marks)


def _open_hdf5(path: Path, variable: str | None) -> xr.DataArray:
    with open_hdf5(path) as file:
        check_alone(path, file)
        product = None if variable else products.of_hdf5(file)
    if product is not None:
        return product.open(path)
    if path.suffix.lower() == ".mat":
        return open_mat73(path)
    if path.suffix.lower() in _NETCDF:
        return _of_dataset(path, variable, None)
    raise SceneError(
        f"{path} is an HDF5 file, but none of the products that are read as they are "
        f"({products.names()}, MATLAB v7.3); open it with xarray and pass the variable that is "
        "the scene"
    )


def _of_dataset(path: Path, variable: str | None, engine: str | None) -> xr.DataArray:
    """The cube in a netCDF file or a Zarr store, its samples as they are stored."""
    try:
        with warnings.catch_warnings(action="ignore"):
            dataset = xr.open_dataset(
                path, engine=engine, chunks={}, mask_and_scale=False, decode_coords="all"
            )
    except (ImportError, ValueError) as error:  # the second where no engine reads netCDF
        needed = "Zarr needs: pip install 'xhsinr[zarr]'" if engine else f"netCDF needs: {NEEDED}"
        raise SceneError(f"{path}: {error} ({needed})") from error
    if variable is None:
        try:
            return variable_of(dataset)
        except SceneError as error:
            raise SceneError(
                f"{path}: {error}. Name the one with variable= (--variable), or open it with "
                f"xarray and pass it; read as they are: {products.names()}"
            ) from error
    if variable not in dataset.data_vars:
        listed = ", ".join(map(str, dataset.data_vars))
        raise SceneError(f"{path}: it has no variable {variable!r}, but {listed or 'none'}")
    return with_general_attrs(dataset[variable], dataset)
