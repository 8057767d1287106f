"""Rows of integers along wavelength: the mean spectrum and the basis vectors.

A row is differenced along wavelength 0, 1 or 2 times, whichever is shortest. A difference is
coded as a class (the bit length of its magnitude) under a two-sided geometric table, then its
sign and the bits below the leading one. The table is chosen from the row's level and from how
large the differences of earlier rows were at the same bands: noisy bands are noisy in every
vector. Integers only, so the tables are the same everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from xhsinr.entropy import rans
from xhsinr.errors import DamagedSidecarError

__all__ = ["Envelope", "read_row", "read_shifted_row", "row_symbols", "shifted_row_symbols"]

Int64Array = npt.NDArray[np.int64]
Symbols = npt.NDArray[np.uint16]
"""First and frequency of each symbol, shape (symbols, 2), for `xhsinr.entropy.rans.take`."""

_CLASSES = 45
_MOST_SYMBOLS = 5  # of a number: class, sign, three of bits
_ORDERS, _ORDER_BITS = 2, 2
_LEVEL_BITS = 6
_SHIFT_BITS, _MOST_SHIFT = 5, 16
_SIGN_BITS = rans.ZERO + 1
_ONE = 1 << 48


def _theta(index: int) -> int:
    """Ratio of the ``index``-th geometric table, times 2**48: half octaves of the mean."""
    if index < 11:
        return _ONE * (2 + index % 2) >> (7 - index // 2)
    past = index - 11
    return _ONE - (_ONE * (3 - past % 2) >> (3 + past // 2))


def _frequencies(theta: int) -> list[int]:
    """Frequencies of the classes under a table; what rounding leaves, the largest has."""
    power = theta
    weights = [_ONE - theta]
    for _ in range(_CLASSES - 1):
        square = power * power >> 48
        weights.append(2 * (power - square))
        power = square
    room, total = (1 << rans.BITS) - _CLASSES, sum(weights)
    shares = [1 + weight * room // total for weight in weights]
    shares[shares.index(max(shares))] += (1 << rans.BITS) - sum(shares)
    return shares


_THETAS = [_theta(index) for index in range(60)]
_TABLES = np.array([_frequencies(theta) for theta in _THETAS], np.uint16)
_MEANS = np.array(
    [(theta << 49 + 16) // (_ONE * _ONE - theta * theta) for theta in _THETAS], np.int64
)
"""Mean magnitude under each table, times 2**16."""


class Envelope:
    """How large differences are expected at each band, times 256, from the rows so far."""

    def __init__(self, bands: int) -> None:
        self._recent = [np.full(bands, 256, np.int64)]

    def tables(self, levels: npt.NDArray[np.integer[Any]]) -> Int64Array:
        """Indices of tables, shape (levels, bands), for rows of the levels given."""
        average = sum(self._recent, np.int64(0)) // len(self._recent)
        padded = np.pad(average, 1, mode="edge")
        smooth = (padded[:-2] + 2 * average + padded[2:]) // 4 + 24
        expected = _MEANS[levels][:, None] * smooth[None, :] >> 8
        return np.asarray(np.searchsorted(_MEANS[:-1], expected), np.int64)

    def update(self, differences: Int64Array) -> None:
        """Take in a row that is now known to the decoder."""
        magnitude = np.minimum(np.abs(differences), 1 << 40)
        total = int(magnitude.sum())
        if total > 1:
            scaled = np.minimum(magnitude * 256 // max(total // len(magnitude), 1), 1 << 16)
            self._recent = [*self._recent[-3:], scaled]


def _classes(magnitudes: Int64Array) -> Int64Array:
    """Bit lengths."""
    return np.asarray(np.frexp(magnitudes.astype(np.float64))[1], np.int64)


def row_symbols(row: Int64Array, envelope: Envelope) -> Symbols:
    """Symbols that code a row; the envelope takes it in.

    Parameters
    ----------
    row : ndarray of int64, shape (bands,)
        Magnitudes below ``2**43``.
    envelope : Envelope
        Of the rows before it.
    """
    candidates = [row]
    for _ in range(_ORDERS):
        candidates.append(np.diff(candidates[-1], prepend=0))
    tables = envelope.tables(np.arange(len(_MEANS)))
    lengths = rans.BITS - np.log2(_TABLES)
    costs = [
        lengths[tables, classes].sum(axis=1)
        + np.maximum(classes - 1, 0).sum()
        + (classes > 0).sum()
        for classes in map(_classes, map(np.abs, candidates))
    ]
    order, level = np.unravel_index(int(np.argmin(costs)), (len(candidates), len(_MEANS)))
    differences = candidates[order]
    envelope.update(differences)
    symbols = np.empty((2 + _MOST_SYMBOLS * len(row), 2), np.uint16)
    count = rans.put_raw(symbols, 0, int(order), _ORDER_BITS)
    count = rans.put_raw(symbols, count, int(level), _LEVEL_BITS)
    chosen = _TABLES[tables[level]]
    return symbols[: _put_differences(symbols, count, differences, chosen)]


def read_row(coder: rans.Decoder, envelope: Envelope) -> Int64Array:
    """The row that `row_symbols` coded, with an envelope of the same rows before it.

    Raises
    ------
    DamagedSidecarError
        If what is read is no row.
    """
    order, level = coder.raw(_ORDER_BITS), coder.raw(_LEVEL_BITS)
    if order > _ORDERS or level >= len(_MEANS):
        raise DamagedSidecarError(
            "a row of the spectral basis does not decode: the file is damaged"
        )
    tables = envelope.tables(np.array([level]))[0]
    differences = np.empty(len(tables), np.int64)
    state, coder.left = _get_differences(
        coder.state, coder.words, coder.left, _TABLES[tables], differences
    )
    coder.state = np.uint64(state)
    envelope.update(differences)
    for _ in range(order):
        differences = np.cumsum(differences)
    return differences


def shifted_row_symbols(row: Int64Array, envelope: Envelope) -> Symbols:
    """As `row_symbols`, for a row whose entries are likely multiples of a power of two."""
    joint = int(np.bitwise_or.reduce(row))
    shift = min((joint & -joint).bit_length() - 1, _MOST_SHIFT) if joint else 0
    first = np.empty((1, 2), np.uint16)
    rans.put_raw(first, 0, shift, _SHIFT_BITS)
    return np.concatenate([first, row_symbols(row >> shift, envelope)])


def read_shifted_row(coder: rans.Decoder, envelope: Envelope) -> Int64Array:
    """The row that `shifted_row_symbols` coded; errors are those of `read_row`."""
    shift = coder.raw(_SHIFT_BITS)
    if shift > _MOST_SHIFT:
        raise DamagedSidecarError(f"a basis vector is shifted by {shift} bits, which none is")
    return read_row(coder, envelope) << shift


@njit(cache=True, nogil=True)
def _put_differences(symbols: Any, count: int, differences: Any, tables: Any) -> int:
    for band in range(len(differences)):
        magnitude, size, first = abs(differences[band]), 0, 0
        while magnitude >> size:
            first += int(tables[band, size])
            size += 1
        symbols[count, 0], symbols[count, 1] = first, tables[band, size]
        count += 1
        if size:
            count = rans.put_raw(symbols, count, 1 if differences[band] < 0 else 0, _SIGN_BITS)
            count = rans.put_raw(symbols, count, magnitude - (1 << (size - 1)), size - 1)
    return count


@njit(cache=True, nogil=True)
def _get_differences(
    state: Any, words: Any, left: int, tables: Any, differences: Any
) -> tuple[Any, int]:
    for band in range(len(differences)):
        state, left, size = rans.get_symbol(state, words, left, tables[band])
        magnitude = 0
        if size:
            state, left, negative = rans.get_raw(state, words, left, _SIGN_BITS)
            state, left, low = rans.get_raw(state, words, left, size - 1)
            magnitude = (1 << (size - 1)) + low
            if negative:
                magnitude = -magnitude
        differences[band] = magnitude
    return state, left
