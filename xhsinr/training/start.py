"""Where a training starts: SIREN's random weights, or the best zonal cosine transform."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.fft import dctn

from xhsinr.errors import NetworkError
from xhsinr.network.siren import (
    Parameters,
    Siren,
    cosine_atoms,
    cosine_width,
    dct_parameters,
    random_parameters,
)
from xhsinr.training.batches import windows
from xhsinr.training.scenes import TrainingScene
from xhsinr.training.settings import TrainingSettings

__all__ = ["orders", "start_of"]


def orders(patch: int, atoms: int) -> npt.NDArray[np.uint8]:
    """The lowest orders (u, v) of the cosines of a patch, shape (atoms, 2)."""
    u, v = np.indices((patch, patch)).reshape(2, -1)
    lowest = np.lexsort((u, u + v))[:atoms]
    return np.stack([u, v], axis=1)[lowest].astype(np.uint8)


def start_of(
    training: Sequence[TrainingScene], settings: TrainingSettings
) -> tuple[Siren, Parameters]:
    outputs = settings.outputs
    if settings.head == "shared":
        outputs = max(len(scene.planes) for scene in training)

    def siren(width: int) -> Siren:
        return Siren(
            layers=settings.layers,
            width=width,
            latents=settings.latents,
            outputs=outputs,
            w0_first=settings.w0_first,
            w0=settings.w0,
            modulation=settings.modulation,
        )

    if settings.modulation == "output":
        return _cosines(settings)
    rng = np.random.default_rng([settings.seed])
    if settings.start == "random":
        return siren(settings.width), random_parameters(siren(settings.width), rng)
    zone = _zone(training, settings, outputs)
    flipped = zone[:, 1:] * [1, -1]
    chosen = siren(len(np.unique(np.concatenate([zone[:, 1:], flipped]), axis=0)))
    parameters = dct_parameters(chosen, zone)
    weight = parameters["shift.weight"]
    weight[:] = rng.normal(scale=1e-3, size=weight.shape)
    return chosen, parameters


def _zone(
    training: Sequence[TrainingScene], settings: TrainingSettings, outputs: int
) -> npt.NDArray[np.int_]:
    """The (output, u, v) of the cosines that hold most energy over all training patches."""
    side = settings.patch
    energy = np.zeros((outputs, side, side))
    if energy.size < settings.latents:
        raise NetworkError(
            f"latents = {settings.latents}: {outputs} outputs of {side} x {side} pixels have "
            f"{energy.size} cosines"
        )
    for scene in training:
        patches = np.stack(list(windows(scene.planes, side, max(1, side // 2))))
        energy[: len(scene.planes)] += np.mean(dctn(patches, axes=(2, 3)) ** 2, axis=0)
    # SciPy's unnormalised transform has twice the energy where a frequency is zero.
    energy[:, 0] /= 2
    energy[:, :, 0] /= 2
    largest = np.argsort(-energy, axis=None, kind="stable")[: settings.latents]
    output, v, u = np.unravel_index(largest, energy.shape)
    return np.stack([output, u, v], axis=1)


def _cosines(settings: TrainingSettings) -> tuple[Siren, Parameters]:
    """Atoms that are cosines: a network that is linear in its latents has none better, so far."""
    atoms = orders(settings.patch, settings.latents)
    siren = Siren(
        layers=1,
        width=cosine_width(atoms),
        latents=len(atoms) * settings.outputs,
        outputs=settings.outputs,
        w0_first=math.pi / 2,
        modulation="output",
    )
    return siren, cosine_atoms(siren, atoms, settings.patch)
