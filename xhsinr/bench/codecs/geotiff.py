"""GeoTIFF as people write it: DEFLATE or ZSTD with a predictor, or LERC with a bound."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from xhsinr import metrics
from xhsinr.bench.codecs import Cube, Kind, Target
from xhsinr.bench.codecs.common import check, pack_shape, unpack_shape
from xhsinr.bench.codecs.rounding import Rounding
from xhsinr.errors import TargetError

__all__ = ["GeotiffDeflate", "GeotiffLerc", "GeotiffZstd"]

_BOUNDED: frozenset[Kind] = frozenset({"max_error", "lossless"})


@dataclass(frozen=True)
class GeotiffDeflate:
    """DEFLATE; a bound is met by rounding the samples first."""

    name: ClassVar[str] = "GeoTIFF, DEFLATE"
    kinds: ClassVar[frozenset[Kind]] = _BOUNDED
    settings: ClassVar[str] = "level 9, predictor, best interleaving; bounds by rounding first"

    def encode(self, cube: Cube, target: Target) -> bytes:
        check(self, target)
        return _encode_rounded(cube, target, compress="deflate", zlevel=9)

    def decode(self, payload: bytes) -> Cube:
        return _decode_rounded(payload)


@dataclass(frozen=True)
class GeotiffZstd:
    """ZSTD; a bound is met by rounding the samples first."""

    name: ClassVar[str] = "GeoTIFF, ZSTD"
    kinds: ClassVar[frozenset[Kind]] = _BOUNDED
    settings: ClassVar[str] = "level 19, predictor, best interleaving; bounds by rounding first"

    def encode(self, cube: Cube, target: Target) -> bytes:
        check(self, target)
        return _encode_rounded(cube, target, compress="zstd", zstd_level=19)

    def decode(self, payload: bytes) -> Cube:
        return _decode_rounded(payload)


@dataclass(frozen=True)
class GeotiffLerc:
    """LERC with a bound, its bytes in ZSTD."""

    name: ClassVar[str] = "GeoTIFF, LERC_ZSTD"
    kinds: ClassVar[frozenset[Kind]] = _BOUNDED
    settings: ClassVar[str] = "MAX_Z_ERROR, ZSTD level 19, best interleaving"

    def encode(self, cube: Cube, target: Target) -> bytes:
        check(self, target)
        bound = math.floor(target.value) if cube.dtype.kind != "f" else target.value
        payload = _smallest(cube, compress="lerc_zstd", max_z_error=bound, zstd_level=19)
        off = metrics.max_error(cube, self.decode(payload))
        if off > target.value:
            raise TargetError(f"{self.name} breaks {target}: off by {off:g}")
        return payload

    def decode(self, payload: bytes) -> Cube:
        return _read(payload)


def _encode_rounded(cube: Cube, target: Target, **options: Any) -> bytes:
    # The predictor of floats is another one: without a bound they stay as they are.
    if cube.dtype.kind == "f" and target.kind == "lossless":
        file = _smallest(cube, predictor=3, **options)
        return pack_shape(cube) + Rounding(0, 0).to_bytes() + file
    rounding = Rounding.of(cube, target)
    indices = rounding.indices(cube)
    small = indices.astype(np.uint8) if indices.max() < 256 else indices
    return pack_shape(cube) + rounding.to_bytes() + _smallest(small, predictor=2, **options)


def _decode_rounded(payload: bytes) -> Cube:
    _, dtype, rest = unpack_shape(payload)
    rounding, file = Rounding.from_bytes(rest)
    stored = _read(file)
    return stored if rounding.step == 0 else rounding.samples(stored, dtype)


def _smallest(cube: npt.NDArray[Any], **options: Any) -> bytes:
    """The smaller file of the two ways to interleave; blocks of 256 rows at most."""
    return min((_write(cube, interleave, **options) for interleave in ("band", "pixel")), key=len)


def _write(cube: npt.NDArray[Any], interleave: str, **options: Any) -> bytes:
    rows, cols, bands = cube.shape
    profile = {"driver": "GTiff", "dtype": cube.dtype.name, "interleave": interleave, **options}
    with warnings.catch_warnings(), MemoryFile() as file:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with file.open(
            **profile, count=bands, height=rows, width=cols, blockysize=min(rows, 256)
        ) as raster:
            raster.write(np.ascontiguousarray(cube.transpose(2, 0, 1)))
        return bytes(file.getbuffer())


def _read(payload: bytes) -> Cube:
    with warnings.catch_warnings(), MemoryFile(payload) as file:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with file.open() as raster:
            planes: Cube = raster.read()
    return np.ascontiguousarray(planes.transpose(1, 2, 0))
