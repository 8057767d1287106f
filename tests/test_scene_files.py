"""Files of scenes come in as they are and go out as GeoTIFF; what holds no scene is refused."""

from __future__ import annotations

import json
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rioxarray
import scipy.io
import xarray as xr
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from small_scenes import GRID, UTM, WAVELENGTHS, carried, tif

from xhsinr.errors import SceneError
from xhsinr.scene import read, write_geotiff
from xhsinr.sidecar.description import write_description


def test_a_geotiff_with_gdals_imagery_domain_has_micrometres(
    tmp_path: Path, cube: np.ndarray
) -> None:
    path = tif(tmp_path / "a.tif", cube, crs=UTM, transform=GRID, nodata=-1)
    with rasterio.open(path, "r+") as out:
        for band in out.indexes:
            out.update_tags(band, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=str(0.4 + band / 100))
    scene = read(path)
    assert scene.wavelength_units == "um"
    assert scene.wavelengths is not None
    assert scene.wavelengths.tolist() == [float(str(0.4 + band / 100)) for band in range(1, 6)]
    assert (scene.crs, scene.transform, scene.nodata) == (UTM, GRID, -1)


def test_a_geotiff_with_wavelengths_in_its_band_names(tmp_path: Path, cube: np.ndarray) -> None:
    path = tif(tmp_path / "a.tif", cube)
    with rasterio.open(path, "r+") as out:
        out.descriptions = [f"B{band} at {400 + band / 4} nm" for band in out.indexes]
    scene = read(str(path))
    assert scene.wavelength_units == "nm"
    assert scene.wavelengths is not None
    assert scene.wavelengths.tolist() == [400.25, 400.5, 400.75, 401.0, 401.25]
    assert scene.transform is None


@pytest.mark.parametrize("lazy", [False, True])
def test_a_scene_written_to_geotiff_reads_back(
    tmp_path: Path, georeferenced: xr.DataArray, lazy: bool
) -> None:
    source = georeferenced.chunk(x=4, y=5) if lazy else georeferenced
    source.attrs |= {"long_name": [f"b {i}" for i in range(5)], "start_time": "2022-07-24"}
    scene = read(source)
    path = tmp_path / "out.tif"
    write_geotiff(scene, scene.data, path)
    assert [p.name for p in tmp_path.iterdir()] == ["out.tif"]
    back = read(path)
    assert (back.crs, back.transform, back.nodata, back.dtype) == (UTM, GRID, -9999, scene.dtype)
    np.testing.assert_array_equal(back.wavelengths, scene.wavelengths)
    np.testing.assert_array_equal(back.fwhm, scene.fwhm)
    assert back.wavelength_units == "nm"
    assert back.attrs["long_name"] == source.attrs["long_name"]
    assert back.attrs["start_time"] == "2022-07-24"
    assert back.attrs["scale_factor"] == 1e-4
    np.testing.assert_array_equal(back.window(slice(None), slice(None)), georeferenced)
    with rasterio.open(path) as written:
        assert written.tags(1, ns="IMAGERY")["CENTRAL_WAVELENGTH_UM"] == "0.399369995"


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"])
def test_every_data_type_goes_through_geotiff(tmp_path: Path, dtype: str) -> None:
    cube = np.arange(2 * 300 * 20).reshape(2, 300, 20).astype(dtype)
    scene = read(cube.transpose(1, 2, 0))
    write_geotiff(scene, scene.data, tmp_path / "out.tif")
    back = read(tmp_path / "out.tif")
    assert back.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(back.window(slice(None), slice(None)), cube)


def test_ground_control_points_go_through_geotiff(tmp_path: Path, cube: np.ndarray) -> None:
    points = [GroundControlPoint(row=i, col=i, x=13 + i, y=52 - i, id=str(i)) for i in range(4)]
    source = xr.DataArray(cube, dims=("band", "y", "x")).rio.write_gcps(points, "EPSG:4326")
    write_geotiff(read(source), cube, tmp_path / "out.tif")
    back = read(tmp_path / "out.tif")
    assert back.gcps is not None
    assert [(p.row, p.col, p.x, p.y) for p in back.gcps] == [
        (p.row, p.col, p.x, p.y) for p in points
    ]
    assert back.crs == CRS.from_epsg(4326)


