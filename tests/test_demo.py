"""The synthetic scene: the shape, metadata and statistics of a real one."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from xhsinr.demo import synthetic_scene


@pytest.fixture(scope="module")
def scene() -> xr.DataArray:
    return synthetic_scene()


def band(scene: xr.DataArray, wavelength: float) -> np.ndarray:
    return scene.values[np.abs(scene["wavelength"].values - wavelength).argmin()].astype(float)


def test_it_has_the_layout_of_a_real_scene(scene):
    assert scene.dims == ("band", "y", "x")
    assert scene.shape == (180, 192, 256)
    assert scene.dtype == np.int16
    assert scene["wavelength"].dims == scene["fwhm"].dims == ("band",)
    assert scene["wavelength"].attrs["units"] == scene["fwhm"].attrs["units"] == "nm"
    assert np.all(np.diff(scene["wavelength"]) > 0)
    assert np.all(scene["fwhm"] > 0)


def test_it_is_georeferenced(scene):
    assert scene.rio.crs.to_epsg() == 32633
    assert scene.rio.transform()[:6] == (30, 0, 360_000, 0, -30, 5_800_000)
    left, bottom, right, top = scene.rio.bounds()
    assert (right - left, top - bottom) == (256 * 30, 192 * 30)


def test_the_same_arguments_give_the_same_scene():
    xr.testing.assert_identical(synthetic_scene(20, 30, 12, 5), synthetic_scene(20, 30, 12, 5))
    assert not np.array_equal(synthetic_scene(20, 30, 12, 5), synthetic_scene(20, 30, 12, 6))


@pytest.mark.parametrize("size", [(1, 1, 1), (1, 9, 2), (9, 1, 3), (7, 5, 40)])
def test_small_sizes_work(size):
    rows, cols, bands = size
    assert synthetic_scene(rows, cols, bands).shape == (bands, rows, cols)


@pytest.mark.parametrize("size", [(0, 5, 5), (5, -1, 5), (5, 5, 0)])
def test_sizes_below_one_are_refused(size):
    with pytest.raises(ValueError, match="each must be >= 1"):
        synthetic_scene(*size)


def test_no_sample_is_at_a_limit_of_the_data_type(scene):
    assert scene.min() > -1000
    assert 3000 < scene.max() < 12_000


def test_a_few_components_hold_almost_all_variance(scene):
    spectra = scene.values.reshape(180, -1).astype(float)
    values = np.linalg.eigvalsh(np.cov(spectra))[::-1]
    explained = np.cumsum(values) / values.sum()
    assert explained[0] < 0.98
    assert explained[7] > 0.998


def test_neighbours_are_alike_and_edges_are_sharp(scene):
    infrared = band(scene, 860)
    steps = np.abs(np.diff(infrared, axis=1))
    assert np.median(steps) < 0.3 * infrared.std()
    assert np.percentile(steps, 99.5) > 1.5 * infrared.std()


def test_vegetation_water_and_the_atmosphere_are_in_it(scene):
    red, infrared = band(scene, 665), band(scene, 860)
    ndvi = (infrared - red) / (infrared + red)
    assert 0.05 < np.mean(ndvi > 0.6) < 0.9
    assert 0.005 < np.mean(ndvi < -0.2) < 0.4
    assert band(scene, 1380).mean() < 0.1 * band(scene, 1250).mean()


def test_noise_grows_toward_the_ends_of_the_range(scene):
    spectra = scene.values.reshape(180, -1).astype(float)
    spectra -= spectra.mean(axis=1, keepdims=True)

    def noise(index: int) -> float:
        """What all but the band's own neighbourhood don't predict of it."""
        others = spectra[4:-4][np.abs(np.arange(4, 176) - index) > 1]
        weights, *_ = np.linalg.lstsq(others[:, ::7].T, spectra[index, ::7])
        return (spectra[index] - weights @ others).std()

    middle = noise(60)
    assert noise(0) > 1.5 * middle
    assert noise(179) > 1.5 * middle


def test_a_cut_corner_is_declared_as_nodata():
    scene = synthetic_scene(40, 50, 6, nodata_corner=True)
    assert scene.dtype == np.int16
    assert scene.rio.nodata == -32768
    assert scene.rio.crs.to_epsg() == 32633
    gone = scene.values == -32768
    assert np.array_equal(gone.any(axis=0), gone.all(axis=0))
    assert gone[0, 0, 0]
    assert gone[0, -1, -1]
    assert 0.05 < gone.mean() < 0.4
    whole = synthetic_scene(40, 50, 6)
    assert np.array_equal(scene.values[~gone], whole.values[~gone])
    assert whole.rio.nodata is None


def test_it_survives_a_geotiff(tmp_path, scene):
    rioxarray = pytest.importorskip("rioxarray")
    path = tmp_path / "demo.tif"
    scene[:3].rio.to_raster(path)
    with rioxarray.open_rasterio(path) as back:
        assert np.array_equal(back, scene[:3])
        assert back.rio.crs == scene.rio.crs
        assert back.rio.transform() == scene.rio.transform()
