"""Scores of spectra in a basis, as 16-bit planes of an image coder: the best number of them.

The coders differ in the basis (`ScoreBasis`) and in the image coder (`PlaneCoder`). Planes share
one unit, so that truncating them together gives every plane the distortion that is best for all.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from xhsinr import metrics
from xhsinr.bench.codecs import Cube, Target
from xhsinr.bench.codecs.common import Found, as_type, nearest, pack_shape, unpack_shape

__all__ = ["PlaneCoder", "Planes", "ScoreBasis", "ScorePlanes"]

Planes = npt.NDArray[np.int16]

_UNIT = struct.Struct("<f")
_PEAK = 32767
_START, _MISSES = 0.01, 2


class ScoreBasis(Protocol):
    """Spectra <-> scores, and itself as bytes."""

    def scores(self, cube: Cube) -> npt.NDArray[np.float64]:
        """Shape (planes, rows, cols)."""

    def spectra(self, planes: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Shape (rows, cols, bands)."""

    def to_bytes(self) -> bytes: ...


class PlaneCoder(Protocol):
    """Planes of 16 bits <-> bytes.

    Attributes
    ----------
    finest, coarsest : float
        Steps that it takes; the coarser, the fewer bytes.
    """

    @property
    def finest(self) -> float: ...

    @property
    def coarsest(self) -> float: ...

    def encode(self, planes: Planes, step: float) -> bytes: ...

    def decode(self, code: bytes) -> npt.NDArray[Any]: ...


@dataclass(frozen=True)
class ScorePlanes:
    """A codec of score planes.

    Attributes
    ----------
    read_basis : callable
        From bytes and the shape of the cube to a basis and the bytes behind it.
    coder : PlaneCoder
    """

    read_basis: Callable[[bytes, tuple[int, int, int]], tuple[ScoreBasis, bytes]]
    coder: PlaneCoder

    def best(
        self, cube: Cube, target: Target, basis: Callable[[int], ScoreBasis], most: int
    ) -> tuple[float, bytes] | None:
        """The best merit and payload over numbers of axes from 1 to ``most``; None without any.

        The merit is the PSNR at a rate, minus the bytes at a PSNR. A ladder of numbers is
        climbed until it leads down; from its best rung single steps lead on.
        """
        tried: dict[int, tuple[float, Found] | None] = {}

        def merit(count: int) -> float:
            if count not in tried:
                last = next((known for known in reversed(tried.values()) if known), None)
                start = _START if last is None else last[1].step
                tried[count] = self._at(cube, target, basis(count), start)
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
            ahead = max(
                (n for n in (best - 1, best + 1) if 1 <= n <= most), key=merit, default=best
            )
            if merit(ahead) <= merit(best):
                break
            best = ahead
        known = tried[best]
        return None if known is None else (known[0], known[1].payload)

    def decode(self, payload: bytes) -> Cube:
        """The cube, shape (rows, cols, bands), in its data type."""
        shape, dtype, rest = unpack_shape(payload)
        (unit,) = _UNIT.unpack_from(rest)
        basis, code = self.read_basis(rest[_UNIT.size :], shape)
        planes = self.coder.decode(code).reshape(-1, *shape[:2])
        return as_type(basis.spectra(planes * np.float32(unit)), dtype)

    def _at(
        self, cube: Cube, target: Target, basis: ScoreBasis, start: float
    ) -> tuple[float, Found] | None:
        """Merit and payload of one basis."""
        scores = basis.scores(cube)
        unit = np.float32((np.abs(scores).max() or 1.0) / _PEAK)
        planes = np.rint(scores / unit).clip(-_PEAK, _PEAK).astype(np.int16)
        head = pack_shape(cube) + _UNIT.pack(unit) + basis.to_bytes()

        def code(step: float) -> bytes:
            return head + self.coder.encode(planes, step)

        coder = self.coder
        first = min(max(start, coder.finest), coder.coarsest)
        found = nearest(self.decode, cube, target, code, coder.finest, coder.coarsest, first)
        if found is None:
            return None
        if target.kind == "psnr":
            return -float(len(found.payload)), found
        return metrics.psnr(cube, self.decode(found.payload)), found


def _ladder(most: int) -> Iterator[int]:
    rung = 1
    while rung < most:
        yield rung
        rung += max(1, rung // 2)
    yield most
