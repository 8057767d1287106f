"""The accessor on DataArray and Dataset."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xhsinr
from xhsinr.demo import synthetic_scene
from xhsinr.errors import OutputExistsError, SceneError


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> xr.DataArray:
    monkeypatch.chdir(tmp_path)
    return synthetic_scene(12, 14, 6)


def test_a_dataarray_comes_back_identical(scene: xr.DataArray) -> None:
    handle = scene.hsinr.compress("a.hsinr", lossless=True, progress=False)
    xr.testing.assert_identical(handle.open().load(), scene)
    back = xr.open_dataarray("a.hsinr", engine="hsinr")
    xr.testing.assert_identical(back.load(), scene)


def test_the_scene_of_a_dataset_is_compressed(scene: xr.DataArray) -> None:
    dataset = scene.to_dataset().assign(elevation=(("y", "x"), np.zeros((12, 14))))
    handle = dataset.hsinr.compress("b.hsinr", lossless=True, progress=False)
    xr.testing.assert_identical(handle.open().load(), scene)


def test_a_dataset_without_a_scene_is_refused() -> None:
    with pytest.raises(SceneError, match="no variable"):
        xr.Dataset({"a": (("y", "x"), np.zeros((3, 4)))}).hsinr.compress("c.hsinr")


def test_every_target_is_passed_on(scene: xr.DataArray) -> None:
    for asked in ({"psnr": 38}, {"max_error": 3}, {"bpppb": 24}, {"quality": "archive"}):
        handle = scene.hsinr.compress("d.hsinr", **asked, overwrite=True, progress=False)
        assert handle.info["target"] == asked


def test_without_a_path_the_file_is_named_after_the_source_or_the_variable(
    scene: xr.DataArray,
) -> None:
    assert scene.hsinr.compress(progress=False).path == Path("reflectance.hsinr")
    scene.encoding["source"] = "/elsewhere/flight line 7.tif"
    assert scene.hsinr.compress(progress=False).path == Path("flight line 7.hsinr")
    nameless = synthetic_scene(8, 8, 4).rename(None)
    assert nameless.hsinr.compress(progress=False).path == Path("scene.hsinr")


def test_it_takes_the_options_of_compress() -> None:
    function, method = (
        {name: (p.kind, p.default) for name, p in inspect.signature(f).parameters.items()}
        for f in (xhsinr.compress, xhsinr.HsinrAccessor.compress)
    )
    for name in ("source", "path"):
        function.pop(name)
    for name in ("self", "path"):
        method.pop(name)
    assert method == function


def test_a_sidecar_is_drawn_against_its_scene(scene: xr.DataArray) -> None:
    handle = scene.hsinr.compress("f.hsinr", psnr=35, progress=False)
    for decoded in (handle, "f.hsinr", Path("f.hsinr"), handle.open()):
        figure = scene.to_dataset().hsinr.plot_quality(decoded, "f.png", title="A scene")
        titles = {axes.get_title(loc="left") for axes in figure.axes}
        assert {"Error of each pixel", "Error of each band"} <= titles
        shown = Path("f.png").read_bytes()
        assert shown.startswith(b"\x89PNG")
        Path("f.png").unlink()
    # Notebooks show it, with or without pyplot.
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_a_dataset_with_a_variable_called_name_is_no_trap(scene: xr.DataArray) -> None:
    dataset = scene.to_dataset().assign(name=((), "flight"))
    assert dataset.hsinr.compress(progress=False).path == Path("scene.hsinr")


def test_an_existing_file_is_kept_unless_overwrite_is_asked(scene: xr.DataArray) -> None:
    scene.hsinr.compress("e.hsinr", psnr=35, progress=False)
    before = Path("e.hsinr").read_bytes()
    with pytest.raises(OutputExistsError, match="overwrite"):
        scene.hsinr.compress("e.hsinr", lossless=True)
    assert Path("e.hsinr").read_bytes() == before
    scene.hsinr.compress("e.hsinr", lossless=True, overwrite=True, progress=False)
    assert xhsinr.open("e.hsinr").info["max_error"] == 0


def test_a_name_that_looks_like_a_path_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    synthetic_scene(6, 7, 4).rename("../../escaped").hsinr.compress(lossless=True, progress=False)
    assert [path.name for path in tmp_path.rglob("*.hsinr")] == ["escaped.hsinr"]
    assert (tmp_path / "here" / "escaped.hsinr").is_file()
