"""A scene lies where its coordinates say, in every form in which it is given out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC

import xhsinr
from xhsinr.scene import Scene, read, write_geotiff

GRID = Affine(30, 0, 300000, 0, -30, 5000010)
ROTATED = Affine(26, 15, 300000, 15, -26, 5000010)
ONE = [1.0] + [0.0] * 19


def tif(path: Path, transform: Affine = GRID, **profile: object) -> Path:
    samples = np.arange(4 * 20 * 16).reshape(4, 20, 16).astype("int16")
    placed = {"crs": "EPSG:32633", "transform": transform} | profile
    with rasterio.open(
        path, "w", driver="GTiff", count=4, height=20, width=16, dtype="int16", **placed
    ) as out:
        out.write(samples)
    return path


def out_of_every_door(source: object, folder: Path) -> list[rasterio.DatasetReader]:
    small = xhsinr.compress(source, folder / "a.hsinr", lossless=True, progress=False)
    scene = read(small.open())
    write_geotiff(scene, scene.data, folder / "a.tif")
    return [rasterio.open(folder / "a.tif"), xhsinr.open_rasterio_dataset(folder / "a.hsinr")]


@pytest.mark.parametrize(
    ("rows", "cols", "expected"),
    [
        ([12], slice(None), GRID @ Affine.translation(0, 12)),
        (slice(None), [9], GRID @ Affine.translation(9, 0)),
        ([12], [9], GRID @ Affine.translation(9, 12)),
        (slice(3, 9), slice(2, 5), GRID @ Affine.translation(2, 3)),
        (slice(1, 9, 2), slice(None), Affine(30, 0, 300000, 0, -60, 4999995)),
        (slice(None, None, -1), slice(None), Affine(30, 0, 300000, 0, 30, 4999410)),
    ],
)
def test_a_selection_of_pixels_lies_where_they_lay(
    tmp_path: Path, rows: object, cols: object, expected: Affine
) -> None:
    part = rioxarray.open_rasterio(tif(tmp_path / "s.tif")).isel(y=rows, x=cols)
    assert read(part).transform == expected
    for dataset in out_of_every_door(part, tmp_path):
        with dataset:
            assert dataset.transform == expected


@pytest.mark.parametrize(
    ("rows", "cols", "expected"),
    [
        (slice(None), slice(None), ROTATED),
        (slice(4, 9), slice(3, 14), ROTATED @ Affine.translation(3, 4)),
        ([7], slice(3, None), ROTATED @ Affine.translation(3, 7)),
        ([7], [5], ROTATED @ Affine.translation(5, 7)),
        (slice(0, 20, 2), slice(None), ROTATED @ Affine(1, 0, 0, 0, 2, -0.5)),
    ],
)
def test_a_selection_of_a_rotated_grid_lies_where_it_lay(
    tmp_path: Path, rows: object, cols: object, expected: Affine
) -> None:
    part = rioxarray.open_rasterio(tif(tmp_path / "s.tif", ROTATED)).isel(y=rows, x=cols)
    for dataset in out_of_every_door(part, tmp_path):
        with dataset:
            assert dataset.transform.almost_equals(expected, 1e-6)
    back = xhsinr.open(tmp_path / "a.hsinr").open()
    np.testing.assert_array_equal(back.xc, part.xc)
    np.testing.assert_array_equal(back.yc, part.yc)


LAT, LON = 50 - 0.0003 * np.arange(40), 150 + 0.0003 * np.arange(300)


@pytest.mark.parametrize(
    ("y", "x", "crs", "step"),
    [
        (LAT.astype("f4"), LON.astype("f4"), 4326, 0.0003),
        (np.round(5e6 - 4.777314 * np.arange(40), 2), np.round(3e5 + 4.777314 * np.arange(300), 2),
         32633, 4.777314),
    ],
)  # fmt: skip
def test_coordinates_that_are_regular_but_for_rounding_make_a_transform(
    y: np.ndarray, x: np.ndarray, crs: int, step: float
) -> None:
    array = xr.DataArray(
        np.zeros((2, 40, 300), "f4"), dims=("band", "y", "x"), coords={"y": y, "x": x}
    ).rio.write_crs(crs)
    scene = read(array)
    expected = array.rio.transform(recalc=True)
    assert scene.transform is not None
    assert scene.transform.almost_equals(expected, step / 50)
    xr.testing.assert_identical(scene.to_xarray(), array)


def test_coordinates_that_are_not_regular_are_named() -> None:
    array = xr.DataArray(
        np.zeros((2, 4, 3), "f4"), dims=("band", "y", "x"), coords={"y": [1.0, 2, 4, 9]}
    ).rio.write_crs(32633)
    array = array.assign_coords(x=[1.0, 2, 3])
    with pytest.warns(UserWarning, match="'y' is not regular"):
        assert read(array).transform is None


@pytest.mark.parametrize("rows", [slice(None), slice(5, 12), [5]])
def test_coordinates_of_corners_follow_the_transform_beside_them(rows: object) -> None:
    """stackstac gives the top left corners of pixels, and says so in ``attrs['transform']``."""
    array = xr.DataArray(
        np.zeros((2, 20, 16), "f4"),
        dims=("band", "y", "x"),
        coords={"y": 5000010 - 30.0 * np.arange(20), "x": 300000 + 30.0 * np.arange(16)},
        attrs={"transform": GRID, "crs": "epsg:32633"},
    ).isel(y=rows)
    first = 0 if rows == slice(None) else 5
    assert read(array).transform == GRID @ Affine.translation(0, first)


def points() -> list[GroundControlPoint]:
    places = [(0.5, 0.5, 10.5, 45.5), (0.5, 15.5, 10.6, 45.5), (19.5, 0.5, 10.5, 45.4)]
    return [
        GroundControlPoint(row, col, x, y, id=str(number))
        for number, (row, col, x, y) in enumerate(places, 1)
    ]


def test_ground_control_points_need_no_crs(tmp_path: Path) -> None:
    path = tif(tmp_path / "s.tif", gcps=points(), transform=None, crs=rasterio.CRS())
    for dataset in out_of_every_door(path, tmp_path):
        with dataset:
            found, crs = dataset.gcps
            assert not crs
            assert [(p.row, p.col, p.x, p.y) for p in found] == [
                (p.row, p.col, p.x, p.y) for p in points()
            ]
    small = xhsinr.open(tmp_path / "a.hsinr")
    assert [p.x for p in small.open().rio.get_gcps()] == [10.5, 10.6, 10.5]
    xhsinr.compress(path, tmp_path / "p.hsinr", preview=True, progress=False)


def test_rpcs_come_out_of_every_door(tmp_path: Path) -> None:
    rpc = RPC(
        height_off=100, height_scale=500, lat_off=45, lat_scale=0.1, long_off=12, long_scale=0.1,
        line_off=10, line_scale=10, samp_off=8, samp_scale=8.25, line_den_coeff=ONE,
        samp_den_coeff=ONE, line_num_coeff=[0, 0, -1 / 3] + [0.0] * 17,
        samp_num_coeff=[0.0, 1] + [0.0] * 18,
    )  # fmt: skip
    path = tif(tmp_path / "s.tif", rpcs=rpc, transform=None, crs=None)
    with rasterio.open(path) as source:
        expected = source.rpcs
    for dataset in out_of_every_door(path, tmp_path):
        with dataset:
            assert dataset.rpcs == expected
    opened = xhsinr.open(tmp_path / "a.hsinr").open()
    assert json.loads(opened.attrs["rpcs"])["SAMP_SCALE"] == "8.25"
    opened.to_netcdf(tmp_path / "a.nc")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"LINE_OFF": "x"}', 5, None])
def test_what_is_no_rpc_is_an_attribute_like_others(text: object) -> None:
    scene = Scene(np.zeros((2, 3, 4), "i2"), attrs={"rpcs": text})
    assert scene.rpcs is None


def test_texts_that_look_like_numbers_stay_texts(tmp_path: Path) -> None:
    path = tif(tmp_path / "s.tif")
    with rasterio.open(path, "r+") as out:
        out.update_tags(orbit="007", code="1e5", cloud="0.5", count="12", name="a")
    found: Callable[[str], object] = read(path).attrs.get
    assert [found(key) for key in ("orbit", "code", "cloud", "count", "name")] == [
        "007", "1e5", 0.5, 12, "a",
    ]  # fmt: skip


def test_a_grid_mapping_left_behind_in_its_dataset_is_told(tmp_path: Path) -> None:
    whole = rioxarray.open_rasterio(tif(tmp_path / "s.tif")).to_dataset(name="reflectance")
    whole.reset_coords("spatial_ref").to_zarr(tmp_path / "s.zarr", zarr_format=2)
    dataset = xr.open_zarr(tmp_path / "s.zarr")
    with pytest.warns(UserWarning, match=r"'spatial_ref' .* compress the Dataset"):
        assert read(dataset["reflectance"]).crs is None
    assert read(dataset).crs == "EPSG:32633"
    assert read(dataset["reflectance"].rio.write_crs("EPSG:32633")).crs == "EPSG:32633"
    remedied = dataset["reflectance"].assign_coords(spatial_ref=dataset["spatial_ref"])
    assert read(remedied).crs == "EPSG:32633"
