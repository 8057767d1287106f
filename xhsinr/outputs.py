"""Files that appear under their name when they are complete, and never in place of another."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from xhsinr.errors import OutputExistsError, SidecarError

__all__ = ["check_output", "replacing", "scratch", "sweep", "sync", "unwritten"]

_SCRATCH = re.compile(r"\.(.+)\.xhsinr-([0-9a-f]{8})([0-9a-f]{16})")
_LONGEST_NAME = 100


def check_output(path: Path, *, overwrite: bool, source: str | Path | None = None) -> None:
    """Raise if a file cannot be written to ``path``, or is what it would be made from."""
    if source is not None and path.exists() and Path(source).exists() and path.samefile(source):
        raise SidecarError(f"{path} is the source itself: give another name for the output")
    if path.is_dir():
        raise SidecarError(f"{path} is a folder: give the name of a file in it")
    if path.exists() and not path.is_file():
        raise SidecarError(f"{path} is no regular file: give the name of one")
    if path.exists() and not overwrite:
        raise OutputExistsError(f"{path} exists: pass overwrite (--overwrite) to replace it")
    if not path.parent.is_dir():
        raise SidecarError(f"{path.parent} is no folder: make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise SidecarError(
            f"{path} cannot be written: the folder {path.parent} is read-only here; give an output "
            "in another"
        )


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file of the same name to write to, which becomes ``path`` when the block is left.

    By then all of it is on the disk. After an error nothing is left, and ``path`` is as it was.
    It lies in a folder of its own beside it, see `scratch`; two writers never share one.
    """
    with scratch(path.parent, path.name) as folder:
        part = folder / path.name
        yield part
        sync(part)
        part.replace(path)
        sync(path.parent)


@contextlib.contextmanager
def scratch(folder: Path, name: str) -> Iterator[Path]:
    """A new folder in another, for what is in the making; it goes away with what is left in it.

    It is called ``.<name>.xhsinr-<random><digest>`` and locked while this process lives. What a
    process that was killed left under the same name goes away first.
    """
    sweep(folder, name)
    lock = None
    while lock is None:
        # Not tempfile, whose folders only their owner may read.
        short, token = name[:_LONGEST_NAME], secrets.token_hex(4)
        made = folder / f".{short}.xhsinr-{token}{_digest(short, token)}"
        made.mkdir()
        lock = _locked(made, wait=True)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(lock)


def sweep(folder: Path, name: str | None = None) -> None:
    """Remove the folders of `scratch` whose processes are gone; of one name, or all.

    Nothing else: it has to be called like them, with a digest that nobody else gives a name, to be
    a folder, not a link, and not locked. Where folders cannot be locked, they stay.
    """
    with os.scandir(folder) as entries:
        found = [Path(entry) for entry in entries if _is_scratch(entry, name)]
    for left in found:
        lock = _locked(left, wait=False)
        if lock is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)


def _is_scratch(entry: os.DirEntry[str], name: str | None) -> bool:
    match = _SCRATCH.fullmatch(entry.name)
    if match is None or match[3] != _digest(match[1], match[2]):
        return False
    if name is not None and match[1] != name[:_LONGEST_NAME]:
        return False
    return entry.is_dir(follow_symlinks=False)


def _digest(name: str, token: str) -> str:
    """Proof that this package gave a folder its name."""
    text = f"xhsinr scratch {name} {token}"
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _locked(folder: Path, *, wait: bool) -> int | None:
    """A lock on a folder, which goes away with the process; None if there is none to be had.

    Where folders cannot be locked at all, one that waits gets the open folder without a lock.
    """
    import fcntl  # here, so that files can be read where there is none (Windows)

    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        if not wait:
            os.close(descriptor)
            return None
    if os.fstat(descriptor).st_nlink == 0:  # swept before it was locked
        os.close(descriptor)
        return None
    return descriptor


def unwritten(path: Path, reason: object) -> OSError:
    """What to raise where a library that writes ``path`` gives up."""
    return OSError(errno.EIO, f"it could not be written ({reason}): is the disk full?", str(path))


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk.

    Raises
    ------
    OSError
        Also for what an earlier write could not say: that the disk is full.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
