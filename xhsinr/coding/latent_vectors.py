"""Latent vectors of a tile's patches <-> bytes.

Latents are quantised uniformly, each with its own step. Steps and the integer tables that code
the integers are the base network's; a class a patch, chosen by the encoder and sent in four bits,
moves all its latents to wider or narrower tables. Decoded integers are the same on every machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from xhsinr.entropy import rans
from xhsinr.errors import DamagedSidecarError
from xhsinr.network.siren_network import SirenNetwork

__all__ = ["CLASSES", "decode", "dequantise", "encode"]

CLASSES = 16
_LARGEST = 2**30
# Slope of distortion against rate of a uniform quantiser of step one at high rate:
# D = 1/12, dD/dR = -2 ln(2) D.
_SLOPE = 2 * np.log(2) / 12
_TOTAL = 1 << rans.BITS
_CLASS_SHARE = _TOTAL // CLASSES
# Escaped values follow their symbol in bytes, from the lowest on.
_BYTES = 4
_BYTE_SHARE = _TOTAL >> 8

Integers = npt.NDArray[np.int32]


def encode(latents: npt.NDArray[np.float32], network: SirenNetwork) -> tuple[bytes, Integers]:
    """Quantise and code the latents of one tile.

    Rounding weighs the code length of a value against its error (rate-distortion optimised),
    so that rare small values become zero.

    Parameters
    ----------
    latents : ndarray, shape (patches, latents)
    network : SirenNetwork

    Returns
    -------
    bytes
        For `decode`.
    ndarray of int32, shape (patches, latents)
        The quantised latents.
    """
    scaled = latents / network.latent_steps
    nearest = np.clip(np.rint(scaled), -_LARGEST, _LARGEST).astype(np.int32)
    lengths = -np.log2(network.tables / np.float64(_TOTAL))
    integers = nearest
    for _ in range(2):
        classes = _cheapest_classes(integers, network, lengths)
        tables = _table_numbers(classes, network)
        smaller = nearest - np.sign(nearest)
        cost, cost_smaller = (
            (scaled - q) ** 2 + _SLOPE * lengths[tables, _symbols(q, network)]
            for q in (nearest, smaller)
        )
        integers = np.where(cost_smaller < cost, smaller, nearest)
    classes = _cheapest_classes(integers, network, lengths)
    return _code(integers, classes, _table_numbers(classes, network), network), integers


def decode(payload: bytes, patches: int, network: SirenNetwork) -> Integers:
    """The quantised latents of one tile, shape (patches, latents), as `encode` coded them.

    Raises
    ------
    DamagedSidecarError
        If these are no bytes of `encode`.
    """
    try:
        state, words = rans.start(payload)
    except ValueError as error:
        raise DamagedSidecarError(f"latents do not decode: {error}") from error
    integers = np.empty((patches, network.siren.latents), np.int32)
    state, count = _read(
        integers,
        state,
        words,
        network.latent_tables.astype(np.int64) - CLASSES // 2,
        _cumulative(network),
    )
    if state != rans.EMPTY or count:
        raise DamagedSidecarError("latents do not decode: their bytes do not end where they do")
    return integers


def dequantise(integers: Integers, network: SirenNetwork) -> npt.NDArray[np.float32]:
    """Latent vectors for `xhsinr.network.siren.forward`, shape (patches, latents)."""
    return np.asarray(integers.astype(np.float32) * network.latent_steps)


def _cumulative(network: SirenNetwork) -> npt.NDArray[np.int64]:
    """Where the share of each symbol begins, and where the last ends, shape (tables, n + 1)."""
    return np.pad(np.cumsum(network.tables, axis=1, dtype=np.int64), ((0, 0), (1, 0)))


def _symbols(integers: Integers, network: SirenNetwork) -> Integers:
    escape = network.tables.shape[1] - 1
    symbols = integers + (escape - 1) // 2
    return np.asarray(np.where((symbols >= 0) & (symbols < escape), symbols, escape))


def _table_numbers(classes: Integers, network: SirenNetwork) -> npt.NDArray[np.int64]:
    moved = classes - CLASSES // 2
    numbers = network.latent_tables.astype(np.int64) + moved[:, None]
    clipped: npt.NDArray[np.int64] = np.clip(numbers, 0, len(network.tables) - 1)
    return clipped


def _cheapest_classes(
    integers: Integers, network: SirenNetwork, lengths: npt.NDArray[np.float64]
) -> Integers:
    symbols = _symbols(integers, network)
    costs = [
        lengths[_table_numbers(np.array([c], np.int32), network), symbols].sum(1)
        for c in range(CLASSES)
    ]
    cheapest: Integers = np.argmin(costs, axis=0).astype(np.int32)
    return cheapest


def _code(
    integers: Integers, classes: Integers, tables: npt.NDArray[np.int64], network: SirenNetwork
) -> bytes:
    """Shares of everything in decoding order: a row a patch, a column a latent and byte of it."""
    patches, latents = integers.shape
    symbols = _symbols(integers, network)
    cumulative = _cumulative(network)
    firsts = np.zeros((patches, latents, 1 + _BYTES), np.int64)
    shares = np.zeros_like(firsts)
    firsts[..., 0] = cumulative[tables, symbols]
    shares[..., 0] = cumulative[tables, symbols + 1] - firsts[..., 0]
    escaped = symbols == network.tables.shape[1] - 1
    raw = integers[escaped].astype("<i4").view(np.uint8).reshape(-1, _BYTES)
    firsts[escaped, 1:] = raw.astype(np.int64) * _BYTE_SHARE
    shares[escaped, 1:] = _BYTE_SHARE
    columns = latents * (1 + _BYTES)
    first_class = classes[:, None].astype(np.int64) * _CLASS_SHARE
    firsts = np.hstack([first_class, firsts.reshape(patches, columns)])
    shares = np.hstack([np.full_like(first_class, _CLASS_SHARE), shares.reshape(patches, columns)])
    there = shares > 0
    return rans.finish(*rans.take(firsts[there], shares[there]))


@njit(cache=True, nogil=True)
def _read(
    integers: Any, state: Any, words: Any, numbers: Any, cumulative: Any
) -> tuple[Any, int]:  # pragma: no cover
    """Fill ``integers``; ``numbers`` are the tables of the latents in the lowest class."""
    count, last = len(words), len(cumulative) - 1
    symbols = cumulative.shape[1] - 1
    for patch in range(integers.shape[0]):
        chosen = int(rans.peek(state)) // _CLASS_SHARE
        state, count = rans.get(state, words, count, chosen * _CLASS_SHARE, _CLASS_SHARE)
        for latent in range(integers.shape[1]):
            row = cumulative[min(max(numbers[latent] + chosen, 0), last)]
            symbol = np.searchsorted(row, int(rans.peek(state)), side="right") - 1
            share = row[symbol + 1] - row[symbol]
            state, count = rans.get(state, words, count, row[symbol], share)
            if symbol < symbols - 1:
                integers[patch, latent] = symbol - (symbols - 2) // 2
                continue
            value = 0
            for i in range(_BYTES):
                byte = int(rans.peek(state)) // _BYTE_SHARE
                state, count = rans.get(state, words, count, byte * _BYTE_SHARE, _BYTE_SHARE)
                value |= byte << (8 * i)
            integers[patch, latent] = value - ((value >> 31) << 32)
    return state, count
