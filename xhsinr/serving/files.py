"""The files that are served: those of a folder, and a GeoTIFF of each sidecar in it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import posixpath
import re
from dataclasses import dataclass
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from xhsinr.errors import SourceError
from xhsinr.folders import at, exists, folder_of, located, name_of, names_below, read
from xhsinr.serving.geotiff import VirtualGeoTIFF
from xhsinr.sidecar.file import Sidecar
from xhsinr.storage import Place, read_range, size_of, state_of

__all__ = ["File", "ServedFiles"]

_OPEN_FILES = 64
_LIST = "images.txt"
_LARGEST_ITEM = 1 << 26
"""Bytes of an item; what is larger is left as it is."""
_BAND = re.compile(r"(.+)\.band([1-9][0-9]{0,5})")
_OF_THE_FILE = {"href", "type", "roles", "title", "description", "file:size", "file:checksum"}
"""What is said of a sidecar that is not true of its GeoTIFF."""


class File(Protocol):
    """What can be asked for: some bytes of so many."""

    @property
    def size(self) -> int: ...

    def read(self, start: int, stop: int) -> bytes: ...


@dataclass(frozen=True)
class _Stored:
    """A file as it is."""

    place: Place
    size: int

    def read(self, start: int, stop: int) -> bytes:
        return read_range(self.place, start, stop)


@dataclass(frozen=True)
class _Made:
    """Bytes that were made."""

    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)

    def read(self, start: int, stop: int) -> bytes:
        return self.content[start:stop]


@dataclass(frozen=True)
class ServedFiles:
    """The files of a folder, by the names that they are asked for.

    Attributes
    ----------
    folder : Path or str
    only : str, optional
        The one sidecar that is served, of those in the folder.
    """

    folder: Place
    only: str | None = None

    @classmethod
    def of(cls, place: str | PathLike[str]) -> ServedFiles:
        found = located(place)
        if name_of(found).endswith(".hsinr"):
            if not exists(found):
                raise SourceError(f"{found}: no such file")
            return cls(folder_of(found), name_of(found))
        served = cls(found)
        if not served.images():
            raise SourceError(f"{found} has no sidecar: give one, or a folder or archive with some")
        return served

    def images(self) -> list[str]:
        """Names of the GeoTIFF that there are."""
        names = [self.only] if self.only else names_below(self.folder)
        served = (name for name in names if name.endswith(".hsinr") and self._place(name))
        return [name.removesuffix("hsinr") + "tif" for name in served]

    def find(self, name: str) -> File:
        """A file by its name.

        Raises
        ------
        FileNotFoundError, HsinrError
        """
        file = self._image(name) or self._stored(name)
        if file is None and name == _LIST:
            file = _Made("\n".join(self.images()).encode())
        if file is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return file

    def first(self) -> str:
        """Name of what is given to who asks for none."""
        return "index.html" if self._stored("index.html") else _LIST

    def _stored(self, name: str) -> File | None:
        place = self._place(name)
        size = None if place is None else _size(place)
        if place is None or size is None:
            return None
        if name.endswith(".json") and size <= _LARGEST_ITEM:
            item = self._with_images(read(place), name)
            if item is not None:
                return _Made(item)
        return _Stored(place, size)

    def _image(self, name: str) -> File | None:
        stem, end, after = name.rpartition(".tif")
        if not end or after:
            return None
        band = _BAND.fullmatch(stem)
        whole = self._of_sidecar(stem)
        return self._of_sidecar(band[1], int(band[2])) if band and whole is None else whole

    def _of_sidecar(self, stem: str, band: int | None = None) -> VirtualGeoTIFF | None:
        """The GeoTIFF of a sidecar, of one of its bands if that is given, numbered from 1."""
        place = self._place(f"{stem}.hsinr")
        if place is None or (isinstance(place, Path) and not place.is_file()):
            return None
        state = tuple(state_of(place))
        # A store that is busy tells no state, and an error when it is asked for the size.
        return _image(place, state, band) if state or _size(place) is not None else None

    def _place(self, name: str) -> Place | None:
        """Where a file is, None for names that lead out of the folder or are hidden."""
        if self.only is not None:
            return at(self.folder, name) if name == self.only else None
        if isinstance(self.folder, str) and any(mark in name for mark in ("?", "#", "::")):
            return None
        # Of a URL, the server may take escapes for what they stand for.
        parts = [*name.split("/"), *(unquote(name).split("/") if "%" in name else ())]
        for part in parts:
            if part == "" or part.startswith(".") or "\\" in part or "\0" in part:
                return None
        place = at(self.folder, name)
        if isinstance(place, Path):
            assert isinstance(self.folder, Path)
            if not place.resolve().is_relative_to(self.folder.resolve()):
                return None
        return place

    def _with_images(self, content: bytes, name: str) -> bytes | None:
        """An item whose assets have the GeoTIFF of its sidecar; None for other files."""
        with contextlib.suppress(
            ValueError, LookupError, TypeError, AttributeError, RecursionError
        ):
            item = json.loads(content)
            data = item["assets"]["data"]
            stem, end, after = data["href"].rpartition(".hsinr")
            scheme, host, path, *_ = urlsplit(data["href"])
            beside = posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(path)))
            if scheme or host or not end or after or self._place(beside) is None:
                return None
            shown = {key: value for key, value in data.items() if key not in _OF_THE_FILE}
            bands = shown.pop("bands", [])
            made: dict[str, Any] = {"type": "image/tiff; application=geotiff", "roles": ["data"]}
            each = len(json.dumps({"href": stem, **made, **shown}))
            if not isinstance(bands, list) or each * len(bands) > _LARGEST_ITEM:
                return None
            item["assets"]["image"] = {"href": f"{stem}.tif", **made, **shown, "bands": bands}
            for number, band in enumerate(bands, 1):
                one = {"href": f"{stem}.band{number}.tif", **made, **shown, "bands": [band]}
                item["assets"][f"band{number}"] = one
            return json.dumps(item).encode()
        return None


def _size(place: Place) -> int | None:
    """In bytes; None where there is no file."""
    if isinstance(place, Path) and not place.is_file():
        return None
    with contextlib.suppress(FileNotFoundError):
        return size_of(place)
    return None


@lru_cache(_OPEN_FILES)
def _image(
    place: Place, state: tuple[int | str, ...], band: int | None = None
) -> VirtualGeoTIFF | None:
    """The GeoTIFF of a sidecar, or of one of its bands, as long as that is the same file."""
    if band is None:
        return VirtualGeoTIFF.of(Sidecar.open(place))
    whole = _image(place, state, None)
    return whole.one_band(band - 1) if whole and band <= len(whole.bands) else None
