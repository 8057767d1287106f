"""Sidecars for GDAL: a VRT whose bands call `xhsinr.gdal.pixel_function`.

GDAL's own VRT driver writes everything that it knows how to keep (CRS, transform or ground
control points, nodata, descriptions, wavelengths); only the sources of the bands are ours.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import rasterio
from rasterio.io import MemoryFile
from rasterio.windows import Window

from xhsinr.gdal import pixel_function
from xhsinr.outputs import check_output, replacing
from xhsinr.reading.reader import Reader
from xhsinr.scene import Scene
from xhsinr.scene.geotiff import gdal_profile, write_tags
from xhsinr.scene.images import placeless
from xhsinr.sidecar.file import Sidecar

__all__ = ["TRUSTED_MODULE", "TRUSTED_MODULES_OPTION", "open_rasterio_dataset", "write_vrt"]

TRUSTED_MODULE = "xhsinr.gdal.pixel_function"
"""The one Python module that our VRTs name. Where it is trusted, so is the code of any VRT."""

TRUSTED_MODULES_OPTION = "GDAL_VRT_PYTHON_TRUSTED_MODULES"
"""GDAL's configuration option, or environment variable, that names trusted modules."""

_SPECTRAL = {"wavelength", "wavelength_units", "fwhm"}
"""What the IMAGERY domain says in micrometres."""


def write_vrt(
    path: str | os.PathLike[str], vrt_path: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write the VRT of a sidecar to a file.

    GDAL tells a pixel function nothing of where the VRT is. So the VRT knows its sidecar by name
    and checksum: it is looked for beside the VRT that a program was called with, in the current
    folder, and at last where it was when the VRT was written; no other file is read for it.

    Parameters
    ----------
    path : str or path
        Of the ``.hsinr`` file, on this machine.
    vrt_path : str or path
        Of the VRT.
    overwrite : bool
        Replace a file that is there.

    Raises
    ------
    FileNotFoundError, OutputExistsError, NotASidecarError, UnsupportedVersionError,
    DamagedSidecarError
    """
    target = Path(vrt_path)
    check_output(target, overwrite=overwrite, source=os.fspath(path))
    sidecar = Sidecar.open(os.fspath(path))
    root = _with_functions(sidecar, {"mark": f"{sidecar.front_crc:08x}"})
    _shorten(root)
    with replacing(target) as part:
        part.write_text(ElementTree.tostring(root, encoding="unicode") + "\n", "utf-8")
    return target


def _with_functions(sidecar: Sidecar, more: dict[str, str]) -> ElementTree.Element:
    """The VRT of a sidecar, whose bands call the pixel function.

    GDAL takes an attribute where it takes an element of that name with a text, and that is
    shorter.
    """
    root = _described(Reader(sidecar).scene())
    absolute = str(sidecar.path.absolute())
    side = str(sidecar.header.tile)
    for number, band in enumerate(root.iter("VRTRasterBand")):
        band.attrib |= {
            "subClass": "VRTDerivedRasterBand",
            "blockXSize": side,
            "blockYSize": side,
            "PixelFunctionType": f"{TRUSTED_MODULE}.read_band",
            "PixelFunctionLanguage": "Python",
        }
        arguments = {"path": absolute, "band": str(number), **more}
        ElementTree.SubElement(band, "PixelFunctionArguments", arguments)
    return root


def _shorten(root: ElementTree.Element) -> None:
    """Leave out of the bands what stands there twice, and write what is left in few letters."""
    for band in root.iter("VRTRasterBand"):
        spectral = band.find("Metadata[@domain='IMAGERY']")
        for entries in band.findall("Metadata"):
            for entry in entries.findall("MDI"):
                if spectral not in (None, entries) and entry.get("key") in _SPECTRAL:
                    entries.remove(entry)
            if len(entries) == 0:
                band.remove(entries)
        for element in list(band):
            if element.text and not element.attrib and len(element) == 0:
                band.attrib[element.tag] = element.text
                band.remove(element)
    ElementTree.indent(root, "")


def open_rasterio_dataset(path: str | os.PathLike[str]) -> rasterio.DatasetReader:
    """Open a sidecar as a rasterio dataset, which decodes what is read from it.

    GDAL trusts the pixel function while this dataset's bands take it up, in a thread of its own,
    and never anything else: no other VRT of this process may call Python for it. Close the
    dataset, or use it in a ``with`` block, as any other. What opens it again by its name (as
    rioxarray does) is not trusted: there, ``xr.open_dataarray(path)`` is the way.

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
    root = _with_functions(Sidecar.open(os.fspath(path)), {})
    text = ElementTree.tostring(root, encoding="unicode")
    # In the main thread rasterio sets options of GDAL for all threads.
    with ThreadPoolExecutor(1) as own:
        return own.submit(_with_pixel_function, text).result()


def _with_pixel_function(text: str) -> rasterio.DatasetReader:
    """Open a VRT of ours; each band looks once whether it may call Python, at its first read."""
    trusted = {TRUSTED_MODULES_OPTION: TRUSTED_MODULE, "GDAL_VRT_ENABLE_PYTHON": "TRUSTED_MODULES"}
    with rasterio.Env(**trusted), pixel_function.without_samples():
        dataset = rasterio.open(text, driver="VRT")
        try:
            dataset.read(window=Window(0, 0, 1, 1))
        except BaseException:
            dataset.close()
            raise
    return dataset


def _described(scene: Scene) -> ElementTree.Element:
    """A VRT of the scene's size, data type and metadata, whose bands have no source yet."""
    with placeless(), MemoryFile(ext=".vrt") as memory:
        with memory.open(driver="VRT", **gdal_profile(scene, scene.dtype)) as out:
            write_tags(scene, out)
        return ElementTree.fromstring(bytes(memory.getbuffer()))
