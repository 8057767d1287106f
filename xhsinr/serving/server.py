"""A web server on this machine whose files are those of a folder, and a GeoTIFF of each sidecar."""

from __future__ import annotations

import contextlib
import errno
import json
import mimetypes
import os
import posixpath
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
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
_LIST = "images.txt"
_LARGEST_ITEM = 1 << 26
"""Bytes of an item; what is larger is left as it is."""
_BAND = re.compile(r"(.+)\.band([1-9][0-9]{0,5})")
_OF_THE_FILE = {"href", "type", "roles", "title", "description", "file:size", "file:checksum"}
"""What is said of a sidecar that is not true of its GeoTIFF."""
_NO_NAME = (errno.ENAMETOOLONG, errno.ENOTDIR)
_RANGE = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))")
_PROGRAM = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
from xhsinr_shell import main
main()
"""
"""The server of `serve`: it ends when whoever began it has, in whatever way."""


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
    command = [sys.executable, "-c", _PROGRAM, "serve", "--port", str(port), "--", os.fspath(place)]
    pipe = subprocess.PIPE
    with (
        # A pipe that nobody empties would stop the server when it is full.
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=said, text=True, start_new_session=True
        ) as process,
    ):
        assert process.stdout is not None
        url = process.stdout.readline().strip().rpartition(" ")[2]
        try:
            if not url:
                process.wait()
                said.seek(0)
                raise SourceError(said.read().strip().removeprefix("Error: "))
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
        served = (name for name in names if name.endswith(".hsinr") and self._place(name))
        return [name.removesuffix("hsinr") + "tif" for name in served]

    def find(self, name: str) -> _File:
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

    def _stored(self, name: str) -> _File | None:
        place = self._place(name)
        size = None if place is None else _size(place)
        if place is None or size is None:
            return None
        if name.endswith(".json") and size <= _LARGEST_ITEM:
            item = self._with_images(read(place), name)
            if item is not None:
                return _Made(item)
        return _Stored(place, size)

    def _image(self, name: str) -> _File | None:
        stem, end, after = name.rpartition(".tif")
        if not end or after:
            return None
        image = self._whole(stem)
        if image is not None:
            return image
        band = _BAND.fullmatch(stem)
        image = self._whole(band[1]) if band else None
        if band is None or image is None or int(band[2]) > len(image.bands):
            return None
        return image.one_band(int(band[2]) - 1)

    def _whole(self, stem: str) -> VirtualGeoTIFF | None:
        place = self._place(f"{stem}.hsinr")
        if place is None or (isinstance(place, Path) and not place.is_file()):
            return None
        state = tuple(state_of(place))
        # A store that is busy tells no state, and an error when it is asked for the size.
        return _image(place, state) if state or _size(place) is not None else None

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
def _image(place: Place, state: tuple[int | str, ...]) -> VirtualGeoTIFF:
    """The GeoTIFF of a sidecar, as long as that is the same file."""
    return VirtualGeoTIFF.of(Sidecar.open(place))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], shelf: _Shelf) -> None:
        self.shelf = shelf
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: that a client hangs up is no error of the server."""


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD, whole or one range."""

    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds that a client may say and take nothing
    server: _Server

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing: what failed, the program is told that asked."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Say what is wrong with a request that is none."""
        self._say(HTTPStatus(code), message or HTTPStatus(code).phrase)

    def _answer(self) -> None:
        if not self._means_this_machine():
            self._say(HTTPStatus.FORBIDDEN, f"only {', '.join(sorted(_HOSTS))} may be asked")
            return
        shelf, name = self.server.shelf, unquote(self.path.partition("?")[0]).removeprefix("/")
        try:
            name = name or shelf.first()
            file = shelf.find(name)
            asked = _range(self.headers.get("Range", ""), file.size)
            start, stop = asked or (0, file.size)
            # Before anything is sent: what can't be decoded is an error, not a short answer.
            wanted = self.command == "GET" and start < stop
            piece = file.read(start, min(stop, start + _PIECE)) if wanted else b""
        except OSError as error:
            if isinstance(error, FileNotFoundError) or error.errno in _NO_NAME:
                self._say(HTTPStatus.NOT_FOUND, f"{name}: no such file")
            else:
                self._say(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
            return
        except HsinrError as error:
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
            return
        except Exception as error:  # whatever a library makes of a forged file
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR, f"{name} can't be read: {error!r}")
            return
        if asked and start >= stop:
            text = f"{name} has {file.size} bytes, and none of them was asked for"
            sizes = {"Content-Range": f"bytes */{file.size}"}
            self._say(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, text, sizes)
            return
        headers = {"Accept-Ranges": "bytes"}
        if asked:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        status = HTTPStatus.PARTIAL_CONTENT if asked else HTTPStatus.OK
        self._begin(status, kind, stop - start, headers)
        # An error from here on ends the connection: no text may stand where samples do.
        while piece:
            self.wfile.write(piece)
            start += len(piece)
            piece = file.read(start, min(stop, start + _PIECE))
        if wanted and start < stop:
            self.close_connection = True

    def _means_this_machine(self) -> bool:
        """False for a page of elsewhere that calls this machine by a name of its own."""
        with contextlib.suppress(ValueError):
            return urlsplit(f"//{self.headers.get('Host', '')}").hostname in _HOSTS
        return False

    def _say(self, status: HTTPStatus, text: str, headers: Mapping[str, str] | None = None) -> None:
        content = f"{text}\n".encode("utf-8", "replace")
        self._begin(status, "text/plain; charset=utf-8", len(content), headers or {})
        if self.command != "HEAD":
            self.wfile.write(content)

    def _begin(self, status: HTTPStatus, kind: str, size: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size))
        # Pages of elsewhere get no part of it, and nothing is taken for a page that is none.
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("X-Content-Type-Options", "nosniff")
        for key, value in headers.items():
            self.send_header(key, value)
        more = getattr(self, "headers", {})
        if (
            self.command not in ("GET", "HEAD")
            or "Content-Length" in more
            or "Transfer-Encoding" in more
        ):
            # What was sent along is not read, and must not be taken for the next request.
            self.send_header("Connection", "close")
        self.end_headers()


def _range(text: str, size: int) -> tuple[int, int] | None:
    """Where the bytes of a range begin and end; None for what isn't one, which asks for all."""
    asked = _RANGE.fullmatch(text)
    if asked is None:
        return None
    first, final, last = asked.groups()
    if last is not None:
        return max(size - int(last), 0), size
    return int(first), min(int(final) + 1, size) if final else size
