"""Archive scenes with the GPUs of one machine: a dask worker for each.

    pip install dask-cuda
    python examples/cuda_cluster.py SOURCE OUT

Score planes are coded on the GPU, into the bytes that the CPU makes of them; bases, reports and
what is lossless or bounded are left to the CPU.
"""

from __future__ import annotations

import sys

import xhsinr


def main(source: str, out: str) -> bool:
    from dask.distributed import Client
    from dask_cuda import LocalCUDACluster

    # A thread a GPU, and the resource that tasks ask for.
    with (
        LocalCUDACluster(threads_per_worker=1, resources={"GPU": 1}) as cluster,
        Client(cluster) as client,
    ):
        print(f"dashboard: {client.dashboard_link}")
        report = xhsinr.archive(source, out, device="cuda")
    print(report)
    return report.ok


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(0 if main(*sys.argv[1:]) else 1)
