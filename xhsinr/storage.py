"""Ranges of bytes of a file, which is on a disk or behind any URL that fsspec knows.

Nothing is kept open or cached: a place is a path or a URL, and can be used from any thread
and process.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from xhsinr.errors import RemoteError, SidecarError

__all__ = [
    "BUSY",
    "Place",
    "locate",
    "read_range",
    "remotely",
    "sibling",
    "size_of",
    "state_of",
    "suffix_of",
]

Place = Path | str
"""A path on a disk, or a URL."""

_PARTIAL, _NOT_IN_FILE = 206, 416
_CHUNK = 1 << 16
_SILENCE = 30
"""Seconds after which a server that says nothing is given up, and nothing is tried again."""
_PAUSES = (0.25, 1.0, 4.0)
"""Seconds before what failed is tried again."""
BUSY = (429, 500, 502, 503, 504)
"""What a server says that is busy."""
_RESET = (errno.ECONNRESET, errno.EPIPE)
_STATE = ("size", "ETag", "etag", "Last-Modified", "LastModified", "last_modified", "mtime")
"""What servers and stores call size, version and time of a file."""
_CUT_OFF = ("ServerDisconnectedError", "ClientPayloadError")  # of aiohttp, which may be missing

T = TypeVar("T")


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
    content: bytes = remotely(place, lambda system, path: _read_remote(system, path, start, stop))
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
    size = remotely(place, lambda system, path: system.size(path))
    if size is None:
        raise RemoteError(f"{place}: the server does not tell the size of the file")
    return int(size)


def state_of(place: Place) -> list[int | str]:
    """Size and time of a file, or of all in a folder, by which it is told from a changed one.

    Nothing where a server does not tell.

    Raises
    ------
    RemoteError
        If it does not answer at all: what comes next would wait as long again.
    """
    if isinstance(place, Path):
        folder = place.is_dir()
        files = [file for file in place.rglob("[!.]*") if file.is_file()] if folder else [place]
        found = [file.stat() for file in files]
        latest = max((file.st_mtime_ns for file in found), default=0)
        return [*([len(found)] if folder else []), sum(file.st_size for file in found), latest]
    try:
        told = remotely(place, lambda system, path: system.info(path))
    except OSError as error:
        if isinstance(error.__cause__, TimeoutError):
            raise
        return []
    return [str(told[key]) for key in _STATE if told.get(key) is not None]


def _read_remote(system: Any, path: str, start: int, stop: int) -> Any:
    if "http" not in system.protocol:
        return system.cat_file(path, start=start, end=stop)
    from fsspec.asyn import sync

    return sync(system.loop, _read_http, system, path, start, stop)


async def _read_http(system: Any, url: str, start: int, stop: int) -> bytes:
    """A range by HTTP; fsspec itself would take all that a server sends, however much that is."""
    session = await system.set_session()
    given = dict(system.kwargs)
    given["headers"] = {
        **given.get("headers", {}),
        "Range": f"bytes={start}-{stop - 1}",
        # Compressed on the way, a range would be one of other bytes.
        "Accept-Encoding": "identity",
    }
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


def remotely(url: str, action: Callable[[Any, str], T]) -> T:
    """Do something with the file system of a URL and the path there; errors become ours.

    What goes wrong on the way, or on a server that is busy, is tried again, later each time.

    Raises
    ------
    FileNotFoundError, FileExistsError, RemoteError
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise RemoteError(f"{url}: URLs need fsspec: pip install 'xhsinr[remote]'") from error
    try:
        # What others have written meanwhile counts.
        system, path = url_to_fs(url, use_listings_cache=False, **_waiting(url))
    except Exception as error:  # each file system has errors of its own
        raise RemoteError(
            f"{url} cannot be opened: {error} (pip install 'xhsinr[remote]' for http)"
        ) from error
    start = time.monotonic()
    for pause in (*_PAUSES, None):
        try:
            return action(system, path)
        except FileNotFoundError as error:
            # fsspec says so of a server that did not answer, too.
            if isinstance(error.__cause__, TimeoutError):
                raise _silent(url, start) from error.__cause__
            raise FileNotFoundError(f"{url}: no such file") from error
        except (RemoteError, FileExistsError):
            raise
        except Exception as error:  # as above
            if getattr(error, "status", None) in (404, 410):
                raise FileNotFoundError(f"{url}: no such file") from error
            late = time.monotonic() - start >= _SILENCE
            if isinstance(error, TimeoutError) and (late or pause is None):
                raise _silent(url, start) from error
            if pause is None or not _passing(error):
                what = f"{type(error).__name__}: {error}"
                raise RemoteError(f"{url} cannot be read or written: {what}") from error
            time.sleep(pause)
    raise AssertionError


def _silent(url: str, start: float) -> RemoteError:
    waited = time.monotonic() - start
    return RemoteError(f"{url}: no answer in {waited:.0f} s; try again when the server is well")


def _waiting(url: str) -> dict[str, Any]:
    """How long to wait for a web server; those of other kinds have their own limits."""
    if not url.startswith(("http://", "https://")):
        return {}
    from aiohttp import ClientTimeout
    from fsspec.config import conf

    timeout = ClientTimeout(sock_connect=_SILENCE, sock_read=_SILENCE)
    # What fsspec's configuration says, of credentials for example, has its way.
    told = [conf.get(scheme, {}).get("client_kwargs", {}) for scheme in ("http", "https")]
    return {"client_kwargs": {"timeout": timeout} | told[0] | told[1]}


def _passing(error: Exception) -> bool:
    """Whether an error may be gone a moment later."""
    if isinstance(error, TimeoutError | ConnectionError) or type(error).__name__ in _CUT_OFF:
        return True
    return getattr(error, "status", None) in BUSY or getattr(error, "errno", None) in _RESET
