"""Tiles to bytes and back: what is not valid comes back as it was, whatever the coding."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import xhsinr
from xhsinr.coding.bounded import BoundedCoding
from xhsinr.coding.contract import Frame
from xhsinr.coding.floats import FloatsCoding
from xhsinr.coding.tile import TileCodec
from xhsinr.coding.voids import Voids
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
def test_coarse_tiles_are_means_or_close_to_them(tmp_path: Path, target: dict[str, Any]) -> None:
    reader = compressed(tmp_path, synthetic_scene(32, 40, 9), **target)
    full = reader.tile(0).reshape(9, 16, 2, 20, 2).mean(axis=(2, 4))
    coarse = Reader(reader.sidecar, 2).tile(0)
    if "psnr" in target:  # without the finest level of the wavelet
        assert np.sqrt(np.square(coarse - full).mean()) < 3 * reader.sidecar.header.rmse
    else:
        # Samples are rounded and clipped before, or after they were averaged.
        assert (np.abs(coarse - full) <= 2).mean() > 0.99


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
    voids = Voids.none(frame.dtype, 200)
    codec = TileCodec(voids, states, live, None, FloatsCoding(frame))
    assert len(codec.to_bytes()) == 9


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


@pytest.mark.parametrize("target", TARGETS, ids=str)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_what_is_not_valid_keeps_every_bit(
    tmp_path: Path, dtype: str, target: dict[str, Any]
) -> None:
    values = synthetic_scene(30, 34, 9).values.astype(dtype)
    bits = values.view(f"u{values.itemsize}")
    nan = np.array([np.nan], dtype).view(bits.dtype)[0]
    sign = bits.dtype.type(1) << bits.dtype.type(8 * values.itemsize - 1)
    values[values == 0] = 1
    values[0, 3], values[1, 4], values[:, 5] = 0.0, -0.0, 0.0
    bits[2, 6], bits[3, 6:9], bits[4] = nan, nan | sign, nan | bits.dtype.type(77)
    # Payloads of more kinds than are kept by name.
    bits[5] = nan | np.arange(bits[5].size, dtype=bits.dtype).reshape(bits[5].shape)
    scene = xr.DataArray(values, dims=("band", "y", "x"), attrs={"_FillValue": 0.0})
    decoded = compressed(tmp_path, scene, **target).tile(0)
    invalid = np.isnan(values) | (values == 0)
    again = decoded.view(bits.dtype)
    np.testing.assert_array_equal(again[invalid], bits[invalid])
    if "lossless" in target:
        np.testing.assert_array_equal(again, bits)
    assert xhsinr.verify(tmp_path / "scene.hsinr", against=scene, progress=False).valid


@pytest.mark.filterwarnings("ignore:.* in all bands")
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_any_floats_come_back_bit_for_bit(dtype: str, data: st.DataObject) -> None:
    unsigned = f"u{np.dtype(dtype).itemsize}"
    bits = data.draw(hnp.arrays(unsigned, (3, 5, 6)))
    values = bits.view(dtype).copy()
    values[np.isinf(values)] = 5e-324
    values[0, 0, 0] = 1.5
    scene = xr.DataArray(values, dims=("band", "y", "x"))
    with tempfile.TemporaryDirectory() as folder:
        decoded = compressed(Path(folder), scene, lossless=True).tile(0)
    np.testing.assert_array_equal(decoded.view(unsigned), values.view(unsigned))


@pytest.mark.filterwarnings("ignore:samples go from", "ignore:.* in all bands")
@pytest.mark.parametrize("target", [{"psnr": 40}, {"lossless": True}], ids=str)
def test_impulses_and_borders_come_back_exactly(tmp_path: Path, target: dict[str, Any]) -> None:
    values = synthetic_scene(40, 44, 12).values.astype("i2")
    values[:, :, :6] = -9999
    values[3, 10, 20], values[7, 30, 33] = 32000, -32000
    reader = compressed(tmp_path, xr.DataArray(values, dims=("band", "y", "x")), **target)
    decoded = reader.tile(0)
    assert (decoded[:, :, :6] == -9999).all()
    assert (decoded[3, 10, 20], decoded[7, 30, 33]) == (32000, -32000)
    np.testing.assert_array_equal(reader.tile(0, np.array([7, 3])), decoded[[7, 3]])


def test_a_file_in_the_place_of_another_of_its_size_is_not_taken_for_it(tmp_path: Path) -> None:
    integers = synthetic_scene(24, 26, 8).values
    path = tmp_path / "scene.hsinr"
    sizes, crcs = set(), set()
    for scale in (0.0137, 0.0139):
        samples = (integers * scale).astype(np.float32)
        scene = xr.DataArray(samples, dims=("band", "y", "x"))
        xhsinr.compress(scene, path, lossless=True, overwrite=True, progress=False)
        np.testing.assert_array_equal(xhsinr.open(path).open().values, samples)
        sizes.add(path.stat().st_size)
        crcs.add(Sidecar.open(path).front_crc)
    assert len(sizes) == 1
    assert len(crcs) == 2
