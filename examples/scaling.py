"""What a batch needs on more workers than are here: measured on some scenes, then simulated.

    python examples/scaling.py SCENES [--scenes 10000] [--gigabytes 1.8] [--max-memory "1.5 GB"]

Archives the scenes of the folder SCENES with one worker process and with two, then feeds a dask
scheduler with tasks that only sleep, of the messages and results of the real ones, on up to 256
threads of one process in the place of workers. A task sleeps 2 s, far less than a scene takes:
what the scheduler costs shows more than in what it stands for.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import cloudpickle

import xhsinr
from xhsinr import stac
from xhsinr.archiving.job import Job
from xhsinr.archiving.table import ArchiveReport, Row
from xhsinr.target import Settings

_WORKERS = (1, 16, 256)
_TASKS_PER_WORKER = 8
_EMPTY_TASKS = 4000
_SIMULATED_SECONDS = 2.0


class Measured(NamedTuple):
    """Of one worker: bytes of scenes in a second, bytes written a byte of scene."""

    throughput: float
    stored: float
    peak_memory: int
    speedup: float


def measure(source: str, max_memory: str | None) -> Measured:
    reports = {}
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as out:
            reports[workers] = xhsinr.archive(
                source, out, workers=workers, max_memory=max_memory, progress=False
            )
        if not reports[workers].ok:
            raise SystemExit(repr(reports[workers]))
    scenes = reports[1].rows
    print("| scene | MB | seconds | MB/s | peak memory, MB |\n|---|---|---|---|---|")
    for row in scenes:
        size = (row.original_bytes or 0) / 1e6
        seconds, peak = row.seconds or 1.0, (row.peak_memory or 0) / 1e6
        print(f"| {row.id} | {size:.0f} | {seconds:.1f} | {size / seconds:.1f} | {peak:.0f} |")
    total = sum(row.original_bytes or 0 for row in scenes)
    stored = sum(row.bytes or 0 for row in scenes)
    peak = max(row.peak_memory or 0 for report in reports.values() for row in report.rows)
    one, two = longest(reports[1]), longest(reports[2])
    return Measured(total / one, stored / total, peak, one / two)


def longest(report: ArchiveReport) -> float:
    """Seconds of the worker that was longest at it; how long workers take to start is left out."""
    by_worker: dict[str, float] = {}
    for row in report.rows:
        by_worker[row.worker] = by_worker.get(row.worker, 0.0) + (row.seconds or 0.0)
    return max(by_worker.values())


def message(source: str) -> tuple[Job, Row]:
    """What goes to a worker for a scene, and what comes back."""
    scene = next(iter(stac.sources(source)))
    job = Job(scene, Path("/archive/of/scenes"), Settings(), {"target": {}}, None)
    return job, Row(scene.id, "done", 1, 1, 1.0, 1.0, 1.0, 1.0, 1.0, "node0001:12345", 1)


def simulate(threads: int, tasks: int, seconds: float, job: Job, row: Row) -> float:
    """Seconds that sleeping tasks take on a process of so many threads."""
    from distributed import Client, LocalCluster, as_completed

    def sleep(_: Job) -> Row:
        time.sleep(seconds)
        return row

    with (
        LocalCluster(n_workers=1, threads_per_worker=threads, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        client.submit(sleep, job, pure=False).result()
        start = time.perf_counter()
        futures = [client.submit(sleep, job, pure=False) for _ in range(tasks)]
        for _ in as_completed(futures):
            pass
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source")
    parser.add_argument("--scenes", type=int, default=10_000)
    parser.add_argument("--gigabytes", type=float, default=1.8)
    parser.add_argument("--max-memory")
    given = parser.parse_args()
    found = measure(given.source, given.max_memory)
    seconds = given.gigabytes * 1e9 / found.throughput
    job, row = message(given.source)
    size = len(cloudpickle.dumps(job)) + len(cloudpickle.dumps(row))
    print(
        f"\none worker {found.throughput / 1e6:.1f} MB/s, two {found.speedup:.2f} times that; "
        f"peak memory {found.peak_memory / 1e6:.0f} MB; a scene of {given.gigabytes:g} GB takes "
        f"{seconds:.0f} s, is stored in {found.stored * given.gigabytes * 1e3:.1f} MB, and is "
        f"one task of {size:,} bytes to and from its worker\n"
    )
    print("| workers | hours | filled in simulation |\n|---|---|---|")
    for workers in _WORKERS:
        tasks = _TASKS_PER_WORKER * workers
        ideal = _TASKS_PER_WORKER * _SIMULATED_SECONDS
        filled = ideal / simulate(workers, tasks, _SIMULATED_SECONDS, job, row)
        hours = given.scenes * seconds / workers / filled / 3600
        print(f"| {workers} | {hours:,.1f} | {filled:.0%} |", flush=True)
    rate = _EMPTY_TASKS / simulate(16, _EMPTY_TASKS, 0.0, job, row)
    print(f"\nempty tasks: {rate:.0f} a second, as many as {rate * seconds:,.0f} workers finish")


if __name__ == "__main__":
    main()
