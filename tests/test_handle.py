"""What `compress` and `open` return, for people and for programs."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import xarray as xr
from small_networks import siren_network

import xhsinr
from xhsinr.demo import synthetic_scene
from xhsinr.errors import NotASidecarError
from xhsinr.network.file import save_network


@pytest.fixture(scope="module")
def scene() -> xr.DataArray:
    return synthetic_scene(30, 40, 20, nodata_corner=True)


@pytest.fixture(scope="module")
def handle(scene: xr.DataArray, tmp_path_factory: pytest.TempPathFactory) -> xhsinr.Compressed:
    path = tmp_path_factory.mktemp("handle") / "a <b> scene.hsinr"
    return xhsinr.compress(scene, path, quality="standard", progress=False)


def test_it_opens_the_scene_lazily_as_it_came(
    handle: xhsinr.Compressed, scene: xr.DataArray
) -> None:
    back = handle.open()
    assert not back.variable._in_memory
    xr.testing.assert_identical(back.load(), scene.copy(data=back.values))


def test_opening_again_says_the_same(handle: xhsinr.Compressed) -> None:
    again = xhsinr.open(handle.path)
    assert again.info == handle.info
    assert repr(again) == repr(handle)
    assert xhsinr.open(str(handle.path)).path == handle.path


def test_the_plain_text_has_the_figures(handle: xhsinr.Compressed) -> None:
    text = repr(handle)
    info = handle.info
    for part in (
        str(handle.path),
        "30 x 40 pixels, 20 bands, int16",
        f"{info['bytes']:,} bytes",
        f"{info['bpppb']:.4f} bpppb",
        f"{info['psnr_db']:.4g} dB",
        f"planes {info['parts']['planes']:,} B",
        "asked for            quality=standard",
        "wavelengths          420 to 2450 nm",
        "CRS                  EPSG:32633",
        "nodata               -32768",
    ):
        assert part in text
    assert "network" not in text


def test_the_plain_text_names_the_base_network_and_the_noise_where_they_count(
    scene: xr.DataArray, tmp_path: Path
) -> None:
    network = tmp_path / "small.safetensors"
    save_network(siren_network(outputs=20), network)
    preview = xhsinr.compress(
        scene, tmp_path / "p.hsinr", quality="preview", network=network, progress=False
    )
    assert re.search(r"base network +small \([0-9a-f]{12}…\)", repr(preview))
    assert "with the base network" in repr(preview)
    analysis = xhsinr.compress(scene, tmp_path / "a.hsinr", quality="analysis", progress=False)
    assert re.search(rf"noise +{analysis.info['noise']:.4g}", repr(analysis))
    archive = xhsinr.compress(scene, tmp_path / "l.hsinr", quality="archive", progress=False)
    assert re.search(r"PSNR +lossless", repr(archive))


def test_the_notebook_view_has_table_and_picture_and_escapes_names(
    handle: xhsinr.Compressed,
) -> None:
    page = handle._repr_html_()
    assert "a &lt;b&gt; scene.hsinr" in page
    assert "<b> scene" not in page
    for label, _ in handle.lines():
        assert f">{label}</th>" in page
    encoded = re.search(r"data:image/png;base64,([^']+)'", page)
    assert encoded is not None
    assert imagecodecs.png_decode(base64.b64decode(encoded[1])).shape == (30, 40, 3)


def test_the_quicklook_is_small_and_black_without_data(
    handle: xhsinr.Compressed, scene: xr.DataArray
) -> None:
    picture = imagecodecs.png_decode(handle.quicklook())
    empty = (scene == -32768).all("band").values
    assert not picture[empty].any()
    assert picture[~empty].mean() > 20


@pytest.mark.parametrize("shape", [(1, 1, 2), (3, 700, 2), (600, 2, 3)])
def test_quicklooks_of_odd_shapes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    samples = np.arange(np.prod(shape), dtype="f4").reshape(shape)
    handle = xhsinr.compress(samples, tmp_path / "a.hsinr", psnr=30, progress=False)
    picture = imagecodecs.png_decode(handle.quicklook())
    assert picture.ndim == 3
    assert max(picture.shape[:2]) <= 256
    assert "<img" in handle._repr_html_()


def test_what_is_no_sidecar_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.hsinr").write_bytes(b"something else")
    with pytest.raises(NotASidecarError, match=r"a\.hsinr is not an xhsinr sidecar"):
        xhsinr.open(tmp_path / "a.hsinr")
    with pytest.raises(FileNotFoundError):
        xhsinr.open(tmp_path / "b.hsinr")


def test_what_steers_a_terminal_is_shown_as_text(tmp_path: Path) -> None:
    units = {"units": "\x1b]0;mine\x07nm"}
    scene = synthetic_scene(12, 12, 5).assign_coords(wavelength=("band", np.arange(5.0), units))
    made = xhsinr.compress(scene, tmp_path / "a\x1b[2J.hsinr", progress=False)
    for shown in (repr(made), made.text(), made._repr_html_()):
        assert "\x1b" not in shown
        assert r"\x1b]0;mine\x07nm" in shown
