"""The `bound` layer: what the layers before it missed, so that no sample errs by more than asked.

Band after band, the residual of every pixel is predicted from the decoded residuals of the
bands before it, at that pixel and around it, with weights that are sent; the prediction error
is quantised with step ``2 max_error + 1`` (near-lossless coding as in JPEG-LS, ITU-T T.87,
A.4.4) and entropy-coded. Sensor noise grows with the signal, so the pixels of a band are ordered
by brightness and cut into equal classes, each with its own frequency table out of a fixed
family of Gaussian and Laplacian ones.

Decoding is done in integers. The one floating-point product in it holds integers and keeps
every partial sum below 2**53, so it is exact in whatever order it is summed.
"""

from __future__ import annotations

import functools
import itertools
import math
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

from xhsinr import entropy
from xhsinr.errors import DamagedSidecarError

__all__ = ["LARGEST_RESIDUAL", "decode", "decode_floats", "encode", "encode_floats"]

LARGEST_RESIDUAL = 1 << 34
"""Largest magnitude of a residual that `encode` takes: any difference of 32-bit samples fits."""

LAGS = 40  # earlier bands that predict a band at the same pixel
NEAR_LAGS = 8  # earlier bands that predict it from the four neighbours
WEIGHT_BITS = 5  # fractional bits of a weight
WEIGHT_BITS_ALONE = 10  # the same where there is no base, so that what is predicted is larger
LARGEST_WEIGHT = 4 << WEIGHT_BITS_ALONE
WEIGHT_WORTH = 2.0  # bits that a weight must save to be kept
RIDGE = 1e-3

CLASSES = 6  # most brightness classes of a band
CLASS_PIXELS = 1000  # fewest pixels worth a class of their own

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

DIGITS = 6  # after the point, of floats that are coded as integers
LARGEST_DECIMAL = 1 << 31
BIT_STEPS = 255  # first byte of other floats
ZSTD_LEVEL = 19

# Decoded residuals are clipped to it before they predict: (LAGS + NEAR_LAGS) * LARGEST_WEIGHT *
# HISTORY_LIMIT < 2**53. Only damaged payloads exceed it.
HISTORY_LIMIT = 2 * LARGEST_RESIDUAL

Ints = npt.NDArray[np.int64]
Runs = list[tuple[npt.NDArray[Any], entropy.Table]]


def encode(residual: npt.NDArray[Any], base: npt.NDArray[Any] | None, max_error: int) -> bytes:
    """Code a residual so that it decodes within ``max_error`` of what it was.

    Parameters
    ----------
    residual : ndarray of integers, shape (bands, rows, cols)
        Original minus base, magnitudes up to `LARGEST_RESIDUAL`. Pixels whose residual is 0 in
        all bands count as masked and cost next to nothing.
    base : ndarray of integers that fit int64, of the same shape, or None
        What the decoder knows of the scene already: it tells how noisy a sample is.
    max_error : int
        Largest error of a sample, in units of the samples; 0 is lossless.

    Returns
    -------
    bytes
        For `decode`, with the same ``base``, ``max_error`` and shape.

    Raises
    ------
    ValueError
        If ``max_error`` or a residual is out of range.
    """
    if not 0 <= max_error <= LARGEST_RESIDUAL:
        raise ValueError(f"max_error is {max_error}; it must be from 0 to {LARGEST_RESIDUAL}.")
    bands, rows, cols = residual.shape
    flat = residual.reshape(bands, rows * cols)
    largest = max(abs(int(flat.min(initial=0))), abs(int(flat.max(initial=0))))
    if largest > LARGEST_RESIDUAL:
        raise ValueError(f"A residual has magnitude {largest}; the limit is {LARGEST_RESIDUAL}.")
    live = flat.any(0)
    mask = b"" if live.all() else zlib.compress(np.packbits(live).tobytes(), 9)
    plan = _Plan(bands, live.reshape(rows, cols), base is not None)
    history = _FittedHistory(plan)
    side = np.zeros((plan.side_rows, bands), np.int64)
    tables: _Tables | None = None
    runs: Runs = []
    step = 2 * max_error + 1
    for band in range(bands if plan.count else 0):
        target = (flat[band] if plan.whole else flat[band, live]).astype(np.int64)
        weights, offset = history.fit(target, max_error)
        predicted = history.predict(weights, offset)
        quantised = (target - predicted + max_error) // step
        values = quantised[_by_brightness(predicted, base, band, plan)]
        tables = _Tables.best(values, plan.cuts, tables)
        runs += _write(values, plan.cuts, tables)
        side[:, band] = [offset, *tables.numbers, *weights]
        history.add(predicted + quantised * step)
    heads, side_runs = _write_side(side, plan)
    wide = largest + max_error >= 1 << 31
    return struct.pack("<?I", wide, len(mask)) + mask + heads + entropy.encode(side_runs + runs)


