"""An archive's page: what a browser shows of it, and that nothing in it runs but its own script."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401
from affine import Affine

import xhsinr
from xhsinr import stac
from xhsinr.demo import synthetic_scene
from xhsinr.pictures.samples import drawn, sampled
from xhsinr.scene import read
from xhsinr.sidecar.file import Sidecar

CHROMIUM = shutil.which("chromium")
FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars
    --disable-background-networking --disable-component-update --disable-sync
    --window-size=1200,900 --virtual-time-budget=3000"""
EVIL = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='o'\">"

in_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    (folder / "sources").mkdir()
    for number, name in enumerate(("a", "b", "c")):
        scene = synthetic_scene(30, 40, 12).drop_vars(["x", "y"])
        placed = scene.rio.write_transform(Affine(30, 0, 4e5 + 9e4 * number, 0, -30, 5e6))
        placed.rio.write_crs(32633).rio.to_raster(folder / "sources" / f"{name}.tif")
    out = folder / "archive"
    assert xhsinr.archive(folder / "sources", out, progress=False).ok
    item = out / "b" / "b.json"
    content = json.loads(item.read_text())
    content["properties"] |= {"title": EVIL, "hsinr:caution": EVIL, "datetime": EVIL}
    content["properties"] |= {"datetime": "2024-05-01T10:00:00Z"}
    content["assets"]["thumbnail"]["href"] = "https://example.org/x.png"
    item.write_text(json.dumps(content))
    stac.write_catalog(out)
    return out


def browse(page: Path, folder: Path, *more: str, view: str = "") -> str:
    command = [str(CHROMIUM), *FLAGS.split(), f"--user-data-dir={folder / 'profile'}", *more]
    done = subprocess.run(
        [*command, f"{page.as_uri()}{view}"], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


@in_browser
def test_a_browser_lists_the_scenes_and_runs_nothing_of_theirs(
    archive: Path, tmp_path: Path
) -> None:
    shown = browse(archive / "index.html", tmp_path, "--dump-dom")
    assert "<title>archive</title>" in shown
    body = shown[shown.index('<tbody id="rows">') : shown.index("</tbody>")]
    assert re.findall(r'<a href="#(\w+)">', body) == ["a", "b", "c"]
    assert body.count("<img") == 2
    assert "&lt;img src=x" in body
    # 90 km apart, scenes of a kilometre are less than a few pixels: dots.
    assert shown.count('class="print small"') == 3
    assert shown.count('class="dot" d="M') == 3
    assert 'style="display: none;"' not in shown
    assert "3 of 3 scenes" in shown
    assert "1 with a caution" in shown


@in_browser
def test_a_scene_s_view_has_its_pictures(archive: Path, tmp_path: Path) -> None:
    import rasterio

    shown = browse(archive / "index.html", tmp_path, "--dump-dom", view="#a")
    view = shown[shown.index('<div id="shown">') : shown.index("</dialog>")]
    assert re.findall(r'src="([^"]*)"', view) == ["./a/a.thumbnail.jpg", "./a/a.spectra.svg"]
    assert "<dt>asked for</dt><dd>quality=standard</dd>" in view
    picture = tmp_path / "page.png"
    browse(archive / "index.html", tmp_path, f"--screenshot={picture}", view="#a")
    with rasterio.open(picture) as opened:
        colours = opened.read((1, 2, 3)).reshape(3, -1)
    # The thumbnail alone has hundreds.
    assert len(np.unique(colours, axis=1).T) > 300


def test_the_page_names_no_file_but_the_archive_s_own(archive: Path) -> None:
    text = (archive / "index.html").read_text()
    assert text.count("</script>") == 2
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    files = [href for row in data for href in (*row["files"].values(), row["item"])]
    assert len(files) == 3 * 6 - 1
    assert all((archive / href).is_file() for href in files)
    assert "://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert all(len(row["rings"]) == 1 for row in data)
    item = xhsinr.open(archive / "a" / "a.hsinr").info
    assert data[0]["ratio"] == pytest.approx(item["ratio"])


def test_an_item_that_is_none_is_left_out_of_the_page(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(archive, out)
    content = json.loads((out / "a" / "a.json").read_text())
    content["geometry"]["coordinates"][0][0] = [float("inf"), 1e400]
    (out / "a" / "a.json").write_text(json.dumps(content))
    with pytest.warns(UserWarning, match="left out of the catalog"):
        stac.write_catalog(out)
    assert '"id":"a"' not in (out / "index.html").read_text()


def test_spectra_are_those_before_and_after(tmp_path: Path) -> None:
    scene = synthetic_scene(50, 60, 10, nodata_corner=True)
    made = xhsinr.compress(scene, tmp_path / "s.hsinr", psnr=40, tile=20, progress=False)
    found = sampled(read(scene), made.sidecar)
    assert found is not None
    before, after = (s.transpose("band", "y", "x").values for s in (scene, made.open()))
    for number, (row, col) in enumerate(found.pixels):
        assert np.array_equal(found.before[number], before[:, row, col])
        assert np.array_equal(found.after[number], after[:, row, col])
    # The tile of the pixels and another one, of nine.
    assert found.windows == [np.s_[20:40, 20:40], np.s_[20:40, 0:20]]
    valid = before != scene.attrs["_FillValue"]
    for band, rmse in enumerate(found.rmse):
        off = [
            (before.astype(float) - after)[band, *window][valid[band, *window]]
            for window in found.windows
        ]
        assert rmse == pytest.approx(np.sqrt((np.concatenate(off) ** 2).mean()))
    text = drawn(found, read(scene))
    assert text.count("<path") == 2 + 6 + 1
    assert "RMSE of each band, in 2 of 9 tiles" in text
    assert text.count('fill="none" stroke') == 1 + 2
    assert "wavelength in nm" in text


def test_spectra_leave_gaps_where_bands_were_removed(tmp_path: Path) -> None:
    scene = synthetic_scene(20, 20, 40).isel(band=[*range(15), *range(25, 40)])
    made = xhsinr.compress(scene, tmp_path / "s.hsinr", psnr=40, progress=False)
    found = sampled(read(scene), made.sidecar)
    assert found is not None
    lines = re.findall(r'<path class="\w+" stroke="[^"]*" d="([^"]*)"', drawn(found, read(scene)))
    assert [(line.count("m"), line.count("l")) for line in lines] == [(2, 28)] * 7


def test_a_scene_without_whole_pixels_has_no_spectra(tmp_path: Path) -> None:
    samples = np.arange(96, dtype=np.float32).reshape(4, 4, 6)
    for band in range(6):
        samples[band % 4, :, band] = np.nan
    xhsinr.compress(samples, tmp_path / "s.hsinr", psnr=40, progress=False)
    assert sampled(read(samples), Sidecar.open(tmp_path / "s.hsinr")) is None
