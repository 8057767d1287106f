"""A web server on this machine whose files are those of a folder, and a GeoTIFF of each sidecar."""

from __future__ import annotations

import contextlib
import json
import mimetypes
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from os import PathLike
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlsplit

from xhsinr.errors import HsinrError, SourceError
from xhsinr.folders import at, exists, folder_of, located, name_of, names_below, read
from xhsinr.serving.geotiff import VirtualGeoTIFF
from xhsinr.sidecar.file import Sidecar
from xhsinr.storage import Place, read_range, size_of, state_of

__all__ = ["run_server", "serve"]

_THIS_MACHINE = "127.0.0.1"
_HOSTS = {_THIS_MACHINE, "localhost"}
_OPEN_FILES = 64
_SHOWN = 20
_PIECE = 1 << 22
_NAME = re.compile(r"(?P<stem>.+?)(?:\.band(?P<band>[1-9]\d*))?\.tif")
_OF_THE_FILE = {"href", "type", "roles", "title", "description", "file:size", "file:checksum"}
"""What is said of a sidecar that is not true of its GeoTIFF."""
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class _File(Protocol):
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


@contextlib.contextmanager
def serve(place: str | PathLike[str], port: int = 0) -> Iterator[str]:
    """Serve sidecars as GeoTIFF to the programs of this machine, while the block runs.

    ``scene.hsinr`` is at ``URL/scene.tif`` and its bands at ``URL/scene.band1.tif`` and so on:
    files that GDAL, QGIS, rasterio and what is built on them open by these addresses, with
    georeferencing, wavelengths and overviews, and without Python in them. Tiles are decoded when
    they are read. Other files are as they are, but the items of an archive have these GeoTIFF
    as assets ``image``, ``band1``, ``band2``, ..., for odc-stac, stackstac and others.

    Parameters
    ----------
    place : str or path
        A sidecar, a folder of sidecars, or an archive; a path or a URL.
    port : int
        Of this machine; 0 for a free one.

    Yields
    ------
    str
        The URL, ``http://127.0.0.1:PORT``.

    Raises
    ------
    SourceError
        If there is no sidecar, or the port is taken.

    Examples
    --------
    >>> with xhsinr.serve("archive/") as url:  # doctest: +SKIP
    ...     catalog = pystac.Catalog.from_file(f"{url}/catalog.json")
    ...     items = list(catalog.get_items(recursive=True))
    ...     odc.stac.load(items, bands=["band30", "band20", "band10"])
    """
    # In a process of its own: GDAL may wait for an answer while it lets no other thread run.
    command = [sys.executable, "-c", "from xhsinr_shell import main; main()", "serve"]
    command += ["--port", str(port), "--", os.fspath(place)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().strip().rpartition(" ")[2]
        try:
            if not url:
                raise SourceError(process.stderr.read().strip().removeprefix("Error: "))
            yield url
        finally:
            process.terminate()


def run_server(place: str | PathLike[str], port: int, say: Callable[[str], None]) -> None:
    """Serve in this process until it is ended, see `serve`.

    Parameters
    ----------
    place, port
    say : callable
        Is told what is served, a line at a time, the URL at the end of the first one.
    """
    shelf = _Shelf.of(place)
    try:
        server = _Server((_THIS_MACHINE, port), shelf)
    except (OSError, OverflowError) as error:
        raise SourceError(f"port {port} can't be had: {error}; give another, or 0") from error
    with server:
        images = shelf.images()
        url = f"http://{_THIS_MACHINE}:{server.server_address[1]}"
        say(f"{len(images)} scenes as GeoTIFF, until Ctrl-C, at {url}")
        for name in images[:_SHOWN]:
            say(f"{url}/{quote(name)}")
        if len(images) > _SHOWN:
            say(f"... and {len(images) - _SHOWN} more, all at {url}")
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


@dataclass(frozen=True)
class _Shelf:
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
    def of(cls, place: str | PathLike[str]) -> _Shelf:
        found = located(place)
        if name_of(found).endswith(".hsinr"):
            if not exists(found):
                raise SourceError(f"{found}: no such file")
            return cls(folder_of(found), name_of(found))
        shelf = cls(found)
        if not shelf.images():
            raise SourceError(f"{found} has no sidecar: give one, or a folder or archive with some")
        return shelf

    def images(self) -> list[str]:
        """Names of the GeoTIFF that there are."""
        names = [self.only] if self.only else names_below(self.folder)
        return [name.removesuffix("hsinr") + "tif" for name in names if name.endswith(".hsinr")]

    def find(self, name: str) -> _File:
        """A file by its name.

        Raises
        ------
        FileNotFoundError, HsinrError
        """
        if name == "":
            return self._find("index.html") or _Made("\n".join(self.images()).encode())
        file = self._image(name) or self._find(name)
        if file is None:
            raise FileNotFoundError(f"{name}: no such file")
        return file

    def _find(self, name: str) -> _File | None:
        place = self._place(name)
        if place is None or not exists(place):
            return None
        if name.endswith(".json") and (item := _with_images(read(place), place)) is not None:
            return _Made(item)
        return _Stored(place, size_of(place))

    def _image(self, name: str) -> _File | None:
        match = _NAME.fullmatch(name)
        place = self._place(f"{match['stem']}.hsinr") if match else None
        if match is None or place is None or not exists(place):
            return None
        image = _image(place, tuple(state_of(place)))
        if match["band"] is None:
            return image
        number = int(match["band"])
        return image.one_band(number - 1) if number <= len(image.bands) else None

    def _place(self, name: str) -> Place | None:
        """Where a file is, None for names that lead out of the folder or are hidden."""
        parts = name.split("/")
        if any(part in ("", "..") or part.startswith(".") or "\\" in part for part in parts):
            return None
        if self.only is not None and name != self.only:
            return None
        place = at(self.folder, name)
        if isinstance(place, Path):
            assert isinstance(self.folder, Path)
            if not place.resolve().is_relative_to(self.folder.resolve()):
                return None
        return place


@lru_cache(_OPEN_FILES)
def _image(place: Place, state: tuple[int | str, ...]) -> VirtualGeoTIFF:
    """The GeoTIFF of a sidecar, as long as that is the same file."""
    return VirtualGeoTIFF.of(Sidecar.open(place))


def _with_images(content: bytes, place: Place) -> bytes | None:
    """An item whose assets have the GeoTIFF of its sidecar; None for other files."""
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        item = json.loads(content)
        data = item["assets"]["data"]
        if not data["href"].endswith(".hsinr"):
            return None
        stem = data["href"].removesuffix(".hsinr")
        shown = {key: value for key, value in data.items() if key not in _OF_THE_FILE}
        made: dict[str, Any] = {"type": "image/tiff; application=geotiff", "roles": ["data"]}
        bands = shown.pop("bands", [])
        item["assets"]["image"] = {"href": f"{stem}.tif", **made, **shown, "bands": bands}
        for number, band in enumerate(bands, 1):
            one = {"href": f"{stem}.band{number}.tif", **made, **shown, "bands": [band]}
            item["assets"][f"band{number}"] = one
        return json.dumps(item).encode()
    return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], shelf: _Shelf) -> None:
        self.shelf = shelf
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD, whole or one range."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing: what failed, the program is told that asked."""

    def _answer(self) -> None:
        # A page of elsewhere may call this machine by a name of its own.
        if urlsplit(f"//{self.headers.get('Host', '')}").hostname not in _HOSTS:
            self._say(HTTPStatus.FORBIDDEN, f"only {', '.join(sorted(_HOSTS))} may be asked")
            return
        try:
            name = unquote(urlsplit(self.path).path).removeprefix("/")
            file = self.server.shelf.find(name)
            self._send(name, file)
        except FileNotFoundError as error:
            self._say(HTTPStatus.NOT_FOUND, str(error))
        except (HsinrError, OSError) as error:
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))

    def _send(self, name: str, file: _File) -> None:
        start, stop = 0, file.size
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        if asked and any(asked.groups()):
            first, final = asked.groups()
            start = int(first) if first else max(file.size - int(final), 0)
            stop = min(int(final) + 1, file.size) if first and final else file.size
            if start >= stop:
                self._say(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"{file.size} bytes")
                return
        # Before anything is sent: what can't be decoded is an error, not a short answer.
        piece = file.read(start, min(stop, start + _PIECE)) if self.command == "GET" else b""
        self.send_response(HTTPStatus.PARTIAL_CONTENT if asked else HTTPStatus.OK)
        self.send_header("Content-Type", mimetypes.guess_type(name)[0] or "text/html")
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Accept-Ranges", "bytes")
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{file.size}")
        self.end_headers()
        while piece:
            self.wfile.write(piece)
            start += len(piece)
            piece = file.read(start, min(stop, start + _PIECE))

    def _say(self, status: HTTPStatus, text: str) -> None:
        content = f"{text}\n".encode("utf-8", "replace")
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)
