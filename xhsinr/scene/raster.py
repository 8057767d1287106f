"""Images that GDAL opens: GeoTIFF, ENVI and others, with the wavelengths of their bands."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
import rioxarray
import xarray as xr
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from xhsinr.errors import SceneError
from xhsinr.scene.spectrum import (
    FWHM_NAMES,
    WAVELENGTH_NAMES,
    numbers_of_text,
    with_spectrum,
)

__all__ = ["open_raster"]

_BLOCK = 256
_DRIVERS = ["GTiff", "ENVI", "HFA", "JP2OpenJPEG", "PNG", "BMP", "EHdr", "NITF"]
_DRIVERS += ["ISIS2", "ISIS3", "PDS", "PDS4", "VICAR", "FITS", "KEA", "RST", "SAGA", "SGI", "PNM"]
"""GDAL's drivers of files that are images themselves.

Others (VRT, WMS, GTI, STACTA, ...) read what a file names: other files, servers, Python code. What
a file is, its contents say and not its name.
"""
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


def open_raster(path: Path) -> xr.DataArray:
    """An image that GDAL opens, lazily; for ENVI, the data file or its header.

    Wavelengths, fwhm and bad bands come from ENVI's header, from band tags, from GDAL's IMAGERY
    domain or from the names of the bands; scale, offset and nodata from where GDAL has them.

    Raises
    ------
    SceneError
        If GDAL does not open it, or there is not one image of one data type in it.
    """
    if path.suffix.lower() == ".hdr":
        path = _data_of_header(path)
    try:
        with warnings.catch_warnings():
            # Scenes without a place are welcome; rioxarray parses ENVI's text as numbers first.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            warnings.filterwarnings("ignore", "string or file could not be read")
            warnings.filterwarnings("ignore", "(Scales|Offsets) differ across bands")
            driver = _driver_of(path)
            _check_beside(path)
            with rasterio.open(path, driver=driver) as source:
                _check_alone(path, source)
                _check_layout(path, source)
                names, first_tags = source.descriptions, _first_band_tags(source)
                spectrum, fwhm, units = _raster_spectrum(source)
                flags = numbers_of_text(source.tags(ns="ENVI").get("bbl", ""), source.count)
                flags = _from_tags(source, "bbl") if flags is None else flags
                nodata = source.nodata
            chunks = {"band": -1, "y": _BLOCK, "x": _BLOCK}
            array = rioxarray.open_rasterio(path, chunks=chunks, driver=driver)
    except RasterioError as error:
        raise SceneError(
            f"{path}: it is no image by itself that GDAL opens ({error}); if it is netCDF or HDF5, "
            "open it with xarray and pass the variable; if it is a VRT or another description of "
            "images elsewhere, make a file of it with gdal_translate, or pass what "
            "rioxarray.open_rasterio makes of it: only where you trust it, it may read any file"
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
    if flags is not None and np.isin(flags, (0, 1)).all():
        flags = flags.astype(np.uint8)
    return with_spectrum(array, spectrum, fwhm, units, flags)


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


def _driver_of(path: Path) -> str:
    """The driver of an image by its contents; raises RasterioIOError if it is of no other kind."""
    with rasterio.Env(), rasterio.DatasetReader(str(path), driver=_DRIVERS) as found:
        driver: str = found.driver
    return driver


def _check_beside(path: Path) -> None:
    """Masks and overviews that GDAL would open beside an image are images themselves."""
    for beside in (path.with_name(f"{path.name}.msk"), path.with_name(f"{path.name}.ovr")):
        if beside.exists():
            _driver_of(beside)


def _check_alone(path: Path, source: rasterio.DatasetReader) -> None:
    """Refuse an image that sends GDAL to files which are not beside it."""
    # Before it is asked for its files: it would open them.
    if "OVERVIEW_FILE" in source.tags(ns="OVERVIEWS"):
        raise SceneError(f"{path}: it names another file as its overviews: remove that from it")
    folders = path.absolute().parent, path.resolve().parent
    for name in source.files:
        if Path(os.path.normpath(name)).absolute().parent not in folders:
            raise SceneError(f"{path}: it names another file, {name}, which is not read for it")


def _check_layout(path: Path, source: rasterio.DatasetReader) -> None:
    if source.count == 0 or source.subdatasets:
        raise SceneError(
            f"{path}: holds {len(source.subdatasets)} subdatasets; open the one that is the scene "
            "with xarray or rioxarray and pass it"
        )
    if source.driver == "ENVI" and "file_compression" not in source.tags(ns="ENVI"):
        # GDAL takes the header's word for it, and reads zeros behind the end.
        samples = source.count * source.height * source.width
        needed, there = samples * np.dtype(source.dtypes[0]).itemsize, path.stat().st_size
        if there < needed:
            raise SceneError(
                f"{path}: has {there:,} bytes, and its header describes {needed:,}: the file is "
                "cut short, or the header is of another file"
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
    spectrum = numbers_of_text(envi.get("wavelength", ""), source.count)
    if spectrum is not None:
        return spectrum, numbers_of_text(envi.get("fwhm", ""), source.count), units
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
    return numbers_of_text(",".join(values), source.count)
