"""Scenes in files: which reader takes which file.

`open_file` makes a DataArray of a file, lazy where the format allows it, with the wavelengths
as coordinates of its band dimension.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xhsinr.errors import HsinrError, SceneError
from xhsinr.scene.hdf5 import is_hdf5, open_hdf5
from xhsinr.scene.matlab import open_mat, open_mat73
from xhsinr.scene.products import airborne, dlr, emit, prisma
from xhsinr.scene.raster import open_raster
from xhsinr.scene.spectrum import WAVELENGTH_NAMES, with_spectrum

__all__ = ["open_file", "with_spectrum_of_file"]


def open_file(path: Path) -> xr.DataArray:
    """The scene in a file as a DataArray.

    Parameters
    ----------
    path : Path
        A product: EnMAP L2A or DESIS (image, metadata or folder), PRISMA L2D, EMIT L2A. Or an
        image that GDAL opens, an ENVI header, a MATLAB ``.mat``, or a ``.npy`` of shape (rows,
        cols, bands), with ``<stem>.wavelength_nm.txt`` beside it where bands have known centres.

    Raises
    ------
    SceneError
        If there is no such file, or no scene in it.
    """
    if not path.exists():
        raise SceneError(f"{path}: there is no such file; check the path")
    if path.suffix.lower() == ".hsinr":
        raise SceneError(f"{path} is a sidecar already: decompress it, or open it with xarray")
    try:
        return _open(path)
    except HsinrError:
        raise
    except Exception as error:  # what the libraries' parsers make of a broken file is theirs
        raise SceneError(
            f"{path} cannot be read ({type(error).__name__}: {error}): is it damaged, or of "
            "another kind than its name says?"
        ) from error


def with_spectrum_of_file(array: xr.DataArray) -> xr.DataArray:
    """An array that rioxarray opened, with the wavelengths, fwhm and bad bands of its file.

    rioxarray leaves them behind. They are taken only where it is certain that they are its own:
    the file that its encoding names is there, and its ``band`` coordinate numbers bands of that
    file.
    """
    # The attributes have the first band's alone.
    listed = {name for name, value in array.attrs.items() if _is_list(value)}
    known = {str(name).lower() for name in {*array.coords} | listed}
    source = array.encoding.get("source")
    by_rasterio = isinstance(source, str) and "rasterio_dtype" in array.encoding
    if not by_rasterio or known & WAVELENGTH_NAMES or "band" not in array.coords:
        return array
    path, numbers = Path(str(source)), array.coords["band"]
    if numbers.dims != ("band",) or numbers.dtype.kind not in "iu":
        return array
    try:
        if not path.is_file() or is_hdf5(path):
            return array
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opened = open_file(path)
    except (SceneError, OSError, ValueError):
        return array
    if not numbers.isin(opened.coords["band"]).all():
        return array
    own = opened.sel(band=numbers).coords
    found = {name: own[name] for name in ("wavelength", "fwhm", "bbl") if name in own}
    return array.assign_coords(
        {name: ("band", c.values, c.attrs) for name, c in found.items() if name not in known}
    )


def _is_list(value: Any) -> bool:
    """Whether an attribute has several values; they need not be of one length or kind."""
    return len(value) > 1 if isinstance(value, list | tuple) else bool(np.size(value) > 1)


def _open(path: Path) -> xr.DataArray:
    product = dlr.find(path)
    if product is not None:
        return dlr.open_dlr(*product)
    if is_hdf5(path):
        return _open_hdf5(path)
    if path.suffix.lower() == ".npy":
        return _open_npy(path)
    if path.suffix.lower() == ".mat":
        return open_mat(path)
    return airborne.with_acquisition(open_raster(path), path)


def _open_hdf5(path: Path) -> xr.DataArray:
    with open_hdf5(path) as file:
        is_prisma = prisma.GROUP in file
        is_emit = emit.BANDS in file and emit.SAMPLES in file
    if is_prisma:
        return prisma.open_prisma(path)
    if is_emit:
        return emit.open_emit(path)
    if path.suffix.lower() == ".mat":
        return open_mat73(path)
    raise SceneError(
        f"{path} is an HDF5 or netCDF file, but none of the products that are read as they are "
        "(PRISMA L2D, EMIT L2A reflectance, MATLAB v7.3); open it with xarray and pass the "
        "variable that is the scene"
    )


def _open_npy(path: Path) -> xr.DataArray:
    try:
        cube = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise SceneError(f"{path}: not a plain .npy array of numbers ({error})") from error
    if cube.ndim != 3:
        raise SceneError(
            f"{path}: the array has {cube.ndim} dimensions; save it as (rows, cols, bands)"
        )
    array = xr.DataArray(cube, dims=("y", "x", "band"))
    beside = path.with_name(f"{path.stem}.wavelength_nm.txt")
    if not beside.exists():
        return array
    centres = np.array([float(word) for word in beside.read_text().split()])
    if centres.size != array.sizes["band"]:
        raise SceneError(
            f"{beside}: {centres.size} wavelengths for {array.sizes['band']} bands; "
            "mend the file or move it away"
        )
    return with_spectrum(array, centres, None, "nm")
