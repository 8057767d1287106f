"""A small base network with `output` modulation, of cosines and plausible contexts."""

from __future__ import annotations

import math

import numpy as np

from xhsinr.coding.contexts import FEATURES, FRACTION, LEVELS, LOWEST_SPREAD, ContextModel
from xhsinr.coding.entropy import frequencies
from xhsinr.network.base import BaseNetwork
from xhsinr.network.siren import Siren, cosine_atoms, cosine_width

__all__ = ["context_model", "linear_network", "lowest_orders"]

LOWEST_OCTAVE, OCTAVES, TABLE_OCTAVES = -6, 16, 7


def lowest_orders(patch: int, atoms: int) -> np.ndarray:
    """Orders (u, v) of the lowest cosines of a patch, shape (atoms, 2)."""
    u, v = np.indices((patch, patch), np.uint8).reshape(2, -1)
    lowest = np.lexsort((u, u + v))[:atoms]
    return np.stack([u, v], axis=1)[lowest]


def context_model(orders: np.ndarray, symbols: int = 18) -> ContextModel:
    """Falling priors, weights as learned ones are, and two-sided geometric tables."""
    octaves = np.arange(LEVELS * OCTAVES) / LEVELS + LOWEST_OCTAVE
    rings = int(orders.sum(1, dtype=int).max()) + 1
    falling = np.linspace(1, -4, rings) - LOWEST_OCTAVE
    magnitudes = np.abs(np.arange(symbols - 1) - (symbols - 2) // 2)
    scales = 2.0 ** octaves[: LEVELS * TABLE_OCTAVES, None]
    weights = np.exp(-magnitudes / scales)
    escapes = np.exp(-(magnitudes.max() + 1) / scales)
    learned = np.array([0.14, 0.07, 0.03, 0.005, 0.01, 0.02])
    assert len(learned) == FEATURES
    return ContextModel(
        orders=orders.astype(np.uint8),
        priors=np.rint(LEVELS * falling + 2 * LOWEST_SPREAD).astype(np.int16),
        weights=np.rint(np.tile(learned, (rings, 1)) * 2**FRACTION).astype(np.uint16),
        levels=np.rint(2.0 ** (octaves + FRACTION)).astype(np.int64),
        tables=frequencies(np.concatenate([weights, escapes], axis=1)),
    )


def linear_network(patch: int = 6, atoms: int = 36, outputs: int = 3) -> BaseNetwork:
    """A network that is linear in its latents: the first cosines of a patch."""
    orders = lowest_orders(patch, atoms)
    siren = Siren(
        layers=1,
        width=cosine_width(orders),
        latents=atoms * outputs,
        outputs=outputs,
        w0_first=math.pi / 2,
        modulation="output",
    )
    return BaseNetwork(
        siren=siren,
        head="scene",
        patch=patch,
        parameters=cosine_atoms(siren, orders, patch),
        contexts=context_model(orders),
        recipe={"of": "tests"},
    )
