"""JPEG XL: lossy at any rate, lossless, or lossless after rounding to a bound.

Lossy, the bands stand one below another in one grey image of 16 bits. The encoder aims at what
eyes see, up to a distance of 25, and from 20 on it halves the image first: coarser steps are
had from a smaller scale.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import imagecodecs
import numpy as np

from xhsinr.bench.codecs import Cube, Kind, Target, images
from xhsinr.bench.codecs.common import as_type, check, pack_shape, search, unpack_shape

__all__ = ["JpegXl"]

_encode = partial(
    imagecodecs.jpegxl_encode, effort=7, usecontainer=False, photometric="gray", numthreads=1
)
_MOST_COMPONENTS = 256
_SCALE = struct.Struct("<ff")
_PEAK = 65_535
_FINEST, _FARTHEST, _COARSEST = 0.01, 15.0, 1500.0
_LOSSY, _EXACT = b"\0", b"\1"


@dataclass(frozen=True)
class JpegXl:
    """The codec."""

    name: ClassVar[str] = "JPEG XL"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"bpppb", "psnr", "max_error", "lossless"})
    settings: ClassVar[str] = (
        "effort 7; lossy: bands stacked in one grey image; lossless and bounded: best of samples "
        "and band differences, as one image, as spectra, as components"
    )

    def encode(self, cube: Cube, target: Target) -> bytes:
        check(self, target)
        if target.kind in ("max_error", "lossless"):
            return _EXACT + images.encode(cube, target, _lossless, _MOST_COMPONENTS)
        low, high = float(cube.min()), float(cube.max())
        unit = (cube.transpose(2, 0, 1) - low) / ((high - low) or 1.0)
        stack = np.ascontiguousarray(unit).reshape(-1, cube.shape[1])
        head = _LOSSY + pack_shape(cube)

        def code(step: float) -> bytes:
            gain = _PEAK * min(1.0, _FARTHEST / step)
            image = np.rint(stack * gain).astype(np.uint16)
            stream = _encode(image, distance=min(step, _FARTHEST))
            return head + _SCALE.pack(low, (high - low) / gain) + bytes(stream)

        return search(self, cube, target, code, _FINEST, _COARSEST)

    def decode(self, payload: bytes) -> Cube:
        if payload[:1] == _EXACT:
            return images.decode(payload[1:], imagecodecs.jpegxl_decode)
        (rows, cols, bands), dtype, rest = unpack_shape(payload[1:])
        low, scale = _SCALE.unpack_from(rest)
        image = imagecodecs.jpegxl_decode(rest[_SCALE.size :]).astype(np.float64)
        return as_type(image.reshape(bands, rows, cols).transpose(1, 2, 0) * scale + low, dtype)


def _lossless(image: images.Image) -> bytes:
    planar = {"planar": True} if image.ndim == 3 else {}
    return bytes(_encode(image, lossless=True, **planar))
