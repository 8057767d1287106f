"""ZFP: blocks of 4x4x4 floats, at a bound, or reversible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import imagecodecs
import numpy as np

from xhsinr.bench.codecs import Cube, Kind, Target, volumes
from xhsinr.bench.codecs.common import check, pack_shape, unpack_shape

__all__ = ["Zfp"]

# Marks a reversible stream: a shape of no rows, which no other payload starts with.
_EXACT = bytes(2)


@dataclass(frozen=True)
class Zfp:
    """The codec.

    Its bound is a power of two and seldom used up, so the tolerance that it is given is the
    widest whose result keeps to the bound.
    """

    name: ClassVar[str] = "ZFP"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"max_error", "lossless"})
    settings: ClassVar[str] = "widest tolerance that meets the bound, best order of the axes"

    def encode(self, cube: Cube, target: Target) -> bytes:
        check(self, target)
        if target.kind == "lossless":
            return self._exact(cube)
        span = (float(cube.max()) - float(cube.min())) or 1.0
        return volumes.encode_searched(self, cube, target, _encode, 1e-6 * span, 1e3 * span)

    def decode(self, payload: bytes) -> Cube:
        if payload[:2] == _EXACT:
            _, dtype, code = unpack_shape(payload[2:])
            planes: Cube = imagecodecs.zfp_decode(code)
            return planes.transpose(1, 2, 0).astype(dtype)
        return volumes.decode(payload, lambda code, shape, dtype: imagecodecs.zfp_decode(code))

    def _exact(self, cube: Cube) -> bytes:
        kind = "f" if cube.dtype.kind == "f" else "i"
        stored = cube.transpose(2, 0, 1).astype(f"{kind}{8 if cube.dtype.itemsize > 4 else 4}")
        code = imagecodecs.zfp_encode(np.ascontiguousarray(stored), mode="reversible")
        return _EXACT + pack_shape(cube) + bytes(code)


def _encode(volume: volumes.Volume, tolerance: float) -> bytes:
    level: Any = tolerance
    return bytes(imagecodecs.zfp_encode(volume, level, mode="accuracy"))
