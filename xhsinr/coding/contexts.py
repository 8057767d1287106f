"""Latents of linear patches <-> bytes, each coded by what is expected of it.

Most latents of a patch are zero, and where the others are, their neighbours tell: the magnitude
of a latent is expected to be a weighted sum of those already coded around it, in the frequencies
below, in the outputs before, and in the patches beside. The weights are learned with the base
network. Sum and choice of a frequency table are integers, the same on every machine.

Latents are coded ring by ring (a ring holds the atoms whose orders ``u + v`` are the same), and
in each ring output by output, for all patches of a tile at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.coding import entropy
from xhsinr.coding.entropy import TABLE_TOTAL, raw_runs, read_raw
from xhsinr.errors import DamagedSidecarError

__all__ = [
    "FEATURES",
    "FRACTION",
    "LARGEST_LEVEL",
    "LEVELS",
    "LOWEST_SPREAD",
    "MOST_LOW_BITS",
    "MOST_RINGS",
    "ContextModel",
    "code_length",
    "decode",
    "encode",
    "examples",
    "histogram",
]

FEATURES = 6
"""Sums of magnitudes that the expected one is made of, in the order of `_features`."""
FRACTION = 12
"""Expected magnitudes are integers times ``2**-FRACTION``."""
LEVELS = 4
"""Tables an octave of expected magnitude."""
LARGEST_LEVEL = 1 << 44
"""Largest of the levels, times ``2**-FRACTION``."""
MOST_LOW_BITS = 30
"""Low bits of a latent that are sent as they are, at the highest level, at most."""

_LARGEST = 2**30
_ESCAPE_BITS = 32
_COUNT_BITS, _SPREAD_BITS = 7, 6
MOST_RINGS = (1 << _COUNT_BITS) - 1
"""Rings that a patch may have."""
LOWEST_SPREAD = -16
"""A spread is a standard deviation in steps: number ``n`` is ``2 ** ((n + LOWEST_SPREAD) / 2)``."""
# Slope of distortion against rate of a uniform quantiser of step one at high rate:
# D = 1/12, dD/dR = -2 ln(2) D.
_SLOPE = 2 * np.log(2) / 12
# What becomes of a value depends on its neighbours: rounds of choosing, after this first guess.
_ROUNDS, _DEAD_ZONE = 3, 0.65

Integers = npt.NDArray[np.int32]
Runs = list[tuple[npt.NDArray[Any], entropy.Table]]
Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ContextModel:
    """What a base network expects of its latents.

    Attributes
    ----------
    orders : ndarray of uint8, shape (atoms, 2)
        Horizontal and vertical order ``u`` and ``v`` of each atom.
    priors : ndarray of int16, shape (rings,)
        Expected magnitude without neighbours: which of `levels`, for a spread of number zero.
    weights : ndarray of uint16, shape (rings, FEATURES)
        Weights of the features, times ``2**-FRACTION``.
    levels : ndarray of int64, shape (levels,)
        Expected magnitudes that tables are for, times ``2**-FRACTION``, increasing.
    tables : ndarray of uint16, shape (tables, symbols)
        Frequencies of the integers around zero at the first levels, the last symbol an escape.
        Above them the last octave serves, and low bits are sent as they are.
    """

    orders: npt.NDArray[np.uint8]
    priors: npt.NDArray[np.int16]
    weights: npt.NDArray[np.uint16]
    levels: Int64Array
    tables: npt.NDArray[np.uint16]

    @property
    def centre(self) -> int:
        """The symbol that stands for zero, and the largest magnitude with a symbol."""
        return int(self.tables.shape[1] - 2) // 2

    @cached_property
    def bounds(self) -> Int64Array:
        """Expected magnitudes from which the next level serves."""
        return np.asarray((self.levels[:-1] + self.levels[1:]) >> 1)

    @cached_property
    def costs(self) -> npt.NDArray[np.float64]:
        """Bits of the magnitudes up to `centre` and of all beyond, at each level."""
        magnitudes = np.arange(self.centre + 2)
        scale = self.levels[:, None] / 2.0**FRACTION
        costs = (magnitudes + 0.5) / scale / np.log(2) + np.log2(2 * scale + 1)
        some = len(self.tables)
        costs[:some, :-1] = np.log2(TABLE_TOTAL / self.tables[:, self.centre : 2 * self.centre + 1])
        return np.asarray(costs)


@dataclass(frozen=True)
class Ring:
    """The atoms whose orders add up to ``number``, and their places in a `_Field`."""

    number: int
    atoms: npt.NDArray[np.intp]
    places: npt.NDArray[np.intp]


class _Field:
    """Magnitudes of a tile's latents, with zeros around the orders and before the outputs."""

    def __init__(self, places: tuple[int, int], outputs: int, grid: tuple[int, int]) -> None:
        self._stride = places[1]
        self._all = np.zeros((outputs + 1, places[0] * places[1], *grid), np.int64)

    def put(self, outputs: slice | int, ring: Ring, magnitudes: Int64Array) -> None:
        self._all[1:][outputs, ring.places] = magnitudes

    def features(self, outputs: slice, ring: Ring, earlier: Int64Array) -> Iterator[Int64Array]:
        """The sums of magnitudes around the latents of a ring, in the order of the weights.

        ``earlier`` are the sums over all outputs before.
        """
        own, before = self._all[1:][outputs], self._all[:-1][outputs]
        places, stride = ring.places, self._stride
        below = own[:, places - stride] + own[:, places - 1]
        yield below
        yield own[:, places - stride - 1] + own[:, places - 2 * stride] + own[:, places - 2]
        yield before[:, places]
        yield earlier
        yield before[:, places - stride + 1] + before[:, places + stride - 1]
        beside = np.zeros_like(below)
        beside[..., 1:, :] += below[..., :-1, :]
        beside[..., :-1, :] += below[..., 1:, :]
        beside[..., 1:] += below[..., :-1]
        beside[..., :-1] += below[..., 1:]
        yield beside


