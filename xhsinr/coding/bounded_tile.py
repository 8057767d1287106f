"""Integers of a tile as bytes, each within a bound of what it was.

Clusters of pixels, numbers of each band, and the bands' symbols in segments of a range coder, as
`docs/format.md` has them in section 11. Samples that are not valid are *skipped*: they have no
symbol, and decode to what is expected of them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.coding import bounded_fit as fit
from xhsinr.coding import bounded_loop as loop
from xhsinr.coding import bounded_model as model
from xhsinr.coding import bounded_side as side
from xhsinr.coding.bounded_coder import EMPTY, take_bytes
from xhsinr.coding.bounded_halves import halve, join
from xhsinr.coding.bounded_lanes import lanes
from xhsinr.coding.bounded_predict import Fit, History, classify
from xhsinr.errors import DamagedSidecarError

__all__ = ["LARGEST", "decode_integers", "encode_integers", "memory"]

LARGEST = side.LARGEST
"""Largest magnitude of an integer that is coded, and of its distance from the base."""

_CLASSES = 10
_CLASS_PIXELS = 1000
_SEGMENT = 1 << 20
"""Symbols after which a range coder ends and another begins: they wait for it to take them."""
_FAR = 6
"""Mean errors, beyond which an error is one of few and says no more of its neighbours."""
_SHORT = 4
"""Times by which scales may cut errors shorter than what weights were fitted with."""
_ROWS_PIXELS = 8192
"""Pixels, roughly, that scales are found from."""
_PER_SAMPLE, _PER_PIXEL, _SEGMENT_BYTES = 32, 1024, 1 << 25
"""Bytes of memory: of a sample, of a pixel for the bands that predict, of a segment."""

Ints = npt.NDArray[Any]


def encode_integers(
    samples: Ints,
    base: Ints | None,
    max_errors: Ints,
    valid: npt.NDArray[np.bool_] | None,
    decoded: Ints | None = None,
) -> bytes:
    """Code the integers of a tile.

    Parameters
    ----------
    samples : ndarray of int, shape (bands, rows, cols)
        Magnitudes up to `LARGEST`, and below 2**30 in types of 32 bits.
    base : ndarray of int32 or int64, same shape, or None
        What the decoder knows already.
    max_errors : ndarray of int, shape (bands,)
        Largest error of a sample; 0 is lossless.
    valid : ndarray of bool, same shape, or None
        False where a sample need not come back.
    decoded : ndarray of int, same shape, optional
        Set to what `decode_integers` gives.

    Returns
    -------
    bytes
        For `decode_integers`.
    """
    bands, rows, cols = samples.shape
    pixels = rows * cols
    valid = None if valid is None or valid.all() else valid
    usable = np.ones((rows, cols), np.bool_)
    if valid is not None:
        usable = np.asarray(valid.all(0))
        if usable.sum() < min(1000, pixels):
            usable = np.asarray(valid.any(0))
    labels, clusters = side.cluster(samples, usable.ravel())
    classes = min(_CLASSES, max(1, pixels // _CLASS_PIXELS))
    history = History(_halved(labels), clusters, bands)
    fitted = Fit(history, _halved(usable).ravel())
    numbers = side.Numbers(bands, classes, clusters, history.lags + history.near_lags)
    every = max(1, pixels // _ROWS_PIXELS)
    kind = np.promote_types(samples.dtype, np.int32)
    own, below, found = np.empty(pixels, kind), np.zeros(pixels, kind), np.empty(pixels, kind)
    skip = np.zeros(0 if valid is None else pixels, np.bool_)
    room = 2 * (_SEGMENT + pixels)
    firsts = np.empty(min(room, 2 * bands * pixels), np.uint32)
    shares = np.empty_like(firsts)
    count, segments = 0, []
    which = np.empty(pixels, np.uint8)
    for band, max_error in enumerate(max_errors.tolist()):
        step = 2 * max_error + 1
        halve(samples[band], own.reshape(rows, cols))
        if base is not None:
            halve(base[band], below.reshape(rows, cols))
        if valid is not None:
            halve(~valid[band], skip.reshape(rows, cols))
        seen = own if valid is None else own[~skip]
        seen = seen if len(seen) else own[:1]  # a filler is within the limits, too
        low, high = int(seen.min()), int(seen.max())
        integers = own if base is None else own - below
        target = integers[fitted.pixels]
        centre = round(float(target.mean())) if len(target) else 0
        offsets, weights = fitted.weights(target - centre, (step * step - 1) / 12)
        numbers.put(band, low, high, centre, offsets, weights)
        expected = history.expect(*numbers.weights(band), centre)
        classify(expected, below, low, high, classes, skip, which)
        noise = 4096 * (step * step - 1) / 12
        unit = step << side.symbols(low, high, max_error)[1]
        apart = np.abs((target.astype(np.int64) << 6) - expected[fitted.pixels])
        far = int(_FAR * apart.mean()) if len(apart) else 0
        around, of = fit.errors_around(integers, expected, which, classes, cols, every)
        errors = fit.error_weights(around, of, classes, far, noise)
        count_symbols = partial(fit.symbol_counts, around, of, classes, errors, unit)
        shape, levels = _scales(count_symbols, far, unit)
        comb = 0
        if step == 1 and high - low < side.comb_range(pixels):
            spread = int(model.scale(np.array(sorted(levels)[len(levels) // 2])))
            comb = fit.choose_comb(seen, low, high, spread)
        numbers.put_model(band, shape, comb, levels, errors)
        known = numbers.band(band, expected, below, which, max_error)
        count = loop.encode_band(integers, cols, known, found, firsts, shares, count)
        history.add(found, centre)
        if decoded is not None:
            join(found.reshape(rows, cols), below.reshape(rows, cols), decoded[band])
        if count >= _SEGMENT or band == bands - 1:
            segments.append(take_bytes(firsts, shares, count, lanes(samples.size)))
            count = 0
    head = [side.pack_labels(labels, clusters), numbers.to_bytes()]
    parts = [struct.pack("<B", clusters)]
    parts += [struct.pack("<I", len(part)) + part for part in head + segments]
    return b"".join(parts)


def _scales(count: Callable[[int], fit.Floats], far: int, unit: int) -> tuple[int, list[int]]:
    """Shape of a band and levels of its scales, the largest of which cuts the errors that predict.

    Parameters
    ----------
    count : callable
        From the largest error that predicts to `bounded_fit.symbol_counts`.
    far : int
        The one that weights of errors were fitted with.
    unit : int
        Step of a symbol.
    """
    counts = count(far)
    shape, levels, _ = fit.choose_scales(counts)
    if _SHORT * (cut := side.most(np.max(levels), unit)) < far:
        # Scales of what is hardly ever off cut what they rely on: they are found for the errors
        # that they leave, or one of them lets all errors through.
        least = int(np.searchsorted(side.most(np.arange(model.LEVELS - 1), unit), far))
        ways = [fit.choose_scales(count(cut)), fit.choose_scales(counts, least)]
        shape, levels, _ = min(ways, key=itemgetter(2))
    return shape, levels


def decode_integers(
    content: bytes,
    base: Ints | None,
    max_errors: Ints,
    limits: tuple[Ints, Ints],
    valid: npt.NDArray[np.bool_] | None,
    decoded: Ints,
) -> None:
    """Set ``decoded`` as `encode_integers` does, with the same base and bounds.

    Parameters
    ----------
    limits : (ndarray, ndarray)
        Least and greatest integer of each band, of 32 or 64 bits.
    valid : ndarray of bool, shape (bands, rows, cols), or None
        The same that `encode_integers` got.
    decoded : ndarray of int, shape (bands, rows, cols)
        Of any type that holds the limits.

    Raises
    ------
    DamagedSidecarError
        If these are no bytes of a tile of that shape.
    """
    bands, rows, cols = decoded.shape
    pixels = rows * cols
    try:
        clusters, parts = content[0], _parts(content[1:])
        if not 1 <= clusters <= side.CLUSTERS:
            raise ValueError(f"it has {clusters} clusters")
        labels = side.unpack_labels(parts[0], clusters, rows, cols)
        classes = min(_CLASSES, max(1, pixels // _CLASS_PIXELS))
        history = History(_halved(labels), clusters, bands)
        numbers = side.Numbers.from_bytes(
            parts[1], bands, classes, clusters, history.lags + history.near_lags
        )
        numbers.check(max_errors, *limits, pixels)
    except (IndexError, ValueError, struct.error) as error:
        raise DamagedSidecarError(f"A tile's bounded integers are damaged: {error}") from error
    valid = None if valid is None or valid.all() else valid
    kind = limits[0].dtype
    below, found = np.zeros(pixels, kind), np.empty(pixels, kind)
    skip = np.zeros(0 if valid is None else pixels, np.bool_)
    which = np.empty(pixels, np.uint8)
    turns = lanes(decoded.size)
    states, words, left, count = np.zeros(turns, np.uint64), np.zeros(1, np.uint32), 0, _SEGMENT
    segments = iter(parts[2:])
    for band, max_error in enumerate(max_errors.tolist()):
        if count >= _SEGMENT:
            states, words, left = _start(next(segments, b""), turns)
            count = 0
        if base is not None:
            halve(base[band], below.reshape(rows, cols))
        if valid is not None:
            halve(~valid[band], skip.reshape(rows, cols))
        low, high, centre = numbers.range(band)
        expected = history.expect(*numbers.weights(band), centre)
        classify(expected, below, low, high, classes, skip, which)
        known = numbers.band(band, expected, below, which, max_error)
        quantiles = model.quantiles()[numbers.shape(band)]
        left = loop.decode_band(cols, known, quantiles, states, count % turns, words, left, found)
        if left < 0:
            raise DamagedSidecarError("A tile's bounded integers end early: the file is damaged")
        count += pixels * (2 if known.shift else 1)
        if (count >= _SEGMENT or band == bands - 1) and (left or (states != EMPTY).any()):
            raise DamagedSidecarError(
                "A tile's bounded integers do not end where they should: the file is damaged"
            )
        history.add(found, centre)
        join(found.reshape(rows, cols), below.reshape(rows, cols), decoded[band])
    if next(segments, None) is not None:
        raise DamagedSidecarError("A tile's bounded integers have bytes left: the file is damaged")


def _parts(content: bytes) -> list[bytes]:
    parts, at = [], 0
    while at < len(content):
        (size,) = struct.unpack_from("<I", content, at)
        parts.append(content[at + 4 : at + 4 + size])
        at += 4 + size
    if at != len(content) or len(parts) < 3:
        raise ValueError(f"its {len(parts)} parts do not add up to {len(content)} bytes")
    return parts


def _start(content: bytes, turns: int) -> tuple[Ints, Ints, int]:
    """States of a range coder, its words and one more, and how many words there are."""
    head = 8 * turns
    if len(content) < head or len(content) % 4:
        raise DamagedSidecarError(
            f"A tile's bounded integers have a part of {len(content)} bytes: the file is damaged"
        )
    states = np.frombuffer(content, "<u8", turns).astype(np.uint64)
    left = (len(content) - head) // 4
    words = np.zeros(left + 1, np.uint32)
    words[:left] = np.frombuffer(content, "<u4", offset=head)
    return states, words, left


def _halved(plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
    halves = np.empty_like(plane)
    halve(plane, halves)
    return halves


def memory(bands: int, pixels: int) -> int:
    """Most bytes that encoding and decoding the integers of a tile takes."""
    return pixels * (_PER_SAMPLE * bands + _PER_PIXEL) + _SEGMENT_BYTES
