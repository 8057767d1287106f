"""What a tile's bytes say besides its integers: clusters of pixels, and numbers of each band."""

from __future__ import annotations

import itertools
import zlib
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from numba import njit, uint64

from xhsinr.coding.bounded_coder import EMPTY, next_word, take_bytes
from xhsinr.coding.bounded_loop import NEIGHBOURS, Band
from xhsinr.coding.bounded_model import COMBS, LEVELS, ONE, PRECISION, SHAPES, distribution, scale
from xhsinr.coding.bounded_predict import LARGEST_OFFSET, LARGEST_WEIGHT
from xhsinr.entropy.cursor import inflate

__all__ = [
    "CLUSTERS",
    "LARGEST",
    "Numbers",
    "cluster",
    "comb_range",
    "most",
    "pack_labels",
    "symbols",
    "unpack_labels",
]

CLUSTERS = 6
"""Most clusters of pixels."""

_COMB_RANGE, _COMB_VALUES = 1 << 16, 8
"""Widths of bands whose axis may be stretched are below; and below so many times the pixels."""

_CLUSTER_PIXELS = 3000
_SYMBOLS = 1 << 21
"""A band with more symbols codes low bits as they are."""
LARGEST = 1 << 34
"""Largest magnitude of an integer that a tile may hold."""

_LARGEST_ERROR_WEIGHT = 1 << 10
_BIT_LENGTHS = 42
_RAW_BITS = 16
_FIXED_ROWS = 5

Ints = npt.NDArray[Any]


