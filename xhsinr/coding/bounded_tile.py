"""Integers of a tile as bytes, each within a bound of what it was."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.coding import bounded_fit as fit
from xhsinr.coding import bounded_loop as loop
from xhsinr.coding import bounded_model as model
from xhsinr.coding import bounded_side as side
from xhsinr.coding.bounded_predict import Fit, History, classify
from xhsinr.errors import DamagedSidecarError

__all__ = ["LARGEST", "decode_integers", "encode_integers"]

LARGEST = side.LARGEST
"""Largest magnitude of an integer that is coded, and of its distance from the base."""

_CLASSES = 6
_CLASS_PIXELS = 1000
_SEGMENT = 1 << 22
"""Symbols after which a range coder ends and another begins: they wait for it to take them."""
_ROWS_PIXELS = 16384
"""Pixels, roughly, that scales are found from."""

Ints = npt.NDArray[Any]


def encode_integers(
    samples: Ints, base: Ints | None, max_errors: Ints, valid: npt.NDArray[np.bool_] | None
) -> tuple[bytes, Ints]:
    """Code the integers of a tile.

    Parameters
    ----------
    samples : ndarray of int32 or int64, shape (bands, rows, cols)
        Magnitudes up to `LARGEST`.
    base : ndarray of the same type and shape, or None
        What the decoder knows already.
    max_errors : ndarray of int, shape (bands,)
        Largest error of a sample; 0 is lossless.
    valid : ndarray of bool, same shape, or None
        False where a sample need not come back.

    Returns
    -------
    bytes
        For `decode_integers`.
    ndarray of the same type and shape
        What that gives.
    """
    bands, rows, cols = samples.shape
    pixels = rows * cols
    skipped = None if valid is None or valid.all() else ~valid.reshape(bands, pixels)
    usable = np.ones(pixels, np.bool_) if skipped is None else ~skipped.any(0)
    if usable.sum() < min(1000, pixels) and skipped is not None:
        usable = ~skipped.all(0)
    labels, clusters = side.cluster(samples, usable)
    classes = min(_CLASSES, max(1, pixels // _CLASS_PIXELS))
    history = History(labels, clusters, bands)
    fitted = Fit(history, usable)
    numbers = side.Numbers(bands, classes, clusters, history.lags + history.near_lags)
    every = max(1, pixels // _ROWS_PIXELS)
    decoded = np.empty((bands, pixels), samples.dtype)
    room = 2 * (_SEGMENT + pixels)
    firsts = np.empty(min(room, 2 * bands * pixels), np.uint32)
    shares = np.empty_like(firsts)
    count, segments = 0, []
    which = np.empty(pixels, np.uint8)
    nothing = np.zeros(0, samples.dtype)
    for band, max_error in enumerate(max_errors.tolist()):
        step = 2 * max_error + 1
        own = samples[band].reshape(pixels)
        below = nothing if base is None else base[band].reshape(pixels)
        skip = np.zeros(0, np.bool_) if skipped is None else skipped[band]
        seen = own if skipped is None else own[~skip]
        low, high = (int(seen.min()), int(seen.max())) if len(seen) else (0, 0)
        integers = own if base is None else own - below
        target = integers[fitted.pixels]
        centre = round(float(target.mean())) if len(target) else 0
        offsets, weights = fitted.weights(target - centre, (step * step - 1) / 12)
        numbers.put(band, low, high, centre, offsets, weights)
        expected = history.expect(*numbers.weights(band), centre)
        classify(expected, below, low, high, classes, skip, which)
        scope = (integers, expected, which, classes)
        noise = 4096 * (step * step - 1) / 12
        silent = np.zeros(loop.NEIGHBOURS, np.int64)
        far = 1 << 40
        bins = fit.symbol_counts(*scope, far, cols, every, silent, step)
        shape, levels = fit.choose_scales(bins)
        most = side.most(levels, step)
        errors = fit.error_weights(*scope, most, cols, every, noise)
        bins = fit.symbol_counts(*scope, most, cols, every, errors, step)
        shape, levels = fit.choose_scales(bins)
        comb = 0
        if step == 1 and high - low < min(side.COMB_RANGE, 8 * pixels):
            comb = fit.choose_comb(seen, low, high, cols)
        numbers.put_model(band, shape, comb, levels, errors)
        known = numbers.band(band, expected, below, which, max_error)
        table = model.distributions()[shape]
        count = loop.encode_band(integers, cols, known, table, decoded[band], firsts, shares, count)
        history.add(decoded[band], centre)
        fitted.update()
        if count >= _SEGMENT or band == bands - 1:
            segments.append(_segment(firsts, shares, count))
            count = 0
    if base is not None:
        decoded += base.reshape(bands, pixels)
    head = [_mask(skipped), side.pack_labels(labels, clusters), numbers.to_bytes()]
    parts = [struct.pack("<B", clusters)]
    parts += [struct.pack("<I", len(part)) + part for part in head + segments]
    return b"".join(parts), decoded.reshape(samples.shape)


def _segment(firsts: Ints, shares: Ints, count: int) -> bytes:
    words = np.empty(count, np.uint32)
    one, other, size = loop.take(firsts, shares, count, words)
    return np.array([one, other], "<u8").tobytes() + words[:size].astype("<u4").tobytes()


def _mask(skipped: npt.NDArray[np.bool_] | None) -> bytes:
    if skipped is None:
        return b""
    changes = skipped.copy()
    changes[1:] ^= skipped[:-1]
    return zlib.compress(np.packbits(changes, axis=1).tobytes(), 9)


def decode_integers(
    content: bytes,
    base: Ints | None,
    max_errors: Ints,
    shape: tuple[int, int, int],
    limits: tuple[Ints, Ints],
) -> Ints:
    """What `encode_integers` said it gives, with the same base and bounds.

    Parameters
    ----------
    limits : (ndarray, ndarray)
        Least and greatest integer of each band, in the type of the samples.

    Raises
    ------
    DamagedSidecarError
        If these are no bytes of a tile of that shape.
    """
    bands, rows, cols = shape
    pixels = rows * cols
    try:
        clusters, parts = content[0], _parts(content[1:])
        if not 1 <= clusters <= side.CLUSTERS:
            raise ValueError(f"it has {clusters} clusters")
        skipped = _skipped(parts[0], bands, pixels)
        labels = side.unpack_labels(parts[1], clusters, rows, cols)
        classes = min(_CLASSES, max(1, pixels // _CLASS_PIXELS))
        history = History(labels, clusters, bands)
        numbers = side.Numbers.from_bytes(
            parts[2], bands, classes, clusters, history.lags + history.near_lags
        )
        numbers.check(max_errors, *limits)
    except (IndexError, ValueError, struct.error, zlib.error) as error:
        raise DamagedSidecarError(f"A tile's bounded integers are damaged: {error}") from error
    decoded = np.empty((bands, pixels), limits[0].dtype)
    which = np.empty(pixels, np.uint8)
    nothing = np.zeros(0, decoded.dtype)
    states, words, left, count = np.zeros(2, np.uint64), np.zeros(0, np.uint32), 0, _SEGMENT
    segments = iter(parts[3:])
    for band, max_error in enumerate(max_errors.tolist()):
        if count >= _SEGMENT:
            states, words = _start(next(segments, b""))
            left, count = len(words), 0
        below = nothing if base is None else base[band].reshape(pixels)
        skip = np.zeros(0, np.bool_) if skipped is None else skipped[band]
        low, high, centre = numbers.range(band)
        shape_number = numbers.shape(band)
        expected = history.expect(*numbers.weights(band), centre)
        classify(expected, below, low, high, classes, skip, which)
        known = numbers.band(band, expected, below, which, max_error)
        left = loop.decode_band(
            cols,
            known,
            model.distributions()[shape_number],
            model.inverses()[shape_number],
            states,
            words,
            left,
            decoded[band],
        )
        if left < 0:
            raise DamagedSidecarError("A tile's bounded integers end early: the file is damaged")
        count += (pixels - np.count_nonzero(skip)) * (2 if known.shift else 1)
        if (count >= _SEGMENT or band == bands - 1) and (left or (states != loop.EMPTY).any()):
            raise DamagedSidecarError(
                "A tile's bounded integers do not end where they should: the file is damaged"
            )
        history.add(decoded[band], centre)
    if next(segments, None) is not None:
        raise DamagedSidecarError("A tile's bounded integers have bytes left: the file is damaged")
    if base is not None:
        decoded += base.reshape(bands, pixels)
    return decoded.reshape(shape)


def _parts(content: bytes) -> list[bytes]:
    parts, at = [], 0
    while at < len(content):
        (size,) = struct.unpack_from("<I", content, at)
        parts.append(content[at + 4 : at + 4 + size])
        at += 4 + size
    if at != len(content) or len(parts) < 4:
        raise ValueError(f"its {len(parts)} parts do not add up to {len(content)} bytes")
    return parts


def _start(content: bytes) -> tuple[Ints, Ints]:
    if len(content) < 16 or len(content) % 4:
        raise DamagedSidecarError(
            f"A tile's bounded integers have a part of {len(content)} bytes: the file is damaged"
        )
    states = np.frombuffer(content, "<u8", 2).astype(np.uint64)
    return states, np.frombuffer(content, "<u4", offset=16).astype(np.uint32)


def _skipped(content: bytes, bands: int, pixels: int) -> npt.NDArray[np.bool_] | None:
    if not content:
        return None
    width = -(-pixels // 8)
    packed = zlib.decompressobj().decompress(content, bands * width)
    bits = np.frombuffer(packed, np.uint8).reshape(bands, width)
    changes = np.unpackbits(bits, axis=1, count=pixels)
    return np.bitwise_xor.accumulate(changes, axis=0).astype(np.bool_)
