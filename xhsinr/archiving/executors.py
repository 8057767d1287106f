"""Where the scenes of a batch are worked on: one after another here, or by dask workers.

On a cluster a scene is one task and its tiles follow each other: no samples travel, and what
a worker holds is one tile for each of its threads. Here its tiles are shared by the cores.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from asyncio import CancelledError
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

import dask
from dask.system import CPU_COUNT
from dask.utils import format_bytes, parse_timedelta

from xhsinr.errors import HsinrError
from xhsinr.running.tasks import client_in_scope

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Run", "executor", "signal_handled"]

# Where a scheduler that another process started can listen, as this package reaches it.
_SCHEMES = ("", "tcp", "tls", "ws", "wss")
_LOOK = 1.0  # seconds between looks at whether the scheduler is there
_LOOK_AT_WORKERS = 10.0  # and at the workers, of which it tells more
_PATIENCE = "5 minutes"  # without a worker that takes jobs, once there were some
_KILLED = 3  # jobs that killed their workers, where none came back, say that no job will
_MORE_MEMORY = (
    "their logs say why; if it was memory, give them more (dask worker --memory-limit), or start "
    "fewer on a machine"
)

J = TypeVar("J")
R = TypeVar("R")

Work = Callable[[J, int, int], R]
"""``work(job, threads, share)``, see `xhsinr.archiving.job.do`."""
Run = Callable[[Work[Any, Any], Sequence[Any]], Iterator[tuple[Any, Any]]]
"""``run(work, jobs)``: jobs with their results, as they come; an exception is a result."""


@contextlib.contextmanager
def executor(scheduler: str | None, workers: int | None, *, gpu: bool = False) -> Iterator[Run]:
    """Where jobs run.

    Parameters
    ----------
    scheduler : str, optional
        Address of a dask scheduler.
    workers : int, optional
        Processes to start on this machine. Without both, a dask.distributed client in scope,
        else this process.
    gpu : bool
        Jobs run where workers declare a GPU, if some do.

    Raises
    ------
    HsinrError
        If both are given, or distributed is not installed.
    """
    if scheduler is not None and workers is not None:
        raise HsinrError("give scheduler, or workers to start on this machine, not both")
    if workers is not None and workers < 1:
        raise HsinrError(f"workers = {workers}: at least one process is needed")
    with contextlib.ExitStack() as stack:
        client = None
        if scheduler is not None:
            client = stack.enter_context(_client(scheduler))
        elif workers is not None:
            client = stack.enter_context(_local(workers))
        else:
            client = client_in_scope()
        yield _here if client is None else _Cluster(client, gpu=gpu)


def _here(work: Work[J, R], jobs: Sequence[J]) -> Iterator[tuple[J, R]]:
    for job in jobs:
        yield job, work(job, CPU_COUNT, 1)


class _Cluster:
    """Runs jobs on the workers of a cluster, and knows when there is no use in waiting for them."""

    def __init__(self, client: Client, *, gpu: bool) -> None:
        self._client = client
        self._gpu = gpu
        self._limit = 0  # bytes that the smallest worker of late may take
        self._seen = self._answered = False  # a worker, and a job that came back from one
        self._killed = 0
        self._over: HsinrError | None = None

    def __call__(
        self, work: Work[J, R], jobs: Sequence[J]
    ) -> Iterator[tuple[J, R | BaseException]]:
        from xhsinr.running.cluster import gpu_resources, one_thread_each

        client = self._client
        if client.status == "closed":
            self._over = _scheduler_gone()
        if self._over is not None:
            yield from self._given_up(jobs)
            return
        resources = gpu_resources(client) if self._gpu else {}
        futures = {
            client.submit(one_thread_each, work, job, pure=False, resources=resources): job
            for job in jobs
        }
        # dask's own as_completed waits for ever where the client has closed meanwhile.
        done: SimpleQueue[Any] = SimpleQueue()
        for future in futures:
            future.add_done_callback(done.put)
        wait = dask.config.get("distributed.scheduler.no-workers-timeout", None) or _PATIENCE
        patience = parse_timedelta(wait)
        look = min(_LOOK_AT_WORKERS, patience / 2)
        self._at_work()
        since = time.monotonic()  # when a worker was last seen at work
        try:
            while futures and self._over is None:
                try:
                    future = done.get(timeout=_LOOK)
                except Empty:
                    since = self._waited(since, look, patience)
                    continue
                self._seen = True
                try:
                    error = future.exception(look)
                    result = future.result(look) if error is None else self._told(error)
                    self._answered |= error is None
                except TimeoutError:  # its worker is gone, and the result with it
                    future.add_done_callback(done.put)  # at once, while none makes it again
                    since = self._waited(since, look, patience)
                    continue
                except (Exception, CancelledError) as lost:  # of a scheduler that is gone
                    result = lost
                yield futures.pop(future), result
                since = time.monotonic()
                # So that the workers forget it.
                del future
            yield from self._given_up(futures.values())
        finally:
            with contextlib.suppress(Exception):
                client.cancel(list(futures))

    def _given_up(self, jobs: Iterable[J]) -> Iterator[tuple[J, HsinrError]]:
        if self._over is not None:
            yield from ((job, self._over) for job in jobs)

    def _waited(self, since: float, look: float, patience: float) -> float:
        """When a worker was last seen at work; the run is over if that is too long ago."""
        if self._client.status == "closed":
            self._over = _scheduler_gone()
        idle = time.monotonic() - since
        if self._seen and idle < look:
            return since
        if self._at_work() or not self._seen:
            return time.monotonic()
        if idle > patience:
            self._over = self._without_workers(patience)
        return since

    def _at_work(self) -> bool:
        """Whether a worker takes jobs, or has one in hand; none is known of a lost scheduler."""
        workers = self._client.scheduler_info(n_workers=-1).get("workers", {}).values()
        if workers:
            self._seen = True
            self._limit = min(worker["memory_limit"] or 0 for worker in workers)
        return any(
            worker["status"] == "running"
            or worker["metrics"].get("task_counts", {}).get("executing")
            for worker in workers
        )

    def _told(self, error: BaseException) -> BaseException:
        """The error of a job; where workers died of it, in what is to be done."""
        from distributed import KilledWorker

        if not isinstance(error, KilledWorker):
            return error
        self._killed += 1
        last = error.last_worker
        told = HsinrError(
            f"{error.allowed_failures + 1} workers died while they worked on it, the last at "
            f"{last.address} with {_memory(last.memory_limit)}: {_MORE_MEMORY}"
        )
        if self._killed >= _KILLED and not self._answered:
            self._over = HsinrError(
                f"given up: {_KILLED} scenes killed all workers that they were given to, these "
                f"had {_memory(last.memory_limit)}, and no scene came back: {_MORE_MEMORY}, and "
                "run this again"
            )
        return told

    def _without_workers(self, seconds: float) -> HsinrError:
        return HsinrError(
            f"given up: for {seconds:g} s no worker took a scene; all were lost, or are paused as "
            f"their memory is full (they had {_memory(self._limit)}): {_MORE_MEMORY}, and run this "
            "again. Where workers come and go, dask's distributed.scheduler.no-workers-timeout "
            "says how long to wait"
        )


def _scheduler_gone() -> HsinrError:
    return HsinrError("the dask scheduler is gone: start it, and run this again")


def _memory(limit: int | None) -> str:
    return f"a memory limit of {format_bytes(limit)}" if limit else "no memory limit"


def _client(address: str | None, **options: Any) -> Client:
    try:
        from distributed import Client
        from distributed.comm.addressing import parse_host_port
    except ImportError as error:
        raise HsinrError(
            "dask.distributed is not installed: pip install 'xhsinr[cluster]'"
        ) from error
    try:
        if address is not None:
            # A malformed one would be noticed late, and leave half a client behind.
            scheme, _, place = address.rpartition("://")
            if scheme not in _SCHEMES:
                raise ValueError(f"{scheme}:// is no kind of address that it listens at")
            parse_host_port(place)
        client: Client = Client(address, set_as_default=False, **options)
    except Exception as error:  # malformed addresses end in errors of many kinds
        raise HsinrError(
            f"no dask scheduler answers at {address}: {error}; an address is such as "
            "tcp://host:8786"
        ) from error
    return client


@contextlib.contextmanager
def _local(workers: int) -> Iterator[Client]:
    """Processes of one thread on this machine, which leave Ctrl-C to this one."""
    with signal_handled(signal.SIGINT, signal.SIG_IGN):
        client = _client(
            None,
            n_workers=workers,
            threads_per_worker=1,
            # `max_memory` bounds them; dask would pause or kill by shares of the machine.
            memory_limit=0,
            dashboard_address=":0",
            silence_logs=logging.ERROR,
        )
    with client:
        yield client


@contextlib.contextmanager
def signal_handled(number: int, handler: Any) -> Iterator[None]:
    """While this lasts, a signal is handled so, in processes that are started meanwhile too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)
