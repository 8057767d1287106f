"""The ``latents`` layer: latent vectors of a tile's patches <-> bytes.

Latents are quantised uniformly, each with its own step (base network) times the scene's step.
The integers are entropy-coded with integer tables of the base network; a class a patch,
chosen by the encoder and sent in four bits, moves all its latents to wider or narrower tables.
Decoded integers are the same on every machine.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xhsinr.coding import entropy
from xhsinr.coding.entropy import TABLE_TOTAL
from xhsinr.errors import DamagedSidecarError
from xhsinr.network.base import BaseNetwork

__all__ = ["CLASSES", "STEPS_PER_OCTAVE", "decode", "dequantise", "encode", "scene_step"]

CLASSES = 16
STEPS_PER_OCTAVE = 8
"""A scene's step is ``2**(level / STEPS_PER_OCTAVE)``; tables are half an octave apart."""

_LEVELS_PER_TABLE = STEPS_PER_OCTAVE // 2
_LARGEST = 2**30
# Slope of distortion against rate of a uniform quantiser of step one at high rate:
# D = 1/12, dD/dR = -2 ln(2) D.
_SLOPE = 2 * np.log(2) / 12

Integers = npt.NDArray[np.int32]


def scene_step(level: int) -> float:
    """The factor on all quantiser steps that a scene's integer ``level`` stands for."""
    return float(2.0 ** (level / STEPS_PER_OCTAVE))


def encode(
    latents: npt.NDArray[np.float32], network: BaseNetwork, level: int
) -> tuple[bytes, Integers]:
    """Quantise and code the latents of one tile.

    Rounding weighs the code length of a value against its error (rate-distortion optimised),
    so that rare small values become zero.

    Parameters
    ----------
    latents : ndarray, shape (patches, latents)
    network : BaseNetwork
    level : int
        The scene's quantiser level, see `scene_step`.

    Returns
    -------
    bytes
        For `decode`.
    ndarray of int32, shape (patches, latents)
        The quantised latents.
    """
    scaled = latents / (network.latent_steps * np.float32(scene_step(level)))
    nearest = np.clip(np.rint(scaled), -_LARGEST, _LARGEST).astype(np.int32)
    lengths = -np.log2(network.tables / np.float64(TABLE_TOTAL))
    integers = nearest
    for _ in range(2):
        classes = _cheapest_classes(integers, network, level, lengths)
        tables = _table_numbers(classes, network, level)
        smaller = nearest - np.sign(nearest)
        cost, cost_smaller = (
            (scaled - q) ** 2 + _SLOPE * lengths[tables, _symbols(q, network)]
            for q in (nearest, smaller)
        )
        integers = np.where(cost_smaller < cost, smaller, nearest)
    classes = _cheapest_classes(integers, network, level, lengths)
    return _code(integers, classes, _table_numbers(classes, network, level), network), integers


def decode(payload: bytes, patches: int, network: BaseNetwork, level: int) -> Integers:
    """The quantised latents of one tile, shape (patches, latents), as `encode` coded them."""
    shape = (patches, network.siren.latents)
    try:
        decoder = entropy.Decoder(payload)
        classes = decoder.read(patches, entropy.uniform(4))
        tables = _table_numbers(classes, network, level).ravel()
        order = np.argsort(tables, kind="stable")
        counts = np.bincount(tables, minlength=len(network.tables))
        runs = [
            decoder.read(int(count), table)
            for count, table in zip(counts, network.tables, strict=True)
        ]
        symbols = np.empty(tables.size, np.int32)
        symbols[order] = np.concatenate(runs)
        integers = symbols - _centre(network)
        escaped = symbols == network.tables.shape[1] - 1
        integers[escaped] = _read_escapes(decoder, int(escaped.sum()))
    except ValueError as error:
        raise DamagedSidecarError(f"latents do not decode: {error}") from error
    return integers.reshape(shape)


def dequantise(integers: Integers, network: BaseNetwork, level: int) -> npt.NDArray[np.float32]:
    """Latent vectors for `xhsinr.network.siren.forward`, shape (patches, latents)."""
    steps = network.latent_steps * np.float32(scene_step(level))
    return integers.astype(np.float32) * steps


def _centre(network: BaseNetwork) -> int:
    return int(network.tables.shape[1] - 2) // 2


def _symbols(integers: Integers, network: BaseNetwork) -> Integers:
    escape = network.tables.shape[1] - 1
    symbols = integers + _centre(network)
    return np.where((symbols >= 0) & (symbols < escape), symbols, escape)


def _table_numbers(classes: Integers, network: BaseNetwork, level: int) -> npt.NDArray[np.int64]:
    moved = classes - CLASSES // 2 - level // _LEVELS_PER_TABLE
    numbers = network.latent_tables.astype(np.int64) + moved[:, None]
    clipped: npt.NDArray[np.int64] = np.clip(numbers, 0, len(network.tables) - 1)
    return clipped


def _cheapest_classes(
    integers: Integers, network: BaseNetwork, level: int, lengths: npt.NDArray[np.float64]
) -> Integers:
    symbols = _symbols(integers, network)
    costs = [
        lengths[_table_numbers(np.array([c], np.int32), network, level), symbols].sum(1)
        for c in range(CLASSES)
    ]
    cheapest: Integers = np.argmin(costs, axis=0).astype(np.int32)
    return cheapest


def _code(
    integers: Integers, classes: Integers, tables: npt.NDArray[np.int64], network: BaseNetwork
) -> bytes:
    symbols, tables = _symbols(integers, network).ravel(), tables.ravel()
    order = np.argsort(tables, kind="stable")
    ends = np.cumsum(np.bincount(tables, minlength=len(network.tables)))[:-1]
    runs = list(zip(np.split(symbols[order], ends), network.tables, strict=True))
    escaped = integers.ravel()[symbols == network.tables.shape[1] - 1]
    return entropy.encode([(classes, entropy.uniform(4)), *runs, *_escape_runs(escaped)])


def _escape_runs(values: Integers) -> list[tuple[npt.NDArray[np.uint8], entropy.Table]]:
    raw = values.astype("<i4").view(np.uint8)
    return [(raw, entropy.uniform(8))]


def _read_escapes(decoder: entropy.Decoder, count: int) -> Integers:
    raw = decoder.read(4 * count, entropy.uniform(8)).astype(np.uint8)
    return raw.view("<i4").astype(np.int32)
