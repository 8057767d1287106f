from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import xhsinr
from xhsinr import training
from xhsinr.coding import contexts
from xhsinr.coding import old_latents as latents
from xhsinr.coding.entropy import TABLE_TOTAL
from xhsinr.coding.latent_coding import LatentCoding
from xhsinr.coding.latent_coding import fit as least_squares
from xhsinr.demo import synthetic_scene
from xhsinr.errors import NetworkError, SceneError
from xhsinr.network.base import BaseNetwork, load_network
from xhsinr.network.meta import fit
from xhsinr.network.siren import forward, pixel_grid
from xhsinr.tiling import Patching
from xhsinr.training import TrainingScene, TrainingSettings, find_scenes, load_scene, train
from xhsinr.training.descent import Descent
from xhsinr.training.trainer import Trainer

loop = sys.modules["xhsinr.training.train"]

RANDOM = TrainingSettings(
    patch=8,
    layers=2,
    width=16,
    latents=12,
    outputs=3,
    w0_first=5.0,
    w0=4.0,
    modulation="shift+output",
    start="random",
    inner_rate=0.5,
    steps=30,
    batch=4,
    rate=5e-2,
)
COSINES = replace(RANDOM, layers=1, latents=16, start="cosines", inner_rate=0.4, steps=10)
SHARED = replace(RANDOM, head="shared", pixels=20)
WHOLE = replace(SHARED, patch=0, modulation="shift", pixels=64, steps=20)
LINEAR = TrainingSettings(patch=6, latents=20, outputs=3, steps=12, batch=2, rate=0.5)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xhsinr.training.calibration._CALIBRATION_PATCHES", 16)
    monkeypatch.setattr("xhsinr.training.batches._VALIDATION_PATCHES", 8)
    monkeypatch.setattr(loop, "_CHECKPOINT_EVERY", 5)
    monkeypatch.setattr(loop, "_VALIDATE_EVERY", 5)
    torch.set_num_threads(1)


def _scene(seed: int, planes: int = 3, rows: int = 24, cols: int = 32) -> TrainingScene:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :cols] / 12
    pictures = []
    for k in range(planes):
        a, b, c = rng.uniform(0.5, 1.5, 3)
        pictures.append((np.sin(3 * a * x + 4 * b * y + c) + 0.2 * np.sin(9 * a * y)) / (k + 1))
    values = np.array(pictures, np.float32)
    return TrainingScene(f"scene_{seed}", f"{seed:064x}", values, 1.0, planes, 2.0, 0.0)


SCENES = [_scene(0), _scene(1, rows=16)]


def _train(path: Path, settings: TrainingSettings, **changes: Any) -> BaseNetwork:
    scenes = changes.pop("scenes", SCENES)
    validation = changes.pop("validation", [])
    return train(scenes, validation, settings, path, progress=False, **changes)


def _loss(network: BaseNetwork, scene: TrainingScene) -> float:
    """Mean over pixels and sum over planes of the squared error, by the public parts alone."""
    patching = Patching(*scene.planes.shape[1:], network.patch)
    patches = patching.split(scene.planes)
    fitted = fit(network, patches, patching.shape, "cpu")
    grid = pixel_grid(*patching.shape)
    output = forward(network.siren, network.parameters, grid, fitted)[..., : patches.shape[2]]
    return float(((output - patches) ** 2).sum(-1).mean())


def _energy(scene: TrainingScene) -> float:
    return float((scene.planes**2).sum(0).mean())


@pytest.mark.parametrize("modulation", ["shift", "shift+output"])
@pytest.mark.parametrize("second_order", [True, False])
def test_training_lowers_the_loss(tmp_path: Path, modulation: str, second_order: bool) -> None:
    settings = replace(RANDOM, modulation=modulation, second_order=second_order)
    network = _train(tmp_path / "n.safetensors", settings)
    untrained = _train(tmp_path / "u.safetensors", replace(settings, rate=1e-12))
    for scene in SCENES:
        assert _loss(network, scene) < 0.9 * _loss(untrained, scene)
    curve = network.recipe["curve"]
    assert [row[0] for row in curve] == [5, 10, 15, 20, 25, 30]
    assert curve[-1][2] > curve[0][2]


