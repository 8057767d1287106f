"""Images that GDAL opens: GeoTIFF, ENVI and others, with the wavelengths of their bands."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import rioxarray  # noqa: F401  (registers the rio accessor)
import xarray as xr
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError

from xhsinr.errors import RemoteError, SceneError, SidecarError
from xhsinr.scene import envi
from xhsinr.scene.arrays import LOOK
from xhsinr.scene.grid import centre_coords
from xhsinr.scene.images import check_alone, driver_of, gdal_name, patiently, placeless
from xhsinr.scene.spectrum import (
    FWHM_NAMES,
    WAVELENGTH_NAMES,
    in_lower_case,
    listed,
    numbers_of_text,
    with_spectrum,
)
from xhsinr.scene.windows import Mask, lazy_raster, unused_value
from xhsinr.storage import Place, read_range, sibling

__all__ = ["open_raster"]

_LONGEST_HEADER = 8 << 20
# Tags that GDAL and rasterio keep elsewhere.
_NOT_ATTRS = {"_FillValue", "missing_value", "fill_value", "nodata", "long_name", "units"} | (
    {"scale_factor", "add_offset", "scales", "offsets"}
)
_DESCRIBED = re.compile(
    r"(?<![\w.])(\d+(?:\.\d+)?)\s*(nm|nanomet(?:er|re)s?|um|µm|μm|microns?|micromet(?:er|re)s?)\b",
    re.IGNORECASE,
)

Spectrum = tuple[npt.NDArray[np.float64] | None, npt.NDArray[np.float64] | None, str | None]
"""Wavelengths, fwhm and their units."""


def open_raster(place: Place) -> xr.DataArray:
    """An image that GDAL opens, lazily; for ENVI, the data file or its header.

    Wavelengths, fwhm and bad bands come from ENVI's header, also where one stands beside another
    image, from band tags, from GDAL's IMAGERY domain or from the names of the bands; scale, offset
    and nodata from where GDAL has them. Pixels that a mask or an alpha band hides become nodata.

    Parameters
    ----------
    place : Path or str
        A path, a URL, or a name of GDAL's such as ``/vsizip/...``.

    Raises
    ------
    SceneError
        If GDAL does not open it, or there is not one image of one data type in it.
    """
    if isinstance(place, Path) and place.suffix.lower() == ".hdr":
        place = _data_of_header(place)
    try:
        with placeless(), patiently(place):
            driver = driver_of(place)
            with rasterio.open(gdal_name(place), driver=driver) as source:
                check_alone(place, source)
                return _opened(place, source)
    except RasterioError as error:
        raise SceneError(
            f"{place}: it is no image by itself that GDAL opens ({error}); if it is netCDF or "
            "HDF5, open it with xarray and pass the variable; if it is a VRT or another "
            "description of images elsewhere, make a file of it with gdal_translate, or pass what "
            "rioxarray.open_rasterio makes of it: only where you trust it, it may read any file"
        ) from error


def _opened(place: Place, source: rasterio.DatasetReader) -> xr.DataArray:
    header = _header_beside(place)
    own = source.driver == "ENVI"
    if own and header:
        envi.check_layout(place, header, place.stat().st_size if isinstance(place, Path) else None)
    bands, alpha = _bands(place, source)
    mask = Mask.of(source, bands, alpha)
    nodata = source.nodatavals[bands[0] - 1]
    if mask is not None and nodata is None:
        nodata = unused_value(source.name, bands, mask)
    samples = lazy_raster(source.name, bands, mask, nodata)
    array = xr.DataArray(xr.Variable(("band", "y", "x"), samples))
    array = array.assign_coords(band=np.array(bands))
    array.attrs = _attributes(source, bands, header if own else {})
    if nodata is not None:
        array.attrs["_FillValue"] = array.dtype.type(nodata)
    array.encoding = {"source": source.name, "rasterio_dtype": source.dtypes[0]}
    array.encoding |= {} if mask is None else {"masked": True, "alpha": alpha}
    spectrum, fwhm, units = _spectrum(place, source, bands, header, own=own)
    flags = _list_or_tags(place, source, bands, header, "bbl")
    return with_spectrum(_placed(array, source), spectrum, fwhm, units, flags)


def _placed(array: xr.DataArray, source: rasterio.DatasetReader) -> xr.DataArray:
    """With coordinates, CRS, transform or ground control points, as rioxarray gives them."""
    points, points_crs = source.gcps
    if not points:
        array = array.assign_coords(
            centre_coords(source.transform, source.height, source.width, ("y", "x"))
        )
    array = array.rio.write_transform(source.transform)
    if source.crs:
        array = array.rio.write_crs(source.crs)
    if points:
        array = array.rio.write_gcps(points, points_crs)
    if source.rpcs is not None:
        array.attrs["rpcs"] = json.dumps(source.rpcs.to_gdal())
    return array


def _data_of_header(path: Path) -> Path:
    stem = path.with_suffix("")
    for suffix in ("", ".img", ".dat", ".bil", ".bsq", ".bip", ".raw", ".bin", ".tif", ".tiff"):
        for name in (stem.name + suffix, stem.name + suffix.upper()):
            if (candidate := stem.with_name(name)).is_file():
                return candidate
    raise SceneError(
        f"{path}: the data file of this header is not beside it; it should be called {stem} "
        f"or {stem}.img"
    )


def _header_beside(place: Place) -> dict[str, str]:
    """Fields of the ENVI header of a file, or that stands beside another image; {} without one."""
    name = str(place).partition("?")[0].rpartition("/")[2] if isinstance(place, str) else place.name
    stem = name.rpartition(".")[0] or name
    for candidate in dict.fromkeys((f"{stem}.hdr", f"{name}.hdr", f"{stem}.HDR", f"{name}.HDR")):
        if isinstance(place, str):
            if "://" not in place:
                return {}
            header: Place = sibling(place, candidate)
        else:
            header = place.with_name(candidate)
        try:
            text = read_range(header, 0, _LONGEST_HEADER).decode("utf-8", "replace")
        except (FileNotFoundError, SidecarError, RemoteError):
            continue
        fields = envi.fields_of(text)
        if fields:
            return fields
    return {}


def _bands(place: Place, source: rasterio.DatasetReader) -> tuple[list[int], list[int]]:
    """Bands that are the scene's, counted from 1, and those that are alpha."""
    if source.count == 0 or source.subdatasets:
        raise SceneError(
            f"{place}: holds {len(source.subdatasets)} subdatasets; open the one that is the scene "
            "with xarray or rioxarray and pass it"
        )
    alpha = [number for number in source.indexes if _is_alpha(source, number)]
    bands = [number for number in source.indexes if number not in alpha]
    dtypes = {source.dtypes[number - 1] for number in bands}
    if len(dtypes) > 1:
        raise SceneError(
            f"{place}: its bands have several data types ({', '.join(sorted(dtypes))}); "
            "convert them to one first, for example with gdal_translate -ot"
        )
    nodata = [source.nodatavals[number - 1] for number in bands]
    if len({repr(value) for value in nodata}) > 1:
        warnings.warn(
            f"{place}: its bands have several nodata values; that of the first, {nodata[0]}, "
            "counts for all",
            UserWarning,
            stacklevel=2,
        )
    return bands, alpha


