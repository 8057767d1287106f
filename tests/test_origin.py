"""Files that change while a scene is read from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xhsinr
from xhsinr.compression import passes
from xhsinr.demo import synthetic_scene
from xhsinr.errors import SceneError
from xhsinr.scene.npy import open_npy
from xhsinr.scene.origin import Origin


@pytest.fixture
def cube(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 1000, (30, 20, 6)).astype(np.int16)


def write_envi(folder: Path, cube: np.ndarray) -> tuple[Path, Path]:
    cube.transpose(2, 0, 1).tofile(folder / "scene.img")
    (folder / "scene.hdr").write_text(
        "ENVI\nsamples = 20\nlines = 30\nbands = 6\nheader offset = 0\ndata type = 2\n"
        "interleave = bsq\nbyte order = 0\n"
    )
    return folder / "scene.img", folder / "scene.hdr"


@pytest.mark.parametrize("given", [0, 1])
@pytest.mark.parametrize("changed", [0, 1])
def test_a_source_that_changes_meanwhile_is_refused(
    cube: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: int, changed: int
) -> None:
    files = write_envi(tmp_path, cube)
    out = tmp_path / "scene.hsinr"
    out.write_bytes(b"precious")
    survey = passes.survey

    def disturbed(*arguments):
        files[changed].write_bytes(files[changed].read_bytes() + b"\n")
        return survey(*arguments)

    monkeypatch.setattr(passes, "survey", disturbed)
    with pytest.raises(SceneError, match=f"{files[changed].name} changed while it was read"):
        xhsinr.compress(files[given], out, overwrite=True, progress=False)
    assert out.read_bytes() == b"precious"
    assert {file.name for file in tmp_path.iterdir()} == {"scene.img", "scene.hdr", "scene.hsinr"}


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2, 0)])
def test_windows_of_an_npy_file_are_those_of_its_array(
    cube: np.ndarray, tmp_path: Path, order: str, axes: tuple[int, int, int]
) -> None:
    cube = cube.transpose(axes)
    np.save(tmp_path / "scene.npy", np.array(cube, order=order))
    samples = open_npy(tmp_path / "scene.npy").data
    assert np.array_equal(samples.compute(), cube)
    window = np.s_[3:17:2, 5:6, ::-1]
    assert np.array_equal(samples[window].compute(), cube[window])
    assert np.array_equal(samples[2, :, 1:3].compute(), cube[2, :, 1:3])


def test_an_npy_file_that_becomes_shorter_is_an_error_and_not_the_end_of_the_process(
    cube: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "scene.npy"
    np.save(path, cube)
    array = open_npy(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SceneError, match=r"scene\.npy has become shorter"):
        array.load()


def test_a_source_that_stays_as_it_is_is_compressed(tmp_path: Path) -> None:
    np.save(tmp_path / "scene.npy", synthetic_scene(16, 16, 8).transpose("y", "x", "band").values)
    assert xhsinr.compress(tmp_path / "scene.npy", lossless=True, progress=False).path.exists()


def test_a_chunk_of_a_zarr_store_that_changes_meanwhile_is_a_change(
    cube: np.ndarray, tmp_path: Path
) -> None:
    pytest.importorskip("zarr")
    stored = xr.Dataset({"cube": (("y", "x", "band"), cube)})
    stored.to_zarr(tmp_path / "cube.zarr", zarr_format=2)
    origin = Origin.of(tmp_path / "cube.zarr")
    origin.check()
    files = [file for file in (tmp_path / "cube.zarr" / "cube").rglob("*") if file.is_file()]
    chunk = max(files, key=lambda file: file.stat().st_size)
    chunk.write_bytes(chunk.read_bytes() + b"more")
    with pytest.raises(SceneError, match="changed while it was read"):
        origin.check()


def test_a_file_behind_a_url_that_changes_meanwhile_is_a_change(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    store.pipe_file("/origin/scene.tif", b"before")
    origin = Origin.of("memory://origin/scene.tif")
    origin.check()
    store.pipe_file("/origin/scene.tif", b"after it")
    with pytest.raises(SceneError, match="changed while it was read"):
        origin.check()
    store.rm("/origin", recursive=True)
    origin.check()  # of what is not told, nothing is known to have changed
