"""Sidecars for GDAL: a VRT whose bands call `xhsinr.gdal.pixel_function`.

GDAL's own VRT driver writes everything that it knows how to keep (CRS, transform or ground
control points, nodata, descriptions, wavelengths); only the sources of the bands are ours.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from xml.etree import ElementTree

import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from xhsinr.outputs import check_output, replacing
from xhsinr.reading.reader import Reader
from xhsinr.scene import Scene
from xhsinr.scene.geotiff import gdal_profile, write_tags
from xhsinr.sidecar.file import Sidecar

__all__ = [
    "TRUSTED_MODULE",
    "TRUSTED_MODULES_OPTION",
    "described",
    "open_rasterio_dataset",
    "to_text",
    "trust_pixel_function",
    "vrt_text",
    "write_vrt",
]

TRUSTED_MODULE = "xhsinr.gdal.pixel_function"
"""The one Python module that GDAL has to trust."""

TRUSTED_MODULES_OPTION = "GDAL_VRT_PYTHON_TRUSTED_MODULES"
"""GDAL's configuration option, or environment variable, that names trusted modules."""


def vrt_text(path: str | os.PathLike[str]) -> str:
    """The VRT of a sidecar, as XML.

    Parameters
    ----------
    path : str or path
        Of the ``.hsinr`` file, on this machine; the VRT names it by its absolute path.

    Raises
    ------
    FileNotFoundError, NotASidecarError, UnsupportedVersionError, DamagedSidecarError
    """
    sidecar = Sidecar.open(os.fspath(path))
    root = described(Reader(sidecar).scene())
    absolute = str(sidecar.path.absolute())
    side = str(sidecar.header["tile"])
    for number, band in enumerate(root.iter("VRTRasterBand")):
        band.attrib |= {
            "subClass": "VRTDerivedRasterBand",
            "blockXSize": side,
            "blockYSize": side,
        }
        ElementTree.SubElement(band, "PixelFunctionType").text = f"{TRUSTED_MODULE}.read_band"
        ElementTree.SubElement(band, "PixelFunctionLanguage").text = "Python"
        arguments = {"path": absolute, "band": str(number)}
        ElementTree.SubElement(band, "PixelFunctionArguments", arguments)
    return to_text(root)


def write_vrt(
    path: str | os.PathLike[str], vrt_path: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write the VRT of a sidecar to a file, see `vrt_text`.

    Raises
    ------
    OutputExistsError, NotASidecarError, UnsupportedVersionError, DamagedSidecarError
    """
    target = Path(vrt_path)
    check_output(target, overwrite=overwrite, source=os.fspath(path))
    with replacing(target) as part:
        part.write_text(vrt_text(path), "utf-8")
    return target


def open_rasterio_dataset(path: str | os.PathLike[str]) -> rasterio.DatasetReader:
    """Open a sidecar as a rasterio dataset, which decodes what is read from it.

    Trusts the pixel function in this process, see `trust_pixel_function`. Close the dataset, or
    use it in a ``with`` block, as any other.

    Parameters
    ----------
    path : str or path
        Of the ``.hsinr`` file, on this machine.

    Raises
    ------
    FileNotFoundError, NotASidecarError, UnsupportedVersionError, DamagedSidecarError
        Here. What goes wrong when samples are read is rasterio's ``RasterioIOError``, with the
        package's own message in its cause.

    Examples
    --------
    >>> with xhsinr.open_rasterio_dataset("scene.hsinr") as dataset:  # doctest: +SKIP
    ...     red = dataset.read(30, window=Window(0, 0, 512, 512))
    """
    text = vrt_text(path)
    trust_pixel_function()
    return rasterio.open(text)


def trust_pixel_function() -> None:
    """Let the GDAL of this process, and of those that it starts, call `xhsinr.gdal.pixel_function`.

    Adds that one name to ``GDAL_VRT_PYTHON_TRUSTED_MODULES`` in the environment, where GDAL
    looks from every thread; modules that are named there already stay trusted. Inline Python in
    VRT files stays forbidden.
    """
    named = [name for name in os.environ.get(TRUSTED_MODULES_OPTION, "").split(",") if name]
    if TRUSTED_MODULE not in named:
        os.environ[TRUSTED_MODULES_OPTION] = ",".join([*named, TRUSTED_MODULE])


def described(scene: Scene) -> ElementTree.Element:
    """A VRT of the scene's size, data type and metadata, whose bands have no source yet."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with MemoryFile(ext=".vrt") as memory:
            with memory.open(driver="VRT", **gdal_profile(scene, scene.dtype)) as out:
                write_tags(scene, out)
            return ElementTree.fromstring(bytes(memory.getbuffer()))


def to_text(root: ElementTree.Element) -> str:
    """XML for people to read, too."""
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"