def test_a_start_at_cosines_leaves_what_the_zonal_transform_leaves(tmp_path: Path) -> None:
    network = _train(tmp_path / "n.safetensors", replace(COSINES, rate=1e-12, inner_rate=0.5))
    assert (network.siren.layers, network.siren.latents) == (1, 16)
    # From zero, one inner step of rate 1/2 is the projection on an orthonormal basis.
    for scene in SCENES:
        assert _loss(network, scene) < 0.1 * _energy(scene)


def test_the_network_is_ready_to_encode_with(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    network = _train(path, COSINES)
    loaded = load_network(path)
    assert loaded.digest == network.digest
    assert (loaded.name, loaded.head, loaded.patch) == ("mine", "scene", 8)
    assert (loaded.tables.sum(1, dtype=int) == TABLE_TOTAL).all()
    assert (loaded.latent_steps > 0).all()
    assert not np.array_equal(loaded.inner_rates, np.full(16, 0.4, np.float32))
    assert [file.name for file in tmp_path.iterdir()] == ["mine.safetensors"]


@pytest.mark.parametrize("settings", [replace(RANDOM, steps=40), COSINES])
def test_latents_stored_at_a_step_of_one_cost_little(
    tmp_path: Path, settings: TrainingSettings
) -> None:
    network = _train(tmp_path / "n.safetensors", settings)
    for scene in SCENES:
        patches = Patching(*scene.planes.shape[1:], 8).split(scene.planes)
        fitted = fit(network, patches, (8, 8), "cpu")
        payload, _ = latents.encode(fitted, network, 0)
        decoded = latents.decode(payload, len(patches), network, 0)
        stored = latents.dequantise(decoded, network, 0)
        grid = pixel_grid(8, 8)
        before, after = (
            np.square(forward(network.siren, network.parameters, grid, phi) - patches).sum(-1)
            for phi in (fitted, stored)
        )
        assert after.mean() < 1.1 * before.mean()
        assert len(payload) < fitted.nbytes / 2


def test_the_recipe_tells_how_it_was_trained(tmp_path: Path) -> None:
    network = _train(tmp_path / "n.safetensors", COSINES, validation=[_scene(9)])
    recipe = network.recipe
    assert TrainingSettings(**recipe["settings"]) == COSINES
    assert recipe["training"] == {"scene_0": f"{0:064x}", "scene_1": f"{1:064x}"}
    assert recipe["validation"] == {"scene_9": f"{9:064x}"}
    assert recipe["curve_columns"] == ["step", "loss", "validation_psnr_db"]
    alone = _train(tmp_path / "m.safetensors", COSINES).recipe
    assert alone["curve_columns"][-1] == "psnr_db"


def test_the_curve_s_psnr_is_that_of_the_network(tmp_path: Path) -> None:
    scene = replace(_scene(3, rows=16, cols=32), unit=50.0, bands=10, span=400.0, left_out=7.0)
    network = _train(tmp_path / "n.safetensors", COSINES, scenes=[scene])
    mse = _loss(network, scene) * 50**2 / 10 + 7
    expected = 10 * math.log10(400**2 / mse)
    assert network.recipe["curve"][-1][2] == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("settings", [RANDOM, COSINES, SHARED, WHOLE, LINEAR])
def test_the_same_seed_gives_the_same_network(tmp_path: Path, settings: TrainingSettings) -> None:
    short = replace(settings, steps=6)
    first = _train(tmp_path / "a.safetensors", short)
    again = _train(tmp_path / "b.safetensors", short)
    other = _train(tmp_path / "c.safetensors", replace(short, seed=1))
    assert first.digest == again.digest
    assert first.digest != other.digest


def _stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    descend = Descent.descend

    def stopping(descent: Descent, loss: torch.Tensor) -> float:
        if descent.step == step:
            raise KeyboardInterrupt
        return descend(descent, loss)

    monkeypatch.setattr(Descent, "descend", stopping)


@pytest.mark.parametrize("settings", [RANDOM, COSINES, replace(WHOLE, learn_rates=False), LINEAR])
def test_a_training_that_was_stopped_goes_on_to_the_same_network(
    tmp_path: Path, settings: TrainingSettings
) -> None:
    settings = replace(settings, steps=16)
    unbroken = _train(tmp_path / "a.safetensors", settings, validation=[_scene(5)])
    path = tmp_path / "b.safetensors"
    for step in (3, 7, 15):
        with pytest.MonkeyPatch.context() as patch:
            _stop_at(patch, step)
            with pytest.raises(KeyboardInterrupt):
                _train(path, settings, validation=[_scene(5)], resume=True)
        assert not path.exists()
    assert path.with_name("b.safetensors.checkpoint").is_file()
    resumed = _train(path, settings, validation=[_scene(5)], resume=True)
    assert resumed.digest == unbroken.digest
    assert {file.name for file in tmp_path.iterdir()} == {"a.safetensors", "b.safetensors"}


def test_a_stop_while_the_network_is_validated_does_not_change_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = _train(tmp_path / "a.safetensors", COSINES)
    validate, calls = Trainer.validate, []

    def stopping(*arguments: Any) -> float:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return validate(*arguments)

    monkeypatch.setattr(Trainer, "validate", stopping)
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "b.safetensors", COSINES)
    resumed = _train(tmp_path / "b.safetensors", COSINES, resume=True)
    assert resumed.digest == unbroken.digest


