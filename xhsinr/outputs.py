"""Files that appear under their name when they are complete, and never in place of another."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from xhsinr.errors import OutputExistsError, SidecarError

__all__ = ["check_output", "replacing"]


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


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name in the same folder to write to, which becomes ``path`` when the block is left.

    By then all of it is on the disk. After an error nothing is left, and ``path`` is as it was.
    The name begins with a dot and ends with ``.part``; two writers never share one.
    """
    # Not mkstemp, whose files only their owner may read.
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
        _sync(part)
        part.replace(path)
        _sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
