from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from xhsinr.coding.planes_tile import PlaneEncoder  # noqa: E402
from xhsinr.demo import synthetic_scene  # noqa: E402
from xhsinr.errors import SceneError  # noqa: E402
from xhsinr.network.prior import FIXED, INPUTS, STICKS, Prior, package_prior  # noqa: E402
from xhsinr.training import (  # noqa: E402
    PriorSettings,
    SceneSamples,
    examples,
    find_scenes,
    load_samples,
    train_prior,
)
from xhsinr.training.prior_network import PriorNetwork, code_lengths  # noqa: E402

QUICK = PriorSettings(steps=(60, 60), batch=512)


def _scenes(count: int, side: int = 40) -> list[SceneSamples]:
    cubes = [synthetic_scene(side, side, 8, seed=seed).values for seed in range(count)]
    return [SceneSamples(f"s{i}", f"{i:064x}", np.float32(cube)) for i, cube in enumerate(cubes)]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "_OCTAVES", np.array([3.0, 7.0]))
    monkeypatch.setattr(examples, "_MOSAIC", 64)


def _bytes(prior: Prior, scene: SceneSamples) -> int:
    encoder = PlaneEncoder(scene.samples[:3].astype(np.float64) / 20, prior)
    encoder.planes()
    return len(encoder.content())


def test_training_shortens_scenes_never_seen_and_repeats_to_the_digest(tmp_path: Path) -> None:
    scenes = _scenes(3)
    prior = train_prior(scenes[:2], scenes[2:], tmp_path / "a.safetensors", QUICK, progress=False)
    short = PriorSettings(steps=(1,), batch=512)
    untrained = train_prior(scenes[:2], [], tmp_path / "b.safetensors", short, progress=False)
    assert _bytes(prior, scenes[2]) < 0.9 * _bytes(untrained, scenes[2])
    again = train_prior(scenes[:2], scenes[2:], tmp_path / "c.safetensors", QUICK, progress=False)
    assert again.digest == prior.digest
    assert prior.recipe["training"] == {scene.name: scene.digest for scene in scenes[:2]}
    assert [row[0] for row in prior.recipe["curve"]] == [60, 120]


def test_a_prior_is_tuned_to_scenes(tmp_path: Path) -> None:
    scenes, start = _scenes(2), package_prior()
    tuned = train_prior(scenes, [], tmp_path / "t.safetensors", QUICK, start=start, progress=False)
    assert tuned.recipe["start"] == start.digest
    assert sum(_bytes(tuned, scene) for scene in scenes) < sum(
        _bytes(start, scene) for scene in scenes
    )


def test_what_learns_is_the_integer_network(rng: np.random.Generator) -> None:
    prior = package_prior()
    network = PriorNetwork(prior)
    inputs = rng.integers(0, 200, (50, INPUTS + FIXED)).astype(np.float32)
    with torch.no_grad():
        odds = network(torch.from_numpy(inputs / 32)).numpy()
    hidden = inputs @ prior.weights_1 + prior.bias_1
    for number in (2, 3):
        hidden = np.clip(np.floor(np.maximum(hidden, 0) / 64), 0, 1023)
        weights, bias = getattr(prior, f"weights_{number}"), getattr(prior, f"bias_{number}")
        hidden = hidden @ weights + bias
    np.testing.assert_allclose(odds, hidden[:, :STICKS] / 2048, atol=1e-4)
    back = network.prior(prior.means.astype(float), {})
    for name in ("weights_1", "bias_2", "weights_3"):
        np.testing.assert_array_equal(back.tensors()[name], prior.tensors()[name])


def test_code_lengths_are_those_of_a_broken_stick() -> None:
    odds = torch.linspace(-2, 2, STICKS).repeat(STICKS + 1, 1)
    bits = code_lengths(odds, torch.arange(STICKS + 1)).numpy()
    assert np.exp2(-bits).sum() == pytest.approx(1, rel=1e-5)
    stops = 1 / (1 + np.exp(-odds[0].numpy().astype(float)))
    for kind in (0, 3, STICKS):
        share = np.prod(1 - stops[:kind]) * (stops[kind] if kind < STICKS else 1)
        assert bits[kind] == pytest.approx(-np.log2(share), rel=1e-4)


def test_there_has_to_be_something_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="no scene is left"):
        train_prior([], _scenes(1), tmp_path / "n.safetensors", progress=False)


def test_only_the_scenes_of_the_train_split_are_trained_on(tmp_path: Path) -> None:
    for name in "abc":
        np.save(tmp_path / f"{name}.npy", np.zeros((4, 4, 2)))
    assert [path.stem for path in find_scenes(tmp_path)] == ["a", "b", "c"]
    (tmp_path / "scenes.csv").write_text("scene,split\na,train\nb,test\nc,train\n")
    assert [path.stem for path in find_scenes(tmp_path)] == ["a", "c"]
    assert [path.stem for path in find_scenes(tmp_path, ["b", "a"])] == ["b", "a"]
    with pytest.raises(SceneError, match="no scene called x"):
        find_scenes(tmp_path, ["x"])
    (tmp_path / "none").mkdir()
    with pytest.raises(SceneError, match="no scenes to train on"):
        find_scenes(tmp_path / "none")


def test_no_real_test_scene_is_in_the_training_set(scenes: Path) -> None:
    with (scenes / "scenes.csv").open() as file:
        rows = list(csv.DictReader(file))
    sites = {row["site"] for row in rows if row["split"] == "test"}
    found = {path.stem for path in find_scenes(scenes)}
    assert found
    assert not [row for row in rows if row["scene"] in found and row["site"] in sites]


def test_pixels_that_are_not_valid_get_the_mean_spectrum(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    cube = rng.normal(5, 1, (6, 7, 3)).astype(np.float32)
    cube[0, 0, 1] = np.nan
    np.save(tmp_path / "a.npy", cube)
    samples = load_samples(tmp_path / "a.npy").samples
    assert samples.shape == (3, 6, 7)
    valid = cube.reshape(-1, 3)[1:]
    np.testing.assert_allclose(samples[:, 0, 0], valid.mean(0), rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, 1e30, np.nan])
def test_a_scene_of_one_value_or_none_cannot_be_trained_on(tmp_path: Path, value: float) -> None:
    np.save(tmp_path / "a.npy", np.full((4, 5, 3), value))
    with pytest.raises(SceneError, match="leave the scene out"):
        load_samples(tmp_path / "a.npy")