def rings(model: ContextModel, shape: tuple[int, int]) -> list[Ring]:
    """The rings of a patch of ``shape`` (rows, cols): atoms of higher orders it does not have."""
    u, v = model.orders.astype(np.intp).T
    number = np.where((u < shape[1]) & (v < shape[0]), u + v, -1)
    stride = _places(model, shape)[1]
    found = []
    for ring in range(int(number.max(initial=-1)) + 1):
        atoms = np.flatnonzero(number == ring)
        found.append(Ring(ring, atoms, (u[atoms] + 2) * stride + v[atoms] + 2))
    return found


def _places(model: ContextModel, shape: tuple[int, int]) -> tuple[int, int]:
    """Places for the orders of a patch, and the frame around them."""
    highest = model.orders.max(axis=0, initial=0).astype(int).tolist()
    return min(highest[0], shape[1] - 1) + 4, min(highest[1], shape[0] - 1) + 4


def encode(
    latents: npt.NDArray[np.floating[Any]], model: ContextModel, shape: tuple[int, int]
) -> tuple[bytes, Integers]:
    """Quantise and code the latents of one tile.

    Rounding weighs the code length of a value against its error (rate-distortion optimised),
    so that most small values become zero.

    Parameters
    ----------
    latents : ndarray of float, shape (outputs, atoms, down, across)
        In units of the quantiser's step, for each patch of the tile.
    model : ContextModel
    shape : (int, int)
        Rows and columns of a patch.

    Returns
    -------
    bytes
        For `decode`.
    ndarray of int32, shape (outputs, atoms, down, across)
        The quantised latents.
    """
    integers = np.rint(np.clip(latents, -_LARGEST, _LARGEST)).astype(np.int32)
    integers[np.abs(latents) < _DEAD_ZONE] = 0
    for _ in range(_ROUNDS):
        for ring, levels in _expected(integers, model, shape):
            integers[:, ring.atoms] = _weigh(latents[:, ring.atoms], levels, model)
    return entropy.encode(_tile_runs(integers, model, shape)), integers


def decode(
    payload: bytes,
    outputs: int,
    grid: tuple[int, int],
    model: ContextModel,
    shape: tuple[int, int],
) -> Integers:
    """The quantised latents of one tile, as `encode` coded them.

    Parameters
    ----------
    payload : bytes
    outputs : int
    grid : (int, int)
        Patches down and across.
    model : ContextModel
    shape : (int, int)
        Rows and columns of a patch.

    Returns
    -------
    ndarray of int32, shape (outputs, atoms, down, across)

    Raises
    ------
    DamagedSidecarError
    """
    integers = np.zeros((outputs, len(model.orders), *grid), np.int32)
    field = _Field(_places(model, shape), outputs, grid)
    try:
        decoder = entropy.Decoder(payload)
        counts = decoder.read(outputs, entropy.uniform(_COUNT_BITS))
        spreads = decoder.read(outputs, entropy.uniform(_SPREAD_BITS))
        for ring in rings(model, shape):
            earlier = np.zeros((1, len(ring.atoms), *grid), np.int64)
            for output in np.flatnonzero(counts > ring.number):
                one = slice(output, output + 1)
                levels = _levels(field, ring, one, earlier, spreads[one], model)
                values = _read(decoder, levels, model)
                if np.abs(values).max(initial=0) > _LARGEST:
                    raise ValueError("a latent is too large")
                integers[one, ring.atoms] = values
                magnitudes = np.abs(values)
                field.put(one, ring, magnitudes)
                earlier = earlier + magnitudes
    except ValueError as error:
        raise DamagedSidecarError(f"latents do not decode: {error}") from error
    return integers


