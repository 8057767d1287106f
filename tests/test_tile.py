"""Tiles to bytes and back: what is not valid comes back as it was, whatever the coding."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import xhsinr
from xhsinr.coding.bounded import BoundedCoding
from xhsinr.coding.contract import Frame
from xhsinr.coding.floats import FloatsCoding
from xhsinr.coding.tile import TileCodec
from xhsinr.demo import synthetic_scene
from xhsinr.errors import DamagedSidecarError, UnsupportedVersionError
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.file import Sidecar

TARGETS: list[dict[str, Any]] = [{"psnr": 40}, {"max_error": 3}, {"lossless": True}]


def compressed(tmp_path: Path, scene: Any, **target: Any) -> Reader:
    path = tmp_path / "scene.hsinr"
    xhsinr.compress(scene, path, progress=False, overwrite=True, **target)
    return Reader(Sidecar.open(path))


def with_gaps(dtype: str) -> xr.DataArray:
    """A scene with nodata in the middle of the range, and bands of all four kinds."""
    values = synthetic_scene(30, 34, 9).values.astype(dtype)
    nodata = values.dtype.type(np.median(values))
    values[values == nodata] += 1
    values[:, 3:9, 5:20] = nodata
    values[4, 20:] = nodata
    values[7] = nodata
    if dtype.startswith("f"):
        values[2] = np.nan
        values[3] = np.where(np.arange(34) % 2, np.nan, nodata)
        values[:, 25, 30] = np.nan
    return xr.DataArray(values, dims=("band", "y", "x"), attrs={"_FillValue": nodata.item()})


@pytest.mark.parametrize("target", TARGETS, ids=str)
@pytest.mark.parametrize("dtype", ["i2", "f4"])
def test_what_is_not_valid_comes_back_as_it_was(
    tmp_path: Path, dtype: str, target: dict[str, Any]
) -> None:
    scene = with_gaps(dtype)
    nodata = scene.attrs["_FillValue"]
    decoded = compressed(tmp_path, scene, **target).tile(0)
    np.testing.assert_array_equal(decoded == nodata, scene.values == nodata)
    np.testing.assert_array_equal(np.isnan(decoded), np.isnan(scene.values))
    valid = ~np.isnan(scene.values) & (scene.values != nodata)
    errors = np.abs(decoded.astype(float) - scene.values)[valid]
    if "psnr" not in target:
        assert errors.max() <= target.get("max_error", 0)


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_some_bands_are_those_of_all(tmp_path: Path, target: dict[str, Any]) -> None:
    reader = compressed(tmp_path, with_gaps("i2"), **target)
    bands = np.array([7, 0, 8, 4])
    np.testing.assert_array_equal(reader.tile(0, bands), reader.tile(0)[bands])


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_coarse_tiles_are_means(tmp_path: Path, target: dict[str, Any]) -> None:
    reader = compressed(tmp_path, synthetic_scene(32, 40, 9), **target)
    full = reader.tile(0).reshape(9, 8, 4, 10, 4).mean(axis=(2, 4))
    coarse = Reader(reader.sidecar, 4).tile(0)
    # Samples are rounded and clipped before, or after they were averaged.
    np.testing.assert_allclose(coarse, full, atol=2)


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_a_codec_comes_back_from_its_bytes(tmp_path: Path, target: dict[str, Any]) -> None:
    codec = compressed(tmp_path, with_gaps("i2"), **target).codec
    again = TileCodec.from_bytes(codec.to_bytes(), codec.dtype, len(codec.live))
    assert again.to_bytes() == codec.to_bytes()
    assert (again.low, again.high, again.nodata) == (codec.low, codec.high, codec.nodata)
    np.testing.assert_array_equal(again.live, codec.live)
    np.testing.assert_array_equal(again.states, codec.states)


def test_a_plain_codec_takes_few_bytes() -> None:
    frame = Frame(np.dtype("f4"), 200, 0.0, 1.0)
    live, states = np.ones(200, np.bool_), np.zeros(200, np.uint8)
    assert len(TileCodec(states, live, None, FloatsCoding(frame)).to_bytes()) == 10


@given(st.binary(max_size=60))
def test_no_bytes_raise_other_errors(content: bytes) -> None:
    for dtype in ("u1", "i2", "f8"):
        with contextlib.suppress(DamagedSidecarError, UnsupportedVersionError):
            TileCodec.from_bytes(content, np.dtype(dtype), 12)


def test_a_tile_without_its_bytes_is_damaged(tmp_path: Path) -> None:
    codec = compressed(tmp_path, synthetic_scene(20, 20, 5), lossless=True).codec
    assert isinstance(codec.coding, BoundedCoding)
    with pytest.raises(DamagedSidecarError):
        codec.decode({}, 20, 20)
