"""Integers of a tile as bytes, each within a bound of what it was.

**The bytes.** A byte with the number of clusters K (1 to 4), then parts, each after its size as
u32: the labels, the numbers, and one or more segments. All is little-endian; ``>>`` rounds towards
minus infinity and ``//`` down. Samples that are not valid are *skipped*: they have no symbol and
decode to what is expected of them.

*Labels*: empty for K = 1, else zlib data of a byte for each pixel, its cluster.

*Range coder*: two states u64, then u32 words, of which the last is read first. States take turns,
symbol by symbol, the first one first. With ``P = 28`` a symbol has the share from f to e of
``range(2**P)`` that holds ``state % 2**P``; then ``state = (e - f) * (state >> P) +
state % 2**P - f``, and if that is below 2**31, ``state = state << 32 | word``. In the end both
states are 2**31 and no word is left. *Raw bits*, n of them, have equal shares.

*Numbers*: rows with one integer for each band, in one range coder, row by row: the least sample,
the width (greatest less least), the centre, the shape, the comb, the level of each class, eight
weights of errors, then sets of an offset, the weights of ``min(40, B - 1)`` lags and of
``min(8, B - 1)`` near lags. For K = 1 there is one set; else K + 1, and a cluster has the sum of
the first and its own. Each integer is the bit length of its magnitude, in raw bits (at most 16 at
once) those below the highest, and a bit that is 1 for minus, if it is not 0. Bit lengths are 0 to
41 with counts n of sum T: the shares begin at ``(sum of counts before) * 2**28 // T``. After each,
16 is added to its count. A row begins with counts ``1 + (n >> 3)`` of what the row before left, 0
before the first. Least samples and centres are differences along the bands, levels differences
along the classes and then along the bands.

*Segments*: a range coder each, with the symbols of the bands in order. After the band with which
they become 2**22 or more, the next segment begins.

**A band**, with integers y, samples x = y + base (0 without one), and M the bound, step
``q = 2 M + 1``:

1. ``expected = ((centre << 6) + offset << 4) + 8 + sum of weight * lag + sum of near weight * near
   lag >> 4``, in 64ths. A lag is an earlier band's y less its centre at the pixel; a near lag
   ``above + below + left + right - 4 centre + 2 >> 2`` of these y, with the pixel's own row or
   column where one is outside the tile. All are clipped to 2**30 in magnitude.
2. Classes: ``min(6, max(1, pixels // 1000))`` of them. The key of a pixel is ``(expected + 32 >>
   6) + base``, clipped to the band's range, less its least sample, shifted right until 2**14 keys
   are enough for the width. With n pixels of a key and N of those below, their class is
   ``(N + (n >> 1)) * classes // pixels``, at most the last.
3. Row by row, even columns first: ``position = expected + (sum of w_i e_i + 128 >> 8)`` with the
   errors ``e = 64 y - expected`` at NW, N, NE and the weights 0 to 2 in even columns; at NW, N,
   NE, W, E and 3 to 7 in odd ones. Errors are clipped to ``largest spread * (q << h) >> 8`` in
   magnitude (h as below), 0 outside and where samples are skipped. The position is clipped to 64
   times the band's range less the base; ``middle = position + 32 >> 6`` is what skipped samples
   decode to.
4. Symbols: without a comb ``index = S + s`` with ``reach = (width + M) // q + 1``, h the least
   shift with which the bits of ``2 reach + 1`` are 21 at most, ``S = (reach >> h) + 1``, indices
   0 to 2 S, ``centre = 64 S + 32``, plus ``position - 64 middle`` if q is 1 and h 0. The edge of
   an index is 64 times it. If h > 0, h raw bits r follow, and ``s = (s << h) + r - 2**(h-1)``.
   Then ``y = middle + q s``, clipped to the band's range less the base.
   With a comb the index is the sample less the least of the band; edges are the band's axis, 64
   times the index at first. The centre is ``axis_v + ((p - 64 v) * (axis_(v+1) - axis_v) >> 6)``
   with p the position less 64 times the least y plus 32, v its value ``p >> 6``, and ``p - 64 v``
   clipped to 0 to 64. Before the first row with 200 samples seen, and with 1.5 times as many as
   the last time, the axis is made anew of the counts of samples, see `bounded_model.stretch`.
5. Shares: with n indices and ``u = max(2**14 // n, 1)``, an index i begins at ``i u + (F * (2**28
   - n u) >> 28)``, 0 the first, and the last one ends at 2**28. F is the distribution function of
   the shape at the edge less the centre, see `bounded_model.share`.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.coding import bounded_fit as fit
from xhsinr.coding import bounded_loop as loop
from xhsinr.coding import bounded_model as model
from xhsinr.coding import bounded_side as side
from xhsinr.coding.bounded_predict import Fit, History, classify
from xhsinr.errors import DamagedSidecarError

__all__ = ["LARGEST", "decode_integers", "encode_integers", "memory"]

LARGEST = side.LARGEST
"""Largest magnitude of an integer that is coded, and of its distance from the base."""

_CLASSES = 6
_CLASS_PIXELS = 1000
_SEGMENT = 1 << 22
"""Symbols after which a range coder ends and another begins: they wait for it to take them."""
_FAR = 6
"""Mean errors, beyond which an error is one of few and says no more of its neighbours."""
_ROWS_PIXELS = 16384
"""Pixels, roughly, that scales are found from."""
_PER_SAMPLE, _PER_PIXEL, _SEGMENT_BYTES = 48, 1024, 1 << 27
"""Bytes of memory: of a sample, of a pixel for the bands that predict, of a segment."""

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
    skipped = _skipped(valid, bands, pixels)
    usable = np.ones(pixels, np.bool_)
    if skipped is not None:
        usable = np.asarray(~skipped.any(0))
    if usable.sum() < min(1000, pixels) and skipped is not None:
        usable = np.asarray(~skipped.all(0))
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
        seen = seen if len(seen) else own[:1]  # a filler is within the limits, too
        low, high = int(seen.min()), int(seen.max())
        integers = own if base is None else own - below
        target = integers[fitted.pixels]
        centre = round(float(target.mean())) if len(target) else 0
        offsets, weights = fitted.weights(target - centre, (step * step - 1) / 12)
        numbers.put(band, low, high, centre, offsets, weights)
        expected = history.expect(*numbers.weights(band), centre)
        classify(expected, below, low, high, classes, skip, which)
        scope = (integers, expected, which, classes)
        noise = 4096 * (step * step - 1) / 12
        unit = step << side.symbols(low, high, max_error)[1]
        apart = np.abs((target << 6) - expected[fitted.pixels])
        far = int(_FAR * apart.mean()) if len(apart) else 0
        errors = fit.error_weights(*scope, far, cols, every, noise)
        bins = fit.symbol_counts(*scope, far, cols, every, errors, unit)
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
    head = [side.pack_labels(labels, clusters), numbers.to_bytes()]
    parts = [struct.pack("<B", clusters)]
    parts += [struct.pack("<I", len(part)) + part for part in head + segments]
    return b"".join(parts), decoded.reshape(samples.shape)


def _segment(firsts: Ints, shares: Ints, count: int) -> bytes:
    words = np.empty(count, np.uint32)
    one, other, size = loop.take(firsts, shares, count, words)
    return np.array([one, other], "<u8").tobytes() + words[:size].astype("<u4").tobytes()


def decode_integers(
    content: bytes,
    base: Ints | None,
    max_errors: Ints,
    shape: tuple[int, int, int],
    limits: tuple[Ints, Ints],
    valid: npt.NDArray[np.bool_] | None = None,
) -> Ints:
    """What `encode_integers` said it gives, with the same base and bounds.

    Parameters
    ----------
    limits : (ndarray, ndarray)
        Least and greatest integer of each band, in the type of the samples.
    valid : ndarray of bool, shape (bands, rows, cols), or None
        The same that `encode_integers` got.

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
        labels = side.unpack_labels(parts[0], clusters, rows, cols)
        classes = min(_CLASSES, max(1, pixels // _CLASS_PIXELS))
        history = History(labels, clusters, bands)
        numbers = side.Numbers.from_bytes(
            parts[1], bands, classes, clusters, history.lags + history.near_lags
        )
        numbers.check(max_errors, *limits)
    except (IndexError, ValueError, struct.error) as error:
        raise DamagedSidecarError(f"A tile's bounded integers are damaged: {error}") from error
    skipped = _skipped(valid, bands, pixels)
    decoded = np.empty((bands, pixels), limits[0].dtype)
    which = np.empty(pixels, np.uint8)
    nothing = np.zeros(0, decoded.dtype)
    states, words, left, count = np.zeros(2, np.uint64), np.zeros(0, np.uint32), 0, _SEGMENT
    segments = iter(parts[2:])
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
        count += (pixels - int(np.count_nonzero(skip))) * (2 if known.shift else 1)
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
    if at != len(content) or len(parts) < 3:
        raise ValueError(f"its {len(parts)} parts do not add up to {len(content)} bytes")
    return parts


def _start(content: bytes) -> tuple[Ints, Ints]:
    if len(content) < 16 or len(content) % 4:
        raise DamagedSidecarError(
            f"A tile's bounded integers have a part of {len(content)} bytes: the file is damaged"
        )
    states = np.frombuffer(content, "<u8", 2).astype(np.uint64)
    return states, np.frombuffer(content, "<u4", offset=16).astype(np.uint32)


def _skipped(
    valid: npt.NDArray[np.bool_] | None, bands: int, pixels: int
) -> npt.NDArray[np.bool_] | None:
    return None if valid is None or valid.all() else ~valid.reshape(bands, pixels)


def memory(bands: int, pixels: int) -> int:
    """Most bytes that encoding and decoding the integers of a tile takes."""
    return pixels * (_PER_SAMPLE * bands + _PER_PIXEL) + _SEGMENT_BYTES
