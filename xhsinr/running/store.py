"""What is costly to make and large, kept for many threads: the least recently used leaves first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, Protocol, TypeVar

__all__ = ["Store"]


class _Sized(Protocol):
    @property
    def nbytes(self) -> int: ...


T = TypeVar("T", bound=_Sized)


class Store(Generic[T]):
    """Tiles, or parts of them, up to a number of bytes, for any number of threads.

    One that several threads ask for at once is made by one of them; the others wait.

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

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The tile under ``key``, made if it is not there; not to be changed.

        Raises
        ------
        Whatever ``make`` raises, in every thread that waited for it; nothing is kept then.
        """
        with self._lock:
            future = self._tiles.get(key)
            mine = future is None
            if future is None:
                future = self._tiles[key] = Future()
            self._tiles.move_to_end(key)
        if mine:
            self._fill(key, future, make)
        return future.result()

    def _fill(self, key: Hashable, future: Future[T], make: Callable[[], T]) -> None:
        try:
            tile = make()
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
