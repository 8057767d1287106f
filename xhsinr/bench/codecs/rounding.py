"""Lossless coders at a bounded error: samples are rounded to even steps before they are coded."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.bench.codecs import Cube, Target
from xhsinr.bench.codecs.common import as_type
from xhsinr.errors import TargetError

__all__ = ["Rounding"]

_FORMAT = struct.Struct("<dd")
# Decoded floats are rounded once more, to their own type: that has to fit into the bound, too.
_MARGIN = 1 - 2.0**-10
_LARGEST = 2**16 - 1


@dataclass(frozen=True)
class Rounding:
    """Sample = ``low`` + ``step`` x index, indices from zero up.

    Attributes
    ----------
    low, step : float
    """

    low: float
    step: float

    @classmethod
    def of(cls, cube: Cube, target: Target) -> Rounding:
        """The widest steps that keep to a target of kind ``max_error`` or ``lossless``.

        Raises
        ------
        TargetError
            If floats are to be lossless, or the indices would not fit into 16 bits.
        """
        low, high = float(cube.min()), float(cube.max())
        if cube.dtype.kind != "f":
            step = 2.0 * math.floor(target.value) + 1
        elif target.kind == "max_error":
            step = 2 * target.value * _MARGIN
        else:
            raise TargetError("this codec is lossless for integers only: give floats a bound")
        if (high - low) / step > _LARGEST:
            raise TargetError(f"{target} needs indices above 16 bits: ask for a wider bound")
        return cls(low, step)

    def indices(self, cube: Cube) -> npt.NDArray[np.uint16]:
        return np.rint((cube.astype(np.float64) - self.low) / self.step).astype(np.uint16)

    def samples(self, indices: npt.NDArray[Any], dtype: np.dtype[Any]) -> Cube:
        return as_type(indices.astype(np.float64) * self.step + self.low, dtype)

    def to_bytes(self) -> bytes:
        return _FORMAT.pack(self.low, self.step)

    @classmethod
    def from_bytes(cls, payload: bytes) -> tuple[Rounding, bytes]:
        """A rounding, and the bytes behind it."""
        return cls(*_FORMAT.unpack_from(payload)), payload[_FORMAT.size :]