def test_a_checkpoint_of_other_settings_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "n.safetensors"
    _stop_at(monkeypatch, 7)
    with pytest.raises(KeyboardInterrupt):
        _train(path, RANDOM)
    with pytest.raises(NetworkError, match=r"checkpoint was written with other settings"):
        _train(path, replace(RANDOM, rate=1e-3), resume=True)


def test_a_checkpoint_is_not_lost_to_a_training_that_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "b.safetensors"
    checkpoint = path.with_name("b.safetensors.checkpoint")
    checkpoint.write_bytes(b"from long ago")
    with pytest.raises(NetworkError, match=r"b\.safetensors\.checkpoint .*--resume"):
        _train(path, COSINES)
    assert checkpoint.read_bytes() == b"from long ago"


def test_ctrl_c_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.safetensors"
    advance = Trainer.advance

    def interrupted(self: Trainer) -> float:
        if self.step == 30:
            raise KeyboardInterrupt
        return advance(self)

    monkeypatch.setattr(Trainer, "advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _train(path, replace(COSINES, steps=40))
    assert "c.safetensors.checkpoint goes on with resume" in capsys.readouterr().err


def test_a_checkpoint_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "n.safetensors"
    path.with_name("n.safetensors.checkpoint").write_bytes(b"broken")
    with pytest.raises(NetworkError, match="remove it to start anew"):
        _train(path, COSINES, resume=True)


def test_whole_scenes_of_different_sizes_and_bands_train_a_shared_head(tmp_path: Path) -> None:
    scenes = [_scene(0, planes=5, rows=9, cols=14), _scene(1, planes=2, rows=20, cols=11)]
    settings = replace(WHOLE, steps=60)
    network = _train(tmp_path / "n.safetensors", settings, scenes=scenes)
    untrained = _train(tmp_path / "u.safetensors", replace(settings, rate=1e-12), scenes=scenes)
    assert (network.patch, network.head, network.siren.outputs) == (None, "shared", 5)
    for scene in scenes:
        assert _loss(network, scene) < 0.9 * _loss(untrained, scene)


def test_all_pixels_of_the_smallest_scene_are_drawn_where_no_number_is_given(
    tmp_path: Path,
) -> None:
    scenes = [_scene(0, planes=2, rows=9, cols=14), _scene(1, planes=3, rows=5, cols=6)]
    settings = replace(WHOLE, pixels=0, steps=2)
    network = _train(tmp_path / "n.safetensors", settings, scenes=scenes)
    assert network.siren.outputs == 3


def test_scenes_with_fewer_planes_leave_the_other_outputs_alone(tmp_path: Path) -> None:
    scenes = [_scene(0, planes=3), _scene(1, planes=1)]
    network = _train(tmp_path / "n.safetensors", replace(RANDOM, steps=5), scenes=scenes)
    assert network.siren.outputs == 3


def test_a_training_that_diverges_is_stopped(tmp_path: Path) -> None:
    path = tmp_path / "n.safetensors"
    nowhere = replace(_scene(0), planes=np.full((3, 8, 8), np.nan, np.float32))
    with pytest.raises(NetworkError, match="diverged at step 0: use a smaller rate"):
        _train(path, RANDOM, scenes=[nowhere])
    with pytest.raises(NetworkError, match=r"diverged at step \d+: .* \(now 1e\+30\)"):
        _train(path, replace(RANDOM, rate=1e30))
    assert not path.exists()


def test_scenes_that_do_not_fit_the_network_are_refused_before_the_first_step(
    tmp_path: Path,
) -> None:
    path = tmp_path / "n.safetensors"
    for settings in (RANDOM, COSINES):
        with pytest.raises(SceneError, match="scene_3 has 7 x 32 pixels, fewer than a patch"):
            _train(path, settings, scenes=[*SCENES, _scene(3, rows=7)])
        with pytest.raises(SceneError, match="scene_4 has 24 x 5 pixels"):
            _train(path, settings, validation=[_scene(4, cols=5)])
    with pytest.raises(SceneError, match="scene_4 has 6 planes, the network 3 outputs"):
        _train(path, SHARED, validation=[_scene(4, planes=6)])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"head": "hydra"}, "head 'hydra' is unknown"),
        ({"start": "warm"}, "start 'warm' is unknown"),
        ({"start": "cosines", "patch": 0}, "a start at cosines needs patches"),
        ({"batch": 0}, "batch = 0"),
        ({"steps": 1.5}, "steps = 1.5"),
        ({"patch": -1}, "patch = -1"),
        ({"patch": 8, "pixels": 65}, "a patch of 8 x 8 has 64"),
        ({"modulation": "output", "patch": 0}, "output modulation needs patches"),
        ({"modulation": "output", "head": "shared"}, "output modulation needs .* the scene head"),
        ({"modulation": "output", "latents": 65}, "a patch of 8 x 8 has 64 cosines"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(NetworkError, match=words):
        replace(RANDOM, **changes)


def test_more_latents_than_cosines_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="3 outputs of 8 x 8 pixels have 192 cosines"):
        _train(tmp_path / "n.safetensors", replace(COSINES, latents=200))


