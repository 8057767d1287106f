"""EnMAP and DESIS: a GeoTIFF with the samples, and an XML file with all that is known of them.

EnMAP HSI Product Specification, EN-PCV-ICD-2009-2; DESIS comes from the same ground segment (DLR),
with nearly the same files: ``<id>-SPECTRAL_IMAGE.TIF`` and ``<id>-METADATA.XML``.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import xarray as xr

from xhsinr.errors import SceneError
from xhsinr.scene.products.acquisition import acquisition
from xhsinr.scene.products.scaling import scaling
from xhsinr.scene.raster import open_raster
from xhsinr.scene.spectrum import with_spectrum

__all__ = ["find", "open_dlr"]

_IMAGE = re.compile(r"((?:ENMAP|DESIS).*)-SPECTRAL_IMAGE(?:_COG)?\.(?:tiff?|bsq|bil|bip)", re.I)
_METADATA = re.compile(r"((?:ENMAP|DESIS).*)-METADATA\.xml", re.I)
# What bands that hold nothing have for their mean, with a standard deviation of zero.
_EMPTY_MEAN = -1_000_000


class _Mission(NamedTuple):
    """Where a mission's metadata say what."""

    platform: str
    instrument: str
    band: str
    number: str
    fwhm: str
    gain: str
    offset: str
    end: str


_ENMAP = _Mission(
    "EnMAP", "HSI", "bandID", "@number", "FWHMOfBand", "GainOfBand", "OffsetOfBand", "stopTime"
)
_DESIS = _Mission(
    "ISS", "DESIS", "band", "bandNumber", "wavelengthWidthOfBand", "gainOfBand", "offsetOfBand",
    "endTime",
)  # fmt: skip


def find(path: Path) -> tuple[Path, Path] | None:
    """Image and metadata of the product that a path is, lies in, or is the folder of.

    Warns of an image without its metadata, which is read as any other image.

    Raises
    ------
    SceneError
        If a folder holds several products or none, or metadata are there without the image.
    """
    if path.is_dir():
        images = [file for file in sorted(path.iterdir()) if _IMAGE.fullmatch(file.name)]
        if len(images) != 1:
            raise SceneError(
                f"{path} is a folder with {len(images)} files *-SPECTRAL_IMAGE.TIF, and not one "
                "EnMAP or DESIS product; pass the file that is the scene"
            )
        path = images[0]
    is_image = _IMAGE.fullmatch(path.name)
    name = is_image or _METADATA.fullmatch(path.name)
    if name is None:
        return None
    other = _METADATA if is_image else _IMAGE
    beside = [
        file
        for file in sorted(path.parent.iterdir())
        if (match := other.fullmatch(file.name)) and match[1] == name[1]
    ]
    if beside:
        return (path, beside[0]) if is_image else (beside[0], path)
    if not is_image:
        raise SceneError(f"{path}: the image {name[1]}-SPECTRAL_IMAGE.TIF is not beside it")
    warnings.warn(
        f"{path}: {name[1]}-METADATA.XML is not beside it, so its wavelengths and scale are "
        "unknown; put it there",
        UserWarning,
        stacklevel=2,
    )
    return None


def open_dlr(image: Path, metadata: Path) -> xr.DataArray:
    """The scene in an EnMAP or DESIS product.

    Raises
    ------
    SceneError
        If the metadata are malformed or of another image.
    """
    root = _parse(metadata)
    mission = _ENMAP if image.name.upper().startswith("ENMAP") else _DESIS
    bands = root.findall(f".//{{*}}bandCharacterisation/{{*}}{mission.band}")
    bands.sort(key=lambda band: _number(metadata, band, mission.number))
    array = open_raster(image)
    if len(bands) != array.sizes["band"]:
        raise SceneError(
            f"{metadata} describes {len(bands)} bands, {image.name} has {array.sizes['band']}: "
            "put the metadata of this image beside it"
        )

    def column(name: str) -> npt.NDArray[np.float64]:
        return np.array([_number(metadata, band, name) for band in bands])

    good = _good_bands(root, len(bands))
    array = with_spectrum(array, column("wavelengthCenterOfBand"), column(mission.fwhm), "nm", good)
    for key in ("scale_factor", "add_offset", "scales", "offsets"):
        array.attrs.pop(key, None)
    array.attrs |= scaling(column(mission.gain), column(mission.offset))
    background = root.findtext(".//{*}specific/{*}backgroundValue")
    if "_FillValue" not in array.attrs and background is not None:
        array.attrs["_FillValue"] = float(background)
    name = root.findtext("./{*}metadata/{*}name") or image.name
    times = "./{*}base/{*}temporalCoverage/{*}"
    array.attrs |= acquisition(
        root.findtext(f"{times}startTime"),
        root.findtext(f"{times}{mission.end}"),
        product_id=re.sub(r"-(METADATA|SPECTRAL_IMAGE).*", "", name.strip()),
        platform=mission.platform,
        instrument=mission.instrument,
    )
    return array


def _parse(path: Path) -> ElementTree.Element:
    try:
        return ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise SceneError(f"{path} is not well-formed XML ({error}); get the file again") from error


def _number(path: Path, band: ElementTree.Element, name: str) -> float:
    text = band.get(name[1:]) if name.startswith("@") else band.findtext(f"{{*}}{name}")
    try:
        return float(text or "")
    except ValueError:
        raise SceneError(f"{path}: {name} of a band is {text!r} and not a number") from None


def _good_bands(root: ElementTree.Element, count: int) -> npt.NDArray[np.uint8] | None:
    """1 for the channels that EnMAP expects to be good and that hold data; None if unsaid."""
    lists = [element.text or "" for element in root.iterfind(".//{*}expectedChannelsList")]
    statistics = root.findall(".//{*}bandStatistics/{*}bandID")
    if not lists and not statistics:
        return None
    expected = {int(number) for text in lists for number in re.findall(r"\d+", text)}
    good = [not lists or band in expected for band in range(1, count + 1)]
    for band in statistics:
        number = int(band.get("number", "0"))
        mean, deviation = band.findtext("{*}mean"), band.findtext("{*}stdDeviation")
        if 1 <= number <= count and mean and deviation:
            good[number - 1] &= float(mean) != _EMPTY_MEAN or float(deviation) != 0
    return np.array(good, np.uint8)
