"""Frequency tables for integers that are about Gaussian or Laplacian around zero.

The tables are a fixed family, computed in integers: three shapes, each at scales a sixth of an
octave apart. Values come sorted into classes, and each class has a scale of its own.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.entropy import runs as entropy

__all__ = ["LARGEST_SHIFT", "SCALES", "SHAPES", "Tables"]

GRID = 1024  # points per standard deviation on which the distributions are tabulated
GRID_END = 12 * GRID
SCALES = 55  # 0: all symbols are zero; i: standard deviation 2**((i - 25) / 6) symbols
HALF_SYMBOL = (8388608, 7473400, 6658043, 5931642, 5284492, 4707947)  # 2**(23 - j / 6)
TAIL = 5  # standard deviations beyond which one symbol stands for all
SHAPES = 3  # Gaussian, half Gaussian and half Laplacian, Laplacian
LARGEST_MEAN = 16  # mean magnitude of the symbols above which low bits are sent as they are
LARGEST_SHIFT = 40
UNCODABLE = 1e9  # bits of what a table does not hold
SCALE_PRICE = 1.0  # bits that a step away from the expected scale is taken to cost
LENGTHS = 50  # bit lengths of what exceeds a table

Ints = npt.NDArray[np.int64]
Runs = list[tuple[npt.NDArray[Any], entropy.Table]]


@dataclass(frozen=True)
class Tables:
    """Which frequency tables the classes of a row of values are coded with.

    ``shift`` low bits of a value are sent as they are; the rest is a symbol. One shape serves
    the band, one scale each class. ``escaped``: some value lies beyond its table.
    """

    shift: int
    shape: int
    escaped: int
    scales: tuple[int, ...]

    @property
    def numbers(self) -> tuple[int, ...]:
        """All of them, in this order."""
        return (self.shift, self.shape, self.escaped, *self.scales)

    @property
    def silent(self) -> bool:
        """Whether all values are zero, without a bit spent."""
        return not (self.shift or any(self.scales))

    @classmethod
    def best(cls, values: Ints, cuts: list[int], before: Tables | None = None) -> Tables:
        """The cheapest tables for values sorted into classes that end at ``cuts``.

        ``before`` are those of the band before: scales that follow its own are cheap to send.
        """
        classes = len(cuts) - 1
        mean = int(np.abs(values).sum()) // len(values)
        shift = (mean // LARGEST_MEAN).bit_length()
        symbols = _rounded_shift(values, shift)
        costs = _costs()
        span = costs.shape[-1] // 2
        column = np.clip(symbols, -span, span) + span
        column += np.repeat(np.arange(classes) * costs.shape[-1], np.diff(cuts))
        counts = np.bincount(column, minlength=classes * costs.shape[-1])
        bits = costs @ counts.reshape(classes, -1).T.astype(np.float64)
        scales = np.zeros((SHAPES, classes), np.int64)
        total = np.zeros(SHAPES)
        change = np.zeros(SHAPES, np.int64)
        for i in range(classes):
            price = bits[:, :, i]
            if before:
                expected = before.scales[i] + change
                price = price + SCALE_PRICE * np.abs(np.arange(SCALES) - expected[:, None])
            scales[:, i] = price.argmin(1)
            total += price.min(1)
            if before:
                change = scales[:, i] - before.scales[i]
        shape = int(total.argmin())
        chosen = cls(shift, shape, 0, tuple(scales[shape].tolist()))
        escaped = bool((np.abs(symbols) >= chosen.ends(cuts)).any())
        return cls(shift, shape, int(escaped), chosen.scales)

    def ends(self, cuts: list[int]) -> Ints:
        """For each value, the symbol magnitude that stands for itself and all beyond."""
        of_class = [_half_width(scale) if scale else 1 << 62 for scale in self.scales]
        return np.repeat(np.array(of_class, np.int64), np.diff(cuts))

    def runs(self, values: Ints, cuts: list[int]) -> Runs:
        """Runs that code ``values``, sorted into classes that end at ``cuts``."""
        symbols = _rounded_shift(values, self.shift)
        runs: Runs = []
        for i, scale in enumerate(self.scales):
            if scale:
                end = _half_width(scale)
                run = np.clip(symbols[cuts[i] : cuts[i + 1]], -end, end) + end
                runs.append((run, _table(self.shape, scale)))
        if self.escaped:
            beyond = np.abs(symbols) - self.ends(cuts) + 1
            beyond = beyond[beyond > 0]
            lengths = np.frexp(beyond)[1] - 1
            runs.append((lengths, _lengths_table()))
            for length in np.unique(lengths):
                runs += entropy.raw_runs(beyond[lengths == length], int(length))
        return runs + entropy.raw_runs(values + ((1 << self.shift) >> 1), self.shift)

    def read(self, decoder: entropy.Decoder, cuts: list[int]) -> Ints:
        """The values that `runs` coded."""
        symbols = np.zeros(cuts[-1], np.int64)
        for i, scale in enumerate(self.scales):
            if scale:
                run = decoder.read(cuts[i + 1] - cuts[i], _table(self.shape, scale))
                symbols[cuts[i] : cuts[i + 1]] = run - _half_width(scale)
        if self.escaped:
            places = np.flatnonzero(np.abs(symbols) == self.ends(cuts))
            lengths = decoder.read(len(places), _lengths_table())
            for length in np.unique(lengths):
                of_length = places[lengths == length]
                more = entropy.read_raw(decoder, len(of_length), int(length)) + (
                    (1 << int(length)) - 1
                )
                symbols[of_length] += np.sign(symbols[of_length]) * more
        if self.shift:
            symbols <<= self.shift
            symbols += entropy.read_raw(decoder, len(symbols), self.shift) - (1 << (self.shift - 1))
        return symbols


def _rounded_shift(values: Ints, shift: int) -> Ints:
    return (values + ((1 << shift) >> 1)) >> shift


@functools.cache
def _survival() -> Ints:
    """Mass beyond each grid point, in units of 2**-40; a row a shape.

    By recurrence in integers: the Laplacian's is a geometric sequence; the Gaussian's density
    is one whose ratios form a geometric sequence. The constants are exp(-GRID**-2) and
    exp(-2**0.5 / GRID) in units of 2**-62.
    """
    gaussian_ratio, laplacian_ratio = 4611681620382973951, 4605321362777405093
    density, laplacian = [1 << 62], [1 << 39]
    ratio, exact = gaussian_ratio, laplacian[0] << 62
    for _ in range(GRID_END):
        density.append(density[-1] * ratio >> 62)
        ratio = ratio * gaussian_ratio >> 62
        exact = exact * laplacian_ratio >> 62
        laplacian.append(exact >> 62)
    beyond = list(itertools.accumulate(reversed(density)))[::-1]
    gaussian = np.array([(mass << 39) // beyond[0] for mass in beyond], np.int64)
    return np.stack([gaussian, (gaussian + laplacian) // 2, np.array(laplacian, np.int64)])


@functools.cache
def _edges(scale: int) -> Ints:
    """Lower edges of the symbols 1, 2, ... on the grid; the last symbol takes the tail."""
    octave, part = divmod(scale - 1, 6)
    edges = (np.arange(1, 1024, 2) * (HALF_SYMBOL[part] >> octave)) >> 10
    return edges[: max(2, int(np.searchsorted(edges, TAIL * GRID)) + 1)]


def _half_width(scale: int) -> int:
    return len(_edges(scale))


@functools.cache
def _table(shape: int, scale: int) -> entropy.Table:
    """Frequencies of the symbols from ``-_half_width(scale)`` up, each at least 1."""
    beyond = _survival()[shape][np.minimum(_edges(scale), GRID_END)]
    side = beyond - np.append(beyond[1:], 0)
    mass = np.concatenate([side[::-1], [(1 << 40) - 2 * beyond[0]], side])
    table = 1 + (mass * (entropy.TABLE_TOTAL - len(mass)) >> 40)
    table[len(side)] += entropy.TABLE_TOTAL - table.sum()
    return table.astype(np.uint16)


@functools.cache
def _lengths_table() -> entropy.Table:
    table = np.maximum(entropy.TABLE_TOTAL // 2 >> np.arange(LENGTHS), 1)
    table[0] += entropy.TABLE_TOTAL - table.sum()
    frequencies: entropy.Table = table.astype(np.uint16)
    return frequencies


@functools.cache
def _costs() -> npt.NDArray[np.float64]:
    """Bits of each symbol by each table: (shape, scale, symbol)."""
    span = _half_width(SCALES - 1) + 64
    magnitude = np.abs(np.arange(-span, span + 1))
    costs = np.full((SHAPES, SCALES, 2 * span + 1), UNCODABLE)
    costs[:, 0, span] = 0
    for shape in range(SHAPES):
        for scale in range(1, SCALES):
            end = _half_width(scale)
            bits = np.log2(entropy.TABLE_TOTAL / _table(shape, scale)[end:])
            more = 1 + 2 * np.log2(np.maximum(magnitude - end, 0) + 1)
            costs[shape, scale] = bits[np.minimum(magnitude, end)] + more * (magnitude >= end)
    return costs
