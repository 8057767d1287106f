"""Floating-point samples whose every bit comes back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import imagecodecs
import numpy as np
import numpy.typing as npt

from xhsinr.coding import bound
from xhsinr.coding.contract import Bands, Frame, Planes, Samples, Valid
from xhsinr.errors import DamagedSidecarError

__all__ = ["FloatsCoding", "decode_floats", "encode_floats"]

DIGITS = 6  # after the point, of floats that are coded as integers
LARGEST_DECIMAL = 1 << 31
BIT_STEPS = 255  # first byte of other floats
ZSTD_LEVEL = 19
_PER_SAMPLE = 40  # bytes of memory


@dataclass(frozen=True)
class FloatsCoding:
    """Floats bit by bit; see `xhsinr.coding.contract.Coding`."""

    name: ClassVar[str] = "floats"
    parts: ClassVar[tuple[str, ...]] = ("floats",)
    exact: ClassVar[bool] = True

    frame: Frame

    def encode(self, samples: Samples, valid: Valid | None, device: str) -> dict[str, bytes]:
        return {"floats": encode_floats(samples)}

    def decode(
        self, parts: Mapping[str, bytes], rows: int, cols: int, bands: Bands | None
    ) -> Samples:
        shape = (self.frame.bands, rows, cols)
        samples = decode_floats(parts.get("floats", b""), shape, self.frame.dtype)
        return samples if bands is None else samples[bands]

    def decode_coarse(
        self, parts: Mapping[str, bytes], rows: int, cols: int, factor: int, bands: Bands | None
    ) -> Planes | None:
        return None

    def to_bytes(self) -> bytes:
        return b""

    @classmethod
    def from_bytes(cls, content: bytes, frame: Frame) -> Self:
        if content or frame.dtype.kind != "f":
            raise DamagedSidecarError(
                f"its header has {len(content)} bytes for float samples of {frame.dtype}"
            )
        return cls(frame)

    def memory(self, pixels: int) -> int:
        return pixels * self.frame.bands * (_PER_SAMPLE + self.frame.dtype.itemsize)


def encode_floats(values: npt.NDArray[Any]) -> bytes:
    """Code floating-point samples so that every bit of them comes back.

    Decimal fractions of up to `DIGITS` digits are coded as integers, by
    `xhsinr.coding.bound.encode`. Of others, the difference of each sample's bits to those of the
    band before is coded by ZSTD, most significant bytes together.

    Parameters
    ----------
    values : ndarray of float32 or float64, shape (bands, rows, cols)
        Any values, NaN, infinities and -0.0 included.
    """
    decimal = _decimal(values)
    if decimal is not None:
        digits, integers = decimal
        return bytes([digits]) + bound.encode(integers, None, 0)
    steps = _in_order(np.ascontiguousarray(values).view(f"i{values.itemsize}"))
    steps[1:] -= steps[:-1].copy()
    folded = (steps << 1) ^ (steps >> (8 * values.itemsize - 1))
    planes = folded.astype(folded.dtype.newbyteorder("<")).reshape(-1, 1).view(np.uint8).T
    return bytes([BIT_STEPS]) + imagecodecs.zstd_encode(planes.tobytes(), level=ZSTD_LEVEL)


def decode_floats(
    payload: bytes, shape: tuple[int, int, int], dtype: npt.DTypeLike
) -> npt.NDArray[Any]:
    """Decode floating-point samples.

    Parameters
    ----------
    payload : bytes
        From `encode_floats`.
    shape : tuple of int
        (bands, rows, cols).
    dtype : float32 or float64
        The data type of the samples.

    Raises
    ------
    DamagedSidecarError
        If the payload cannot come from `encode_floats`.
    """
    dtype = np.dtype(dtype)
    kind = payload[0] if payload else None
    if kind is not None and kind <= DIGITS:
        return _fraction(bound.decode(payload[1:], None, 0, shape), kind, dtype)
    size = math.prod(shape) * dtype.itemsize
    try:
        if kind != BIT_STEPS:
            raise ValueError(f"they are of kind {kind}")
        packed = imagecodecs.zstd_decode(payload[1:], out=size)
        if len(packed) != size:
            raise ValueError(f"there are {len(packed)} bytes and not {size}")
    except (imagecodecs.ZstdError, ValueError) as error:
        raise DamagedSidecarError(f"The float samples of a tile are damaged: {error}.") from error
    planes = np.frombuffer(packed, np.uint8).reshape(dtype.itemsize, -1)
    unsigned = np.dtype(f"<u{dtype.itemsize}")
    folded = np.ascontiguousarray(planes.T).view(unsigned).astype(unsigned.newbyteorder("="))
    steps = (folded >> 1).view(f"i{dtype.itemsize}") ^ -(folded & 1).view(f"i{dtype.itemsize}")
    return _in_order(np.cumsum(steps.reshape(shape), axis=0, dtype=steps.dtype)).view(dtype)


def _decimal(values: npt.NDArray[Any]) -> tuple[int, npt.NDArray[Any]] | None:
    """The fewest digits after the point that hold the values exactly, and all as integers."""
    if not np.isfinite(values).all():
        return None
    for digits in range(DIGITS + 1):
        scaled = np.rint(values.astype(np.float64) * 10**digits)
        if np.abs(scaled).max(initial=0) > LARGEST_DECIMAL:
            return None
        integers = scaled.astype(np.int64)
        if _fraction(integers, digits, values.dtype).tobytes() == values.tobytes():
            return digits, integers
    return None


def _fraction(integers: npt.NDArray[Any], digits: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    # One correctly rounded division, and one rounding to float32: the same on every machine.
    return (integers / np.float64(10**digits)).astype(dtype)


def _in_order(bits: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The bits of floats as integers that are ordered as the floats are; its own inverse."""
    sign = bits >> (8 * bits.itemsize - 1)
    ordered: npt.NDArray[Any] = bits ^ (sign & np.iinfo(bits.dtype).max)
    return ordered
