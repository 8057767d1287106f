"""Coarse reads: means over blocks, and what a scene says of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import xhsinr
from xhsinr.coding import mask
from xhsinr.coding.overview import block_means, coarse_side, valid_means
from xhsinr.demo import synthetic_scene
from xhsinr.errors import SidecarError
from xhsinr.gdal.vrt import open_rasterio_dataset
from xhsinr.reading.reader import Reader, finest_overview
from xhsinr.sidecar.file import Sidecar

ROWS, COLS, BANDS, TILE = 71, 90, 12, 32
TARGETS = {
    "standard": {"quality": "standard"},
    "preview": {"quality": "preview"},
    "bound": {"max_error": 6},
    "wide bound": {"max_error": 60},
    "lossless": {"lossless": True},
}


@pytest.fixture(scope="module", params=TARGETS)
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("overview") / f"{request.param}.hsinr"
    scene = synthetic_scene(ROWS, COLS, BANDS, nodata_corner=True)
    scene[4, 40:50, 50:60] = -32768
    scene[7] = -32768
    xhsinr.compress(scene, path, tile=TILE, progress=False, **TARGETS[request.param])
    return path


def averaged(reader: Reader, factor: int) -> np.ma.MaskedArray:
    """Means of the valid samples of the full decode, in float64."""
    samples = np.ma.masked_equal(reader[:, :, :], -32768)
    out = np.ma.masked_all(Reader(reader.sidecar, factor).shape)
    for i in range(out.shape[1]):
        for j in range(out.shape[2]):
            part = samples[:, factor * i : factor * (i + 1), factor * j : factor * (j + 1)]
            out[:, i, j] = part.reshape(len(samples), -1).mean(axis=1)
    return out


@pytest.mark.parametrize("factor", [2, 4, 8, 32])
def test_a_coarse_read_is_the_mean_of_the_full_decode(path: Path, factor: int) -> None:
    full = Reader(Sidecar.open(path))
    coarse = Reader(full.sidecar, factor)
    expected = averaged(full, factor)
    found = coarse[:, :, :]
    assert found.shape == coarse.shape == (BANDS, -(-ROWS // factor), -(-COLS // factor))
    assert found.dtype == full.dtype
    assert np.array_equal(found == -32768, np.ma.getmaskarray(expected))
    error = np.abs(found - expected).compressed()
    coding = full.sidecar.codec().coding
    if coding.name == "bounded" and coding.base is None:
        assert error.max() <= 0.5
    else:
        # What is left out is little beside what the overview shows.
        assert np.sqrt(np.mean(error**2)) < 0.1 * expected.std()


def test_bands_and_windows_of_a_coarse_read_are_those_of_the_whole(path: Path) -> None:
    coarse = Reader(Sidecar.open(path), 4)
    whole = coarse[:, :, :]
    bands, rows, cols = np.array([7, 2, 2]), np.array([17, 0, 3]), np.array([1, 22])
    assert np.array_equal(coarse.window(bands, rows, cols), whole[np.ix_(bands, rows, cols)])
    assert np.array_equal(coarse.to_dask().compute(scheduler="synchronous"), whole)
    assert coarse.to_dask().chunks == ((BANDS,), (8, 8, 2), (8, 8, 7))


def test_a_coarse_window_decodes_the_tiles_it_touches(path: Path, tiles: list[int]) -> None:
    lazy = xr.open_dataset(path, engine="hsinr", overview=4)["reflectance"]
    _ = lazy.isel(y=slice(7, 9), x=3).values
    assert tiles == [0, 3]


def test_place_and_coordinates_are_those_of_the_blocks(path: Path) -> None:
    full = xhsinr.open(path).open()
    coarse = xr.open_dataset(path, engine="hsinr", overview=4, chunks={}, mask_and_scale=False)
    coarse = coarse["reflectance"]
    assert coarse.rio.crs == full.rio.crs
    assert coarse.rio.transform() == full.rio.transform() @ Affine.scale(4)
    assert coarse.rio.nodata == full.rio.nodata
    assert np.allclose(coarse["x"][:-1], full["x"].values[:88].reshape(-1, 4).mean(axis=1))
    assert np.ptp(np.diff(coarse["y"])) == 0
    assert np.array_equal(coarse["wavelength"], full["wavelength"])
    assert coarse.rio.transform(recalc=True) == coarse.rio.transform()
    assert coarse.dims == full.dims
    assert coarse.attrs == full.attrs
    xr.testing.assert_identical(coarse.compute(), xhsinr.open(path).open(overview=4).load())


def test_coordinates_that_no_transform_gives_are_averaged_or_thinned(tmp_path: Path) -> None:
    scene = xr.DataArray(
        np.arange(7 * 5 * 3, dtype="u2").reshape(7, 5, 3),
        dims=("line", "sample", "channel"),
        coords={
            "line": [0, 1, 2, 10, 11, 20, 30],
            "name": ("line", list("abcdefg")),
        },
    )
    xhsinr.compress(scene, tmp_path / "a.hsinr", lossless=True, progress=False)
    coarse = xhsinr.open(tmp_path / "a.hsinr").open(overview=3).load()
    assert coarse.shape == (3, 2, 3)
    assert coarse["line"].values.tolist() == [1, 41 / 3, 30]
    assert coarse["name"].values.tolist() == ["a", "d", "g"]
    assert coarse.values[2, 1, 0] == round((6 * 15 + 3 * 3 + 6 * 15 + 4 * 3) / 2)


def test_a_single_sample_that_is_listed_counts_in_its_block(tmp_path: Path) -> None:
    scene = synthetic_scene(32, 32, 8)
    scene[3, 17, 9] = 32000
    with pytest.warns(UserWarning, match="nearly all"):
        made = xhsinr.compress(scene, tmp_path / "a.hsinr", psnr=40, progress=False)
    assert "listed" in made.info["parts"]
    full, coarse = made.open().values[3], made.open(overview=4).values[3]
    assert coarse[4, 2] > 2000 + coarse[4, 3]
    assert abs(coarse[4, 2] - full[16:20, 8:12].mean()) < 200


@pytest.mark.parametrize("overview", [0, -4, 2.0, True, "4", 3, 64])
def test_blocks_that_are_none_or_straddle_tiles_are_refused(path: Path, overview: object) -> None:
    with pytest.raises(SidecarError, match="overview = "):
        xr.open_dataset(path, engine="hsinr", overview=overview)


def test_the_finest_overview_divides_the_tiles(path: Path, tmp_path: Path) -> None:
    sidecar = Sidecar.open(path)
    assert [finest_overview(sidecar, n) for n in (0.3, 1, 3.9, 7, 8, 31, 1000)] == [
        1, 1, 2, 4, 8, 16, 32,
    ]  # fmt: skip
    one = xhsinr.compress(np.ones((9, 7, 2), "u1"), tmp_path / "one.hsinr").sidecar
    assert finest_overview(one, 5.5) == 5
    assert Reader(one, 5)[:, :, :].shape == (2, 2, 2)
    assert Reader(one, 1000)[:, :, :].tolist() == [[[1]], [[1]]]


@settings(max_examples=50, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=3, max_dims=3, max_side=9),
        elements=st.integers(-99, 99),
    ),
    st.integers(1, 11),
    st.randoms(use_true_random=False),
)
def test_means_are_those_of_each_block(planes: np.ndarray, factor: int, chance) -> None:
    states = np.array([chance.choice((0, 0, 1, 2)) for _ in range(planes.size)], np.uint8)
    states = states.reshape(planes.shape)
    means = block_means(planes, factor)
    valid, found = valid_means(planes, states, factor)
    rows, cols = (coarse_side(side, factor) for side in planes.shape[1:])
    assert means.shape == valid.shape == found.shape == (len(planes), rows, cols)
    for b, i, j in np.ndindex(means.shape):
        block = np.s_[b, factor * i : factor * (i + 1), factor * j : factor * (j + 1)]
        assert means[b, i, j] == pytest.approx(planes[block].mean(), abs=1e-3)
        kept = planes[block][states[block] == mask.VALID]
        assert valid[b, i, j] == pytest.approx(kept.mean() if kept.size else 0)
        assert found[b, i, j] == (mask.VALID if kept.size else states[block].min())


def test_blocks_of_nan_are_nan(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(0, 99, (8, 8, 2)).astype("f4")
    samples[:4, :4] = np.nan
    samples[5, 5, 0] = 17
    xhsinr.compress(samples, tmp_path / "a.hsinr", lossless=True, progress=False)
    coarse = xhsinr.open(tmp_path / "a.hsinr").open(overview=4).values
    assert np.isnan(coarse[0, 0]).all()
    assert coarse[1, 1].tolist() == samples[4:, 4:].mean(axis=(0, 1)).tolist()
    assert coarse[0, 1].tolist() == samples[:4, 4:].mean(axis=(0, 1)).tolist()


@pytest.mark.filterwarnings("ignore:.* in all bands")
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_fill_value_that_nobody_declared_is_in_no_mean(tmp_path: Path, target: dict) -> None:
    scene = synthetic_scene(32, 32, 8)
    scene[:, 5:15, 3:15] = -9999
    made = xhsinr.compress(scene, tmp_path / "a.hsinr", progress=False, **target)
    coarse = made.open(overview=4).values
    assert (coarse[:, 2, 1:3] == -9999).all()
    filled = coarse == -9999
    assert filled.sum() == 8 * 2
    assert coarse[~filled].min() >= made.open().where(lambda full: full != -9999).min()
    with open_rasterio_dataset(made.path) as dataset:
        assert np.array_equal(dataset.read(out_shape=(8, 8, 8)), coarse)
