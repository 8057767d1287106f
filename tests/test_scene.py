"""What comes in as a scene goes out as it came; what is no scene is refused with advice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
import rioxarray
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rioxarray.rioxarray import affine_to_coords
from small_scenes import GRID, UTM, WAVELENGTHS, carried, tif

import xhsinr
from xhsinr.errors import DamagedSidecarError, SceneError
from xhsinr.scene import Scene, read, write_geotiff
from xhsinr.scene.grid import pixel_centres
from xhsinr.sidecar.description import write_description


def assert_comes_back(source: xr.DataArray) -> Scene:
    scene = read(source)
    result = carried(scene).to_xarray()
    xr.testing.assert_identical(result, source)
    assert result.dtype == source.dtype
    for name, coord in source.coords.items():
        assert result.coords[name].dtype.kind == coord.dtype.kind
        if coord.dtype.kind in "iufmM":
            assert result.coords[name].dtype == coord.dtype
    return scene


# ---------------------------------------------------------------- DataArrays


def test_a_georeferenced_dataarray_comes_back_identical(georeferenced: xr.DataArray) -> None:
    scene = assert_comes_back(georeferenced)
    assert scene.shape == (5, 6, 7)
    assert scene.crs == UTM
    assert scene.transform == GRID
    assert scene.nodata == -9999
    assert scene.wavelength_units == "nm"
    np.testing.assert_array_equal(scene.wavelengths, WAVELENGTHS)
    assert scene.name == "scene"
    assert scene.samples == 210


@pytest.mark.parametrize(
    "dims",
    [
        ("band", "y", "x"),
        ("y", "x", "band"),
        ("y", "band", "x"),
        ("x", "y", "band"),
        ("bands", "lat", "lon"),
        ("latitude", "longitude", "wavelength"),
        ("row", "col", "wavelengths"),
        ("line", "sample", "channel"),
        ("lines", "samples", "bands"),
        ("northing", "easting", "Band"),
        ("downtrack", "crosstrack", "bands"),
    ],
)
@pytest.mark.parametrize("lazy", [False, True])
def test_dimensions_of_any_usual_name_and_order_come_back(
    rng: np.random.Generator, dims: tuple[str, str, str], lazy: bool
) -> None:
    source = xr.DataArray(rng.normal(size=(4, 5, 6)).astype(np.float32), dims=dims)
    scene = assert_comes_back(source.chunk() if lazy else source)
    assert isinstance(scene.data, dask.array.Array) == lazy
    expected = source.transpose(scene.band_dim, scene.row_dim, scene.col_dim).values
    np.testing.assert_array_equal(scene.window(slice(1, 3), slice(0, 2)), expected[:, 1:3, :2])


def test_a_dimension_with_wavelengths_on_it_is_the_band_dimension(cube: np.ndarray) -> None:
    source = xr.DataArray(
        cube, dims=("feature", "y", "x"), coords={"wavelength": ("feature", WAVELENGTHS)}
    )
    assert assert_comes_back(source).band_dim == "feature"


def test_wavelengths_as_index_stay_the_index(cube: np.ndarray) -> None:
    source = xr.DataArray(
        cube.transpose(1, 2, 0),
        dims=("y", "x", "wavelength"),
        coords={"wavelength": ("wavelength", WAVELENGTHS, {"units": "nanometers"})},
    )
    scene = assert_comes_back(source)
    np.testing.assert_array_equal(scene.wavelengths, WAVELENGTHS)
    assert "wavelength" in carried(scene).to_xarray().indexes
    assert scene.wavelengths_um is not None
    np.testing.assert_array_equal(scene.wavelengths_um, WAVELENGTHS / 1000)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.float64])
def test_wavelength_coordinates_keep_their_type(cube: np.ndarray, dtype: type) -> None:
    values = WAVELENGTHS.astype(dtype)
    source = xr.DataArray(cube, dims=("band", "y", "x"), coords={"wavelength": ("band", values)})
    scene = assert_comes_back(source)
    assert scene.wavelengths is not None
    assert scene.wavelengths.dtype == np.float64
    np.testing.assert_array_equal(scene.wavelengths, values)


def test_wavelengths_in_attributes_become_a_coordinate_and_are_stored_once(
    cube: np.ndarray,
) -> None:
    source = xr.DataArray(
        cube,
        dims=("band", "y", "x"),
        attrs={"wavelength": WAVELENGTHS, "wavelength_units": "Nanometers"},
    )
    scene = read(source)
    assert scene.wavelength_units == "Nanometers"
    assert scene.describe()[0]["attrs"]["wavelength"] == {"$like": "wavelengths"}
    result = carried(scene).to_xarray()
    np.testing.assert_array_equal(result.wavelength, WAVELENGTHS)
    xr.testing.assert_identical(result.drop_vars("wavelength"), source)


def test_every_kind_of_coordinate_comes_back(cube: np.ndarray) -> None:
    time = np.datetime64("2022-07-24T10:45:26.123456789", "ns")
    source = xr.DataArray(
        cube,
        dims=("band", "y", "x"),
        coords={
            "time": time,
            "tile": "33UUU",
            "sun": 51.25,
            "cloud": np.nan,
            "orbit": np.int32(7),
            "good": ("band", np.array([True, True, False, True, False])),
            "label": ("band", np.array(["a", "bb", "c", "d", "e"])),
            "text": ("band", np.array(["a", "bb", "c", "d", "e"], dtype=object)),
            "taken": ("y", time + np.array([0, 10, 21, 30, 40, 51]).astype("m8[ms]")),
            "odd": ("x", np.array([1e300, 0.1, np.pi, -1.0, 2.0, np.inf, np.nan])),
            "half": ("x", np.array([0.1, 0.2, 0.3, 5, 6, 7, 8], np.float32)),
            "count": ("x", np.array([0, 2**63, 1, 2, 3, 4, 5], np.uint64)),
            "y": ("y", np.array([1.0, 2.0, 4.0, 8.0, 9.0, 9.5]), {"axis": "Y", "n": 1}),
        },
    )
    assert_comes_back(source)


def test_the_sign_of_zero_comes_back(cube: np.ndarray) -> None:
    wavelengths = np.arange(len(cube)) * 10.0
    signed = np.concatenate([[-0.0], wavelengths[1:]])
    source = xr.DataArray(
        cube,
        dims=("band", "y", "x"),
        coords={
            "wavelength": ("band", signed),
            "like": ("band", wavelengths),
            "steps": ("band", -wavelengths),
            "one": -0.0,
        },
        attrs={"listed": wavelengths.tolist(), "one": -0.0},
    )
    result = carried(read(source)).to_xarray()
    for name, coord in source.coords.items():
        assert result[name].values.tobytes() == coord.values.tobytes()
    assert repr(result.attrs) == repr(source.attrs)


def test_attributes_of_all_json_kinds_come_back(cube: np.ndarray) -> None:
    attrs = {
        "text": "ü 漢",
        "none": None,
        "flag": True,
        "whole": np.int64(3),
        "real": np.float32(0.1),
        "nan": float("nan"),
        "infinite": [np.inf, -np.inf],
        "vector": np.array([1.5, 2.5]),
        "nested": {"a": [1, {"b": "c"}], "$float": "nan", "$$": {"$like": "fwhm"}},
    }
    assert_comes_back(xr.DataArray(cube, dims=("band", "y", "x"), attrs=attrs))


def test_attributes_without_a_json_form_are_left_out_with_a_warning(cube: np.ndarray) -> None:
    source = xr.DataArray(cube, dims=("band", "y", "x"), attrs={"thing": object(), "kept": 1})
    with pytest.warns(UserWarning, match="'thing'"):
        scene = read(source)
    assert scene.attrs == {"kept": 1}


def test_two_dimensional_coordinates_are_left_out_with_a_warning(cube: np.ndarray) -> None:
    lon = ("y", "x"), np.random.default_rng(0).normal(size=(6, 7))
    source = xr.DataArray(cube, dims=("band", "y", "x"), coords={"lon": lon})
    with pytest.warns(UserWarning, match="'lon'"):
        scene = read(source)
    assert "lon" not in scene.coords


def test_a_rotated_grid_comes_back(cube: np.ndarray) -> None:
    rotated = Affine(20.0, 3.0, 5e5, 3.0, -20.0, 6e6)
    y, x = pixel_centres(rotated, 6, 7)
    source = xr.DataArray(
        cube, dims=("band", "y", "x"), coords={"xc": (("y", "x"), x), "yc": (("y", "x"), y)}
    )
    scene = assert_comes_back(source.rio.write_crs(UTM).rio.write_transform(rotated))
    assert scene.transform == rotated
    assert scene.describe()[0]["coords"]["xc"]["like"] == "x"


def test_a_selection_keeps_its_place_and_its_stale_geotransform(
    georeferenced: xr.DataArray,
) -> None:
    scene = assert_comes_back(georeferenced.isel(x=slice(2, 6), y=slice(1, 5)))
    assert scene.transform is not None
    assert scene.transform.c == pytest.approx(GRID.c + 60)
    assert scene.transform.f == pytest.approx(GRID.f - 30)


def test_a_grid_mapping_of_another_writer_comes_back(georeferenced: xr.DataArray) -> None:
    source = georeferenced.drop_vars("spatial_ref").assign_coords(
        crs=xr.Variable((), 3, {"crs_wkt": UTM.to_wkt(), "comment": "by hand"})
    )
    source.attrs["grid_mapping"] = "crs"
    source.encoding = {}
    scene = assert_comes_back(source)
    assert scene.crs == UTM
    assert scene.transform is not None
    assert scene.transform.almost_equals(GRID, 1e-6)


def test_ground_control_points_come_back(cube: np.ndarray) -> None:
    points = [
        GroundControlPoint(row=0, col=0, x=13.1, y=52.5, z=30.0, id="1", info="corner"),
        GroundControlPoint(row=6, col=7, x=13.2, y=52.4, id="2", info=""),
    ]
    source = xr.DataArray(cube, dims=("band", "y", "x")).rio.write_gcps(points, "EPSG:4326")
    scene = assert_comes_back(source)
    assert scene.gcps is not None
    assert [p.asdict() for p in scene.gcps] == [p.asdict() for p in points]


def test_encoding_that_belongs_to_the_data_comes_back(georeferenced: xr.DataArray) -> None:
    source = georeferenced.astype(np.float32)
    source.attrs = {}
    source.encoding = {
        "scale_factor": 1e-4,
        "_FillValue": np.int16(-9999),
        "dtype": np.dtype("int16"),
        "source": "/somewhere/private.tif",
    }
    scene = carried(read(source))
    assert scene.nodata is None
    encoding = scene.to_xarray().encoding
    assert encoding["scale_factor"] == 1e-4
    assert encoding["_FillValue"] == -9999
    assert encoding["dtype"] == "int16"
    assert "private" not in json.dumps(scene.describe()[0])


def test_band_names_that_follow_a_rule_cost_little(cube: np.ndarray) -> None:
    cubes = np.repeat(cube, 40, axis=0)
    centres = 400 + 2.345 * np.arange(200).round(6)
    names = [f"Resize (Band {i + 3}:M3G20090205.IMG) ({w:.6f})" for i, w in enumerate(centres)]
    source = xr.DataArray(
        cubes,
        dims=("band", "y", "x"),
        coords={"wavelength": ("band", centres)},
        attrs={"long_name": tuple(names)} | {f"Band_{i + 1}": n for i, n in enumerate(names)},
    )
    scene = assert_comes_back(source)
    assert len(json.dumps(scene.describe()[0])) < 300


def test_the_metadata_of_a_plain_scene_are_small(georeferenced: xr.DataArray) -> None:
    description, arrays = read(georeferenced).describe()
    assert description["crs"] == "EPSG:32633"
    assert len(json.dumps(description, separators=(",", ":"))) < 600
    # Written, with wavelengths and widths of five bands.
    assert len(write_description(description, arrays)) < 200


def test_the_callers_dataarray_is_left_alone(georeferenced: xr.DataArray) -> None:
    before = georeferenced.copy(deep=True)
    read(georeferenced)
    xr.testing.assert_identical(georeferenced, before)


def test_other_samples_can_be_given_to_the_dataarray(georeferenced: xr.DataArray) -> None:
    scene = read(georeferenced)
    decoded = np.zeros(scene.shape, np.int16)
    np.testing.assert_array_equal(scene.to_xarray(decoded), 0)
    with pytest.raises(ValueError, match="shape"):
        scene.to_xarray(decoded[:, :2])


def test_arrays_that_xarray_has_not_read_stay_lazy(tmp_path: Path, cube: np.ndarray) -> None:
    path = tif(tmp_path / "a.tif", cube, crs=UTM, transform=GRID)
    source = rioxarray.open_rasterio(path)
    scene = read(source)
    assert isinstance(scene.data, dask.array.Array)
    np.testing.assert_array_equal(scene.window(slice(None), slice(None)), cube)


@pytest.mark.parametrize("listed", ["{450, 550, 650}", "450,550,650", ["450", "550", "650"]])
def test_wavelengths_in_attributes_may_be_text(listed: str | list[str]) -> None:
    attrs = {"Wavelength": listed, "wavelength_units": "Nanometers"}
    scene = read(xr.DataArray(np.ones((3, 4, 5), "i2"), dims=("band", "y", "x"), attrs=attrs))
    assert scene.wavelengths_um is not None
    assert scene.wavelengths_um.tolist() == [0.45, 0.55, 0.65]
    assert scene.attrs["Wavelength"] == listed


def test_units_of_a_coordinate_may_be_called_in_capitals() -> None:
    coords = {"Wavelength": ("band", [450.0, 550.0, 650.0], {"Units": "nm"})}
    array = xr.DataArray(np.ones((3, 4, 5), "i2"), coords, ("band", "y", "x"))
    assert read(array).wavelengths_um.tolist() == [0.45, 0.55, 0.65]
    assert array.hsinr.sel_wavelength(0.55e3).Wavelength == 550


@pytest.mark.parametrize("masked", [False, True])
def test_wavelengths_that_rioxarray_leaves_in_the_file_are_taken(
    tmp_path: Path, georeferenced: xr.DataArray, masked: bool
) -> None:
    scene = read(georeferenced)
    write_geotiff(scene, scene.data, tmp_path / "a.tif")
    source = rioxarray.open_rasterio(tmp_path / "a.tif", masked=masked)
    found = read(source)
    np.testing.assert_array_equal(found.wavelengths, WAVELENGTHS)
    np.testing.assert_array_equal(found.fwhm, scene.fwhm)
    assert found.wavelength_units == "nm"
    chosen = read(source.isel(band=[4, 1], x=slice(2, 5)))
    np.testing.assert_array_equal(chosen.wavelengths, WAVELENGTHS[[4, 1]])


def test_wavelengths_of_a_file_are_left_where_they_may_be_anothers(
    tmp_path: Path, georeferenced: xr.DataArray
) -> None:
    scene = read(georeferenced)
    path = tmp_path / "a.tif"
    write_geotiff(scene, scene.data, path)
    source = rioxarray.open_rasterio(path)
    renumbered = source.assign_coords(band=np.arange(5) + 3)
    for unsure in (source + 1, source.drop_vars("band"), renumbered):
        assert read(unsure).wavelengths is None
    source.load()
    path.unlink()
    assert read(source).wavelengths is None


def test_a_window_computes_the_chunks_that_it_touches_and_no_others() -> None:
    touched = []

    def made(block_id: tuple[int, ...]) -> np.ndarray:
        touched.append(block_id)
        return np.zeros((5, 30, 30), np.int16)

    data = dask.array.map_blocks(
        made, chunks=((5,), (30,) * 10, (30,) * 10), dtype=np.int16, meta=np.zeros((0, 0, 0), "i2")
    )
    scene = read(xr.DataArray(data, dims=("band", "y", "x")))
    assert not touched
    assert scene.window(slice(85, 105), slice(200, 207)).shape == (5, 20, 7)
    assert sorted(touched) == [(0, 2, 6), (0, 3, 6)]


def test_big_endian_samples_become_native(cube: np.ndarray) -> None:
    scene = read(xr.DataArray(cube.astype(">i2"), dims=("band", "y", "x")))
    assert scene.dtype.isnative
    np.testing.assert_array_equal(scene.window(slice(2), slice(3)), cube[:, :2, :3])


def test_a_crs_alone_makes_no_transform(cube: np.ndarray) -> None:
    scene = assert_comes_back(xr.DataArray(cube, dims=("band", "y", "x")).rio.write_crs(UTM))
    assert (scene.crs, scene.transform) == (UTM, None)


def test_odd_encodings_and_attributes_are_left_out(cube: np.ndarray) -> None:
    source = xr.DataArray(cube, dims=("band", "y", "x"))
    source.encoding = {"dtype": "no type", "scale_factor": 0.1}
    source.attrs = {"half": "\ud800", "_FillValue": 10**400}
    with (
        pytest.warns(UserWarning, match="encoding 'dtype' is left out"),
        pytest.warns(UserWarning, match="'half' is left out"),
    ):
        scene = read(source)
    assert scene.encoding == {"scale_factor": 0.1}
    assert scene.nodata is None


# ---------------------------------------------------------------- Datasets and arrays


def test_the_one_hyperspectral_variable_of_a_dataset_is_taken(
    georeferenced: xr.DataArray,
) -> None:
    bare = georeferenced.drop_vars(["wavelength", "spatial_ref"])
    bare.encoding = {}
    dataset = xr.Dataset(
        {
            "reflectance": bare.assign_attrs(grid_mapping="spatial_ref"),
            "mask": bare.isel(band=0, drop=True),
            "wavelengths": ("band", WAVELENGTHS, {"units": "nm"}),
            "spatial_ref": georeferenced.spatial_ref.variable,
        }
    )
    scene = read(dataset)
    assert scene.name == "reflectance"
    assert scene.crs == UTM
    assert scene.transform == GRID
    assert scene.wavelength_units == "nm"
    np.testing.assert_array_equal(scene.wavelengths, WAVELENGTHS)


@pytest.mark.parametrize("door", ["dataset", "netcdf", "zarr", "variable", "bands"])
def test_attributes_of_a_dataset_come_along(
    georeferenced: xr.DataArray, tmp_path: Path, door: str
) -> None:
    cube = georeferenced.assign_attrs(source="its own")
    dataset = cube.to_dataset(name="reflectance").assign_attrs(
        title="Lake", source="all", sun=np.float32(41.5), units="of nothing"
    )
    expected = {"title": "Lake", "source": "all" if door == "bands" else "its own", "sun": 41.5}
    if door == "bands":
        dataset = cube.drop_vars("wavelength").to_dataset("band").assign_attrs(dataset.attrs)
    elif door == "zarr":
        dataset.to_zarr(tmp_path / "a.zarr", zarr_format=2)
    elif door != "dataset":
        dataset.to_netcdf(tmp_path / "a.nc")
    source = {"zarr": tmp_path / "a.zarr", "netcdf": tmp_path / "a.nc"}.get(door, dataset)
    scene = read(tmp_path / "a.nc", "reflectance") if door == "variable" else read(source)
    found = carried(scene).to_xarray().attrs
    assert expected.items() <= found.items()
    assert found.get("units") != "of nothing"


def test_two_candidates_in_a_dataset_are_named(georeferenced: xr.DataArray) -> None:
    dataset = xr.Dataset({"radiance": georeferenced, "reflectance": georeferenced})
    with pytest.raises(SceneError, match=r"'radiance' and 'reflectance'.*ds\['radiance'\]"):
        read(dataset)


def test_a_dataset_without_a_scene_says_what_it_has() -> None:
    with pytest.raises(SceneError, match=r"t \('time', 'y', 'x'\)"):
        read(xr.Dataset({"t": (("time", "y", "x"), np.zeros((2, 3, 4)))}))


@pytest.mark.parametrize("lazy", [False, True])
def test_arrays_are_rows_cols_bands(cube: np.ndarray, lazy: bool) -> None:
    given_ = cube.transpose(1, 2, 0)
    scene = read(dask.array.from_array(given_) if lazy else given_)
    assert scene.shape == (5, 6, 7)
    result = carried(scene).to_xarray()
    assert result.dims == ("y", "x", "band")
    np.testing.assert_array_equal(result, given_)
    assert not result.coords


# ---------------------------------------------------------------- what is refused


def test_what_is_no_scene_is_refused_with_advice(cube: np.ndarray, tmp_path: Path) -> None:
    def array(dims: tuple[str, ...], *shape: int, dtype: Any = np.float32) -> xr.DataArray:
        return xr.DataArray(np.zeros(shape, dtype), dims=dims)

    byx = ("band", "y", "x")
    cases = [
        (array(("time", "y", "x"), 2, 3, 4), "rename one"),
        (array(("band", "row", "z"), 2, 3, 4), r'called "x".*rename'),
        (array(("band", "wavelength", "x"), 2, 3, 4), "'band' and 'wavelength'"),
        (array(("band", "y", "lat"), 2, 3, 4), "'y' and 'lat'"),
        (array(byx, 1, 3, 4), "one band"),
        (array(byx, 2, 0, 4), "empty"),
        (array(("y", "x"), 3, 4), "three dimensions"),
        (array(("time", *byx), 1, 2, 3, 4), r"isel\(time=0\)"),
        (xr.DataArray(np.zeros((2, 3, 4))), "rename"),
        (array(byx, 2, 3, 4, dtype=bool), "astype"),
        (array(byx, 2, 3, 4, dtype=complex), "real numbers"),
        (array(byx, 2, 3, 4, dtype=object), "real numbers"),
        (array(byx, 2, 3, 4, dtype=np.int64), "int32"),
        (array(byx, 2, 3, 4, dtype=np.uint64), "int32"),
        (array(byx, 2, 3, 4, dtype=np.float16), "float32"),
        (np.zeros((3, 4)), "rows, cols, bands"),
        (tmp_path / "nowhere.tif", "no such file"),
        (str(tmp_path / "nowhere.mat"), "no such file"),
        ([1, 2, 3], "list is not a scene"),
    ]
    for source, message in cases:
        with pytest.raises(SceneError, match=message):
            read(source)  # type: ignore[arg-type]


def test_chunks_of_unknown_size_are_refused(cube: np.ndarray) -> None:
    data = dask.array.from_array(cube)
    unknown = data[data[:, 0, 0] >= 0]
    array = xr.DataArray(xr.Variable(("band", "y", "x"), unknown))
    for source in (unknown, array, array.to_dataset(name="a")):
        with pytest.raises(SceneError, match="compute_chunk_sizes"):
            read(source)


def test_a_malformed_crs_is_refused(cube: np.ndarray) -> None:
    source = xr.DataArray(cube, dims=("band", "y", "x"))
    source = source.assign_coords(spatial_ref=xr.Variable((), 0, {"crs_wkt": "NONSENSE[1"}))
    with pytest.raises(SceneError, match="write_crs"):
        read(source)


# ---------------------------------------------------------------- invalid samples


def test_nodata_and_nan_are_invalid() -> None:
    values = np.array([[[1.0, np.nan, -999.0, np.float32(-0.1)]]], np.float32)
    expected = [False, True, True, False]
    np.testing.assert_array_equal(Scene(values, nodata=-999).invalid(values)[0, 0], expected)
    assert Scene(values, nodata=-0.1).invalid(values)[0, 0].tolist() == [False, True, False, True]
    assert Scene(values, nodata=1e300).invalid(values).sum() == 1
    whole = np.array([[[0, 65535]]], np.uint16)
    assert Scene(whole, nodata=65535.0).invalid(whole)[0, 0].tolist() == [False, True]
    assert not Scene(whole, nodata=-9999).invalid(whole).any()


@pytest.mark.parametrize("value", [-9999, 0.5, 70000, float("nan")])
def test_nodata_that_no_sample_can_have_marks_none(cube: np.ndarray, value: float) -> None:
    source = xr.DataArray(
        cube.astype(np.uint16), dims=("band", "y", "x"), attrs={"_FillValue": value}
    )
    assert assert_comes_back(source).nodata is None


def test_nan_as_declared_nodata_comes_back(cube: np.ndarray) -> None:
    source = xr.DataArray(
        cube.astype(np.float32), dims=("band", "y", "x"), attrs={"_FillValue": np.nan}
    )
    assert np.isnan(assert_comes_back(source).nodata)


# ---------------------------------------------------------------- grids


@pytest.mark.parametrize(
    "grid", [GRID, Affine(0.1, 0, 1 / 3, 0, -0.1, 52), Affine(7.3, 0.1, 1e6, 0.1, -7.3, 2e6)]
)
def test_pixel_centres_are_those_of_rioxarray(grid: Affine) -> None:
    theirs = affine_to_coords(grid, 700, 600)
    y, x = pixel_centres(grid, 600, 700)
    np.testing.assert_array_equal(y, theirs["y"])
    np.testing.assert_array_equal(x, theirs["x"])


# ---------------------------------------------------------------- damaged descriptions


DAMAGE: list[dict[str, Any]] = [
    {"dims": ["band", "y"]},
    {"dims": ["y", "y", "x"]},
    {"dims": "byx"},
    {"axes": [0, 1, 1]},
    {"axes": [0, 1, True]},
    {"nodata": "text"},
    {"nodata": {"$float": "__import__('os')"}},
    {"crs": "/etc/passwd"},
    {"crs": "EPSG:1"},
    {"crs": 4326},
    {"transform": [1, 2, 3]},
    {"transform": [1, 2, 3, 4, 5, None]},
    {"gcps": [[1, 2]]},
    {"gcps": [[1, 2, 3, 4, None, 5, ""]]},
    {"name": 5},
    {"attrs": []},
    {"attrs": {"$float": "nan"}},
    {"encoding": {"$like": "fwhm"}},
    {"grid_mapping": {"name": "a", "extra": {"$float": "inf"}}},
    {"attrs": {"a": {"$like": "nothing"}}},
    {"band_names": [["w", 99]]},
    {"band_names": [["w"]]},
    {"band_names": 7},
    {"band_tags": True},
    {"grid_mapping": {}},
    {"grid_mapping": {"name": "band"}},
    {"coords": {"band": {"dims": [], "value": 1}}},
    {"grid_mapping": {"name": "a", "missing": [1]}},
    {"coords": {"a": 1}},
    {"coords": {"a": {"dims": ["q"], "value": 1}}},
    {"coords": {"a": {"dims": ["band", "band"]}}},
    {"coords": {"a": {"dims": ["band"]}}},
    {"coords": {"a": {"dims": [], "dtype": "O", "value": 1}}},
    {"coords": {"a": {"dims": [], "dtype": "<f7", "value": 1}}},
    {"coords": {"a": {"dims": [], "dtype": "<i8", "value": 2**70}}},
    {"coords": {"a": {"dims": [], "dtype": "<i8", "value": 0.5}}},
    {"coords": {"a": {"dims": [], "value": "x"}}},
    {"coords": {"a": {"dims": ["band"], "value": [[1], 2, 3, 4, 5]}}},
    {"coords": {"band": {"dtype": "str", "value": ["a", "b"]}}},
    {"coords": {"band": {"steps": [1]}}},
    {"coords": {"band": {"steps": [1, 10**30]}}},
    {"coords": {"band": {"like": "fwhm2"}}},
    {"coords": {"band": {"like": ["x"]}}},
    {"coords": {"band": {"steps": [1, 1], "attrs": 1}}},
]


@pytest.mark.parametrize("damage", DAMAGE, ids=str)
def test_a_damaged_description_is_refused(
    georeferenced: xr.DataArray, damage: dict[str, Any]
) -> None:
    scene = read(georeferenced)
    description, arrays = scene.describe()
    with pytest.raises(DamagedSidecarError):
        Scene.from_description(description | damage, arrays, scene.data)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        ["", "band", "y", "x", "wavelengths", "fwhm", "nan", "<i8", "<M8[ns]", "str"]
    ),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from(["dims", "dtype", "value", "steps", "like", "rule", "$float", "$like"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_json_gives_a_scene_or_a_damaged_sidecar_error(data: st.DataObject) -> None:
    array = xr.DataArray(
        np.zeros((5, 6, 7), np.int16),
        dims=("y", "band", "x"),
        coords={
            "wavelength": ("band", WAVELENGTHS[[0, 1, 2, 3, 4, 4]]),
            "x": np.arange(7),
            "odd": ("y", [1.0, 2.5, 4.0, 1.0, np.pi]),
            "time": np.datetime64("2022-07-24", "ns"),
        },
        attrs={"long_name": [f"band {i}" for i in range(6)], "_FillValue": 7, "a": {"b": 1}},
    )
    scene = read(array.rio.write_crs(UTM))
    description, arrays = scene.describe()
    node: Any = description
    while True:
        key = data.draw(
            st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node)))
        )
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = data.draw(JSON)
    try:
        result = Scene.from_description(description, arrays, scene.data)
    except DamagedSidecarError:
        return
    assert result.to_xarray().size == scene.samples


def test_arrays_of_the_wrong_shape_or_type_are_refused(georeferenced: xr.DataArray) -> None:
    scene = read(georeferenced)
    description, arrays = scene.describe()
    for bad in (np.zeros(4), np.zeros((5, 1)), np.zeros(5, "c8"), None):
        with pytest.raises(DamagedSidecarError):
            Scene.from_description(description, arrays | {"wavelengths": bad}, scene.data)
    with pytest.raises(DamagedSidecarError):
        Scene.from_description([], arrays, scene.data)  # type: ignore[arg-type]


def test_lists_of_lists_in_attributes_come_back(tmp_path: Path) -> None:
    array = xr.DataArray(np.ones((2, 3, 4), "i2"), dims=("band", "y", "x"))
    array.attrs["history"] = [["a", 1], 2.5, [[], "b"]]
    xhsinr.compress(array, tmp_path / "a.hsinr", progress=False)
    assert xhsinr.open(tmp_path / "a.hsinr").open().attrs["history"] == [["a", 1], 2.5, [[], "b"]]


def test_of_several_nodata_values_the_first_counts_and_they_are_named() -> None:
    array = xr.DataArray(np.ones((2, 3, 4), "i2"), dims=("band", "y", "x"))
    with pytest.warns(UserWarning, match="several nodata values, -9999, -8888: the first counts"):
        assert read(array.assign_attrs(missing_value=[-9999, -8888])).nodata == -9999


def test_what_comes_back_as_text_is_named() -> None:
    array = xr.DataArray(np.ones((2, 3, 4), "i2"), dims=("band", "y", "x"))
    odd = {"day": np.datetime64("2020-01-02"), "raw": b"abc", "all": {"in": [Path("a/b")]}}
    with pytest.warns(UserWarning, match="attribute 'day', 'raw', 'all' comes back as text"):
        scene = read(array.assign_attrs(odd, title="text", list=(1, 2)))
    assert scene.attrs["day"] == "2020-01-02"
    assert scene.attrs["all"] == {"in": ["a/b"]}
    with pytest.warns(UserWarning, match="'half' is left out: text with half of a surrogate"):
        assert read(array.assign_attrs(half={"\ud800": 1})).attrs == {}
