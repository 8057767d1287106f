"""JPEG: every band at 8 bits.

The bands stand one below another in one image, so that tables and headers are counted once;
each starts at a multiple of the block's side, so no block mixes two of them. All bands share
one scale, which spreads the error evenly. Below quality 20 the tables of JPEG saturate: coarser
steps are had from a smaller scale.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, ClassVar

import imagecodecs
import numpy as np
import numpy.typing as npt

from xhsinr.bench.codecs import Cube, Kind, Target
from xhsinr.bench.codecs.common import as_type, check, pack_shape, search, unpack_shape
from xhsinr.errors import TargetError

__all__ = ["Jpeg"]

_SIDE = 8
_TALLEST = 65_500
_SCALE = struct.Struct("<ff")
# Of the quantiser's tables: 1 is quality 20.
_FINEST, _COARSEST = 0.004, 100.0


@dataclass(frozen=True)
class Jpeg:
    """The codec."""

    name: ClassVar[str] = "JPEG"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"bpppb", "psnr"})
    settings: ClassVar[str] = "each band at 8 bits, one scale, bands stacked in one image"

    def encode(self, cube: Cube, target: Target) -> bytes:
        check(self, target)
        low, high = float(cube.min()), float(cube.max())
        unit = (cube - low) / ((high - low) or 1.0)
        pad = [(0, -n % _SIDE) for n in cube.shape[:2]]
        stack = np.pad(unit.transpose(2, 0, 1), [(0, 0), *pad], mode="edge")
        if stack.shape[0] * stack.shape[1] > _TALLEST:
            raise TargetError(f"{self.name} holds no image above {_TALLEST} rows: cut the scene")
        stack = stack.reshape(-1, stack.shape[2])
        head = pack_shape(cube)

        def code(step: float) -> bytes:
            quality, gain = _setting(step)
            scale = np.float32((high - low) / gain)
            image = np.rint(stack * gain).astype(np.uint8)
            stream = imagecodecs.jpeg8_encode(image, level=quality, optimize=True)
            return head + _SCALE.pack(low, scale) + bytes(stream)

        return search(self, cube, target, code, _FINEST, _COARSEST)

    def decode(self, payload: bytes) -> Cube:
        (rows, cols, bands), dtype, rest = unpack_shape(payload)
        low, scale = _SCALE.unpack_from(rest)
        image = imagecodecs.jpeg8_decode(rest[_SCALE.size :])
        planes: npt.NDArray[Any] = image.reshape(bands, rows + -rows % _SIDE, -1)
        cube = planes[:, :rows, :cols].transpose(1, 2, 0)
        return as_type(cube.astype(np.float64) * scale + low, dtype)


def _setting(step: float) -> tuple[int, float]:
    """Quality and grey levels for a step, 1 being quality 20 on all 255 levels."""
    if step >= 1:
        return 20, 255.0 / step
    percent = 250 * step  # of the standard's tables, as libjpeg counts
    quality = 5000 / percent if percent > 100 else 100 - percent / 2
    return round(min(quality, 100)), 255.0
