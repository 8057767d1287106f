"""The pixel function that GDAL calls to fill the bands of a VRT from a sidecar.

It runs inside programs that have a GDAL of their own (``gdalinfo``, QGIS), so it must never
import rasterio, which would bring a second one.

GDAL lets a VRT whose bands name a trusted module run Python code of its own, too. So nothing here
makes GDAL trust this module but `xhsinr.gdal.vrt.open_rasterio_dataset`, around its own reads.

GDAL calls once for every band of every window: what is decoded stays in the process's store
(`xhsinr.reading.store`) for the calls that follow.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import threading
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.errors import HsinrError, SidecarError
from xhsinr.reading.reader import Reader, finest_overview
from xhsinr.sidecar.file import Sidecar

__all__ = ["read_band", "without_samples"]

_OPEN_FILES = 16
_OTHER = "the VRT was written for another file"

Samples = npt.NDArray[Any]
Indices = npt.NDArray[np.intp]

_this_thread = threading.local()


@contextlib.contextmanager
def without_samples() -> Iterator[None]:
    """Reads of this thread decode nothing: for a first one, by which GDAL takes up the function."""
    _this_thread.decodes_nothing = True
    try:
        yield
    finally:
        _this_thread.decodes_nothing = False


def read_band(
    in_ar: Any,
    out_ar: Samples,
    xoff: int,
    yoff: int,
    xsize: int,
    ysize: int,
    raster_xsize: int,
    raster_ysize: int,
    buf_radius: int,
    gt: Any,
    *,
    path: bytes,
    band: bytes,
    mark: bytes = b"",
) -> None:
    """Fill GDAL's buffer with a window of one band of a sidecar.

    The signature is GDAL's (VRT driver, "Using derived bands with pixel functions in Python").
    A buffer smaller than the window gets means over blocks of pixels, from a coarse read.

    Parameters
    ----------
    out_ar : ndarray, shape (buffer rows, buffer columns)
        What to fill; its data type is that of the band.
    xoff, yoff, xsize, ysize : int
        The window in pixels of the raster.
    raster_xsize, raster_ysize : int
        Size of the raster in pixels.
    path, band : bytes
        From the VRT: absolute path of the sidecar in UTF-8, number of the band from zero.
    mark : bytes
        From a VRT that is a file: `Sidecar.front_crc` in hexadecimal. The sidecar has to have it,
        and may be beside the VRT instead.

    Raises
    ------
    SidecarError, NetworkError
        GDAL reports the text as its own error and fails the read.
    """
    if getattr(_this_thread, "decodes_nothing", False):
        return
    try:
        name, number = os.fsdecode(path), int(band)
        full = _of_mark(name, mark.decode()) if mark else _open(name, _state_of(name))
        expected = (full.shape[1:], full.dtype)
        known = 0 <= number < full.shape[0]
        if not known or ((raster_ysize, raster_xsize), out_ar.dtype) != expected:
            raise SidecarError(
                f"{full.sidecar.name}, band {number}: {_OTHER}, of {raster_ysize} x "
                f"{raster_xsize} pixels of {out_ar.dtype}: write it again with: xhsinr vrt"
            )
        shrink = min(ysize / out_ar.shape[0], xsize / out_ar.shape[1])
        overview = finest_overview(full.sidecar, shrink)
        rows = _nearest(yoff, ysize, out_ar.shape[0]) // overview
        cols = _nearest(xoff, xsize, out_ar.shape[1]) // overview
        reader = full if overview == 1 else Reader(full.sidecar, overview)
        out_ar[:] = reader.window(np.array([number]), rows, cols)[0]
    except HsinrError as error:
        # Without the frames that the user cannot do anything about.
        raise type(error)(str(error)) from None


def _of_mark(written: str, mark: str) -> Reader:
    """The sidecar that a VRT was written for, wherever that is now."""
    # This runs for every band of every window: texts take a fraction of what objects of paths do.
    name = os.path.basename(written)  # noqa: PTH119
    beside = [os.path.join(folder, name) for folder in (*_folders_named(), os.getcwd())]  # noqa: PTH109, PTH118
    failures: list[SidecarError] = []
    for place in (*filter(os.path.isfile, beside), written):
        try:
            found = _open(place, _state_of(place))
        except SidecarError as error:
            failures.append(error)
            continue
        if f"{found.sidecar.front_crc:08x}" == mark:
            return found
        failures.append(SidecarError(f"{place}: {_OTHER}: write it again with: xhsinr vrt"))
    raise failures[0]


@lru_cache(1)
def _folders_named() -> tuple[str, ...]:
    """Folders of the VRTs that this program was called with; GDAL itself does not tell."""
    try:
        words = Path("/proc/self/cmdline").read_bytes().split(b"\0")
    except OSError:  # not on Linux
        words = [os.fsencode(word) for word in sys.orig_argv]
    paths = [Path(os.fsdecode(word)) for word in words if word.lower().endswith(b".vrt")]
    return tuple(dict.fromkeys(str(path.absolute().parent) for path in paths))


def _nearest(offset: int, size: int, count: int) -> Indices:
    """Pixels of a window under the centres of ``count`` pixels of a buffer."""
    return offset + ((np.arange(count) + 0.5) * (size / count)).astype(np.intp)


def _state_of(name: str) -> tuple[int, ...]:
    """What changes when a file is replaced."""
    if not os.path.isabs(name):  # noqa: PTH117 (called for every band of every window)
        raise SidecarError(f"{name} is no absolute path: write the VRT again with: xhsinr vrt")
    try:
        found = os.stat(name)  # noqa: PTH116
    except OSError as error:
        raise SidecarError(
            f"{name}: {error.strerror}: if it was moved, write the VRT again with: xhsinr vrt"
        ) from error
    if not stat.S_ISREG(found.st_mode):
        raise SidecarError(f"{name} is no regular file: write the VRT again with: xhsinr vrt")
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


@lru_cache(_OPEN_FILES)
def _open(name: str, state: tuple[int, ...]) -> Reader:
    # A path, never a URL, whatever its text looks like.
    return Reader(Sidecar.open(Path(name)))
