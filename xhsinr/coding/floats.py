"""Coding ``floats``: floating-point samples that are no integers times a step, to the last bit.

A band's samples are counted in steps of a power of two, about the last digit of its large ones.
The whole steps are coded as the integers of the coding ``bounded`` are, and where a sample lies
between two of them by `xhsinr.coding.digits`. So are the digits that small samples have beyond a
large one's, which are noise, while what other bands tell of a sample is told in steps.

`docs/format.md` has the bytes in section 12. The *place* of a float are its bits as a signed
integer, all but the sign inverted where that is set, shifted right by the zeros at the end of all.
A sample's place less that of the step below it is its digit, of as many as lie before that of the
next step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from xhsinr.coding import bounded_tile
from xhsinr.coding.contract import Bands, Frame, Planes, Samples, Valid
from xhsinr.coding.digits import decode_digits, encode_digits
from xhsinr.coding.rest import from_order, in_order
from xhsinr.entropy.cursor import Cursor, varint
from xhsinr.errors import DamagedSidecarError

__all__ = ["FloatsCoding"]

_LARGE = 0.99
"""Share of a band's samples that have no more digits than a step."""
_RANGE_BITS = 29
"""Whole steps are below two to this in magnitude: differences of them fit 32 bits."""
_LEAST_EXPONENT = -1074
_SAMPLE = 1 << 14
_PER_SAMPLE, _PER_PIXEL = 24, 128
"""Bytes of memory beside the integers'."""

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FloatsCoding:
    """Floats bit by bit; see `xhsinr.coding.contract.Coding`."""

    name: ClassVar[str] = "floats"
    parts: ClassVar[tuple[str, ...]] = ("steps", "digits")
    exact: ClassVar[bool] = True

    frame: Frame

    @staticmethod
    def gains_by_gpu(device: str) -> bool:
        return False

    def encode(self, samples: Samples, valid: Valid | None, device: str) -> dict[str, bytes]:
        grids = [
            _Grid.of(band if valid is None else band[valid[i]], self.frame.dtype)
            for i, band in enumerate(samples)
        ]
        steps = np.stack([grid.steps(band) for grid, band in zip(grids, samples, strict=True)])
        lossless = np.zeros(len(samples), np.int64)
        coded = bounded_tile.encode_integers(steps, None, lossless, valid)
        digits = []
        for i, grid in enumerate(grids):
            use = slice(None) if valid is None else valid[i]
            first, sizes = grid.cells(steps[i][use].ravel())
            digits.append(encode_digits(grid.places(samples[i][use].ravel()) - first, sizes))
        numbers = b"".join(
            grid.to_bytes() + varint(len(content))
            for grid, content in zip(grids, digits, strict=True)
        )
        return {"steps": coded, "digits": numbers + b"".join(digits)}

    def decode(
        self,
        parts: Mapping[str, bytes],
        rows: int,
        cols: int,
        bands: Bands | None,
        valid: Valid | None = None,
    ) -> Samples:
        cursor = Cursor(parts.get("digits", b""), "the digits of a tile")
        heads = [
            (_Grid.from_cursor(cursor, self.frame.dtype), cursor.varint())
            for _ in range(self.frame.bands)
        ]
        digits = [cursor.take(length) for _, length in heads]
        cursor.end()
        low, high = zip(*(grid.limits(self.frame) for grid, _ in heads), strict=True)
        steps = np.empty((self.frame.bands, rows, cols), np.int32)
        bounded_tile.decode_integers(
            parts.get("steps", b""),
            None,
            np.zeros(self.frame.bands, np.int64),
            (np.array(low, np.int32), np.array(high, np.int32)),
            valid,
            steps,
        )
        wanted = range(self.frame.bands) if bands is None else bands.tolist()
        samples = np.zeros((len(wanted), rows, cols), self.frame.dtype)
        for band, i in zip(samples, wanted, strict=True):
            grid, use = heads[i][0], slice(None) if valid is None else valid[i]
            first, sizes = grid.cells(steps[i][use].ravel())
            places = first + decode_digits(digits[i], sizes)
            band[use] = grid.samples(places).reshape(band[use].shape)
        return samples

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
        integers = bounded_tile.memory(self.frame.bands, pixels)
        return integers + pixels * (_PER_SAMPLE * self.frame.bands + _PER_PIXEL)


@dataclass(frozen=True)
class _Grid:
    """Steps of a band, and the floats between them.

    Attributes
    ----------
    dtype : dtype
    exponent : int
        A step is two to this.
    zeros : int
        Binary digits that are zero at the end of every sample.
    """

    dtype: np.dtype[Any]
    exponent: int
    zeros: int

    @classmethod
    def of(cls, values: Samples, dtype: np.dtype[Any]) -> Self:
        """The grid that suits some values."""
        sizes = np.abs(values).ravel()
        digits = np.finfo(dtype).nmant
        joint = int(np.bitwise_or.reduce(sizes.view(f"u{dtype.itemsize}")))
        if not joint:
            return cls(dtype, 0, 0)
        zeros = min((joint & -joint).bit_length() - 1, digits)
        large = np.quantile(sizes[:: max(1, len(sizes) // _SAMPLE)], _LARGE, method="higher")
        last = int(np.frexp(large)[1]) - digits - 1 + zeros
        widest = int(np.frexp(sizes.max())[1]) - _RANGE_BITS
        return cls(dtype, max(last, widest, _LEAST_EXPONENT), zeros)

    def steps(self, samples: Samples) -> npt.NDArray[np.int32]:
        """Whole steps below each sample; -0.0 is below 0.0."""
        whole = self._whole(samples)
        # Only fillers are beyond.
        most = 1 << _RANGE_BITS
        steps = np.clip(whole, -most, most).astype(np.int32)
        steps[np.signbit(samples) & (whole == 0)] = -1
        return steps

    def _whole(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(np.floor(np.ldexp(values.astype(np.float64), -self.exponent)))

    def places(self, samples: Samples) -> Int64Array:
        """Samples as integers that are ordered as they are, of those with so many zeros."""
        return in_order(samples) >> self.zeros

    def samples(self, places: Int64Array) -> Samples:
        """Samples of places."""
        magnitudes = np.where(places < 0, ~places, places) << self.zeros
        return from_order(np.where(places < 0, ~magnitudes, magnitudes), self.dtype)

    def cells(self, steps: npt.NDArray[np.int32]) -> tuple[Int64Array, Int64Array]:
        """The first place of each step, and how many there are before the next."""
        with np.errstate(over="ignore"):
            ends = np.ldexp(np.stack([steps, steps + 1.0]), self.exponent).astype(self.dtype)
        first, last = self.places(ends)
        return first, np.maximum(last - first, 1)

    def limits(self, frame: Frame) -> tuple[int, int]:
        """Least and greatest step of samples of a frame."""
        ends = self._whole(np.array([frame.low, frame.high]))
        most = float(1 << _RANGE_BITS)
        low, high = np.clip(ends, -most, most).astype(int).tolist()
        return low - (low == 0), high

    def to_bytes(self) -> bytes:
        return varint(self.exponent - _LEAST_EXPONENT) + varint(self.zeros)

    @classmethod
    def from_cursor(cls, cursor: Cursor, dtype: np.dtype[Any]) -> Self:
        exponent, zeros = cursor.varint() + _LEAST_EXPONENT, cursor.varint()
        if exponent > np.finfo(np.float64).maxexp or zeros > np.finfo(dtype).nmant:
            raise DamagedSidecarError(
                f"a band's floats have steps of 2**{exponent} and {zeros} zeros: it is damaged"
            )
        return cls(dtype, exponent, zeros)
