"""Coding ``bounded``: integers, none off by more than was promised, or none at all."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import google_crc32c
import numpy as np
import numpy.typing as npt

from xhsinr.coding import bound, detail
from xhsinr.coding.contract import Bands, Frame, Planes, Samples, Valid
from xhsinr.coding.overview import block_means
from xhsinr.entropy.cursor import Cursor, varint
from xhsinr.errors import DamagedSidecarError
from xhsinr.spectral.basis import SpectralBasis

__all__ = ["BoundedCoding"]

_SEAL, _EXPONENT = struct.Struct("<I"), struct.Struct("<h")
_MOST_ERROR, _LARGEST_EXPONENT = 1 << 34, 1100
_PER_SAMPLE, _PER_SCORE = 80, 40


@dataclass(frozen=True, eq=False)
class BoundedCoding:
    """A coding with a largest error; see `xhsinr.coding.contract.Coding`.

    Attributes
    ----------
    frame : Frame
    max_error : int
        Largest error in units of ``2**exponent``; 0 is lossless.
    exponent : int
        Samples are rounded to integers in this unit first; 0 for integer samples.
    basis : SpectralBasis
    level : float
        Error variance per coefficient of the base; only encoding needs it.
    """

    name: ClassVar[str] = "bounded"
    parts: ClassVar[tuple[str, ...]] = ("base", "bound")
    exact: ClassVar[bool] = True

    frame: Frame
    max_error: int
    exponent: int
    basis: SpectralBasis
    level: float = 0.0

    def encode(self, samples: Samples, valid: Valid | None, device: str) -> dict[str, bytes]:
        parts: dict[str, bytes] = {}
        shape = samples.shape[1:]
        scores = self.basis.scores(samples)
        if len(scores):
            distortion = float(detail.expected_distortion(scores, self.level))
            if distortion > 0:
                parts["base"] = detail.encode(scores, distortion, integer=True)
        base = self._base(parts.get("base", b""), *shape)
        residual = self._to_integers(samples) - base
        if valid is not None:
            residual = np.where(valid, residual, 0)
        content = bound.encode(residual, base, self.max_error)
        decoded = self._decode(content, parts.get("base", b""), *shape)
        return {**parts, "bound": _seal(decoded) + content}

    def decode(
        self, parts: Mapping[str, bytes], rows: int, cols: int, bands: Bands | None
    ) -> Samples:
        sealed = parts.get("bound", b"")
        if len(sealed) < _SEAL.size:
            raise DamagedSidecarError("a tile with valid samples lacks its part 'bound'")
        samples = self._decode(sealed[_SEAL.size :], parts.get("base", b""), rows, cols)
        if _seal(samples) != sealed[: _SEAL.size]:
            raise DamagedSidecarError(
                "it decodes to other values than when it was written: the file is damaged, "
                "or this machine's JPEG 2000 library reconstructs other integers"
            )
        return samples if bands is None else samples[bands]

    def decode_coarse(
        self, parts: Mapping[str, bytes], rows: int, cols: int, factor: int, bands: Bands | None
    ) -> Planes:
        return block_means(self.decode(parts, rows, cols, bands), factor, np.float64)

    def to_bytes(self) -> bytes:
        return varint(self.max_error) + _EXPONENT.pack(self.exponent) + self.basis.to_bytes()

    @classmethod
    def from_bytes(cls, content: bytes, frame: Frame) -> Self:
        cursor = Cursor(content, "the coding 'bounded' in the header")
        max_error = cursor.varint()
        (exponent,) = _EXPONENT.unpack(cursor.take(_EXPONENT.size))
        if max_error > _MOST_ERROR or abs(exponent) > _LARGEST_EXPONENT:
            raise DamagedSidecarError(
                f"its header promises errors up to {max_error} times 2**{exponent}, which no "
                "file is written with: it is damaged"
            )
        return cls(frame, max_error, exponent, SpectralBasis.from_bytes(cursor.rest(), frame.bands))

    def memory(self, pixels: int) -> int:
        per_sample = _PER_SAMPLE + self.frame.dtype.itemsize
        return pixels * (per_sample * self.frame.bands + _PER_SCORE * self.basis.components)

    def _decode(self, content: bytes, coded: bytes, rows: int, cols: int) -> Samples:
        base = self._base(coded, rows, cols)
        residual = bound.decode(content, base, self.max_error, (self.frame.bands, rows, cols))
        integers = np.clip(base + residual, *self._range)
        if self.frame.dtype.kind == "f":
            # Exact: the exponent was chosen so that all integers fit the mantissa.
            samples = np.ldexp(integers.astype(np.float64), self.exponent)
            return self.frame.to_samples(samples)
        return np.asarray(integers, self.frame.dtype)

    def _base(self, coded: bytes, rows: int, cols: int) -> npt.NDArray[np.int64]:
        """What the part before decodes to, in integers on every machine."""
        scores, exponent = detail.decode_integer(coded, rows, cols, self.basis.components)
        base = self.basis.reconstruct_integer(scores, exponent, self.exponent)
        return np.clip(base, *self._range)

    @property
    def _range(self) -> npt.NDArray[np.int64]:
        frame = self.frame
        return self._to_integers(np.array([frame.low, frame.high], frame.dtype))

    def _to_integers(self, samples: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        if self.frame.dtype.kind != "f":
            return samples.astype(np.int64)
        scaled = np.ldexp(samples.astype(np.float64), -self.exponent)
        return np.rint(scaled).astype(np.int64)


def _seal(decoded: Samples) -> bytes:
    """Checksum of what a tile decodes to: a promise that can be checked."""
    little = np.ascontiguousarray(decoded, decoded.dtype.newbyteorder("<"))
    return _SEAL.pack(google_crc32c.value(little.tobytes()))
