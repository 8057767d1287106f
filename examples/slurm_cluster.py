"""Archive scenes on a Slurm cluster: up to 64 jobs, which come and go.

    pip install dask-jobqueue
    python examples/slurm_cluster.py SOURCE OUT

Run it where it may run for days: on a login node in tmux, or as a job of its own. Workers
leave before their hour is over, at different times, and finish the scene in hand first or
hand it on; others take their places. Stopped or killed, start it again: finished scenes are
skipped. SOURCE and OUT lie on a file system that all nodes share.
"""

from __future__ import annotations

import sys

import xhsinr

WALLTIME, LIFETIME, STAGGER = "01:00:00", "50m", "5m"
MEMORY = 16


def main(source: str, out: str) -> bool:
    from dask.distributed import Client
    from dask_jobqueue import SLURMCluster

    with (
        SLURMCluster(
            cores=8,
            processes=8,  # a thread a process: scenes share no interpreter
            memory=f"{MEMORY} GB",
            walltime=WALLTIME,
            worker_extra_args=["--lifetime", LIFETIME, "--lifetime-stagger", STAGGER],
        ) as cluster,
        Client(cluster) as client,
    ):
        cluster.adapt(minimum_jobs=1, maximum_jobs=64)
        print(f"dashboard: {client.dashboard_link}")
        report = xhsinr.archive(source, out, max_memory=f"{MEMORY / 8 * 0.8} GB")
    print(report)
    return report.ok


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(0 if main(*sys.argv[1:]) else 1)
