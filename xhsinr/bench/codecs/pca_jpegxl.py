"""PCA and JPEG XL: score planes one below another in one grey image of 16 bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import imagecodecs
import numpy as np
import numpy.typing as npt

from xhsinr.bench.codecs import Cube, Kind, Target
from xhsinr.bench.codecs.common import check
from xhsinr.bench.codecs.pca import Axes, Basis
from xhsinr.bench.codecs.score_planes import Planes, ScorePlanes
from xhsinr.errors import TargetError

__all__ = ["PcaJpegXl"]

_MIDDLE = 32768


@dataclass(frozen=True)
class _Planes:
    """Planes in one image; a step is the encoder's distance."""

    finest: float = 0.01
    coarsest: float = 15.0

    def encode(self, planes: Planes, step: float) -> bytes:
        image = (planes.astype(np.int32) + _MIDDLE).astype(np.uint16)
        stack = np.ascontiguousarray(image.reshape(-1, planes.shape[2]))
        stream = imagecodecs.jpegxl_encode(
            stack, distance=step, effort=7, usecontainer=False, photometric="gray", numthreads=1
        )
        return bytes(stream)

    def decode(self, code: bytes) -> npt.NDArray[Any]:
        planes: npt.NDArray[Any] = imagecodecs.jpegxl_decode(code).astype(np.int32) - _MIDDLE
        return planes


_PLANES = ScorePlanes(Basis.from_bytes, _Planes())


@dataclass(frozen=True)
class PcaJpegXl:
    """The codec."""

    name: ClassVar[str] = "PCA + JPEG XL"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"bpppb", "psnr"})
    settings: ClassVar[str] = (
        "16-bit scores stacked in one image, effort 7, best number of components"
    )

    def encode(self, cube: Cube, target: Target) -> bytes:
        check(self, target)
        found = _PLANES.best(cube, target, Axes.of(cube).strongest, cube.shape[2])
        if found is None:
            raise TargetError(f"{self.name} cannot reach {target} with any number of components")
        return found[1]

    def decode(self, payload: bytes) -> Cube:
        return _PLANES.decode(payload)
