"""Products as their makers deliver them: nothing that they say is lost, nothing is rounded."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import product_files
import pytest
import xarray as xr
from affine import Affine
from click.testing import CliRunner
from rasterio.crs import CRS

import xhsinr
from xhsinr.cli import main
from xhsinr.errors import SceneError
from xhsinr.scene import Scene, read, write_geotiff
from xhsinr.scene.hdf5 import lazy_cube
from xhsinr.scene.products.acquisition import acquisition, utc

pytestmark = pytest.mark.filterwarnings("ignore:.*stays in sensor geometry:UserWarning")

UTM = CRS.from_epsg(32633)


def everything(scene: Scene) -> dict[str, Any]:
    """All that a scene says besides its samples."""
    description, arrays = scene.describe()
    return {"json": json.dumps(description, sort_keys=True)} | {
        name: values.tolist() for name, values in arrays.items()
    }


def assert_archived(path: Path, cube: np.ndarray, tmp_path: Path) -> Scene:
    """Compress without loss, open again: the same samples and the same words about them."""
    scene = read(path)
    np.testing.assert_array_equal(scene.window(slice(None), slice(None)), cube)
    assert scene.dtype == cube.dtype
    small = xhsinr.compress(path, tmp_path / "scene.hsinr", lossless=True, progress=False)
    again = read(small.open())
    np.testing.assert_array_equal(again.window(slice(None), slice(None)), cube)
    assert everything(again) == everything(scene)
    return again


@pytest.mark.parametrize("given", ["image", "metadata", "folder"])
def test_enmap_comes_in_by_its_image_its_metadata_or_its_folder(
    tmp_path: Path, rng: np.random.Generator, given: str
) -> None:
    folder = tmp_path / product_files.ENMAP
    folder.mkdir()
    image, cube = product_files.enmap(folder, rng)
    metadata = folder / f"{product_files.ENMAP}-METADATA.XML"
    path = {"image": image, "metadata": metadata, "folder": folder}[given]
    scene = assert_archived(path, cube, tmp_path)
    assert scene.wavelengths is not None
    assert scene.fwhm is not None
    assert scene.wavelengths.tolist() == [418.416, 424.043, 904.78, 1390.22, 2438.6, 2445.53]
    assert scene.fwhm.tolist() == [6.1, 6.2, 6.3, 6.4, 6.5, 6.6]
    assert scene.wavelength_units == "nm"
    assert scene.coords["bbl"].values.tolist() == [1, 1, 1, 0, 1, 0]
    assert (scene.nodata, scene.crs, scene.transform) == (-32768, UTM, product_files.UTM_GRID)
    attrs = scene.attrs
    assert (attrs["scale_factor"], attrs["add_offset"]) == (1e-4, 0.0)
    assert attrs["datetime"] == attrs["start_datetime"] == "2022-07-24T10:45:26.123456Z"
    assert attrs["end_datetime"] == "2022-07-24T10:45:30.654321Z"
    assert attrs["product_id"] == product_files.ENMAP
    assert (attrs["platform"], attrs["instrument"]) == ("EnMAP", "HSI")


def test_desis_has_a_gain_and_an_offset_for_each_band(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    path, cube = product_files.desis(tmp_path, rng)
    scene = assert_archived(path, cube, tmp_path)
    assert scene.wavelengths is not None
    assert scene.fwhm is not None
    assert scene.wavelengths.tolist() == [float(str(400.295 + 2.551 * i)) for i in range(1, 5)]
    assert scene.fwhm.tolist() == [3.1 + i / 100 for i in range(1, 5)]
    assert scene.scaling is not None
    assert scene.scaling[0].tolist() == [0.001 * i for i in range(1, 5)]
    assert scene.scaling[1].tolist() == [-0.5, -1.0, -1.5, -2.0]
    assert "bbl" not in scene.coords
    assert (scene.nodata, scene.crs, scene.transform) == (-32768, UTM, product_files.UTM_GRID)
    assert scene.attrs["datetime"] == "2020-07-25T10:50:15.500Z"
    assert scene.attrs["end_datetime"] == "2020-07-25T10:50:19.750Z"
    assert scene.attrs["product_id"] == product_files.DESIS
    assert (scene.attrs["platform"], scene.attrs["instrument"]) == ("ISS", "DESIS")


def test_prisma_is_joined_from_its_detectors(tmp_path: Path, rng: np.random.Generator) -> None:
    path, cube = product_files.prisma(tmp_path, rng)
    scene = assert_archived(path, cube, tmp_path)
    vnir, swir = product_files.VNIR[:0:-1], product_files.SWIR[2::-1]
    np.testing.assert_array_equal(scene.wavelengths, np.concatenate([vnir, swir]))
    np.testing.assert_array_equal(scene.fwhm, np.concatenate([vnir / 64, swir / 128]))
    assert (scene.dtype, scene.nodata, scene.wavelength_units) == (np.uint16, 0, "nm")
    assert scene.crs == UTM
    assert scene.transform == Affine(30, 0, 352740, 0, -30, 5987250)
    assert scene.coords["x"].values[0] == 352755
    assert (scene.attrs["scale_factor"], scene.attrs["add_offset"]) == (1.25 / 65535, 0.0)
    assert scene.attrs["datetime"] == "2020-11-07T10:14:04.123000Z"
    assert scene.attrs["product_id"] == product_files.PRISMA
    assert (scene.attrs["platform"], scene.attrs["instrument"]) == ("PRISMA", "PRISMA")
    assert scene.attrs["Sun_zenith_angle"] == 61.5


def test_prisma_detectors_may_have_scales_of_their_own(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    path, cube = product_files.prisma(tmp_path, rng, swir_max=0.75)
    scene = assert_archived(path, cube, tmp_path)
    assert scene.scaling is not None
    assert scene.scaling[0].tolist() == [1.25 / 65535] * 3 + [0.75 / 65535] * 3


def test_prisma_of_an_unknown_grid_is_left_without_a_place(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    path, _ = product_files.prisma(tmp_path, rng)
    with h5py.File(path, "r+") as file:
        file.attrs["Product_LRcorner_easting"] = np.float32(400000)
    with pytest.warns(UserWarning, match="without a place"):
        assert read(path).transform is None
    with h5py.File(path, "r+") as file:
        del file.attrs["L2ScaleSwirMax"]
    with pytest.raises(SceneError, match="L2ScaleSwirMax"):
        read(path)


def test_emit_stays_in_sensor_geometry(tmp_path: Path, rng: np.random.Generator) -> None:
    path, cube = product_files.emit(tmp_path, rng)
    scene = assert_archived(path, cube, tmp_path)
    expected = np.array([381.00558, 388.4092, 1380.26, 2485.3, 2492.9], np.float32)
    np.testing.assert_array_equal(scene.wavelengths, expected)
    np.testing.assert_array_equal(scene.fwhm, (expected / 50).astype(np.float32))
    assert scene.coords["bbl"].values.tolist() == [1, 1, 0, 1, 1]
    assert scene.coords["bbl"].values.dtype == np.uint8
    assert scene.dims == ("bands", "downtrack", "crosstrack")
    assert (scene.dtype, scene.nodata, scene.transform) == (np.float32, -9999.0, None)
    assert scene.attrs["datetime"] == "2023-03-16T04:51:33Z"
    assert scene.attrs["end_datetime"] == "2023-03-16T04:51:45Z"
    assert scene.attrs["product_id"] == product_files.EMIT
    assert (scene.attrs["platform"], scene.attrs["instrument"]) == ("ISS", "EMIT")
    assert scene.crs == CRS.from_epsg(4326)
    assert scene.gcps is not None
    assert len(scene.gcps) == 25
    last = scene.gcps[-1]
    assert (last.row, last.col) == (11.5, 9.5)
    assert (last.x, last.y) == (150 + 9 * 6e-4 + 11 * 1e-4, -35 - 11 * 6e-4)


def test_emit_is_orthorectified_by_its_lookup_table(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    path, cube = product_files.emit(tmp_path, rng)
    with pytest.warns(UserWarning, match="lookup table that leads to the ground; lon, lat of"):
        xhsinr.compress(path, tmp_path / "a.hsinr", lossless=True, tile=5, progress=False)
    ground = xhsinr.open(tmp_path / "a.hsinr").open().hsinr.orthorectify()
    assert ground.dims == ("bands", "y", "x")
    assert ground.shape == (5, 14, 16)
    assert ground.rio.crs == CRS.from_epsg(4326)
    assert ground.rio.transform() == Affine(0.00054, 0, 150, 0, -0.00054, -35)
    with h5py.File(path) as file:
        rows, cols = (file[f"location/{name}"][()] for name in ("glt_y", "glt_x"))
    expected = np.where(rows > 0, cube[:, rows - 1, cols - 1], np.float32(-9999))
    np.testing.assert_array_equal(ground.values, expected)
    np.testing.assert_array_equal(ground.wavelength, read(path).wavelengths)
    out = tmp_path / "ground.tif"
    done = CliRunner().invoke(main, ["decompress", str(tmp_path / "a.hsinr"), str(out), "--ortho"])
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(read(out).window(slice(None), slice(None)), expected)


@pytest.mark.filterwarnings("always:.*lookup table")
@pytest.mark.parametrize("suffix", [".tif", ".nc", ".img"])
def test_a_lookup_table_that_a_format_cannot_hold_is_named(
    tmp_path: Path, rng: np.random.Generator, suffix: str
) -> None:
    path, _ = product_files.emit(tmp_path, rng)
    xhsinr.compress(path, tmp_path / "a.hsinr", lossless=True, progress=False)
    command = ["decompress", str(tmp_path / "a.hsinr"), str(tmp_path / f"a{suffix}")]
    found = CliRunner().invoke(main, command)
    assert found.exit_code == 0
    assert "Warning: " in found.output
    assert "lookup table has no place in it" in " ".join(found.output.split())


def test_a_lookup_table_is_not_that_of_a_part(tmp_path: Path, rng: np.random.Generator) -> None:
    path, _ = product_files.emit(tmp_path, rng)
    xhsinr.compress(path, tmp_path / "a.hsinr", lossless=True, progress=False)
    scene = xhsinr.open(tmp_path / "a.hsinr").open()
    assert read(scene).lookup is not None
    with pytest.warns(UserWarning, match="lookup table is of the whole scene"):
        assert read(scene[:, 2:9]).lookup is None
    with pytest.raises(SceneError, match="no geometry lookup table"):
        xr.DataArray(np.ones((3, 4, 5)), dims=("band", "y", "x")).hsinr.orthorectify()


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
@pytest.mark.parametrize("suffix", ["", ".hdr"])
def test_aviris_ng_comes_in_as_envi(
    tmp_path: Path, rng: np.random.Generator, interleave: str, suffix: str
) -> None:
    path, cube = product_files.envi(tmp_path, rng, interleave=interleave)
    scene = assert_archived(path.with_name(path.name + suffix), cube, tmp_path)
    assert scene.wavelengths is not None
    assert scene.wavelengths.tolist() == [376.719576, 381.729576, 1386.739575, 2500.1]
    assert scene.fwhm is not None
    assert scene.fwhm.tolist() == [5.57, 5.58, 5.59, 6.0]
    assert scene.coords["bbl"].values.tolist() == [0, 1, 1, 0]
    assert (scene.nodata, scene.crs) == (-9999, CRS.from_epsg(32611))
    assert scene.transform is not None
    assert scene.transform.b != 0
    assert np.hypot(scene.transform.a, scene.transform.d) == pytest.approx(5.1)
    assert scene.transform @ (0, 0) == (532890.5, 4154321.25)
    assert scene.attrs["datetime"] == "2019-06-24T23:00:39Z"
    assert scene.attrs["product_id"] == product_files.AVIRIS_NG
    assert scene.attrs["instrument"] == "AVIRIS-NG"


def test_hymap_says_its_time_and_scale_in_the_header(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    more = (
        "sensor type = HyMap\nacquisition time = 2004-07-30T12:04:05.5+0200\n"
        "reflectance scale factor = 10000\n"
    )
    path, cube = product_files.envi(tmp_path, rng, "hymap_line1.img", "bsq", "i2", more)
    scene = assert_archived(path, cube, tmp_path)
    assert scene.attrs["instrument"] == "HyMap"
    assert scene.attrs["datetime"] == "2004-07-30T10:04:05.5Z"
    assert scene.attrs["scale_factor"] == 1e-4
    assert "product_id" not in scene.attrs


def test_a_local_time_without_its_zone_is_no_datetime(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    more = "acquisition time = 2004-07-30T12:04:05\n"
    path, _ = product_files.envi(tmp_path, rng, "line.img", "bsq", "i2", more)
    attrs = read(path).attrs
    assert "datetime" not in attrs
    assert attrs["acquisition_time"] == "2004-07-30T12:04:05"


def test_matlab_v73_is_read_window_by_window(tmp_path: Path, rng: np.random.Generator) -> None:
    cube = rng.random((6, 5, 4)).astype(np.float32)
    wavelengths = np.array([400.25, 500.5, 600, 700, 800, 900.125])
    path = product_files.matlab73(tmp_path / "scene.mat", cube, wavelengths)
    scene = assert_archived(path, cube, tmp_path)
    np.testing.assert_array_equal(scene.wavelengths, wavelengths)
    assert scene.wavelength_units == "nm"


def test_reflectance_comes_back_with_mask_and_scale(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    path, cube = product_files.prisma(tmp_path, rng)
    xhsinr.compress(path, tmp_path / "a.hsinr", lossless=True, progress=False)
    opened = xr.open_dataset(tmp_path / "a.hsinr", engine="hsinr", mask_and_scale=True)
    expected = np.where(cube == 0, np.nan, cube * (1.25 / 65535))
    np.testing.assert_allclose(opened["reflectance"], expected, rtol=1e-6)


def test_a_product_goes_through_geotiff(tmp_path: Path, rng: np.random.Generator) -> None:
    path, cube = product_files.prisma(tmp_path, rng, swir_max=0.75)
    scene = read(path)
    write_geotiff(scene, scene.data, tmp_path / "out.tif")
    back = read(tmp_path / "out.tif")
    np.testing.assert_array_equal(back.window(slice(None), slice(None)), cube)
    assert (back.crs, back.transform, back.nodata) == (scene.crs, scene.transform, 0)
    np.testing.assert_array_equal(back.scaling, scene.scaling)
    assert back.attrs["datetime"] == scene.attrs["datetime"]


def test_ground_control_points_of_a_swath_go_through_geotiff(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    path, cube = product_files.emit(tmp_path, rng)
    scene = read(path)
    write_geotiff(scene, scene.data, tmp_path / "out.tif")
    back = read(tmp_path / "out.tif")
    np.testing.assert_array_equal(back.window(slice(None), slice(None)), cube)
    assert back.crs == CRS.from_epsg(4326)
    assert back.gcps is not None
    assert scene.gcps is not None
    assert [(p.row, p.col, p.x, p.y) for p in back.gcps] == [
        (p.row, p.col, p.x, p.y) for p in scene.gcps
    ]


def test_bad_bands_go_through_geotiff(tmp_path: Path, rng: np.random.Generator) -> None:
    path, _ = product_files.enmap(tmp_path, rng)
    scene = read(path)
    write_geotiff(scene, scene.data, tmp_path / "out.tif")
    assert read(tmp_path / "out.tif").coords["bbl"].values.tolist() == [1, 1, 1, 0, 1, 0]


# ---------------------------------------------------------------- what is not certain


def test_an_image_without_its_metadata_brings_a_warning(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    path, cube = product_files.enmap(tmp_path, rng)
    (tmp_path / f"{product_files.ENMAP}-METADATA.XML").unlink()
    with pytest.warns(UserWarning, match="METADATA.XML is not beside it"):
        scene = read(path)
    assert scene.wavelengths is None
    assert scene.shape == cube.shape


def test_metadata_of_something_else_are_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    image, _ = product_files.enmap(tmp_path, rng)
    metadata = tmp_path / f"{product_files.ENMAP}-METADATA.XML"
    text = metadata.read_text()
    for broken, message in (
        (text.replace('<bandID number="6"><wave', '<other number="6"><wave'), "not well-formed"),
        (text.replace("bandCharacterisation", "nothing"), "describes 0 bands"),
        (text.replace("418.416", "blue"), "'blue' and not a number"),
    ):
        metadata.write_text(broken)
        with pytest.raises(SceneError, match=message):
            read(image)
    metadata.write_text(text)
    image.unlink()
    with pytest.raises(SceneError, match="is not beside it"):
        read(metadata)
    with pytest.raises(SceneError, match="0 files"):
        read(tmp_path)


def test_an_unknown_hdf5_file_names_what_is_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.nc", "w") as file:
        file["reflectance"] = np.zeros((3, 4, 5))
    with pytest.raises(SceneError, match=r"xarray.*PRISMA L2D, EMIT L1B and L2A"):
        read(tmp_path / "a.nc")


def test_a_damaged_hdf5_file_is_named_with_the_window(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    path, _ = product_files.prisma(tmp_path, rng)
    scene = read(path)
    raw = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        chunk = file["HDFEOS/SWATHS/PRS_L2D_HCO/Data Fields/SWIR_Cube"].id.get_chunk_info(0)
    raw[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    path.write_bytes(raw)
    with pytest.raises(SceneError, match=r"PRS_L2D.*rows 0 to 10, columns 0 to 12"):
        scene.window(slice(None), slice(None))
    path.write_bytes(raw[:3000])
    with pytest.raises(SceneError, match="PRS_L2D"):
        read(path)


def test_without_h5py_the_extra_is_named(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = product_files.prisma(tmp_path, rng)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(SceneError, match=r"pip install 'xhsinr\[products\]'"):
        read(path)


# ---------------------------------------------------------------- reading by window


@pytest.mark.parametrize("bands", [None, np.array([4, 3, 1])])
def test_a_lazy_cube_indexes_as_an_array_does(
    tmp_path: Path, rng: np.random.Generator, bands: np.ndarray | None
) -> None:
    stored = rng.integers(0, 99, (7, 5, 6))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["cube"] = stored
    cube = lazy_cube(tmp_path / "a.h5", {"cube": bands}, (1, 0, 2))
    expected = stored.transpose(1, 0, 2)[slice(None) if bands is None else bands]
    for key in (np.s_[:], np.s_[0], np.s_[1:, 2:5, ::2], np.s_[::-1, ::-1, 3], np.s_[:, 3:3]):
        np.testing.assert_array_equal(cube[key], expected[key])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(cube)), expected)


def test_a_window_reads_no_more_than_itself(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, cube = product_files.emit(tmp_path, rng)
    scene = read(path)
    read_samples = []
    original = h5py.Dataset.__getitem__

    def counted(self: h5py.Dataset, key: Any, *rest: Any) -> Any:
        found = original(self, key, *rest)
        read_samples.append(np.size(found))
        return found

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    window = scene.window(slice(2, 5), slice(1, 3))
    np.testing.assert_array_equal(window, cube[:, 2:5, 1:3])
    assert sum(read_samples) == window.size


@pytest.mark.slow
def test_tiles_are_read_on_the_workers_of_a_cluster(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    distributed = pytest.importorskip("distributed")
    path, cube = product_files.prisma(tmp_path, rng)
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
    ):
        xhsinr.compress(path, tmp_path / "a.hsinr", lossless=True, tile=4, progress=False)
    np.testing.assert_array_equal(xhsinr.open(tmp_path / "a.hsinr").open(), cube)


# ---------------------------------------------------------------- acquisition


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2022-07-24T10:45:26.123456Z", "2022-07-24T10:45:26.123456Z"),
        ("2020-11-07T10:14:04.123000", "2020-11-07T10:14:04.123000Z"),
        ("2023-03-16T04:51:33+0000", "2023-03-16T04:51:33Z"),
        ("2020-01-01 00:30:00.5+01:00", "2019-12-31T23:30:00.5Z"),
        ("2020-01-01", None),
        ("2020-13-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+0900", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_times_become_utc_with_their_digits(text: str | None, expected: str | None) -> None:
    assert utc(text) == expected


def test_what_a_product_does_not_state_is_left_out() -> None:
    assert acquisition(None, "2020-01-01T00:00:00Z", platform="") == {}
    assert acquisition("2020-01-01T00:00:00Z") == {"datetime": "2020-01-01T00:00:00Z"}
