"""JPEG 2000, irreversible 9/7: one codestream a band, or all bands in one codestream.

The bands less their means are scaled to 16 bits and all get the same error. A codestream a band
costs some 150 bytes each at the least, so it cannot go below about 0.12 bpppb at 100x100 pixels.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import imagecodecs
import numpy as np
import numpy.typing as npt

from xhsinr.bench.codecs import Cube, Kind, Target
from xhsinr.bench.codecs.common import (
    as_type,
    band_means,
    check,
    join,
    pack_shape,
    search,
    split,
    unpack_shape,
)

__all__ = ["Jpeg2000PerBand", "Jpeg2000Scene"]

_SCALE = struct.Struct("<ff")
_PEAK = 65_535
# Steps are amplitudes of error on the 16-bit scale; the encoder is told decibels.
_FINEST, _COARSEST = 0.05, 50_000.0

Planes = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Jpeg2000PerBand:
    """One codestream a band."""

    name: ClassVar[str] = "JPEG 2000"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"bpppb", "psnr"})
    settings: ClassVar[str] = "each band a 16-bit 9/7 codestream, the same error in all"

    def encode(self, cube: Cube, target: Target) -> bytes:
        check(self, target)
        head, planes = _scaled(cube)

        def code(step: float) -> bytes:
            streams = [_encode(plane, step) for plane in planes]
            return head + join(*streams)

        return search(self, cube, target, code, _FINEST, _COARSEST)

    def decode(self, payload: bytes) -> Cube:
        scale, code = _opened(payload)
        streams = split(code, len(scale.mean))
        return scale.samples(np.stack([imagecodecs.jpeg2k_decode(part) for part in streams]))


@dataclass(frozen=True)
class Jpeg2000Scene:
    """All bands as the components of one codestream, truncated together."""

    name: ClassVar[str] = "JPEG 2000, one codestream"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"bpppb", "psnr"})
    settings: ClassVar[str] = "bands as components of one 16-bit 9/7 codestream"

    def encode(self, cube: Cube, target: Target) -> bytes:
        check(self, target)
        head, planes = _scaled(cube)

        def code(step: float) -> bytes:
            return head + _encode(planes, step, planar=True, mct=False)

        return search(self, cube, target, code, _FINEST, _COARSEST)

    def decode(self, payload: bytes) -> Cube:
        scale, code = _opened(payload)
        planes = imagecodecs.jpeg2k_decode(code, planar=True)
        return scale.samples(planes[None] if planes.ndim == 2 else planes)


def _scaled(cube: Cube) -> tuple[bytes, Planes]:
    """Header, and the bands less their means in 16 bits, one scale for all."""
    mean = band_means(cube)
    centred = cube.transpose(2, 0, 1).astype(np.float64) - mean[:, None, None]
    low = np.float32(centred.min())
    unit = np.float32((centred.max() - low) / _PEAK or 1.0)
    planes = np.rint((centred - low) / unit).clip(0, _PEAK).astype(np.uint16)
    return pack_shape(cube) + _SCALE.pack(low, unit) + mean.tobytes(), planes


def _encode(planes: Planes, step: float, **options: Any) -> bytes:
    level: Any = 20 * math.log10(_PEAK / step)
    return bytes(
        imagecodecs.jpeg2k_encode(
            planes, level=level, codecformat="J2K", reversible=False, **options
        )
    )


def _opened(payload: bytes) -> tuple[_Scale, bytes]:
    """What the samples need, and the codestreams."""
    (_, _, bands), dtype, rest = unpack_shape(payload)
    low, unit = _SCALE.unpack_from(rest)
    end = _SCALE.size + bands * dtype.itemsize
    return _Scale(np.frombuffer(rest[_SCALE.size : end], dtype), low, unit), rest[end:]


class _Scale(NamedTuple):
    mean: Cube
    low: float
    unit: float

    def samples(self, planes: npt.NDArray[Any]) -> Cube:
        centred = planes.transpose(1, 2, 0).astype(np.float64) * self.unit + self.low
        return as_type(centred + self.mean, self.mean.dtype)
