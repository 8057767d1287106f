"""rANS: symbols of any model, a model for each if need be, as a string of bytes.

A state of 64 bits takes in symbols and gives off words of 32 bits (Duda 2013, arXiv:1311.2540).
What comes first out of the decoder goes last into the encoder, so `put` is called backwards. The
steps are compiled into the loops that know the models; only integers are involved.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, uint32, uint64

__all__ = ["BITS", "EMPTY", "finish", "get", "peek", "put", "start", "take"]

BITS = 15
"""Frequencies of a model are natural numbers above zero that sum to ``2**BITS``."""

EMPTY = np.uint64(1 << 31)
"""State of an encoder without symbols, and of a decoder after the last one."""

_WORD = uint64(32)
_LOW = uint64(0xFFFFFFFF)
_BITS = uint64(BITS)
_MASK = uint64((1 << BITS) - 1)
_LIMIT = uint64(63 - BITS)

Words = npt.NDArray[np.uint32]


@njit(inline="always", cache=True)
def put(state: Any, words: Words, count: int, first: Any, frequency: Any) -> tuple[Any, int]:
    """Take a symbol into a state.

    Parameters
    ----------
    state : uint64
    words : ndarray of uint32
        Where words go; one a symbol is room enough.
    count : int
        Words there so far.
    first, frequency : int
        The symbol's share of ``range(2**BITS)``.

    Returns
    -------
    state, count
    """
    wide, low = uint64(frequency), uint64(first)
    if state >= wide << _LIMIT:
        words[count] = uint32(state & _LOW)
        count += 1
        state = state >> _WORD
    return ((state // wide) << _BITS) + state % wide + low, count


@njit(inline="always", cache=True)
def peek(state: Any) -> Any:
    """Where in ``range(2**BITS)`` the next symbol's share is, as a uint64."""
    return state & _MASK


@njit(inline="always", cache=True)
def get(state: Any, words: Words, count: int, first: Any, frequency: Any) -> tuple[Any, int]:
    """Remove a symbol from a state, with ``count`` words left, the last one next.

    Past the last word zeros follow: the caller sees a state other than `EMPTY` at the end.
    """
    state = uint64(frequency) * (state >> _BITS) + (state & _MASK) - uint64(first)
    if state < EMPTY:
        word = uint64(0)
        if count > 0:
            count -= 1
            word = uint64(words[count])
        state = (state << _WORD) | word
    return state, count


def start(content: bytes) -> tuple[np.uint64, Words]:
    """State and words that `finish` made bytes of.

    Raises
    ------
    ValueError
        If these are no such bytes.
    """
    if len(content) < 8 or len(content) % 4:
        raise ValueError(f"{len(content)} bytes of a range coder: it writes 8 or more, in fours")
    words = np.frombuffer(content, "<u4").astype(np.uint32)
    return np.uint64((int(words[-1]) << 32) | int(words[-2])), words[:-2]


def finish(state: Any, words: Words, count: int) -> bytes:
    """Bytes of an encoder's words and its last state."""
    last = np.array([int(state) & 0xFFFFFFFF, int(state) >> 32], np.uint32)
    return np.concatenate([words[:count], last]).astype("<u4").tobytes()


@njit(cache=True, nogil=True)
def take(firsts: Any, frequencies: Any) -> tuple[Any, Words, int]:
    """State and words of symbols that each have a share of their own, in decoding order."""
    words = np.empty(len(firsts), np.uint32)
    state, count = EMPTY, 0
    for i in range(len(firsts) - 1, -1, -1):
        state, count = put(state, words, count, firsts[i], frequencies[i])
    return state, words, count
