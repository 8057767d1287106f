"""rANS: symbols of any model, a model for each if need be, as a string of bytes.

A state of 64 bits takes in symbols and gives off words of 32 bits (Duda 2013, arXiv:1311.2540).
What comes first out of the decoder goes last into the encoder, so `put` is called backwards. The
steps are compiled into the loops that know the models; only integers are involved.

Encoders collect the share of ``range(2**BITS)`` that each symbol has, first and frequency, in
decoding order, and give them to `take` in the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, uint32, uint64

__all__ = [
    "BITS",
    "EMPTY",
    "ZERO",
    "Decoder",
    "finish",
    "get",
    "get_raw",
    "get_symbol",
    "peek",
    "put",
    "put_raw",
    "start",
    "take",
]

BITS = 15
"""Frequencies of a model are natural numbers above zero that sum to ``2**BITS``."""

EMPTY = np.uint64(1 << 31)
"""State of an encoder without symbols, and of a decoder after the last one."""

ZERO: Any = np.int64(0)
"""What counts in compiled code start from: a 0 of Python has functions compiled for itself."""

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


@njit(cache=True, nogil=True)
def get_raw(state: Any, words: Words, count: int, bits: int) -> tuple[Any, int, int]:
    """Remove so many bits that have no model, the highest first."""
    value = 0
    while bits > 0:
        now = min(bits, BITS)
        part = int(peek(state)) >> (BITS - now)
        state, count = get(state, words, count, part << (BITS - now), 1 << (BITS - now))
        value = value << now | part
        bits -= now
    return state, count, value


@njit(cache=True, nogil=True)
def put_raw(symbols: Any, n: int, value: int, bits: int) -> int:
    """Collect so many bits that have no model; returns how many symbols there are now."""
    while bits > 0:
        now = min(bits, BITS)
        bits -= now
        symbols[n, 0] = ((value >> bits) & ((1 << now) - 1)) << (BITS - now)
        symbols[n, 1] = 1 << (BITS - now)
        n += 1
    return n


@njit(cache=True, nogil=True)
def get_symbol(state: Any, words: Words, count: int, frequencies: Any) -> tuple[Any, int, int]:
    """Remove a symbol of a table of frequencies."""
    point, first, symbol = int(peek(state)), 0, 0
    while symbol < len(frequencies) - 1 and first + int(frequencies[symbol]) <= point:
        first += int(frequencies[symbol])
        symbol += 1
    state, count = get(state, words, count, first, int(frequencies[symbol]))
    return state, count, symbol


class Decoder:
    """Bytes of `finish` as they are read: the state, the words, and how many of them are left.

    Raises
    ------
    ValueError
        If these are no such bytes.
    """

    def __init__(self, content: bytes) -> None:
        self.state, self.words = start(content)
        self.left = len(self.words)

    def raw(self, bits: int) -> int:
        """The next number of so many bits."""
        state, self.left, value = get_raw(self.state, self.words, self.left, bits)
        self.state = np.uint64(state)
        return int(value)

    def symbol(self, frequencies: npt.NDArray[np.uint16]) -> int:
        """The next symbol of a table."""
        state, self.left, symbol = get_symbol(self.state, self.words, self.left, frequencies)
        self.state = np.uint64(state)
        return int(symbol)

    @property
    def finished(self) -> bool:
        """Whether all was read, and no more."""
        return self.left == 0 and bool(self.state == EMPTY)


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
