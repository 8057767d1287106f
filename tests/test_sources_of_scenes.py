"""Arrays, datasets, URLs, netCDF and Zarr as sources: found out, or asked for."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rioxarray
import scipy.io
import xarray as xr

import xhsinr
from xhsinr.demo import synthetic_scene
from xhsinr.errors import SceneError
from xhsinr.scene import read

WAVELENGTHS = np.linspace(450, 700, 12)


@pytest.fixture
def scene() -> xr.DataArray:
    return synthetic_scene(24, 20, 12)


def test_arrays_with_bands_first_are_asked_about(scene: xr.DataArray) -> None:
    with pytest.raises(SceneError, match=r"looks like \(bands, rows, cols\)"):
        read(scene.values)
    assert read(np.moveaxis(scene.values, 0, -1)).shape == (12, 24, 20)
    assert read(scene.drop_attrs()).shape == (12, 24, 20)


@pytest.mark.parametrize("order", ["C", "F"])
def test_files_with_bands_first_are_told(tmp_path: Path, order: str) -> None:
    cube = synthetic_scene(70, 90, 12).values

    def saved(array: np.ndarray, name: str) -> Path:
        np.save(tmp_path / f"{name}.npy", np.asarray(array, order=order))
        return tmp_path / f"{name}.npy"

    with pytest.warns(UserWarning, match=r"wrong.* looks like \(bands, rows, cols\)"):
        assert read(saved(cube, "wrong")).shape == (90, 12, 70)
    assert read(saved(np.moveaxis(cube, 0, -1), "right")).shape == (12, 70, 90)


def test_matlab_files_with_bands_first_are_told(tmp_path: Path) -> None:
    cube = synthetic_scene(24, 20, 12).values
    scipy.io.savemat(tmp_path / "wrong.mat", {"cube": cube})
    with pytest.warns(UserWarning, match=r"wrong.mat is read as .* looks like"):
        read(tmp_path / "wrong.mat")
    scipy.io.savemat(tmp_path / "right.mat", {"cube": np.moveaxis(cube, 0, -1)})
    read(tmp_path / "right.mat")


def test_real_scenes_with_bands_first_are_asked_about(scenes: Path) -> None:
    for path in sorted(scenes.glob("*.npy")):
        cube = np.load(path)
        for part in (cube, cube[5:30, 10:40]):
            assert read(np.ascontiguousarray(part)).bands == cube.shape[2], path
        with pytest.raises(SceneError, match=r"looks like \(bands, rows, cols\)"):
            read(np.moveaxis(cube, -1, 0))


@pytest.mark.parametrize("kind", ["nc", "nc lazy", "zarr", "tif lazy", "tif dask", "own"])
def test_what_cannot_be_read_is_told_with_its_window(tmp_path: Path, kind: str) -> None:
    cube = xr.DataArray(
        np.random.default_rng(0).integers(0, 99, (4, 300, 300)).astype("i2"),
        dims=("band", "y", "x"),
        name="r",
    )
    path = tmp_path / f"a.{kind.partition(' ')[0]}"
    packed = {"zlib": True, "chunksizes": (4, 100, 100)}
    whole: object = path
    if kind.startswith("nc"):
        cube.to_netcdf(path, encoding={"r": packed})
    elif kind == "zarr":
        cube.to_dataset().chunk(y=100, x=100).to_zarr(path, consolidated=False)
        for chunk in path.glob("r/c/*/*/*"):
            chunk.write_bytes(b"no chunk")
    elif kind.startswith("tif"):
        placed = cube.rio.write_transform(rasterio.Affine(30, 0, 3e5, 0, -30, 5e6))
        placed.rio.to_raster(path, compress="deflate", tiled=True, blockxsize=256, blockysize=256)
    if path.is_file():
        content = bytearray(path.read_bytes())
        for place in range(5000, len(content) - 5000, 1000):
            content[place : place + 100] = b"\xff" * 100
        path.write_bytes(content)
    if kind == "nc lazy":
        whole = xr.open_dataset(path)
    elif kind.startswith("tif"):
        whole = rioxarray.open_rasterio(path, chunks={} if kind == "tif dask" else None)
    elif kind == "own":
        whole, path = (
            cube.chunk(y=150).map_blocks(_broken, template=cube.chunk(y=150)),
            Path("a lazy"),
        )
    with pytest.raises(
        SceneError, match=r"rows \d+ to \d+, columns \d+ to \d+ cannot be read"
    ) as told:
        xhsinr.compress(whole, tmp_path / "a.hsinr", lossless=True, progress=False)
    assert str(told.value).startswith(str(path))
    assert not (tmp_path / "a.hsinr").exists()


def _broken(block: xr.DataArray) -> xr.DataArray:
    raise ZeroDivisionError


def test_arrays_that_say_nothing_are_rows_cols_bands(rng: np.random.Generator) -> None:
    assert read(rng.integers(0, 99, (6, 20, 16)).astype("i2")).shape == (16, 6, 20)
    assert read(np.zeros((6, 20, 16))).shape == (16, 6, 20)
    assert read(np.full((6, 20, 16), np.nan)).shape == (16, 6, 20)


def test_bands_that_are_variables_keep_nodata_and_wavelengths(scene: xr.DataArray) -> None:
    values = scene.values.copy()
    values[:, :5] = -9999
    dataset = xr.Dataset(
        {
            f"b{band}": (("y", "x"), values[band], {"nodata": -9999, "wavelength": float(w)})
            for band, w in enumerate(WAVELENGTHS)
        },
        coords={"y": scene.y, "x": scene.x},
    ).rio.write_crs(32633)
    found = read(dataset)
    assert (found.shape, found.nodata, found.dtype) == ((12, 24, 20), -9999, np.int16)
    np.testing.assert_array_equal(found.wavelengths, WAVELENGTHS)
    np.testing.assert_array_equal(found.window(slice(None), slice(None)), values)
    assert found.coords["band"].values.tolist() == [f"b{band}" for band in range(12)]
    with pytest.raises(SceneError, match="need one type"):
        read(dataset.assign(mask=(("y", "x"), np.zeros((24, 20), "u1"))))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Data_Ignore_Value", -9999.0), ("data_ignore_value", "-9999"), ("_FillValue", "-9999"),
        ("_FillValue", " -9999.0 "), ("NODATA", [-9999, -9999]),
    ],
)  # fmt: skip
def test_nodata_goes_by_many_names(scene: xr.DataArray, key: str, value: object) -> None:
    bare = scene.drop_attrs().drop_vars("spatial_ref").drop_encoding()
    assert read(bare.assign_attrs({key: value})).nodata == -9999
    assert read(bare.assign_attrs({key: "none"})).nodata is None


@pytest.mark.parametrize(
    ("values", "attrs", "are"),
    [
        (WAVELENGTHS, {}, True),
        (WAVELENGTHS[::-1], {"units": "nm"}, True),
        (np.arange(400, 412), {"units": "nm"}, True),
        (np.arange(1, 13), {}, False),
        (np.arange(12.0), {}, False),
        (np.arange(400, 412), {"units": "1"}, False),
    ],
)
def test_the_band_coordinate_may_have_the_wavelengths(
    scene: xr.DataArray, values: np.ndarray, attrs: dict[str, str], are: bool
) -> None:
    bare = scene.drop_vars(["wavelength", "fwhm"]).assign_coords(band=("band", values, attrs))
    found = read(bare)
    assert (found.wavelengths is not None) == are
    assert found.wavelength_units == (attrs.get("units") if are else None)
    xr.testing.assert_identical(found.to_xarray().band, bare.band)
    assert read(bare.rename(band="wavelength_3d")).band_dim == "wavelength_3d"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """A process of its own: GDAL holds this one's interpreter while it waits."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        port = server.stdout.readline().split("port ")[1].split()[0]
        yield f"http://127.0.0.1:{port}"
        server.terminate()


