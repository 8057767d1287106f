"""fpzip: lossless prediction of floats; integers are floats that hold them exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from xhsinr.bench.codecs import Cube, Kind, Target, numbers
from xhsinr.bench.codecs.common import check
from xhsinr.errors import HsinrError

__all__ = ["Fpzip"]


@dataclass(frozen=True)
class Fpzip:
    """The codec."""

    name: ClassVar[str] = "fpzip"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"max_error", "lossless"})
    settings: ClassVar[str] = "lossless, best order of the axes; bounds by rounding first"

    def encode(self, cube: Cube, target: Target) -> bytes:
        check(self, target)
        return numbers.encode(cube, target, _encode)

    def decode(self, payload: bytes) -> Cube:
        return numbers.decode(payload, _decode)


def _encode(values: npt.NDArray[Any]) -> bytes:
    floats = values if values.dtype.kind == "f" else values.astype(np.float32)
    return bytes(_library().compress(floats, precision=0, order="C"))


def _decode(code: bytes) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = _library().decompress(code, order="C")
    return values


def _library() -> Any:
    try:
        import fpzip
    except ImportError as error:
        raise HsinrError("fpzip is not installed: pip install 'xhsinr[bench]'") from error
    return fpzip
