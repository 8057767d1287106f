"""Targets are met, and found in few passes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_network import small_network

import xhsinr
from xhsinr.compression import control
from xhsinr.compression.control import Search
from xhsinr.compression.pursuit import PSNR_WINDOW, RATE_WINDOW, Attempt
from xhsinr.demo import synthetic_scene
from xhsinr.network.base import load_network, save_network
from xhsinr.running.tasks import Tasks
from xhsinr.target import Target

SCENES = ("jasper_ridge_224", "indian_pines_part", "paviau_140x80", "samson_dn")


def measured(samples: np.ndarray, handle: xhsinr.Compressed) -> tuple[float, float]:
    """PSNR and largest error of a scene (rows, cols, bands), and its file."""
    back = handle.open().transpose("y", "x", "band").values
    errors = back.astype(np.float64) - samples
    spread = float(samples.max()) - float(samples.min())
    mse = np.square(errors).mean()
    return float(10 * np.log10(spread**2 / mse)) if mse else np.inf, float(np.abs(errors).max())


@pytest.fixture(params=SCENES)
def source(request: pytest.FixtureRequest, scenes: Path) -> Path:
    return scenes / f"{request.param}.npy"


@pytest.mark.parametrize(("psnr", "tile"), [(35, 256), (40, 256), (45, 256), (50, 256), (45, 64)])
def test_psnr_is_at_the_target_or_just_above(
    source: Path, tmp_path: Path, psnr: float, tile: int
) -> None:
    handle = xhsinr.compress(source, tmp_path / "a.hsinr", psnr=psnr, tile=tile, progress=False)
    found, _ = measured(np.load(source), handle)
    assert psnr <= found <= psnr + PSNR_WINDOW


@pytest.mark.parametrize(("bpppb", "tile"), [(0.05, 256), (0.1, 256), (0.5, 256), (0.1, 64)])
def test_the_rate_is_at_the_target_or_just_below(
    source: Path, tmp_path: Path, bpppb: float, tile: int
) -> None:
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
    assert 45 <= found <= 45 + PSNR_WINDOW


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

    def counted(self, function, tiling, tiles, what, *rest):
        passes.append(what)
        return run(self, function, tiling, tiles, what, *rest)

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


def test_a_low_rate_takes_few_passes_though_two_kinds_of_codecs_are_tried(
    source: Path, tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = count_passes(monkeypatch)
    for number, target in enumerate(({"psnr": 30}, {"bpppb": 0.02})):
        passes.clear()
        file = tmp_path / f"{number}.hsinr"
        xhsinr.compress(source, file, network=own, progress=False, **target)
        assert passes.count("encode") <= 12


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A network that is linear in its latents, and the user's."""
    path = tmp_path / "own.safetensors"
    save_network(load_network("default"), path)
    return path


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Layers of the codecs that scenes are encoded with, from now on."""
    layers: list[str] = []
    learn = Search.learn

    def noted(self: Search, attempt: Attempt) -> bool:
        layers.append("detail" if attempt.codec.latents is None else "latents")
        return learn(self, attempt)

    monkeypatch.setattr(Search, "learn", noted)
    return layers


def test_latents_are_kept_at_low_rates_where_they_are_better_and_only_there(
    scenes: Path, tmp_path: Path, own: Path, tried: list[str]
) -> None:
    kept = 0
    for scene, target in (
        ("gatorsense_vi", {"psnr": 30}),
        ("gatorsense_vi", {"bpppb": 0.02}),
        ("redsea_48", {"bpppb": 0.04}),
        ("indian_pines_part", {"psnr": 35}),
        ("jasper_ridge_198_int16", {"bpppb": 0.02}),
    ):
        tried.clear()
        settings: dict[str, Any] = {**target, "overwrite": True, "progress": False}
        source = scenes / f"{scene}.npy"
        found = xhsinr.compress(source, tmp_path / "a.hsinr", network=own, **settings).info
        assert {"detail", "latents"} == set(tried)
        alone = xhsinr.compress(source, tmp_path / "b.hsinr", **settings).info
        assert "latents" not in alone["layers"]
        if "latents" not in found["layers"]:
            assert (tmp_path / "a.hsinr").read_bytes() == (tmp_path / "b.hsinr").read_bytes()
            continue
        kept += 1
        if "psnr" in target:
            assert found["bytes"] < alone["bytes"]
            assert found["psnr_db"] >= target["psnr"]
        else:
            assert found["psnr_db"] > alone["psnr_db"]
            assert found["bpppb"] <= target["bpppb"]
    assert 0 < kept < 5


def test_networks_of_the_package_are_for_previews(tmp_path: Path, tried: list[str]) -> None:
    scene = synthetic_scene(40, 44, 12)
    for target in ({"quality": "standard"}, {"psnr": 30}, {"bpppb": 1}):
        xhsinr.compress(scene, tmp_path / "a.hsinr", overwrite=True, progress=False, **target)
    assert set(tried) == {"detail"}
    xhsinr.compress(scene, tmp_path / "b.hsinr", quality="preview", progress=False)
    assert tried[-1] == "latents"


@pytest.mark.parametrize("target", [{"quality": "standard"}, {"psnr": 50}, {"bpppb": 2}], ids=str)
def test_a_network_of_the_user_s_own_competes_once(
    tmp_path: Path, tried: list[str], target: dict
) -> None:
    own = tmp_path / "own.safetensors"
    assert save_network(small_network(), own).contexts is None
    scene = synthetic_scene(40, 44, 12)
    found = xhsinr.compress(scene, tmp_path / "a.hsinr", network=own, progress=False, **target)
    assert tried.count("latents") == 1
    tried.clear()
    alone = xhsinr.compress(scene, tmp_path / "b.hsinr", progress=False, **target)
    assert found.info["bytes"] <= alone.info["bytes"] or "bpppb" in target
    assert found.info["psnr_db"] >= alone.info["psnr_db"] or "bpppb" not in target


def test_networks_are_for_targets_that_latents_can_reach() -> None:
    default = load_network("default")
    own = replace(default, path=None)
    for target, of_package, of_user in (
        (Target("preview", quality="preview"), True, True),
        (Target("psnr", 45, quality="standard"), False, True),
        (Target("psnr", 45), False, True),
        (Target("bpppb", 0.1), False, True),
        (Target("max_error", 4), False, False),
        (Target("noise", quality="analysis"), False, False),
        (Target("lossless"), False, False),
    ):
        assert control.may_use(default, target) == of_package
        assert control.may_use(own, target) == of_user


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
        assert sum(handle.info["layers"].values()) < 128


def test_a_rate_beyond_all_decibels_is_met(tmp_path: Path, rng: np.random.Generator) -> None:
    for shape in ((8, 8, 4), (1, 1, 2)):
        samples = rng.integers(0, 255, shape).astype(np.uint8)
        for rate in (24768, 1e300):
            path = tmp_path / f"{shape}{rate}.hsinr"
            found = xhsinr.compress(samples, path, bpppb=rate, progress=False)
            assert np.array_equal(found.open().values, samples)
