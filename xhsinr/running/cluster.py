"""Tiles and networks on the workers of a dask.distributed cluster.

A task carries the samples of its tile, or the lazy array that reads them, never the scene; what
the tasks of a pass share is sent once to each worker, and so is a base network.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import cloudpickle
import dask.array
from distributed import Client, Future, Worker, WorkerPlugin, get_worker
from threadpoolctl import threadpool_limits

from xhsinr.errors import MemoryLimitError
from xhsinr.network.file import Network, remember
from xhsinr.running.tasks import TileFunction, on_tile
from xhsinr.running.threads import in_order
from xhsinr.scene import Scene
from xhsinr.tiling import Tiling, Window

__all__ = ["by_workers", "gpu_resources", "one_thread_each", "send_network"]

T = TypeVar("T")
J = TypeVar("J")


class _Network(WorkerPlugin):
    """Gives a base network to every process of a cluster, those that join later included."""

    idempotent = True

    def __init__(self, network: Network) -> None:
        assert network.path is not None
        self.name = f"xhsinr-network-{network.digest}"
        self._content, self._path = network.path.read_bytes(), network.path

    def setup(self, worker: Worker) -> None:
        remember(self._content, self._path)


def send_network(client: Client, network: Network) -> None:
    """Make a base network known to all workers, whether or not they have its file."""
    client.register_plugin(_Network(network))


def gpu_resources(client: Client) -> dict[str, float]:
    """What a task asks for that a GPU does well: one, where workers declare some."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return {"GPU": 1} if any(worker["resources"].get("GPU", 0) >= 1 for worker in workers) else {}


def by_workers(
    client: Client,
    function: TileFunction[T],
    scene: Scene,
    tiling: Tiling,
    tiles: Sequence[int],
    network: Network | None,
    fitting: int,
    *,
    gpu: bool,
) -> Iterator[T]:
    """Results of a function on tiles, in their order; see `xhsinr.running.tasks.Tasks.run`.

    Parameters
    ----------
    fitting : int
        Tiles that a worker has memory for at a time.

    Raises
    ------
    MemoryLimitError
        If a worker has more threads than that.
    """
    threads = client.nthreads()
    most = max(threads.values(), default=1)
    if most > fitting:
        raise MemoryLimitError(
            f"max_memory is enough for {fitting} tiles of {tiling.tile} x {tiling.tile} pixels at "
            f"a time, and a worker has {most} threads: start workers with fewer threads, use "
            "smaller tiles, or allow more memory"
        )
    if network is not None:
        send_network(client, network)
    resources = gpu_resources(client) if gpu else {}
    # A result, which is made again if the worker that holds it dies; in bytes, as the scheduler
    # opens what it is given and has no networks.
    shared = client.submit(pickle.loads, cloudpickle.dumps(function), pure=False)

    def submit(tile: int) -> Future[T]:
        window = tiling.window(tile)
        samples = scene.data[(slice(None), *window)]
        if isinstance(samples, dask.array.Array):
            samples = client.compute(samples)
        with warnings.catch_warnings():
            # An array in memory has to travel; it does so a tile at a time.
            warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
            return client.submit(
                _on_worker, shared, window, scene.nodata, samples, resources=resources, pure=False
            )

    yield from in_order(submit, tiles, 2 * max(sum(threads.values()), 1))


def one_thread_each(work: Callable[[J, int, int], T], job: J) -> T:
    """Run ``work(job, threads, share)`` on a worker: each of its threads has a job at a time."""
    _one_blas_thread()
    return work(job, 1, get_worker().state.nthreads)


def _on_worker(function: TileFunction[T], window: Window, nodata: Any, samples: Any) -> T:
    _one_blas_thread()
    return on_tile(function, window, nodata, samples)


@lru_cache(maxsize=1)
def _one_blas_thread() -> threadpool_limits:
    """The tiles are the threads: those of BLAS would only get into their way."""
    return threadpool_limits(1, user_api="blas")
