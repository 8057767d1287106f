"""PCA and JPEG 2000: the strong classical codec for hyperspectral scenes.

Du and Fowler, "Hyperspectral image compression using JPEG2000 and principal component
analysis", IEEE GRSL 4(2), 2007, as strong as we can make it: all score planes are the 16-bit
components of one 9/7 codestream, truncated together; the number of planes is searched for;
basis and mean are float16.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import imagecodecs
import numpy.typing as npt

from xhsinr.bench.codecs import Cube, Kind, Target
from xhsinr.bench.codecs.common import check
from xhsinr.bench.codecs.pca import Axes, Basis
from xhsinr.bench.codecs.score_planes import Planes, ScorePlanes
from xhsinr.errors import TargetError

__all__ = ["Jpeg2000Planes", "PcaJpeg2000"]


@dataclass(frozen=True)
class Jpeg2000Planes:
    """Planes as the components of one codestream; steps are amplitudes of the error, of 1."""

    # 130 and 1 dB.
    finest: float = 10**-6.5
    coarsest: float = 10**-0.05

    def encode(self, planes: Planes, step: float) -> bytes:
        level: Any = -20 * math.log10(step)
        stream = imagecodecs.jpeg2k_encode(
            planes, level=level, codecformat="J2K", planar=True, mct=False, reversible=False
        )
        return bytes(stream)

    def decode(self, code: bytes) -> npt.NDArray[Any]:
        planes: npt.NDArray[Any] = imagecodecs.jpeg2k_decode(code, planar=True)
        return planes


_PLANES = ScorePlanes(Basis.from_bytes, Jpeg2000Planes())


@dataclass(frozen=True)
class PcaJpeg2000:
    """The codec."""

    name: ClassVar[str] = "PCA + JPEG 2000"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"bpppb", "psnr"})
    settings: ClassVar[str] = "16-bit scores in one 9/7 codestream, best number of components"

    def encode(self, cube: Cube, target: Target) -> bytes:
        check(self, target)
        found = _PLANES.best(cube, target, Axes.of(cube).strongest, cube.shape[2])
        if found is None:
            raise TargetError(f"{self.name} cannot reach {target} with any number of components")
        return found[1]

    def decode(self, payload: bytes) -> Cube:
        return _PLANES.decode(payload)
