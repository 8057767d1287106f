"""Where the scenes of a batch are worked on: one after another here, or by dask workers.

On a cluster a scene is one task and its tiles follow each other: no samples travel, and what
a worker holds is one tile for each of its threads. Here its tiles are shared by the cores.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from asyncio import CancelledError
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from dask.system import CPU_COUNT

from xhsinr.errors import HsinrError
from xhsinr.running.tasks import client_in_scope

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Run", "executor", "signal_handled"]

# Where a scheduler that another process started can listen, as this package reaches it.
_SCHEMES = ("", "tcp", "tls", "ws", "wss")
_LOOK = 1.0  # seconds between looks at whether the scheduler is there

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
        yield _here if client is None else partial(_there, client, gpu)


def _here(work: Work[J, R], jobs: Sequence[J]) -> Iterator[tuple[J, R]]:
    for job in jobs:
        yield job, work(job, CPU_COUNT, 1)


def _there(
    client: Client, gpu: bool, work: Work[J, R], jobs: Sequence[J]
) -> Iterator[tuple[J, R | BaseException]]:
    from xhsinr.running.cluster import gpu_resources, one_thread_each

    gone = HsinrError("the dask scheduler is gone: start it, and run this again")
    if client.status == "closed":
        yield from ((job, gone) for job in jobs)
        return
    resources = gpu_resources(client) if gpu else {}
    futures = {
        client.submit(one_thread_each, work, job, pure=False, resources=resources): job
        for job in jobs
    }
    # dask's own as_completed waits for ever where the client has closed meanwhile.
    done: SimpleQueue[Any] = SimpleQueue()
    for future in futures:
        future.add_done_callback(done.put)
    try:
        while futures:
            try:
                future = done.get(timeout=_LOOK)
            except Empty:
                if client.status != "closed":
                    continue
                yield from ((job, gone) for job in futures.values())
                futures.clear()
                return
            try:
                error = future.exception()
                result = future.result() if error is None else error
            except (Exception, CancelledError) as lost:  # of a scheduler that is gone
                result = lost
            yield futures.pop(future), result
            # So that the workers forget it.
            del future
    finally:
        with contextlib.suppress(Exception):
            client.cancel(list(futures))


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