def test_a_scene_behind_a_url_is_read_as_the_file_is(
    tmp_path: Path, served: str, scene: xr.DataArray
) -> None:
    scene.rio.to_raster(tmp_path / "a.tif")
    with rasterio.open(tmp_path / "a.tif", "r+") as out:
        for band in range(12):
            out.update_tags(band + 1, wavelength=WAVELENGTHS[band], wavelength_units="nm", fwhm=7)
    here, there = read(tmp_path / "a.tif"), read(f"{served}/a.tif")
    assert there.wavelengths is not None
    np.testing.assert_array_equal(there.wavelengths, here.wavelengths)
    np.testing.assert_array_equal(there.window(slice(None), slice(None)), scene.values)
    for name in (f"{served}/a.tif", f"/vsicurl/{served}/a.tif"):
        by_rioxarray = read(rioxarray.open_rasterio(name))
        np.testing.assert_array_equal(by_rioxarray.wavelengths, here.wavelengths)
    with pytest.raises(SceneError, match="no image by itself"):
        read(f"{served}/missing.tif")
    with pytest.raises(SceneError, match="download it first"):
        read(f"{served}/a.npy")


def test_a_scene_behind_a_url_that_changed_is_archived_anew(
    tmp_path: Path, served: str, scene: xr.DataArray
) -> None:
    source, out = tmp_path / "a.tif", tmp_path / "out"
    for shift, expected in ((0, "done"), (0, "skipped"), (1, "done")):
        if expected == "done":
            (scene + shift).astype(scene.dtype).rio.to_raster(source)
            os.utime(source, (shift * 10, shift * 10))
        report = xhsinr.archive(f"{served}/a.tif", out, lossless=True, progress=False)
        assert [row.status for row in report.rows] == [expected]
    kept = xhsinr.open(out / "a" / "a.hsinr").open()
    np.testing.assert_array_equal(kept.values, scene.values + 1)


@pytest.mark.parametrize("name", ["a.nc", "a.zarr"])
def test_netcdf_and_zarr_have_one_cube_or_are_asked_which(
    tmp_path: Path, scene: xr.DataArray, name: str
) -> None:
    save = xr.Dataset.to_netcdf if name == "a.nc" else xr.Dataset.to_zarr
    path = tmp_path / name
    both = tmp_path / f"both-{name}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save(scene.to_dataset(name="one"), path)
        save(xr.Dataset({"one": scene, "two": scene + 1}), both)
    found = read(path)
    np.testing.assert_array_equal(found.window(slice(None), slice(None)), scene.values)
    assert found.crs == scene.rio.crs
    assert found.transform == scene.rio.transform()
    np.testing.assert_array_equal(found.wavelengths, scene.wavelength)
    with pytest.raises(SceneError, match=r"'one' and 'two' could each be the scene.*--variable"):
        read(both)
    assert int(read(both, "two").window(slice(1), slice(1)).min()) == int(
        scene.values[:, 0, 0].min() + 1
    )
    with pytest.raises(SceneError, match="no variable 'three', but one, two"):
        read(both, "three")
