"""An archive as one lazy cube: the samples of its scenes, from their items and nothing copied."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import xarray as xr
from affine import Affine

import xhsinr
from xhsinr.demo import synthetic_scene
from xhsinr.errors import ChangedSidecarError, SourceError
from xhsinr.reading.store import forget_tiles
from xhsinr.sidecar.file import Sidecar
from xhsinr.storage import read_range

IDS = ("b", "c", "a")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cube")
    (folder / "sources").mkdir()
    for number, name in enumerate(IDS):
        scene = synthetic_scene(32, 40, 8, nodata_corner=True).copy()
        scene.values[:, 20:] += np.int16(number)
        scene = scene.rio.write_transform(Affine(30, 0, 4e5, 0, -30, 5e6)).rio.write_crs(32633)
        scene.rio.to_raster(folder / "sources" / f"{name}.tif")
    out = folder / "archive"
    assert xhsinr.archive(folder / "sources", out, psnr=50, tile=20, progress=False).ok
    for number, name in enumerate(IDS):
        item = out / name / f"{name}.json"
        content = json.loads(item.read_text())
        content["properties"]["datetime"] = f"202{number}-05-01T10:00:00Z"
        item.write_text(json.dumps(content))
    return out


def test_a_cube_has_the_samples_of_the_scenes_in_the_order_of_their_times(archive: Path) -> None:
    cube = xhsinr.virtual(archive)["scene"]
    assert cube.dims == ("time", "band", "y", "x")
    assert list(cube.id.values) == list(IDS)
    assert cube.chunks[2:] == ((20, 12), (20, 20))
    scenes = xhsinr.open_catalog(archive)
    for number, name in enumerate(IDS):
        assert np.array_equal(cube[number].values, scenes[name].values)
    band = cube.isel(band=3).compute()
    assert np.array_equal(band.values, np.stack([scenes[name][3].values for name in IDS]))
    first = scenes["b"]
    assert np.array_equal(cube.x, first.x)
    assert np.array_equal(cube.y, first.y)
    assert cube.rio.crs == first.rio.crs
    assert cube.rio.transform() == first.rio.transform()
    masked = xr.decode_cf(xhsinr.virtual(archive))["scene"]
    assert np.isnan(masked[0, :, 0, 0]).all()


def test_sidecars_are_opened_when_their_samples_are_used(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xhsinr.stac import cube as module

    opened, real = [], Sidecar.open
    monkeypatch.setattr(Sidecar, "open", lambda path: opened.append(path) or real(path))
    module._opened.cache_clear()
    cube = xhsinr.virtual(archive, datetime="2021/2022")["scene"]
    assert cube.sizes["time"] == 2
    assert not opened
    cube[1].compute()
    assert {Path(path).stem for path in opened} == {"a"}


def test_a_band_of_all_scenes_takes_no_more_requests_than_tiles(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xhsinr.sidecar import file
    from xhsinr.stac import cube as module

    asked = []

    def counted(place: Any, start: int, stop: int) -> bytes:
        if start < stop:
            asked.append(place)
        return read_range(Path(urlsplit(str(place)).path), start, stop)

    monkeypatch.setattr(file, "read_range", counted)
    module._opened.cache_clear()
    forget_tiles()
    cube = xhsinr.virtual(archive.as_uri() + "/catalog.json")["scene"]
    assert not asked
    band = cube.isel(band=3).compute()
    # These files are so small that each is opened and read by one request, whoever comes first.
    assert len(asked) == len({*asked}) == len(IDS)
    assert np.array_equal(band[0].values, xhsinr.open_catalog(archive)["b"][3].values)


def test_scenes_of_different_grids_make_no_cube(archive: Path, tmp_path: Path) -> None:
    item = archive / "c" / "c.json"
    before = item.read_text()
    content = json.loads(before)
    content["assets"]["data"]["proj:transform"][2] += 30
    item.write_text(json.dumps(content))
    with pytest.raises(SourceError, match="c: of other bands, type or place than b"):
        xhsinr.virtual(archive)
    item.write_text(before)
    with pytest.raises(SourceError, match="no scene of it is there"):
        xhsinr.virtual(archive, datetime="1999")


def test_a_file_that_is_not_its_item_s_is_said(archive: Path) -> None:
    for name in IDS:
        item = archive / name / f"{name}.json"
        content = json.loads(item.read_text())
        content["assets"]["data"]["proj:shape"] = [33, 40]
        item.write_text(json.dumps(content))
    with pytest.raises(ChangedSidecarError, match="not the file that its item describes"):
        xhsinr.virtual(archive)["scene"][0].compute()
    del content["assets"]["data"]["data_type"]
    item.write_text(json.dumps(content))
    with pytest.raises(SourceError, match="a: its item does not say"):
        xhsinr.virtual(archive)
