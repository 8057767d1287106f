"""The part ``listed``: single samples of a tile that are kept as they are, beside the coding.

Impulses, dead and saturated samples, and bits that nothing else holds: how far each is from the
one before, and what it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from xhsinr.coding.rest import from_order, in_order
from xhsinr.entropy import bits, rans
from xhsinr.errors import DamagedSidecarError

__all__ = ["decode_listed", "encode_listed"]

# Contexts: how far the next one is; whether it is the sample before again, its sign, its size.
_GAP = rans.ZERO
_AGAIN = _GAP + bits.NUMBER_CONTEXTS
_SIGN = _AGAIN + 2
_SIZE = _SIGN + 1
_CONTEXTS = _SIZE + bits.NUMBER_CONTEXTS
_NOTES = 4 * bits.LENGTHS + 2

Samples = npt.NDArray[Any]
Places = npt.NDArray[np.int64]


def encode_listed(samples: Samples, listed: npt.NDArray[np.bool_]) -> bytes:
    """Code the listed ones of some samples; empty where there are none."""
    places = np.flatnonzero(listed)
    if not len(places):
        return b""
    notes = np.empty(((len(places) + 1) * _NOTES, 2), np.uint16)
    model = bits.contexts(_CONTEXTS)
    count = _note_listed(places, in_order(samples.ravel()[places]), notes, model)
    return bits.finish(notes, count)


def decode_listed(content: bytes, size: int, dtype: np.dtype[Any]) -> tuple[Places, Samples]:
    """Where the listed ones are among ``size`` samples, and what they are.

    Raises
    ------
    DamagedSidecarError
        If `encode_listed` writes no such bytes.
    """
    if not content:
        return np.zeros(0, np.int64), np.zeros(0, dtype)
    try:
        state, words = rans.start(content)
        places, values = _read_listed(state, words, bits.contexts(_CONTEXTS), size)
        if not len(places):
            raise ValueError("they are not where samples are")
    except ValueError as error:
        raise DamagedSidecarError(f"the listed samples do not decode: {error}") from error
    return places, from_order(values, dtype)


@njit(cache=True, nogil=True)
def _note_listed(places: Any, values: Any, notes: Any, model: Any) -> int:
    count, last, before, again = rans.ZERO, -1, 0, 0
    for i in range(len(places)):
        count = bits.note_number(notes, count, model, _GAP, places[i] - last)
        last = places[i]
        same = 1 if values[i] == before else 0
        count = bits.note(notes, count, model, _AGAIN + again, same)
        again = same
        if not same:
            value = values[i]
            count = bits.note(notes, count, model, _SIGN, 1 if value < 0 else 0)
            size = -(value + 1) if value < 0 else value
            count = bits.note_number(notes, count, model, _SIZE, size)
            before = value
    # No further one.
    return bits.note_number(notes, count, model, _GAP, rans.ZERO)


@njit(cache=True, nogil=True)
def _read_listed(state: Any, words: Any, model: Any, most: int) -> tuple[Any, Any]:
    """Places and values; none where the bytes are no list."""
    left, found, last, before, again = len(words), 0, -1, 0, 0
    places, values = np.empty(16, np.int64), np.empty(16, np.int64)
    while True:
        state, left, gap = bits.read_number(state, words, left, model, _GAP)
        if gap == 0 and left == 0 and state == rans.EMPTY:
            return places[:found], values[:found]
        if gap <= 0 or gap >= most - last:
            return places[:0], values[:0]
        last += gap
        state, left, again = bits.read(state, words, left, model, _AGAIN + again)
        if not again:
            state, left, negative = bits.read(state, words, left, model, _SIGN)
            state, left, size = bits.read_number(state, words, left, model, _SIZE)
            if size < 0:
                return places[:0], values[:0]
            before = -size - 1 if negative else size
        if found == len(places):
            places = np.append(places, np.empty_like(places))
            values = np.append(values, np.empty_like(values))
        places[found], values[found] = last, before
        found += 1
