"""PCA and JPEG 2000: the strong classical codec for hyperspectral scenes.

Du and Fowler, "Hyperspectral image compression using JPEG2000 and principal component
analysis", IEEE GRSL 4(2), 2007, as strong as we can make it: all score planes are the 16-bit
components of one 9/7 codestream, truncated together so that every plane gets the distortion
that is best for the whole; the number of planes is searched for; basis and mean are float16.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import imagecodecs
import numpy as np

from xhsinr import metrics
from xhsinr.bench.codecs import Cube, Kind, Target
from xhsinr.bench.codecs.common import Found, as_type, check, nearest, pack_shape, unpack_shape
from xhsinr.bench.codecs.pca import Axes, Basis
from xhsinr.errors import TargetError

__all__ = ["PcaJpeg2000", "best_of", "decode"]

_UNIT = struct.Struct("<f")
_PEAK = 32767
# Amplitudes of the error on a scale of 1: 130 and 1 dB.
_FINEST, _COARSEST, _START = 10**-6.5, 10**-0.05, 0.01
_MISSES = 2

Coder = Callable[[float], bytes]


@dataclass(frozen=True)
class PcaJpeg2000:
    """The codec."""

    name: ClassVar[str] = "PCA + JPEG 2000"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"bpppb", "psnr"})
    settings: ClassVar[str] = "16-bit scores in one 9/7 codestream, best number of components"

    def encode(self, cube: Cube, target: Target) -> bytes:
        check(self, target)
        axes = Axes.of(cube)
        found = best_of(cube, target, axes.strongest, cube.shape[2])
        if found is None:
            raise TargetError(f"{self.name} cannot reach {target} with any number of components")
        return found[1]

    def decode(self, payload: bytes) -> Cube:
        return decode(payload)


def best_of(
    cube: Cube, target: Target, basis: Callable[[int], Basis], most: int
) -> tuple[float, bytes] | None:
    """The best merit and payload over numbers of axes from 1 to ``most``; None without any.

    The merit is the PSNR at a rate, minus the bytes at a PSNR. A ladder of numbers is climbed
    until it leads down; from its best rung single steps lead on.
    """
    tried: dict[int, tuple[float, Found] | None] = {}

    def merit(count: int) -> float:
        if count not in tried:
            last = next((known for known in reversed(tried.values()) if known is not None), None)
            start = _START if last is None else last[1].step
            code = _coder(cube, basis(count))
            found = nearest(decode, cube, target, code, _FINEST, _COARSEST, start)
            tried[count] = None if found is None else (_merit(cube, target, found.payload), found)
        known = tried[count]
        return -math.inf if known is None else known[0]

    best, misses = 1, 0
    for rung in _ladder(most):
        if merit(rung) > merit(best):
            best, misses = rung, 0
        elif math.isfinite(merit(best)):
            misses += 1
            if misses == _MISSES:
                break
    while True:
        ahead = max((n for n in (best - 1, best + 1) if 1 <= n <= most), key=merit, default=best)
        if merit(ahead) <= merit(best):
            break
        best = ahead
    known = tried[best]
    return None if known is None else (known[0], known[1].payload)


def _merit(cube: Cube, target: Target, payload: bytes) -> float:
    if target.kind == "psnr":
        return -float(len(payload))
    return metrics.psnr(cube, decode(payload))


def decode(payload: bytes) -> Cube:
    """The cube, shape (rows, cols, bands), in its data type."""
    (rows, cols, bands), dtype, rest = unpack_shape(payload)
    (unit,) = _UNIT.unpack_from(rest)
    basis, code = Basis.from_bytes(rest[_UNIT.size :], bands)
    planes = imagecodecs.jpeg2k_decode(code, planar=True).reshape(-1, rows, cols)
    return as_type(basis.spectra(planes * np.float32(unit)), dtype)


def _ladder(most: int) -> Iterator[int]:
    rung = 1
    while rung < most:
        yield rung
        rung += max(1, rung // 2)
    yield most


def _coder(cube: Cube, basis: Basis) -> Coder:
    """A function from the amplitude of the error, on a scale of 1, to the whole payload."""
    scores = basis.scores(cube)
    unit = np.float32((np.abs(scores).max() or 1.0) / _PEAK)
    planes = np.rint(scores / unit).clip(-_PEAK, _PEAK).astype(np.int16)
    head = pack_shape(cube) + _UNIT.pack(unit) + basis.to_bytes()

    def code(step: float) -> bytes:
        level: Any = -20 * math.log10(step)
        stream = imagecodecs.jpeg2k_encode(
            planes, level=level, codecformat="J2K", planar=True, mct=False, reversible=False
        )
        return head + bytes(stream)

    return code
