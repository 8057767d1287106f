"""Batches of patches: every one a function of the seed and the step alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from xhsinr.network.meta import Batch
from xhsinr.network.siren import pixel_grid
from xhsinr.training.scenes import SceneSamples
from xhsinr.training.settings import SirenSettings

__all__ = ["draw", "whole"]

_VALIDATION_PATCHES = 64

FloatArray = npt.NDArray[np.float32]


def draw(
    training: Sequence[SceneSamples], settings: SirenSettings, outputs: int, step: int, device: str
) -> Batch:
    """The batch of one step: pixels of whole scenes in turn, or of patches of random scenes.

    In turn, since a batch that by chance lacks a scene pulls all shared weights to the others.
    """
    rng = np.random.default_rng([settings.seed, step, 1])
    if settings.patch == 0:
        taken = min(settings.batch, len(training))
        chosen = [training[(step * taken + i) % len(training)] for i in range(taken)]
        count = settings.pixels or min(scene.samples[0].size for scene in training)
        pixels, coords = [], []
        for scene in chosen:
            at = rng.integers(scene.samples[0].size, size=count)
            pixels.append(scene.scaled.reshape(len(scene.samples), -1)[:, at])
            coords.append(pixel_grid(*scene.samples.shape[1:])[at])
        return _as_batch(pixels, np.asarray(coords), outputs, device)
    chosen = [training[i] for i in rng.integers(len(training), size=settings.batch)]
    side = settings.patch
    at = np.arange(side * side)
    if settings.pixels:
        at = rng.choice(at, size=settings.pixels, replace=False)
    patches = []
    for scene in chosen:
        row, col = (int(rng.integers(size - side + 1)) for size in scene.samples.shape[1:])
        window = scene.scaled[:, row : row + side, col : col + side]
        patch = np.rot90(window, int(rng.integers(4)), (1, 2))
        if rng.integers(2):
            patch = patch[:, ::-1]
        patches.append(patch.reshape(len(patch), -1)[:, at])
    return _as_batch(patches, pixel_grid(side, side)[at], outputs, device)


def whole(scene: SceneSamples, settings: SirenSettings, outputs: int, device: str) -> Batch:
    """All patches of a scene that do not overlap, or a spread of them."""
    found = list(_windows(scene.scaled, settings.patch))
    spread = np.linspace(0, len(found) - 1, min(len(found), _VALIDATION_PATCHES)).astype(int)
    patches = [found[i].reshape(len(scene.samples), -1) for i in spread]
    return _as_batch(patches, pixel_grid(*found[0].shape[1:]), outputs, device)


def _windows(planes: FloatArray, side: int) -> Iterator[FloatArray]:
    if side == 0:
        yield planes
        return
    rows, cols = planes.shape[1:]
    for row in range(0, rows - side + 1, side):
        for col in range(0, cols - side + 1, side):
            yield planes[:, row : row + side, col : col + side]


def _as_batch(
    patches: Sequence[FloatArray], coords: FloatArray, outputs: int, device: str
) -> Batch:
    """Pixel lists of shape (bands, pixels) as one batch, outputs that a scene lacks masked."""
    pixels = patches[0].shape[1]
    targets = np.zeros((len(patches), pixels, outputs), np.float32)
    used = np.zeros((len(patches), 1, outputs), np.float32)
    for i, patch in enumerate(patches):
        targets[i, :, : len(patch)] = patch.T
        used[i, :, : len(patch)] = 1
    return Batch(
        torch.from_numpy(coords).to(device),
        torch.from_numpy(targets).to(device),
        None if used.all() else torch.from_numpy(used).to(device),
    )
