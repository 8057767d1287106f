"""Rows of integers <-> bytes: one Laplace model a row, through constriction's ANS coder."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import constriction
import numpy as np
import numpy.typing as npt

__all__ = ["decode", "encode"]

Integers = npt.NDArray[np.int32]

_HEAD = struct.Struct("<B")
_ROW = struct.Struct("<Iib")
# Mean magnitudes are powers of two in steps of a quarter.
_PER_OCTAVE = 4


def encode(rows: Sequence[npt.NDArray[np.integer[Any]]]) -> bytes:
    """Code rows of any lengths, up to 255 of them; nine bytes a row beside its symbols."""
    coder = constriction.stream.stack.AnsCoder()
    heads = []
    for row in reversed(rows):
        symbols = np.ascontiguousarray(row, np.int32).ravel()
        largest = int(np.abs(symbols).max(initial=0))
        mean = np.abs(symbols).mean() if largest else 1.0
        level = round(float(np.log2(mean)) * _PER_OCTAVE)
        heads.append(_ROW.pack(symbols.size, largest, level))
        if largest:
            coder.encode_reverse(symbols, _model(largest, level))
    words: bytes = coder.get_compressed().astype("<u4").tobytes()
    return _HEAD.pack(len(rows)) + b"".join(reversed(heads)) + words


def decode(payload: bytes) -> list[Integers]:
    """The rows that `encode` coded, flat."""
    (count,) = _HEAD.unpack_from(payload)
    end = _HEAD.size + count * _ROW.size
    words = np.frombuffer(payload[end:], "<u4").astype(np.uint32)
    coder = constriction.stream.stack.AnsCoder(words)
    return [
        coder.decode(_model(largest, level), size) if largest else np.zeros(size, np.int32)
        for size, largest, level in _ROW.iter_unpack(payload[_HEAD.size : end])
    ]


def _model(largest: int, level: int) -> Any:
    scale = max(2 ** (level / _PER_OCTAVE), 0.05)
    return constriction.stream.model.QuantizedLaplace(-largest - 1, largest + 1, 0.0, scale)
