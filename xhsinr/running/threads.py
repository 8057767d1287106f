"""Work by the threads of this process; brings no library, so that every reader can use it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Protocol, TypeVar

__all__ = ["by_threads", "cores", "in_order", "on_all_cores"]

T = TypeVar("T")


class _Future(Protocol):
    """What futures of threads and of workers have in common."""

    def result(self) -> Any: ...
    def cancel(self) -> Any: ...


def in_order(submit: Callable[[int], _Future], tiles: Sequence[int], at_once: int) -> Iterator[Any]:
    """Results of tasks in their order, with at most that many submitted and not yet taken."""
    waiting: deque[_Future] = deque()
    try:
        for tile in tiles:
            if len(waiting) == at_once:
                yield waiting.popleft().result()
            waiting.append(submit(tile))
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def by_threads(do: Callable[[int], T], tiles: Sequence[int], threads: int) -> Iterator[T]:
    """Results of a function on numbers of tiles in their order, by threads of their own."""
    if threads == 1 or len(tiles) == 1:
        yield from map(do, tiles)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from in_order(lambda tile: pool.submit(do, tile), tiles, 2 * threads)


def on_all_cores(do: Callable[[int], object], tiles: Sequence[int]) -> None:
    """Call a function on numbers of tiles, by threads that all callers of this process share.

    However many threads read at once, no more than there are cores decode here. The function must
    not come back here.
    """
    if len(tiles) == 1:
        do(tiles[0])
        return
    for _ in in_order(lambda tile: _pool().submit(do, tile), tiles, len(tiles)):
        pass


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@lru_cache(1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores(), thread_name_prefix="xhsinr")


if hasattr(os, "register_at_fork"):
    # A forked process has none of these threads.
    os.register_at_fork(after_in_child=_pool.cache_clear)
