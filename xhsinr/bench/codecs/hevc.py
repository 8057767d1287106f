"""HEVC: the bands as the frames of a film.

Sullivan et al., "Overview of the high efficiency video coding (HEVC) standard", IEEE TCSVT
22(12), 2012. One grey frame of 12 bits a band, in the order of wavelength, with x265's weighted
prediction between them. What we found to pay on hyperspectral scenes, in which neighbours differ
by noise: much coarser B frames than films have, some 1 dB. Two ways to place them are tried once,
and the better one is taken. The bytes are x265's own stream after 24 of our own. A frame costs
some 18 bytes however coarse, which is 0.024 bpppb on frames of 85x70.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import ClassVar

import numpy as np

from xhsinr import metrics
from xhsinr.bench.codecs import Cube, Kind, Target, x265
from xhsinr.bench.codecs.common import as_type, check, pack_shape, search, unpack_shape

__all__ = ["Hevc"]

_SCALE = struct.Struct("<dd")
_ARRANGEMENTS = ("pbratio=2.5:bframes=4:b-adapt=2", "pbratio=2.5:bframes=7:b-adapt=0")
_PROBE = 24.0
# About what twice the bytes bring.
_DECIBELS_PER_OCTAVE = 4.0
# Levels are as fine as this share of a QP, which is 1 % of the bytes.
_PER_QP = 16


@dataclass(frozen=True)
class Hevc:
    """The codec."""

    name: ClassVar[str] = "HEVC"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"bpppb", "psnr"})
    settings: ClassVar[str] = "x265, bands as 12-bit grey frames, slow, rd 6, pbratio 2.5"

    def encode(self, cube: Cube, target: Target) -> bytes:
        """See `xhsinr.bench.codecs.Codec`."""
        check(self, target)

        def worth(options: str) -> float:
            payload = _code(cube, options, _PROBE)
            psnr = metrics.psnr(cube, self.decode(payload))
            return psnr - _DECIBELS_PER_OCTAVE * math.log2(len(payload))

        at_level = lru_cache(None)(partial(_code, cube, max(_ARRANGEMENTS, key=worth)))

        def code(step: float) -> bytes:
            return at_level(round(6 * math.log2(step) * _PER_QP) / _PER_QP)

        return search(self, cube, target, code, 1.0, 2.0 ** (x265.COARSEST / 6 + 1))

    def decode(self, payload: bytes) -> Cube:
        """See `xhsinr.bench.codecs.Codec`."""
        _, dtype, rest = unpack_shape(payload)
        low, unit = _SCALE.unpack_from(rest)
        frames = x265.decode(rest[_SCALE.size :])
        return as_type(frames.transpose(1, 2, 0) * unit + low, dtype)


def _code(cube: Cube, options: str, level: float) -> bytes:
    """The scene at a level that counts as QP does; what is not a whole QP scales the samples."""
    qp = min(math.floor(level), x265.COARSEST)
    low, high = float(cube.min()), float(cube.max())
    unit = (high - low or 1.0) / (x265.PEAK * 2 ** ((qp - level) / 6))
    frames = np.rint((cube.transpose(2, 0, 1) - low) / unit).astype(np.uint16)
    return pack_shape(cube) + _SCALE.pack(low, unit) + x265.encode(list(frames), qp, options)
