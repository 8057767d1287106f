"""What integers leave of samples: mostly zeros, whole numbers of any size, of a tile's bands.

Floating-point samples count in units of their last place, in which neighbouring floats differ
by one and -0.0 comes before 0.0, so that what is left of nearly exact samples is -1, 0 or 1.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from xhsinr.entropy import bits, rans
from xhsinr.errors import DamagedSidecarError

__all__ = ["decode_rest", "encode_rest", "from_order", "in_order"]

# Contexts: whether a band has any, a sample its zero by two neighbours, its sign, its size.
_SOME = rans.ZERO
_ZERO, _SIGN, _SIZE = _SOME + 1, _SOME + 5, _SOME + 8
_CONTEXTS = _SIZE + bits.NUMBER_CONTEXTS

Samples = npt.NDArray[Any]
Int64Array = npt.NDArray[np.int64]


def in_order(samples: Samples) -> Int64Array:
    """Samples as integers that are ordered as they are; of floats all bits count."""
    if samples.dtype.kind != "f":
        return samples.astype(np.int64)
    size = samples.itemsize
    held = np.ascontiguousarray(samples).view(f"i{size}")
    ordered: Samples = held ^ ((held >> (8 * size - 1)) & np.iinfo(held.dtype).max)
    return ordered.astype(np.int64)


def from_order(ordered: Int64Array, dtype: np.dtype[Any]) -> Samples:
    """Samples that `in_order` made integers of."""
    if dtype.kind != "f":
        return ordered.astype(dtype)
    held = ordered.astype(f"i{dtype.itemsize}")
    held ^= (held >> (8 * dtype.itemsize - 1)) & np.iinfo(held.dtype).max
    return held.view(dtype)


def encode_rest(rest: Int64Array) -> bytes:
    """Bytes of what is left, shape (bands, rows, cols); none where it is all zeros."""
    if not rest.any():
        return b""
    flat = np.ascontiguousarray(rest)
    model = bits.contexts(_CONTEXTS)
    notes = np.empty((_room(flat), 2), np.uint16)
    return bits.finish(notes, _note_rest(flat, notes, model))


def decode_rest(content: bytes, bands: int, rows: int, cols: int) -> Int64Array:
    """What `encode_rest` coded.

    Raises
    ------
    DamagedSidecarError
        If it coded nothing of that shape.
    """
    rest = np.zeros((bands, rows, cols), np.int64)
    if not content or not math.prod(rest.shape):
        return rest
    try:
        state, words = rans.start(content)
    except ValueError as error:
        raise DamagedSidecarError(f"the last digits of a tile are damaged: {error}") from error
    if not _read_rest(rest, state, words, bits.contexts(_CONTEXTS)):
        raise DamagedSidecarError("the last digits of a tile do not decode: the file is damaged")
    return rest


@njit(cache=True, nogil=True)
def _room(rest: Any) -> int:
    """Notes that are needed at most."""
    room = len(rest)
    for value in rest.ravel():
        room += 1
        if value != 0:
            size = value - 1 if value > 0 else -(value + 1)
            length = 0
            while size >> length:
                length += 1
            room += 2 * length + 3
    return room


@njit(cache=True, nogil=True)
def _note_rest(rest: Any, notes: Any, model: Any) -> int:
    bands, rows, cols = rest.shape
    count: int = rans.ZERO
    for b in range(bands):
        some = 1 if rest[b].any() else 0
        count = bits.note(notes, count, model, _SOME, some)
        if not some:
            continue
        for i in range(rows):
            for j in range(cols):
                value = rest[b, i, j]
                left = rest[b, i, j - 1] if j else 0
                above = rest[b, i - 1, j] if i else 0
                context = _ZERO + (left != 0) + 2 * (above != 0)
                count = bits.note(notes, count, model, context, 1 if value else 0)
                if value == 0:
                    continue
                sign = _SIGN + (0 if left == 0 else 1 if left > 0 else 2)
                count = bits.note(notes, count, model, sign, 1 if value < 0 else 0)
                # The smallest integer has a size, too.
                size = value - 1 if value > 0 else -(value + 1)
                count = bits.note_number(notes, count, model, _SIZE, size)
    return count


@njit(cache=True, nogil=True)
def _read_rest(rest: Any, state: Any, words: Any, model: Any) -> bool:
    bands, rows, cols = rest.shape
    words_left = len(words)
    for b in range(bands):
        state, words_left, some = bits.read(state, words, words_left, model, _SOME)
        if not some:
            continue
        for i in range(rows):
            for j in range(cols):
                left = rest[b, i, j - 1] if j else 0
                above = rest[b, i - 1, j] if i else 0
                context = _ZERO + (left != 0) + 2 * (above != 0)
                state, words_left, bit = bits.read(state, words, words_left, model, context)
                if not bit:
                    continue
                sign = _SIGN + (0 if left == 0 else 1 if left > 0 else 2)
                state, words_left, bit = bits.read(state, words, words_left, model, sign)
                state, words_left, size = bits.read_number(state, words, words_left, model, _SIZE)
                if size < 0:
                    return False
                rest[b, i, j] = -size - 1 if bit else size + 1
    return words_left == 0 and state == rans.EMPTY