def test_masked_samples_are_nan_in_geotiff(tmp_path: Path, cube: np.ndarray) -> None:
    path = tif(tmp_path / "a.tif", cube, nodata=int(cube[0, 0, 0]))
    scene = read(rioxarray.open_rasterio(path, masked=True))
    write_geotiff(scene, scene.data, tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as written:
        assert np.isnan(written.nodata)


def test_geotiff_refuses_what_it_cannot_hold(tmp_path: Path, georeferenced: xr.DataArray) -> None:
    scene = read(georeferenced)
    with pytest.raises(SceneError, match="float16"):
        write_geotiff(scene, scene.data.astype(np.float16), tmp_path / "out.tif")
    with pytest.raises(SceneError, match="shape"):
        write_geotiff(scene, scene.data[:2], tmp_path / "out.tif")


def test_odd_attributes_do_not_keep_a_scene_from_geotiff(
    tmp_path: Path, georeferenced: xr.DataArray
) -> None:
    odd = {"ns": 1, "bidx": 2, "self": 3, "a=b": "c\nd", "long_name": [1, 2, 3, 4, 5]}
    odd |= {"units": [None] * 5, "scale_factor": "a lot", "offsets": [1, 2], "kept": "yes"}
    scene = read(georeferenced.assign_attrs(odd))
    assert scene.scaling is None
    write_geotiff(scene, scene.data, tmp_path / "out.tif")
    assert read(tmp_path / "out.tif").attrs["kept"] == "yes"


def test_a_failed_write_leaves_nothing(tmp_path: Path, georeferenced: xr.DataArray) -> None:
    def fail(block: np.ndarray) -> np.ndarray:
        raise RuntimeError("decoder failed")

    scene = read(georeferenced.chunk())
    broken = scene.data.map_blocks(fail, dtype=scene.dtype, meta=np.zeros((0, 0, 0), np.int16))
    with pytest.raises(RuntimeError, match="decoder failed"):
        write_geotiff(scene, broken, tmp_path / "out.tif")
    assert not list(tmp_path.iterdir())


def test_npy_files_take_wavelengths_from_beside(tmp_path: Path, cube: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", cube.transpose(1, 2, 0))
    (tmp_path / "a.wavelength_nm.txt").write_text("\n".join(map(str, WAVELENGTHS)))
    scene = read(tmp_path / "a.npy")
    np.testing.assert_array_equal(scene.wavelengths, WAVELENGTHS)
    assert scene.wavelength_units == "nm"


@pytest.mark.parametrize("kind", ["GTiff", "bsq", "bil", "bip"])
def test_a_window_of_a_file_takes_the_memory_of_the_window(tmp_path: Path, kind: str) -> None:
    cube = np.zeros((20, 600, 600), np.int16)
    cube[:, 300:310, 400:410] = np.arange(2000).reshape(20, 10, 10)
    path = tmp_path / "a"
    how = {"driver": "GTiff"} if kind == "GTiff" else {"driver": "ENVI", "interleave": kind}
    tif(path, cube, height=600, width=600, **how)
    scene = read(path)
    tracemalloc.start()
    window = scene.window(slice(300, 310), slice(400, 410)).copy()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(window.ravel(), np.arange(2000))
    assert peak < cube.nbytes / 20


@pytest.mark.parametrize("transposed", [False, True])
def test_flat_mat_files_are_unrolled_column_by_column(
    tmp_path: Path, cube: np.ndarray, transposed: bool
) -> None:
    flat = cube.transpose(0, 2, 1).reshape(5, 42)
    scipy.io.savemat(
        tmp_path / "a.mat", {"Y": flat.T if transposed else flat, "nRow": 6, "nCol": 7}
    )
    np.testing.assert_array_equal(read(tmp_path / "a.mat").data, cube)


def test_an_envi_file_that_is_cut_short_is_refused(tmp_path: Path, cube: np.ndarray) -> None:
    path = tif(tmp_path / "a.img", cube, driver="ENVI")
    assert read(path).shape == (5, 6, 7)
    with path.open("r+b") as file:
        file.truncate(cube.nbytes - 1)
    with pytest.raises(SceneError, match="419 bytes, and its header describes 420"):
        read(path)


def test_files_that_hold_no_scene_are_refused(cube: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "text.tif").write_text("no image")
    (tmp_path / "text.mat").write_text("no matrix" * 30)
    (tmp_path / "alone.img.hdr").write_text("ENVI")
    np.save(tmp_path / "flat.npy", cube[0])
    np.save(tmp_path / "objects.npy", np.array([{}, {}]), allow_pickle=True)
    np.save(tmp_path / "wrong.npy", cube)
    (tmp_path / "wrong.wavelength_nm.txt").write_text("400\n500\n")
    scipy.io.savemat(tmp_path / "two.mat", {"a": cube, "b": cube})
    scipy.io.savemat(tmp_path / "none.mat", {"a": cube[0]})
    for name, message in {
        "text.tif": "no image by itself",
        "text.mat": "not a MATLAB",
        "alone.img.hdr": "not beside it",
        "flat.npy": "2 dimensions",
        "objects.npy": "not a plain",
        "wrong.npy": "2 wavelengths for 7 bands",
        "two.mat": "a, b could each",
        "none.mat": "no 3-D numeric array",
    }.items():
        with pytest.raises(SceneError, match=message):
            read(tmp_path / name)


def with_nodata(path: Path, values: list[float]) -> Path:
    """Give each band of an ENVI image a nodata value of its own, as GDAL keeps them beside it."""
    bands = "".join(
        f'<PAMRasterBand band="{band}"><NoDataValue>{value}</NoDataValue></PAMRasterBand>'
        for band, value in enumerate(values, 1)
    )
    path.with_name(f"{path.name}.aux.xml").write_text(f"<PAMDataset>{bands}</PAMDataset>")
    return path


def test_bands_of_several_nodata_values_bring_a_warning(tmp_path: Path, cube: np.ndarray) -> None:
    image = tif(tmp_path / "a.img", cube, driver="ENVI")
    with pytest.warns(UserWarning, match="several nodata"):
        scene = read(with_nodata(image, [-1, *[-2] * (len(cube) - 1)]))
    assert scene.nodata == -1


def test_nodata_of_a_file_outside_its_data_type_marks_none(
    tmp_path: Path, cube: np.ndarray
) -> None:
    image = tif(tmp_path / "a.img", cube.astype(np.uint16), driver="ENVI")
    scene = read(with_nodata(image, [-9999] * len(cube)))
    assert scene.nodata is None
    assert "_FillValue" not in scene.attrs


def test_files_of_several_images_are_refused(tmp_path: Path, cube: np.ndarray) -> None:
    path = tif(tmp_path / "a.tif", cube)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=2,
            height=6,
            width=7,
            dtype="int16",
            APPEND_SUBDATASET="YES",
        ) as out:
            out.write(cube[:2])
    with rasterio.open(path) as source:
        if not source.subdatasets:
            pytest.skip("this GDAL writes no further images into a GeoTIFF")
    with pytest.raises(SceneError, match="2 subdatasets"):
        read(path)


@pytest.mark.parametrize("suffix", [".npy", ".mat", ".tif", ".img"])
@pytest.mark.parametrize("content", [b"", b"no scene at all", b"\x93NUMPY\x01\x00v\x00{"])
def test_a_broken_file_is_named_with_what_is_wrong(
    tmp_path: Path, suffix: str, content: bytes
) -> None:
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(SceneError, match="broken"):
        read(path)


# ---------------------------------------------------------------- real files

EXPECTED = {
    "JasperRidge2_F224_2.mat": ((224, 100, 100), "uint16", None, None, None),
    "abu-airport-1.mat": ((205, 100, 100), "uint16", None, None, None),
    "salton_sea_roi.mat": ((224, 51, 56), "float64", None, None, "Nanometers"),
    "M3_4030seg_L2_aristcrater.tif": ((83, 50, 50), "float32", -999.0, None, None),
    "enmap_berlin_mini.tif": ((177, 7, 10), "int16", -9999, "EPSG:32633", None),
    "enmap_potsdam_B.tif": ((224, 64, 128), "float32", -32768.0, "EPSG:32633", "Nanometers"),
    "enmap_potsdam_C.tif": ((224, 128, 64), "float32", -32768.0, "EPSG:32633", "Nanometers"),
    "enmap_potsdam_tile_96_96.tif": (
        (224, 32, 32),
        "float32",
        -32768.0,
        "EPSG:32633",
        "Nanometers",
    ),
    "frt0000932c_07_if164j_mtr3_subsampled.tif": (
        (489, 20, 20),
        "float32",
        65535.0,
        "PROJCS",
        None,
    ),
    "jasperRidge2_R198.img": ((198, 100, 100), "int16", None, None, "Nanometers"),
    "samson_1.img": ((156, 95, 95), "int16", None, "PROJCS", "nm"),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_real_files_come_in_and_out_as_they_are(scenes: Path, tmp_path: Path, name: str) -> None:
    shape, dtype, nodata, crs, units = EXPECTED[name]
    scene = read(scenes / "files" / name)
    assert (scene.shape, str(scene.dtype), scene.nodata) == (shape, dtype, nodata)
    description, arrays = scene.describe()
    assert description.get("crs", "none").startswith(crs or "none")
    assert scene.wavelength_units == units
    assert len(json.dumps(description)) < 1500
    assert len(write_description(description, arrays)) < 900 + 3 * scene.bands
    array = scene.to_xarray()
    xr.testing.assert_identical(carried(scene).to_xarray(), array)
    write_geotiff(scene, scene.data, tmp_path / "out.tif")
    back = read(tmp_path / "out.tif")
    np.testing.assert_array_equal(back.data, scene.data)
    assert (back.crs, back.transform, back.nodata) == (scene.crs, scene.transform, nodata)
    if scene.wavelengths is not None:
        np.testing.assert_array_equal(back.wavelengths, scene.wavelengths)
    if scene.fwhm is not None:
        np.testing.assert_array_equal(back.fwhm, scene.fwhm)


@pytest.mark.parametrize(
    ("header", "image"),
    [("jasperRidge2_R198.hdr", "jasperRidge2_R198.img"), ("samson_1.img.hdr", "samson_1.img")],
)
def test_a_header_stands_for_its_image(scenes: Path, header: str, image: str) -> None:
    one, other = (read(scenes / "files" / name) for name in (header, image))
    xr.testing.assert_identical(one.to_xarray(), other.to_xarray())


@pytest.mark.parametrize("name", [name for name in EXPECTED if name.endswith((".tif", ".img"))])
def test_real_files_opened_by_rioxarray_come_back_identical(scenes: Path, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        source = rioxarray.open_rasterio(scenes / "files" / name)
    result = carried(read(source)).to_xarray()
    # rioxarray leaves the wavelengths of a GeoTIFF behind.
    found = set(result.coords) - set(source.coords)
    assert found <= {"wavelength", "fwhm", "bbl"}
    xr.testing.assert_identical(result.drop_vars(found), source)


@pytest.mark.parametrize(
    ("name", "twin", "tolerance"),
    [
        ("JasperRidge2_F224_2.mat", "jasper_ridge_224", 0),
        ("abu-airport-1.mat", "abu-airport-1", 0),
        ("salton_sea_roi.mat", "salton_sea_roi", 1e-3),
        ("jasperRidge2_R198.hdr", "jasper_ridge_198_int16", 1e-3),
        ("samson_1.img", "samson_dn", 1e-3),
        ("enmap_potsdam_B.tif", "enmap_potsdam_B", 1e-3),
    ],
)
def test_real_files_agree_with_their_published_arrays(
    scenes: Path, name: str, twin: str, tolerance: float
) -> None:
    scene, other = read(scenes / "files" / name), read(scenes / f"{twin}.npy")
    np.testing.assert_array_equal(np.asarray(scene.data), np.asarray(other.data))
    if tolerance:
        np.testing.assert_allclose(scene.wavelengths, other.wavelengths, atol=tolerance)
    else:
        assert scene.wavelengths is None