def cluster(samples: Ints, usable: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.uint8], int]:
    """Label each pixel by the form of its spectrum; labels, and how many there are.

    Parameters
    ----------
    samples : ndarray of int, shape (bands, rows, cols)
    usable : ndarray of bool, shape (pixels,)
        Pixels without filler.
    """
    bands, rows, cols = samples.shape
    number = int(np.count_nonzero(usable))
    clusters = min(CLUSTERS, number // _CLUSTER_PIXELS)
    labels = np.zeros((rows, cols), np.uint8)
    if clusters < 2 or bands < 16:
        return labels, 1
    cuts = np.linspace(0, bands, 17).astype(int)
    forms = np.stack(
        [samples[a:b].mean(0, dtype=np.float32).ravel() for a, b in itertools.pairwise(cuts)],
        axis=1,
    )
    forms -= forms[usable].mean(0)
    # Noise blurs the form of a spectrum near the mean: it counts for less.
    forms /= np.sqrt(np.linalg.norm(forms, axis=1, keepdims=True) + 1e-6)
    some = forms[usable][:: max(1, number // 4096)]
    centres = some[np.linspace(0, len(some) - 1, clusters).astype(int)]
    for _ in range(12):
        nearest = _nearest(some, centres)
        centres = np.stack(
            [
                some[nearest == i].mean(0) if (nearest == i).any() else centres[i]
                for i in range(clusters)
            ]
        )
    return _nearest(forms, centres).astype(np.uint8).reshape(rows, cols), clusters


def _nearest(forms: npt.NDArray[Any], centres: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    return np.asarray((np.square(centres).sum(1) - 2 * forms @ centres.T).argmin(1))


def pack_labels(labels: npt.NDArray[np.uint8], clusters: int) -> bytes:
    """Labels as bytes, none for a single cluster."""
    return zlib.compress(labels.tobytes()) if clusters > 1 else b""


def unpack_labels(content: bytes, clusters: int, rows: int, cols: int) -> npt.NDArray[np.uint8]:
    """What `pack_labels` packed; ValueError if it is nothing of that kind."""
    if clusters == 1:
        if content:
            raise ValueError(f"a single cluster has {len(content)} bytes of labels")
        return np.zeros((rows, cols), np.uint8)
    plain = inflate(content, rows * cols)
    labels = np.frombuffer(plain, np.uint8).reshape(rows, cols)
    if labels.max(initial=0) >= clusters:
        raise ValueError("a pixel is in a cluster that there is not")
    return labels


def symbols(low: int, high: int, max_error: int) -> tuple[int, int]:
    """Largest magnitude of a symbol, and how many low bits are coded as they are."""
    reach = (high - low + max_error) // (2 * max_error + 1) + 1
    shift = max(0, (2 * reach + 1).bit_length() - _SYMBOLS.bit_length() + 1)
    return (reach >> shift) + 1, shift


def comb_range(pixels: int) -> int:
    """Widths of bands whose axis may be stretched are below that: it takes time for each value."""
    return min(_COMB_RANGE, _COMB_VALUES * pixels)


def most(level: Any, step: int) -> Any:
    """Largest error that predicts: four of the largest scale, in 64ths; a symbol has that step."""
    # No error comes near the greatest one, whose product would not fit.
    return np.minimum(scale(level), (1 << 60) // step) * step >> 8


class Numbers:
    """Numbers of each band, a row of them for each kind.

    Parameters
    ----------
    bands, classes, clusters, lags : int
        Lags of the neighbours too.
    """

    def __init__(self, bands: int, classes: int, clusters: int, lags: int) -> None:
        self._classes, self._clusters, self._lags = classes, clusters, lags
        self._errors = _FIXED_ROWS + classes
        self._weights = self._errors + NEIGHBOURS
        sets = clusters + 1 if clusters > 1 else 1
        self._rows = np.zeros((self._weights + sets * (lags + 1), bands), np.int64)

    def put(
        self, band: int, low: int, high: int, centre: int, offsets: Ints, weights: Ints
    ) -> None:
        """Keep the range, the centre and the weights of a band, as `Fit.weights` gives them."""
        self._rows[:3, band] = low, high - low, centre
        sets = np.concatenate([offsets[:, None], weights], axis=1)
        flat = sets[: self._clusters + 1 if self._clusters > 1 else 1].ravel()
        self._rows[self._weights :, band] = flat

    def put_model(self, band: int, shape: int, comb: int, levels: list[int], errors: Ints) -> None:
        """Keep how the values of a band are distributed."""
        self._rows[3:_FIXED_ROWS, band] = shape, comb
        self._rows[_FIXED_ROWS : self._errors, band] = levels
        self._rows[self._errors : self._weights, band] = errors

    def range(self, band: int) -> tuple[int, int, int]:
        """Least and greatest sample of a band, and its centre."""
        low, width, centre = self._rows[:3, band].tolist()
        return low, low + width, centre

    def shape(self, band: int) -> int:
        """Which of the shapes a band's values have."""
        return int(self._rows[3, band])

    def weights(self, band: int) -> tuple[Ints, Ints]:
        """Offsets and weights of each cluster."""
        sets = self._rows[self._weights :, band].reshape(-1, self._lags + 1)
        sets = sets[:1] if self._clusters == 1 else sets[:1] + sets[1:]
        return np.ascontiguousarray(sets[:, 0]), np.ascontiguousarray(sets[:, 1:])

    def band(
        self, band: int, expected: Ints, base: Ints, classes: npt.NDArray[np.uint8], max_error: int
    ) -> Band:
        """What the loops need for a band."""
        low, high, _ = self.range(band)
        largest, shift = symbols(low, high, max_error)
        levels = self._rows[_FIXED_ROWS : self._errors, band]
        spreads = scale(levels)
        comb = COMBS[self._rows[4, band]]
        return Band(
            expected,
            base,
            classes,
            low,
            high,
            max_error,
            np.ascontiguousarray(self._rows[self._errors : self._weights, band]),
            spreads,
            (1 << 44) // spreads,
            int(most(np.max(levels), (2 * max_error + 1) << shift)),
            largest,
            shift,
            comb,
            *distribution(
                self.shape(band), 2 * largest + 1 if max_error or shift else high - low + 1
            ),
        )

    def to_bytes(self) -> bytes:
        """All rows, for `from_bytes`."""
        rows = self._differences(self._rows)
        room = rows.size * 5
        firsts, shares = np.empty(room, np.uint32), np.empty(room, np.uint32)
        count = _model_rows(rows, firsts, shares)
        return take_bytes(firsts, shares, count, 2)

    @classmethod
    def from_bytes(cls, content: bytes, bands: int, classes: int, clusters: int, lags: int) -> Self:
        """Rows of `to_bytes`; ValueError if these are no such bytes."""
        if len(content) < 16 or len(content) % 4:
            raise ValueError(f"its numbers have {len(content)} bytes")
        numbers = cls(bands, classes, clusters, lags)
        states = np.frombuffer(content, "<u8", 2).astype(np.uint64)
        words = np.frombuffer(content, "<u4", offset=16).astype(np.uint32)
        if not _read_rows(numbers._rows, states, words):
            raise ValueError("its numbers do not end where they should")
        rows = numbers._rows
        rows[[0, 2]] = rows[[0, 2]].cumsum(1)
        levels = rows[_FIXED_ROWS : numbers._errors]
        levels[:] = levels.cumsum(0).cumsum(1)
        return numbers

    def _differences(self, rows: Ints) -> Ints:
        """Rows that go on smoothly as differences along the bands, levels along classes too."""
        rows = rows.copy()
        rows[[0, 2]] = np.diff(rows[[0, 2]], axis=1, prepend=0)
        levels = rows[_FIXED_ROWS : self._errors]
        levels[:] = np.diff(np.diff(levels, axis=1, prepend=0), axis=0, prepend=0)
        return rows

    def check(self, max_errors: Ints, least: Ints, greatest: Ints, pixels: int) -> None:
        """Raise ValueError where a number is out of its range."""
        rows = self._rows
        low, width, _, shape, comb = rows[:_FIXED_ROWS]
        levels = rows[_FIXED_ROWS : self._errors]
        sets = rows[self._weights :].reshape(-1, self._lags + 1, rows.shape[1])
        stretched = comb > 0
        if (
            (width < 0).any()
            or (low < least).any()
            or (low + width > greatest).any()
            or (np.abs(rows[:3]) > LARGEST).any()
            or (shape < 0).any()
            or (shape >= SHAPES).any()
            or (comb < 0).any()
            or (comb >= len(COMBS)).any()
            or (width[stretched] >= comb_range(pixels)).any()
            or (max_errors[stretched] > 0).any()
            or (levels < 0).any()
            or (levels >= LEVELS).any()
            or (np.abs(rows[self._errors : self._weights]) > _LARGEST_ERROR_WEIGHT).any()
            or (np.abs(sets[:, 0]) > LARGEST_OFFSET).any()
            or (np.abs(sets[:, 1:]) > LARGEST_WEIGHT).any()
        ):
            raise ValueError("a number of a band is out of its range")


@njit(cache=True, nogil=True)
def _fresh(counts: Any, before: Any) -> None:
    """Counts of bit lengths to begin a row with: those of the row before, faded."""
    for i in range(_BIT_LENGTHS):
        counts[i] = 1 + (before[i] >> 3)


@njit(cache=True, nogil=True)
def _model_rows(rows: Any, firsts: Any, shares: Any) -> int:
    """Bit lengths by what came so far, then the bits below the highest, then the sign."""
    counts, count = np.zeros(_BIT_LENGTHS, np.int64), 0
    for row in rows:
        _fresh(counts, counts)
        for value in row:
            magnitude, length = abs(value), 0
            while magnitude >> length:
                length += 1
            before = counts[:length].sum()
            total = counts.sum()
            firsts[count] = before * ONE // total
            shares[count] = (before + counts[length]) * ONE // total - firsts[count]
            counts[length] += 16
            count += 1
            left = length - 1
            while left > 0:
                bits = min(left, _RAW_BITS)
                left -= bits
                firsts[count] = ((magnitude >> left) & ((1 << bits) - 1)) << (PRECISION - bits)
                shares[count] = 1 << (PRECISION - bits)
                count += 1
            if length:
                firsts[count] = (ONE >> 1) * (value < 0)
                shares[count] = ONE >> 1
                count += 1
    return count


@njit(cache=True, nogil=True)
def _drop(states: Any, words: Any, left: Any, first: Any, size: Any) -> Any:
    """Remove a symbol from the state whose turn it is, and pass the turn on."""
    one = states[0]
    one = uint64(size) * (one >> uint64(PRECISION)) + (one & uint64(ONE - 1)) - uint64(first)
    one, left = next_word(one, words, left)
    states[0], states[1] = states[1], one
    return left


@njit(cache=True, nogil=True)
def _read_rows(rows: Any, states: Any, words: Any) -> bool:
    """The reverse of `_model_rows`; whether it ends where it should."""
    counts, left = np.zeros(_BIT_LENGTHS, np.int64), len(words)
    for row in rows:
        _fresh(counts, counts)
        for i in range(len(row)):
            target = np.int64(states[0] & uint64(ONE - 1))
            total = counts.sum()
            length, before = 0, np.int64(0)
            while length < _BIT_LENGTHS - 1 and (before + counts[length]) * ONE // total <= target:
                before += counts[length]
                length += 1
            first = before * ONE // total
            left = _drop(
                states, words, left, first, (before + counts[length]) * ONE // total - first
            )
            counts[length] += 16
            magnitude, more = np.int64(1 if length else 0), length - 1
            while more > 0:
                bits = min(more, _RAW_BITS)
                more -= bits
                raw = np.int64(states[0] & uint64(ONE - 1)) >> (PRECISION - bits)
                left = _drop(
                    states, words, left, raw << (PRECISION - bits), 1 << (PRECISION - bits)
                )
                magnitude = (magnitude << bits) | raw
            if length:
                minus = np.int64(states[0] & uint64(ONE - 1)) >= ONE >> 1
                left = _drop(states, words, left, (ONE >> 1) * minus, ONE >> 1)
                magnitude = -magnitude if minus else magnitude
            row[i] = magnitude
            if left < 0:
                return False
    return left == 0 and states[0] == EMPTY and states[1] == EMPTY