def _is_alpha(source: rasterio.DatasetReader, number: int) -> bool:
    # GDAL takes the fourth band of any picture of bytes for alpha, unless it is said otherwise.
    if source.colorinterp[number - 1] != ColorInterp.alpha:
        return False
    named = (source.descriptions[number - 1] or "alpha").lower() != "alpha"
    if named or in_lower_case(source.tags(number)).keys() & WAVELENGTH_NAMES:
        return False
    if number == source.count:
        return True
    # And TIFF the first band beyond the colours: between bands of data its samples have to tell.
    look = source.read(number, out_shape=tuple(min(side, LOOK) for side in source.shape))
    values = np.unique(look)
    return len(values) == 2 and values[0] == 0


def _attributes(
    source: rasterio.DatasetReader, bands: list[int], header: dict[str, str]
) -> dict[str, Any]:
    """Tags that hold for all bands, fields of ENVI's header, scales, names and units."""
    names = [source.descriptions[band - 1] for band in bands]
    repeated = {f"Band_{band}": name for band, name in zip(bands, names, strict=True)}
    of_bands = [source.tags(band) for band in bands]
    spectral = WAVELENGTH_NAMES | FWHM_NAMES | {"wavelength_units", "bbl"}
    shared = {
        key: value
        for key, value in of_bands[0].items()
        if key.lower() not in spectral and all(other.get(key) == value for other in of_bands)
    }
    attrs: dict[str, Any] = {
        key: _number_or_text(value)
        for key, value in (source.tags() | shared).items()
        if key not in _NOT_ATTRS and (key not in repeated or value != repeated[key])
    }
    attrs |= {key: _number_or_text(v) for key, v in header.items() if key not in envi.LAYOUT}
    for one, many, values, key in (
        ("scale_factor", "scales", source.scales, "data_gain_values"),
        ("add_offset", "offsets", source.offsets, "data_offset_values"),
    ):
        stated = numbers_of_text(header.get(key, ""), source.count)
        numbers = [(values if stated is None else stated.tolist())[band - 1] for band in bands]
        if len(set(numbers)) == 1:
            attrs[one] = numbers[0]
        else:
            attrs[many] = tuple(numbers)
    for name, texts in (("long_name", names), ("units", [source.units[b - 1] for b in bands])):
        if any(texts):
            attrs[name] = texts[0] if len(set(texts)) == 1 else tuple(texts)
    return attrs


