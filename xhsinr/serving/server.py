"""A web server on this machine whose files are those of a folder, and a GeoTIFF of each sidecar."""

from __future__ import annotations

import contextlib
import errno
import mimetypes
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from os import PathLike
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from xhsinr.errors import HsinrError, SourceError
from xhsinr.serving.files import ServedFiles

__all__ = ["run_server", "serve"]

_THIS_MACHINE = "127.0.0.1"
_HOSTS = {_THIS_MACHINE, "localhost"}
_SHOWN = 20
_PIECE = 1 << 22
_NO_NAME = (errno.ENAMETOOLONG, errno.ENOTDIR)
_RANGE = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))")
_PROGRAM = """
import os, sys, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(0)), daemon=True).start()
from xhsinr_shell import main
main()
"""
"""The server of `serve`: it ends when whoever began it has, in whatever way."""


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
    files = ServedFiles.of(place)
    try:
        server = _Server((_THIS_MACHINE, port), files)
    except (OSError, OverflowError) as error:
        raise SourceError(f"port {port} can't be had: {error}; give another, or 0") from error
    with server:
        images = files.images()
        url = f"http://{_THIS_MACHINE}:{server.server_address[1]}"
        say(f"{len(images)} scenes as GeoTIFF, until Ctrl-C, at {url}")
        for name in images[:_SHOWN]:
            say(f"{url}/{quote(name)}")
        if len(images) > _SHOWN:
            say(f"... and {len(images) - _SHOWN} more, all at {url}")
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], files: ServedFiles) -> None:
        self.files = files
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
        files, name = self.server.files, unquote(self.path.partition("?")[0]).removeprefix("/")
        try:
            name = name or files.first()
            file = files.find(name)
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
