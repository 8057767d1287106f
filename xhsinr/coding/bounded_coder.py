"""A range coder of several states that take turns, symbol by symbol: see `xhsinr.entropy.rans`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, uint32, uint64

from xhsinr.coding.bounded_model import PRECISION

__all__ = ["EMPTY", "next_word", "take_bytes"]

EMPTY = np.uint64(1 << 31)
"""State of a range coder without symbols."""

_LIMIT = uint64(63 - PRECISION)
_SHIFT = uint64(PRECISION)
_WORD = uint64(32)

Ints = npt.NDArray[Any]


@njit(cache=True, nogil=True, error_model="numpy")
def _take(firsts: Any, shares: Any, count: int, states: Any, words: Any) -> int:
    """Code symbols, the last one first; returns how many words came of it.

    ``states``, a power of two of them, are set.
    """
    size, turns = 0, len(states) - 1
    states[:] = EMPTY
    for i in range(count - 1, -1, -1):
        state, wide = states[i & turns], uint64(shares[i])
        if state >= wide << _LIMIT:
            words[size] = uint32(state & uint64(0xFFFFFFFF))
            size += 1
            state = state >> _WORD
        quotient = state // wide
        states[i & turns] = (quotient << _SHIFT) + (state - quotient * wide) + uint64(firsts[i])
    return size


def take_bytes(firsts: Ints, shares: Ints, count: int, turns: int) -> bytes:
    """Code symbols with so many states: these, and the words."""
    states, words = np.empty(turns, np.uint64), np.empty(count, np.uint32)
    size = _take(firsts, shares, count, states, words)
    return states.astype("<u8").tobytes() + words[:size].astype("<u4").tobytes()


@njit(inline="always")
def next_word(state: Any, words: Any, left: Any) -> Any:
    """A state that is used up takes in a word, zero past the last one; words left after it."""
    if state < EMPTY:
        left -= 1
        state = (state << _WORD) | (uint64(words[left]) if left >= 0 else uint64(0))
    return state, left
