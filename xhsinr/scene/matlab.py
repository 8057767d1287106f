"""MATLAB ``.mat`` files: v5, read whole, and v7.3, which is HDF5 and read window by window."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import scipy.io
import xarray as xr

from xhsinr.errors import SceneError
from xhsinr.scene.arrays import warn_of_bands_first
from xhsinr.scene.hdf5 import lazy_cube, open_hdf5
from xhsinr.scene.spectrum import FWHM_NAMES, WAVELENGTH_NAMES, in_lower_case, with_spectrum

__all__ = ["open_mat", "open_mat73"]

_UNIT_NAMES = ("wavelength_units", "wavelength_unit", "wavelengths_units", "units")
_LAYOUT = ("y", "x", "band")
# Groups in which MATLAB keeps the cells and objects of a v7.3 file.
_INTERNAL = ("#refs#", "#subsystem#")


def open_mat(path: Path) -> xr.DataArray:
    """The scene in a MATLAB v5 file: its one 3-D array, or a 2-D one with nRow and nCol.

    Raises
    ------
    SceneError
        If there is no scene in it, or not one alone.
    """
    try:
        names = [name for name, _, _ in scipy.io.whosmat(path)]
        content = scipy.io.loadmat(path, simplify_cells=True)
    except (ValueError, NotImplementedError) as error:
        raise SceneError(f"{path}: not a MATLAB v5 file ({error})") from error
    return _scene(path, {name: content[name] for name in names}, _LAYOUT)


def open_mat73(path: Path) -> xr.DataArray:
    """The scene in a MATLAB v7.3 file; its 3-D arrays stay in the file until they are read.

    Laid out as in the file, bands first, so that a window can be read alone.
    """
    with open_hdf5(path) as file:
        values = {name: _value(path, item) for name, item in file.items() if name not in _INTERNAL}
    return _scene(path, values, ("band", "y", "x"))


def _value(path: Path, item: Any) -> Any:
    """What MATLAB shows for a variable, 3-D ones as (bands, rows, cols).

    HDF5 has MATLAB's dimensions the other way round.
    """
    if hasattr(item, "items"):
        return {name: _value(path, part) for name, part in item.items()}
    if item.ndim == 3 and item.dtype.kind in "iuf":
        return lazy_cube(path, {item.name: None}, (0, 2, 1))
    if item.ndim > 2:
        return None
    values = np.asarray(item[()]).T
    if item.attrs.get("MATLAB_class") == b"char":
        return "".join(map(chr, values.ravel().tolist()))
    return values.item() if values.size == 1 else values


def _scene(path: Path, values: Mapping[str, Any], dims: tuple[str, ...]) -> xr.DataArray:
    array = _cube(path, values, dims)
    found = _spectrum(values, array.sizes["band"])
    if found[0] is None and dims == _LAYOUT and isinstance(array.data, np.ndarray):
        warn_of_bands_first(path, array.values)
    return with_spectrum(array, *found)


def _cube(path: Path, values: Mapping[str, Any], dims: tuple[str, ...]) -> xr.DataArray:
    """The one variable that can be the scene; 3-D ones are on ``dims``."""
    numeric = {
        name: value
        for name, value in values.items()
        if isinstance(value, np.ndarray | dask.array.Array) and value.dtype.kind in "iuf"
    }
    cubes = {name: value for name, value in numeric.items() if value.ndim == 3}
    # Colour pictures of the scene often lie beside it.
    band = dims.index("band")
    wide = {name: value for name, value in cubes.items() if value.shape[band] > 4} or cubes
    if len(wide) == 1:
        return xr.DataArray(xr.Variable(dims, next(iter(wide.values()))))
    if len(wide) > 1:
        raise SceneError(
            f"{path}: {', '.join(sorted(wide))} could each be the scene; "
            "read one yourself and pass the array of (rows, cols, bands)"
        )
    small = {name.lower(): value for name, value in values.items() if np.size(value) == 1}
    rows = next((small[k] for k in ("nrow", "nrows", "rows", "lines") if k in small), None)
    cols = next((small[k] for k in ("ncol", "ncols", "cols", "samples") if k in small), None)
    if rows is not None and cols is not None:
        pixels = int(rows) * int(cols)
        for value in numeric.values():
            if value.ndim == 2 and pixels in value.shape and min(value.shape) > 1:
                spectra = value if value.shape[1] == pixels else value.T
                # MATLAB unrolls an image column by column.
                cube = spectra.reshape(spectra.shape[0], int(cols), int(rows))
                return xr.DataArray(cube.transpose(2, 1, 0), dims=_LAYOUT)
    raise SceneError(
        f"{path}: no 3-D numeric array among {', '.join(sorted(values)) or 'no variables'}, and "
        "no 2-D one with nRow and nCol beside it; read it yourself and pass (rows, cols, bands)"
    )


def _spectrum(values: Mapping[str, Any], bands: int) -> tuple[Any, Any, str | None, Any]:
    """Wavelengths, fwhm, units and bad band list, those with units before those without."""
    structs = [value for value in values.values() if isinstance(value, dict)]
    found: tuple[Any, Any, str | None, Any] = (None, None, None, None)
    for group in (values, *structs):
        low = in_lower_case(group)
        vectors = {
            name: np.asarray(value).ravel()
            for name, value in low.items()
            if isinstance(value, np.ndarray) and value.size == bands and value.dtype.kind in "iuf"
        }
        spectrum = next((v for name, v in vectors.items() if name in WAVELENGTH_NAMES), None)
        units = next((low[k] for k in _UNIT_NAMES if isinstance(low.get(k), str)), None)
        if spectrum is None or (found[0] is not None and units is None):
            continue
        fwhm = next((v for name, v in vectors.items() if name in FWHM_NAMES), None)
        wide = None if fwhm is None else fwhm.astype(np.float64)
        found = (spectrum.astype(np.float64), wide, units, vectors.get("bbl"))
        if units is not None:
            break
    return found
