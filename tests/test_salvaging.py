"""What is whole of a damaged file is saved, what is lost is nodata and listed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from click.testing import CliRunner
from small_networks import siren_network

import xhsinr
from xhsinr.cli import main
from xhsinr.demo import synthetic_scene
from xhsinr.errors import (
    DamagedSidecarError,
    NetworkNotFoundError,
    NotASidecarError,
    OutputExistsError,
    SceneError,
)
from xhsinr.network.file import save_network
from xhsinr.sidecar.file import Sidecar

TILE = 16


@pytest.fixture(
    params=({"quality": "standard"}, {"lossless": True}, {"quality": "preview"}), ids=str
)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "scene.hsinr"
    scene = synthetic_scene(30, 34, 10, nodata_corner=True)
    xhsinr.compress(scene, path, tile=TILE, progress=False, **request.param)
    return path


def damage(path: Path, *tiles: int) -> None:
    sidecar = Sidecar.open(path)
    ends = sidecar.tiles_start + sidecar.index.sizes.sum(axis=1).cumsum()
    content = bytearray(path.read_bytes())
    for tile in tiles:
        content[ends[tile] - 1] ^= 1
    path.write_bytes(content)


def decoded(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read()


def compressed(path: Path, scene: xr.DataArray, **target: Any) -> Path:
    xhsinr.compress(scene, path, tile=TILE, progress=False, **target)
    return path


def test_whole_tiles_are_saved_and_the_others_are_nodata(path: Path) -> None:
    expected = xhsinr.open(path).open().values.copy()
    damage(path, 1, 4)
    out = path.with_suffix(".tif")
    saved = xhsinr.salvage(path, out, progress=False)
    expected[:, :16, 16:32] = expected[:, 16:, 16:32] = -32768
    assert np.array_equal(decoded(out), expected)
    assert (saved.path, saved.tiles, saved.nodata) == (out, 6, -32768)
    assert [tile.number for tile in saved.lost] == [1, 4]
    assert saved.lost[1].window == (slice(16, 30), slice(16, 32))
    assert "scene.hsinr: tile 4" in saved.lost[1].error


def test_metadata_is_that_of_a_whole_file(path: Path) -> None:
    whole, out = path.with_name("whole.tif"), path.with_name("saved.tif")
    CliRunner().invoke(main, ["decompress", str(path), str(whole)], catch_exceptions=False)
    damage(path, 0)
    xhsinr.salvage(path, out, progress=False)
    with rasterio.open(whole) as one, rasterio.open(out) as other:
        assert one.profile == other.profile
        assert one.tags() == other.tags()
        assert one.tags(3) == other.tags(3)
        assert one.descriptions == other.descriptions


def test_a_whole_file_loses_nothing(path: Path) -> None:
    out = path.with_suffix(".tif")
    assert xhsinr.salvage(path, out, progress=False).lost == ()
    assert np.array_equal(decoded(out), xhsinr.open(path).open().values)


def test_a_file_that_was_cut_off_keeps_the_tiles_before(path: Path) -> None:
    expected = xhsinr.open(path).open().values
    size = Sidecar.open(path).index.sizes[-3:].sum()
    path.write_bytes(path.read_bytes()[: -int(size) + 1])
    out = path.with_suffix(".tif")
    saved = xhsinr.salvage(path, out, progress=False)
    assert [tile.number for tile in saved.lost] == [3, 4, 5]
    assert np.array_equal(decoded(out)[:, :16], expected[:, :16])


def test_what_was_appended_does_not_matter(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")
    assert xhsinr.salvage(path, path.with_suffix(".tif"), progress=False).lost == ()


def test_a_damaged_header_is_said_to_be_the_end_of_it(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[Sidecar.open(path).tiles_start - 5] ^= 8
    path.write_bytes(content)
    out = path.with_suffix(".tif")
    with pytest.raises(DamagedSidecarError, match=r"scene\.hsinr.*Nothing can be saved.*copy"):
        xhsinr.salvage(path, out, progress=False)
    assert not out.exists()


def test_a_file_of_another_kind_is_not_salvaged(tmp_path: Path) -> None:
    path = tmp_path / "a.hsinr"
    path.write_bytes(bytes(5000))
    with pytest.raises(NotASidecarError):
        xhsinr.salvage(path, tmp_path / "a.tif", progress=False)


def test_a_missing_network_is_no_damage(tmp_path: Path) -> None:
    network = tmp_path / "mine.safetensors"
    save_network(siren_network(outputs=4), network)
    path = tmp_path / "scene" / "scene.hsinr"
    path.parent.mkdir()
    scene = synthetic_scene(20, 24, 4)
    xhsinr.compress(scene, path, quality="preview", network=network, progress=False)
    shutil.rmtree(path.parent / "networks")
    network.unlink()
    with pytest.raises(NetworkNotFoundError):
        xhsinr.salvage(path, path.with_suffix(".tif"), progress=False)


def test_an_output_that_exists_is_kept(path: Path) -> None:
    out = path.with_suffix(".tif")
    out.write_bytes(b"mine")
    with pytest.raises(OutputExistsError):
        xhsinr.salvage(path, out, progress=False)
    assert out.read_bytes() == b"mine"
    xhsinr.salvage(path, out, overwrite=True, progress=False)
    assert decoded(out).shape == (10, 30, 34)


def test_floats_without_nodata_become_nan(tmp_path: Path) -> None:
    scene = np.sqrt(synthetic_scene(30, 34, 5).clip(1)).astype("f4")
    path = compressed(tmp_path / "a.hsinr", scene, lossless=True)
    damage(path, 2)
    saved = xhsinr.salvage(path, tmp_path / "a.tif", progress=False)
    samples = decoded(tmp_path / "a.tif")
    assert np.isnan(saved.nodata)
    assert np.isnan(samples[:, :16, 32:]).all()
    assert np.array_equal(samples[:, :, :32], scene.values[:, :, :32])


def test_integers_without_nodata_need_a_value_that_no_sample_has(tmp_path: Path) -> None:
    scene = synthetic_scene(30, 34, 5).clip(1)
    path = compressed(tmp_path / "a.hsinr", scene, lossless=True)
    damage(path, 2)
    out = tmp_path / "a.tif"
    for wrong in (None, int(scene.max()), int(scene.min()), 40_000, -0.5, 1e300, float("nan")):
        with pytest.raises(SceneError, match=r"a\.hsinr.*nodata"):
            xhsinr.salvage(path, out, nodata=wrong, progress=False)
        assert not out.exists()
    assert xhsinr.salvage(path, out, nodata=-9999, progress=False).nodata == -9999
    assert (decoded(out)[:, :16, 32:] == -9999).all()
    with rasterio.open(out) as dataset:
        assert dataset.nodata == -9999


def test_a_scene_keeps_its_nodata(path: Path) -> None:
    with pytest.raises(SceneError, match="its nodata value is -32768"):
        xhsinr.salvage(path, path.with_suffix(".tif"), nodata=0, progress=False)


def test_the_shell_lists_what_is_lost(path: Path) -> None:
    damage(path, 1)
    out = path.with_suffix(".tif")
    result = CliRunner().invoke(main, ["salvage", str(path), str(out)])
    assert result.exit_code == 0, result.output
    lost, summary = result.output.splitlines()
    assert lost.startswith("lost: rows 0 to 15, columns 16 to 31: ")
    assert "tile 1: checksum" in lost
    assert summary.startswith(f"{out}: 5 of 6 tiles saved; the others are ")


def test_of_a_whole_file_nothing_is_lost(path: Path) -> None:
    out = path.with_suffix(".tif")
    result = CliRunner().invoke(main, ["salvage", str(path), str(out)])
    assert result.output == f"{out}: 6 of 6 tiles saved\n"
