"""Zarr arrays whose chunks are compressed scenes, by xarray's own doors."""

from __future__ import annotations

import tomllib
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.registry import register_codec

from xhsinr.demo import synthetic_scene
from xhsinr.errors import SceneError, TargetError
from xhsinr.zarr import HsinrCodec

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

register_codec("hsinr", HsinrCodec)  # as the entry point does where the package is installed


def stored(scene: xr.DataArray, path: Path, codec: HsinrCodec, chunks: tuple[int, ...]) -> Path:
    plain = xr.DataArray(scene.values, dims=scene.dims, name="reflectance")
    encoding = {"serializer": codec, "compressors": None, "chunks": chunks}
    plain.to_dataset().to_zarr(path, encoding={"reflectance": encoding}, zarr_format=3)
    return path


@pytest.mark.parametrize("error", [None, 4])
def test_what_xarray_writes_it_reads_within_the_bound(tmp_path: Path, error: int | None) -> None:
    scene = synthetic_scene(40, 30, 8)
    path = stored(scene, tmp_path / "s.zarr", HsinrCodec(error), (8, 20, 20))
    with xr.open_zarr(path, chunks=None, mask_and_scale=False) as found:
        values = found["reflectance"].values
        window = found["reflectance"][2:4, 10:30, 5].values
    assert values.dtype == scene.dtype
    off = np.abs(values.astype(int) - scene.values)
    assert off.max() == 0 if error is None else 0 < off.max() <= error
    assert np.array_equal(window, values[2:4, 10:30, 5])
    chunks = [file for file in (path / "reflectance" / "c").rglob("*") if file.is_file()]
    assert len(chunks) == 4
    assert sum(file.stat().st_size for file in chunks) < scene.values.nbytes


def test_bands_may_be_any_axis_and_floats_keep_their_nan(tmp_path: Path) -> None:
    values = synthetic_scene(20, 22, 6).values.astype(np.float32) / 7
    values[:, 3, 4] = np.nan
    values[:, :, 11:] = np.nan
    scene = xr.DataArray(np.moveaxis(values, 0, -1), dims=("y", "x", "band"))
    path = stored(scene, tmp_path / "s.zarr", HsinrCodec(band_axis=2), (20, 11, 6))
    with xr.open_zarr(path, chunks=None, mask_and_scale=False) as found:
        assert np.array_equal(found["reflectance"].values, scene.values, equal_nan=True)


def test_chunks_that_are_no_scene_are_kept(tmp_path: Path) -> None:
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=(3, 4, 4), chunks=(3, 4, 2), dtype="f4", fill_value=1,
        serializer=HsinrCodec(), compressors=None,
    )  # fmt: skip
    array[:, :, :2] = np.nan
    found = zarr.open_array(tmp_path / "a.zarr")[:]
    assert np.isnan(found[:, :, :2]).all()
    assert (found[:, :, 2:] == 1).all()


def test_arrays_that_are_no_scenes_are_refused(tmp_path: Path) -> None:
    for shape, codec in (((4, 4), HsinrCodec()), ((4, 4, 4), HsinrCodec(band_axis=3))):
        with pytest.raises(SceneError, match="three axes"):
            zarr.create_array(
                tmp_path / "a.zarr", shape=shape, dtype="i2", serializer=codec, compressors=None
            )


@pytest.mark.parametrize("wrong", [-3, float("nan"), "2"])
def test_what_is_no_bound_is_refused_at_once(wrong: object) -> None:
    with pytest.raises(TargetError, match="max_error"):
        HsinrCodec(max_error=wrong)


def test_the_entry_point_names_the_codec() -> None:
    project = Path(__file__).parents[1] / "pyproject.toml"
    points = tomllib.loads(project.read_text("utf-8"))["project"]["entry-points"]
    module, _, name = points["zarr.codecs"]["hsinr"].partition(":")
    assert getattr(import_module(module), name) is HsinrCodec
