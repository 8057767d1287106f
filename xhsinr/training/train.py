"""Training of a base network, from scenes to its file; stops and goes on without loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from xhsinr.network.base import BaseNetwork, save_network
from xhsinr.training.batches import draw, whole
from xhsinr.training.calibration import calibrate
from xhsinr.training.scenes import TrainingScene, check_sizes
from xhsinr.training.settings import TrainingSettings
from xhsinr.training.start import start_of
from xhsinr.training.trainer import Trainer

__all__ = ["train"]

_CHECKPOINT_EVERY = 25
_VALIDATE_EVERY = 200


def train(
    training: Sequence[TrainingScene],
    validation: Sequence[TrainingScene],
    settings: TrainingSettings,
    out: Path,
    *,
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
) -> BaseNetwork:
    """Meta-learn a base network and write it to ``out``.

    A checkpoint beside ``out`` is written every few steps; ``resume`` goes on from it.
    The result is the same as without the stop.

    Parameters
    ----------
    training, validation : sequences of TrainingScene
        Validation scenes only make the curve; without any, the curve is in-sample.
    settings : TrainingSettings
    out : Path
        Ends in ``.safetensors``.
    resume : bool
    device : str
        ``cpu`` or ``cuda``.
    progress : bool
        Show a bar with the loss and the validation PSNR.

    Returns
    -------
    BaseNetwork
    """
    check_sizes(training, validation, settings)
    siren, start = start_of(training, settings)
    recipe: dict[str, Any] = {
        "settings": asdict(settings),
        "training": {scene.name: scene.digest for scene in training},
        "validation": {scene.name: scene.digest for scene in validation},
    }
    trainer = Trainer(siren, start, settings, device)
    checkpoint = out.with_name(out.name + ".checkpoint")
    out.parent.mkdir(parents=True, exist_ok=True)
    if resume and checkpoint.is_file():
        trainer.restore(checkpoint, recipe)
    curve = trainer.curve
    bar = tqdm(
        total=settings.steps, initial=trainer.step, disable=not progress, unit="step", desc=out.stem
    )
    try:
        while trainer.step < settings.steps:
            loss = trainer.advance(draw(training, settings, siren, trainer.step, device))
            bar.update()
            if trainer.step % _VALIDATE_EVERY == 0 or trainer.step == settings.steps:
                psnr = _validate(trainer, validation or training, settings)
                curve.append([trainer.step, round(loss, 7), round(psnr, 3)])
                bar.set_postfix_str(f"loss {loss:.4g}, validation {psnr:.2f} dB")
            if trainer.step % _CHECKPOINT_EVERY == 0 or trainer.step == settings.steps:
                trainer.save(checkpoint, recipe)
    finally:
        bar.close()
    columns = ["step", "loss", "validation_psnr_db" if validation else "psnr_db"]
    recipe |= {"curve": curve, "curve_columns": columns}
    network = calibrate(trainer, training, settings, recipe)
    network = save_network(network, out)
    checkpoint.unlink(missing_ok=True)
    return network


def _validate(
    trainer: Trainer, validation: Sequence[TrainingScene], settings: TrainingSettings
) -> float:
    psnrs = []
    for scene in validation:
        batch = whole(scene, settings, trainer.siren.outputs, str(trainer.rates.device))
        psnrs.append(scene.psnr(trainer.adapt(batch)[1].cpu().numpy()))
    return float(np.mean(psnrs))
