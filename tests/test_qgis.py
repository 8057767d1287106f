"""The QGIS plugin in a real QGIS: layers, colours, spectra and errors."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from affine import Affine
from rasterio.transform import xy
from rasterio.warp import transform

import xhsinr
from xhsinr.demo import synthetic_scene
from xhsinr.gdal.doctor import needed_environment
from xhsinr.pictures.preview import quicklook
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.file import Sidecar

SESSION = Path(__file__).with_name("qgis_session.py")
PLUGINS = Path(__file__).resolve().parents[1] / "plugins" / "qgis"
# Where Debian, and most others, install the bindings.
PYTHON = "/usr/bin/python3"

LEFT, TOP, SIDE = 365055.0, 5807085.0, 30.0


@pytest.fixture(scope="session")
def _qgis() -> None:
    found = shutil.which("qgis") and subprocess.run(
        [PYTHON, "-c", "import qgis.core, sys; print(*sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=False,
    )
    if not found or found.returncode:
        pytest.skip("QGIS is not installed (Debian: qgis, python3-qgis)")
    if found.stdout.split() != [str(part) for part in sys.version_info[:2]]:
        pytest.skip(f"QGIS has another Python than xhsinr: {found.stdout.strip()}")


def ask(
    folder: Path, request: dict[str, Any], *, desktop: bool = False, with_xhsinr: bool = True
) -> dict[str, Any]:
    """The answer of a session of QGIS, see qgis_session.py."""
    (folder / "request.json").write_text(json.dumps(request | {"plugins": str(PLUGINS)}))
    removed = ("PYTHONPATH", "GDAL_VRT_PYTHON_TRUSTED_MODULES")
    environment = {key: value for key, value in os.environ.items() if key not in removed}
    environment |= {
        "XHSINR_REQUEST": str(folder / "request.json"),
        "QGIS_CUSTOM_CONFIG_PATH": str(folder / "profile"),
        "XDG_RUNTIME_DIR": str(folder),
    }
    if with_xhsinr:
        environment["PYTHONPATH"] = needed_environment()["PYTHONPATH"]
    if desktop:
        # timeout(1) ends QGIS itself, and with it the screen.
        screen = ["xvfb-run", "-a", "-s", "-screen 0 1280x800x24", "timeout", "120"]
        command = [*screen, "qgis", "--nologo", "--noversioncheck", "--code", str(SESSION)]
        environment["XHSINR_DESKTOP"] = "1"
    else:
        command = [PYTHON, str(SESSION)]
        environment["QT_QPA_PLATFORM"] = "offscreen"
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=180, env=environment, check=False
    )
    path = folder / "answer.json"
    assert path.is_file(), done.stderr
    answer: dict[str, Any] = json.loads(path.read_text())
    assert "failure" not in answer, answer["failure"]
    return answer


@pytest.fixture(scope="module")
def folder(_qgis: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("qgis")


@pytest.fixture(scope="module")
def potsdam(scenes: Path, folder: Path) -> Path:
    path = folder / "potsdam.hsinr"
    xhsinr.compress(scenes / "files" / "enmap_potsdam_B.tif", path, max_error=8, progress=False)
    return path


def place(row: float, col: float, crs: str = "EPSG:32633") -> dict[str, Any]:
    """A click on the EnMAP scene."""
    x, y = LEFT + (col + 0.5) * SIDE, TOP - (row + 0.5) * SIDE
    (x,), (y,) = transform("EPSG:32633", crs, [x], [y])
    return {"layer": "potsdam", "x": x, "y": y, "crs": crs}


CLICKS = [place(20, 10), place(63, 127, "EPSG:4326"), place(70, 10)]


@pytest.fixture(scope="module")
def gaps(folder: Path) -> Path:
    """A scene with a bad band, and without data in two corners."""
    path = folder / "gaps.hsinr"
    scene = synthetic_scene(150, 200, 6, nodata_corner=True)
    scene = scene.assign_coords(bbl=("band", [1, 1, 0, 1, 1, 1]))
    xhsinr.compress(scene, path, lossless=True, tile=64, progress=False)
    return path


@pytest.fixture(scope="module")
def answer(folder: Path, potsdam: Path, gaps: Path) -> dict[str, Any]:
    """One session with both scenes and some broken files."""
    damaged = bytearray(gaps.read_bytes())
    damaged[-1] ^= 1
    (folder / "damaged.hsinr").write_bytes(damaged)
    (folder / "garbage.hsinr").write_bytes(b"GIF89a" * 9)
    (folder / "cut_off.hsinr").write_bytes(potsdam.read_bytes()[:-9])
    own, lost = folder / "own.safetensors", folder / "lost.hsinr"
    shutil.copy(next(Path(xhsinr.__file__).parent.glob("networks/*.safetensors")), own)
    scene = synthetic_scene(24, 24, 8)
    xhsinr.compress(scene, lost, quality="preview", network=own, progress=False)
    own.unlink()
    turned, plain = _small_scenes(folder)
    names = ("potsdam", "gaps", "damaged", "garbage", "cut_off", "lost", "turned", "plain")
    at = Reader(Sidecar.open(gaps)).scene().transform
    centres = [xy(at, row, col) for row, col in ((0, 0), (70, 100))]
    inside = [{"layer": "gaps", "crs": "EPSG:32633", "x": x, "y": y} for x, y in centres]
    request = {
        "files": [str(folder / f"{name}.hsinr") for name in names],
        "clicks": [*CLICKS, *inside, turned, plain],
        "reopen": "potsdam",
    }
    return ask(folder, request)


def _small_scenes(folder: Path) -> list[dict[str, Any]]:
    """A rotated scene and one without a place on the ground; a click on row 6, column 12 of each.

    QGIS lays out the second with a row a unit, downwards from zero.
    """
    turned = Affine.translation(LEFT, TOP) @ Affine.rotation(20) @ Affine.scale(SIDE, -SIDE)
    for name in ("turned", "plain"):
        scene = synthetic_scene(20, 30, 6).drop_vars(["x", "y", "spatial_ref"]).drop_encoding()
        if name == "turned":
            scene = scene.rio.write_crs("EPSG:32633").rio.write_transform(turned)
        xhsinr.compress(scene, folder / f"{name}.hsinr", lossless=True, progress=False)
    x, y = xy(turned, 6, 12)
    return [
        {"layer": "turned", "crs": "EPSG:32633", "x": x, "y": y},
        {"layer": "plain", "crs": "", "x": 12.5, "y": -6.5},
    ]


def decoded(path: Path) -> np.ndarray:
    return Reader(Sidecar.open(path))[:, :, :]


def colours(picture: str) -> np.ndarray:
    """A PNG file of QGIS, shape (rows, cols, 3)."""
    return imagecodecs.imread(picture)[:, :, :3].astype(int)


def table(text: str) -> np.ndarray:
    return np.array([line.split("\t") for line in text.splitlines()[1:]], np.float64)


def test_a_dropped_file_becomes_a_layer_at_its_place(answer: dict[str, Any], potsdam: Path) -> None:
    layer = answer["files"]["potsdam"]
    assert layer["messages"] == []
    assert (layer["valid"], layer["count"], layer["crs"]) == (True, 224, "EPSG:32633")
    assert layer["extent"] == [LEFT, TOP - 64 * SIDE, LEFT + 128 * SIDE, TOP]
    assert not answer["takes_geotiff"]


def test_nothing_is_written_beside_the_sidecar(answer: dict[str, Any], folder: Path) -> None:
    source = Path(answer["files"]["potsdam"]["source"])
    assert source.is_relative_to(folder / "profile")
    assert not list(folder.glob("*.tif*"))


@pytest.mark.parametrize("name", ["potsdam", "gaps"])
def test_the_map_has_the_colours_of_the_quicklook(
    answer: dict[str, Any], folder: Path, name: str
) -> None:
    layer = answer["files"][name]
    look = quicklook(Sidecar.open(folder / f"{name}.hsinr"), 256)
    assert layer["bands"] == [band + 1 for band in look.bands]
    shown = colours(layer["picture"])
    assert shown.shape == look.colours.shape
    assert shown.std() > 30
    # QGIS rounds down.
    assert np.abs(shown - look.colours)[look.valid].max() <= 1
    assert (shown[~look.valid] == 0).all()


def test_the_spectrum_of_a_clicked_pixel_is_what_is_decoded(
    answer: dict[str, Any], potsdam: Path
) -> None:
    samples = decoded(potsdam)
    nanometres = Reader(Sidecar.open(potsdam)).scene().wavelengths
    for click, (row, col) in zip(answer["clicks"], [(20, 10), (63, 127)], strict=False):
        assert click["label"] == f"potsdam, row {row}, column {col}"
        found = table(click["copied"])
        np.testing.assert_allclose(found[:, 0], nanometres, rtol=1e-9)
        expected = samples[:, row, col].astype(float)
        expected[expected == -32768] = np.nan
        np.testing.assert_array_equal(found[:, 1], expected)
        assert click["inked"] > 200


def test_a_bad_band_is_a_gap(answer: dict[str, Any], gaps: Path) -> None:
    click = answer["clicks"][4]
    expected = decoded(gaps)[:, 70, 100].astype(float)
    expected[2] = np.nan
    np.testing.assert_array_equal(table(click["copied"])[:, 1], expected)


@pytest.mark.parametrize("name", ["turned", "plain"])
def test_clicks_find_their_pixel_on_any_grid(
    answer: dict[str, Any], folder: Path, name: str
) -> None:
    (click,) = (c for c in answer["clicks"] if c["label"] == f"{name}, row 6, column 12")
    expected = decoded(folder / f"{name}.hsinr")[:, 6, 12]
    np.testing.assert_array_equal(table(click["copied"])[:, 1], expected)


def test_a_click_on_nothing_says_so(answer: dict[str, Any]) -> None:
    outside, nodata = answer["clicks"][2:4]
    assert outside == {"label": "That place is outside of potsdam.", "copied": ""}
    assert nodata == {"label": "gaps, row 0, column 0: no data.", "copied": ""}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("garbage", r" is not an xhsinr sidecar: it does not begin like one"),
        ("cut_off", r": \d+ bytes where its header declares \d+: it was cut off"),
        ("damaged", r": tile 11: checksum .*`xhsinr salvage SRC DST"),
        ("lost", r" needs it: base network 'own' was not found\."),
    ],
)
def test_a_broken_file_is_reported_and_not_added(
    answer: dict[str, Any], folder: Path, name: str, expected: str
) -> None:
    (text,) = answer["files"][name]["messages"]
    assert re.match(re.escape(str(folder / f"{name}.hsinr")) + expected, text)
    assert "valid" not in answer["files"][name]


def test_a_saved_project_shows_the_same_picture(answer: dict[str, Any]) -> None:
    before, after = answer["files"]["potsdam"], answer["reopened"]
    assert after["valid"]
    np.testing.assert_array_equal(colours(after["picture"]), colours(before["picture"]))


def test_no_python_is_trusted_and_nothing_is_left_behind(answer: dict[str, Any]) -> None:
    assert answer["trusted"] is None
    assert answer["left_behind"] == 0


def test_qgis_gets_no_second_gdal(answer: dict[str, Any]) -> None:
    assert not answer["other_gdal"]


def test_without_the_package_the_message_bar_says_how_to_install_it(
    folder: Path, potsdam: Path, tmp_path: Path
) -> None:
    answer = ask(tmp_path, {"files": [str(potsdam)]}, with_xhsinr=False)
    (text,) = answer["files"]["potsdam"]["messages"]
    assert "xhsinr cannot be imported" in text
    target = tmp_path / "profile" / "profiles" / "default" / "python"
    assert f'-m pip install --target "{target}" xhsinr' in text


@pytest.mark.slow
@pytest.mark.usefixtures("_qgis")
def test_the_desktop_program_takes_a_dropped_file(potsdam: Path, tmp_path: Path) -> None:
    if shutil.which("xvfb-run") is None:
        pytest.skip("xvfb-run is not installed (Debian: xvfb)")
    picture = tmp_path / "window.png"
    request = {"files": [str(potsdam)], "clicks": CLICKS[:1], "screenshot": str(picture)}
    answer = ask(tmp_path, request, desktop=True)
    assert answer["files"]["potsdam"]["valid"]
    found = table(answer["clicks"][0]["copied"])[:, 1]
    expected = decoded(potsdam)[:, 20, 10]
    np.testing.assert_array_equal(found[expected != -32768], expected[expected != -32768])
    assert colours(str(picture)).std() > 30
