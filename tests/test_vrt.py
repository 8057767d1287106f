"""Sidecars through rasterio's GDAL: the same samples and metadata, decoded once, never silent."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.control import GroundControlPoint
from rasterio.errors import RasterioIOError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window
from small_networks import siren_network

import xhsinr
from xhsinr.demo import synthetic_scene
from xhsinr.errors import NotASidecarError, OutputExistsError, SidecarError
from xhsinr.gdal import pixel_function, vrt
from xhsinr.network.file import save_network
from xhsinr.reading.reader import Reader
from xhsinr.reading.store import STORE_VARIABLE, forget_tiles
from xhsinr.sidecar.file import Sidecar

BANDS, ROWS, COLS, TILE = 6, 150, 200, 64


@pytest.fixture(scope="module")
def compressed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vrt") / "scene.hsinr"
    scene = synthetic_scene(ROWS, COLS, BANDS, nodata_corner=True)
    xhsinr.compress(scene, path, max_error=2, tile=TILE, progress=False)
    return path


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(vrt.TRUSTED_MODULES_OPTION, "")


def decoded(path: Path, overview: int = 1) -> np.ndarray:
    return Reader(Sidecar.open(path), overview=overview)[:, :, :]


def test_rasterio_reads_what_the_reader_decodes(compressed: Path) -> None:
    with xhsinr.open_rasterio_dataset(compressed) as dataset:
        np.testing.assert_array_equal(dataset.read(), decoded(compressed))
        window = dataset.read([5, 2], window=Window(60, 10, 90, 70))
    np.testing.assert_array_equal(window, decoded(compressed)[[4, 1], 10:80, 60:150])


def test_metadata_is_that_of_the_scene(compressed: Path) -> None:
    scene = Reader(Sidecar.open(compressed)).scene()
    with xhsinr.open_rasterio_dataset(compressed) as dataset:
        assert dataset.crs == scene.crs
        assert dataset.transform == scene.transform
        assert dataset.nodata == scene.nodata == -32768
        assert dataset.dtypes == ("int16",) * BANDS
        assert dataset.block_shapes == [(TILE, TILE)] * BANDS
        for band in range(BANDS):
            tags = dataset.tags(band + 1, ns="IMAGERY")
            assert float(tags["CENTRAL_WAVELENGTH_UM"]) == pytest.approx(scene.wavelengths_um[band])
            assert float(tags["FWHM_UM"]) == pytest.approx(scene.fwhm_um[band])


def test_the_descriptions_of_a_real_scene_are_kept(scenes: Path, tmp_path: Path) -> None:
    source = scenes / "files" / "enmap_potsdam_B.tif"
    xhsinr.compress(source, tmp_path / "scene.hsinr", psnr=40, progress=False)
    with (
        rasterio.open(source) as original,
        xhsinr.open_rasterio_dataset(tmp_path / "scene.hsinr") as dataset,
    ):
        assert dataset.descriptions == original.descriptions
        assert dataset.profile["crs"] == original.crs
        assert dataset.transform == original.transform


def test_ground_control_points_stand_in_for_a_transform(tmp_path: Path) -> None:
    points = [
        GroundControlPoint(r, c, 13 + c / 100, 52 - r / 100) for r, c in ((0, 0), (0, 9), (9, 0))
    ]
    source = tmp_path / "scene.tif"
    profile = {"driver": "GTiff", "count": 3, "height": 10, "width": 12, "dtype": "uint16"}
    with rasterio.open(source, "w", **profile, gcps=points, crs="EPSG:4326") as out:
        out.write(np.arange(360, dtype=np.uint16).reshape(3, 10, 12))
    xhsinr.compress(source, tmp_path / "scene.hsinr", lossless=True, progress=False)
    with xhsinr.open_rasterio_dataset(tmp_path / "scene.hsinr") as dataset:
        found, crs = dataset.gcps
        assert dataset.read().tolist() == np.arange(360).reshape(3, 10, 12).tolist()
    assert crs == rasterio.CRS.from_epsg(4326)
    assert [(p.row, p.col, p.x, p.y) for p in found] == [(p.row, p.col, p.x, p.y) for p in points]


def test_all_bands_of_a_tile_are_decoded_once(compressed: Path, tiles: list[int]) -> None:
    with xhsinr.open_rasterio_dataset(compressed) as dataset:
        dataset.read(window=Window(60, 10, 20, 20))
        dataset.read(window=Window(10, 10, 1, 1))
    assert sorted(tiles) == [0, 1]


def test_a_warped_dataset_decodes_each_tile_once(compressed: Path, tiles: list[int]) -> None:
    with (
        xhsinr.open_rasterio_dataset(compressed) as dataset,
        WarpedVRT(dataset, crs="EPSG:4326") as warped,
    ):
        assert (warped.read() != warped.nodata).any()
    assert sorted(tiles) == sorted(set(tiles))


def test_many_threads_decode_each_tile_once(compressed: Path, tiles: list[int]) -> None:
    expected = decoded(compressed)
    tiles.clear()
    forget_tiles()

    def read(band: int) -> bool:
        with xhsinr.open_rasterio_dataset(compressed) as dataset:
            return bool((dataset.read(band + 1) == expected[band]).all())

    with ThreadPoolExecutor(BANDS) as pool:
        assert all(pool.map(read, range(BANDS)))
    assert sorted(tiles) == list(range(12))


def test_a_malformed_size_of_the_store_is_an_error(
    compressed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STORE_VARIABLE, "much")
    assert "XHSINR_CACHE_MB is 'much'" in failure(compressed)


def test_a_smaller_buffer_gets_a_coarse_read(compressed: Path) -> None:
    coarse = decoded(compressed, overview=4)
    with xhsinr.open_rasterio_dataset(compressed) as dataset:
        found = dataset.read(out_shape=(BANDS, 37, 50))
    np.testing.assert_array_equal(found, coarse[:, :37, :50])


def test_a_larger_buffer_repeats_pixels(compressed: Path) -> None:
    with xhsinr.open_rasterio_dataset(compressed) as dataset:
        found = dataset.read(1, window=Window(70, 80, 4, 3), out_shape=(6, 8))
    expected = decoded(compressed)[0, 80:83, 70:74].repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(found, expected)


def test_a_replaced_file_is_read_anew(compressed: Path, tmp_path: Path) -> None:
    path = tmp_path / "scene.hsinr"
    shutil.copy(compressed, path)
    with xhsinr.open_rasterio_dataset(path) as dataset:
        dataset.read(1)
        scene = synthetic_scene(ROWS, COLS, BANDS, seed=1)
        xhsinr.compress(scene, path, lossless=True, overwrite=True, progress=False)
        np.testing.assert_array_equal(dataset.read(1), scene.values[0])


def test_names_with_special_characters_are_found(compressed: Path, tmp_path: Path) -> None:
    path = tmp_path / 'söme & "quoted" <scene>\'s.hsinr'
    shutil.copy(compressed, path)
    with xhsinr.open_rasterio_dataset(path) as dataset:
        assert (dataset.read(1) == decoded(path)[0]).all()


def failure(path: Path) -> str:
    """GDAL's own text for a read that has to fail."""
    with (
        xhsinr.open_rasterio_dataset(path) as dataset,
        pytest.raises(RasterioIOError) as caught,
    ):
        dataset.read(1)
    return str(caught.value.__cause__)


