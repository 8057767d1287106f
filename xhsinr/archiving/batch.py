"""Batches: many scenes into one archive, whatever happens on the way."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from xhsinr import stac
from xhsinr.archiving.executors import Run, executor, signal_handled
from xhsinr.archiving.files import origins_in
from xhsinr.archiving.folder import check_free, keep_network, one_run, with_own_ids
from xhsinr.archiving.job import Job, do, finished
from xhsinr.archiving.memory import agree
from xhsinr.archiving.table import ArchiveReport, Row, write_table
from xhsinr.compression.control import gains_by_gpu, may_use
from xhsinr.compression.pipeline import check_settings
from xhsinr.errors import HsinrError, NetworkError
from xhsinr.folders import at, located, name_of
from xhsinr.network.file import Network
from xhsinr.network.places import load_network
from xhsinr.progress import bar
from xhsinr.target import Options, Settings, takes_settings

__all__ = ["archive"]


@takes_settings
def archive(
    source: str | Path,
    out: str | Path,
    *,
    collection: str | Sequence[str] | None = None,
    bbox: Sequence[float] | None = None,
    datetime: str | None = None,
    scheduler: str | None = None,
    workers: int | None = None,
    retries: int = 2,
    overwrite: bool = False,
    progress: bool = True,
    **options: Unpack[Options],
) -> ArchiveReport:
    """Compress many scenes into an archive: sidecars, previews and a STAC catalog.

    Each scene gets a folder with its sidecar, a preview, its figures and its STAC item. A scene
    that is finished, and whole, is skipped by the next run, so a run that was stopped is started
    again as it was; a scene whose source changed is done again. The archive remembers what it was
    asked for: a run without options goes on with that. Nothing else in the folder is replaced or
    removed. What is wrong with a scene is a row of the report, and the others go on. Stopped by
    Ctrl-C or SIGTERM, it drops the scenes in hand and writes the catalog and the report of what
    there is.

    Parameters
    ----------
    source : str or Path
        A STAC catalog, collection, item or ItemCollection, or a folder or a glob of scenes, see
        `xhsinr.stac.sources`; of these, each may be a URL. Or the URL of a STAC API, to search.
    out : str or Path
        Folder of the archive; made if it is not there. On a cluster its workers write to it, so
        they have to share it. Or a URL in an object store, ``s3://bucket/archive``, which needs
        no folder that is shared; see `docs/stac.md`.
    collection, bbox, datetime : optional
        What to search a STAC API for: names of collections, west, south, east, north in degrees,
        and a moment or an interval such as ``"2024-06/2024-08"``.
    scheduler : str, optional
        Address of a dask scheduler. Each thread of its workers takes a scene at a time.
    workers : int, optional
        Processes to start on this machine in place of that (in a script, below
        ``if __name__ == "__main__":``). Without both, a dask.distributed client in scope does
        the work, else this process, a scene at a time, its tiles shared by the cores.
    retries : int
        How often a scene that failed is tried again, after all others.
    overwrite : bool
        Replace the scenes of an archive that was asked for something else, and folders of scenes
        that lost their item.
    progress : bool
        Show a bar on a terminal.
    **options
        As for `xhsinr.compress`, see `xhsinr.target.Settings`. The threads of a worker share
        ``max_memory``.

    Returns
    -------
    ArchiveReport
        Also on disk as ``report.csv``.

    Raises
    ------
    HsinrError
        If there is nothing to do, the settings are wrong or others than the archive's, another
        run writes to ``out``, or something there is not the archive's own and would be replaced.
    """
    out = located(out)
    if retries < 0:
        raise HsinrError(f"retries = {retries}: it should be a whole number from 0 on")
    settings = Settings(**options)
    check_settings(settings)
    named = (collection,) if isinstance(collection, str) else tuple(collection or ())
    search = stac.Search(named, None if bbox is None else tuple(bbox), datetime)
    found = list(stac.sources(source, search))
    with one_run(out), signal_handled(signal.SIGTERM, _exit):
        origins = origins_in(out)
        scenes = with_own_ids(found, origins)
        check_free(out, scenes, origins, overwrite=overwrite)
        memory, settings = agree(out, settings, overwrite=overwrite)
        base = held = None
        target = settings.target(np.dtype(np.float64))
        if settings.network is not None:
            if isinstance(out, str):
                raise NetworkError(
                    f"{out}: an archive in a store has no base network of your own: archive to a "
                    "folder with it, and copy that"
                )
            base = load_network(settings.network, near=out / "networks" / "any.hsinr")
            if may_use(base, target):
                held = keep_network(base, out)
                settings = replace(settings, network=held)
                memory = replace(memory, network=f"networks/{held.name}")
        request = _request(settings, base if held else None)
        jobs = [Job(scene, out, memory.id, settings, request, held) for scene in scenes]
        rows = {job.source.id: Row(job.source.id, "pending") for job in jobs}
        with executor(scheduler, workers, gpu=gains_by_gpu(base, target, settings.device)) as run:
            memory.write(out)
            try:
                results = _with_retries(run, jobs, retries)
                shown = bar(results, name_of(out), len(jobs), unit="scene", progress=progress)
                for row in shown:
                    rows[row.id] = row
            finally:
                report = ArchiveReport(at(out, "report.csv"), tuple(rows.values()))
                stac.write_catalog(out)
                write_table(report.rows, Row, report.path)
    return report


def _with_retries(run: Run, jobs: list[Job], retries: int) -> Iterator[Row]:
    """Rows of all jobs; those that failed are tried again once the others are through."""
    for left in range(retries, -1, -1):
        again = []
        for job, result in run(do, jobs):
            row = result
            if isinstance(result, BaseException):
                # Not the scene's fault as far as is known: its worker died.
                error = " ".join(f"{type(result).__name__}: {result}".split())
                row = Row(job.source.id, "failed", error=error)
            elif row.status in ("done", "skipped") and not _is_here(job):
                row = replace(
                    row,
                    status="failed",
                    error=f"{row.worker} has done it, and it is not in {job.out} here: give a "
                    "folder that this machine and the workers share",
                )
            if row.status == "failed" and left:
                again.append(job)
            else:
                yield row
        jobs = again


def _is_here(job: Job) -> bool:
    """Whether a scene that is done can be seen here; file systems may take a moment to show it.

    A store is the same for all.
    """
    if isinstance(job.out, str):
        return True
    for seconds in (0.0, 0.1, 1.0, 3.0):
        time.sleep(seconds)
        if finished(job, None) is not None:
            return True
    return False


def _request(settings: Settings, network: Network | None) -> dict[str, Any]:
    """What of the settings decides the result."""
    told: dict[str, Any] = {"target": settings.target(np.dtype(np.float64)).to_header()}
    if settings.tile is not None:
        told["tile"] = settings.tile
    return told if network is None else told | {"network": network.digest}


def _exit(number: int, _: Any) -> None:
    """End the run as Ctrl-C does, with everything cleaned up."""
    sys.exit(128 + number)
