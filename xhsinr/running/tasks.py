"""Functions of one tile, run on many: by threads here, or by the workers of a dask cluster."""

from __future__ import annotations

import mmap
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import dask.array
import dask.config
import numpy as np
import numpy.typing as npt
from dask.system import CPU_COUNT

from xhsinr.network.file import Network
from xhsinr.progress import bar, told_on
from xhsinr.running.memory import tiles_at_once
from xhsinr.running.threads import by_threads
from xhsinr.scene import Scene
from xhsinr.tiling import Tiling, Window

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["SMALL_SCENE", "Tasks", "TileFunction", "client_in_scope", "on_tile", "run_tiles"]

SMALL_SCENE = 1 << 27
"""Bytes of samples below which a scene is not worth a cluster."""

T = TypeVar("T")
TileFunction = Callable[[Scene, Window], T]
"""Takes a tile as a scene of its own, with samples and nodata alone, and where it lies."""


@dataclass(frozen=True)
class Tasks:
    """Runs functions on the tiles of a scene, a few at a time.

    Attributes
    ----------
    scene : Scene
    max_memory : int, optional
        Most bytes that a process may hold, its libraries included.
    threads : int, optional
        Of this process, each with a tile at a time. Without it a dask.distributed client in
        scope does the work on all but small scenes, else as many threads as there are cores.
    progress : bool
        Show a bar for what takes more than two seconds.
    """

    scene: Scene
    max_memory: int | None = None
    threads: int | None = None
    progress: bool = True

    @property
    def client(self) -> Client | None:
        """The cluster that does the work, if one does: small scenes are done before it began."""
        size = self.scene.samples * self.scene.dtype.itemsize
        return client_in_scope() if self.threads is None and size >= SMALL_SCENE else None

    @property
    def most_threads(self) -> int:
        """Threads of a process that work on tiles, where memory allows it."""
        return self.threads or _threads(self.client)

    def run(
        self,
        function: TileFunction[T],
        tiling: Tiling,
        tiles: Sequence[int],
        what: str,
        tile_bytes: int,
        network: Network | None = None,
        *,
        gpu: bool = False,
    ) -> Iterator[T]:
        """Results of a function on tiles, in the order of the tiles.

        Parameters
        ----------
        function : callable
            See `TileFunction`; can be pickled.
        tiling : Tiling
        tiles : sequence of int
        what : str
            What is done with a tile, a verb.
        tile_bytes : int
            Memory that it takes.
        network : Network, optional
            Of the user's own.
        gpu : bool
            Run where workers declare a GPU, if some do.

        Raises
        ------
        MemoryLimitError
            If not even one tile fits.
        """
        client = self.client
        threads = self.most_threads
        fitting = tiles_at_once(self.max_memory, threads, tile_bytes, tiling.shape(0), what)
        if client is None:
            results = by_threads(partial(self._do, function, tiling), tiles, fitting)
        else:
            from xhsinr.running.cluster import by_workers

            results = by_workers(
                client, function, self.scene, tiling, tiles, network, fitting, gpu=gpu
            )
        yield from _with_bar(results, len(tiles), what, progress=self.progress)

    def _do(self, function: TileFunction[T], tiling: Tiling, tile: int) -> T:
        window = tiling.window(tile)
        samples = self.scene.data[(slice(None), *window)]
        if isinstance(samples, dask.array.Array):
            # A tile for each thread: what reads it must not start threads of its own.
            samples = samples.compute(scheduler="synchronous")
        result = on_tile(function, window, self.scene.nodata, samples)
        if self.max_memory is not None:
            _let_go(self.scene.data)
        return result


def _let_go(samples: Any) -> None:
    """Pages of a mapped file that were read count as held for as long as it is mapped."""
    while isinstance(samples, np.ndarray) and not isinstance(samples, np.memmap):
        samples = samples.base
    if isinstance(samples, np.memmap) and samples.mode == "r" and hasattr(mmap, "MADV_DONTNEED"):
        samples._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


def run_tiles(
    do: Callable[[int], T], tiles: Sequence[int], what: str, *, progress: bool
) -> Iterator[T]:
    """Results of a function on numbers of tiles by threads of this process, in their order."""
    return _with_bar(by_threads(do, tiles, _threads(None)), len(tiles), what, progress=progress)


def on_tile(
    function: TileFunction[T], window: Window, nodata: int | float | None, samples: object
) -> T:
    """Call a function on the samples of a tile, band after band in memory."""
    return function(Scene(data=_by_bands(np.asarray(samples)), nodata=nodata), window)


def _by_bands(samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Samples, shape (bands, rows, cols), band after band in memory."""
    if samples.strides[0] >= samples.strides[2]:
        return np.ascontiguousarray(samples)
    # Pixel after pixel: a row of them is still in the cache when its next band is taken.
    ordered = np.empty(samples.shape, samples.dtype)
    for row in range(samples.shape[1]):
        ordered[:, row] = samples[:, row]
    return ordered


def client_in_scope() -> Client | None:
    """The dask.distributed client that dask would use, if there is one."""
    local = dask.config.get("scheduler", None) not in (None, "dask.distributed", "distributed")
    if local or "distributed" not in sys.modules:
        return None
    from distributed import default_client

    try:
        client: Client = default_client()
    except ValueError:
        return None
    return client


def _threads(client: Client | None) -> int:
    """Threads of this process, or the most that a worker has."""
    if client is not None:
        return max(client.nthreads().values(), default=1)
    if dask.config.get("scheduler", None) in ("synchronous", "sync", "single-threaded"):
        return 1
    return int(dask.config.get("num_workers", None) or CPU_COUNT)


def _with_bar(results: Iterator[T], total: int, what: str, *, progress: bool) -> Iterator[T]:
    shown = bar(results, what, total, unit="tile", progress=progress, leave=False)
    with told_on(shown):
        yield from shown