def test_a_damaged_tile_fails_with_its_name_and_the_others_are_read(
    compressed: Path, tmp_path: Path
) -> None:
    path = tmp_path / "scene.hsinr"
    content = bytearray(compressed.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    text = failure(path)
    assert "DamagedSidecarError" in text
    assert f"{path}: tile 11: checksum" in text
    assert "the tile is damaged" in text
    with xhsinr.open_rasterio_dataset(path) as dataset:
        assert dataset.read(1, window=Window(0, 0, 64, 64)).any()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda path: path.write_bytes(b"GIF89a" * 9), "is not an xhsinr sidecar"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "it was cut off"),
        (lambda path: path.unlink(), "if it was moved, write the VRT again"),
    ],
)
def test_what_happens_to_the_file_later_is_reported(
    compressed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change, expected
) -> None:
    path, file = tmp_path / "scene.hsinr", tmp_path / "scene.vrt"
    shutil.copy(compressed, path)
    vrt.write_vrt(path, file)
    change(path)
    monkeypatch.setenv(vrt.TRUSTED_MODULES_OPTION, vrt.TRUSTED_MODULE)
    with rasterio.open(file) as dataset, pytest.raises(RasterioIOError) as caught:
        dataset.read(1)
    assert expected in str(caught.value.__cause__)
    assert str(path) in str(caught.value.__cause__)


def test_a_missing_network_is_reported(tmp_path: Path) -> None:
    network = tmp_path / "mine.safetensors"
    save_network(siren_network(outputs=8), network)
    path = tmp_path / "scene" / "scene.hsinr"
    path.parent.mkdir()
    scene = synthetic_scene(32, 32, 8)
    xhsinr.compress(scene, path, quality="preview", network=network, progress=False)
    shutil.rmtree(path.parent / "networks")
    network.unlink()
    text = failure(path)
    assert "NetworkNotFoundError" in text
    assert str(path) in text


