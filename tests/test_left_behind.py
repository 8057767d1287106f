"""What rioxarray and xarray leave in a file comes along with their arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC

from xhsinr import scene as scenes

UTM33 = CRS.from_epsg(32633)


@pytest.fixture
def cube(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(1, 1000, (6, 20, 16)).astype(np.uint16)


def write(path: Path, cube: np.ndarray, **more: object) -> Path:
    profile = {"driver": "GTiff", "count": 6, "height": 20, "width": 16, "dtype": cube.dtype.name}
    with rasterio.open(path, "w", **profile, **more) as out:
        out.write(cube)
    return path


@pytest.fixture
def masked(cube: np.ndarray, tmp_path: Path) -> Path:
    place = Affine(30, 0, 300000, 0, -30, 5000010)
    path = write(tmp_path / "masked.tif", cube, crs=UTM33, transform=place)
    with rasterio.open(path, "r+") as out:
        out.write_mask(np.arange(16) >= np.full((20, 1), 4))
    return path


@pytest.mark.parametrize("part", [{}, {"x": slice(2, 9), "y": slice(3, 5), "band": [1, 4]}])
def test_a_mask_that_rioxarray_leaves_behind_counts(
    masked: Path, cube: np.ndarray, part: dict
) -> None:
    array = rioxarray.open_rasterio(masked).isel(part)
    scene = scenes.read(array)
    assert scene.nodata == 0
    expected = xr.zeros_like(array) + np.where(np.arange(16) < 4, 0, cube)[
        np.ix_(*(np.arange(s)[part.get(d, slice(None))] for d, s in
                 zip(("band", "y", "x"), cube.shape, strict=True)))
    ]  # fmt: skip
    assert np.array_equal(np.asarray(scene.data), expected)


def test_rpcs_come_along_with_the_whole_file_and_not_with_a_part(
    cube: np.ndarray, tmp_path: Path
) -> None:
    one, other = [1.0] + [0.0] * 19, [0.0, 1.0] + [0.0] * 18
    rpcs = RPC(100, 500, 45, 0.1, one, other, 10, 10, 12, 0.1, one, other, 8, 8)
    array = rioxarray.open_rasterio(write(tmp_path / "a.tif", cube, rpcs=rpcs))
    found = scenes.read(array).rpcs
    assert found is not None
    assert found.to_gdal() == rasterio.open(tmp_path / "a.tif").rpcs.to_gdal()
    with pytest.warns(UserWarning, match="RPCs are of the whole file"):
        assert scenes.read(array[:, 3:9]).rpcs is None


def test_ground_control_points_are_not_those_of_a_part(cube: np.ndarray, tmp_path: Path) -> None:
    points = [GroundControlPoint(r, c, 12 + c, 45 - r) for r in (0, 20) for c in (0, 16)]
    array = rioxarray.open_rasterio(write(tmp_path / "a.tif", cube, gcps=points, crs=UTM33))
    assert len(scenes.read(array).gcps or ()) == 4
    with pytest.warns(UserWarning, match="ground control points"):
        assert scenes.read(array[:, :, 2:]).gcps is None


@pytest.mark.parametrize(
    "attrs",
    [
        {"_FillValue": "7"},
        {"Data_Ignore_Value": 7.0},
        {"data ignore value": "7"},
        {"NoDataValue": 7},
        {"no_data": np.float64(7)},
        {"nodatavals": (7.0, 7.0)},
        {"missing_value": np.array([7])},
    ],
)
def test_nodata_has_many_names(cube: np.ndarray, attrs: dict) -> None:
    assert scenes.read(xr.DataArray(cube, dims=("band", "y", "x"), attrs=attrs)).nodata == 7


def test_a_grid_mapping_that_no_variable_names_is_the_only_one(
    cube: np.ndarray, tmp_path: Path
) -> None:
    coords = {"y": 5e6 - 30.0 * np.arange(20), "x": 3e5 + 30.0 * np.arange(16)}
    dataset = xr.Dataset({"a": (("band", "y", "x"), cube)}, coords).rio.write_crs(UTM33)
    dataset.to_netcdf(tmp_path / "a.nc", encoding={"a": {"dtype": "int16"}})
    assert scenes.read(tmp_path / "a.nc").crs == UTM33


def test_texts_that_rioxarray_makes_numbers_of_stay_texts(cube: np.ndarray, tmp_path: Path) -> None:
    tags = {"code": "007", "exponent": "1e5", "plus": "+3", "half": "0.50", "whole": "5"}
    path = write(tmp_path / "a.tif", cube)
    with rasterio.open(path, "r+") as out:
        out.update_tags(**tags)
    array = rioxarray.open_rasterio(path)
    assert array.attrs["code"] == 7
    found = scenes.read(array).attrs
    assert {name: found[name] for name in tags} == tags | {"whole": 5}
    # What the user changed since is the user's.
    assert scenes.read(array.assign_attrs(code=8)).attrs["code"] == 8


def test_an_alpha_band_is_a_mask_however_it_comes(cube: np.ndarray, tmp_path: Path) -> None:
    cube[-1] = np.where(np.arange(16) < 4, 0, 65535)
    path = write(tmp_path / "alpha.tif", cube)
    with rasterio.open(path, "r+") as out:
        out.colorinterp = [ColorInterp.gray, *[ColorInterp.undefined] * 4, ColorInterp.alpha]
    for source in (path, rioxarray.open_rasterio(path), rioxarray.open_rasterio(path)[1:]):
        scene = scenes.read(source)
        assert scene.bands == 5 - (source is not path and len(source) == 5)
        assert scene.nodata == 0
        assert (np.asarray(scene.data)[..., :4] == 0).all()
        assert np.array_equal(np.asarray(scene.data)[..., 4:], cube[5 - scene.bands : 5, :, 4:])


def test_a_band_between_others_is_no_alpha_band(cube: np.ndarray, tmp_path: Path) -> None:
    # TIFF marks the first band beyond the colours.
    path = write(tmp_path / "a.tif", cube, photometric="MINISBLACK", alpha="YES")
    with rasterio.open(path) as source:
        assert source.colorinterp[1] == ColorInterp.alpha
    assert np.array_equal(np.asarray(scenes.read(path).data), cube)


@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_mask_that_is_marked_as_alpha_is_one_wherever_it_stands(
    cube: np.ndarray, tmp_path: Path, place: int
) -> None:
    cube[place] = np.where(np.arange(16) < 4, 0, 255)
    path = write(tmp_path / "a.tif", cube)
    with rasterio.open(path, "r+") as out:
        marks = [ColorInterp.gray, *[ColorInterp.undefined] * 4]
        out.colorinterp = [*marks[:place], ColorInterp.alpha, *marks[place:]]
    for source in (path, rioxarray.open_rasterio(path)):
        scene = scenes.read(source)
        samples = np.asarray(scene.data)
        assert (samples[..., :4] == scene.nodata).all()
        assert np.array_equal(samples[..., 4:], np.delete(cube, place, 0)[..., 4:])


def test_a_part_of_a_rotated_grid_keeps_its_coordinates(cube: np.ndarray, tmp_path: Path) -> None:
    turned = Affine(26.0, 15.0, 300000, 15.0, -26.0, 5000010)
    array = rioxarray.open_rasterio(write(tmp_path / "a.tif", cube, crs=UTM33, transform=turned))
    part = array[:, 3:9, 2:8]
    found = scenes.read(part).to_xarray()
    np.testing.assert_allclose(found.xc, part.xc, rtol=1e-12)
    np.testing.assert_allclose(found.yc, part.yc, rtol=1e-12)
