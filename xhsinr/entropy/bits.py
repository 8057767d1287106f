"""Bits whose probabilities adapt, each in a context of its own, on the one range coder.

An encoder notes each bit's share of ``range(2**BITS)`` in decoding order and gives the notes to
`xhsinr.entropy.rans.take`; a decoder reads bit after bit. A context's probability is the mean of
two averages, one quick and one slow, which both start from counts (as in context mixing coders;
Said 2004, "Introduction to arithmetic coding", section 3). Integers only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from xhsinr.entropy import rans

__all__ = [
    "LENGTHS",
    "NUMBER_CONTEXTS",
    "Notes",
    "contexts",
    "finish",
    "note",
    "note_number",
    "read",
    "read_number",
]

LENGTHS = 64
"""Numbers are below ``2**(LENGTHS - 1)``."""

NUMBER_CONTEXTS = 3 * LENGTHS
"""Contexts that the bits of a number take."""

_SCALE = 22  # averages are in units of 2**-22
_SEEN = 1023  # bits that a slow average looks back on, and more and more weakly
_QUICK = 24  # the same of a quick one
_RATES = np.array([(2 << 16) // (2 * seen + 3) for seen in range(_SEEN + 1)])
_QUICK_RATE = int(_RATES[_QUICK])

Notes = npt.NDArray[np.uint16]
"""First and frequency of each bit's share, shape (bits, 2)."""

Model = npt.NDArray[np.int32]


def contexts(count: int) -> Model:
    """Contexts that have seen nothing: quick average, slow average, bits seen."""
    model = np.zeros((count, 3), np.int32)
    model[:, :2] = 1 << (_SCALE - 1)
    return model


@njit(inline="always", cache=True)
def _chance(model: Any, context: int) -> int:
    """Frequency of a one."""
    mean = (np.int64(model[context, 0]) + model[context, 1]) >> (_SCALE + 1 - rans.BITS)
    return int(min(max(mean, 1), (1 << rans.BITS) - 1))


@njit(inline="always", cache=True)
def _learn(model: Any, context: int, bit: int) -> None:
    seen = model[context, 2]
    slow = _RATES[seen]
    quick = max(slow, _QUICK_RATE)
    aim = np.int64(bit) << _SCALE
    model[context, 0] += ((aim - model[context, 0]) * quick) >> 16
    model[context, 1] += ((aim - model[context, 1]) * slow) >> 16
    if seen < _SEEN:
        model[context, 2] = seen + 1


@njit(cache=True, nogil=True)
def note(notes: Any, count: int, model: Any, context: int, bit: int) -> int:
    """Note a bit; returns how many notes there are. The notes must have room for it."""
    one = _chance(model, context)
    if bit:
        notes[count, 0], notes[count, 1] = 0, one
    else:
        notes[count, 0], notes[count, 1] = one, (1 << rans.BITS) - one
    _learn(model, context, bit)
    return count + 1


@njit(cache=True, nogil=True)
def read(state: Any, words: Any, left: int, model: Any, context: int) -> tuple[Any, int, int]:
    """State, words left and the next bit."""
    one = _chance(model, context)
    if rans.peek(state) < one:
        state, left = rans.get(state, words, left, 0, one)
        bit = 1
    else:
        state, left = rans.get(state, words, left, one, (1 << rans.BITS) - one)
        bit = 0
    _learn(model, context, bit)
    return state, left, bit


@njit(cache=True, nogil=True)
def note_number(notes: Any, count: int, model: Any, first: int, number: int) -> int:
    """Note a number from 0: its length in unary, then its bits, the highest two modelled.

    Takes up to ``2 * LENGTHS`` notes and the contexts from ``first`` to
    ``first + NUMBER_CONTEXTS``.
    """
    length = 0
    while True:
        longer = min(number >> length, 1)
        count = note(notes, count, model, first + length, longer)
        if not longer:
            break
        length += 1
    for place in range(length - 2, -1, -1):
        bit = (number >> place) & 1
        count = note(notes, count, model, _place(first, length, place, number), bit)
    return count


@njit(cache=True, nogil=True)
def read_number(state: Any, words: Any, left: int, model: Any, first: int) -> tuple[Any, int, int]:
    """State, words left and the next number; -1 for one that `note_number` never wrote."""
    length = 0
    while True:
        state, left, bit = read(state, words, left, model, first + length)
        if not bit:
            break
        length += 1
        if length == LENGTHS:
            return state, left, -1
    number = 1 << (length - 1) if length else 0
    for place in range(length - 2, -1, -1):
        context = _place(first, length, place, number)
        state, left, bit = read(state, words, left, model, context)
        number |= bit << place
    return state, left, number


@njit(inline="always", cache=True)
def _place(first: int, length: int, place: int, number: int) -> int:
    """Context of a number's bit: one of three, by its place below the highest and that above it."""
    if place == length - 2:
        return first + LENGTHS + length
    if place == length - 3:
        return first + 2 * LENGTHS + ((number >> (place + 1)) & 1)
    return first + 2 * LENGTHS + 2


def finish(notes: Notes, count: int) -> bytes:
    """Bytes of what was noted, for `xhsinr.entropy.rans.start`."""
    state, words, used = rans.take(notes[:count, 0], notes[:count, 1])
    return rans.finish(state, words, used)
