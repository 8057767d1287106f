"""Quicklooks and the quality figure: the right bands, pixels and numbers in the right place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import xarray as xr

from xhsinr.demo import synthetic_scene
from xhsinr.errors import HsinrError, SceneError
from xhsinr.figures import quality_figure
from xhsinr.picture import png_bytes, rgb

WAVELENGTHS = np.array([400.0, 450.0, 500.0, 550.0, 600.0, 650.0, 700.0])


@pytest.fixture
def ramps() -> np.ndarray:
    """Seven bands, 10 x 12; each a ramp along another direction."""
    row, col = np.indices((10, 12))
    return np.stack([(row * np.cos(k) + col * np.sin(k)) * 100 for k in range(7)])


@pytest.fixture(scope="module")
def scene() -> xr.DataArray:
    return synthetic_scene(24, 32, 40)


@pytest.fixture(scope="module")
def noisy(scene) -> xr.DataArray:
    noise = np.random.default_rng(3).normal(0, 25, scene.shape)
    return scene.copy(data=(scene.values + noise).astype(np.int16))


def stretched(plane: np.ndarray) -> np.ndarray:
    low, high = np.percentile(plane, (2, 98))
    return np.rint(255 * np.clip((plane - low) / (high - low), 0, 1)).astype(np.uint8)


def test_red_green_and_blue_are_chosen_by_wavelength(ramps):
    picture = rgb(ramps, WAVELENGTHS)
    assert picture.shape == (10, 12, 3)
    assert picture.dtype == np.uint8
    for channel, band in enumerate((5, 3, 1)):
        assert np.array_equal(picture[..., channel], stretched(ramps[band]))


@pytest.mark.parametrize("units", ["um", "µm", "μm", "micrometers", "Micrometres"])
def test_micrometres_choose_the_same_bands(ramps, units):
    assert np.array_equal(rgb(ramps, WAVELENGTHS / 1000, units=units), rgb(ramps, WAVELENGTHS))


def test_unknown_units_are_refused(ramps):
    with pytest.raises(SceneError, match="'cm-1'"):
        rgb(ramps, WAVELENGTHS, units="cm-1")


def test_without_wavelengths_three_bands_spread_over_all_are_shown(ramps):
    picture = rgb(ramps)
    for channel, band in enumerate((4, 3, 1)):
        assert np.array_equal(picture[..., channel], stretched(ramps[band]))


def test_an_infrared_scene_is_shown_in_false_colours(ramps):
    assert np.array_equal(rgb(ramps, WAVELENGTHS + 1000), rgb(ramps))


def test_bands_without_a_valid_sample_are_passed_over(ramps):
    dead = ramps.copy()
    dead[5] = np.nan
    picture = rgb(dead, WAVELENGTHS)
    assert np.array_equal(picture[..., 0], stretched(ramps[4]))


def test_invalid_pixels_are_black_and_outside_the_stretch(ramps):
    valid = np.ones(ramps.shape[1:], bool)
    valid[:2] = False
    junk = np.where(valid, ramps, 1e9)
    picture = rgb(junk, WAVELENGTHS, valid=valid)
    assert not picture[~valid].any()
    assert np.array_equal(picture[2:], rgb(ramps[:, 2:], WAVELENGTHS))
    ramps[5, 4, 4] = np.nan
    assert not rgb(ramps, WAVELENGTHS)[4, 4].any()


@pytest.mark.parametrize("bands", [1, 2, 3])
def test_scenes_of_few_or_constant_bands_have_a_picture(bands):
    assert rgb(np.full((bands, 4, 5), 7, np.uint16)).shape == (4, 5, 3)
    assert not rgb(np.full((bands, 4, 5), np.nan)).any()


def test_a_picture_comes_back_from_png(ramps):
    picture = rgb(ramps, WAVELENGTHS)
    data = png_bytes(picture[:, ::2])
    assert data.startswith(b"\x89PNG")
    assert np.array_equal(imagecodecs.png_decode(data), picture[:, ::2])


def test_importing_the_module_imports_no_matplotlib():
    code = "import sys, xhsinr.figures; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_matplotlib_the_error_says_what_to_install(scene, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(HsinrError, match=r"pip install xhsinr\[plot\]"):
        quality_figure(scene, scene)


def test_the_figure_is_saved_in_its_size(scene, noisy, tmp_path: Path):
    path = tmp_path / "quality.png"
    quality_figure(scene, noisy, path, title="A scene")
    assert imagecodecs.png_decode(path.read_bytes()).shape[:2] == (900, 1400)


def axes_by_title(figure):
    return {axes.get_title(loc="left"): axes for axes in figure.axes}


def test_the_figure_shows_the_errors_that_there_are(scene, noisy):
    axes = axes_by_title(quality_figure(scene, noisy))
    errors = scene.values.astype(float) - noisy.values
    shown = axes["Error of each pixel"].images[0].get_array()
    np.testing.assert_allclose(shown, np.sqrt(np.mean(errors**2, axis=0)))
    wavelength, per_band = axes["Error of each band"].lines[0].get_data()
    np.testing.assert_allclose(per_band, np.sqrt(np.mean(errors**2, axis=(1, 2))))
    np.testing.assert_allclose(wavelength, scene["wavelength"])
    assert axes["Error of each band"].get_xlabel() == "Wavelength (nm)"
    assert axes["Error of each band"].get_ylabel() == "RMSE over pixels (DN)"


def test_the_spectra_are_those_of_the_marked_pixels(scene, noisy):
    axes = axes_by_title(quality_figure(scene, noisy))
    marks = [line.get_xydata()[0].astype(int) for line in axes["Original"].lines]
    lines = axes["Spectra of the marked pixels"].lines
    assert len(marks) == 4
    for (col, row), before, after in zip(marks, lines[0::2], lines[1::2], strict=False):
        np.testing.assert_array_equal(before.get_ydata(), scene.values[:, row, col])
        np.testing.assert_array_equal(after.get_ydata(), noisy.values[:, row, col])
        assert after.get_label().endswith(f"row {row}, column {col}")


def test_dims_may_come_in_any_order_and_bands_by_any_name(scene, noisy):
    turned = [
        one.rename(band="channel").drop_vars("channel").transpose("y", "x", "channel")
        for one in (scene, noisy)
    ]
    straight, turned = quality_figure(scene, noisy), quality_figure(*turned)
    maps = [axes_by_title(one)["Error of each pixel"].images[0] for one in (straight, turned)]
    np.testing.assert_array_equal(maps[0].get_array(), maps[1].get_array())


def test_bands_are_drawn_in_the_order_of_their_wavelengths(scene, noisy):
    backward = quality_figure(scene[::-1], noisy[::-1])
    line = axes_by_title(backward)["Error of each band"].lines[0]
    np.testing.assert_array_equal(line.get_xdata(), scene["wavelength"])


def test_lines_are_broken_where_bands_are_missing(scene, noisy):
    kept = np.r_[0:15, 25:40]
    line = axes_by_title(quality_figure(scene[kept], noisy[kept]))["Error of each band"].lines[0]
    assert np.flatnonzero(np.isnan(line.get_ydata())).tolist() == [15]


def test_without_wavelengths_bands_are_numbered(scene, noisy):
    figure = quality_figure(scene.drop_vars("wavelength"), noisy.drop_vars("wavelength"))
    axes = axes_by_title(figure)["Error of each band"]
    assert axes.get_xlabel() == "Band"
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), np.arange(1, 41))


def test_a_lossless_scene_and_a_single_pixel_are_drawn(scene, tmp_path: Path):
    quality_figure(scene, scene, tmp_path / "lossless.png")
    quality_figure(scene[:1, :1, :1], scene[:1, :1, :1], tmp_path / "pixel.png")


def test_nodata_is_left_out(tmp_path: Path):
    scene = synthetic_scene(24, 32, 10, nodata_corner=True)
    decoded = scene.where(scene != -32768, 0)
    figure = quality_figure(scene, decoded, tmp_path / "nodata.png")
    errors = axes_by_title(figure)["Error of each pixel"].images[0].get_array()
    gone = scene.values[0] == -32768
    assert np.array_equal(np.ma.getmaskarray(errors), gone)
    assert not errors[~gone].any()


def test_a_decoded_nan_is_drawn_not_raised(scene, tmp_path: Path):
    broken = scene.astype(float)
    broken[:, 3, 4] = np.nan
    quality_figure(scene, broken, tmp_path / "broken.png")


def test_what_is_no_pair_of_scenes_is_refused(scene):
    with pytest.raises(SceneError, match="same part of both"):
        quality_figure(scene, scene[:, 1:])
    with pytest.raises(SceneError, match="band dim"):
        quality_figure(scene[0], scene[0])
    with pytest.raises(SceneError, match="nothing to show"):
        quality_figure(scene * np.nan, scene)


def test_a_real_scene_with_dead_bands_is_drawn(scenes: Path, tmp_path: Path):
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(scenes / "files" / "enmap_potsdam_B.tif") as file:
        data = xr.DataArray(
            file.read(),
            dims=("band", "y", "x"),
            coords={
                "wavelength": (
                    "band",
                    [float(file.tags(band)["wavelength"]) for band in file.indexes],
                )
            },
            attrs={"_FillValue": file.nodata, "units": "DN"},
        )
    figure = quality_figure(data, data + 1, tmp_path / "enmap.png")
    per_band = axes_by_title(figure)["Error of each band"].lines[0].get_ydata()
    assert np.isnan(per_band).sum() >= 6
    assert np.nanmax(per_band) == np.nanmin(per_band) == 1