def test_cosines_serve_a_shared_head_of_any_number_of_bands(tmp_path: Path) -> None:
    settings = replace(COSINES, head="shared", steps=2)
    network = _train(tmp_path / "n.safetensors", settings, scenes=[_scene(0, planes=7)])
    assert network.siren.outputs == 7


def _code_length(network: BaseNetwork, scene: TrainingScene, step: float) -> int:
    """Bytes of a scene's latents at a quantiser step."""
    assert network.contexts is not None
    patching = Patching(*scene.planes.shape[1:], network.patch, even=True)
    fitted = least_squares(network, scene.planes / step, patching)
    return len(contexts.encode(fitted, network.contexts, patching.shape)[0])


def test_training_contexts_shortens_the_code_of_scenes_never_seen(tmp_path: Path) -> None:
    settings = replace(LINEAR, steps=30, rate=1.0)
    held_out = [_scene(5), _scene(7)]
    network = _train(tmp_path / "n.safetensors", settings, validation=held_out)
    untrained = _train(tmp_path / "u.safetensors", replace(settings, steps=1, rate=1e-12))
    for scene in held_out:
        for step in (0.02, 0.1, 0.3):
            assert _code_length(network, scene, step) < 0.95 * _code_length(untrained, scene, step)
    curve = network.recipe["curve"]
    assert network.recipe["curve_columns"] == ["step", "loss", "validation_bits_per_pixel"]
    assert [row[0] for row in curve] == [5, 10, 15, 20, 25, 30]
    assert curve[-1][2] < curve[0][2]


