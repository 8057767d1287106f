"""Images that GDAL opens: GeoTIFF, ENVI and others, with the wavelengths of their bands."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import dataclass
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
from xhsinr.scene.numbers import number_of
from xhsinr.scene.parts import scaling
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

Floats = npt.NDArray[np.float64]
Spectrum = tuple[Floats | None, Floats | None, str | None]
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
    if source.driver == "ENVI" and header:
        envi.check_layout(place, header, place.stat().st_size if isinstance(place, Path) else None)
    numbers, alpha = _numbers(place, source)
    bands = _Bands(place, source, numbers, header)
    mask = Mask.of(source, numbers, alpha)
    nodata = source.nodatavals[numbers[0] - 1]
    if mask is not None and nodata is None:
        nodata = unused_value(source.name, numbers, mask)
    samples = lazy_raster(source.name, numbers, mask, nodata)
    array = xr.DataArray(xr.Variable(("band", "y", "x"), samples))
    array = array.assign_coords(band=np.array(numbers))
    array.attrs = bands.attributes()
    if nodata is not None:
        array.attrs["_FillValue"] = array.dtype.type(nodata)
    array.encoding = {"source": source.name, "rasterio_dtype": source.dtypes[0]}
    array.encoding |= {} if mask is None else {"masked": True, "alpha": alpha}
    return with_spectrum(_placed(array, source), *bands.spectrum(), bands.column("bbl"))


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


def _numbers(place: Place, source: rasterio.DatasetReader) -> tuple[list[int], list[int]]:
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


@dataclass(frozen=True)
class _Bands:
    """Bands of an open image, counted from 1, and the ENVI header that is its own or beside it."""

    place: Place
    source: rasterio.DatasetReader
    numbers: list[int]
    header: dict[str, str]

    @property
    def own_header(self) -> dict[str, str]:
        return self.header if self.source.driver == "ENVI" else {}

    def of_each(self, values: Any) -> list[Any]:
        """What a sequence over all bands of the image has for these."""
        return [values[number - 1] for number in self.numbers]

    def attributes(self) -> dict[str, Any]:
        """Tags that hold for all bands, fields of ENVI's header, scales, names and units."""
        source, header = self.source, self.own_header
        names = self.of_each(source.descriptions)
        repeated = {f"Band_{n}": name for n, name in zip(self.numbers, names, strict=True)}
        of_bands = [source.tags(number) for number in self.numbers]
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
        gains, offsets = (
            numbers_of_text(header.get(key, ""), source.count)
            for key in ("data_gain_values", "data_offset_values")
        )
        attrs |= scaling(
            self.of_each(source.scales if gains is None else gains.tolist()),
            self.of_each(source.offsets if offsets is None else offsets.tolist()),
        )
        for name, texts in (("long_name", names), ("units", self.of_each(source.units))):
            if any(texts):
                attrs[name] = texts[0] if len(set(texts)) == 1 else tuple(texts)
        return attrs

    def spectrum(self) -> Spectrum:
        """Wavelengths, fwhm and units from where they are exact: GDAL rounds ENVI's for IMAGERY."""
        fwhm = self.column("fwhm")
        key = next((name for name in ("wavelength", "wavelengths") if name in self.header), None)
        units = self.header.get("wavelength_units") or None
        if key and key in self.own_header:
            # The tags that GDAL makes of a list of another length are of other bands.
            return self._listed(key), fwhm, units
        tags = in_lower_case(self.source.tags(self.numbers[0]))
        for name in ("wavelength", "wavelengths", "center_wavelength", "central_wavelength"):
            found = self._tagged(name)
            if found is not None:
                told = tags.get("wavelength_units") or tags.get("wavelength_unit")
                return found, fwhm, told or units
        found = self._tagged("CENTRAL_WAVELENGTH_UM", "IMAGERY")
        if found is not None:
            return found, self._tagged("FWHM_UM", "IMAGERY"), "um"
        if key:
            return self._listed(key), fwhm, units
        named = [_DESCRIBED.search(name or "") for name in self.of_each(self.source.descriptions)]
        if len({match[2].lower() if match else "" for match in named}) == 1 and named[0]:
            return np.array([float(match[1]) for match in named if match]), fwhm, named[0][2]
        return None, fwhm, None

    def column(self, name: str) -> Floats | None:
        """A number of each band: from its tags, else from the list in an ENVI header."""
        found = None if self.source.driver == "ENVI" else self._tagged(name)
        return self._listed(name) if found is None and name in self.header else found

    def _listed(self, name: str) -> Floats | None:
        values = listed(self.place, name, self.header[name], self.source.count)
        return None if values is None else np.array(self.of_each(values))

    def _tagged(self, name: str, namespace: str | None = None) -> Floats | None:
        tags = [in_lower_case(self.source.tags(n, ns=namespace)) for n in self.numbers]
        return numbers_of_text(",".join(each.get(name.lower(), "") for each in tags), len(tags))


def _number_or_text(text: str) -> str | int | float:
    """A number where it is written as Python would: ``007`` and ``1e5`` stay text."""
    number = number_of(text)
    return text if number is None or str(number) != text else number