def test_a_vrt_of_another_scene_is_refused(
    compressed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, file = tmp_path / "scene.hsinr", tmp_path / "scene.vrt"
    shutil.copy(compressed, path)
    vrt.write_vrt(path, file)
    other = synthetic_scene(20, 20, BANDS)
    xhsinr.compress(other, path, lossless=True, overwrite=True, progress=False)
    monkeypatch.setenv(vrt.TRUSTED_MODULES_OPTION, vrt.TRUSTED_MODULE)
    with rasterio.open(file) as dataset, pytest.raises(RasterioIOError) as caught:
        dataset.read(1)
    assert "the VRT was written for another file" in str(caught.value.__cause__)


@pytest.mark.parametrize("name", ["scene.hsinr", "http://127.0.0.1:9/scene.hsinr"])
def test_only_absolute_paths_are_opened(name: str) -> None:
    window = (np.zeros((2, 2), np.int16), 0, 0, 2, 2, 2, 2, 0, None)
    with pytest.raises(SidecarError, match="is no absolute path"):
        pixel_function.read_band((), *window, path=name.encode(), band=b"0")


def test_every_band_calls_the_trusted_module_and_carries_no_code(
    compressed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(compressed.parent)
    text = vrt.write_vrt(compressed.name, tmp_path / "scene.vrt").read_text()
    bands = ElementTree.fromstring(text).findall("VRTRasterBand")
    assert {band.get("PixelFunctionType") for band in bands} == {f"{vrt.TRUSTED_MODULE}.read_band"}
    mark = f"{Sidecar.open(compressed).front_crc:08x}"
    arguments = [band.find("PixelFunctionArguments") for band in bands]
    assert [found.attrib for found in arguments if found is not None] == [
        {"path": str(compressed), "band": str(number), "mark": mark} for number in range(BANDS)
    ]
    assert "Code" not in text


def test_a_copied_pair_is_read_where_it_is(
    compressed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    shutil.copy(compressed, old / "scene.hsinr")
    vrt.write_vrt(old / "scene.hsinr", old / "scene.vrt")
    shutil.copytree(old, new)
    expected = decoded(new / "scene.hsinr")
    (old / "scene.hsinr").write_bytes(b"not this one")
    code = """
import os, sys, rasterio
for folder, name in zip(sys.argv[1::2], sys.argv[2::2]):
    os.chdir(folder)
    print(rasterio.open(name).read(3).sum(dtype=int))
"""
    monkeypatch.setenv(vrt.TRUSTED_MODULES_OPTION, vrt.TRUSTED_MODULE)
    places = (tmp_path, new / "scene.vrt", new, "scene.vrt")
    command = [sys.executable, "-c", code, *map(str, places)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [int(line) for line in done.stdout.split()] == [expected[2].sum(dtype=int)] * 2
    # A program may also get the VRT's name in another way.
    monkeypatch.chdir(new)
    with rasterio.open("scene.vrt") as dataset:
        np.testing.assert_array_equal(dataset.read(), expected)
        assert "CENTRAL_WAVELENGTH_UM" in dataset.tags(1, ns="IMAGERY")
        assert "wavelength" not in dataset.tags(1)


def test_a_file_of_the_same_name_is_not_taken_for_the_sidecar(
    compressed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    other = synthetic_scene(ROWS, COLS, BANDS, seed=1)
    xhsinr.compress(other, tmp_path / "other" / "scene.hsinr", lossless=True, progress=False)
    file = vrt.write_vrt(compressed, tmp_path / "scene.vrt")
    monkeypatch.chdir(tmp_path / "other")
    monkeypatch.setenv(vrt.TRUSTED_MODULES_OPTION, vrt.TRUSTED_MODULE)
    with rasterio.open(file) as dataset:
        np.testing.assert_array_equal(dataset.read(1), decoded(compressed)[0])


def test_a_file_is_not_replaced_without_being_asked_to(compressed: Path, tmp_path: Path) -> None:
    file = tmp_path / "scene.vrt"
    file.write_text("precious")
    with pytest.raises(OutputExistsError):
        vrt.write_vrt(compressed, file)
    assert file.read_text() == "precious"
    vrt.write_vrt(compressed, file, overwrite=True)
    assert file.read_text().startswith("<VRTDataset")
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_no_sidecar_gets_no_vrt(tmp_path: Path) -> None:
    path = tmp_path / "scene.hsinr"
    path.write_bytes(b"GIF89a" * 9)
    with pytest.raises(NotASidecarError):
        xhsinr.open_rasterio_dataset(path)


def test_reading_through_the_pixel_function_brings_neither_rasterio_nor_torch(
    compressed: Path,
) -> None:
    """A program that has a GDAL of its own crashes when a second one is loaded."""
    code = """
import sys
import numpy as np
from xhsinr.gdal.pixel_function import read_band
for shape in ((150, 200), (30, 40)):
    out = np.zeros(shape, np.int16)
    read_band((), out, 0, 0, 200, 150, 200, 150, 0, None, path=sys.argv[1].encode(), band=b"3")
    assert out.any()
print({"rasterio", "osgeo", "torch"} & {*sys.modules})
"""
    command = [sys.executable, "-c", code, str(compressed)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_floats_with_nan_as_nodata(tmp_path: Path) -> None:
    samples = np.linspace(0, 1, 3 * 20 * 30, dtype=np.float32).reshape(3, 20, 30)
    samples[:, :5] = np.nan
    scene = xr.DataArray(samples, dims=("band", "y", "x"), attrs={"_FillValue": np.nan})
    xhsinr.compress(scene, tmp_path / "scene.hsinr", lossless=True, progress=False)
    with xhsinr.open_rasterio_dataset(tmp_path / "scene.hsinr") as dataset:
        np.testing.assert_array_equal(dataset.read(), samples)
