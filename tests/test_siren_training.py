from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from xhsinr.coding.contract import Frame  # noqa: E402
from xhsinr.coding.latents import LatentsCoding  # noqa: E402
from xhsinr.errors import NetworkError, SceneError  # noqa: E402
from xhsinr.network.file import read_network  # noqa: E402
from xhsinr.network.siren import Siren, random_parameters  # noqa: E402
from xhsinr.network.siren_network import SirenNetwork  # noqa: E402
from xhsinr.training import SceneSamples, SirenSettings, siren_training, train_siren  # noqa: E402
from xhsinr.training.batches import draw  # noqa: E402
from xhsinr.training.settings import read_settings  # noqa: E402
from xhsinr.training.trainer import Trainer  # noqa: E402

WHOLE = SirenSettings(
    layers=2, width=16, latents=12, w0_first=5.0, w0=4.0, steps=60, batch=2, rate=2e-2, pixels=100
)
PATCHES = replace(WHOLE, patch=8, pixels=20, batch=4)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xhsinr.training.calibration._CALIBRATION_PATCHES", 8)
    monkeypatch.setattr(siren_training, "_CHECKPOINT_EVERY", 5)
    monkeypatch.setattr(siren_training, "_VALIDATE_EVERY", 20)
    torch.set_num_threads(1)


def _scene(seed: int, bands: int = 3, rows: int = 24, cols: int = 32) -> SceneSamples:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :cols] / 12
    a, b, c = rng.uniform(0.5, 1.5, 3)
    pictures = [np.sin(3 * a * x + 4 * b * y + c + k) for k in range(bands)]
    return SceneSamples(f"scene_{seed}", f"{seed:064x}", np.float32(100 * np.array(pictures)))


SCENES = [_scene(0), _scene(1, rows=16)]


def _train(path: Path, settings: SirenSettings, **changes: Any) -> SirenNetwork:
    scenes = changes.pop("scenes", SCENES)
    return train_siren(scenes, [], settings, path, progress=False, **changes)


@pytest.mark.parametrize("settings", [WHOLE, PATCHES, replace(WHOLE, second_order=True)])
def test_training_raises_the_psnr_of_what_decodes(tmp_path: Path, settings: SirenSettings) -> None:
    network = _train(tmp_path / "n.safetensors", settings)
    assert read_network(tmp_path / "n.safetensors").digest == network.digest
    curve = network.recipe["curve"]
    assert [row[0] for row in curve] == [20, 40, 60]
    assert curve[-1][2] > curve[0][2] > 0
    before = _train(tmp_path / "u.safetensors", replace(settings, rate=1e-12))
    for scene in SCENES:
        low, high = float(scene.samples.min()), float(scene.samples.max())
        errors = []
        for one in (network, before):
            coding = LatentsCoding(Frame(np.dtype(np.float32), 3, low, high), one)
            parts = coding.encode(scene.samples, None, "cpu")
            decoded = coding.decode(parts, *scene.samples.shape[1:], None)
            errors.append(float(np.square(decoded - scene.samples).mean()))
        assert errors[0] < 0.7 * errors[1]


def test_a_training_that_was_stopped_goes_on_to_the_same_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _train(tmp_path / "whole.safetensors", WHOLE)
    advance = Trainer.advance

    def stopped(trainer: Trainer) -> float:
        if trainer.step == 33:
            raise KeyboardInterrupt
        return advance(trainer)

    monkeypatch.setattr(Trainer, "advance", stopped)
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "two.safetensors", WHOLE)
    monkeypatch.setattr(Trainer, "advance", advance)
    with pytest.raises(NetworkError, match="--resume"):
        _train(tmp_path / "two.safetensors", WHOLE)
    with pytest.raises(NetworkError, match="other settings or scenes"):
        _train(tmp_path / "two.safetensors", replace(WHOLE, seed=1), resume=True)
    resumed = _train(tmp_path / "two.safetensors", WHOLE, resume=True)
    assert resumed.digest == whole.digest
    assert not list(tmp_path.glob("*.checkpoint"))


def test_scenes_of_other_bands_leave_the_outputs_that_they_lack_alone(tmp_path: Path) -> None:
    network = _train(tmp_path / "n.safetensors", WHOLE, scenes=[*SCENES, _scene(2, bands=5)])
    assert network.siren.outputs == 5


def test_a_step_takes_each_whole_scene_once() -> None:
    for count in (1, 2):
        assert len(draw(SCENES[:count], replace(WHOLE, batch=3), 3, 5, "cpu").targets) == count


def test_the_matrix_of_shifts_is_learned_more_slowly() -> None:
    siren = Siren(2, 16, 12, 3, WHOLE.w0_first, WHOLE.w0)
    start = random_parameters(siren, np.random.default_rng(0))
    trainer = Trainer(siren, start, SCENES, WHOLE, "cpu")
    trainer.advance()
    moved = {
        name: np.abs(tensor.detach().numpy() - start[name]).max()
        for name, tensor in trainer.parameters.items()
    }
    assert moved.pop("shift.weight") < 0.2 * min(moved.values())


def test_scenes_that_do_not_fit_are_named(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="no scene is left"):
        _train(tmp_path / "n.safetensors", WHOLE, scenes=[])
    with pytest.raises(SceneError, match="scene_3 has 5 x 32 pixels"):
        _train(tmp_path / "n.safetensors", PATCHES, scenes=[_scene(3, rows=5)])


def test_a_training_that_diverges_says_what_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "xhsinr.training.trainer.outer_loss", lambda *_, **__: torch.tensor(float("nan"))
    )
    with pytest.raises(NetworkError, match="diverged at step 0: use a smaller rate"):
        _train(tmp_path / "n.safetensors", WHOLE)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 0}, "steps = 0"), ({"layers": 1.5}, "layers = 1.5"), ({"rate": -1}, "rate = -1"),
        ({"second_order": 1}, "second_order = 1"), ({"patch": 4, "pixels": 17}, "pixels = 17"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(NetworkError, match=words):
        SirenSettings(**changes)


def test_settings_are_read_from_a_recipe(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.json"
    recipe.write_text('{"layers": 3, "steps": 7}')
    assert read_settings(recipe, None) == SirenSettings(layers=3, steps=7)
    assert read_settings(recipe, 9).steps == 9
    for text, words in (("[]", "object"), ("{", "no JSON"), ('{"head": 1}', "called head")):
        recipe.write_text(text)
        with pytest.raises(NetworkError, match=words):
            read_settings(recipe, None)
