"""Targets are met, and found in few passes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from _pytest.mark import ParameterSet

import xhsinr
from xhsinr.compression.pursuit import RATE_WINDOW, WINDOW
from xhsinr.demo import synthetic_scene
from xhsinr.running.tasks import Tasks

SCENES = ("jasper_ridge_224", "indian_pines_part", "paviau_140x80", "samson_dn")


def measured(samples: np.ndarray, handle: xhsinr.Compressed) -> tuple[float, float]:
    """PSNR and largest error of a scene (rows, cols, bands), and its file."""
    back = handle.open().transpose("y", "x", "band").values
    errors = back.astype(np.float64) - samples
    spread = float(samples.max()) - float(samples.min())
    mse = np.square(errors).mean()
    return float(10 * np.log10(spread**2 / mse)) if mse else np.inf, float(np.abs(errors).max())


def each(*settings: tuple[float, int]) -> list[ParameterSet]:
    """Every real scene with every setting; one scene a setting is enough each time."""
    return [
        pytest.param(scene, *setting, marks=[pytest.mark.slow] if (i - j) % len(SCENES) else [])
        for i, setting in enumerate(settings)
        for j, scene in enumerate(SCENES)
    ]


@pytest.mark.parametrize(
    ("name", "psnr", "tile"), each((35, 256), (40, 256), (45, 256), (50, 256), (45, 64))
)
def test_psnr_is_at_the_target_or_just_above(
    scenes: Path, tmp_path: Path, name: str, psnr: float, tile: int
) -> None:
    source = scenes / f"{name}.npy"
    handle = xhsinr.compress(source, tmp_path / "a.hsinr", psnr=psnr, tile=tile, progress=False)
    found, _ = measured(np.load(source), handle)
    assert psnr <= found <= psnr + WINDOW


@pytest.mark.parametrize(
    ("name", "bpppb", "tile"), each((0.05, 256), (0.1, 256), (0.5, 256), (0.1, 64))
)
def test_the_rate_is_at_the_target_or_just_below(
    scenes: Path, tmp_path: Path, name: str, bpppb: float, tile: int
) -> None:
    source = scenes / f"{name}.npy"
    path = tmp_path / "a.hsinr"
    xhsinr.compress(source, path, bpppb=bpppb, tile=tile, progress=False)
    found = 8 * path.stat().st_size / np.load(source).size
    assert (1 - RATE_WINDOW) * bpppb <= found <= bpppb


@pytest.mark.parametrize("max_error", [1, 4, 16, 50])
def test_no_sample_is_off_by_more_than_asked_and_some_use_it(
    scenes: Path, tmp_path: Path, max_error: int
) -> None:
    samples = np.load(scenes / "jasper_ridge_198_int16.npy")[:40, :50]
    handle = xhsinr.compress(samples, tmp_path / "a.hsinr", max_error=max_error, progress=False)
    assert measured(samples, handle)[1] == max_error


def test_the_default_is_45_db(tmp_path: Path) -> None:
    scene = synthetic_scene(48, 50, 30)
    handle = xhsinr.compress(scene, tmp_path / "a.hsinr", progress=False)
    found, _ = measured(scene.transpose("y", "x", "band").values, handle)
    assert 45 <= found <= 45 + WINDOW


def test_float_scenes_keep_a_bound_in_their_own_units(scenes: Path, tmp_path: Path) -> None:
    samples = np.load(scenes / "muufl_gatorsense_sub.npy")[:32]
    sizes = []
    for bound in (1e-4, 1e-3, 1e-2):
        path = tmp_path / f"{bound}.hsinr"
        handle = xhsinr.compress(samples, path, max_error=bound, progress=False)
        assert measured(samples, handle)[1] <= bound
        sizes.append(path.stat().st_size)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 0.1 * samples.nbytes


def test_the_noise_that_analysis_rests_on_is_the_scenes(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    smooth = rng.normal(size=(60, 60, 4)).cumsum(0).cumsum(1) @ rng.normal(size=(4, 40))
    samples = (1000 * smooth / smooth.std() + rng.normal(0, 20, smooth.shape)).astype("f4")
    handle = xhsinr.compress(samples, tmp_path / "a.hsinr", quality="analysis", progress=False)
    assert handle.info["noise"] == pytest.approx(20, rel=0.1)
    assert measured(samples, handle)[1] <= handle.info["noise"]


def count_passes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done with a scene's tiles in each pass over them, from now on."""
    passes: list[str] = []
    run = Tasks.run

    def counted(self, function, tiling, tiles, what, *rest, **named):
        passes.append(what)
        return run(self, function, tiling, tiles, what, *rest, **named)

    monkeypatch.setattr(Tasks, "run", counted)
    return passes