def examples(
    integers: Integers, model: ContextModel, shape: tuple[int, int]
) -> tuple[npt.NDArray[Any], ...]:
    """What a model learns from: for each latent of a tile its magnitude, features and place.

    Returns
    -------
    tuple of ndarray
        Magnitudes (float32), features (float32, shape (latents, FEATURES)), spreads of their
        outputs in octaves (float32), and rings (int64).
    """
    field, all_rings = _field_of(integers, model, shape)
    columns: list[tuple[npt.NDArray[Any], ...]] = []
    octaves = (_spreads(integers) + LOWEST_SPREAD) / 2
    for ring in all_rings:
        magnitudes = np.abs(integers[:, ring.atoms])
        features = np.stack(
            list(field.features(slice(None), ring, _earlier(integers, ring))), axis=-1
        )
        spreads = np.broadcast_to(octaves[:, None, None, None], magnitudes.shape)
        columns.append(
            (
                magnitudes.astype(np.float32).ravel(),
                features.astype(np.float32).reshape(-1, FEATURES),
                spreads.astype(np.float32).ravel(),
                np.full(magnitudes.size, ring.number, np.int64),
            )
        )
    return tuple(np.concatenate(column) for column in zip(*columns, strict=True))


def code_length(integers: Integers, model: ContextModel, shape: tuple[int, int]) -> float:
    """Bits that `encode` should spend on these integers, by the tables that it codes them with."""
    return entropy.code_length(_tile_runs(integers, model, shape))


def histogram(
    integers: Integers, model: ContextModel, shape: tuple[int, int]
) -> npt.NDArray[np.int64]:
    """How often each table of a model codes each symbol of a tile, shape of ``model.tables``."""
    counts = np.zeros(model.tables.size, np.int64)
    escape = model.tables.shape[1] - 1
    for ring, levels in _expected(integers, model, shape):
        symbols = integers[:, ring.atoms] + model.centre
        symbols = np.where((symbols < 0) | (symbols > escape), escape, symbols)
        direct = levels < len(model.tables)
        pairs = levels[direct] * (escape + 1) + symbols[direct]
        counts += np.bincount(pairs, minlength=counts.size)
    return counts.reshape(model.tables.shape)


def _spreads(integers: Integers) -> Integers:
    """Number of each output's standard deviation in steps."""
    energy = np.square(integers, dtype=np.float64).sum(1).mean((1, 2)) / max(integers.shape[1], 1)
    octaves = np.log2(np.maximum(energy, 2.0**-60)) / 2
    numbers = np.clip(np.rint(2 * octaves) - LOWEST_SPREAD, 0, 2**_SPREAD_BITS - 1)
    return np.asarray(numbers, np.int32)


def _field_of(
    integers: Integers, model: ContextModel, shape: tuple[int, int]
) -> tuple[_Field, list[Ring]]:
    """A field with all magnitudes of a tile, and its rings."""
    field = _Field(_places(model, shape), len(integers), integers.shape[2:])
    all_rings = rings(model, shape)
    for ring in all_rings:
        field.put(slice(None), ring, np.abs(integers[:, ring.atoms]).astype(np.int64))
    return field, all_rings


def _expected(
    integers: Integers, model: ContextModel, shape: tuple[int, int]
) -> Iterator[tuple[Ring, npt.NDArray[np.intp]]]:
    """The rings of a tile whose latents are known, each with the levels of its latents."""
    field, all_rings = _field_of(integers, model, shape)
    spreads = _spreads(integers)
    for ring in all_rings:
        earlier = _earlier(integers, ring)
        yield ring, _levels(field, ring, slice(None), earlier, spreads, model)


