"""The quality figure: the right pictures, pixels and numbers in the right place."""

from __future__ import annotations

import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import xarray as xr

from xhsinr.demo import synthetic_scene
from xhsinr.errors import HsinrError, SceneError
from xhsinr.pictures import figures
from xhsinr.pictures.figures import quality_figure


@pytest.fixture(scope="module")
def scene() -> xr.DataArray:
    return synthetic_scene(24, 32, 40)


@pytest.fixture(scope="module")
def noisy(scene) -> xr.DataArray:
    noise = np.random.default_rng(3).normal(0, 25, scene.shape)
    return scene.copy(data=(scene.values + noise).astype(np.int16))


def test_without_matplotlib_the_error_says_what_to_install(scene, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(HsinrError, match=r"pip install 'xhsinr\[plot\]'"):
        quality_figure(scene, scene)


def test_the_figure_is_saved_in_its_size(scene, noisy, tmp_path: Path):
    path = tmp_path / "quality.png"
    quality_figure(scene, noisy, path, title="A scene")
    assert imagecodecs.png_decode(path.read_bytes()).shape[:2] == (900, 1400)


def test_the_figure_is_called_after_the_file_and_says_units(scene, noisy):
    scene.encoding["source"] = "folder/a scene.tif"
    figure = quality_figure(scene.assign_attrs(units=["DN"] * scene.sizes["band"]), noisy)
    assert figure.subfigs[0].get_suptitle() == "a scene.tif"
    label = axes_by_title(figure)["Spectra of the marked pixels"].get_ylabel()
    assert label == "Value (DN)"


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
    np.testing.assert_allclose(line.get_xdata(), scene["wavelength"])


def test_lines_are_broken_where_bands_are_missing(scene, noisy):
    kept = np.r_[0:15, 25:40]
    line = axes_by_title(quality_figure(scene[kept], noisy[kept]))["Error of each band"].lines[0]
    assert np.flatnonzero(np.isnan(line.get_ydata())).tolist() == [15]


def test_without_wavelengths_bands_are_numbered(scene, noisy):
    figure = quality_figure(scene.drop_vars("wavelength"), noisy.drop_vars("wavelength"))
    axes = axes_by_title(figure)["Error of each band"]
    assert axes.get_xlabel() == "Band"
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), np.arange(1, 41))


def test_wavelengths_in_unknown_units_are_drawn_as_they_are(scene, noisy):
    for one in (scene := scene.copy(), noisy := noisy.copy()):
        one["wavelength"].attrs.clear()
    axes = axes_by_title(quality_figure(scene, noisy))["Error of each band"]
    assert axes.get_xlabel() == "Wavelength"
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), scene["wavelength"])


def test_a_lossless_scene_and_a_single_pixel_are_drawn(scene, tmp_path: Path):
    quality_figure(scene, scene, tmp_path / "lossless.png")
    pixel = scene[:2, :1, :1]
    quality_figure(pixel, pixel, tmp_path / "pixel.png")


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
    with pytest.raises(SceneError, match="three dimensions"):
        quality_figure(scene[0], scene[0])
    with pytest.raises(SceneError, match="nothing to show"):
        quality_figure(scene * np.nan, scene)


def test_pictures_of_large_scenes_are_thinned_but_keep_their_axes(monkeypatch, scene, noisy):
    monkeypatch.setattr(figures, "SIDE", 10)
    axes = axes_by_title(quality_figure(scene, noisy))
    picture = axes["Decoded"].images[0]
    assert picture.get_array().shape == (6, 8, 3)
    assert picture.get_extent() == [-0.5, 31.5, 23.5, -0.5]
    assert axes["Error of each pixel"].images[0].get_array().shape == (24, 32)


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
