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
from latent_integers import latent_integers

import xhsinr
from xhsinr.coding import old_latents as latents
from xhsinr.coding.latent_coding import LatentCoding
from xhsinr.demo import synthetic_scene
from xhsinr.network import siren
from xhsinr.network.siren import forward
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.file import Sidecar
from xhsinr.tiling import Patching

TESTS = Path(__file__).parent
SHIFT_NETWORK = str(TESTS / "data" / "golden-v1.safetensors")
TARGETS: dict[str, dict[str, Any]] = {
    "preview": {"quality": "preview"},
    "preview-shift": {"quality": "preview", "network": SHIFT_NETWORK},
    "standard": {"quality": "standard"},
    "analysis": {"quality": "analysis"},
    "archive": {"quality": "archive"},
    "lossless": {"lossless": True},
    "max-error": {"max_error": 3},
    "max-error-floats": {"max_error": 0.5},
    "lossless-floats": {"lossless": True},
}
MACHINES = {
    "one thread": {"OMP_NUM_THREADS": "1"},
    "two threads": {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
    "an old processor": {
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
}

REAL_SCENES = ("jasper_ridge_198", "paviau_140x80", "indian_pines_48")

# Digests of the latents and of the samples of each file, and the samples themselves.
DECODE = """
import hashlib, json, sys
from pathlib import Path
import numpy as np
from latent_integers import latent_integers
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.file import Sidecar

found, samples = {}, {}
for path in sorted(Path(sys.argv[1]).glob("*.hsinr")):
    reader, digest = Reader(Sidecar.open(path)), hashlib.sha256()
    for number in range(len(reader.tiling)):
        digest.update(latent_integers(reader, number).astype("<i4").tobytes())
    samples[path.stem] = decoded = reader[:, :, :]
    found[path.stem] = [digest.hexdigest(), hashlib.sha256(decoded.tobytes()).hexdigest()]
np.savez(sys.argv[2], **samples)
print(json.dumps(found))
"""

# The same scene from each of the targets, with as many threads as are named.
ENCODE = """
import hashlib, json, sys
from pathlib import Path
import dask, torch
import xhsinr
from xhsinr.demo import synthetic_scene

threads, folder, targets = int(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
torch.set_num_threads(threads)
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
    """Previews of real scenes, by the package's own network."""
    folder = tmp_path_factory.mktemp("real")
    for name in REAL_SCENES:
        path, cube = folder / f"{name}.hsinr", np.load(scenes / f"{name}.npy")
        xhsinr.compress(cube, path, quality="preview", tile=64, device="cpu", progress=False)
    return folder


def test_every_machine_decodes_the_same(folder: Path, tmp_path: Path) -> None:
    check_machines(folder, tmp_path)


def test_every_machine_decodes_real_scenes_the_same(real_folder: Path, tmp_path: Path) -> None:
    check_machines(real_folder, tmp_path)


def check_machines(folder: Path, out: Path) -> None:
    found, samples = {}, {}
    for machine, environment in MACHINES.items():
        file = out / f"{machine}.npz"
        found[machine] = json.loads(run(DECODE, str(folder), str(file), **environment))
        with np.load(file) as arrays:
            samples[machine] = dict(arrays)
    first, *others = MACHINES
    assert found[first].keys() == {path.stem for path in folder.glob("*.hsinr")}
    for machine in others:
        for name, (latents_there, samples_there) in found[first].items():
            assert found[machine][name][0] == latents_there, (machine, name)
            if "bound" in Sidecar.open(folder / f"{name}.hsinr").header:
                assert found[machine][name][1] == samples_there, (machine, name)
            one, other = samples[first][name], samples[machine][name]
            # Without a promise of exactness, rounding may fall to the other side.
            assert np.array_equal(np.isnan(one), np.isnan(other)), (machine, name)
            apart = np.abs(np.nan_to_num(one).astype(float) - np.nan_to_num(other))
            assert apart.max() <= (1 if one.dtype.kind in "iu" else 1e-4 * np.nanmax(one)), name


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
    for name in ("preview", "preview-shift", "archive"):
        path = folder / f"{name}.hsinr"
        whole = Reader(Sidecar.open(path))[:, :, :]
        with dask.config.set(scheduler=scheduler, num_workers=2):
            lazy = xr.open_dataset(path, engine="hsinr", chunks={})["reflectance"].compute()
        assert lazy.values.tobytes() == whole.tobytes()


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


def first_tile(path: Path) -> tuple[LatentCoding, np.ndarray, Patching]:
    """How the latents of the first tile of a file are coded, those, and the patches."""
    reader = Reader(Sidecar.open(path))
    coding = reader.codec.latents
    assert coding is not None
    network, even = coding.network, coding.network.contexts is not None
    patching = Patching(*reader.tiling.shape(0), network.patch, even)
    integers = latent_integers(reader, 0)
    if network.contexts is None:
        return coding, latents.dequantise(integers, network, coding.level), patching
    vectors = np.zeros((len(patching), network.siren.outputs, network.siren.atoms), np.float32)
    vectors[:, : len(integers)] = integers.reshape(*integers.shape[:2], -1).transpose(2, 0, 1)
    # Atoms are of unit length on a whole patch, and are scaled to be so on smaller ones.
    scale = network.patch / np.sqrt(np.prod(patching.shape)) * latents.scene_step(coding.level)
    return coding, vectors.reshape(len(patching), -1) * np.float32(scale), patching


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("name", ["preview", "preview-shift"])
def test_torch_decodes_what_numpy_does(folder: Path, name: str, device: str, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU")
    coding, vectors, patching = first_tile(folder / f"{name}.hsinr")
    network, grid = coding.network, siren.pixel_grid(*patching.shape)
    expected = forward(network.siren, network.parameters, grid, vectors)

    def tensor(values: np.ndarray) -> Any:
        return torch.from_numpy(values.astype(dtype)).to(device)

    parameters = {name: tensor(values) for name, values in network.parameters.items()}
    found = forward(network.siren, parameters, tensor(grid), tensor(vectors)).cpu().numpy()
    # Planes are scaled to about one; float32 keeps seven digits of sums of hundreds of terms.
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", REAL_SCENES)
def test_float32_is_precise_enough_for_real_scenes(real_folder: Path, name: str) -> None:
    """Planes of the package's own network against the same formula in float64."""
    path = real_folder / f"{name}.hsinr"
    coding, vectors, patching = first_tile(path)
    network = coding.network
    parameters = {key: value.astype(np.float64) for key, value in network.parameters.items()}
    y, x = ((2 * np.indices(patching.shape).T + 1) / patching.shape - 1).T
    grid = np.stack([x.ravel(), y.ravel()], axis=1)
    exact = coding.unit * forward(network.siren, parameters, grid, vectors.astype(np.float64))
    reader = Reader(Sidecar.open(path))
    coded, components = reader.sidecar.payload(0)["latents"], reader.codec.basis.components
    planes = coding.decode(coded, components, patching.rows, patching.cols)
    apart = np.abs(planes - patching.join(exact)[: len(planes)])
    # Of a rounding error of the largest score, and so of what a sample is rounded to.
    assert apart.max() <= 3e-6 * np.abs(planes).max()
    assert apart.max() < 0.05


@pytest.mark.parametrize("device", ["cuda"])
def test_a_gpu_writes_what_every_machine_decodes(tmp_path: Path, device: str) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    path = tmp_path / "a.hsinr"
    handle = xhsinr.compress(
        original("preview"), path, quality="preview", tile=16, device=device, progress=False
    )
    assert xhsinr.verify(path, against=original("preview"), progress=False).valid
    on_cpu = xhsinr.compress(
        original("preview"), tmp_path / "b.hsinr", quality="preview", tile=16, device="cpu",
        progress=False,
    )  # fmt: skip
    assert abs(handle.info["psnr_db"] - on_cpu.info["psnr_db"]) < 0.1
    one, other = (
        np.concatenate([latent_integers(reader, number).ravel() for number in range(12)])
        for reader in (Reader(Sidecar.open(tmp_path / name)) for name in ("a.hsinr", "b.hsinr"))
    )
    # Sums in another order: what lies between two integers may fall to the other.
    assert np.mean(one != other) < 0.01
