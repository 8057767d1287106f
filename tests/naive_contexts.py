"""Contexts once more, latent by latent in Python's integers, as docs/format.md has them."""

from __future__ import annotations

import itertools
import math

import numpy as np

from xhsinr.coding.contexts import LEVELS, ContextModel
from xhsinr.coding.entropy import TABLE_TOTAL

__all__ = ["features", "ideal_bits", "levels_of"]


def features(integers: np.ndarray, model: ContextModel) -> dict[tuple[int, ...], list[int]]:
    """The features of each latent, by its output, orders, and patch down and across."""
    outputs, _, down, across = integers.shape
    known = {
        (o, u, v, i, j): abs(int(integers[o, a, i, j]))
        for a, (u, v) in enumerate(model.orders.tolist())
        for o, i, j in itertools.product(range(outputs), range(down), range(across))
    }

    def m(*at: int) -> int:
        return known.get(at, 0)

    def below(o: int, u: int, v: int, i: int, j: int) -> int:
        return m(o, u - 1, v, i, j) + m(o, u, v - 1, i, j)

    return {
        (o, u, v, i, j): [
            below(o, u, v, i, j),
            m(o, u - 1, v - 1, i, j) + m(o, u - 2, v, i, j) + m(o, u, v - 2, i, j),
            m(o - 1, u, v, i, j),
            sum(m(other, u, v, i, j) for other in range(o)),
            m(o - 1, u - 1, v + 1, i, j) + m(o - 1, u + 1, v - 1, i, j),
            sum(
                below(o, u, v, *at) for at in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1))
            ),
        ]
        for o, u, v, i, j in known
    }  # fmt: skip


def levels_of(
    integers: np.ndarray, spreads: np.ndarray, model: ContextModel
) -> dict[tuple[int, ...], int]:
    """The level of each latent's expected magnitude."""
    levels = model.levels.tolist()
    bounds = [(a + b) >> 1 for a, b in itertools.pairwise(levels)]
    found = {}
    for at, around in features(integers, model).items():
        ring = min(at[1] + at[2], len(model.priors) - 1)
        prior = 2 * int(spreads[at[0]]) + int(model.priors[ring])
        expected = levels[min(max(prior, 0), len(levels) - 1)]
        expected += sum(map(int.__mul__, model.weights[ring].tolist(), around))
        found[at] = sum(bound <= expected for bound in bounds)
    return found


def ideal_bits(
    integers: np.ndarray, spreads: np.ndarray, model: ContextModel, shape: tuple[int, int]
) -> float:
    """Sum of ``-log2`` of the frequencies in the tables that serve, and of the bits sent raw."""
    outputs, tables, symbols = len(integers), *model.tables.shape
    places = {tuple(pair): a for a, pair in enumerate(model.orders.tolist())}
    last = [
        max((sum(pair) for pair, a in places.items() if integers[o, a].any()), default=-1)
        for o in range(outputs)
    ]
    bits = 13.0 * outputs
    for (o, u, v, i, j), level in levels_of(integers, spreads, model).items():
        if u + v > last[o] or u >= shape[1] or v >= shape[0]:
            continue
        low = 0 if level < tables else (level - tables) // LEVELS + 1
        table = level if low == 0 else tables - LEVELS + (level - tables) % LEVELS
        value = int(integers[o, places[u, v], i, j])
        symbol = ((value + (1 << low >> 1)) >> low) + (symbols - 2) // 2
        escaped = not 0 <= symbol < symbols - 1
        frequency = model.tables[table, symbols - 1 if escaped else symbol]
        bits += math.log2(TABLE_TOTAL / frequency) + 32 * escaped + low
    return bits
