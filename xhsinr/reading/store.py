"""The store of decoded tiles: one for all doors of a process, the least recently used leave first.

A tile is known by what its file is, so that whoever opens the same file again finds it, and a
file that was replaced is another one.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, Generic, Protocol, TypeVar

from xhsinr.errors import SidecarError

__all__ = ["STORE_VARIABLE", "TileStore", "forget_tiles", "shared_store"]

STORE_VARIABLE = "XHSINR_CACHE_MB"
"""Environment variable: megabytes of decoded tiles that a process keeps."""

_STORE_MB = 1024


class _Sized(Protocol):
    @property
    def nbytes(self) -> int: ...


T = TypeVar("T", bound=_Sized)


class TileStore(Generic[T]):
    """Decoded tiles up to a number of bytes, for any number of threads.

    A tile that several threads ask for at once is decoded by one of them; the others wait.

    Parameters
    ----------
    limit_bytes : int
        What the tiles may take together; the tile asked for last is kept even if it alone
        takes more.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        self._tiles: OrderedDict[Hashable, Future[T]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._tiles)

    def get(self, key: Hashable, decode: Callable[[], T]) -> T:
        """The tile under ``key``, decoded if it is not there; not to be changed.

        Raises
        ------
        Whatever ``decode`` raises, in every thread that waited for it; nothing is kept then.
        """
        with self._lock:
            future = self._tiles.get(key)
            mine = future is None
            if future is None:
                future = self._tiles[key] = Future()
            self._tiles.move_to_end(key)
        if mine:
            self._fill(key, future, decode)
        return future.result()

    def _fill(self, key: Hashable, future: Future[T], decode: Callable[[], T]) -> None:
        try:
            tile = decode()
        except BaseException as error:
            with self._lock:
                del self._tiles[key]
            future.set_exception(error)
            return
        future.set_result(tile)
        with self._lock:
            self.held_bytes += tile.nbytes
            done = [other for other, tile in self._tiles.items() if tile.done() and other != key]
            for oldest in done:
                if self.held_bytes <= self.limit_bytes:
                    break
                self.held_bytes -= self._tiles.pop(oldest).result().nbytes


_opening = threading.Lock()
_stores: list[TileStore[Any]] = []


def shared_store() -> TileStore[Any]:
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
            _stores.append(TileStore(int(text) << 20))
        return _stores[0]


def forget_tiles() -> None:
    """Begin with an empty store."""
    global _opening
    _opening = threading.Lock()
    _stores.clear()


if hasattr(os, "register_at_fork"):
    # A tile that another thread was decoding would never be done in the child.
    os.register_at_fork(after_in_child=forget_tiles)
