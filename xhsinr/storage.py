"""Ranges of bytes of a file, which is on a disk or behind any URL that fsspec knows.

Nothing is kept open or cached: a place is a path or a URL, and can be used from any thread
and process.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xhsinr.errors import RemoteError, SidecarError

__all__ = ["Place", "locate", "read_range", "sibling", "size_of", "suffix_of"]

Place = Path | str
"""A path on a disk, or a URL."""

_PARTIAL, _NOT_IN_FILE = 206, 416
_CHUNK = 1 << 16
_SILENCE = 60
"""Seconds after which a server that says nothing is given up."""


def locate(path: str | os.PathLike[str]) -> Place:
    """The URL itself where ``path`` is one, else a path."""
    text = os.fspath(path)
    return text if "://" in text else Path(text)


def suffix_of(place: Place) -> str:
    """Suffix of the name, without what follows it in a URL."""
    name = str(place).partition("?")[0].partition("#")[0] if isinstance(place, str) else place
    return Path(name).suffix


def sibling(url: str, name: str) -> str:
    """URL of a file that stands beside another, or in a folder there."""
    before, question, after = url.partition("?")
    return f"{before.rpartition('/')[0]}/{name}{question}{after}"


def read_range(place: Place, start: int, stop: int) -> bytes:
    """Bytes from ``start`` to ``stop``, less where the file ends before; one request.

    Raises
    ------
    FileNotFoundError, SidecarError, RemoteError
    """
    if start >= stop:
        return b""
    if isinstance(place, Path):
        # Before it is opened: a pipe would wait for a writer.
        if not stat.S_ISREG(place.stat().st_mode):
            raise SidecarError(f"{place} is no regular file: give the name of one")
        with place.open("rb") as file:
            # Python makes room for what is asked for, before it reads what there is.
            end = min(stop, os.fstat(file.fileno()).st_size)
            file.seek(start)
            return file.read(max(end - start, 0))
    content: bytes = _remote(place, lambda system, path: _read_remote(system, path, start, stop))
    return content


def size_of(place: Place) -> int:
    """Size of the file in bytes; one request.

    Raises
    ------
    FileNotFoundError, RemoteError
        Also where the server does not tell.
    """
    if isinstance(place, Path):
        return place.stat().st_size
    size = _remote(place, lambda system, path: system.size(path))
    if size is None:
        raise RemoteError(f"{place}: the server does not tell the size of the file")
    return int(size)


def _read_remote(system: Any, path: str, start: int, stop: int) -> Any:
    if "http" not in system.protocol:
        return system.cat_file(path, start=start, end=stop)
    from fsspec.asyn import sync

    return sync(system.loop, _read_http, system, path, start, stop)


async def _read_http(system: Any, url: str, start: int, stop: int) -> bytes:
    """A range by HTTP; fsspec itself would take all that a server sends, however much that is."""
    from aiohttp import ClientTimeout

    session = await system.set_session()
    given = dict(system.kwargs)
    given["headers"] = {
        **given.get("headers", {}),
        "Range": f"bytes={start}-{stop - 1}",
        # Compressed on the way, a range would be one of other bytes.
        "Accept-Encoding": "identity",
    }
    given["timeout"] = ClientTimeout(sock_connect=_SILENCE, sock_read=_SILENCE)
    async with session.get(system.encode_url(url), **given) as answer:
        if answer.status == _NOT_IN_FILE:
            return b""
        system._raise_not_found_for_status(answer, url)
        coding = answer.headers.get("Content-Encoding", "identity")
        sent = answer.headers.get("Content-Range", "")
        if answer.status != _PARTIAL or not sent.startswith(f"bytes {start}-"):
            raise RemoteError(
                f"{url}: the server sends whole files only (no range requests): download it first"
            )
        if coding != "identity":
            raise RemoteError(f"{url}: the server sends ranges in {coding}: download it first")
        content = bytearray()
        async for chunk in answer.content.iter_chunked(_CHUNK):
            content += chunk
            if len(content) > stop - start:
                raise RemoteError(f"{url}: the server sends more than the range it was asked for")
    return bytes(content)


def _remote(url: str, action: Callable[[Any, str], Any]) -> Any:
    """Do something with the file system of a URL and the path there; errors become ours."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise RemoteError(f"{url}: URLs need fsspec: pip install 'xhsinr[remote]'") from error
    try:
        system, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise RemoteError(
            f"{url} cannot be opened: {error} (pip install 'xhsinr[remote]' for http)"
        ) from error
    try:
        return action(system, path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{url}: no such file") from error
    except RemoteError:
        raise
    except Exception as error:  # each file system has errors of its own
        if getattr(error, "status", None) in (404, 410):
            raise FileNotFoundError(f"{url}: no such file") from error
        raise RemoteError(f"{url} cannot be read: {type(error).__name__}: {error}") from error
