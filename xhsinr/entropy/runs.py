"""Entropy coding of integer arrays: frequency tables in integers, ANS by constriction.

A table holds ``n`` positive integer frequencies that sum to ``2**15``. Constriction's
fast categorical model turns them into 24-bit cumulative counts by
``c_i = i + floor(F_i * (2**24 - n) / 2**15)``, with ``F_i`` the sum of the first ``i``
frequencies. Every step of that is exact in float64, so no rounding decides a code length.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import constriction
import numpy as np
import numpy.typing as npt

__all__ = [
    "TABLE_TOTAL",
    "Decoder",
    "encode",
    "frequencies",
    "raw_runs",
    "read_raw",
    "uniform",
]

TABLE_TOTAL = 1 << 15

_models = constriction.stream.model
_AnsCoder = constriction.stream.stack.AnsCoder

Table = npt.NDArray[np.uint16]
"""Frequencies of one alphabet, summing to `TABLE_TOTAL`; its length is the alphabet's size."""


def frequencies(counts: npt.ArrayLike) -> Table:
    """Scale counts to integer frequencies that sum to `TABLE_TOTAL`, none of them zero.

    Parameters
    ----------
    counts : array_like, shape (..., n)
        Non-negative counts or weights; rows of zeros become uniform tables.

    Returns
    -------
    ndarray of uint16, shape (..., n)
    """
    weights = np.asarray(counts, np.float64)
    n = weights.shape[-1]
    total = weights.sum(-1, keepdims=True)
    share = np.where(total > 0, weights / np.where(total > 0, total, 1.0), 1.0 / n)
    table = 1 + np.floor(share * (TABLE_TOTAL - n)).astype(np.int64)
    largest = table.argmax(-1)[..., None]
    rest = TABLE_TOTAL - table.sum(-1, keepdims=True)
    np.put_along_axis(table, largest, np.take_along_axis(table, largest, -1) + rest, -1)
    scaled: Table = table.astype(np.uint16)
    return scaled


@cache
def uniform(bits: int) -> Table:
    """Table of ``2**bits`` equally likely symbols (``bits`` from 1 to 12), for raw bits."""
    return np.full(1 << bits, TABLE_TOTAL >> bits, np.uint16)


def _model(table: Table) -> Any:
    # Dyadic probabilities are exact in float64: see the module's docstring.
    return _models.Categorical(table.astype(np.float64) / TABLE_TOTAL, perfect=False)


def encode(runs: Sequence[tuple[npt.NDArray[Any], Table]]) -> bytes:
    """Code runs of symbols, each run with one table, so that they decode in this order.

    Parameters
    ----------
    runs : sequence of (symbols, table)
        Symbols from 0 to ``len(table) - 1``; a run may be empty.
    """
    coder = _AnsCoder()
    for symbols, table in reversed(runs):
        if symbols.size:
            coder.encode_reverse(np.ascontiguousarray(symbols, np.int32).ravel(), _model(table))
    payload: bytes = coder.get_compressed().astype("<u4").tobytes()
    return payload


class Decoder:
    """Reads runs of symbols back in the order in which `encode` got them.

    Parameters
    ----------
    payload : bytes
        What `encode` returned.
    """

    def __init__(self, payload: bytes) -> None:
        words = np.frombuffer(payload, "<u4").astype(np.uint32)
        self._coder = _AnsCoder(words)

    def read(self, count: int, table: Table) -> npt.NDArray[np.int32]:
        """The next ``count`` symbols, coded with ``table``."""
        if count == 0:
            return np.zeros(0, np.int32)
        symbols: npt.NDArray[np.int32] = self._coder.decode(_model(table), count)
        return symbols


def raw_runs(values: npt.NDArray[np.int64], bits: int) -> list[tuple[npt.NDArray[Any], Table]]:
    """Runs of numbers of so many bits, for `encode`; `read_raw` reads them."""
    runs = []
    for low in range(0, bits, 12):
        width = min(12, bits - low)
        runs.append(((values >> low) & ((1 << width) - 1), uniform(width)))
    return runs


def read_raw(decoder: Decoder, count: int, bits: int) -> npt.NDArray[np.int64]:
    """Numbers of `raw_runs`."""
    values = np.zeros(count, np.int64)
    if count == 0:
        return values
    for low in range(0, bits, 12):
        part = decoder.read(count, uniform(min(12, bits - low)))
        values += part.astype(np.int64) << low
    return values