def _number_or_text(text: str) -> str | int | float:
    """A number where it is written as Python would: ``007`` and ``1e5`` stay text."""
    for kind in (int, float):
        try:
            number: int | float = kind(text)
        except ValueError:
            continue
        if str(number) == text:
            return number
    return text


def _spectrum(
    place: Place,
    source: rasterio.DatasetReader,
    bands: list[int],
    header: dict[str, str],
    *,
    own: bool,
) -> Spectrum:
    """Wavelengths, fwhm and units from where they are exact: GDAL rounds ENVI's for IMAGERY."""
    fwhm = _list_or_tags(place, source, bands, header, "fwhm")
    key = next((name for name in ("wavelength", "wavelengths") if name in header), None)
    units = header.get("wavelength_units") or None
    if own and key:
        # The tags that GDAL makes of a list of another length are of other bands.
        return listed(place, key, header[key], source.count), fwhm, units
    tags = in_lower_case(source.tags(bands[0]))
    for name in ("wavelength", "wavelengths", "center_wavelength", "central_wavelength"):
        found = _from_tags(source, bands, name)
        if found is not None:
            return found, fwhm, tags.get("wavelength_units") or tags.get("wavelength_unit") or units
    found = _from_tags(source, bands, "CENTRAL_WAVELENGTH_UM", "IMAGERY")
    if found is not None:
        return found, _from_tags(source, bands, "FWHM_UM", "IMAGERY"), "um"
    if key:
        return _of_bands(listed(place, key, header[key], source.count), bands), fwhm, units
    told = [_DESCRIBED.search(source.descriptions[band - 1] or "") for band in bands]
    if len({match[2].lower() if match else "" for match in told}) == 1 and told[0]:
        return np.array([float(match[1]) for match in told if match]), fwhm, told[0][2]
    return None, fwhm, None


def _list_or_tags(
    place: Place,
    source: rasterio.DatasetReader,
    bands: list[int],
    header: dict[str, str],
    name: str,
) -> npt.NDArray[np.float64] | None:
    """A number of each band: from its tags, else from the list in an ENVI header."""
    found = None if source.driver == "ENVI" else _from_tags(source, bands, name)
    if found is None and name in header:
        return _of_bands(listed(place, name, header[name], source.count), bands)
    return found


def _of_bands(
    values: npt.NDArray[np.float64] | None, bands: list[int]
) -> npt.NDArray[np.float64] | None:
    return None if values is None else values[np.array(bands) - 1]


def _from_tags(
    source: rasterio.DatasetReader, bands: list[int], name: str, namespace: str | None = None
) -> npt.NDArray[np.float64] | None:
    values = [
        in_lower_case(source.tags(band, ns=namespace)).get(name.lower(), "") for band in bands
    ]
    return numbers_of_text(",".join(values), len(bands))