def decode(
    payload: bytes, base: npt.NDArray[Any] | None, max_error: int, shape: tuple[int, int, int]
) -> npt.NDArray[np.int32] | Ints:
    """Decode a residual.

    Parameters
    ----------
    payload : bytes
        From `encode`.
    base : ndarray of integers, or None
        The same that `encode` got.
    max_error : int
        The same that `encode` got.
    shape : tuple of int
        (bands, rows, cols).

    Returns
    -------
    ndarray of int32 or int64, shape (bands, rows, cols)
        Within ``max_error`` of the residual everywhere; int32 where that holds it.

    Raises
    ------
    DamagedSidecarError
        If the payload cannot come from `encode`. Damage that leaves a valid payload gives
        wrong numbers: the sidecar's checksums find it.
    """
    bands, rows, cols = shape
    try:
        wide, mask_bytes = struct.unpack_from("<?I", payload)
        mask, rest = payload[5 : 5 + mask_bytes], payload[5 + mask_bytes :]
        plan = _Plan(bands, _live(mask, rows, cols), base is not None)
        heads, words = rest[: 2 * plan.side_rows], rest[2 * plan.side_rows :]
        side, decoder = _read_side(heads, words, plan)
    except (struct.error, zlib.error, ValueError, IndexError) as error:
        raise DamagedSidecarError(f"The bound layer of a tile is damaged: {error}.") from error
    decoded = np.zeros((bands, rows * cols), np.int64 if wide else np.int32)
    history = _History(plan)
    step = 2 * max_error + 1
    live = np.flatnonzero(plan.live)
    for band in range(bands if plan.count else 0):
        offset, shift, form, escaped, *scales = side[: plan.first_weight, band].tolist()
        predicted = history.predict(side[plan.first_weight :, band], offset)
        tables = _Tables(shift, form, escaped, tuple(scales))
        if not tables.silent:
            values = _read(decoder, plan.cuts, tables)
            predicted[_by_brightness(predicted, base, band, plan)] += values * step
        history.add(predicted)
        decoded[band, slice(None) if plan.whole else live] = predicted
    return decoded.reshape(shape)


