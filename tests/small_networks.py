"""A small network of the paper's kind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from xhsinr.network.siren import Siren, random_parameters
from xhsinr.network.siren_network import SirenNetwork

__all__ = ["SYMBOLS", "siren_network"]

SYMBOLS = 64


def siren_network(latents: int = 6, outputs: int = 4, tables: int = 20, **changes: Any) -> Any:
    """Random parameters, and tables of widths that are half an octave apart."""
    rng = np.random.default_rng(5)
    siren = Siren(2, 5, latents, outputs, w0_first=5.0, w0=4.0)
    values = np.abs(np.arange(SYMBOLS - 1) - (SYMBOLS - 2) // 2)
    scales = 2.0 ** (np.arange(tables)[:, None] / 2 - 2)
    weights = np.concatenate([np.exp(-values / scales), np.full((tables, 1), 1e-4)], axis=1)
    shares = weights / weights.sum(1, keepdims=True)
    counts = 1 + np.floor(shares * ((1 << 15) - SYMBOLS)).astype(np.int64)
    counts[:, (SYMBOLS - 2) // 2] += (1 << 15) - counts.sum(1)
    network = SirenNetwork(
        siren=siren,
        patch=8,
        parameters=random_parameters(siren, np.random.default_rng(6)),
        inner_steps=2,
        inner_rates=np.full(latents, 0.1, np.float32),
        latent_steps=rng.uniform(0.1, 3, latents).astype(np.float32),
        latent_tables=rng.integers(0, tables, latents).astype(np.uint8),
        tables=counts.astype(np.uint16),
        recipe={"settings": {"seed": 5}, "curve": [[1, 0.25]]},
    )
    return replace(network, **changes)
