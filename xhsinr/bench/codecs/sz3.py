"""SZ3: error-bounded prediction of floats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import imagecodecs

from xhsinr.bench.codecs import Cube, Kind, Target, volumes
from xhsinr.bench.codecs.common import check

__all__ = ["Sz3"]


@dataclass(frozen=True)
class Sz3:
    """The codec."""

    name: ClassVar[str] = "SZ3"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"bpppb", "psnr", "max_error", "lossless"})
    settings: ClassVar[str] = "absolute bound, cube less its bands' means, best order of the axes"

    def encode(self, cube: Cube, target: Target) -> bytes:
        check(self, target)
        if target.kind in ("max_error", "lossless"):
            return volumes.encode_bounded(self, cube, target, _encode)
        span = (float(cube.max()) - float(cube.min())) or 1.0
        return volumes.encode_searched(self, cube, target, _encode, 1e-6 * span, span)

    def decode(self, payload: bytes) -> Cube:
        return volumes.decode(payload, imagecodecs.sz3_decode)


def _encode(volume: volumes.Volume, bound: float) -> bytes:
    return bytes(imagecodecs.sz3_encode(volume, "abs", abs=bound))