def test_the_atoms_of_a_trained_network_are_the_cosines_of_its_patch(tmp_path: Path) -> None:
    network = _train(tmp_path / "n.safetensors", replace(LINEAR, latents=36, steps=2))
    scene = _scene(5, rows=18, cols=30)
    patching = Patching(18, 30, 6, even=True)
    fitted = least_squares(network, scene.planes, patching)
    # Orthonormal and complete: nothing is lost.
    assert np.square(fitted).sum() == pytest.approx(np.square(scene.planes).sum(), rel=1e-3)
    steps = LatentCoding(network, 0, 1e-3)
    decoded = steps.decode(steps.encode(scene.planes, "cpu"), 3, 18, 30)
    assert np.abs(decoded - scene.planes).max() < 0.01


def test_a_network_with_trained_contexts_is_loaded_and_codes_a_scene(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    network = _train(path, LINEAR)
    loaded = load_network(path)
    assert loaded.digest == network.digest
    assert (loaded.head, loaded.patch, loaded.siren.atoms) == ("scene", 6, 20)
    assert TrainingSettings(**loaded.recipe["settings"]) == LINEAR
    scene = synthetic_scene(40, 44, 8)
    handle = xhsinr.compress(
        scene, tmp_path / "a.hsinr", quality="preview", network=path, progress=False
    )
    assert handle.info["network"]["sha256"] == network.digest
    assert set(handle.info["layers"]) == {"latents"}
    assert handle.info["psnr_db"] > 20
    assert xhsinr.verify(handle.path, progress=False).valid


def test_contexts_that_were_learned_far_too_fast_still_code(tmp_path: Path) -> None:
    network = _train(tmp_path / "n.safetensors", replace(LINEAR, rate=1e30))
    scene, coding = _scene(5), LatentCoding(network, 0, 1e-3)
    decoded = coding.decode(coding.encode(scene.planes, "cpu"), 3, *scene.planes.shape[1:])
    assert np.square(decoded - scene.planes).sum(0).mean() < 0.1 * _energy(scene)


def test_settings_are_read_from_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({"outputs": 9, "steps": 7}))
    assert training.read_settings(path, None) == TrainingSettings(outputs=9, steps=7)
    assert training.read_settings(path, 9).steps == 9
    assert training.read_settings(None, None) == TrainingSettings()
    for content in ('{"depth": 3}', "[1, 2]", "no json"):
        path.write_text(content)
        with pytest.raises(NetworkError, match=r"recipe\.json"):
            training.read_settings(path, None)


def _folder(tmp_path: Path, listing: str | None) -> Path:
    for name in ("a.npy", "b.npy", "c.npy", "c.wavelength_nm.txt", "d.tif", "notes.txt"):
        (tmp_path / name).touch()
    if listing is not None:
        (tmp_path / "scenes.csv").write_text(listing)
    return tmp_path


def test_only_the_scenes_of_the_train_split_are_trained_on(tmp_path: Path) -> None:
    listing = "scene,split,note\nc,train,x\na,train,y\nb,test,z\nd,validation,\n"
    folder = _folder(tmp_path, listing)
    assert [path.name for path in find_scenes(folder)] == ["a.npy", "c.npy"]
    assert [path.name for path in find_scenes(folder, ["b", "d"])] == ["b.npy", "d.tif"]
    with pytest.raises(SceneError, match="has no scene called x, y"):
        find_scenes(folder, ["a", "y", "x"])


def test_without_splits_all_scenes_of_a_folder_are_trained_on(tmp_path: Path) -> None:
    names = ["a.npy", "b.npy", "c.npy", "d.tif"]
    assert [path.name for path in find_scenes(_folder(tmp_path, None))] == names
    assert [path.name for path in find_scenes(_folder(tmp_path, "scene,note\na,x\n"))] == names


