"""Functions of tiles: results in order, memory within its limit, errors at once."""

from __future__ import annotations

import io
import sys
import threading
import time

import dask
import dask.array
import numpy as np
import pytest
from numba.core.event import trigger_event

from xhsinr.errors import MemoryLimitError
from xhsinr.running.tasks import Tasks, client_in_scope, run_tiles
from xhsinr.running.threads import in_order
from xhsinr.scene import Scene
from xhsinr.tiling import Tiling

TILING = Tiling(4, 40, 4)


def tasks(**settings: object) -> Tasks:
    data = np.arange(2 * 4 * 40).reshape(2, 4, 40)
    return Tasks(Scene(data=data, nodata=-1), progress=False, **settings)


def test_results_come_in_order_whoever_is_ready_first() -> None:
    def late(tile: int) -> int:
        time.sleep(0.002 * (5 - tile))
        return tile * tile

    with dask.config.set(num_workers=3):
        assert list(run_tiles(late, range(5), "x", progress=False)) == [0, 1, 4, 9, 16]
        with pytest.raises(ZeroDivisionError):
            list(run_tiles(lambda tile: 1 // tile, range(3), "x", progress=False))


@pytest.mark.parametrize("lazy", [False, True])
def test_a_function_gets_the_tile_as_a_scene_and_where_it_lies(lazy: bool) -> None:
    work = tasks(threads=2)
    if lazy:
        whole = dask.array.from_array(work.scene.data, chunks=(2, 3, 7))
        work = Tasks(Scene(data=whole, nodata=-1), threads=2, progress=False)
    found = work.run(
        lambda tile, window: (tile.data.sum(), tile.nodata, window), TILING, [3, 1], "sum", 0
    )
    numbers = np.arange(2 * 4 * 40).reshape(2, 4, 40)
    windows = [(slice(0, 4), slice(12, 16)), (slice(0, 4), slice(4, 8))]
    assert list(found) == [(numbers[:, r, c].sum(), -1, (r, c)) for r, c in windows]


@pytest.mark.parametrize(("limit", "at_once"), [(None, 4), (900_000_000, 4), (640_000_000, 2)])
def test_no_more_tiles_are_worked_on_than_memory_allows(limit: int | None, at_once: int) -> None:
    lock, working, most = threading.Lock(), 0, 0

    def count(tile: Scene, window: object) -> None:
        nonlocal working, most
        with lock:
            working += 1
            most = max(most, working)
        time.sleep(0.02)
        with lock:
            working -= 1

    list(tasks(threads=4, max_memory=limit).run(count, TILING, range(10), "count", 100_000_000))
    assert most == at_once


def test_a_tile_that_does_not_fit_is_refused_with_one_that_does() -> None:
    work = Tasks(Scene(data=np.zeros((2, 512, 512), "u1")), 420_000_000, progress=False)
    with pytest.raises(MemoryLimitError, match=r"512 x 512 .* tiles of 128 or less would fit"):
        list(work.run(lambda *_: None, Tiling(512, 512, 512), [0], "encode", 600_000_000))
    with pytest.raises(MemoryLimitError, match="no tile would fit"):
        list(Tasks(work.scene, 1000).run(lambda *_: None, Tiling(512, 512, 512), [0], "x", 1000))


def test_what_is_submitted_and_not_taken_is_bounded_and_cancelled() -> None:
    class Future:
        def __init__(self, value: int) -> None:
            self.value, self.cancelled = value, False

        def result(self) -> int:
            return self.value

        def cancel(self) -> None:
            self.cancelled = True

    made: list[Future] = []

    def submit(tile: int) -> Future:
        made.append(Future(tile))
        return made[-1]

    results = in_order(submit, range(10), 3)
    assert next(results) == 0
    assert len(made) == 3
    results.close()
    assert [future.cancelled for future in made] == [False, True, True]


def test_local_schedulers_are_respected() -> None:
    with dask.config.set(scheduler="threads"):
        assert client_in_scope() is None


def test_what_compiles_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())

    def compiles(tile: int) -> int:
        with trigger_event("numba:compile"):
            return tile

    assert list(run_tiles(lambda tile: tile, range(3), "x", progress=True)) == [0, 1, 2]
    assert "compiling" not in sys.stderr.getvalue()
    assert list(run_tiles(compiles, range(3), "x", progress=True)) == [0, 1, 2]
    assert "compiling" in sys.stderr.getvalue()
    # The line is cleared when all is done.
    assert sys.stderr.getvalue().endswith("\r")
