"""Batches of patches: every one a function of the seed and the step alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from xhsinr.network.meta import Batch
from xhsinr.network.siren import (
    Siren,
    pixel_grid,
)
from xhsinr.training.scenes import TrainingScene
from xhsinr.training.settings import TrainingSettings

__all__ = ["draw", "whole", "windows"]

_VALIDATION_PATCHES = 64

FloatArray = npt.NDArray[np.float32]


def draw(
    training: Sequence[TrainingScene],
    settings: TrainingSettings,
    siren: Siren,
    step: int,
    device: str,
) -> Batch:
    """The batch of one step: random patches of random scenes, flipped, turned, signs changed."""
    rng = np.random.default_rng([settings.seed, step, 1])
    chosen = [training[i] for i in rng.integers(len(training), size=settings.batch)]
    if settings.patch == 0:
        count = settings.pixels or min(scene.planes[0].size for scene in training)
        pixels, coords = [], []
        for scene in chosen:
            at = rng.integers(scene.planes[0].size, size=count)
            pixels.append(scene.planes.reshape(len(scene.planes), -1)[:, at])
            coords.append(pixel_grid(*scene.planes.shape[1:])[at])
        return _as_batch(pixels, coords, siren.outputs, device)
    side = settings.patch
    grid = pixel_grid(side, side)
    at = np.arange(side * side)
    if settings.pixels:
        at = rng.choice(at, size=settings.pixels, replace=False)
    patches = []
    for scene in chosen:
        row, col = (int(rng.integers(size - side + 1)) for size in scene.planes.shape[1:])
        patch = np.rot90(
            scene.planes[:, row : row + side, col : col + side], int(rng.integers(4)), (1, 2)
        )
        if rng.integers(2):
            patch = patch[:, ::-1]
        if settings.head == "scene":
            # The sign of a basis vector is a convention, so the network must not learn it.
            patch = patch * rng.choice(np.array([-1, 1], np.float32), size=(len(patch), 1, 1))
        patches.append(patch.reshape(len(patch), -1)[:, at])
    return _as_batch(patches, grid[at], siren.outputs, device)


def whole(scene: TrainingScene, settings: TrainingSettings, outputs: int, device: str) -> Batch:
    """All patches of a scene that do not overlap, or a spread of them."""
    found = list(windows(scene.planes, settings.patch, settings.patch))
    spread = np.linspace(0, len(found) - 1, min(len(found), _VALIDATION_PATCHES)).astype(int)
    patches = [found[i].reshape(len(scene.planes), -1) for i in spread]
    return _as_batch(patches, pixel_grid(*found[0].shape[1:]), outputs, device)


def windows(planes: FloatArray, side: int, stride: int) -> Iterator[FloatArray]:
    if side == 0:
        yield planes
        return
    rows, cols = planes.shape[1:]
    for row in range(0, rows - side + 1, stride):
        for col in range(0, cols - side + 1, stride):
            yield planes[:, row : row + side, col : col + side]


def _as_batch(
    patches: Sequence[FloatArray],
    coords: Sequence[FloatArray] | FloatArray,
    outputs: int,
    device: str,
) -> Batch:
    """Pixel lists of shape (outputs of the scene, pixels) as one batch, unused outputs masked."""
    pixels = patches[0].shape[1]
    targets = np.zeros((len(patches), pixels, outputs), np.float32)
    used = np.zeros((len(patches), 1, outputs), np.float32)
    for i, patch in enumerate(patches):
        targets[i, :, : len(patch)] = patch.T
        used[i, :, : len(patch)] = 1
    return Batch(
        torch.from_numpy(np.asarray(coords)).to(device),
        torch.from_numpy(targets).to(device),
        None if used.all() else torch.from_numpy(used).to(device),
    )
