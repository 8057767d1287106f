"""Learning what to expect of latents: the code length of quantised latents is the loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xhsinr.coding import contexts
from xhsinr.coding.contexts import FEATURES, FRACTION, LOWEST_SPREAD, ContextModel
from xhsinr.coding.entropy import TABLE_TOTAL, frequencies, geometric_tables
from xhsinr.coding.latent_coding import fit, quantiser_step
from xhsinr.network.base import BaseNetwork
from xhsinr.network.siren import Parameters, Siren
from xhsinr.spectral.basis import water_level, worthwhile_components
from xhsinr.tiling import Patching
from xhsinr.training.descent import Descent
from xhsinr.training.scenes import TrainingScene
from xhsinr.training.settings import TrainingSettings
from xhsinr.training.start import orders

__all__ = ["ContextTrainer"]

_SYMBOLS = 64
# Expected magnitudes: quarter octaves, from where all latents are zero to any size.
_LOWEST_OCTAVE, _OCTAVES, _TABLE_OCTAVES = -6.5, 24, 9
# Octaves below a scene's variance at which latents are learned from: previews to archives.
_ERROR_OCTAVES = 1.0, 11.0
_LATENTS_A_STEP = 4096
# Latents that a table's shape counts as much as those that were seen.
_PRIOR_COUNTS = 500.0
_VALIDATION_OCTAVES = 3.0, 6.0

FloatArray = npt.NDArray[np.float32]


class ContextTrainer(Descent):
    """Learns a `ContextModel` for atoms that are given, by the code length of training scenes."""

    columns = ("step", "loss", "bits_per_pixel")

    def __init__(
        self,
        siren: Siren,
        start: Parameters,
        training: Sequence[TrainingScene],
        settings: TrainingSettings,
    ) -> None:
        self._training = training
        self._orders = orders(settings.patch, siren.atoms)
        count = int(self._orders.astype(int).sum(1).max()) + 1
        self._priors = torch.linspace(2.0, -4.0, count)
        self._weights = torch.full((count, FEATURES), -2.5)
        self.start = BaseNetwork(
            siren, settings.head, settings.patch, start, contexts=self._model()
        )
        learned = [self._priors.requires_grad_(), self._weights.requires_grad_()]
        super().__init__([{"params": learned, "lr": settings.rate}], settings)

    def advance(self) -> float:
        """One step down the mean logarithm of the batch's code lengths; returns it."""
        rng = np.random.default_rng([self.settings.seed, self.step, 2])
        model, loss = self._model(), torch.zeros(())
        for i in rng.integers(len(self._training), size=self.settings.batch):
            part = _part(self._training[i].planes, rng)
            latents, shape = self._in_steps(part, rng.uniform(*_ERROR_OCTAVES))
            integers = contexts.encode(latents, model, shape)[1]
            columns = contexts.examples(integers, model, shape)
            chosen = rng.integers(len(columns[0]), size=_LATENTS_A_STEP)
            bits = self._bits(*(torch.from_numpy(column[chosen]) for column in columns))
            loss = loss + torch.log2(bits)
        return self.descend(loss / self.settings.batch)

    def _in_steps(self, planes: FloatArray, octaves: float) -> tuple[FloatArray, tuple[int, int]]:
        """Latents, in steps that leave ``2**-octaves`` of the variance, and a patch's shape."""
        variances = np.square(planes, dtype=np.float64).mean(axis=(1, 2))
        level = water_level(variances, variances.sum() * 2.0**-octaves)
        sent = max(1, worthwhile_components(variances, variances.sum() * 2.0**-octaves))
        _, rows, cols = planes.shape
        patching = Patching(rows, cols, self.settings.patch, even=True)
        return fit(self.start, planes[:sent] / quantiser_step(level), patching), patching.shape

    def _bits(self, magnitudes: Tensor, features: Tensor, spreads: Tensor, ring: Tensor) -> Tensor:
        """Mean code length, with a two-sided geometric distribution of the expected magnitude."""
        weights = torch.nn.functional.softplus(self._weights)
        expected = torch.exp2(self._priors[ring] + spreads) + (weights[ring] * features).sum(-1)
        scale = expected.clamp(min=2.0**_LOWEST_OCTAVE)
        zero = -torch.log2(-torch.expm1(-0.5 / scale))
        other = (magnitudes - 0.5) / scale / math.log(2) - torch.log2(-torch.expm1(-1 / scale)) + 1
        return torch.where(magnitudes == 0, zero, other).mean()

    def validate(self, scenes: Sequence[TrainingScene]) -> float:
        """Bits a pixel of whole scenes, at two errors, with the tables as they will be stored."""
        model, rates = self._counted(), []
        for scene in scenes:
            for octaves in _VALIDATION_OCTAVES:
                latents, shape = self._in_steps(scene.planes, octaves)
                coded, _ = contexts.encode(latents, model, shape)
                rates.append(8 * len(coded) / scene.planes[0].size)
        return float(np.mean(rates))

    def network(self, recipe: dict[str, Any]) -> BaseNetwork:
        """The network with what was learned so far."""
        return replace(self.start, contexts=self._counted(), recipe=recipe)

    def _counted(self) -> ContextModel:
        """The model with tables of the shapes that its own symbols have in the training scenes."""
        model = self._model()
        counts = np.zeros(model.tables.shape)
        for scene in self._training:
            for octaves in np.arange(*_ERROR_OCTAVES, 2.0):
                latents, shape = self._in_steps(scene.planes, float(octaves))
                integers = contexts.encode(latents, model, shape)[1]
                counts += contexts.histogram(integers, model, shape)
        # Neither sign is likelier, since those of the basis vectors are a convention.
        counts[:, :-1] = (counts[:, :-1] + counts[:, -2::-1]) / 2
        expected = _PRIOR_COUNTS / TABLE_TOTAL * model.tables
        return replace(model, tables=frequencies(counts + expected))

    def _model(self) -> ContextModel:
        """The model in integers, with geometric tables."""
        octaves = np.arange(4 * _OCTAVES) / 4 + _LOWEST_OCTAVE
        priors = 4 * (self._priors.detach().numpy() - _LOWEST_OCTAVE) + 2 * LOWEST_SPREAD
        weights = torch.nn.functional.softplus(self._weights.detach()).numpy() * 2**FRACTION
        return ContextModel(
            orders=self._orders,
            priors=np.clip(np.rint(priors), -(2**15), 2**15 - 1).astype(np.int16),
            weights=np.clip(np.rint(weights), 0, 2**16 - 1).astype(np.uint16),
            levels=np.rint(2.0 ** (octaves + FRACTION)).astype(np.int64),
            tables=geometric_tables(2.0 ** octaves[: 4 * _TABLE_OCTAVES], _SYMBOLS),
        )


def _part(planes: FloatArray, rng: np.random.Generator) -> FloatArray:
    """A part of a scene, at a random place, turned and flipped."""
    rows, cols = (int(size - rng.integers(max(1, size // 3))) for size in planes.shape[1:])
    row = int(rng.integers(planes.shape[1] - rows + 1))
    col = int(rng.integers(planes.shape[2] - cols + 1))
    part = np.rot90(planes[:, row : row + rows, col : col + cols], int(rng.integers(4)), (1, 2))
    return part[:, ::-1] if rng.integers(2) else part
