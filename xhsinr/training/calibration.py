"""After training: the steps of the quantiser and the tables of the entropy coder."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xhsinr.coding import latent_vectors
from xhsinr.coding.latent_vectors import CLASSES
from xhsinr.entropy.rans import BITS
from xhsinr.network.meta import Batch, batch_loss
from xhsinr.network.siren import forward
from xhsinr.network.siren_network import SirenNetwork
from xhsinr.training.trainer import Trainer

__all__ = ["calibrate"]

_CALIBRATION_PATCHES = 256
_TABLE_SYMBOLS = 256
_TABLE_SCALES = 2.0 ** (np.arange(22) / 2 - 3)
assert len(_TABLE_SCALES) > CLASSES // 2
# Share of the loss that quantisation may add at most: below 0.1 dB.
_QUANTISATION_LOSS = 0.02
_MOST_HALVINGS = 24


def calibrate(trainer: Trainer, recipe: dict[str, Any]) -> SirenNetwork:
    """Steps of the quantiser and tables of the coder, from latents of training patches."""
    siren, settings = trainer.siren, trainer.settings
    count = max(1, _CALIBRATION_PATCHES // settings.batch)
    batches = [trainer.batch(settings.steps + i) for i in range(count)]
    adapted = [trainer.adapt(batch) for batch in batches]
    losses = torch.cat([loss for _, loss in adapted])
    sensitivity = _sensitivity(trainer, batches[0], adapted[0][0])
    # Quantising with step s adds s^2 / 12 times the sensitivity to the loss, for each latent.
    total = math.sqrt(12 * _QUANTISATION_LOSS * max(float(losses.mean()), 1e-12) / siren.latents)
    steps = total / np.sqrt(np.maximum(sensitivity, sensitivity.max() * 1e-6))
    network = SirenNetwork(
        siren=siren,
        patch=settings.patch or None,
        parameters={n: p.detach().cpu().numpy() for n, p in trainer.parameters.items()},
        inner_steps=settings.inner_steps,
        inner_rates=trainer.rates.detach().cpu().numpy(),
        latent_steps=steps.astype(np.float32),
        latent_tables=np.zeros(siren.latents, np.uint8),
        tables=_geometric_tables(),
        recipe=recipe,
    )
    for _ in range(_MOST_HALVINGS):
        network = _with_tables(network, torch.cat([found for found, _ in adapted]).cpu().numpy())
        coded = torch.cat(
            [
                _quantised_loss(trainer, network, batch, found)
                for batch, (found, _) in zip(batches, adapted, strict=True)
            ]
        )
        # The rule takes errors for independent; where many latents are small together they
        # are not, and the steps have to be finer.
        if float((coded / losses).mean()) <= 1 + _QUANTISATION_LOSS:
            break
        finer = network.latent_steps / np.float32(math.sqrt(2))
        network = replace(network, latent_steps=finer)
    return network


def _with_tables(network: SirenNetwork, found: npt.NDArray[np.float32]) -> SirenNetwork:
    """The network with the table for each latent that codes these latents shortest."""
    symbols = np.rint(np.abs(found) / network.latent_steps).astype(np.int64)
    centre = (_TABLE_SYMBOLS - 2) // 2
    symbols = np.where(symbols <= centre, symbols + centre, _TABLE_SYMBOLS - 1)
    lengths = -np.log2(network.tables / (1 << BITS))
    costs = np.stack([table[symbols].mean(0) for table in lengths])
    return replace(network, latent_tables=costs.argmin(0).astype(np.uint8))


def _quantised_loss(trainer: Trainer, network: SirenNetwork, batch: Batch, found: Tensor) -> Tensor:
    """Losses of a batch with its latents as they are stored."""
    _, integers = latent_vectors.encode(found.cpu().numpy(), network)
    stored = torch.from_numpy(latent_vectors.dequantise(integers, network)).to(found.device)
    with torch.no_grad():
        output = forward(network.siren, trainer.stored(), batch.coords, stored)
        return batch_loss(output, batch)


def _sensitivity(trainer: Trainer, batch: Batch, found: Tensor) -> npt.NDArray[np.float64]:
    """Mean squared change of the output for a unit change of each latent, by differences."""
    siren = trainer.siren
    total = np.zeros(siren.latents)
    width = 1e-2 * float(found.square().mean().sqrt()) + 1e-6
    moves = torch.eye(siren.latents, device=found.device) * width
    parameters = {name: value.detach() for name, value in trainer.parameters.items()}
    some = min(len(found), 4)
    for i in range(some):
        coords = batch.coords if batch.coords.ndim == 2 else batch.coords[i]
        coords = coords[:: max(1, len(coords) // 512)]
        base = forward(siren, parameters, coords, found[i : i + 1])
        for start in range(0, siren.latents, 64):
            moved = forward(siren, parameters, coords, found[i] + moves[start : start + 64])
            change = (moved - base).square().sum(-1).mean(-1)
            total[start : start + 64] += change.cpu().numpy().astype(np.float64) / width**2 / some
    return total


def _geometric_tables() -> npt.NDArray[np.uint16]:
    """Frequencies of integers around zero, two-sided geometric, an escape for the others last."""
    centre = (_TABLE_SYMBOLS - 2) // 2
    values = np.abs(np.arange(_TABLE_SYMBOLS - 1) - centre)
    scale = _TABLE_SCALES[:, None]
    beyond = np.exp(-(np.arange(centre + 1) + 0.5) / scale)
    magnitudes = np.hstack([1 - beyond[:, :1], (beyond[:, :-1] - beyond[:, 1:]) / 2])
    shares = np.hstack([magnitudes[:, values], beyond[:, -1:]])
    frequencies = 1 + np.floor(shares * ((1 << BITS) - _TABLE_SYMBOLS)).astype(np.int64)
    frequencies[:, centre] += (1 << BITS) - frequencies.sum(1)
    return np.asarray(frequencies, np.uint16)