def test_a_folder_without_scenes_is_reported(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(SceneError, match="has no scenes to train on"):
        find_scenes(tmp_path)


def test_no_real_test_scene_is_in_the_training_set(scenes: Path) -> None:
    names = [path.stem for path in find_scenes(scenes)]
    assert names
    assert not any(name.startswith("jasper_ridge") for name in names)


def _saved(tmp_path: Path, rng: np.random.Generator) -> tuple[Path, np.ndarray]:
    values = np.tensordot(rng.normal(size=(20, 30, 3)), rng.normal(size=(3, 9)), 1) * 100 + 400
    values += rng.normal(size=values.shape)
    np.save(tmp_path / "s.npy", values.astype("f4"))
    return tmp_path / "s.npy", values.transpose(2, 0, 1)


def test_a_scene_becomes_scores_that_keep_its_energy(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    path, values = _saved(tmp_path, rng)
    scene = load_scene(path, RANDOM)
    variance = float(values.var(axis=(1, 2)).mean())
    assert scene.planes.shape == (3, 20, 30)
    assert scene.planes.dtype == np.float32
    assert scene.span == pytest.approx(float(np.ptp(values)), rel=1e-5)
    assert scene.planes[0].std() == pytest.approx(1, rel=1e-2)
    # With all latents zero, everything but the mean spectrum is lost.
    psnr = scene.psnr(np.array([_energy(scene)]))
    assert psnr == pytest.approx(10 * math.log10(scene.span**2 / variance), abs=0.01)


def test_a_scene_becomes_bands_from_zero_to_one(tmp_path: Path, rng: np.random.Generator) -> None:
    path, values = _saved(tmp_path, rng)
    scene = load_scene(path, SHARED)
    assert scene.planes.shape == (9, 20, 30)
    assert (scene.planes.min(), scene.planes.max()) == (0, 1)
    low, high = values.min(), values.max()
    np.testing.assert_allclose(scene.planes, (values - low) / (high - low), atol=1e-5)
    assert scene.psnr(np.array([9 * 0.01**2])) == pytest.approx(40)


def test_a_scene_of_one_value_cannot_be_trained_on(tmp_path: Path) -> None:
    np.save(tmp_path / "flat.npy", np.full((9, 9, 4), 7, np.uint16))
    for settings in (RANDOM, SHARED):
        with pytest.raises(SceneError, match="all samples are 7"):
            load_scene(tmp_path / "flat.npy", settings)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"latents": -5}, "latents = -5"),
        ({"latents": "x"}, "latents = 'x'"),
        ({"outputs": 2.5}, "outputs = 2.5"),
        ({"rate": "a"}, "rate = 'a'"),
        ({"rate": float("nan")}, "rate = nan"),
        ({"rate": -1}, "rate = -1"),
        ({"clip": 0}, "clip = 0"),
        ({"w0": 1e300}, "w0 = 1e"),
        ({"learn_rates": "a"}, "learn_rates = 'a'"),
    ],
)
def test_settings_that_make_no_sense_name_the_setting(changed: dict, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        replace(TrainingSettings(), **changed)


def test_networks_that_could_not_be_saved_are_refused_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Descent, "descend", lambda *_: pytest.fail("a step was done"))
    settings = TrainingSettings(patch=3, latents=9, outputs=3)
    with pytest.raises(NetworkError, match="patches of as many pixels"):
        _train(tmp_path / "a.safetensors", settings)


def test_there_has_to_be_something_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="no scene is left"):
        train([], [_scene(0)], COSINES, tmp_path / "a.safetensors", progress=False)


@pytest.mark.parametrize("damage", ["missing", "shape", "nan", "step"])
def test_a_checkpoint_with_wrong_contents_is_reported(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.safetensors"
    checkpoint = path.with_name("a.safetensors.checkpoint")
    with pytest.MonkeyPatch.context() as patch:
        _stop_at(patch, 8)
        with pytest.raises(KeyboardInterrupt):
            _train(path, COSINES)
    with safe_open(checkpoint, framework="pt") as file:
        header, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    first = "parameter.0"
    if damage == "missing":
        del tensors[first]
    elif damage == "shape":
        tensors[first] = tensors[first][:1].clone()
    elif damage == "nan":
        tensors[first] = tensors[first] * float("nan")
    else:
        header["step"] = "1000"
    save_file(tensors, checkpoint, header)
    with pytest.raises(NetworkError, match="is damaged: remove it"):
        _train(path, COSINES, resume=True)
