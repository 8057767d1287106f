"""No file runs code or opens what the user did not name: crafted files in a real GDAL process."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.errors import RasterioIOError

import xhsinr
from xhsinr.demo import synthetic_scene
from xhsinr.errors import SceneError
from xhsinr.gdal import vrt

_CRAFTED = """<VRTDataset rasterXSize="8" rasterYSize="6">
{bands}</VRTDataset>"""
_BAND = """<VRTRasterBand dataType="Byte" band="{band}" subClass="VRTDerivedRasterBand">
<PixelFunctionType>{module}.read_band</PixelFunctionType>
<PixelFunctionLanguage>Python</PixelFunctionLanguage>
<PixelFunctionCode><![CDATA[
open({mark!r}, "w").close()
def read_band(in_ar, out_ar, *rest, **more):
    out_ar[:] = 7
]]></PixelFunctionCode>
</VRTRasterBand>
"""


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Where the crafted code leaves a file when it runs."""
    return tmp_path / "ran"


@pytest.fixture
def crafted(tmp_path: Path, mark: Path) -> Path:
    """A VRT with code of its own, called like an image."""
    path = tmp_path / "innocent.tif"
    bands = [_BAND.format(band=n, module=vrt.TRUSTED_MODULE, mark=str(mark)) for n in (1, 2)]
    path.write_text(_CRAFTED.format(bands="".join(bands)))
    return path


@pytest.fixture
def sidecar(tmp_path: Path) -> Path:
    path = tmp_path / "scene.hsinr"
    xhsinr.compress(synthetic_scene(20, 24, 4), path, lossless=True, progress=False)
    return path


def in_a_process(code: str, *arguments: object, **environment: str) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_crafted_file_is_one_that_gdal_runs(crafted: Path, mark: Path) -> None:
    """Why the variable is never exported."""
    code = """
import sys, rasterio
try:
    rasterio.open(sys.argv[1]).read()
except rasterio.errors.RasterioIOError as error:
    print(error.__cause__)
"""
    said = in_a_process(code, crafted, **{vrt.TRUSTED_MODULES_OPTION: vrt.TRUSTED_MODULE})
    # It calls the module's own function, once it has run the file's code.
    assert "read_band() missing" in said
    assert mark.exists()


def test_no_foreign_vrt_runs_beside_an_open_sidecar(
    crafted: Path, mark: Path, sidecar: Path
) -> None:
    code = """
import sys, threading, rasterio, xhsinr
from rasterio._env import get_gdal_config
def foreign():
    try:
        rasterio.open(sys.argv[2]).read()
    except rasterio.errors.RasterioIOError as error:
        print("refused", "trust" in str(error.__cause__))
with xhsinr.open_rasterio_dataset(sys.argv[1]) as dataset:
    assert dataset.read().any()
    foreign()
    other = threading.Thread(target=foreign)
    other.start()
    other.join()
    assert dataset.read(2).any()
foreign()
print(get_gdal_config("GDAL_VRT_PYTHON_TRUSTED_MODULES"), get_gdal_config("GDAL_VRT_ENABLE_PYTHON"))
"""
    said = in_a_process(code, sidecar, crafted)
    assert said.splitlines() == ["refused True"] * 3 + ["None None"]
    assert not mark.exists()


