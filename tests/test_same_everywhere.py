"""The same file from any number of threads, and the same samples from it on any machine.

Another machine is played by another instruction set: NumPy and OpenBLAS are told to do without
those that this machine has, in a process of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr
from threadpoolctl import threadpool_info, threadpool_limits

import xhsinr
from xhsinr.demo import synthetic_scene
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.file import Sidecar

TARGETS: dict[str, dict[str, Any]] = {
    "preview": {"quality": "preview"},
    "standard": {"quality": "standard"},
    "analysis": {"quality": "analysis"},
    "archive": {"quality": "archive"},
    "lossless": {"lossless": True},
    "max-error": {"max_error": 3},
    "max-error-floats": {"max_error": 0.5},
    "lossless-floats": {"lossless": True},
}
OLD_PROCESSOR = {
    "OMP_NUM_THREADS": "1",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Nehalem",
}

REAL_SCENES = ("jasper_ridge_198", "paviau_140x80", "indian_pines_48")


def digests(paths: list[str]) -> dict[str, str]:
    """Of the samples of each file."""
    found = {}
    for path in paths:
        decoded = Reader(Sidecar.open(Path(path)))[:, :, :]
        found[path] = hashlib.sha256(decoded.tobytes()).hexdigest()
    return found


DECODE = f"""
import hashlib, json, sys
from pathlib import Path
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.file import Sidecar
{inspect.getsource(digests)}
print(json.dumps(digests(sys.argv[1:])))
"""


@contextlib.contextmanager
def working(threads: int) -> Iterator[None]:
    """With so many threads, of dask and of BLAS."""
    with dask.config.set(num_workers=threads), threadpool_limits(threads, "blas"):
        pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
        assert {pool["num_threads"] for pool in pools} == {threads}
        yield


def original(name: str) -> xr.DataArray:
    scene = synthetic_scene(40, 52, 12, seed=6, nodata_corner=True)
    if not name.endswith("floats"):
        return scene
    floats = np.sqrt(scene.where(scene >= 0)).astype("f4")
    floats.attrs = {}
    return floats


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("everywhere")
    for name, target in TARGETS.items():
        path = folder / f"{name}.hsinr"
        xhsinr.compress(
            original(name), path, tile=16, device="cpu", overwrite=True, progress=False, **target
        )
    return folder


@pytest.fixture(scope="module")
def real_folder(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real scenes at a low rate and at 45 dB."""
    folder = tmp_path_factory.mktemp("real")
    for name in REAL_SCENES:
        cube = np.load(scenes / f"{name}.npy")
        for number, target in enumerate(({"quality": "preview"}, {"psnr": 45})):
            path = folder / f"{name}-{number}.hsinr"
            xhsinr.compress(cube, path, tile=64, device="cpu", progress=False, **target)
    return folder


def test_every_machine_decodes_the_same(folder: Path, real_folder: Path) -> None:
    paths = [str(path) for made in (folder, real_folder) for path in made.glob("*.hsinr")]
    assert len(paths) == len(TARGETS) + 2 * len(REAL_SCENES)
    with working(2):
        here = digests(paths)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DECODE, *paths],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | OLD_PROCESSOR,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == here


@pytest.mark.parametrize("name", TARGETS)
def test_bounds_hold_and_lossless_is_exact(folder: Path, name: str) -> None:
    target, scene = TARGETS[name], original(name)
    back = xhsinr.open(folder / f"{name}.hsinr").open()
    if target.get("lossless"):
        assert back.values.tobytes() == scene.values.tobytes()
    limit = target.get("max_error")
    if limit is not None:
        apart = np.abs(np.nan_to_num(back.values.astype(float)) - np.nan_to_num(scene.values))
        assert apart.max() <= limit


# Processes are slow to start: one.
@pytest.mark.parametrize(
    ("scheduler", "workers"), [("synchronous", 1), ("threads", 2), ("processes", 1)]
)
def test_every_scheduler_decodes_the_same(folder: Path, scheduler: str, workers: int) -> None:
    paths = [folder / f"{name}.hsinr" for name in ("preview", "standard", "archive")]
    lazy = [
        xr.open_dataset(path, engine="hsinr", chunks={}, mask_and_scale=False)["reflectance"]
        for path in paths
    ]
    found = dask.compute(*lazy, scheduler=scheduler, num_workers=workers)
    for path, one in zip(paths, found, strict=True):
        whole = Reader(Sidecar.open(path))[:, :, :]
        np.testing.assert_array_equal(one.values.view(np.uint8), whole.view(np.uint8))


@pytest.mark.parametrize("name", [name for name in TARGETS if "floats" not in name])
def test_threads_do_not_change_a_byte(tmp_path: Path, name: str) -> None:
    made = []
    for threads in (1, 2):
        path = tmp_path / f"{threads}.hsinr"
        with working(threads):
            xhsinr.compress(
                original(name).chunk(x=20), path, tile=16, device="cpu", progress=False,
                **TARGETS[name],
            )  # fmt: skip
        made.append(path.read_bytes())
    assert made[0] == made[1]
