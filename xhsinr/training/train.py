"""Training of a base network, from scenes to its file; stops and goes on without loss."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from xhsinr.devices import check_device
from xhsinr.errors import NetworkError, SceneError
from xhsinr.network.base import BaseNetwork, check_network, save_network
from xhsinr.training.calibration import calibrate
from xhsinr.training.context_trainer import ContextTrainer
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

    A checkpoint beside ``out`` is written every few steps; ``resume`` goes on from it, where there
    is one. The result is the same as without the stop.

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

    Raises
    ------
    NetworkError
        If a checkpoint is there and not to be resumed, or is of another training, or the
        settings make no network that could be saved.
    SceneError
        If there is nothing to train on.
    """
    check_device(device)
    if not training:
        raise SceneError("no scene is left to train on: all of them are for validation")
    check_sizes(training, validation, settings)
    siren, start = start_of(training, settings)
    recipe: dict[str, Any] = {
        "settings": asdict(settings),
        "training": {scene.name: scene.digest for scene in training},
        "validation": {scene.name: scene.digest for scene in validation},
    }
    trainer: Trainer | ContextTrainer
    if siren.modulation == "output":
        trainer = ContextTrainer(siren, start, training, settings)
        check_network(trainer.start, out)
    else:
        trainer = Trainer(siren, start, training, settings, device)
    checkpoint = out.with_name(out.name + ".checkpoint")
    out.parent.mkdir(parents=True, exist_ok=True)
    if checkpoint.is_file():
        if not resume:
            raise NetworkError(
                f"{checkpoint} is of a training that was stopped: go on with resume (--resume), or "
                "remove it to start anew"
            )
        trainer.restore(checkpoint, recipe)
    bar = tqdm(
        total=settings.steps, initial=trainer.step, disable=not progress, unit="step", desc=out.stem
    )
    figure = trainer.columns[-1]
    with bar, _told(checkpoint):
        while trainer.step < settings.steps:
            loss = trainer.advance()
            bar.update()
            if trainer.step % _VALIDATE_EVERY == 0 or trainer.step == settings.steps:
                value = trainer.validate(validation or training)
                trainer.curve.append([trainer.step, round(loss, 7), round(value, 4)])
                bar.set_postfix_str(f"loss {loss:.4g}, {figure} {value:.4g}")
            if trainer.step % _CHECKPOINT_EVERY == 0 or trainer.step == settings.steps:
                trainer.save(checkpoint, recipe)
    columns = [*trainer.columns[:-1], f"validation_{figure}" if validation else figure]
    recipe |= {"curve": trainer.curve, "curve_columns": columns}
    if isinstance(trainer, ContextTrainer):
        network = trainer.network(recipe)
    else:
        network = calibrate(trainer, recipe)
    network = save_network(network, out)
    checkpoint.unlink(missing_ok=True)
    return network


@contextlib.contextmanager
def _told(checkpoint: Path) -> Iterator[None]:
    """Says how to go on where Ctrl-C stops a training."""
    try:
        yield
    except KeyboardInterrupt:
        if checkpoint.is_file():
            tqdm.write(f"stopped: {checkpoint} goes on with resume (--resume)", sys.stderr)
        raise
