"""What a reader would refuse is refused before any work, and replaces no file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xhsinr
from xhsinr.demo import synthetic_scene
from xhsinr.errors import HsinrError, SceneError
from xhsinr.sidecar.file import Sidecar


def with_attrs(**attrs: Any) -> xr.DataArray:
    return synthetic_scene(12, 14, 4).assign_attrs(attrs)


@pytest.mark.parametrize(
    "scene",
    [
        with_attrs(history="x" * 9_000_000),
        with_attrs(count=10**301),
        with_attrs(nested=["deep"] * 3 + [[[[1]]]]),
        synthetic_scene(12, 14, 4).assign_coords(scene="Berlin"),
        synthetic_scene(12, 14, 4).rio.write_transform(
            synthetic_scene(12, 14, 4).rio.transform().scale(1e301)
        ),
    ],
    ids=["long text", "large integer", "nested", "a coordinate called scene", "huge transform"],
)
def test_a_file_that_is_there_stays_or_is_replaced_by_one_that_opens(
    scene: xr.DataArray, tmp_path: Path
) -> None:
    path = tmp_path / "a.hsinr"
    xhsinr.compress(synthetic_scene(10, 10, 3), path, lossless=True, progress=False)
    before = path.read_bytes()
    try:
        xhsinr.compress(scene, path, lossless=True, overwrite=True, progress=False)
    except HsinrError:
        assert path.read_bytes() == before
    back = xhsinr.open(path).open()
    assert back.shape in ((3, 10, 10), (4, 12, 14))


def test_what_is_too_long_is_said_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xhsinr.compression import pipeline

    monkeypatch.setattr(pipeline, "Compression", None)
    with pytest.raises(SceneError, match="cannot be kept"):
        xhsinr.compress(with_attrs(history="x" * 9_000_000), tmp_path / "a.hsinr", progress=False)
    assert not list(tmp_path.iterdir())


def test_a_file_beyond_the_limits_does_not_take_its_name(tmp_path: Path) -> None:
    with xhsinr.set_limits(side=8), pytest.raises(HsinrError):
        xhsinr.compress(np.ones((12, 14, 4), np.int16), tmp_path / "a.hsinr", progress=False)
    assert not list(tmp_path.iterdir())


def test_a_tile_that_no_memory_holds_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xhsinr.reading.reader import Reader

    path = tmp_path / "a.hsinr"
    xhsinr.compress(synthetic_scene(10, 10, 3), path, lossless=True, progress=False)
    assert Sidecar.open(path)

    def too_much(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(Reader, "tile", too_much)
    (error,) = xhsinr.verify(path, progress=False).errors
    assert "tile 0 of 3 x 10 x 10 samples does not fit" in error
