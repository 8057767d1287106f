"""The store of decoded tiles: bounded, shared by threads, and not upset by errors."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from xhsinr.running.store import Store


def tile(value: int, size: int = 100) -> np.ndarray:
    return np.full(size, value, np.uint8)


def test_the_least_recently_used_tiles_leave_first() -> None:
    store = Store(250)
    store.get("a", lambda: tile(1))
    store.get("b", lambda: tile(2))
    store.get("a", lambda: tile(9))
    store.get("c", lambda: tile(3))
    assert store.held_bytes == 200
    assert store.get("a", lambda: tile(9))[0] == 1
    assert store.get("b", lambda: tile(9))[0] == 9


def test_a_tile_above_the_limit_is_returned_and_kept_alone() -> None:
    store = Store(10)
    store.get("a", lambda: tile(1))
    assert store.get("b", lambda: tile(2)).shape == (100,)
    assert (len(store), store.held_bytes) == (1, 100)


def test_threads_that_ask_for_one_tile_wait_for_one_decoding() -> None:
    store, started, decoded = Store(1000), threading.Barrier(8), []

    def decode() -> np.ndarray:
        decoded.append(1)
        threading.Event().wait(0.05)
        return tile(5)

    def ask(_: int) -> int:
        started.wait()
        return int(store.get("a", decode)[0])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [5] * 8
    assert len(decoded) == 1


def test_an_error_is_raised_and_the_next_read_tries_again() -> None:
    store = Store(1000)

    def fail() -> np.ndarray:
        raise OSError("damaged")

    with pytest.raises(OSError, match="damaged"):
        store.get("a", fail)
    assert len(store) == 0
    assert store.get("a", lambda: tile(4))[0] == 4
