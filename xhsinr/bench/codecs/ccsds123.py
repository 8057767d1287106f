"""CCSDS 123.0-B-2, low-complexity lossless and near-lossless compression: a complete bitstream.

Our reading of the standard, since no reference implementation could be had; the hybrid coder's
low-entropy codes are not the standard's tables, see `ccsds_entropy`. The settings were searched
for on training scenes, by the bytes of the hybrid coder.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xhsinr.bench.codecs import Cube, Kind, Target, ccsds_entropy
from xhsinr.bench.codecs.ccsds_predictor import Indices, Predictor, restore, to_indices
from xhsinr.bench.codecs.common import check, pack_shape, unpack_shape
from xhsinr.bench.codecs.rounding import Rounding
from xhsinr.errors import TargetError

__all__ = ["AdaptiveCcsds123", "HybridCcsds123"]

_HEAD = struct.Struct("<Hb")
_DEEPEST = 16
_SETTINGS = "P=3, wide local sums, settings tuned on training scenes"

Encode = Callable[[Indices, int], bytes]
Decode = Callable[[bytes, tuple[int, int], int], Indices]


@dataclass(frozen=True)
class AdaptiveCcsds123:
    """With the sample-adaptive entropy coder."""

    name: ClassVar[str] = "CCSDS-123, sample-adaptive"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"max_error", "lossless"})
    settings: ClassVar[str] = _SETTINGS

    def encode(self, cube: Cube, target: Target) -> bytes:
        check(self, target)
        return _encode(cube, target, ccsds_entropy.encode_adaptive)

    def decode(self, payload: bytes) -> Cube:
        return _decode(payload, ccsds_entropy.decode_adaptive)


@dataclass(frozen=True)
class HybridCcsds123:
    """With the hybrid entropy coder."""

    name: ClassVar[str] = "CCSDS-123, hybrid"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"max_error", "lossless"})
    settings: ClassVar[str] = _SETTINGS

    def encode(self, cube: Cube, target: Target) -> bytes:
        check(self, target)
        return _encode(cube, target, ccsds_entropy.encode_hybrid)

    def decode(self, payload: bytes) -> Cube:
        return _decode(payload, ccsds_entropy.decode_hybrid)


def _range(depth: int) -> tuple[int, int, int]:
    """s_min, s_max and s_mid of samples of so many bits; below zero: signed ones."""
    if depth < 0:
        half = 1 << (-depth - 1)
        return -half, half - 1, 0
    return 0, (1 << depth) - 1, 1 << (depth - 1)


def _depth(low: int, high: int) -> int:
    """Bits that hold the samples, below zero where they are signed."""
    if low < 0:
        return -max(2, (max(high, -low - 1)).bit_length() + 1)
    return max(2, high.bit_length())


def _encode(cube: Cube, target: Target, encode: Encode) -> bytes:
    # Floats are rounded to steps first, which takes up their bound.
    floats = cube.dtype.kind == "f"
    rounding = Rounding.of(cube, target) if floats else Rounding(0, 1)
    numbers = rounding.indices(cube) if floats else cube
    depth = _depth(int(numbers.min()), int(numbers.max()))
    if abs(depth) > _DEEPEST:
        raise TargetError(
            f"CCSDS-123 takes samples of {_DEEPEST} bits here, these have {abs(depth)}"
        )
    limit = 0 if floats else int(target.value)
    samples = np.ascontiguousarray(numbers.transpose(2, 0, 1), np.int32)
    indices = to_indices(samples, limit, *_range(depth), Predictor())
    code = encode(indices.reshape(len(indices), -1), abs(depth))
    return pack_shape(cube) + rounding.to_bytes() + _HEAD.pack(limit, depth) + code


def _decode(payload: bytes, decode: Decode) -> Cube:
    (rows, cols, bands), dtype, rest = unpack_shape(payload)
    rounding, rest = Rounding.from_bytes(rest)
    limit, depth = _HEAD.unpack_from(rest)
    indices = decode(rest[_HEAD.size :], (bands, rows * cols), abs(depth))
    samples = restore(indices.reshape(bands, rows, cols), limit, *_range(depth), Predictor())
    return rounding.samples(samples.transpose(1, 2, 0), dtype)
