"""3D SPECK: a 3-D wavelet transform and set-partitioned bit planes.

Tang and Pearlman, "Three-dimensional wavelet-based compression of hyperspectral images", 2006.
SPERR (imagecodecs) is of that family: CDF 9/7, SPECK, and corrections where a bound is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import imagecodecs

from xhsinr.bench.codecs import Cube, Kind, Target, volumes
from xhsinr.bench.codecs.common import check

__all__ = ["Speck3d"]

# Steps are the reciprocals of bits per sample.
_FINEST, _COARSEST = 1 / 32, 5000.0


@dataclass(frozen=True)
class Speck3d:
    """The codec."""

    name: ClassVar[str] = "3D SPECK (SPERR)"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"bpppb", "psnr", "max_error", "lossless"})
    settings: ClassVar[str] = "SPERR on the cube less its bands' means, best order of the axes"

    def encode(self, cube: Cube, target: Target) -> bytes:
        check(self, target)
        if target.kind in ("max_error", "lossless"):
            return volumes.encode_bounded(self, cube, target, _bounded)
        return volumes.encode_searched(self, cube, target, _at_rate, _FINEST, _COARSEST)

    def decode(self, payload: bytes) -> Cube:
        return volumes.decode(payload, lambda code, shape, dtype: imagecodecs.sperr_decode(code))


def _bounded(volume: volumes.Volume, bound: float) -> bytes:
    return bytes(imagecodecs.sperr_encode(volume, bound, "pwe", numthreads=1))


def _at_rate(volume: volumes.Volume, step: float) -> bytes:
    return bytes(imagecodecs.sperr_encode(volume, 1 / step, "bpp", numthreads=1))
