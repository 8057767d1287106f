"""EnMAP and DESIS: a GeoTIFF with the samples, and an XML file with all that is known of them.

EnMAP HSI Product Specification, EN-PCV-ICD-2009-2; DESIS comes from the same ground segment (DLR),
with nearly the same files: ``<id>-SPECTRAL_IMAGE.TIF`` and ``<id>-METADATA.XML``.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import xarray as xr

from xhsinr.errors import SceneError
from xhsinr.scene.parts import scaling
from xhsinr.scene.products.acquisition import acquisition
from xhsinr.scene.raster import open_raster
from xhsinr.scene.spectrum import with_spectrum

__all__ = ["IMAGE", "files", "find", "open_dlr"]

IMAGE = re.compile(
    r"(?P<id>(?:ENMAP|DESIS).*)-SPECTRAL_IMAGE(?:_(?P<part>VNIR|SWIR))?(?:_COG)?"
    r"\.(?:tiff?|bsq|bil|bip)",
    re.IGNORECASE,
)
"""Names of images: ``_COG`` as the STAC of DLR delivers them, ``_VNIR`` and ``_SWIR`` in L1B."""

_METADATA = re.compile(r"(?P<id>(?:ENMAP|DESIS).*)-METADATA(?:\.xml)+", re.IGNORECASE)
# What bands that hold nothing have for their mean, with a standard deviation of zero.
_EMPTY_MEAN = -1_000_000

File = Path | zipfile.Path
"""A file of a product, in a folder or in a zip."""


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


def find(path: Path) -> File | None:
    """The image of the product that a path is, lies in, or is the folder or the zip of.

    None if it is of no such product.

    Raises
    ------
    SceneError
        If a folder holds several images or none, or metadata are there without the image.
    """
    if path.is_dir() or path.suffix.lower() == ".zip":
        images = [file for file in _files(path) if IMAGE.fullmatch(file.name)]
        if len(images) != 1:
            listed = ": " + ", ".join(file.name for file in images) if images else ""
            raise SceneError(
                f"{path} holds {len(images)} files *-SPECTRAL_IMAGE*.TIF, and not one EnMAP or "
                f"DESIS image{listed}; pass the file that is the scene"
            )
        return images[0]
    if IMAGE.fullmatch(path.name):
        return path
    name = _METADATA.fullmatch(path.name)
    if name is None:
        return None
    beside = [
        file
        for file in _files(path.parent)
        if (match := IMAGE.fullmatch(file.name)) and match["id"] == name["id"]
    ]
    if len(beside) == 1:
        return beside[0]
    if beside:
        listed = ", ".join(file.name for file in beside)
        raise SceneError(f"{path}: of several images, {listed}; pass the one that is the scene")
    raise SceneError(f"{path}: the image {name['id']}-SPECTRAL_IMAGE.TIF is not beside it")


def files(path: Path) -> list[Path]:
    """Image and metadata of the product that `find` finds, as far as they are there."""
    image = find(path)
    # A zip is one file, whatever is in it.
    return [f for f in (image, _beside(image)) if isinstance(f, Path)] if image else []


def _files(folder: Path) -> Sequence[File]:
    """Files in a folder, or in a zip."""
    if folder.is_dir():
        return sorted(folder.iterdir())
    top = zipfile.Path(folder.absolute())
    return [top / name for name in sorted(top.root.namelist())]


def _id_of(image: File) -> str:
    match = IMAGE.fullmatch(image.name)
    assert match is not None
    return match["id"]


def _beside(image: File) -> File | None:
    """The metadata of an image, if they are beside it."""
    folder: Any = image.parent
    files: list[File] = sorted(folder.iterdir(), key=str)
    for file in files:
        found = _METADATA.fullmatch(file.name)
        if found and found["id"] == _id_of(image):
            return file
    return None


def open_dlr(image: File) -> xr.DataArray:
    """The scene in an EnMAP or DESIS product, by its image.

    Without metadata beside it, the image as any other, with a warning.

    Raises
    ------
    SceneError
        If the metadata are malformed or of another image.
    """
    place = image if isinstance(image, Path) else f"/vsizip/{image}"
    metadata = _beside(image)
    if metadata is None:
        warnings.warn(
            f"{image}: {_id_of(image)}-METADATA.XML is not beside it, so its wavelengths and "
            "scale are unknown; put it there",
            stacklevel=2,
        )
        return open_raster(place)
    root = _parse(metadata)
    mission = _ENMAP if image.name.upper().startswith("ENMAP") else _DESIS
    bands = root.findall(f".//{{*}}bandCharacterisation/{{*}}{mission.band}")
    bands.sort(key=lambda band: _number(metadata, band, mission.number))
    array = open_raster(place)
    named, count = IMAGE.fullmatch(image.name), len(bands)
    good = _good_bands(root, count)
    # L1B has the bands of both detectors in one list, VNIR first.
    start = count - array.sizes["band"] if named and named["part"] == "SWIR" else 0
    if named and named["part"] and start >= 0:
        chosen = slice(start, start + array.sizes["band"])
        bands, good = bands[chosen], None if good is None else good[chosen]
    if len(bands) != array.sizes["band"]:
        raise SceneError(
            f"{metadata} describes {len(bands)} bands, {image.name} has {array.sizes['band']}: "
            "put the metadata of this image beside it"
        )

    def column(name: str) -> npt.NDArray[np.float64]:
        return np.array([_number(metadata, band, name) for band in bands])

    array = with_spectrum(array, column("wavelengthCenterOfBand"), column(mission.fwhm), "nm", good)
    for key in ("scale_factor", "add_offset", "scales", "offsets"):
        array.attrs.pop(key, None)
    array.attrs |= scaling(column(mission.gain).tolist(), column(mission.offset).tolist())
    background = root.findtext(".//{*}specific/{*}backgroundValue")
    if "_FillValue" not in array.attrs and background is not None:
        array.attrs["_FillValue"] = float(background)
    name = root.findtext("./{*}metadata/{*}name") or image.name
    times = "./{*}base/{*}temporalCoverage/{*}"
    array.attrs |= acquisition(
        root.findtext(f"{times}startTime"),
        root.findtext(f"{times}{mission.end}"),
        product_id=re.sub(r"-(METADATA|SPECTRALIMAGE).*", "", name.strip()),
        platform=mission.platform,
        instrument=mission.instrument,
    )
    return array


def _parse(path: File) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(path.read_bytes())
    except ElementTree.ParseError as error:
        raise SceneError(f"{path} is not well-formed XML ({error}); get the file again") from error


def _number(path: File, band: ElementTree.Element, name: str) -> float:
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
