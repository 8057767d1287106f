"""pcodec: numbers by modes, deltas and bins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy.typing as npt

from xhsinr.bench.codecs import Cube, Kind, Target, numbers
from xhsinr.bench.codecs.common import check
from xhsinr.errors import HsinrError

__all__ = ["Pcodec"]

_LEVEL = 12


@dataclass(frozen=True)
class Pcodec:
    """The codec."""

    name: ClassVar[str] = "pcodec"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"max_error", "lossless"})
    settings: ClassVar[str] = "level 12, best of samples and band differences and order of axes"

    def encode(self, cube: Cube, target: Target) -> bytes:
        check(self, target)
        return numbers.encode(cube, target, _encode)

    def decode(self, payload: bytes) -> Cube:
        return numbers.decode(payload, _library().standalone.simple_decompress)


def _encode(values: npt.NDArray[Any]) -> bytes:
    library = _library()
    settings = library.ChunkConfig(compression_level=_LEVEL)
    return bytes(library.standalone.simple_compress(values.ravel(), settings))


def _library() -> Any:
    try:
        import pcodec
        import pcodec.standalone
    except ImportError as error:
        raise HsinrError("pcodec is not installed: pip install 'xhsinr[bench]'") from error
    return pcodec
