"""Folders of files, on a disk or below a URL of an object store, and whole files in them.

A place is a path or a URL, see `xhsinr.storage`. A file appears under its name when all of it is
there: on a disk it is renamed, to a store it is sent by one upload.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from xhsinr.errors import OutputExistsError, RemoteError
from xhsinr.outputs import check_output, replacing
from xhsinr.storage import Place, locate, remotely, size_of

__all__ = [
    "at",
    "check_place",
    "end_uploads",
    "exists",
    "folder_of",
    "located",
    "matching",
    "name_of",
    "names_below",
    "put",
    "read",
    "read_each",
    "remove",
    "stem_of",
    "write",
]

_AT_ONCE = 16


def located(folder: str | os.PathLike[str]) -> Place:
    """The place of a folder: an absolute path, or a URL without a slash at its end."""
    place = locate(folder)
    return place.absolute() if isinstance(place, Path) else place.rstrip("/")


def at(folder: Place, name: str) -> Place:
    """The place of a file or folder in a folder."""
    return folder / name if isinstance(folder, Path) else f"{folder}/{name}"


def folder_of(place: Place) -> Place:
    """The folder that a file or folder is in."""
    return place.parent if isinstance(place, Path) else place.rpartition("/")[0]


def name_of(place: Place) -> str:
    """The last part of a place."""
    return place.name if isinstance(place, Path) else place.rpartition("/")[2]


def stem_of(place: Place) -> str:
    """The name of a file without its suffix."""
    return Path(name_of(place)).stem


def check_place(place: Place, *, overwrite: bool, source: str | Path | None = None) -> None:
    """Raise if a file cannot be written to a place, or is what it would be made from."""
    if isinstance(place, Path):
        check_output(place, overwrite=overwrite, source=source)
    elif not overwrite and exists(place):
        raise OutputExistsError(f"{place} exists: pass overwrite (--overwrite) to replace it")


def exists(place: Place) -> bool:
    """Whether there is a file."""
    if isinstance(place, Path):
        return place.is_file()
    try:
        size_of(place)
    except FileNotFoundError:
        return False
    return True


def read(place: Place) -> bytes:
    """All of a file.

    Raises
    ------
    FileNotFoundError, RemoteError
    """
    if isinstance(place, Path):
        return place.read_bytes()
    content: bytes = remotely(place, _whole)
    return content


def _whole(system: Any, path: str) -> Any:
    # Web servers need not know ranges; without one, s3fs would ask for the size first.
    return system.cat_file(path) if "http" in system.protocol else system.cat_file(path, start=0)


def read_each(places: Sequence[Place]) -> Iterator[bytes | OSError]:
    """All of each file, in their order; an error is one's own. From a store, many at a time."""

    def tried(place: Place) -> bytes | OSError:
        try:
            return read(place)
        except OSError as error:
            return error

    if not places or isinstance(places[0], Path):
        yield from map(tried, places)
        return
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for start in range(0, len(places), _AT_ONCE):
            yield from threads.map(tried, places[start : start + _AT_ONCE])


def write(place: Place, content: bytes, *, new: bool = False) -> None:
    """Write a file, in place of one that is there; to a store, `put` says what is new."""
    if isinstance(place, Path):
        with replacing(place) as part:
            part.write_bytes(content)
        return
    with tempfile.TemporaryDirectory() as folder:
        # With the name goes the kind of content that a browser is told.
        made = Path(folder) / name_of(place)
        made.write_bytes(content)
        put(made, place, new=new)


def put(file: Path, url: str, *, new: bool = False) -> None:
    """Send a file to a store.

    Raises
    ------
    FileExistsError
        If it is to be new and is there. Stores that cannot tell may replace it.
    RemoteError
    """
    mode = "create" if new else "overwrite"
    try:
        remotely(url, lambda system, path: system.put_file(str(file), path, mode=mode))
    except FileNotFoundError as error:
        raise RemoteError(f"{url} cannot be written: there is no such bucket") from error


def remove(place: str) -> None:
    """Remove a file of a store, if it is there."""

    with contextlib.suppress(FileNotFoundError):
        remotely(place, lambda system, path: system.rm_file(path))


def names_below(folder: Place) -> list[str]:
    """Files in a folder and in the folders there, ``name`` and ``folder/name``, in their order.

    Hidden ones are left out.
    """
    if isinstance(folder, Path):
        found = [*_visible(folder), *(p for f in _visible(folder) for p in _visible(f))]
        names = ["/".join(p.relative_to(folder).parts) for p in found if p.is_file()]
    else:
        names = remotely(folder, _names)
    return sorted(name for name in names if "/." not in f"/{name}")


def _visible(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _names(system: Any, path: str) -> list[str]:
    try:
        # A store lists all that begins alike by one request a thousand.
        found = system.find(path)
    except FileNotFoundError:
        return []
    prefix = f"{path.rstrip('/')}/"
    names = [name.removeprefix(prefix) for name in found if name.startswith(prefix)]
    return [name for name in names if name.count("/") < 2]


def matching(url: str) -> list[str]:
    """Files of a store below a URL, or that a glob in it matches, in their order."""

    def action(system: Any, path: str) -> list[str]:
        found = system.glob(path) if "*" in path else system.find(path)
        return sorted(system.unstrip_protocol(name) for name in found)

    return remotely(url, action)


def end_uploads(folder: str) -> None:
    """Give up uploads to a folder of a store that were begun and never ended; they cost space."""

    def action(system: Any, path: str) -> None:
        if not hasattr(system, "call_s3"):
            return
        bucket, key, _ = system.split_path(path)
        found = system.call_s3(
            "list_multipart_uploads", Bucket=bucket, Prefix=f"{key}/" if key else ""
        )
        for upload in found.get("Uploads", []):
            names = {"Key": upload["Key"], "UploadId": upload["UploadId"]}
            system.call_s3("abort_multipart_upload", Bucket=bucket, **names)

    try:
        remotely(folder, action)
    except RemoteError:
        return  # who may write need not be allowed to list them
