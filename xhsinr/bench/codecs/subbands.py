"""Quantised subbands of a 3-D wavelet transform <-> bytes, through constriction's ANS coder.

Coefficients are Laplace, with a stored scale for each subband. What the coarser subbands held at
a place, and at a band, says by how much to correct it. Subbands of zeros cost a byte, which does
the work of a run-length code.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import constriction
import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter

__all__ = ["decode", "encode"]

Integers = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Shape = tuple[int, ...]

_LARGEST = struct.Struct("<i")
# Level 0: all zero. Level c: the mean magnitude is about 2 ** ((c - 1) / _PER_OCTAVE + _LOWEST).
_PER_OCTAVE, _LOWEST = 6, -18
# Activity is trusted as much as what this much expected magnitude tells.
_TRUST = 4.0
_GAINS = (0.02, 50.0)


def encode(subbands: Sequence[Integers]) -> bytes:
    """Code subbands, each (rows, cols, bands) of the same scene, the coarsest first."""
    largest = max((int(np.abs(subband).max(initial=0)) for subband in subbands), default=0)
    means = np.array([np.abs(subband).mean() for subband in subbands])
    octaves = np.log2(np.maximum(means, 2.0**_LOWEST)) - _LOWEST
    levels = np.where(means > 0, 1 + np.rint(octaves * _PER_OCTAVE), 0).astype(np.uint8)
    activity = _Activity([subband.shape for subband in subbands])
    symbols, scales = [np.zeros(0, np.int32)], [np.zeros(0)]
    for subband, level in zip(subbands, levels, strict=True):
        if level:
            expected = activity.expected(subband.shape, _mean(level))
            symbols.append(subband.ravel())
            scales.append(_scales(expected).ravel())
            activity.update(subband, _mean(level))
    coder = constriction.stream.stack.AnsCoder()
    coded = np.concatenate(symbols)
    if coded.size:
        coder.encode_reverse(coded, _model(largest), np.zeros(coded.size), np.concatenate(scales))
    words: bytes = coder.get_compressed().astype("<u4").tobytes()
    return _LARGEST.pack(largest) + levels.tobytes() + words


def decode(payload: bytes, shapes: Sequence[Shape]) -> list[Integers]:
    """The subbands, of these shapes, that `encode` coded."""
    (largest,) = _LARGEST.unpack_from(payload)
    begin = _LARGEST.size + len(shapes)
    levels = np.frombuffer(payload[_LARGEST.size : begin], np.uint8)
    words = np.frombuffer(payload[begin:], "<u4").astype(np.uint32)
    coder = constriction.stream.stack.AnsCoder(words)
    activity = _Activity(shapes)
    subbands = []
    for shape, level in zip(shapes, levels, strict=True):
        subband = np.zeros(shape, np.int32)
        if level:
            scales = _scales(activity.expected(shape, _mean(level))).ravel()
            symbols = coder.decode(_model(largest), np.zeros(scales.size), scales)
            subband = symbols.reshape(shape)
            activity.update(subband, _mean(level))
        subbands.append(subband)
    return subbands


class _Activity:
    """How much places, and bands, have exceeded the means of their subbands so far."""

    def __init__(self, shapes: Sequence[Shape]) -> None:
        rows, cols, bands = np.max(shapes, axis=0)
        self._places, self._bands = np.zeros((rows, cols)), np.zeros(bands)
        self._of_places = self._of_bands = 0.0

    def expected(self, shape: Shape, mean: float) -> Floats:
        """Expected magnitudes in a subband of this shape and mean."""
        near = 0.5 * self._places + 0.5 * uniform_filter(self._places, 5, mode="nearest")
        places = (near + _TRUST) / (self._of_places + _TRUST)
        bands = (self._bands + _TRUST) / (self._of_bands + _TRUST)
        rows, cols, layers = self._indices(shape)
        gains = places[np.ix_(rows, cols)][:, :, None] * bands[layers]
        return np.asarray(mean * (gains / gains.mean()).clip(*_GAINS))

    def update(self, subband: Integers, mean: float) -> None:
        """Take a subband in."""
        # Each counts by its own measure, the few large ones no more than the others.
        magnitude = np.abs(subband) / (1 + mean)
        whole = [
            np.arange(full) * size // full
            for full, size in zip(
                (*self._places.shape, self._bands.size), subband.shape, strict=True
            )
        ]
        self._places += magnitude.sum(2)[np.ix_(whole[0], whole[1])]
        self._of_places += mean / (1 + mean) * subband.shape[2]
        self._bands += magnitude.mean((0, 1))[whole[2]] * _SPECTRAL
        self._of_bands += mean / (1 + mean) * _SPECTRAL

    def _indices(self, shape: Shape) -> list[npt.NDArray[np.intp]]:
        fulls = (*self._places.shape, self._bands.size)
        return [np.arange(size) * full // size for full, size in zip(fulls, shape, strict=True)]


# Magnitudes of a band are means over many coefficients, so they tell more than those of a place.
_SPECTRAL = 30.0


def _mean(level: int) -> float:
    return float(2.0 ** ((int(level) - 1) / _PER_OCTAVE + _LOWEST))


def _scales(means: Floats) -> Floats:
    # A Laplace variable of scale s, rounded, has mean magnitude t / (1 - t**2), t = exp(-1 / 2s).
    t = (np.sqrt(1 + 4 * means**2) - 1) / (2 * means)
    return np.asarray(-0.5 / np.log(t))


def _model(largest: int) -> Any:
    return constriction.stream.model.QuantizedLaplace(-largest - 1, largest + 1)
