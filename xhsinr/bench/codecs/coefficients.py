"""Quantised transform coefficients <-> bytes: a Laplace model whose scale adapts.

Coefficients come plane by plane, one plane a position in the block. Each plane has its own
scale, stored; how much a block and its neighbours exceeded their planes' scales so far says how
much its next coefficient will. The symbols go through the range-type ANS coder of constriction.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import constriction
import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter

__all__ = ["decode", "dequantise", "encode", "quantise"]

Integers = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

_HEAD = struct.Struct("<HHHHi")
# Scales are powers of 2 ** (1 / _PER_OCTAVE), from 2 ** _LOWEST up; index 0 is a plane of zeros.
_PER_OCTAVE, _LOWEST = 2, -12
# Spread of the differences between the scale indices of one plane and the next.
_INDEX_SPREAD, _MOST_INDEX = 1.5, 80
# Activity is trusted as much as what this much expected magnitude tells.
_TRUST = 1.0
# Values within this share of a step below the middle are rounded down, and read back so much lower.
_DEAD, _BACK = 0.12, 0.04


def quantise(values: npt.NDArray[Any], step: float) -> Integers:
    """Indices of a uniform quantiser with a slightly wider zero."""
    magnitude = np.floor(np.abs(values) / step + (0.5 - _DEAD))
    return np.asarray(np.copysign(magnitude, values), np.int32)


def dequantise(indices: Integers, step: float) -> Floats:
    """Values that `quantise` sent to these indices."""
    return np.asarray((indices - _BACK * np.sign(indices)) * step, np.float64)


def encode(planes: Integers) -> bytes:
    """Code planes of indices, shape (positions, blocks along three axes), low frequencies first."""
    positions, *grid = planes.shape
    largest = int(np.abs(planes).max(initial=0))
    mean = np.abs(planes).mean(axis=(1, 2, 3))
    exponents = np.log2(np.maximum(mean, 2.0**_LOWEST)) - _LOWEST
    levels = np.where(mean > 0, 1 + np.rint(exponents * _PER_OCTAVE), 0).astype(np.int32)
    activity = _Activity(grid)
    scales = []
    for plane, scale in zip(planes, _scales(levels), strict=True):
        if scale > 0:
            scales.append(scale * activity.gains())
            activity.update(plane, scale)
    coder = constriction.stream.stack.AnsCoder()
    if scales:
        coded = planes[levels > 0].reshape(-1)
        spreads = _spreads(np.ravel(scales))
        coder.encode_reverse(coded, _laplace(largest), np.zeros(coded.size), spreads)
    coder.encode_reverse(np.diff(levels, prepend=np.int32(0)), _indices())
    head = _HEAD.pack(positions, *grid, largest)
    words: bytes = coder.get_compressed().astype("<u4").tobytes()
    return head + words


def decode(payload: bytes) -> Integers:
    """The planes that `encode` coded."""
    positions, *grid, largest = _HEAD.unpack_from(payload)
    words = np.frombuffer(payload[_HEAD.size :], "<u4").astype(np.uint32)
    coder = constriction.stream.stack.AnsCoder(words)
    levels = np.cumsum(coder.decode(_indices(), positions))
    planes = np.zeros((positions, *grid), np.int32)
    activity = _Activity(grid)
    model, centre = _laplace(largest), np.zeros(planes[0].size)
    for plane, scale in zip(planes, _scales(levels), strict=True):
        if scale > 0:
            spreads = _spreads((scale * activity.gains()).ravel())
            plane[:] = coder.decode(model, centre, spreads).reshape(grid)
            activity.update(plane, scale)
    return planes


class _Activity:
    """How much each block has exceeded the scales of the planes so far, with its neighbours."""

    def __init__(self, grid: Sequence[int]) -> None:
        self._found = np.zeros(grid)
        self._expected = 0.0

    def gains(self) -> Floats:
        near = 0.5 * self._found + 0.5 * uniform_filter(self._found, 3, mode="nearest")
        gains = (near + _TRUST) / (self._expected + _TRUST)
        return np.asarray(gains.clip(0.02, 50), np.float64)

    def update(self, plane: Integers, scale: float) -> None:
        # Each plane counts by its own measure, the few large ones no more than the others.
        weight = 1 / (1 + scale)
        self._found += weight * np.abs(plane)
        self._expected += weight * scale


def _scales(levels: npt.NDArray[np.integer[Any]]) -> Floats:
    """Mean magnitude of each plane from its level; 0 for a plane of zeros."""
    scales = 2.0 ** ((levels - 1) / _PER_OCTAVE + _LOWEST)
    return np.asarray(np.where(levels > 0, scales, 0.0), np.float64)


def _spreads(magnitudes: Floats) -> Floats:
    """Scales of Laplace densities that, cut at the halves, have these mean magnitudes.

    With t = exp(-0.5 / scale) the mean magnitude is t / (1 - t^2) = 0.5 / sinh(0.5 / scale).
    """
    return np.asarray(0.5 / np.arcsinh(0.5 / magnitudes), np.float64)


def _laplace(largest: int) -> Any:
    return constriction.stream.model.QuantizedLaplace(-largest - 1, largest + 1)


def _indices() -> Any:
    return constriction.stream.model.QuantizedLaplace(-_MOST_INDEX, _MOST_INDEX, 0.0, _INDEX_SPREAD)