def _earlier(integers: Integers, ring: Ring) -> Int64Array:
    """For each output, the magnitudes of a ring summed over all outputs before."""
    sums = np.zeros((len(integers), len(ring.atoms), *integers.shape[2:]), np.int64)
    np.cumsum(np.abs(integers[:-1, ring.atoms]), axis=0, out=sums[1:], dtype=np.int64)
    return sums


def _levels(
    field: _Field,
    ring: Ring,
    outputs: slice,
    earlier: Int64Array,
    spreads: Integers,
    model: ContextModel,
) -> npt.NDArray[np.intp]:
    """Level of the expected magnitude of each latent of a ring, for some outputs."""
    number = min(ring.number, len(model.priors) - 1)
    prior = model.levels[np.clip(2 * spreads + model.priors[number], 0, len(model.levels) - 1)]
    expected = np.zeros_like(earlier) + prior[:, None, None, None]
    for weight, feature in zip(
        model.weights[number].tolist(), field.features(outputs, ring, earlier), strict=True
    ):
        expected += weight * feature
    levels: npt.NDArray[np.intp] = np.searchsorted(model.bounds, expected, side="right")
    return levels


def _weigh(
    latents: npt.NDArray[np.floating[Any]], levels: npt.NDArray[np.intp], model: ContextModel
) -> Integers:
    """Integers of least error and code length: the nearest, the next smaller one, or zero."""
    nearest = np.clip(np.rint(latents), -_LARGEST, _LARGEST).astype(np.int32)
    best: Integers = nearest
    least = np.full(latents.shape, np.inf)
    for values in (nearest, nearest - np.sign(nearest), np.zeros_like(nearest)):
        bits = model.costs[levels, np.minimum(np.abs(values), model.centre + 1)]
        cost = (latents - values) ** 2 + _SLOPE * bits
        best, least = np.where(cost < least, values, best), np.minimum(cost, least)
    return best


def _tile_runs(integers: Integers, model: ContextModel, shape: tuple[int, int]) -> Runs:
    """Everything that codes a tile, in the order in which `decode` reads it."""
    counts = np.zeros(len(integers), np.int32)
    for ring in rings(model, shape):
        counts[integers[:, ring.atoms].any(axis=(1, 2, 3))] = ring.number + 1
    spreads = _spreads(integers)
    runs: Runs = [(counts, entropy.uniform(_COUNT_BITS)), (spreads, entropy.uniform(_SPREAD_BITS))]
    for ring, levels in _expected(integers, model, shape):
        for output in np.flatnonzero(counts > ring.number):
            runs += _runs(integers[output, ring.atoms], levels[output], model)
    return runs


def _shift(level: int, model: ContextModel) -> tuple[int, int]:
    """Table and low bits sent as they are, at a level."""
    above = level - len(model.tables)
    if above < 0:
        return level, 0
    return len(model.tables) - LEVELS + above % LEVELS, above // LEVELS + 1


def _runs(
    values: Integers, levels: npt.NDArray[np.intp], model: ContextModel
) -> list[tuple[npt.NDArray[Any], entropy.Table]]:
    """Runs that `_read` reads: level by level the symbols, then the escapes, then the low bits."""
    runs = []
    for level in np.unique(levels):
        table, low = _shift(int(level), model)
        shifted = values[levels == level].astype(np.int64) + ((1 << low) >> 1)
        symbols = (shifted >> low) + model.centre
        escape = model.tables.shape[1] - 1
        escaped = (symbols < 0) | (symbols >= escape)
        runs.append((np.where(escaped, escape, symbols), model.tables[table]))
        runs += raw_runs((symbols[escaped] - model.centre) & (2**_ESCAPE_BITS - 1), _ESCAPE_BITS)
        runs += raw_runs(shifted & ((1 << low) - 1), low)
    return runs


def _read(
    decoder: entropy.Decoder, levels: npt.NDArray[np.intp], model: ContextModel
) -> Int64Array:
    values = np.zeros(levels.shape, np.int64)
    for level in np.unique(levels):
        table, low = _shift(int(level), model)
        chosen = levels == level
        symbols = decoder.read(int(chosen.sum()), model.tables[table]).astype(np.int64)
        high = symbols - model.centre
        escaped = symbols == model.tables.shape[1] - 1
        high[escaped] = read_raw(decoder, int(escaped.sum()), _ESCAPE_BITS).astype(np.int32)
        values[chosen] = (high << low) + read_raw(decoder, len(high), low) - ((1 << low) >> 1)
    return values
