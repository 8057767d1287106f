"""What `info` says is what the two files say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xhsinr
from xhsinr.demo import synthetic_scene

TARGETS: tuple[dict[str, Any], ...] = (
    {"psnr": 38},
    {"max_error": 9},
    {"lossless": True},
    {"quality": "preview"},
    {"quality": "analysis"},
)


def independent(
    original: np.ndarray, back: np.ndarray, valid: np.ndarray
) -> dict[str, float | None]:
    """PSNR, RMSE, largest error and mean angle of (bands, rows, cols), in plain NumPy."""
    one, other = (np.where(valid, part, 0).astype(np.longdouble) for part in (original, back))
    errors = (one - other)[valid]
    spread = one[valid].max() - one[valid].min()
    norms = np.sqrt(np.square(one).sum(0)), np.sqrt(np.square(other).sum(0))
    counts = (norms[0] > 0) & (norms[1] > 0)
    cosines = (one * other).sum(0)[counts] / (norms[0] * norms[1])[counts]
    mse = np.square(errors).mean()
    return {
        "psnr_db": float(10 * np.log10(spread**2 / mse)) if mse else None,
        "rmse": float(np.sqrt(mse)),
        "max_error": float(np.abs(errors).max()),
        "mean_sam_deg": float(np.degrees(np.arccos(np.minimum(cosines, 1))).mean()),
    }


@pytest.mark.parametrize("dtype", ["i2", "f4"])
@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_info_equals_an_independent_computation(tmp_path: Path, target: dict, dtype: str) -> None:
    scene = synthetic_scene(40, 50, 16, nodata_corner=True).astype(dtype)
    if dtype == "f4":
        scene[3, 10:20, 10:20] = np.nan
    path = tmp_path / "a.hsinr"
    info = xhsinr.compress(scene, path, tile=24, progress=False, **target).info
    back = xr.open_dataarray(path, engine="hsinr").values
    valid = (scene.values != -32768) & ~np.isnan(scene.values)
    for name, value in independent(scene.values, back, valid).items():
        # The header keeps four digits of the PSNR; an arc cosine is good to 1e-9 rad.
        expected = None if value is None else pytest.approx(value, rel=1e-6, abs=6e-5)
        assert info[name] == expected, name
    size = path.stat().st_size
    assert info["bytes"] == size
    assert info["bpppb"] == 8 * size / scene.size
    assert info["ratio"] == scene.nbytes / size
    assert info["shape"] == [16, 40, 50]
    assert info["dtype"] == scene.dtype.name
    assert info["tile"] == 24
    assert info["tiles"] == 6
    assert info["target"] == target
    assert info["nodata"] == -32768
    assert info["transform"] == [30, 0, 360_000, 0, -30, 5_800_000]
    assert "32633" in info["crs"]
    parts = info["codec_bytes"] + info["index_bytes"] + info["metadata_bytes"]
    assert sum(info["parts"].values()) + parts == size
    for name in ("noise", "noise_by_band", "noise_estimate"):
        assert (info[name] is not None) == (target == {"quality": "analysis"})
    json.dumps(info, allow_nan=False)


def test_the_noise_that_was_added_to_each_band_is_reported(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    added = np.resize(np.geomspace(5, 20, 8), 40)
    mixed = rng.normal(800, 200, (70, 70, 3)) @ rng.uniform(0, 2, (3, 40))
    scene = np.rint(mixed + added * rng.normal(size=mixed.shape)).astype(np.int16)
    scene[:, :, 7] = -9999
    source = xr.DataArray(scene, dims=("y", "x", "band"), attrs={"_FillValue": -9999})
    path = tmp_path / "a.hsinr"
    info = xhsinr.compress(source, path, quality="analysis", progress=False).info
    assert info["noise_by_band"][7] is None
    found = np.delete(np.array(info["noise_by_band"], float), 7)
    # The other bands are noisy as well, so a part of the signal counts as noise.
    np.testing.assert_allclose(found, np.delete(added, 7), rtol=0.35)
    assert np.median(found / np.delete(added, 7)) == pytest.approx(1, abs=0.1)
    assert info["noise"] == pytest.approx(np.median(found), rel=1e-6)
    assert info["max_error"] <= info["noise"]
    assert "regression" in info["noise_estimate"]


def test_without_latents_no_network_is_named_or_counted(tmp_path: Path) -> None:
    info = xhsinr.compress(
        synthetic_scene(20, 20, 8), tmp_path / "a.hsinr", quality="standard", progress=False
    ).info
    assert info["network"] is None
    assert info["bpppb_with_network"] == info["bpppb"]


def test_figures_that_do_not_exist_are_none(tmp_path: Path) -> None:
    samples = np.zeros((6, 5, 4), "i2")
    info = xhsinr.compress(samples, tmp_path / "a.hsinr", progress=False).info
    assert info["psnr_db"] is None
    assert info["mean_sam_deg"] is None
    assert info["rmse"] == info["max_error"] == 0
    assert "n/a" in repr(xhsinr.open(tmp_path / "a.hsinr"))


# A .npy file has no place for nodata.
@pytest.mark.filterwarnings("ignore:samples go from -32768")
@pytest.mark.parametrize("name", ["jasper_ridge_198", "enmap_potsdam_B", "samson_dn"])
def test_metadata_are_at_most_two_hundred_bytes_and_three_bytes_a_band(
    scenes: Path, tmp_path: Path, name: str
) -> None:
    source = scenes / f"{name}.npy"
    info = xhsinr.compress(source, tmp_path / "a.hsinr", psnr=40, progress=False).info
    assert info["metadata_bytes"] <= 200 + 3 * info["shape"][0]


@pytest.mark.parametrize("target", [{"psnr": 40}, {"lossless": True}], ids=str)
def test_a_fill_value_that_nobody_declared_is_told_with_its_share(
    tmp_path: Path, target: dict[str, Any]
) -> None:
    scene = synthetic_scene(40, 40, 8)
    scene[:, :10, :12] = -9999
    path = tmp_path / "a.hsinr"
    with pytest.warns(UserWarning, match=r"^7\.5 % of the pixels are -9999 in all") as told:
        made = xhsinr.compress(scene, path, progress=False, **target)
    assert len(told) == 1
    (caution,) = (value for label, value in made.lines() if label == "caution")
    assert str(told[0].message) in caution
    declared = scene.rio.write_nodata(-9999)
    made = xhsinr.compress(declared, path, overwrite=True, progress=False, **target)
    assert "caution" not in dict(made.lines())
