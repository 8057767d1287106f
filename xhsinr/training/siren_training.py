"""Training of the paper's network, from scenes to its file; stops and goes on without loss.

Every batch is a function of (seed, step) alone, and a checkpoint holds the parameters and
Adam's moments, so that a training that was stopped goes on to the same network.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from xhsinr.devices import check_device
from xhsinr.errors import NetworkError, SceneError
from xhsinr.network.file import save_network
from xhsinr.network.siren import Siren, random_parameters
from xhsinr.network.siren_network import SirenNetwork
from xhsinr.training.calibration import calibrate
from xhsinr.training.scenes import SceneSamples
from xhsinr.training.settings import SirenSettings
from xhsinr.training.trainer import Trainer

__all__ = ["train_siren"]

_CHECKPOINT_EVERY = 25
_VALIDATE_EVERY = 200


def train_siren(
    training: Sequence[SceneSamples],
    validation: Sequence[SceneSamples],
    settings: SirenSettings,
    out: Path,
    *,
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
) -> SirenNetwork:
    """Meta-learn a base network and write it to ``out``.

    A checkpoint beside ``out`` is written every few steps; ``resume`` goes on from it, where there
    is one. The result is the same as without the stop.

    Parameters
    ----------
    training, validation : sequences of SceneSamples
        Validation scenes only make the curve; without any, the curve is in-sample.
    settings : SirenSettings
    out : Path
        Ends in ``.safetensors``.
    resume : bool
    device : str
        ``cpu`` or ``cuda``.
    progress : bool
        Show a bar with the loss and the validation PSNR.

    Returns
    -------
    SirenNetwork

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
    siren = _sizes(training, validation, settings)
    start = random_parameters(siren, np.random.default_rng([settings.seed]))
    recipe: dict[str, Any] = {
        "settings": asdict(settings),
        "training": {scene.name: scene.digest for scene in training},
        "validation": {scene.name: scene.digest for scene in validation},
    }
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
    disable = None if progress else True
    bar = tqdm(
        desc=out.stem, total=settings.steps, initial=trainer.step, unit="step", disable=disable
    )
    with bar, _told(checkpoint):
        while trainer.step < settings.steps:
            loss = trainer.advance()
            bar.update()
            if trainer.step % _VALIDATE_EVERY == 0 or trainer.step == settings.steps:
                value = trainer.validate(validation or training)
                trainer.curve.append([trainer.step, round(loss, 7), round(value, 4)])
                bar.set_postfix_str(f"loss {loss:.4g}, {value:.2f} dB")
            if trainer.step % _CHECKPOINT_EVERY == 0 or trainer.step == settings.steps:
                trainer.save(checkpoint, recipe)
    columns = ["step", "loss", "validation_psnr_db" if validation else "psnr_db"]
    recipe |= {"curve": trainer.curve, "curve_columns": columns}
    network = save_network(calibrate(trainer, recipe), out)
    assert isinstance(network, SirenNetwork)
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


def _sizes(
    training: Sequence[SceneSamples], validation: Sequence[SceneSamples], settings: SirenSettings
) -> Siren:
    """Sizes of the network, with outputs for the most bands of any training scene."""
    outputs = max(len(scene.samples) for scene in training)
    for scene in [*training, *validation]:
        bands, rows, cols = scene.samples.shape
        if min(rows, cols) < settings.patch:
            raise SceneError(
                f"{scene.name} has {rows} x {cols} pixels, fewer than a patch of "
                f"{settings.patch} x {settings.patch}: leave it out"
            )
        if bands > outputs:
            raise SceneError(
                f"{scene.name} has {bands} bands, the network {outputs} outputs: leave it out"
            )
    return Siren(
        layers=settings.layers,
        width=settings.width,
        latents=settings.latents,
        outputs=outputs,
        w0_first=settings.w0_first,
        w0=settings.w0,
    )