class _Plan:
    """How a tile is laid out: its live pixels, their classes, the rows of side information.

    The rows are: offset, shift, shape, whether anything exceeds its table, the scale of each
    class, the weight of each lag, the weight of each lag of the neighbours.
    """

    def __init__(self, bands: int, live: npt.NDArray[np.bool_], based: bool) -> None:
        self.live = live
        self.weight_bits = WEIGHT_BITS if based else WEIGHT_BITS_ALONE
        self.count = int(np.count_nonzero(live))
        self.whole = self.count == live.size
        self.lags, self.near_lags = min(LAGS, bands - 1), min(NEAR_LAGS, bands - 1)
        classes = min(CLASSES, max(1, self.count // CLASS_PIXELS))
        self.cuts = [self.count * i // classes for i in range(classes + 1)]
        self.first_weight = 4 + classes
        self.side_rows = self.first_weight + self.lags + self.near_lags
        self.side_cuts = [0, bands]


def _live(mask: bytes, rows: int, cols: int) -> npt.NDArray[np.bool_]:
    if not mask:
        return np.ones((rows, cols), np.bool_)
    size = -(-rows * cols // 8)
    packed = np.frombuffer(zlib.decompressobj().decompress(mask, size), np.uint8)
    return np.unpackbits(packed, count=rows * cols).astype(np.bool_).reshape(rows, cols)


class _History:
    """The decoded residuals of the last bands, which predict the next."""

    def __init__(self, plan: _Plan) -> None:
        self.plan = plan
        self.band = 0
        self.features = np.zeros((plan.lags + plan.near_lags, plan.count))
        rows, cols = plan.live.shape
        self._padded = np.zeros((rows + 2, cols + 2), np.int64)

    def slots(self) -> npt.NDArray[np.intp]:
        """Row of `features` of each weight: lags are kept in two rings, nothing is moved."""
        lags, near_lags = self.plan.lags, self.plan.near_lags
        own = (self.band - 1 - np.arange(lags)) % max(lags, 1)
        near = (self.band - 1 - np.arange(near_lags)) % max(near_lags, 1)
        return np.concatenate([own, lags + near])

    def next_slots(self) -> list[int]:
        """Rows of `features` that the next band takes: its own and its neighbours'."""
        lags, near_lags = self.plan.lags, self.plan.near_lags
        return [self.band % lags, lags + self.band % near_lags] if lags else []

    def predict(self, weights: Ints, offset: int) -> Ints:
        """The residual expected in the band to come; weights in ``2**-weight_bits``."""
        if not weights.any():
            return np.full(self.plan.count, offset, np.int64)
        ordered = np.zeros(len(weights))
        ordered[self.slots()] = weights
        # Exact: integers, and every partial sum is below 2**53 (see HISTORY_LIMIT).
        total = (ordered @ self.features).astype(np.int64)
        bits = self.plan.weight_bits
        total += (1 << (bits - 1)) + (offset << bits)
        total >>= bits
        return total

    def add(self, decoded: Ints) -> None:
        slots = self.next_slots()
        if slots:
            clipped = np.clip(decoded, -HISTORY_LIMIT, HISTORY_LIMIT)
            self.features[slots[0]] = clipped
            self.features[slots[1]] = self._neighbours(clipped)
        self.band += 1

    def _neighbours(self, decoded: Ints) -> Ints:
        """Rounded mean of the four neighbours, zero outside and where masked."""
        p, live = self._padded, self.plan.live
        if self.plan.whole:
            p[1:-1, 1:-1] = decoded.reshape(live.shape)
        else:
            p[1:-1, 1:-1][live] = decoded
        total = p[:-2, 1:-1] + p[2:, 1:-1]
        total += p[1:-1, :-2]
        total += p[1:-1, 2:]
        total += 2
        total >>= 2
        return total.ravel() if self.plan.whole else total[live]


class _FittedHistory(_History):
    """A history that also finds the weights: least squares, without what saves no bits."""

    def __init__(self, plan: _Plan) -> None:
        super().__init__(plan)
        self._gram = np.zeros((len(self.features),) * 2)

    def add(self, decoded: Ints) -> None:
        slots = self.next_slots()
        super().add(decoded)
        new = self.features @ self.features[slots].T
        self._gram[:, slots] = new
        self._gram[slots] = new.T

    def fit(self, target: Ints, max_error: int) -> tuple[Ints, int]:
        """Weights, in ``2**-weight_bits``, and offset for the band to come."""
        weights = np.zeros(len(self.features))
        if np.abs(target).max() <= max_error:
            return weights.astype(np.int64), 0
        slots = self.slots()
        gram = self._gram[np.ix_(slots, slots)]
        moment = (self.features @ target.astype(np.float64))[slots]
        kept = gram.diagonal() > 0
        quantisation = (2 * max_error + 1) ** 2 / 12
        energy = float(target.astype(np.float64) @ target)
        for _ in range(3):
            inside = gram[np.ix_(kept, kept)]
            count = len(inside)
            if not count:
                break
            ridge = RIDGE * len(target) + 1e-9 * np.trace(inside) / count
            inverse = np.linalg.inv(inside + ridge * np.eye(count))
            weights[:] = 0
            weights[kept] = best = inverse @ moment[kept]
            left = max(energy - float(best @ moment[kept]), 0) / len(target) + quantisation
            saved = best**2 / inverse.diagonal() / (2 * np.log(2) * left)
            kept[kept] = saved >= WEIGHT_WORTH
        weights[~kept] = 0
        integers = np.clip(
            np.rint(weights * 2**self.plan.weight_bits), -LARGEST_WEIGHT, LARGEST_WEIGHT
        )
        integers = integers.astype(np.int64)
        missed = target - self.predict(integers, 0)
        if np.square(missed, dtype=np.float64).sum() > energy:
            # Rounding and clipping can spoil weights of bands that are nearly the same.
            integers, missed = np.zeros_like(integers), target
        offset = float(missed.mean())
        saved = len(target) * offset**2 / (missed.var() + quantisation)
        return integers, round(offset) if saved > 2 * np.log(2) * WEIGHT_WORTH else 0


def _by_brightness(
    predicted: Ints, base: npt.NDArray[Any] | None, band: int, plan: _Plan
) -> npt.NDArray[np.intp]:
    """Order of the live pixels by what is known of their brightness, in at most 16 bits."""
    key = predicted
    if base is not None:
        known = base[band]
        key = predicted + (known.reshape(-1) if plan.whole else known[plan.live])
    key = key - key.min()
    key >>= max(int(key.max()).bit_length() - 16, 0)
    return np.argsort(key.astype(np.uint16), kind="stable")


@dataclass(frozen=True)
class _Tables:
    """Which frequency tables the classes of a band are coded with.

    ``shift`` low bits of a value are sent as they are; the rest is a symbol. One shape serves
    the band, one scale each class. ``escaped``: some value lies beyond its table.
    """

    shift: int
    shape: int
    escaped: int
    scales: tuple[int, ...]

    @property
    def numbers(self) -> tuple[int, ...]:
        return (self.shift, self.shape, self.escaped, *self.scales)

    @property
    def silent(self) -> bool:
        return not (self.shift or any(self.scales))

    @classmethod
    def best(cls, values: Ints, cuts: list[int], before: _Tables | None = None) -> _Tables:
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


def _rounded_shift(values: Ints, shift: int) -> Ints:
    return (values + ((1 << shift) >> 1)) >> shift


def _write(values: Ints, cuts: list[int], tables: _Tables) -> Runs:
    """Runs that code ``values``, sorted into classes that end at ``cuts``."""
    symbols = _rounded_shift(values, tables.shift)
    runs: Runs = []
    for i, scale in enumerate(tables.scales):
        if scale:
            end = _half_width(scale)
            run = np.clip(symbols[cuts[i] : cuts[i + 1]], -end, end) + end
            runs.append((run, _table(tables.shape, scale)))
    if tables.escaped:
        beyond = np.abs(symbols) - tables.ends(cuts) + 1
        beyond = beyond[beyond > 0]
        lengths = np.frexp(beyond)[1] - 1
        runs.append((lengths, _lengths_table()))
        for length in np.unique(lengths):
            runs += _raw_runs(beyond[lengths == length], int(length))
    return runs + _raw_runs(values + ((1 << tables.shift) >> 1), tables.shift)


def _read(decoder: entropy.Decoder, cuts: list[int], tables: _Tables) -> Ints:
    """The values that `_write` coded."""
    symbols = np.zeros(cuts[-1], np.int64)
    for i, scale in enumerate(tables.scales):
        if scale:
            run = decoder.read(cuts[i + 1] - cuts[i], _table(tables.shape, scale))
            symbols[cuts[i] : cuts[i + 1]] = run - _half_width(scale)
    if tables.escaped:
        places = np.flatnonzero(np.abs(symbols) == tables.ends(cuts))
        lengths = decoder.read(len(places), _lengths_table())
        for length in np.unique(lengths):
            of_length = places[lengths == length]
            more = _read_raw(decoder, len(of_length), int(length)) + ((1 << int(length)) - 1)
            symbols[of_length] += np.sign(symbols[of_length]) * more
    if tables.shift:
        symbols <<= tables.shift
        symbols += _read_raw(decoder, len(symbols), tables.shift) - (1 << (tables.shift - 1))
    return symbols


def _raw_runs(values: Ints, bits: int) -> Runs:
    runs: Runs = []
    for low in range(0, bits, 12):
        width = min(12, bits - low)
        runs.append(((values >> low) & ((1 << width) - 1), entropy.uniform(width)))
    return runs


def _read_raw(decoder: entropy.Decoder, count: int, bits: int) -> Ints:
    values = np.zeros(count, np.int64)
    for low in range(0, bits, 12):
        part = decoder.read(count, entropy.uniform(min(12, bits - low)))
        values += part.astype(np.int64) << low
    return values


def _write_side(side: Ints, plan: _Plan) -> tuple[bytes, Runs]:
    """Heads (two bytes a row: shift, table) and runs of the rows of side information."""
    side = side.copy()
    scales = side[4 : plan.first_weight]
    scales[:] = np.diff(np.diff(scales, axis=1, prepend=0), axis=0, prepend=0)
    heads, runs = bytearray(), []
    for row in side:
        tables = _Tables.best(row, plan.side_cuts)
        table = tables.shape * SCALES + tables.scales[0]
        heads += bytes([tables.shift | tables.escaped << 7, table])
        runs += _write(row, plan.side_cuts, tables)
    return bytes(heads), runs


def _read_side(heads: bytes, words: bytes, plan: _Plan) -> tuple[Ints, entropy.Decoder]:
    """The rows of side information, checked, and the decoder at the first band."""
    if len(heads) < 2 * plan.side_rows:
        raise ValueError("it is too short")
    decoder = entropy.Decoder(words)
    side = np.zeros((plan.side_rows, plan.side_cuts[1]), np.int64)
    for row, shift, table in zip(side, heads[::2], heads[1::2], strict=True):
        tables = _Tables(shift & 127, table // SCALES, shift >> 7, (table % SCALES,))
        if tables.shift > LARGEST_SHIFT or tables.shape >= SHAPES:
            raise ValueError("it names a table that does not exist")
        row[:] = _read(decoder, plan.side_cuts, tables)
    scales = side[4 : plan.first_weight]
    scales[:] = scales.cumsum(0).cumsum(1)
    limits = [HISTORY_LIMIT, LARGEST_SHIFT, SHAPES - 1, 1]
    limits += [SCALES - 1] * len(scales) + [LARGEST_WEIGHT] * (plan.lags + plan.near_lags)
    signed = np.arange(plan.side_rows) >= plan.first_weight
    signed[0] = True
    most = np.array(limits)[:, None]
    if (side > most).any() or (side < np.where(signed[:, None], -most, 0)).any():
        raise ValueError("its side information is out of range")
    return side, decoder


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


def encode_floats(values: npt.NDArray[Any]) -> bytes:
    """Code floating-point samples so that every bit of them comes back.

    Decimal fractions of up to `DIGITS` digits are coded as integers, as by `encode`. Of others,
    the difference of each sample's bits to those of the band before is coded by ZSTD, most
    significant bytes together.

    Parameters
    ----------
    values : ndarray of float32 or float64, shape (bands, rows, cols)
        Any values, NaN, infinities and -0.0 included.
    """
    decimal = _decimal(values)
    if decimal is not None:
        digits, integers = decimal
        return bytes([digits]) + encode(integers, None, 0)
    steps = _in_order(np.ascontiguousarray(values).view(f"i{values.itemsize}"))
    steps[1:] -= steps[:-1].copy()
    folded = (steps << 1) ^ (steps >> (8 * values.itemsize - 1))
    planes = folded.astype(folded.dtype.newbyteorder("<")).reshape(-1, 1).view(np.uint8).T
    return bytes([BIT_STEPS]) + imagecodecs.zstd_encode(planes.tobytes(), level=ZSTD_LEVEL)


def decode_floats(
    payload: bytes, shape: tuple[int, int, int], dtype: npt.DTypeLike
) -> npt.NDArray[Any]:
    """Decode floating-point samples.

    Parameters
    ----------
    payload : bytes
        From `encode_floats`.
    shape : tuple of int
        (bands, rows, cols).
    dtype : float32 or float64
        The data type of the samples.

    Raises
    ------
    DamagedSidecarError
        If the payload cannot come from `encode_floats`.
    """
    dtype = np.dtype(dtype)
    kind = payload[0] if payload else None
    if kind is not None and kind <= DIGITS:
        return _fraction(decode(payload[1:], None, 0, shape), kind, dtype)
    size = math.prod(shape) * dtype.itemsize
    try:
        if kind != BIT_STEPS:
            raise ValueError(f"they are of kind {kind}")
        packed = imagecodecs.zstd_decode(payload[1:], out=size)
        if len(packed) != size:
            raise ValueError(f"there are {len(packed)} bytes and not {size}")
    except (imagecodecs.ZstdError, ValueError) as error:
        raise DamagedSidecarError(f"The float samples of a tile are damaged: {error}.") from error
    planes = np.frombuffer(packed, np.uint8).reshape(dtype.itemsize, -1)
    unsigned = np.dtype(f"<u{dtype.itemsize}")
    folded = np.ascontiguousarray(planes.T).view(unsigned).astype(unsigned.newbyteorder("="))
    steps = (folded >> 1).view(f"i{dtype.itemsize}") ^ -(folded & 1).view(f"i{dtype.itemsize}")
    return _in_order(np.cumsum(steps.reshape(shape), axis=0, dtype=steps.dtype)).view(dtype)


def _decimal(values: npt.NDArray[Any]) -> tuple[int, npt.NDArray[Any]] | None:
    """The fewest digits after the point that hold the values exactly, and all as integers."""
    if not np.isfinite(values).all():
        return None
    for digits in range(DIGITS + 1):
        scaled = np.rint(values.astype(np.float64) * 10**digits)
        if np.abs(scaled).max(initial=0) > LARGEST_DECIMAL:
            return None
        integers = scaled.astype(np.int64)
        if _fraction(integers, digits, values.dtype).tobytes() == values.tobytes():
            return digits, integers
    return None


def _fraction(integers: npt.NDArray[Any], digits: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    # One correctly rounded division, and one rounding to float32: the same on every machine.
    return (integers / np.float64(10**digits)).astype(dtype)


def _in_order(bits: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The bits of floats as integers that are ordered as the floats are; its own inverse."""
    sign = bits >> (8 * bits.itemsize - 1)
    ordered: npt.NDArray[Any] = bits ^ (sign & np.iinfo(bits.dtype).max)
    return ordered
