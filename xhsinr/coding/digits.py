"""The last digits of floats: which of the floats between two neighbours on a grid each one is.

Floats are counted in order (see `xhsinr.coding.rest`). As a rule the noise of a sample covers many
of those between two points of the grid, and they come equally often; only the point itself, the
first of them, may come more often, and has a probability that adapts to how many there are.

**The bytes** are those of a range coder (`xhsinr.entropy.rans`), none if no sample of a band has a
choice. Sample by sample, if there are s > 1 to choose from: a bit (`xhsinr.entropy.bits`), 1 for
the first, in the context of the bit length of s - 1. If it is 0 and s > 2, the choice less one: its
bits from the highest on that are above the lowest h, the least h for which s - 2 >> h has 12 bits
at most, as t of m = (s - 2 >> h) + 1, which has the shares from t 2**15 // m to (t + 1) 2**15 // m;
then the h bits, 15 at most at once, equally likely.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from xhsinr.entropy import bits, rans
from xhsinr.errors import DamagedSidecarError

__all__ = ["decode_digits", "encode_digits"]

_TOP = 12
"""Bits of a number that are coded at once, whatever the range that it is from."""
_CONTEXTS = 64
_NOTES = 6
"""Of a sample at most: whether it is the first, its highest bits, and the others."""

Int64Array = npt.NDArray[np.int64]


def encode_digits(places: Int64Array, sizes: Int64Array) -> bytes:
    """Code the digits of a band; none where nothing is left to say.

    Parameters
    ----------
    places, sizes : ndarray of int64, shape (samples,)
        Natural numbers, and how many there are to choose from: a place is below its size.
    """
    if not (sizes > 1).any():
        return b""
    notes = np.empty((len(places) * _NOTES, 2), np.uint16)
    count = _note(places, sizes, notes, bits.contexts(_CONTEXTS))
    return bits.finish(notes, count)


def decode_digits(content: bytes, sizes: Int64Array) -> Int64Array:
    """The places that `encode_digits` got with these sizes.

    Raises
    ------
    DamagedSidecarError
        If it writes no such bytes.
    """
    places = np.zeros(len(sizes), np.int64)
    if not content:
        return places
    try:
        state, words = rans.start(content)
        if not _read(places, sizes, state, words, bits.contexts(_CONTEXTS)):
            raise ValueError("its bytes do not end where it does")
    except ValueError as error:
        raise DamagedSidecarError(f"the digits of a band are damaged: {error}") from error
    return places


@njit(inline="always", cache=True)
def _bits(number: Any) -> Any:
    length = 0
    while number >> length:
        length += 1
    return length


@njit(cache=True, nogil=True)
def _note(places: Any, sizes: Any, notes: Any, model: Any) -> int:
    count = 0
    for i in range(len(places)):
        place, size = places[i], sizes[i]
        if size < 2:
            continue
        count = bits.note(notes, count, model, _bits(size - 1), 1 if place == 0 else 0)
        if place == 0 or size == 2:
            continue
        shift = max(_bits(size - 2) - _TOP, 0)
        top, most = (place - 1) >> shift, ((size - 2) >> shift) + 1
        first = (top << rans.BITS) // most
        notes[count, 0] = first
        notes[count, 1] = ((top + 1) << rans.BITS) // most - first
        count += 1
        count = rans.put_raw(notes, count, place - 1, shift)
    return count


@njit(cache=True, nogil=True)
def _read(places: Any, sizes: Any, state: Any, words: Any, model: Any) -> bool:
    left = len(words)
    for i in range(len(places)):
        size = sizes[i]
        if size < 2:
            continue
        state, left, first = bits.read(state, words, left, model, _bits(size - 1))
        if first:
            continue
        places[i] = 1
        if size == 2:
            continue
        shift = max(_bits(size - 2) - _TOP, 0)
        most = ((size - 2) >> shift) + 1
        number = ((np.int64(rans.peek(state)) + 1) * most - 1) >> rans.BITS
        begin = (number << rans.BITS) // most
        end = ((number + 1) << rans.BITS) // most
        state, left = rans.get(state, words, left, begin, end - begin)
        state, left, low = rans.get_raw(state, words, left, shift)
        number = number << shift | low
        places[i] = min(number + 1, size - 1)
    return left == 0 and state == rans.EMPTY
