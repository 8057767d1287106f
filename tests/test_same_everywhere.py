"""The same file from any number of threads, and the same samples from it on any machine.

Other machines are played by other instruction sets: NumPy and OpenBLAS are told to do without
those that this machine has, in processes of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr

import xhsinr
from xhsinr.demo import synthetic_scene
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.file import Sidecar

TESTS = Path(__file__).parent
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
MACHINES = {
    "two threads": {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
    "an old processor, one thread": {
        "OMP_NUM_THREADS": "1",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
}

REAL_SCENES = ("jasper_ridge_198", "paviau_140x80", "indian_pines_48")

# Digests of the samples of each file.
DECODE = """
import hashlib, json, sys
from pathlib import Path
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.file import Sidecar

found = {}
for path in sys.argv[1:]:
    decoded = Reader(Sidecar.open(Path(path)))[:, :, :]
    found[path] = hashlib.sha256(decoded.tobytes()).hexdigest()
print(json.dumps(found))
"""

# The same scene from each of the targets, with as many threads as are named.
ENCODE = """
import hashlib, json, sys
from pathlib import Path
import dask
import xhsinr
from xhsinr.demo import synthetic_scene

threads, folder, targets = int(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
scene = synthetic_scene(40, 52, 12, seed=6, nodata_corner=True)
with dask.config.set(num_workers=threads):
    for name, target in targets.items():
        path = folder / f"{name}.hsinr"
        xhsinr.compress(scene.chunk(x=20), path, tile=16, device="cpu", progress=False, **target)
        print(name, hashlib.sha256(path.read_bytes()).hexdigest())
"""


def run(script: str, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"PYTHONPATH": str(TESTS)} | environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


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
    found = [json.loads(run(DECODE, *paths, **there)) for there in MACHINES.values()]
    assert [*found[0]] == paths
    for machine, digests in zip(MACHINES, found, strict=True):
        assert digests == found[0], machine


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


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_every_scheduler_decodes_the_same(folder: Path, scheduler: str) -> None:
    paths = [folder / f"{name}.hsinr" for name in ("preview", "standard", "archive")]
    lazy = [
        xr.open_dataset(path, engine="hsinr", chunks={}, mask_and_scale=False)["reflectance"]
        for path in paths
    ]
    # At once: processes are slow to start.
    found = dask.compute(*lazy, scheduler=scheduler, num_workers=2)
    for path, one in zip(paths, found, strict=True):
        whole = Reader(Sidecar.open(path))[:, :, :]
        np.testing.assert_array_equal(one.values.view(np.uint8), whole.view(np.uint8))


def test_threads_do_not_change_a_byte(tmp_path: Path) -> None:
    targets = {name: target for name, target in TARGETS.items() if "floats" not in name}
    digests = []
    for threads in ("1", "2"):
        out = tmp_path / threads
        out.mkdir()
        count = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        digests.append(run(ENCODE, threads, str(out), json.dumps(targets), **count))
    assert digests[0] == digests[1]
    assert len(digests[0].splitlines()) == len(targets)
