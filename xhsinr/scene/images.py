"""Which files GDAL may open: images that are themselves what they show, by their contents."""

from __future__ import annotations

import contextlib
import os
import warnings
from pathlib import Path
from typing import Any

import rasterio
from rasterio.errors import NotGeoreferencedWarning

from xhsinr.errors import SceneError
from xhsinr.storage import Place

__all__ = ["check_alone", "driver_of", "gdal_name", "patiently", "place_of", "placeless"]

_DRIVERS = ["GTiff", "ENVI", "HFA", "JP2OpenJPEG", "PNG", "BMP", "EHdr", "NITF"]
_DRIVERS += ["ISIS2", "ISIS3", "PDS", "PDS4", "VICAR", "FITS", "KEA", "RST", "SAGA", "SGI", "PNM"]
"""GDAL's drivers of files that are images themselves.

Others (VRT, WMS, GTI, STACTA, ...) read what a file names: other files, servers, Python code. What
a file is, its contents say and not its name.
"""
# What GDAL calls the file systems of URLs.
_VSI = {
    **dict.fromkeys(("http", "https", "ftp"), "/vsicurl/"),
    **{"s3": "/vsis3/", "gs": "/vsigs/", "gcs": "/vsigs/", "az": "/vsiaz/", "abfs": "/vsiaz/"},
}
# What GDAL does where a server is slow, busy or gone for a moment; the environment has its way.
_PATIENCE = {
    "GDAL_HTTP_CONNECTTIMEOUT": 20,
    "GDAL_HTTP_LOW_SPEED_TIME": 30,
    "GDAL_HTTP_LOW_SPEED_LIMIT": 1,
    "GDAL_HTTP_MAX_RETRY": 4,
    "GDAL_HTTP_RETRY_DELAY": 0.5,  # doubled each time
}


def patiently(name: Place) -> contextlib.AbstractContextManager[Any]:
    """Where GDAL reads an image: with limits of time and retries, if that is behind a URL."""
    if not str(name).startswith("/vsi") and "://" not in str(name):
        return contextlib.nullcontext()
    own = {key: value for key, value in _PATIENCE.items() if key not in os.environ}
    env: contextlib.AbstractContextManager[Any] = rasterio.Env(**own)
    return env


def placeless() -> contextlib.AbstractContextManager[Any]:
    """Where rasterio opens or writes images: those without a place on the ground are welcome."""
    return warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning)


def gdal_name(place: Place) -> str:
    """What GDAL calls a path or a URL."""
    scheme, found, rest = str(place).partition("://")
    if not found or not isinstance(place, str):
        return str(place)
    prefix = _VSI.get(scheme.lower(), "")
    return prefix + (str(place) if prefix == "/vsicurl/" else rest) if prefix else str(place)


def place_of(name: str) -> Place:
    """The path or URL of what GDAL calls by a name."""
    bare = name.removeprefix("/vsicurl/")
    return bare if "://" in bare or bare.startswith("/vsi") else Path(name)


def driver_of(place: Place) -> str:
    """The driver of an image by its contents; raises RasterioIOError if it is of no other kind."""
    if isinstance(place, Path):
        _check_beside(place)
    with (
        # What an earlier read left of a URL in GDAL's memory goes: the file may be another now.
        rasterio.Env(CPL_VSIL_CURL_NON_CACHED=gdal_name(place)),
        patiently(place),
        rasterio.DatasetReader(gdal_name(place), driver=_DRIVERS) as found,
    ):
        driver: str = found.driver
    return driver


def _check_beside(path: Path) -> None:
    """Masks and overviews that GDAL would open beside an image are images themselves."""
    for beside in (path.with_name(f"{path.name}.msk"), path.with_name(f"{path.name}.ovr")):
        if beside.exists():
            with rasterio.Env(), rasterio.DatasetReader(str(beside), driver=_DRIVERS):
                pass


def check_alone(place: Place, source: rasterio.DatasetReader) -> None:
    """Refuse an image that sends GDAL to files which are not beside it."""
    # Before it is asked for its files: it would open them.
    if "OVERVIEW_FILE" in source.tags(ns="OVERVIEWS"):
        raise SceneError(f"{place}: it names another file as its overviews: remove that from it")
    if not isinstance(place, Path):
        folders = {gdal_name(place).partition("?")[0].rpartition("/")[0]}
        found = {name.partition("?")[0].rpartition("/")[0] for name in source.files}
    else:
        folders = {str(place.absolute().parent), str(place.resolve().parent)}
        found = {str(Path(os.path.normpath(name)).absolute().parent) for name in source.files}
    if found - folders:
        names = [name for name in source.files if name not in (str(place), source.name)]
        raise SceneError(f"{place}: it names another file, {names[0]}, which is not read for it")
