"""Programs that know nothing of xhsinr read sidecars: Debian's GDAL and rasterio's ``rio``."""

from __future__ import annotations

import ctypes.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.rio.main import main_group

import xhsinr
from xhsinr.cli import main
from xhsinr.demo import synthetic_scene
from xhsinr.gdal import vrt
from xhsinr.gdal.doctor import needed_environment
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.file import Sidecar

ENVIRONMENT = os.environ | needed_environment()


def run(*command: object, fails: bool = False) -> str:
    """Its output, or what it said when it failed."""
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=120,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr if fails else done.stdout


@pytest.fixture(scope="session")
def _gdal() -> None:
    if shutil.which("gdalinfo") is None:
        pytest.skip("gdalinfo is not installed (Debian: gdal-bin)")
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if ctypes.util.find_library(f"python{version}") is None:
        pytest.skip(f"no shared library of Python {version} that the system's GDAL could load")


@pytest.fixture(scope="module")
def potsdam(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The VRT of a compressed EnMAP scene."""
    path = tmp_path_factory.mktemp("gdal") / "enmap_potsdam_B.hsinr"
    source = scenes / "files" / "enmap_potsdam_B.tif"
    xhsinr.compress(source, path, max_error=8, progress=False)
    return vrt.write_vrt(path, path.with_suffix(".vrt"))


@pytest.fixture(scope="module")
def samples(potsdam: Path) -> np.ndarray:
    return Reader(Sidecar.open(potsdam.with_suffix(".hsinr")))[:, :, :]


@pytest.mark.usefixtures("_gdal")
def test_gdalinfo_says_what_it_says_of_the_original(potsdam: Path, scenes: Path) -> None:
    original = scenes / "files" / "enmap_potsdam_B.tif"
    found, expected = (
        json.loads(run("gdalinfo", "-json", "-mdd", "IMAGERY", path))
        for path in (potsdam, original)
    )
    for key in ("size", "geoTransform", "cornerCoordinates"):
        assert found[key] == expected[key]
    assert 'ID["EPSG",32633]' in found["coordinateSystem"]["wkt"]
    with rasterio.open(original) as dataset:
        nanometres = [float(dataset.tags(band)["wavelength"]) for band in dataset.indexes]
    for band, other, wavelength in zip(found["bands"], expected["bands"], nanometres, strict=True):
        assert [band[k] for k in ("type", "noDataValue", "description")] == [
            other[k] for k in ("type", "noDataValue", "description")
        ]
        micrometres = float(band["metadata"]["IMAGERY"]["CENTRAL_WAVELENGTH_UM"])
        assert micrometres == pytest.approx(wavelength / 1000)
        assert 0.004 < float(band["metadata"]["IMAGERY"]["FWHM_UM"]) < 0.02


@pytest.mark.usefixtures("_gdal")
def test_gdal_translate_writes_the_decoded_samples(
    potsdam: Path, samples: np.ndarray, tmp_path: Path
) -> None:
    run("gdal_translate", "-q", potsdam, tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(), samples)


@pytest.mark.usefixtures("_gdal")
def test_gdallocationinfo_gives_the_spectrum_of_a_place(potsdam: Path, samples: np.ndarray) -> None:
    with rasterio.open(potsdam) as dataset:
        x, y = dataset.xy(20, 10)
    printed = run("gdallocationinfo", "-valonly", "-geoloc", potsdam, x, y).split()
    np.testing.assert_allclose(np.array(printed, np.float32), samples[:, 20, 10], rtol=1e-6)


def _damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")


def _without_network(path: Path) -> None:
    (path.parent / "own.safetensors").unlink()


@pytest.mark.usefixtures("_gdal")
@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (_damaged, "DamagedSidecarError: {}: tile 0: checksum"),
        (_without_network, "NetworkNotFoundError: {} needs it: "),
    ],
)
def test_gdal_translate_fails_with_the_packages_own_message(
    tmp_path: Path, harm, expected: str
) -> None:
    path = tmp_path / "scene.hsinr"
    own = tmp_path / "own.safetensors"
    shutil.copy(next(Path(xhsinr.__file__).parent.glob("networks/*.safetensors")), own)
    scene = synthetic_scene(24, 24, 8)
    xhsinr.compress(scene, path, quality="preview", network=own, progress=False)
    file = vrt.write_vrt(path, tmp_path / "scene.vrt")
    harm(path)
    text = run("gdal_translate", "-q", file, tmp_path / "out.tif", fails=True)
    assert expected.format(path) in text


@pytest.mark.usefixtures("_gdal")
def test_gdal_does_not_run_the_code_of_a_module_that_is_not_trusted(
    potsdam: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.vrt"
    other.write_text(potsdam.read_text().replace(f"{vrt.TRUSTED_MODULE}.read_band", "os.abort"))
    text = run("gdal_translate", "-q", other, tmp_path / "out.tif", fails=True)
    assert "whereas the current policy is to trust only" in text


def rio(*arguments: object) -> str:
    return run(Path(sys.executable).with_name("rio"), *arguments)


def test_rio_info_describes_the_scene(potsdam: Path) -> None:
    found = json.loads(rio("info", potsdam))
    assert (found["driver"], found["crs"], found["nodata"]) == ("VRT", "EPSG:32633", -32768.0)
    assert (found["count"], found["height"], found["width"]) == (224, 64, 128)
    assert found["transform"][:6] == [30.0, 0.0, 365055.0, 0.0, -30.0, 5807085.0]
    assert found["descriptions"][0] == "band 1 (418.24 Nanometers)"


def test_rio_warp_gives_what_it_gives_for_the_decoded_scene(potsdam: Path, tmp_path: Path) -> None:
    main(
        ["decompress", str(potsdam.with_suffix(".hsinr")), str(tmp_path / "decoded.tif")],
        standalone_mode=False,
    )
    warped = []
    for source in (potsdam, tmp_path / "decoded.tif"):
        out = tmp_path / f"{source.stem}_4326.tif"
        command = ["warp", str(source), str(out), "--dst-crs", "EPSG:4326"]
        if source == potsdam:
            rio(*command)
        else:  # needs no process of its own, which is slow to start
            main_group(command, standalone_mode=False)
        with rasterio.open(out) as dataset:
            warped.append(dataset.read())
            assert dataset.crs.to_epsg() == 4326
    np.testing.assert_array_equal(*warped)
