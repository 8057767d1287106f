"""The scenes of a catalog in Python: found by place and time, decoded when they are used."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xhsinr
from xhsinr import stac
from xhsinr.demo import synthetic_scene
from xhsinr.errors import SourceError, UnknownSceneError
from xhsinr.stac import Source


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes: of 2022 and 2023 on one grid near Potsdam, and one without place and time."""
    out = tmp_path_factory.mktemp("open") / "archive"
    places = {"late": "2023-07-01T00:00:00Z", "early": "2022-07-24T10:32:10Z", "unknown": None}
    for number, (name, time) in enumerate(places.items()):
        array = xr.DataArray(
            np.arange(4 * 8 * 10, dtype=np.int16).reshape(4, 8, 10) + 100 * number,
            dims=("band", "y", "x"),
        )
        if time:
            array.attrs["datetime"] = time
            array = array.assign_coords(
                x=365055 + 30 * (np.arange(10) + 0.5), y=5807085 - 30 * (np.arange(8) + 0.5)
            ).rio.write_crs("EPSG:32633")
        folder = out / name
        folder.mkdir(parents=True)
        xhsinr.compress(array, folder / f"{name}.hsinr", lossless=True)
        item = stac.scene_item(folder / f"{name}.hsinr", source=Source(name, f"{name}.tif"))
        stac.write_item(item, folder / f"{name}.json")
    stac.write_catalog(out)
    return out


def test_scenes_are_opened_by_id_and_decoded_when_used(archive: Path, tiles: list[int]) -> None:
    scenes = xhsinr.open_catalog(archive)
    assert list(scenes) == ["early", "late", "unknown"]
    scene = scenes["early"]
    assert (scene.dims, scene.shape) == (("band", "y", "x"), (4, 8, 10))
    assert not tiles
    assert scene.isel(band=0, y=0, x=3).item() == 103
    assert tiles == [0]
    assert "nowhere" not in scenes
    with pytest.raises(KeyError, match="nowhere"):
        scenes["nowhere"]
    with pytest.raises(UnknownSceneError, match="no scene 'earl' among 3: the nearest are early"):
        scenes["earl"]


def test_nothing_is_opened_before_it_is_asked_for(archive: Path, tmp_path: Path) -> None:
    out = shutil.copytree(archive, tmp_path / "out")
    (out / "early" / "early.hsinr").unlink()
    scenes = xhsinr.open_catalog(out / "catalog.json")
    assert len(scenes) == 3
    assert scenes["late"].shape == (4, 8, 10)
    with pytest.raises(FileNotFoundError):
        scenes["early"]


@pytest.mark.parametrize(
    ("bbox", "found"),
    [
        ((12, 52, 14, 53), ["early", "late"]),
        ((12, 52, 0, 14, 53, 100), ["early", "late"]),
        ((-10, 52, 13, 53), []),
        ((13.03, 52.3, 13.04, 60), []),
        ((170, 0, 14, 90), ["early", "late"]),
        ((170, 0, -170, 90), []),
    ],
)
def test_scenes_are_found_by_place(archive: Path, bbox: tuple, found: list[str]) -> None:
    assert list(xhsinr.open_catalog(archive, bbox=bbox)) == found


@pytest.mark.parametrize(
    ("when", "found"),
    [
        ("2022", ["early", "unknown"]),
        ("2022-07", ["early", "unknown"]),
        ("2022-07-24", ["early", "unknown"]),
        ("2022-07-25", ["unknown"]),
        ("2022-07-24T10:32:10Z", ["early", "unknown"]),
        ("2022/2023-06", ["early", "unknown"]),
        ("2022-08/..", ["late", "unknown"]),
        ("../2022-07-24T10:32:09Z", ["unknown"]),
        (datetime(2023, 7, 1, tzinfo=UTC), ["late", "unknown"]),
        ((datetime(2022, 1, 1), None), ["early", "late", "unknown"]),
        (("1950", "1960"), []),
    ],
)
def test_scenes_are_found_by_time(archive: Path, when: object, found: list[str]) -> None:
    assert list(xhsinr.open_catalog(archive, datetime=when)) == found


