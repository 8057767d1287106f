"""3-D DCT: blocks of 8x8x8 samples, one quantiser, an adaptive entropy coder.

Yadav and Nagmode, "Compression of hyperspectral image using PCA-DCT technology", 2018, as cited
in the paper's tables; the bands' means are taken off first.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xhsinr.bench.codecs import Cube, Kind, Target, coefficients
from xhsinr.bench.codecs.blocks import DctBlocks
from xhsinr.bench.codecs.common import as_type, check, pack_shape, search, unpack_shape

__all__ = ["Dct3d"]

_BLOCK = (8, 8, 8)
_STEP = struct.Struct("<f")


@dataclass(frozen=True)
class Dct3d:
    """The codec."""

    name: ClassVar[str] = "3D DCT"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"bpppb", "psnr"})
    settings: ClassVar[str] = "8x8x8 blocks, dead-zone quantiser, adaptive ANS"

    def encode(self, cube: Cube, target: Target) -> bytes:
        check(self, target)
        mean = cube.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
        blocks = DctBlocks(cube.shape, _BLOCK).forward(cube - mean.astype(np.float64))
        head: bytes = pack_shape(cube) + mean.tobytes()

        def code(step: float) -> bytes:
            step = float(np.float32(step))
            return (
                head + _STEP.pack(step) + coefficients.encode(coefficients.quantise(blocks, step))
            )

        top = float(np.abs(blocks).max()) or 1.0
        return search(self, cube, target, code, top * 1e-6, top)

    def decode(self, payload: bytes) -> Cube:
        shape, dtype, rest = unpack_shape(payload)
        end = 4 * shape[2]
        mean = np.frombuffer(rest[:end], "<f4")
        (step,) = _STEP.unpack_from(rest, end)
        planes = coefficients.dequantise(coefficients.decode(rest[end + _STEP.size :]), step)
        return as_type(DctBlocks(shape, _BLOCK).inverse(planes) + mean, dtype)
