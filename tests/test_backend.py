"""The xarray engine: lazy, whole, and like any other array."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from anatomy import Anatomy
from hypothesis import given, settings
from hypothesis import strategies as st

import xhsinr
from xhsinr.backend import HsinrBackend
from xhsinr.demo import synthetic_scene
from xhsinr.errors import DamagedSidecarError, NotASidecarError, UnsupportedVersionError
from xhsinr.reading.reader import Reader
from xhsinr.scene.formats import write_scene
from xhsinr.sidecar.file import Sidecar

SIZES = {"band": 7, "y": 23, "x": 30}
LAYOUTS = (("band", "y", "x"), ("y", "x", "band"))


@pytest.fixture(scope="module", params=LAYOUTS, ids="-".join)
def scene(request: pytest.FixtureRequest) -> xr.DataArray:
    return synthetic_scene(SIZES["y"], SIZES["x"], SIZES["band"]).transpose(*request.param)


@pytest.fixture(scope="module")
def path(scene: xr.DataArray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("backend") / "scene.hsinr"
    xhsinr.compress(scene, path, tile=10, psnr=40, progress=False)
    return path


def opened(path: Path) -> xr.DataArray:
    return xr.open_dataset(path, engine="hsinr", mask_and_scale=False)["reflectance"]


def test_dimensions_coordinates_and_attributes_are_the_originals(
    path: Path, scene: xr.DataArray
) -> None:
    back = opened(path).load()
    xr.testing.assert_identical(back, scene.copy(data=back.values))
    assert back.dims == scene.dims
    assert back.rio.crs == scene.rio.crs
    assert back.rio.transform() == scene.rio.transform()
    assert np.abs(back.astype(float) - scene).max() < 500


def test_opening_and_printing_decode_nothing(path: Path, tiles: list[int]) -> None:
    dataset = xr.open_dataset(path, engine="hsinr")
    assert "reflectance" in repr(dataset)
    assert "reflectance" in dataset._repr_html_()
    xr.open_dataset(path, engine="hsinr", chunks={})
    assert dataset["reflectance"].isel(x=slice(3, 9)).shape
    assert tiles == []


def test_a_pixels_spectrum_reads_and_decodes_one_tile(
    path: Path, tiles: list[int], bytes_read: list[int]
) -> None:
    scene = opened(path)
    expected = [Sidecar.open(path).index.sizes[5].sum()]
    bytes_read.clear()
    assert scene.isel(y=11, x=29).values.shape == (7,)
    assert tiles == [5]
    assert bytes_read == expected


def test_what_was_decoded_is_there_for_every_door(path: Path, tiles: list[int]) -> None:
    first = opened(path).isel(band=[5, 0, 2]).values
    assert sorted(tiles) == list(range(9))
    tiles.clear()
    assert np.array_equal(opened(path).isel(band=[5, 0, 2]).values, first)
    whole = xhsinr.open(path).open()
    assert np.array_equal(whole.isel(band=[5, 0, 2]).values, first)
    with xhsinr.open_rasterio_dataset(path) as dataset:
        assert np.array_equal(dataset.read(), whole.transpose("band", "y", "x").values)
    assert tiles == []


def test_what_was_read_can_be_changed_without_harm(path: Path) -> None:
    first = opened(path).load()
    first += 1
    assert np.array_equal(opened(path).values, first.values - 1)


def test_a_window_decodes_its_tiles_once_each(path: Path, tiles: list[int]) -> None:
    _ = opened(path).isel(y=slice(5, 15), x=slice(0, 8)).values
    assert sorted(tiles) == [0, 3]


def test_chunks_are_the_tiles(path: Path, tiles: list[int]) -> None:
    dataset = xr.open_dataset(path, engine="hsinr", chunks={})
    assert dict(dataset.chunks) == {"band": (7,), "y": (10, 10, 3), "x": (10, 10, 10)}
    dataset["reflectance"].isel(y=slice(0, 10), x=slice(20, 30)).compute(scheduler="synchronous")
    assert tiles == [2]


def test_threads_and_none_give_the_same(path: Path) -> None:
    whole = xr.open_dataset(path, engine="hsinr").load()
    for scheduler in ("synchronous", "threads"):
        lazy = xr.open_dataset(path, engine="hsinr", chunks={})
        xr.testing.assert_identical(lazy.compute(scheduler=scheduler, num_workers=2), whole)


def test_scenes_side_by_side_open_as_one(tmp_path: Path) -> None:
    scene = synthetic_scene(20, 36, 5)
    parts = [scene.isel(x=slice(start, start + 12)) for start in (0, 12, 24)]
    paths = [tmp_path / f"{number}.hsinr" for number in range(3)]
    for part, target in zip(parts, paths, strict=True):
        xhsinr.compress(part, target, lossless=True, tile=8, progress=False)
    together = xr.open_mfdataset(
        paths,
        engine="hsinr",
        combine="by_coords",
        data_vars="all",
        join="outer",
        compat="no_conflicts",
    )
    assert dict(together.chunks) == {"band": (5,), "y": (8, 8, 4), "x": (8, 4, 8, 4, 8, 4)}
    assert np.array_equal(together["reflectance"].values, scene.values)
    assert together.rio.crs == scene.rio.crs


@pytest.mark.parametrize(
    "target",
    [
        {"quality": "analysis"},
        {"quality": "preview"},
        {"psnr": 38.0},
        {"max_error": 9.0},
        {"bpppb": 6.0},
        {"lossless": True},
    ],
    ids=str,
)
def test_compressing_again_without_settings_asks_for_the_same(tmp_path: Path, target: dict) -> None:
    path = tmp_path / "a.hsinr"
    xhsinr.compress(synthetic_scene(20, 20, 9), path, progress=False, **target)
    dataset = xr.open_dataset(path, engine="hsinr")
    again = xhsinr.compress(dataset, tmp_path / "b.hsinr", progress=False)
    assert again.info["target"] == target


def test_what_is_asked_for_goes_before_what_is_remembered(tmp_path: Path) -> None:
    first = xhsinr.compress(synthetic_scene(9, 9, 5), tmp_path / "a.hsinr", lossless=True)
    again = first.open().hsinr.compress(tmp_path / "b.hsinr", psnr=33)
    assert again.info["target"] == {"psnr": 33}
    assert again.open().hsinr.compress(tmp_path / "c.hsinr").info["target"] == {"psnr": 33}


def test_a_bound_that_is_remembered_has_the_units_of_the_samples(tmp_path: Path) -> None:
    scene = synthetic_scene(12, 12, 5)
    scene.attrs["scale_factor"] = 0.5
    xhsinr.compress(scene, tmp_path / "a.hsinr", max_error=8, progress=False)
    scaled = xr.open_dataset(tmp_path / "a.hsinr", engine="hsinr", mask_and_scale=True)
    assert scaled["reflectance"].encoding["hsinr"] == {"max_error": 4.0}
    again = xhsinr.compress(scaled, tmp_path / "b.hsinr", progress=False)
    assert np.abs(again.open() - scaled["reflectance"]).max() <= 4


def test_other_formats_take_a_decoded_scene(path: Path, tmp_path: Path) -> None:
    dataset = xr.open_dataset(path, engine="hsinr").load()
    dataset.to_netcdf(tmp_path / "a.nc")
    with xr.open_dataset(tmp_path / "a.nc", mask_and_scale=False) as back:
        assert np.array_equal(back["reflectance"], dataset["reflectance"])
    dataset["reflectance"].transpose("band", "y", "x").rio.to_raster(tmp_path / "a.tif")


def test_what_is_pickled_stays_lazy_and_reads_the_same(path: Path, tiles: list[int]) -> None:
    content = pickle.dumps(xr.open_dataset(path, engine="hsinr"))
    again = pickle.loads(content)
    assert tiles == []
    xr.testing.assert_identical(again.load(), xr.open_dataset(path, engine="hsinr").load())


def keys(size: int) -> st.SearchStrategy:
    """What can stand for an axis in outer indexing."""
    bound = st.one_of(st.none(), st.integers(-size - 3, size + 3))
    step = st.one_of(st.none(), st.integers(-4, 4).filter(bool))
    number = st.integers(-size, size - 1)
    return st.one_of(
        number,
        st.builds(slice, bound, bound, step),
        st.lists(number, max_size=5).map(lambda found: np.array(found, np.intp)),
        st.lists(st.booleans(), min_size=size, max_size=size).map(np.array),
    )


def test_outer_indexing_is_numpys(path: Path) -> None:
    whole = opened(path).load()

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(st.tuples(*(keys(size) for size in SIZES.values())))
    def holds(chosen) -> None:
        key = dict(zip(SIZES, chosen, strict=True))
        xr.testing.assert_identical(opened(path).isel(key).load(), whole.isel(key))

    holds()


def test_pointwise_indexing_is_numpys(path: Path) -> None:
    whole = opened(path).load()

    @settings(max_examples=30, deadline=None, derandomize=True)
    @given(st.lists(st.tuples(*(st.integers(-s, s - 1) for s in SIZES.values())), min_size=1))
    def holds(points) -> None:
        key = {
            dim: xr.DataArray(np.array(found), dims="point")
            for dim, found in zip(SIZES, zip(*points, strict=True), strict=True)
        }
        xr.testing.assert_identical(opened(path).isel(key).load(), whole.isel(key))
        del key["band"]
        xr.testing.assert_identical(opened(path).isel(key).load(), whole.isel(key))

    holds()


def test_indexing_in_steps_is_numpys(path: Path) -> None:
    whole = opened(path).load()
    part = opened(path).isel(y=slice(None, None, -2)).isel(x=[7, 7, 0], band=slice(1, None))
    expected = whole.isel(y=slice(None, None, -2)).isel(x=[7, 7, 0], band=slice(1, None))
    xr.testing.assert_identical(part.load(), expected)


def test_labels_select_like_indices(path: Path, scene: xr.DataArray) -> None:
    place = {"x": scene["x"].values[4], "y": scene["y"].values[9]}
    assert np.array_equal(opened(path).sel(place).values, opened(path).load().sel(place).values)


def test_variables_can_be_dropped_and_the_file_closed(path: Path) -> None:
    with xr.open_dataset(path, engine="hsinr", drop_variables="fwhm") as dataset:
        assert "fwhm" not in dataset.variables
        assert "wavelength" in dataset.variables


def test_nameless_scenes_get_a_name(tmp_path: Path) -> None:
    path = tmp_path / "a.hsinr"
    xhsinr.compress(np.ones((3, 4, 2), "u1"), path, progress=False)
    assert list(xr.open_dataset(path, engine="hsinr")) == ["scene"]
    assert xhsinr.open(path).open().name is None


@pytest.mark.parametrize("name", ["scene", "reflectance", None])
def test_coordinates_may_have_the_name_of_the_scene(tmp_path: Path, name: str | None) -> None:
    path = tmp_path / "a.hsinr"
    scene = synthetic_scene(12, 12, 5).rename(name).assign_coords(scene=3, reflectance=4)
    xhsinr.compress(scene, path, lossless=True, progress=False)
    (shown,) = xr.open_dataset(path, engine="hsinr").data_vars.values()
    assert (shown.name, int(shown.scene), int(shown.reflectance)) == ("scene_1", 3, 4)
    assert np.array_equal(shown, scene)
    made = Reader(Sidecar.open(path))
    for suffix in ("nc", "zarr"):
        write_scene(made.scene(), made.to_dask(), tmp_path / f"a.{suffix}")
        written = xr.open_dataset(tmp_path / f"a.{suffix}", decode_coords="all")
        (again,) = written.data_vars.values()
        assert np.array_equal(again, scene)


@pytest.mark.parametrize("kind", [str, Path])
def test_sidecars_are_recognised_by_name(path: Path, kind: type) -> None:
    xr.testing.assert_identical(
        xr.open_dataset(kind(path)).load(), xr.open_dataset(path, engine="hsinr").load()
    )
    assert not HsinrBackend().guess_can_open("scene.nc")
    assert not HsinrBackend().guess_can_open(b"scene.hsinr")
    assert not HsinrBackend().guess_can_open(3)


def test_what_is_no_sidecar_gives_the_packages_own_error(tmp_path: Path, path: Path) -> None:
    other = tmp_path / "scene.hsinr"
    for content, error in (
        (b"", NotASidecarError),
        (b"II*\0 and so on, as in a TIFF", NotASidecarError),
        (path.read_bytes()[:-1], DamagedSidecarError),
        (Anatomy.of(path).with_(version=7).to_bytes(), UnsupportedVersionError),
    ):
        other.write_bytes(content)
        with pytest.raises(error, match=r"scene\.hsinr"):
            xr.open_dataset(other, engine="hsinr")
    with pytest.raises(FileNotFoundError):
        xr.open_dataset(tmp_path / "missing.hsinr", engine="hsinr")


def test_a_lazy_scene_can_be_compressed_again(path: Path, tmp_path: Path) -> None:
    lazy = xr.open_dataset(path, engine="hsinr", chunks={})
    again = lazy.hsinr.compress(tmp_path / "again.hsinr", lossless=True, progress=False)
    xr.testing.assert_identical(again.open().load(), lazy["reflectance"].load())


@pytest.mark.parametrize("layout", LAYOUTS, ids="-".join)
def test_scales_that_differ_by_band_are_applied(tmp_path: Path, layout: tuple[str, ...]) -> None:
    scene = synthetic_scene(12, 15, 4, nodata_corner=True)
    scales, offsets = [0.5, 2.0, 1.0, -1.0], [0.0, 1.0, 2.0, 3.0]
    scene.attrs |= {"scales": scales, "offsets": offsets}
    by_band = {"dims": "band", "coords": {"band": scene["band"]}}
    meant = scene.where(scene != -32768) * xr.DataArray(scales, **by_band)
    meant = (meant + xr.DataArray(offsets, **by_band)).transpose(*layout)
    path = tmp_path / "a.hsinr"
    xhsinr.compress(scene.transpose(*layout), path, tile=8, lossless=True, progress=False)
    found = xr.open_dataset(path, engine="hsinr", mask_and_scale=True)["reflectance"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.values, meant.values, rtol=1e-6)
    np.testing.assert_allclose(found[1, 2:9:3, ::-1], meant[1, 2:9:3, ::-1], rtol=1e-6)
    assert not {"scales", "offsets", "_FillValue"} & {*found.attrs, *found.encoding}
    assert opened(path).attrs["scales"] == scales


def test_nodata_is_nan_unless_stored_numbers_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.hsinr"
    scene = synthetic_scene(20, 20, 5, nodata_corner=True).assign_attrs(scale_factor=0.5)
    xhsinr.compress(scene, path, lossless=True, progress=False)
    masked, stored = xr.open_dataset(path, engine="hsinr")["reflectance"], opened(path)
    assert masked.dtype.kind == "f"
    assert np.isnan(masked.values[:, 0, 0]).all()
    valid = scene.values != -32768
    assert np.array_equal(masked.values[valid], 0.5 * scene.values[valid])
    for same in (stored, xhsinr.open(path).open()):
        assert same.dtype == np.int16
        assert np.array_equal(same.values, scene.values)


@pytest.mark.parametrize(
    "attrs",
    [
        {"_FillValue": "-32768"},
        {"_FillValue": " -32768.0 "},
        {"missing_value": "-32768"},
        {"missing_value": np.array([-32768])},
        {"Data_Ignore_Value": -32768},
        {"data ignore value": "-32768"},
        {"nodata": -32768},
    ],
    ids=str,
)
def test_nodata_is_nan_whatever_it_was_called(tmp_path: Path, attrs: dict) -> None:
    path = tmp_path / "a.hsinr"
    scene = synthetic_scene(20, 20, 5, nodata_corner=True)
    hidden = scene.values == -32768
    scene.attrs = attrs
    xhsinr.compress(scene, path, lossless=True, progress=False)
    masked = xr.open_dataset(path, engine="hsinr")["reflectance"]
    assert np.array_equal(np.isnan(masked.values), hidden)
    assert opened(path).attrs.keys() == attrs.keys()
    made = Reader(Sidecar.open(path))
    write_scene(made.scene(), made.to_dask(), tmp_path / "a.nc")
    assert np.array_equal(np.isnan(xr.open_dataset(tmp_path / "a.nc")["reflectance"]), hidden)


def test_nodata_that_is_no_number_masks_nothing_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.hsinr"
    scene = synthetic_scene(20, 20, 5).assign_attrs(_FillValue="none")
    xhsinr.compress(scene, path, lossless=True, progress=False)
    with pytest.warns(UserWarning, match="_FillValue = 'none' is no number"):
        shown = xr.open_dataset(path, engine="hsinr")["reflectance"]
    assert np.array_equal(shown, scene)
    assert opened(path).attrs["_FillValue"] == "none"


def test_names_of_bands_are_a_coordinate_and_come_back_as_they_were(tmp_path: Path) -> None:
    names = [f"band {number}" for number in "abcde"]
    scene = synthetic_scene(12, 12, 5).assign_attrs(long_name=names)
    xhsinr.compress(scene, tmp_path / "a.hsinr", lossless=True, progress=False)
    named = xr.open_dataset(tmp_path / "a.hsinr", engine="hsinr")["reflectance"]
    assert named["band_name"].values.tolist() == names
    assert "long_name" not in named.attrs
    assert opened(tmp_path / "a.hsinr").attrs["long_name"] == names
    named.hsinr.compress(tmp_path / "b.hsinr", lossless=True, progress=False)
    assert opened(tmp_path / "b.hsinr").attrs["long_name"] == names
    assert "band_name" not in opened(tmp_path / "b.hsinr").coords
