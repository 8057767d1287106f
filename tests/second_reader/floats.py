"""Section 12 of the page: coding floats."""

from __future__ import annotations

from typing import Any

import numpy as np

from second_reader.bounded import integers
from second_reader.coder import Contexts, RangeDecoder, rank, unranked
from second_reader.frame import Bytes

__all__ = ["FloatsCodec"]


class FloatsCodec:
    def __init__(self, codec: Bytes, frame: Any, networks: Any) -> None:
        assert not codec.left
        assert frame[0].kind == "f"
        self.dtype, self.bands, self.low, self.high = frame

    def __call__(self, parts: dict[str, bytes], rows: int, cols: int, valid: Any) -> Any:
        digits = Bytes(parts["digits"])
        heads = [
            (digits.varint() - 1074, digits.varint(), digits.varint()) for _ in range(self.bands)
        ]
        shape = (self.bands, rows, cols)
        limits = [self.limits(exponent) for exponent, _, _ in heads]
        nothing = np.zeros(shape, np.int64)
        steps = integers(parts["steps"], nothing, [0] * self.bands, limits, valid)
        samples = np.zeros(shape, self.dtype)
        for band, (exponent, zeros, length) in enumerate(heads):
            use = valid[band]
            n = steps[band][use]
            ends = [np.ldexp((n + i).astype(np.float64), exponent) for i in (0, 1)]
            first, last = (rank(end.astype(self.dtype)) >> zeros for end in ends)
            sizes = np.maximum(last - first, 1)
            p = first + _places(digits.take(length), sizes.tolist())
            ranks = np.where(p < 0, -1 - (-1 - p << zeros), p << zeros)
            samples[band][use] = unranked(ranks, self.dtype)
        assert not digits.left
        return samples

    def limits(self, exponent: int) -> tuple[int, int]:
        ends = np.floor(np.ldexp(np.array([self.low, self.high], np.float64), -exponent))
        low, high = np.clip(ends, -(2.0**29), 2.0**29).astype(int).tolist()
        return low - (low == 0), high


def _places(content: bytes, sizes: list[int]) -> Any:
    places = np.zeros(len(sizes), np.int64)
    if not content:
        return places
    coder, model = RangeDecoder(content), Contexts()
    for i, size in enumerate(sizes):
        if size < 2 or model.bit(coder, (size - 1).bit_length()):
            continue
        shift = max((size - 2).bit_length() - 12, 0)
        most = (size - 2 >> shift) + 1
        if size > 2:
            ends = [t * 2**15 // most for t in range(most + 1)]
            symbol = coder.symbol(np.diff(ends))
            places[i] = (symbol << shift) + coder.raw(shift)
        places[i] = min(places[i] + 1, size - 1)
    assert coder.ended
    return places
