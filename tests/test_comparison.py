"""Two scenes compared tile by tile: the figures of the whole, whatever the tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xhsinr
from xhsinr import scene as scenes
from xhsinr.demo import synthetic_scene
from xhsinr.errors import SceneError
from xhsinr.metrics import Quality
from xhsinr.pictures.comparison import compare, scene_of


@pytest.fixture(scope="module")
def original() -> xr.DataArray:
    return synthetic_scene(70, 90, 12, nodata_corner=True)


@pytest.fixture(scope="module")
def compressed(
    original: xr.DataArray, tmp_path_factory: pytest.TempPathFactory
) -> xhsinr.Compressed:
    path = tmp_path_factory.mktemp("comparison") / "scene.hsinr"
    return xhsinr.compress(original, path, psnr=40, tile=32, progress=False)


def test_every_figure_is_that_of_the_whole_arrays(
    original: xr.DataArray, compressed: xhsinr.Compressed
) -> None:
    found = compare(scene_of(original), scene_of(compressed), progress=False)
    a, b = original.values.astype(float), compressed.open().values.astype(float)
    valid = original.values != -32768
    whole = Quality.of(a, b, valid)
    assert found.quality.psnr_db == pytest.approx(whole.psnr_db)
    assert found.quality.max_error == whole.max_error
    squared = np.ma.masked_array(np.square(a - b), ~valid)
    by_pixel = np.sqrt(squared.mean(axis=0)).filled(np.nan)
    np.testing.assert_allclose(found.by_pixel, by_pixel)
    np.testing.assert_allclose(found.by_band, np.sqrt(squared.mean(axis=(1, 2))))
    at = np.s_[:, found.rows, found.cols]
    np.testing.assert_array_equal(found.before, np.where(valid, a, np.nan)[at])
    np.testing.assert_array_equal(found.after, np.where(valid, b, np.nan)[at])
    assert len(set(zip(found.rows, found.cols, strict=True))) == 100


def test_every_tile_is_decoded_once(
    original: xr.DataArray, compressed: xhsinr.Compressed, tiles: list[int]
) -> None:
    compare(scene_of(original), scene_of(compressed), progress=False)
    assert sorted(tiles) == list(range(9))


def test_sidecars_handles_and_arrays_are_taken_alike(
    original: xr.DataArray, compressed: xhsinr.Compressed
) -> None:
    forms = (compressed, compressed.path, str(compressed.path), compressed.open())
    found = {
        compare(scene_of(original), scene_of(form), progress=False).quality.psnr_db
        for form in forms
    }
    assert max(found) == pytest.approx(min(found), rel=1e-12)


def test_a_single_pixel_has_a_grid_of_one() -> None:
    pixel = scenes.read(np.ones((1, 1, 5), "f4"))
    found = compare(pixel, pixel, progress=False)
    assert found.before.shape == (5, 1)
    assert found.quality.max_error == 0


def test_what_cannot_be_compared_is_refused(original: xr.DataArray) -> None:
    with pytest.raises(SceneError, match="same part of both"):
        compare(scene_of(original), scene_of(original[:, 1:]))
    empty = scene_of(original.astype("f4") * np.nan)
    with pytest.raises(SceneError, match="no sample of the original is valid"):
        compare(empty, empty)


def test_a_missing_sidecar_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        scene_of(tmp_path / "nowhere.hsinr")
