"""JPEG-LS (CharLS): lossless, or after rounding to a bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import imagecodecs

from xhsinr.bench.codecs import Cube, Kind, Target, images
from xhsinr.bench.codecs.common import check

__all__ = ["JpegLs"]


@dataclass(frozen=True)
class JpegLs:
    """The codec."""

    name: ClassVar[str] = "JPEG-LS"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"max_error", "lossless"})
    settings: ClassVar[str] = "best of samples and band differences, bands stacked or spectra"

    def encode(self, cube: Cube, target: Target) -> bytes:
        check(self, target)
        return images.encode(cube, target, imagecodecs.jpegls_encode)

    def decode(self, payload: bytes) -> Cube:
        return images.decode(payload, imagecodecs.jpegls_decode)
