"""Windows decode what they touch and nothing else, and equal the whole."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xhsinr
from xhsinr.demo import synthetic_scene
from xhsinr.errors import DamagedSidecarError
from xhsinr.gdal.vrt import open_rasterio_dataset
from xhsinr.reading.reader import Reader
from xhsinr.reading.store import STORE_VARIABLE, shared_store
from xhsinr.sidecar.file import Sidecar

BANDS, ROWS, COLS, TILE = 9, 37, 45, 16
TARGETS = {
    "standard": {"quality": "standard"},
    "bound": {"max_error": 6},
    "preview": {"quality": "preview"},
}


@pytest.fixture(scope="module", params=TARGETS)
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reading") / f"{request.param}.hsinr"
    scene = synthetic_scene(ROWS, COLS, BANDS, nodata_corner=True)
    xhsinr.compress(scene, path, tile=TILE, progress=False, **TARGETS[request.param])
    return path


@pytest.fixture
def reader(path: Path) -> Reader:
    return Reader(Sidecar.open(path))


def everything(reader: Reader) -> np.ndarray:
    return reader[:, :, :]


def indices(size: int) -> st.SearchStrategy[np.ndarray]:
    return st.lists(st.integers(0, size - 1), max_size=6).map(lambda i: np.array(i, np.intp))


def test_any_window_equals_the_same_part_of_the_whole(path: Path) -> None:
    reader = Reader(Sidecar.open(path))
    whole = everything(reader)
    assert whole.shape == reader.shape == (BANDS, ROWS, COLS)
    assert whole.dtype == reader.dtype == np.int16

    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(indices(BANDS), indices(ROWS), indices(COLS))
    def holds(bands: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> None:
        found = reader.window(bands, rows, cols)
        assert found.dtype == whole.dtype
        assert np.array_equal(found, whole[np.ix_(bands, rows, cols)])

    holds()


def test_a_band_alone_decodes_to_the_same_as_among_all(reader: Reader) -> None:
    whole = reader.tile(4)
    for bands in ([3], [8, 0], [2, 2, 5], list(range(BANDS))):
        assert np.array_equal(reader.tile(4, np.array(bands)), whole[bands])


def test_only_the_tiles_that_a_window_touches_are_decoded(reader: Reader, tiles: list[int]) -> None:
    reader.window(np.arange(BANDS), np.array([20]), np.array([40]))
    assert tiles == [5]
    tiles.clear()
    reader.window(np.array([1]), np.array([0, 36]), np.array([44, 3]))
    assert tiles == [0, 2, 6, 8]
    tiles.clear()
    reader.window(np.array([], np.intp), np.array([0]), np.array([0]))
    assert tiles == []


def test_opening_and_describing_decode_nothing(path: Path, tiles: list[int]) -> None:
    reader = Reader(Sidecar.open(path))
    assert reader.scene().shape == reader.shape
    assert "codec" not in vars(reader)
    assert tiles == []


def test_a_pickled_reader_reads_the_same(reader: Reader) -> None:
    again = pickle.loads(pickle.dumps(reader))
    assert np.array_equal(everything(again), everything(reader))
    assert np.array_equal(everything(pickle.loads(pickle.dumps(again))), everything(reader))


def test_many_threads_read_the_same(reader: Reader) -> None:
    whole = everything(reader)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: everything(reader), range(8)))
    assert all(np.array_equal(one, whole) for one in found)


def test_the_lazy_array_has_a_chunk_for_each_tile(reader: Reader, tiles: list[int]) -> None:
    lazy = reader.to_dask()
    assert lazy.chunks == ((BANDS,), (16, 16, 5), (16, 16, 13))
    assert tiles == []
    assert np.array_equal(lazy.compute(scheduler="synchronous"), everything(reader))


DOORS = {
    "handle": lambda path: xhsinr.open(path).open().values,
    "xarray": lambda path: xr.open_dataset(path, engine="hsinr")["reflectance"].values,
    "dask": lambda path: xr.open_dataset(path, engine="hsinr", chunks={}).compute(),
    "a band through GDAL": lambda path: open_rasterio_dataset(path).read(3),
}


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_a_read_larger_than_the_store_decodes_each_tile_once(
    path: Path, tiles: list[int], monkeypatch: pytest.MonkeyPatch, door: Callable[[Path], object]
) -> None:
    monkeypatch.setenv(STORE_VARIABLE, "0")
    door(path)
    assert sorted(tiles) == list(range(9))
    assert shared_store().held_bytes <= BANDS * TILE * TILE * 2


def test_a_damaged_tile_is_named_and_the_others_stay_readable(path: Path, tmp_path: Path) -> None:
    sidecar = Sidecar.open(path)
    content = bytearray(path.read_bytes())
    ends = sidecar.tiles_start + np.cumsum(sidecar.index.sizes.sum(axis=1))
    content[int(ends[3]) + 2] ^= 0x40
    damaged = tmp_path / "damaged.hsinr"
    damaged.write_bytes(content)
    reader = Reader(Sidecar.open(damaged))
    with pytest.raises(DamagedSidecarError, match=r"damaged\.hsinr: tile 4: checksum"):
        reader.tile(4)
    whole = Reader(sidecar)
    for number in {*range(9)} - {4}:
        assert np.array_equal(reader.tile(number), whole.tile(number))
    with pytest.raises(DamagedSidecarError, match="tile 4"):
        everything(reader)


@pytest.mark.slow
def test_a_spectrum_of_a_large_scene_takes_a_hundredth_of_its_bytes(
    scenes: Path, tmp_path: Path, bytes_read: list[int], rng: np.random.Generator
) -> None:
    scene = np.load(scenes / "jasper_ridge_198.npy")
    turned = [part for view in (scene, scene.swapaxes(0, 1)) for part in (view, view[::-1])]
    rows = [np.hstack([turned[i] for i in rng.integers(0, 4, 11)]) for _ in range(11)]
    mosaic = np.vstack(rows)[:1024, :1024]
    handle = xhsinr.compress(mosaic, tmp_path / "a.hsinr", progress=False)
    times = []
    for row, col in rng.integers(0, 1024, (9, 2)):
        scene = handle.open()
        bytes_read.clear()
        start = time.perf_counter()
        assert scene[int(row), int(col)].values.shape == (198,)
        times.append(time.perf_counter() - start)
        assert sum(bytes_read) < 0.01 * handle.info["bytes"]
    assert np.median(times) < 0.1