def test_the_users_own_options_and_environment_stay_as_they_are(
    sidecar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(vrt.TRUSTED_MODULES_OPTION, "mine")
    monkeypatch.setenv("GDAL_VRT_ENABLE_PYTHON", "NO")
    before = dict(os.environ)
    with xhsinr.open_rasterio_dataset(sidecar) as dataset:
        np.testing.assert_array_equal(dataset.read(), xhsinr.open(sidecar).open().values)
    assert dict(os.environ) == before


def test_sources_that_are_vrts_run_nothing_even_where_all_is_trusted(
    crafted: Path, mark: Path, tmp_path: Path
) -> None:
    code = """
import sys, xhsinr
try:
    xhsinr.compress(sys.argv[1], sys.argv[2] + "/a.hsinr", progress=False)
except xhsinr.HsinrError as error:
    print(error)
report = xhsinr.archive(sys.argv[1], sys.argv[2] + "/archive", retries=0, progress=False)
print(report.rows[0].status, report.rows[0].error)
"""
    trusted = {vrt.TRUSTED_MODULES_OPTION: vrt.TRUSTED_MODULE, "GDAL_VRT_ENABLE_PYTHON": "YES"}
    said = in_a_process(code, crafted, tmp_path, **trusted)
    assert said.count("gdal_translate") == 2
    assert "failed" in said
    assert not mark.exists()


_ELSEWHERE = """<VRTDataset rasterXSize="24" rasterYSize="20">
<VRTRasterBand dataType="Byte" band="1">
<SimpleSource><SourceFilename>{}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"""
_WMS = """<GDAL_WMS><Service name="TMS"><ServerUrl>http://127.0.0.1:9/${z}/${x}/${y}</ServerUrl>
</Service><DataWindow><UpperLeftX>0</UpperLeftX><UpperLeftY>0</UpperLeftY><LowerRightX>1
</LowerRightX><LowerRightY>1</LowerRightY><SizeX>64</SizeX><SizeY>64</SizeY></DataWindow>
<Projection>EPSG:3857</Projection><BandsCount>3</BandsCount></GDAL_WMS>"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.tif"
    profile = {"driver": "GTiff", "count": 3, "height": 20, "width": 24, "dtype": "uint8"}
    with rasterio.open(path, "w", **profile) as out:
        out.write(np.arange(1440).reshape(3, 20, 24).astype(np.uint8))
    return path


@pytest.mark.parametrize("kind", ["vrt", "wms"])
def test_what_names_other_images_is_no_source(tmp_path: Path, image: Path, kind: str) -> None:
    text = _WMS if kind == "wms" else _ELSEWHERE.format(image)
    path = tmp_path / "scene.tif"
    path.write_text(text)
    with pytest.raises(SceneError, match="another description of images elsewhere"):
        xhsinr.compress(path, tmp_path / "a.hsinr", progress=False)


@pytest.mark.parametrize("suffix", ["msk", "ovr"])
def test_masks_and_overviews_beside_an_image_are_images(image: Path, suffix: str) -> None:
    image.with_name(f"image.tif.{suffix}").write_text(_ELSEWHERE.format(image))
    with pytest.raises(SceneError, match=rf"image\.tif\.{suffix}"):
        xhsinr.compress(image, image.with_suffix(".hsinr"), progress=False)


def test_overviews_elsewhere_are_refused(image: Path, tmp_path: Path) -> None:
    with rasterio.open(image, "r+") as out:
        out.update_tags(ns="OVERVIEWS", OVERVIEW_FILE="/vsicurl/http://127.0.0.1:9/a.tif")
    with pytest.raises(SceneError, match="as its overviews"):
        xhsinr.compress(image, tmp_path / "a.hsinr", progress=False)


def test_a_label_that_names_a_file_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(range(256)) * 6)
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "scene.lbl").write_text(
        "PDS_VERSION_ID = PDS3\r\nRECORD_TYPE = FIXED_LENGTH\r\nRECORD_BYTES = 24\r\n"
        'FILE_RECORDS = 60\r\n^IMAGE = "../secret.bin"\r\nOBJECT = IMAGE\r\n LINES = 20\r\n'
        " LINE_SAMPLES = 24\r\n SAMPLE_TYPE = UNSIGNED_INTEGER\r\n SAMPLE_BITS = 8\r\n"
        " BANDS = 3\r\n BAND_STORAGE_TYPE = BAND_SEQUENTIAL\r\nEND_OBJECT = IMAGE\r\nEND\r\n"
    )
    with pytest.raises((SceneError, RasterioIOError)) as caught:
        xhsinr.compress(folder / "scene.lbl", tmp_path / "a.hsinr", progress=False)
    assert "secret.bin" in str(caught.value)


@pytest.mark.parametrize("kind", ["virtual", "external", "link"])
@pytest.mark.parametrize("suffix", [".nc", ".mat"])
def test_an_hdf5_file_that_names_another_is_refused(tmp_path: Path, kind: str, suffix: str) -> None:
    h5py = pytest.importorskip("h5py")
    cube = np.arange(120, dtype=np.int16).reshape(4, 5, 6)
    secret, path = tmp_path / "secret.h5", tmp_path / f"crafted{suffix}"
    cube.tofile(tmp_path / "secret.bin")
    with h5py.File(secret, "w") as file:
        file["cube"] = cube
    with h5py.File(path, "w", userblock_size=512 if suffix == ".mat" else 0) as file:
        if kind == "virtual":
            layout = h5py.VirtualLayout(cube.shape, cube.dtype)
            layout[:] = h5py.VirtualSource(str(secret), "cube", cube.shape)
            file.create_virtual_dataset("group/cube", layout)
        elif kind == "external":
            parts = [(str(tmp_path / "secret.bin"), 0, h5py.h5f.UNLIMITED)]
            file.create_dataset("group/cube", cube.shape, cube.dtype, external=parts)
        else:
            file["group/cube"] = h5py.ExternalLink(str(secret), "cube")
    with pytest.raises(SceneError, match=r"names another file, .*secret"):
        xhsinr.compress(path, tmp_path / "out.hsinr", progress=False)


def test_a_zarr_store_with_pickles_runs_nothing(tmp_path: Path, mark: Path) -> None:
    pytest.importorskip("zarr")
    store = tmp_path / "crafted.zarr"
    cube = np.ones((4, 5, 6), np.int16)
    xr.Dataset({"cube": (("band", "y", "x"), cube)}).to_zarr(store, zarr_format=2)
    (store / ".zmetadata").unlink()
    described = json.loads((store / "cube" / ".zarray").read_text())
    described |= {"compressor": None, "filters": [{"id": "pickle", "protocol": 5}]}
    (store / "cube" / ".zarray").write_text(json.dumps(described))
    (store / "cube" / "0.0.0").write_bytes(pickle.dumps(Crafted(mark)))
    with pytest.raises(SceneError):
        xhsinr.compress(store, tmp_path / "out.hsinr", progress=False)
    assert not mark.exists()


class Crafted:
    """Unpickling it leaves a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.mark,)
