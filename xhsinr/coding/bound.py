"""The `bound` layer: what the layers before it missed, so that no sample errs by more than asked.

Band after band, the residual of every pixel is predicted from the decoded residuals of the
bands before it, at that pixel and around it, with weights that are sent; the prediction error
is quantised with step ``2 max_error + 1`` (near-lossless coding as in JPEG-LS, ITU-T T.87,
A.4.4) and entropy-coded. Sensor noise grows with the signal, so the pixels of a band are ordered
by brightness and cut into equal classes, each with its own frequency table (see
`xhsinr.coding.tables`).

Decoding is done in integers. The one floating-point product in it holds integers and keeps
every partial sum below 2**53, so it is exact in whatever order it is summed.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.coding.tables import LARGEST_SHIFT, SCALES, SHAPES, Tables
from xhsinr.entropy import runs as entropy
from xhsinr.errors import DamagedSidecarError

__all__ = ["LARGEST_RESIDUAL", "decode", "encode"]

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
    if not plan.count:
        return struct.pack("<?I", False, len(mask)) + mask
    history = _FittedHistory(plan)
    side = np.zeros((plan.side_rows, bands), np.int64)
    tables: Tables | None = None
    runs: Runs = []
    step = 2 * max_error + 1
    for band in range(bands):
        target = (flat[band] if plan.whole else flat[band, live]).astype(np.int64)
        weights, offset = history.fit(target, max_error)
        predicted = history.predict(weights, offset)
        quantised = (target - predicted + max_error) // step
        values = quantised[_by_brightness(predicted, base, band, plan)]
        tables = Tables.best(values, plan.cuts, tables)
        runs += tables.runs(values, plan.cuts)
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
        if not plan.count:
            return np.zeros(shape, np.int32)
        heads, words = rest[: 2 * plan.side_rows], rest[2 * plan.side_rows :]
        side, decoder = _read_side(heads, words, plan)
    except (struct.error, zlib.error, ValueError, IndexError) as error:
        raise DamagedSidecarError(f"The bound layer of a tile is damaged: {error}.") from error
    decoded = np.zeros((bands, rows * cols), np.int64 if wide else np.int32)
    history = _History(plan)
    step = 2 * max_error + 1
    live = np.flatnonzero(plan.live)
    for band in range(bands):
        offset, shift, form, escaped, *scales = side[: plan.first_weight, band].tolist()
        predicted = history.predict(side[plan.first_weight :, band], offset)
        tables = Tables(shift, form, escaped, tuple(scales))
        if not tables.silent:
            values = tables.read(decoder, plan.cuts)
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
        # Exact: integers, and every partial sum is below 2**53 (see HISTORY_LIMIT). Not by BLAS,
        # whose threads cost more than they gain on so little, the more so beside dask's.
        total: Ints = np.einsum("l,lp->p", ordered, self.features).astype(np.int64)
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


def _write_side(side: Ints, plan: _Plan) -> tuple[bytes, Runs]:
    """Heads (two bytes a row: shift, table) and runs of the rows of side information."""
    side = side.copy()
    scales = side[4 : plan.first_weight]
    scales[:] = np.diff(np.diff(scales, axis=1, prepend=0), axis=0, prepend=0)
    heads, runs = bytearray(), []
    for row in side:
        tables = Tables.best(row, plan.side_cuts)
        table = tables.shape * SCALES + tables.scales[0]
        heads += bytes([tables.shift | tables.escaped << 7, table])
        runs += tables.runs(row, plan.side_cuts)
    return bytes(heads), runs


def _read_side(heads: bytes, words: bytes, plan: _Plan) -> tuple[Ints, entropy.Decoder]:
    """The rows of side information, checked, and the decoder at the first band."""
    if len(heads) < 2 * plan.side_rows:
        raise ValueError("it is too short")
    decoder = entropy.Decoder(words)
    side = np.zeros((plan.side_rows, plan.side_cuts[1]), np.int64)
    for row, shift, table in zip(side, heads[::2], heads[1::2], strict=True):
        tables = Tables(shift & 127, table // SCALES, shift >> 7, (table % SCALES,))
        if tables.shift > LARGEST_SHIFT or tables.shape >= SHAPES:
            raise ValueError("it names a table that does not exist")
        row[:] = tables.read(decoder, plan.side_cuts)
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
