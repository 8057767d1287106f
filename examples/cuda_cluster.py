"""Archive scenes with the GPUs of one machine: a dask worker for each.

    pip install dask-cuda
    python examples/cuda_cluster.py SOURCE OUT

Latents are fitted on the GPU, so it pays for the quality ``preview`` and for networks of your
own; the other layers are coded on the CPU.
"""

from __future__ import annotations

import sys

import xhsinr


def main(source: str, out: str) -> bool:
    from dask.distributed import Client
    from dask_cuda import LocalCUDACluster

    # A thread a GPU, and the resource that tasks which fit latents ask for.
    with (
        LocalCUDACluster(threads_per_worker=1, resources={"GPU": 1}) as cluster,
        Client(cluster) as client,
    ):
        print(f"dashboard: {client.dashboard_link}")
        report = xhsinr.archive(source, out, quality="preview", device="cuda")
    print(report)
    return report.ok


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(0 if main(*sys.argv[1:]) else 1)
