"""A lazy source is computed once: kept in memory, in a scratch file, or read again where cheap."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
import rasterio
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xhsinr
from xhsinr.demo import synthetic_scene
from xhsinr.errors import SceneError
from xhsinr.running import kept
from xhsinr.running.kept import KeptSamples

TARGETS: tuple[dict[str, Any], ...] = (
    {"quality": "standard"},
    {"psnr": 42},
    {"max_error": 4},
    {"lossless": True},
    {"bpppb": 1.0},
    {"quality": "preview"},
)


class Source:
    """An array whose chunks are counted as they are computed."""

    def __init__(self, cube: np.ndarray, chunks: Any) -> None:
        self.calls = 0
        lock = threading.Lock()

        def counted(block: np.ndarray) -> np.ndarray:
            with lock:
                self.calls += 1
            return block

        whole = dask.array.from_array(cube, chunks=chunks)
        self.lazy = whole.map_blocks(counted, dtype=cube.dtype, meta=cube[:0, :0, :0])


@pytest.fixture
def cube() -> np.ndarray:
    return synthetic_scene(70, 90, 8).values


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_each_chunk_is_computed_once_whatever_the_target(
    cube: np.ndarray, tmp_path: Path, target: dict[str, Any]
) -> None:
    source = Source(cube, (3, 30, 25))
    scene = xr.DataArray(source.lazy, dims=("band", "y", "x"), name="scene")
    made = xhsinr.compress(scene, tmp_path / "a.hsinr", tile=32, progress=False, **target)
    assert source.calls == source.lazy.npartitions
    assert made.passes == 1
    assert ("source", "read once") in made.lines()
    scene = scene.copy(data=cube)
    again = xhsinr.compress(scene, tmp_path / "b.hsinr", tile=32, progress=False, **target)
    assert made.path.read_bytes() == again.path.read_bytes()


@pytest.mark.parametrize("limit", [0, 10**9])
@pytest.mark.parametrize("cheap", [True, False])
def test_windows_are_those_of_the_array(
    cube: np.ndarray,
    tmp_path: Path,
    limit: int,
    cheap: bool,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.setattr(kept, "_DEAR", 0 if cheap else 1e30)
    samples = KeptSamples(Source(cube, (3, 30, 25)).lazy, 32, limit, tmp_path)
    request.addfinalizer(samples.close)

    def side(size: int) -> st.SearchStrategy[slice]:
        cuts = st.lists(st.integers(0, size), min_size=2, max_size=2, unique=True)
        return cuts.map(lambda ends: slice(*sorted(ends)))

    @settings(max_examples=40, deadline=None)
    @given(side(70), side(90))
    def holds(rows: slice, cols: slice) -> None:
        assert np.array_equal(samples[:, rows, cols], cube[:, rows, cols])

    holds()


@pytest.mark.parametrize(("dear", "once"), [(1e30, True), (0, False)])
def test_what_does_not_fit_is_spooled_where_it_is_dear(
    cube: np.ndarray, tmp_path: Path, dear: float, once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "_DEAR", dear)
    source = Source(np.tile(cube, (1, 3, 3)), (8, 70, 90))
    with closing(KeptSamples(source.lazy, 32, 0, tmp_path)) as samples:
        for _ in range(3):
            for row in range(0, 210, 30):
                _ = samples[:, slice(row, row + 30), slice(0, 270)]
        assert (samples.passes == 1) == once
    assert not list(tmp_path.iterdir())


def test_a_disk_without_room_is_left_alone(
    cube: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "_DEAR", 1e30)
    monkeypatch.setattr(kept, "_DISK_SHARE", 1e15)
    samples = KeptSamples(Source(cube, (8, 35, 45)).lazy, 32, 0, tmp_path)
    for _ in range(2):
        assert np.array_equal(samples[:, slice(0, 70), slice(0, 90)], cube)
    assert samples.passes == 2


def test_an_error_of_the_source_comes_through_and_the_next_read_tries_again(
    cube: np.ndarray, tmp_path: Path
) -> None:
    fails = [True]

    def broken(block: np.ndarray) -> np.ndarray:
        if fails[0]:
            raise OSError("the disk is gone")
        return block

    lazy = dask.array.from_array(cube).map_blocks(broken, dtype=cube.dtype, meta=cube[:0, :0, :0])
    samples = KeptSamples(lazy, 32, 10**9, tmp_path)
    whole: Callable[[], np.ndarray] = lambda: samples[:, slice(0, 70), slice(0, 90)]  # noqa: E731
    with pytest.raises(SceneError, match=r"rows 0 to 69, columns 0 to 89.*the disk is gone"):
        whole()
    fails[0] = False
    assert np.array_equal(whole(), cube)


def test_small_chunks_of_a_file_are_read_in_large_pieces_and_named(
    cube: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scene.tif"
    profile = {"count": 8, "height": 70, "width": 90, "dtype": cube.dtype, "blockysize": 1}
    with rasterio.open(path, "w", driver="GTiff", interleave="band", **profile) as out:
        out.write(cube)
    scene = xr.open_dataset(path, engine="rasterio", chunks={}, mask_and_scale=False)
    assert scene["band_data"].data.npartitions == 560
    sizes: list[int] = []
    compute = dask.array.Array.compute

    def counted(self: dask.array.Array, **how: Any) -> Any:
        sizes.append(self.npartitions)
        return compute(self, **how)

    monkeypatch.setattr(dask.array.Array, "compute", counted)
    with pytest.warns(UserWarning, match=r"560 chunks of band=1 x y=1 x x=90.*chunks={'band': -1"):
        made = xhsinr.compress(scene, tmp_path / "a.hsinr", lossless=True, progress=False)
    assert sizes == [1]
    assert np.array_equal(made.open().values, cube)
