"""Small base networks of their own for tests, so that the package's may change."""

from __future__ import annotations

import math

import numpy as np

from xhsinr.coding.contexts import FEATURES, FRACTION, LEVELS, ContextModel
from xhsinr.coding.entropy import TABLE_TOTAL, frequencies
from xhsinr.network.base import BaseNetwork
from xhsinr.network.siren import Siren, cosine_atoms, cosine_width, random_parameters


def small_network() -> BaseNetwork:
    """A base network of its own, so that the package's may change."""
    siren = Siren(layers=2, width=8, latents=6, outputs=3, w0_first=10.0, w0=5.0)
    tables = np.ones((1, 17), np.uint16)
    tables[0, 8] += TABLE_TOTAL - tables.sum(dtype=np.int64)
    return BaseNetwork(
        siren=siren,
        head="scene",
        patch=8,
        parameters=random_parameters(siren, np.random.default_rng(1)),
        inner_steps=3,
        inner_rates=np.full(6, 0.1, np.float32),
        latent_steps=np.full(6, 0.05, np.float32),
        latent_tables=np.zeros(6, np.uint8),
        tables=tables,
        recipe={"of": "golden files"},
    )


def small_context_network() -> BaseNetwork:
    """A base network of version 2: most of the cosines of 6 x 6 pixels, and contexts made up."""
    rng = np.random.default_rng(2)
    u, v = np.indices((6, 6)).reshape(2, -1)
    orders = np.stack([u, v], axis=1)[np.lexsort((u, u + v))[:30]].astype(np.uint8)
    siren = Siren(
        layers=1,
        width=cosine_width(orders),
        latents=3 * len(orders),
        outputs=3,
        w0_first=math.pi / 2,
        modulation="output",
    )
    octaves = np.arange(7 * LEVELS) / LEVELS - 3
    magnitudes = np.abs(np.arange(-7, 9))  # the last one is the escape
    likely = np.exp(-magnitudes / 2 ** octaves[: 3 * LEVELS, None])
    rings = 6  # fewer than there are: the last serves the others
    model = ContextModel(
        orders=orders,
        priors=(-18 - 2 * np.arange(rings)).astype(np.int16),
        weights=rng.integers(0, 1500, (rings, FEATURES)).astype(np.uint16),
        levels=np.rint(2 ** (octaves + FRACTION)).astype(np.int64),
        tables=frequencies(likely * rng.uniform(0.5, 1.5, likely.shape)),
    )
    return BaseNetwork(
        siren=siren,
        head="scene",
        patch=6,
        parameters=cosine_atoms(siren, orders, 6),
        contexts=model,
        recipe={"of": "golden files"},
    )
