"""Section 7 of the page: range coding, raw and adaptive bits; ranks."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np

__all__ = ["Contexts", "RangeDecoder", "rank", "unranked"]


class RangeDecoder:
    def __init__(self, content: bytes, bits: int = 15, states: int = 1) -> None:
        assert len(content) >= 8 * states
        assert len(content) % 4 == 0
        self.bits = bits
        self.group = 15 if bits == 15 else 16
        if states == 1:
            heads, words = content[-8:], content[:-8]
        else:
            heads, words = content[: 8 * states], content[8 * states :]
        self.states = np.frombuffer(heads, "<u8").tolist()
        self.words = np.frombuffer(words, "<u4").tolist()

    @property
    def point(self) -> int:
        return int(self.states[0] & (1 << self.bits) - 1)

    def remove(self, first: int, frequency: int) -> None:
        x = self.states.pop(0)
        assert first <= x & (1 << self.bits) - 1 < first + frequency
        x = frequency * (x >> self.bits) + (x & (1 << self.bits) - 1) - first
        if x < 1 << 31:
            x = x << 32 | (self.words.pop() if self.words else 0)
        self.states.append(x)

    def symbol(self, table: Any) -> int:
        ends = list(accumulate(map(int, table)))
        assert ends[-1] == 1 << self.bits
        symbol = next(i for i, end in enumerate(ends) if self.point < end)
        self.remove(ends[symbol] - int(table[symbol]), int(table[symbol]))
        return symbol

    def raw(self, bits: int) -> int:
        value = 0
        while bits:
            now = min(bits, self.group)
            part = self.point >> (self.bits - now)
            self.remove(part << (self.bits - now), 1 << (self.bits - now))
            value, bits = value << now | part, bits - now
        return value

    @property
    def ended(self) -> bool:
        return not self.words and all(x == 1 << 31 for x in self.states)


class Contexts:
    """Adaptive bits; contexts come into being when they are first used."""

    def __init__(self) -> None:
        self.seen: dict[int, tuple[int, int, int]] = {}

    def bit(self, coder: RangeDecoder, context: int) -> int:
        u, v, n = self.seen.get(context, (1 << 21, 1 << 21, 0))
        one = min(max(u + v >> 8, 1), (1 << 15) - 1)
        bit = int(coder.point < one)
        coder.remove(*((0, one) if bit else (one, (1 << 15) - one)))
        rate = (1 << 17) // (2 * n + 3)
        quick = max(rate, (1 << 17) // 51)
        aim = bit << 22
        self.seen[context] = (
            u + ((aim - u) * quick >> 16),
            v + ((aim - v) * rate >> 16),
            min(n + 1, 1023),
        )
        return bit

    def number(self, coder: RangeDecoder, first: int) -> int:
        length = 0
        while self.bit(coder, first + length):
            length += 1
            assert length < 64
        number = int(length > 0)
        for place in range(1, length):
            context = 64 + length if place == 1 else 128 + (number & 1) if place == 2 else 130
            number = 2 * number + self.bit(coder, first + context)
        return number


def rank(samples: Any) -> Any:
    """Ranks of samples, as int64."""
    if samples.dtype.kind != "f":
        return samples.astype(np.int64)
    held = samples.view(f"i{samples.itemsize}")
    return np.where(held < 0, held ^ np.iinfo(held.dtype).max, held).astype(np.int64)


def unranked(ranks: Any, dtype: Any) -> Any:
    if dtype.kind != "f":
        return ranks.astype(dtype)
    held = ranks.astype(f"i{dtype.itemsize}")
    return np.where(held < 0, held ^ np.iinfo(held.dtype).max, held).view(dtype)
