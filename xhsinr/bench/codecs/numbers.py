"""Lossless coders of numbers, such as pcodec and fpzip, on cubes: lossless, or rounded to a bound.

Bands first or last; integers also as the differences of each band to the one before.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.bench.codecs import Cube, Target
from xhsinr.bench.codecs.common import pack_shape, unpack_shape
from xhsinr.bench.codecs.rounding import Rounding

__all__ = ["decode", "encode"]

Numbers = npt.NDArray[Any]

_HEAD = struct.Struct("<??")


def encode(cube: Cube, target: Target, code: Callable[[Numbers], bytes]) -> bytes:
    """The smallest arrangement of a cube, within a bound or lossless.

    Parameters
    ----------
    cube : ndarray, shape (rows, cols, bands)
    target : Target
        Of kind ``max_error`` or ``lossless``.
    code : callable
        Codes int32, float32 or float64 of three axes without loss.
    """
    if cube.dtype.kind == "f" and target.kind == "lossless":
        rounding, values = Rounding(0, 0), cube
    else:
        rounding = Rounding.of(cube, target)
        values = rounding.indices(cube).astype(np.int32)
    codes = []
    for first in (False, True):
        for differences in (False, True)[: 2 if values.dtype.kind == "i" else 1]:
            numbers = (
                np.diff(values, axis=2, prepend=0).astype(values.dtype) if differences else values
            )
            ordered = numbers.transpose(2, 0, 1) if first else numbers
            codes.append(_HEAD.pack(first, differences) + code(np.ascontiguousarray(ordered)))
    return pack_shape(cube) + rounding.to_bytes() + min(codes, key=len)


def decode(payload: bytes, decode_numbers: Callable[[bytes], Numbers]) -> Cube:
    """The cube that `encode` coded."""
    (rows, cols, bands), dtype, rest = unpack_shape(payload)
    rounding, code = Rounding.from_bytes(rest)
    first, differences = _HEAD.unpack_from(code)
    numbers = decode_numbers(code[_HEAD.size :])
    if first:
        values = numbers.reshape(bands, rows, cols).transpose(1, 2, 0)
    else:
        values = numbers.reshape(rows, cols, bands)
    if differences:
        values = np.cumsum(values, axis=2)
    return values.astype(dtype) if rounding.step == 0 else rounding.samples(values, dtype)
