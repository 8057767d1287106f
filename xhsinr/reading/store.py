"""The store of decoded tiles: one for all doors of a process, the least recently used leave first.

A tile is known by what its file is, so that whoever opens the same file again finds it, and a
file that was replaced is another one.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from xhsinr.errors import SidecarError
from xhsinr.running.store import Store

__all__ = ["STORE_VARIABLE", "forget_tiles", "shared_store"]

STORE_VARIABLE = "XHSINR_CACHE_MB"
"""Environment variable: megabytes of decoded tiles that a process keeps."""

_STORE_MB = 1024


_opening = threading.Lock()
_stores: list[Store[Any]] = []


def shared_store() -> Store[Any]:
    """The tiles of this process; the limit is read when the first one is decoded.

    Raises
    ------
    SidecarError
        If `STORE_VARIABLE` is no number.
    """
    with _opening:
        if not _stores:
            text = os.environ.get(STORE_VARIABLE, str(_STORE_MB))
            if not text.isdecimal():
                raise SidecarError(f"{STORE_VARIABLE} is {text!r}: give a number of megabytes")
            _stores.append(Store(int(text) << 20))
        return _stores[0]


def forget_tiles() -> None:
    """Begin with an empty store."""
    global _opening
    _opening = threading.Lock()
    _stores.clear()


if hasattr(os, "register_at_fork"):
    # A tile that another thread was decoding would never be done in the child.
    os.register_at_fork(after_in_child=forget_tiles)
