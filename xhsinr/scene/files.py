"""Scenes in files: GeoTIFF, ENVI and what else GDAL opens, MATLAB v5, NumPy.

`open_file` makes a DataArray of a file, lazy where the format allows it, with the wavelengths
as coordinates of its band dimension.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import rioxarray
import scipy.io
import xarray as xr
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from xhsinr.errors import SceneError

__all__ = ["FWHM_NAMES", "WAVELENGTH_NAMES", "open_file"]

WAVELENGTH_NAMES = (
    {"wavelength", "wavelengths", "wavelen", "wl", "wvl", "lambda"}
    | {"center_wavelength", "central_wavelength", "center_wavelengths"}
    | {"central_wavelengths", "band_center", "band_centers"}
)
"""What people call band centres, in lower case; so is the band dimension called at times."""

FWHM_NAMES = {"fwhm", "fwhms", "full_width_half_max", "full_width_at_half_maximum"}
"""What people call the full width at half maximum of a band, in lower case."""

_BLOCK = 256
_UNIT_NAMES = ("wavelength_units", "wavelength_unit", "wavelengths_units", "units")
# What an ENVI header says of the file and its layout; the scene has it elsewhere.
_ENVI_LAYOUT = (
    {"samples", "lines", "bands", "header_offset", "file_type", "data_type", "interleave"}
    | {"byte_order", "map_info", "projection_info", "coordinate_system_string", "band_names"}
    | {"wavelength", "wavelength_units", "fwhm", "bbl", "data_ignore_value"}
    | {"data_gain_values", "data_offset_values", "x_start", "y_start"}
)
_DESCRIBED = re.compile(
    r"(?<![\w.])(\d+(?:\.\d+)?)\s*(nm|nanomet(?:er|re)s?|um|µm|μm|microns?|micromet(?:er|re)s?)\b",
    re.IGNORECASE,
)


def open_file(path: Path) -> xr.DataArray:
    """The scene in a file as a DataArray.

    Parameters
    ----------
    path : Path
        An image that GDAL opens, an ENVI header, a MATLAB v5 ``.mat`` or a ``.npy`` of shape
        (rows, cols, bands), with ``<stem>.wavelength_nm.txt`` beside it where bands have
        known centres.

    Raises
    ------
    SceneError
        If there is no such file, or no scene in it.
    """
    if not path.exists():
        raise SceneError(f"{path}: there is no such file; check the path")
    if path.suffix.lower() == ".hsinr":
        raise SceneError(f"{path} is a sidecar already: decompress it, or open it with xarray")
    readers: dict[str, Callable[[Path], xr.DataArray]] = {".mat": _open_mat, ".npy": _open_npy}
    try:
        return readers.get(path.suffix.lower(), _open_raster)(path)
    except SceneError:
        raise
    except Exception as error:  # what the libraries' parsers make of a broken file is theirs
        raise SceneError(
            f"{path} cannot be read ({type(error).__name__}: {error}): is it damaged, or of "
            "another kind than its name says?"
        ) from error


def _with_spectrum(
    array: xr.DataArray,
    wavelengths: npt.NDArray[np.float64] | None,
    fwhm: npt.NDArray[np.float64] | None,
    units: str | None,
) -> xr.DataArray:
    attrs = {} if units is None else {"units": units}
    found = {"wavelength": wavelengths, "fwhm": fwhm}
    return array.assign_coords(
        {name: ("band", values, attrs) for name, values in found.items() if values is not None}
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
    return _with_spectrum(array, centres, None, "nm")


def _open_mat(path: Path) -> xr.DataArray:
    try:
        shapes = {name: shape for name, shape, _ in scipy.io.whosmat(path)}
        content = scipy.io.loadmat(path, simplify_cells=True)
    except NotImplementedError as error:
        raise SceneError(
            f"{path}: MATLAB v7.3 files are HDF5; read the variable with h5py and pass the array"
        ) from error
    except ValueError as error:
        raise SceneError(f"{path}: not a MATLAB v5 file ({error})") from error
    values = {name: content[name] for name in shapes}
    cube = _mat_cube(path, values)
    array = xr.DataArray(cube, dims=("y", "x", "band"))
    spectrum, fwhm, units, flags = _mat_spectrum(values, cube.shape[2])
    array = _with_spectrum(array, spectrum, fwhm, units)
    return array if flags is None else array.assign_coords(bbl=("band", flags))


def _mat_cube(path: Path, values: Mapping[str, Any]) -> npt.NDArray[Any]:
    numeric = {
        name: value
        for name, value in values.items()
        if isinstance(value, np.ndarray) and value.dtype.kind in "iuf"
    }
    cubes = {name: value for name, value in numeric.items() if value.ndim == 3}
    # Colour pictures of the scene often lie beside it.
    wide = {name: value for name, value in cubes.items() if value.shape[2] > 4} or cubes
    if len(wide) == 1:
        return next(iter(wide.values()))
    if len(wide) > 1:
        raise SceneError(
            f"{path}: {', '.join(sorted(wide))} could each be the scene; "
            "read one with scipy.io.loadmat and pass the array"
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
                return cube.transpose(2, 1, 0)
    raise SceneError(
        f"{path}: no 3-D numeric array among {', '.join(sorted(values)) or 'no variables'}, and "
        "no 2-D one with nRow and nCol beside it; read it yourself and pass (rows, cols, bands)"
    )


def _mat_spectrum(values: Mapping[str, Any], bands: int) -> tuple[Any, Any, str | None, Any]:
    """Wavelengths, fwhm, units and bad band list, those with units before those without."""
    structs = [value for value in values.values() if isinstance(value, dict)]
    found: tuple[Any, Any, str | None, Any] = (None, None, None, None)
    for group in (values, *structs):
        low = {str(name).lower(): value for name, value in group.items()}
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


def _data_of_header(path: Path) -> Path:
    stem = path.with_suffix("")
    for suffix in ("", ".img", ".dat", ".bil", ".bsq", ".bip", ".raw", ".bin", ".IMG", ".DAT"):
        candidate = stem.with_name(stem.name + suffix)
        if candidate.is_file():
            return candidate
    raise SceneError(
        f"{path}: the data file of this header is not beside it; it should be called {stem} "
        f"or {stem}.img"
    )


def _open_raster(path: Path) -> xr.DataArray:
    if path.suffix.lower() == ".hdr":
        path = _data_of_header(path)
    try:
        with warnings.catch_warnings():
            # Scenes without a place are welcome; rioxarray parses ENVI's text as numbers first.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            warnings.filterwarnings("ignore", "string or file could not be read")
            with rasterio.open(path) as source:
                _check_layout(path, source)
                names, first_tags = source.descriptions, _first_band_tags(source)
                spectrum, fwhm, units = _raster_spectrum(source)
                flags = _numbers(source.tags(ns="ENVI").get("bbl", ""), source.count)
                flags = _from_tags(source, "bbl") if flags is None else flags
                nodata = source.nodata
            chunks = {"band": -1, "y": _BLOCK, "x": _BLOCK}
            array = rioxarray.open_rasterio(path, chunks=chunks)
    except RasterioError as error:
        raise SceneError(
            f"{path}: GDAL does not open it ({error}); if it is netCDF or HDF5, open it with "
            "xarray and pass the variable"
        ) from error
    assert isinstance(array, xr.DataArray)
    repeated = {f"Band_{band}": name for band, name in enumerate(names, 1)}
    dropped = _ENVI_LAYOUT | first_tags
    array.attrs = {
        key: value
        for key, value in array.attrs.items()
        if key not in dropped and (key not in repeated or value != repeated[key])
    }
    if nodata is None:
        array.attrs.pop("_FillValue", None)
    if array.dims[0] != "band":
        array = array.rename({array.dims[0]: "band"})
    array = array.drop_vars({"wavelength", "fwhm"} & set(array.coords))
    array = _with_spectrum(array, spectrum, fwhm, units)
    return array if flags is None else array.assign_coords(bbl=("band", flags.astype(np.uint8)))


def _check_layout(path: Path, source: rasterio.DatasetReader) -> None:
    if source.count == 0 or source.subdatasets:
        raise SceneError(
            f"{path}: holds {len(source.subdatasets)} subdatasets; open the one that is the scene "
            "with xarray or rioxarray and pass it"
        )
    if len(set(source.dtypes)) > 1:
        raise SceneError(
            f"{path}: its bands have several data types ({', '.join(sorted(set(source.dtypes)))}); "
            "convert them to one first, for example with gdal_translate -ot"
        )
    if len({repr(value) for value in source.nodatavals}) > 1:
        warnings.warn(
            f"{path}: its bands have several nodata values; that of the first, {source.nodata}, "
            "counts for all",
            UserWarning,
            stacklevel=2,
        )


def _first_band_tags(source: rasterio.DatasetReader) -> set[str]:
    """Tags that rioxarray takes from the first band for all, and the others do not share."""
    tags = [source.tags(band) for band in source.indexes]
    spectral = WAVELENGTH_NAMES | FWHM_NAMES | {"wavelength_units", "bbl"}
    return {
        key
        for key, value in tags[0].items()
        if key.lower() in spectral or any(other.get(key) != value for other in tags)
    }


def _raster_spectrum(
    source: rasterio.DatasetReader,
) -> tuple[npt.NDArray[np.float64] | None, npt.NDArray[np.float64] | None, str | None]:
    """Wavelengths, fwhm and units from where they are exact: GDAL rounds ENVI's for IMAGERY."""
    envi = source.tags(ns="ENVI")
    first = {key.lower(): value for key, value in source.tags(1).items()}
    units = envi.get("wavelength_units") or first.get("wavelength_units") or None
    spectrum = _numbers(envi.get("wavelength", ""), source.count)
    if spectrum is not None:
        return spectrum, _numbers(envi.get("fwhm", ""), source.count), units
    spectrum = _from_tags(source, "wavelength")
    if spectrum is not None:
        return spectrum, _from_tags(source, "fwhm"), units
    spectrum = _from_tags(source, "CENTRAL_WAVELENGTH_UM", "IMAGERY")
    if spectrum is not None:
        return spectrum, _from_tags(source, "FWHM_UM", "IMAGERY"), "um"
    found = [_DESCRIBED.search(name or "") for name in source.descriptions]
    if len({match[2].lower() if match else "" for match in found}) == 1 and found[0]:
        return np.array([float(match[1]) for match in found if match]), None, found[0][2]
    return None, None, None


def _from_tags(
    source: rasterio.DatasetReader, name: str, namespace: str | None = None
) -> npt.NDArray[np.float64] | None:
    values = []
    for band in source.indexes:
        tags = {key.lower(): value for key, value in source.tags(band, ns=namespace).items()}
        values.append(tags.get(name.lower(), ""))
    return _numbers(",".join(values), source.count)


def _numbers(text: str, count: int) -> npt.NDArray[np.float64] | None:
    try:
        values = np.array([float(word) for word in text.strip().strip("{}").split(",")])
    except ValueError:
        return None
    return values if values.size == count else None
