"""Pixels that a file masks are no data, whatever lies under the mask."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

import xhsinr
from xhsinr.errors import SceneError
from xhsinr.scene import read, write_geotiff
from xhsinr.scene.windows import Mask, lazy_raster

HIDDEN = np.zeros((20, 16), np.bool_)
HIDDEN[:, :6] = True


def cube(rng: np.random.Generator, dtype: str, bands: int = 5) -> np.ndarray:
    """Smooth where it is data, anything where it is hidden."""
    samples = np.add.outer(np.arange(bands) * 9, np.add.outer(np.arange(20), np.arange(16))) + 20
    samples = samples.astype(dtype)
    if dtype != "uint8":
        samples[:, HIDDEN] = rng.integers(0, 30000, (bands, int(HIDDEN.sum())))
    return samples


def write(path: Path, samples: np.ndarray, **profile: object) -> Path:
    sizes = {"count": len(samples), "height": 20, "width": 16, "dtype": samples.dtype.name}
    placed = {"crs": "EPSG:32633", "transform": rasterio.Affine(30, 0, 3e5, 0, -30, 5e6)}
    with rasterio.open(path, "w", driver="GTiff", **sizes, **placed, **profile) as out:
        out.write(samples)
    return path


def mask_file(path: Path, *, internal: bool) -> None:
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal),
        rasterio.open(path, "r+") as out,
    ):
        out.write_mask(~HIDDEN)


def masked_in(path: Path) -> np.ndarray:
    with rasterio.open(path) as source:
        return source.dataset_mask() == 0


@pytest.mark.parametrize("internal", [True, False])
@pytest.mark.parametrize("dtype", ["int16", "uint16", "float32", "int32"])
def test_a_mask_of_a_file_hides_pixels_everywhere(
    tmp_path: Path, rng: np.random.Generator, dtype: str, internal: bool
) -> None:
    samples = cube(rng, dtype)
    path = write(tmp_path / "a.tif", samples)
    mask_file(path, internal=internal)
    scene = read(path)
    values = scene.window(slice(None), slice(None))
    np.testing.assert_array_equal(scene.invalid(values), np.broadcast_to(HIDDEN, values.shape))
    np.testing.assert_array_equal(values[:, ~HIDDEN], samples[:, ~HIDDEN])
    assert values.dtype == samples.dtype

    small = xhsinr.compress(path, tmp_path / "a.hsinr", max_error=2, progress=False)
    decoded = small.open().values.astype(np.float64)
    assert np.abs(decoded - samples)[:, ~HIDDEN].max() <= 2
    with xhsinr.open_rasterio_dataset(tmp_path / "a.hsinr") as dataset:
        np.testing.assert_array_equal(dataset.dataset_mask() == 0, HIDDEN)
    write_geotiff(scene, scene.data, tmp_path / "b.tif")
    np.testing.assert_array_equal(masked_in(tmp_path / "b.tif"), HIDDEN)
    assert xhsinr.verify(tmp_path / "a.hsinr", against=path, progress=False).valid


def test_declared_nodata_stands_for_what_is_masked(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    samples = cube(rng, "int16")
    path = write(tmp_path / "a.tif", samples, nodata=-7)
    mask_file(path, internal=True)
    scene = read(path)
    assert scene.nodata == -7
    assert (scene.window(slice(None), slice(None))[:, HIDDEN] == -7).all()


def test_an_alpha_band_is_a_mask_and_no_band(tmp_path: Path, rng: np.random.Generator) -> None:
    samples = np.concatenate([cube(rng, "uint16"), np.where(HIDDEN, 0, 65535)[None]])
    path = write(tmp_path / "a.tif", samples.astype("uint16"))
    with rasterio.open(path, "r+") as out:
        out.colorinterp = [*[ColorInterp.undefined] * 5, ColorInterp.alpha]
    scene = read(path)
    assert scene.bands == 5
    values = scene.window(slice(None), slice(None))
    np.testing.assert_array_equal(scene.invalid(values), np.broadcast_to(HIDDEN, values.shape))


def test_the_fourth_band_of_bytes_with_a_wavelength_is_a_band(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    path = write(tmp_path / "a.tif", cube(rng, "uint8", 4), photometric="RGB", alpha="yes")
    assert read(path).bands == 3
    with rasterio.open(path, "r+") as out:
        for band in range(1, 5):
            out.update_tags(band, wavelength=400 + 10 * band)
    assert read(path).bands == 4


def test_each_band_may_have_a_mask_of_its_own(tmp_path: Path, rng: np.random.Generator) -> None:
    samples = cube(rng, "uint16", 2)
    path = write(tmp_path / "a.tif", samples)
    masks = np.where([HIDDEN[::-1, ::-1], HIDDEN], 0, 255).astype("uint8")
    # As GDAL has them beside a file: flags of 0 say that the bands do not share one.
    write(tmp_path / "mask.tif", masks)
    with rasterio.open(tmp_path / "mask.tif", "r+") as out:
        out.update_tags(INTERNAL_MASK_FLAGS_1="0", INTERNAL_MASK_FLAGS_2="0")
    (tmp_path / "mask.tif").rename(tmp_path / "a.tif.msk")
    scene = read(path)
    values = scene.window(slice(None), slice(None))
    np.testing.assert_array_equal(scene.invalid(values), [HIDDEN[::-1, ::-1], HIDDEN])


def test_a_value_for_masked_samples_is_one_that_no_valid_sample_has(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    samples = cube(rng, "uint8")
    samples[:, ~HIDDEN] = np.arange(5 * int((~HIDDEN).sum())).reshape(5, -1) % 256
    samples[samples == 77] = 78
    path = write(tmp_path / "a.tif", samples)
    mask_file(path, internal=True)
    assert read(path).nodata == 77
    samples[0, 19, 15] = 77
    path = write(tmp_path / "b.tif", samples)
    mask_file(path, internal=True)
    with pytest.raises(SceneError, match="every value of uint8"):
        read(path)


def test_windows_of_a_file_can_be_pickled_and_cut(tmp_path: Path, rng: np.random.Generator) -> None:
    samples = cube(rng, "int16")
    path = write(tmp_path / "a.tif", samples)
    mask_file(path, internal=True)
    lazy = pickle.loads(pickle.dumps(lazy_raster(str(path), [1, 3], Mask((1,)), -1)))
    expected = np.where(HIDDEN, -1, samples[[0, 2]])
    np.testing.assert_array_equal(lazy.compute(), expected)
    np.testing.assert_array_equal(lazy[1, 3:9, 7].compute(), expected[1, 3:9, 7])


def test_what_gdal_cannot_read_names_file_and_window(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    samples = rng.integers(0, 900, (3, 20, 16)).astype("int16")
    path = write(tmp_path / "a.tif", samples, compress="deflate")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = b"\xff" * (len(content) - len(content) // 2)
    path.write_bytes(content)
    with pytest.raises(SceneError, match=r"a\.tif: rows 0 to 19, columns 0 to 15 cannot be read"):
        xhsinr.compress(path, tmp_path / "a.hsinr", lossless=True, progress=False)