@pytest.mark.parametrize(
    "wrong",
    [
        {"bbox": (1, 2, 3)},
        {"bbox": 5},
        {"bbox": "abcd"},
        {"bbox": (0, 10, 10, 0)},
        {"bbox": (0, 0, float("nan"), 1)},
        {"datetime": "yesterday"},
        {"datetime": "2022-13"},
        {"datetime": "2024/2023"},
        {"datetime": 5},
        {"datetime": ("2022",)},
    ],
)
def test_a_wrong_question_is_refused(archive: Path, wrong: dict) -> None:
    with pytest.raises(SourceError, match=next(iter(wrong))):
        xhsinr.open_catalog(archive, **wrong)


def test_scenes_on_one_grid_stack_by_time(archive: Path) -> None:
    scenes = xhsinr.open_catalog(archive, bbox=(12, 52, 14, 53))
    cube = xr.concat(scenes.values(), "time", combine_attrs="drop_conflicts", join="exact")
    assert cube.sizes["time"] == 2
    assert cube.time.dt.year.values.tolist() == [2022, 2023]
    assert cube.sel(time="2022").values.ravel()[0] == 100


def test_open_mfdataset_takes_the_paths(archive: Path) -> None:
    scenes = xhsinr.open_catalog(archive, bbox=(12, 52, 14, 53))
    both = xr.open_mfdataset(
        scenes.paths, engine="hsinr", combine="nested", concat_dim="time", join="exact"
    )
    (name,) = both.data_vars
    assert both[name].sizes["time"] == 2
    assert both[name].chunks is not None
    assert both[name][0, 0, 0, 3].compute() == 103


def test_a_catalog_shows_a_table(archive: Path) -> None:
    scenes = xhsinr.open_catalog(archive)
    assert scenes.table.loc["early", "datetime"] == datetime(2022, 7, 24, 10, 32, 10, tzinfo=UTC)
    assert scenes.table.loc["late", ["bands", "rows", "cols"]].tolist() == [4, 8, 10]
    assert scenes.table.loc["late", "bytes"] == (archive / "late" / "late.hsinr").stat().st_size
    for shown in (repr(scenes), scenes._repr_html_()):
        assert "3 scenes" in shown
        assert "early" in shown
    assert "0 scenes" in repr(xhsinr.open_catalog(archive, datetime="1950"))


def test_the_html_table_has_pictures_and_no_html_of_others(tmp_path: Path) -> None:
    xhsinr.archive(_scene_file(tmp_path), tmp_path / "out", progress=False)
    item = tmp_path / "out" / "scene" / "scene.json"
    item.write_text(item.read_text().replace('"id": "scene"', '"id": "<script>"'))
    shown = xhsinr.open_catalog(tmp_path / "out")._repr_html_()
    assert shown.count("<img src='data:image/png") == 1
    assert "&lt;script&gt;" in shown
    assert "<script" not in shown


def _scene_file(folder: Path) -> Path:
    path = folder / "scene.npy"
    np.save(path, synthetic_scene(20, 30, 5).transpose("y", "x", "band").values)
    return path


def test_items_that_cannot_be_read_are_left_out_with_a_warning(
    archive: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(archive, tmp_path / "out")
    (out / "early" / "early.json").write_text("{")
    with pytest.warns(UserWarning, match=r"early\.json is left out"):
        scenes = xhsinr.open_catalog(out)
    assert list(scenes) == ["late", "unknown"]


def test_a_catalog_on_disk_never_leads_to_the_network(archive: Path, tmp_path: Path) -> None:
    out = shutil.copytree(archive, tmp_path / "out")
    path = out / "early" / "early.json"
    path.write_text(path.read_text().replace("./early.hsinr", "https://example.invalid/e.hsinr"))
    with pytest.warns(UserWarning, match=r"early\.json is left out.*network"):
        scenes = xhsinr.open_catalog(out)
    assert list(scenes) == ["late", "unknown"]


def test_where_there_is_no_compressed_scene_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"catalog\.json"):
        xhsinr.open_catalog(tmp_path)
    empty = {"type": "Catalog", "id": "c", "stac_version": "1.1.0", "description": "", "links": []}
    (tmp_path / "catalog.json").write_text(json.dumps(empty))
    with pytest.raises(SourceError, match="none of its items is a compressed scene"):
        xhsinr.open_catalog(tmp_path)