def test_targets_are_met_in_few_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = count_passes(monkeypatch)
    scene = synthetic_scene(80, 80, 60)
    for target in ({"psnr": 42}, {"bpppb": 0.5}):
        passes.clear()
        xhsinr.compress(scene, tmp_path / "a.hsinr", overwrite=True, progress=False, **target)
        assert passes[0] == "survey"
        assert set(passes[1:]) == {"forecast", "encode"}
        assert passes.count("encode") <= 5
    passes.clear()
    xhsinr.compress(scene, tmp_path / "a.hsinr", overwrite=True, progress=False, max_error=8)
    assert passes.count("encode") == 1


def test_more_quality_costs_more_bytes(tmp_path: Path) -> None:
    scene = synthetic_scene(48, 48, 24)
    asked = [{"quality": "preview"}, *({"psnr": p} for p in (35, 45, 55)), {"lossless": True}]
    sizes = []
    for number, target in enumerate(asked):
        path = tmp_path / f"{number}.hsinr"
        xhsinr.compress(scene, path, progress=False, **target)
        sizes.append(path.stat().st_size)
    assert sizes == sorted(sizes)


def test_a_scene_of_one_value_takes_next_to_nothing_beyond_its_header(tmp_path: Path) -> None:
    samples = np.full((50, 60, 20), 1234, "u2")
    for target in ({"psnr": 45}, {"lossless": True}, {"max_error": 3}, {"quality": "analysis"}):
        path = tmp_path / "a.hsinr"
        handle = xhsinr.compress(samples, path, overwrite=True, progress=False, **target)
        assert np.array_equal(handle.open().values, samples)
        # Of 120,000 bytes.
        assert sum(handle.info["parts"].values()) < 128


def test_a_rate_beyond_all_decibels_is_met(tmp_path: Path, rng: np.random.Generator) -> None:
    for shape in ((8, 8, 4), (1, 1, 2)):
        samples = rng.integers(0, 255, shape).astype(np.uint8)
        for rate in (24768, 1e300):
            path = tmp_path / f"{shape}{rate}.hsinr"
            found = xhsinr.compress(samples, path, bpppb=rate, progress=False)
            assert np.array_equal(found.open().values, samples)


@pytest.mark.parametrize("fill", [-9999, 30000])
@pytest.mark.parametrize("far", ["a block", "some samples"])
def test_a_psnr_does_not_count_against_what_lies_far_off(
    fill: int, far: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    scene = synthetic_scene(40, 40, 20).transpose("y", "x", "band").values // 20
    samples = scene.copy()
    if far == "a block":
        samples[:, :5, ::2] = fill
    else:
        samples[rng.integers(0, 40, 9), rng.integers(0, 40, 9), 7] = fill
    usual = np.abs(samples) < 9999
    with pytest.warns(UserWarning, match=str(fill)):
        handle = xhsinr.compress(samples, tmp_path / "a.hsinr", psnr=45, progress=False)
    back = handle.open().transpose("y", "x", "band").values.astype(float)
    rmse = np.sqrt(np.square(back - samples)[usual].mean())
    assert rmse < 1.5 * np.ptp(samples[usual]) / 10 ** (45 / 20)
    assert str(fill) in dict(handle.lines())["caution"]


def test_what_is_not_declared_as_nodata_and_stands_for_it_does_not_spoil_the_rest(
    tmp_path: Path,
) -> None:
    scene = synthetic_scene(40, 40, 20).transpose("y", "x", "band").values // 20
    scene[:, :9] = -9999
    with pytest.warns(UserWarning, match=r"^22\.5 % of the pixels are -9999 in all bands"):
        handle = xhsinr.compress(scene, tmp_path / "a.hsinr", psnr=45, progress=False)
    back = handle.open().transpose("y", "x", "band").values.astype(float)
    mse = np.square(back - scene)[:, 9:].mean()
    assert 45 <= 10 * np.log10(np.ptp(scene[:, 9:].astype(float)) ** 2 / mse) <= 45 + WINDOW
    assert np.array_equal(back[:, :9], scene[:, :9])


def test_a_fidelity_never_takes_more_than_a_bound_that_is_as_good(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    samples = rng.normal(1000, 20, (40, 40, 12)).astype(np.int16)
    bounded = xhsinr.compress(samples, tmp_path / "a.hsinr", max_error=2, progress=False).info
    asked = {"psnr": bounded["psnr_db"] - 0.1}
    found = xhsinr.compress(samples, tmp_path / "b.hsinr", progress=False, **asked).info
    assert found["psnr_db"] >= asked["psnr"]
    assert found["bytes"] <= bounded["bytes"] + 16  # what was asked for takes some


def test_what_a_coarser_target_reaches_is_found_where_few_numbers_are_coded(tmp_path: Path) -> None:
    scene = synthetic_scene(40, 40, 12)
    coarse, fine = (
        xhsinr.compress(scene, tmp_path / f"{psnr}.hsinr", psnr=psnr, progress=False).info
        for psnr in (18, 20)
    )
    assert coarse["psnr_db"] >= 20
    assert fine["bytes"] <= coarse["bytes"]
