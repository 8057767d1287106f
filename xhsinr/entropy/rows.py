"""Rows of integers along wavelength: the mean spectrum and the basis vectors.

A row is differenced along wavelength 0, 1 or 2 times, whichever is shortest. A difference is
coded as a class (the bit length of its magnitude) under a two-sided geometric table, then its
sign and the bits below the leading one. The table is chosen from the row's level and from how
large the differences of earlier rows were at the same bands: noisy bands are noisy in every
vector.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.entropy import runs as entropy
from xhsinr.errors import DamagedSidecarError

__all__ = ["Envelope", "read_row", "read_shifted_row", "row_runs", "shifted_row_runs"]

Int64Array = npt.NDArray[np.int64]

_CLASSES = 45
_ORDERS = 2
_LEVEL_BITS = 6
_SHIFT_BITS, _MOST_SHIFT = 5, 16
_ONE = 1 << 48


def _theta(index: int) -> int:
    """Ratio of the ``index``-th geometric table, times 2**48: half octaves of the mean."""
    if index < 11:
        return _ONE * (2 + index % 2) >> (7 - index // 2)
    past = index - 11
    return _ONE - (_ONE * (3 - past % 2) >> (3 + past // 2))


def _class_weights(theta: int) -> list[int]:
    power = theta
    weights = [_ONE - theta]
    for _ in range(_CLASSES - 1):
        square = power * power >> 48
        weights.append(2 * (power - square))
        power = square
    return weights


# The weights are integers whose sum float64 holds exactly, so the tables are the same everywhere.
_THETAS = [_theta(index) for index in range(60)]
_TABLES = entropy.frequencies(np.array([_class_weights(theta) for theta in _THETAS]) >> 1)
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
        total = max(int(magnitude.sum()), 1)
        scaled = np.minimum(magnitude * 256 // max(total // len(magnitude), 1), 1 << 16)
        self._recent = [*self._recent[-3:], scaled] if total > 1 else self._recent


def _classes(magnitudes: Int64Array) -> Int64Array:
    """Bit lengths."""
    return np.asarray(np.frexp(magnitudes.astype(np.float64))[1], np.int64)


def row_runs(
    row: Int64Array, envelope: Envelope
) -> Iterator[tuple[npt.NDArray[Any], entropy.Table]]:
    """Runs for `xhsinr.entropy.runs.encode` that code a row; the envelope takes it in.

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
    lengths = -np.log2(_TABLES / entropy.TABLE_TOTAL)
    costs = [
        lengths[tables, classes].sum(axis=1)
        + np.maximum(classes - 1, 0).sum()
        + (classes > 0).sum()
        for classes in map(_classes, map(np.abs, candidates))
    ]
    order, level = np.unravel_index(int(np.argmin(costs)), (len(candidates), len(_MEANS)))
    differences = candidates[order]
    magnitudes = np.abs(differences)
    classes = _classes(magnitudes)
    yield np.array([order]), entropy.uniform(2)
    yield np.array([level]), entropy.uniform(_LEVEL_BITS)
    for table in np.unique(tables[level]):
        yield classes[tables[level] == table], _TABLES[table]
    yield (differences < 0)[classes > 0], entropy.uniform(1)
    for size in np.unique(classes[classes > 1]):
        rest = magnitudes[classes == size] - (1 << int(size - 1))
        for start in range(0, int(size - 1), 12):
            bits = min(12, int(size - 1) - start)
            yield rest >> start & (1 << bits) - 1, entropy.uniform(bits)
    envelope.update(differences)


def read_row(decoder: entropy.Decoder, envelope: Envelope) -> Int64Array:
    """The row that `row_runs` coded, with an envelope of the same rows before it.

    Raises
    ------
    DamagedSidecarError
        If what is read is no row.
    """
    order = int(decoder.read(1, entropy.uniform(2))[0])
    level = int(decoder.read(1, entropy.uniform(_LEVEL_BITS))[0])
    if order > _ORDERS or level >= len(_MEANS):
        raise DamagedSidecarError(
            "a row of the spectral basis does not decode: the file is damaged"
        )
    tables = envelope.tables(np.array([level]))[0]
    classes = np.zeros(len(tables), np.int64)
    for table in np.unique(tables):
        chosen = tables == table
        classes[chosen] = decoder.read(int(chosen.sum()), _TABLES[table])
    signs = np.ones(len(tables), np.int64)
    signs[classes > 0] -= 2 * decoder.read(int((classes > 0).sum()), entropy.uniform(1))
    magnitudes = np.where(classes > 0, 1 << np.maximum(classes - 1, 0), 0)
    for size in np.unique(classes[classes > 1]):
        chosen = classes == size
        for start in range(0, int(size - 1), 12):
            bits = min(12, int(size - 1) - start)
            low = decoder.read(int(chosen.sum()), entropy.uniform(bits)).astype(np.int64)
            magnitudes[chosen] += low << start
    differences = signs * magnitudes
    envelope.update(differences)
    for _ in range(order):
        differences = np.cumsum(differences)
    return differences


def shifted_row_runs(
    row: Int64Array, envelope: Envelope
) -> Iterator[tuple[npt.NDArray[Any], entropy.Table]]:
    """As `row_runs`, for a row whose entries are likely multiples of a power of two."""
    joint = int(np.bitwise_or.reduce(row))
    shift = min((joint & -joint).bit_length() - 1, _MOST_SHIFT) if joint else 0
    yield np.array([shift]), entropy.uniform(_SHIFT_BITS)
    yield from row_runs(row >> shift, envelope)


def read_shifted_row(decoder: entropy.Decoder, envelope: Envelope) -> Int64Array:
    """The row that `shifted_row_runs` coded; errors are those of `read_row`."""
    shift = int(decoder.read(1, entropy.uniform(_SHIFT_BITS))[0])
    return read_row(decoder, envelope) << min(shift, _MOST_SHIFT)
