"""The entropy coders of CCSDS 123.0-B-2: mapped quantizer indices <-> bits.

Our reading of the standard's section 5. The sample-adaptive coder is as specified. The hybrid
coder is in its statistics, its choice of codes and its order of decoding, last sample first; its
sixteen codes for low entropies are built here (Tunstall's trees with Huffman's words, for the
geometric distribution between the thresholds of each code), in place of the standard's tables.
"""

from __future__ import annotations

import heapq
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["decode_adaptive", "decode_hybrid", "encode_adaptive", "encode_hybrid"]

Indices = npt.NDArray[np.uint32]

# Unary lengths end here (U_max), counters at 2**_COUNTER (gamma*) and begin at 2**_FIRST (gamma_0).
_UNARY, _COUNTER, _FIRST, _INITIAL = 18, 6, 1, 3
_HYBRID_COUNTER = 6
# Thresholds T_i and input symbol limits L_i of the low-entropy codes.
_THRESHOLDS = np.array(
    [303336, 225404, 166979, 128672, 95597, 69670, 50678, 34898, 23331, 14935, 9282, 5510, 3195,
     1928, 1112, 408], np.int64,
)  # fmt: skip
_LIMITS = np.array([12, 10, 8, 6, 6, 4, 4, 4, 2, 2, 2, 2, 2, 2, 2, 0], np.int64)
_CODEWORDS = 256


@njit(cache=True, nogil=True)
def _emit(bits: Any, place: int, value: Any, length: int) -> int:
    for i in range(length - 1, -1, -1):
        bits[place] = (value >> i) & 1
        place += 1
    return place


@njit(cache=True, nogil=True)
def _emit_limited(bits: Any, place: int, value: Any, k: int, depth: int) -> int:
    """A length-limited code word of Golomb's kind with parameter 2**k."""
    unary = value >> k
    if unary < _UNARY:
        place = _emit(bits, place + unary, 1, 1)
        return _emit(bits, place, value & ((1 << k) - 1), k)
    return _emit(bits, place + _UNARY, value, depth)


@njit(cache=True, nogil=True)
def _take(bits: Any, place: int, length: int) -> tuple[Any, int]:
    value = 0
    for i in range(length):
        value = 2 * value + bits[place + i]
    return value, place + length


@njit(cache=True, nogil=True)
def _take_limited(bits: Any, place: int, k: int, depth: int) -> tuple[Any, int]:
    unary = 0
    while unary < _UNARY and bits[place] == 0:
        unary += 1
        place += 1
    if unary == _UNARY:
        return _take(bits, place, depth)
    rest, place = _take(bits, place + 1, k)
    return (unary << k) + rest, place


@njit(cache=True, nogil=True)
def _parameter(total: Any, count: Any, depth: int) -> int:
    """k of the sample-adaptive coder."""
    level = total + ((49 * count) >> 7)
    k = 0
    if 2 * count <= level:
        while k < depth - 2 and count << (k + 1) <= level:
            k += 1
    return k


@njit(cache=True, nogil=True)
def _adaptive(indices: Any, bits: Any, depth: int, decoding: bool) -> int:
    bands, pixels = indices.shape
    place = 0
    for z in range(bands):
        count = 1 << _FIRST
        total = ((3 * (1 << (_INITIAL + 6)) - 49) * count) >> 7
        for p in range(pixels):
            k = _parameter(total, count, depth)
            if p == 0 and decoding:
                indices[z, p], place = _take(bits, place, depth)
                continue
            if p == 0:
                place = _emit(bits, place, indices[z, p], depth)
                continue
            if decoding:
                indices[z, p], place = _take_limited(bits, place, k, depth)
            else:
                place = _emit_limited(bits, place, np.int64(indices[z, p]), k, depth)
            value: int = indices[z, p]
            if count < (1 << _COUNTER) - 1:
                total += value
                count += 1
            else:
                total = (total + value + 1) >> 1
                count = (count + 1) >> 1
    return place


def encode_adaptive(indices: Indices, depth: int) -> bytes:
    """Bytes of indices of shape (bands, pixels) below ``2**depth``."""
    # No word is longer than the unary part and a whole sample.
    bits = np.zeros(indices.size * (_UNARY + depth + 1), np.uint8)
    used = _adaptive(indices, bits, depth, False)
    return np.packbits(bits[:used]).tobytes()


def decode_adaptive(content: bytes, shape: tuple[int, int], depth: int) -> Indices:
    """Indices that `encode_adaptive` coded."""
    bits = np.unpackbits(np.frombuffer(content, np.uint8))
    indices = np.empty(shape, np.uint32)
    _adaptive(indices, bits, depth, True)
    return indices


class _Codes(NamedTuple):
    """Trees of all low-entropy codes, and the words of their leaves.

    Attributes
    ----------
    children : ndarray of int64, shape (codes, nodes, symbols)
        Where a symbol leads from an inner node; a leaf is -1 less its number.
    words, lengths : ndarray of int64, shape (codes, leaves)
    paths : ndarray of int64, shape (codes, leaves, longest)
        Symbols of each leaf, last one first, -1 behind them.
    inner : ndarray of int64, shape (codes, nodes, longest)
        The same for inner nodes.
    lookup : ndarray of int64, shape (codes, 2**longest word)
        Leaf by the first bits of a word.
    longest : int
    """

    children: npt.NDArray[np.int64]
    words: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    paths: npt.NDArray[np.int64]
    inner: npt.NDArray[np.int64]
    lookup: npt.NDArray[np.int64]
    longest: int


def _tree(chances: list[float]) -> tuple[list[list[int]], list[list[int]], list[float]]:
    """Children, symbols of each leaf, and the leaves' chances, of Tunstall's tree."""
    growing: list[tuple[float, int, list[int], int, int]] = [(-1.0, 0, [], -1, -1)]
    children: list[list[int]] = []
    serial = 0
    leaves = []
    while len(growing) + len(chances) - 1 <= _CODEWORDS or not children:
        chance, _, path, parent, symbol = heapq.heappop(growing)
        if parent >= 0:
            children[parent][symbol] = len(children)
        children.append([-1] * len(chances))
        for s, share in enumerate(chances):
            serial += 1
            heapq.heappush(growing, (chance * share, serial, [*path, s], len(children) - 1, s))
    for number, (chance, _, path, parent, symbol) in enumerate(growing):
        children[parent][symbol] = -1 - number
        leaves.append((path, -chance))
    return children, [path for path, _ in leaves], [chance for _, chance in leaves]


def _huffman(chances: list[float]) -> list[int]:
    """Length of the word of each leaf."""
    lengths = [0] * len(chances)
    heap = [(chance, i, [i]) for i, chance in enumerate(chances)]
    heapq.heapify(heap)
    while len(heap) > 1:
        a, b = heapq.heappop(heap), heapq.heappop(heap)
        for leaf in (*a[2], *b[2]):
            lengths[leaf] += 1
        heapq.heappush(heap, (a[0] + b[0], a[1], a[2] + b[2]))
    return lengths


def _canonical(lengths: list[int]) -> list[int]:
    words, word, last = [0] * len(lengths), 0, 0
    for leaf in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        word <<= lengths[leaf] - last
        last = lengths[leaf]
        words[leaf] = word
        word += 1
    return words


@cache
def _codes() -> _Codes:
    bounds = np.append(_THRESHOLDS, _THRESHOLDS[-1] / 4) / 2.0**16
    made = []
    for i, limit in enumerate(_LIMITS):
        mean = float(np.sqrt(bounds[i] * bounds[i + 1]))
        ratio = mean / (1 + mean)
        chances = [(1 - ratio) * ratio**j for j in range(limit + 1)] + [ratio ** (limit + 1)]
        children, paths, leaves = _tree(chances)
        made.append((children, paths, _huffman(leaves)))
    nodes = max(len(children) for children, _, _ in made)
    count = max(len(paths) for _, paths, _ in made)
    deep = max(len(path) for _, paths, _ in made for path in paths)
    longest = max(max(lengths) for _, _, lengths in made)
    codes = _Codes(
        np.full((16, nodes, int(_LIMITS.max()) + 2), -1, np.int64),
        np.zeros((16, count), np.int64),
        np.zeros((16, count), np.int64),
        np.full((16, count, deep + 1), -1, np.int64),
        np.full((16, nodes, deep + 1), -1, np.int64),
        np.zeros((16, 1 << longest), np.int64),
        longest,
    )
    for i, (children, paths, lengths) in enumerate(made):
        words = _canonical(lengths)
        for node, row in enumerate(children):
            codes.children[i, node, : len(row)] = row
            for symbol, to in enumerate(row):
                if to > 0:
                    known = codes.inner[i, node]
                    codes.inner[i, to, 0] = symbol
                    codes.inner[i, to, 1:] = known[:-1]
        for leaf, path in enumerate(paths):
            codes.words[i, leaf], codes.lengths[i, leaf] = words[leaf], lengths[leaf]
            codes.paths[i, leaf, : len(path)] = path[::-1]
            first = words[leaf] << (longest - lengths[leaf])
            codes.lookup[i, first : first + (1 << (longest - lengths[leaf]))] = leaf
    return codes


@njit(cache=True, nogil=True)
def _choose(total: Any, count: Any, thresholds: Any) -> int:
    """Number of the low-entropy code, -1 for a high-entropy one."""
    scaled = total << 14
    if scaled >= thresholds[0] * count:
        return -1
    code = 0
    while code < 15 and scaled < thresholds[code + 1] * count:
        code += 1
    return code


@njit(cache=True, nogil=True)
def _golomb(total: Any, count: Any, depth: int) -> int:
    level = total + ((49 * count) >> 5)
    k = 0
    while k < max(depth - 2, 2) and count << (k + 3) <= level:
        k += 1
    return k


@njit(cache=True, nogil=True)
def _forward(
    indices: Any, depth: int, thresholds: Any, limits: Any, children: Any, words: Any, lengths: Any
) -> Any:
    """Values and lengths of all emissions, in their order; where the trees stand; totals."""
    bands, pixels = indices.shape
    values = np.zeros(3 * indices.size, np.int64)
    sizes = np.zeros(3 * indices.size, np.int64)  # below zero: length-limited with k = -1 - size
    used = 0
    nodes = np.zeros(16, np.int64)
    totals, counts = np.zeros(bands, np.int64), np.zeros(bands, np.int64)
    for z in range(bands):
        counts[z] = 1 << _FIRST
        totals[z] = 4 * ((1 << _INITIAL) * counts[z])
    for p in range(pixels):
        for z in range(bands):
            value: int = indices[z, p]
            if p == 0:
                values[used], sizes[used] = value, depth
                used += 1
                continue
            raised = totals[z] + 4 * value
            if counts[z] < (1 << _HYBRID_COUNTER) - 1:
                totals[z] = raised
                counts[z] += 1
            else:
                values[used], sizes[used] = (raised + 1) & 1, 1
                used += 1
                totals[z] = (raised + 1) >> 1
                counts[z] = (counts[z] + 1) >> 1
            code = _choose(totals[z], counts[z], thresholds)
            if code < 0:
                values[used], sizes[used] = value, -1 - _golomb(totals[z], counts[z], depth)
                used += 1
                continue
            symbol = value
            if value > limits[code]:
                values[used], sizes[used] = value - limits[code] - 1, -1
                used += 1
                symbol = limits[code] + 1
            to = children[code, nodes[code], symbol]
            if to < 0:
                values[used], sizes[used] = words[code, -1 - to], lengths[code, -1 - to]
                used += 1
                to = 0
            nodes[code] = to
    return values[:used], sizes[:used], nodes, totals, counts


@njit(cache=True, nogil=True)
def _write_back(values: Any, sizes: Any, bits: Any, depth: int) -> int:
    place = 0
    for i in range(len(values) - 1, -1, -1):
        if sizes[i] >= 0:
            place = _emit(bits, place, values[i], sizes[i])
        else:
            place = _emit_limited(bits, place, values[i], -1 - sizes[i], depth)
    return place


@njit(cache=True, nogil=True)
def _backward(
    indices: Any,
    bits: Any,
    depth: int,
    totals: Any,
    counts: Any,
    nodes: Any,
    thresholds: Any,
    limits: Any,
    lengths: Any,
    paths: Any,
    inner: Any,
    lookup: Any,
    longest: int,
) -> None:
    bands, pixels = indices.shape
    place = 0
    # Symbols at hand of each code, as a place in a path.
    waiting, at, leaf_of = np.zeros(16, np.int64), np.zeros(16, np.int64), np.zeros(16, np.int64)
    waiting[:] = 1
    for p in range(pixels - 1, -1, -1):
        for z in range(bands - 1, -1, -1):
            if p == 0:
                indices[z, p], place = _take(bits, place, depth)
                continue
            code = _choose(totals[z], counts[z], thresholds)
            if code < 0:
                value, place = _take_limited(
                    bits, place, _golomb(totals[z], counts[z], depth), depth
                )
            else:
                path = inner[code, nodes[code]] if waiting[code] else paths[code, leaf_of[code]]
                if path[at[code]] < 0:
                    ahead, _ = _take(bits, place, longest)
                    leaf = lookup[code, ahead]
                    place += lengths[code, leaf]
                    leaf_of[code], at[code], waiting[code] = leaf, 0, 0
                    path = paths[code, leaf]
                value = path[at[code]]
                at[code] += 1
                if value > limits[code]:
                    rest, place = _take_limited(bits, place, 0, depth)
                    value = rest + limits[code] + 1
            indices[z, p] = value
            if counts[z] == 1 << (_HYBRID_COUNTER - 1) and p >= (1 << _HYBRID_COUNTER) - (
                1 << _FIRST
            ):
                odd, place = _take(bits, place, 1)
                counts[z] = (1 << _HYBRID_COUNTER) - 1
                totals[z] = 2 * totals[z] - 1 + odd - 4 * value
            else:
                counts[z] -= 1
                totals[z] -= 4 * value


def encode_hybrid(indices: Indices, depth: int) -> bytes:
    """Bytes of indices of shape (bands, pixels) below ``2**depth``."""
    codes = _codes()
    values, sizes, nodes, totals, _ = _forward(
        indices, depth, _THRESHOLDS, _LIMITS, codes.children, codes.words, codes.lengths
    )
    bits = np.zeros(indices.size * (_UNARY + depth + 2) + 64, np.uint8)
    used = _write_back(values, sizes, bits, depth)
    tail: bytes = nodes.astype("<u2").tobytes() + totals.astype("<u4").tobytes()
    return tail + np.packbits(bits[:used]).tobytes()


def decode_hybrid(content: bytes, shape: tuple[int, int], depth: int) -> Indices:
    """Indices that `encode_hybrid` coded."""
    codes = _codes()
    bands, pixels = shape
    nodes = np.frombuffer(content, "<u2", 16).astype(np.int64)
    totals = np.frombuffer(content, "<u4", bands, 32).astype(np.int64)
    bits = np.unpackbits(np.frombuffer(content[32 + 4 * bands :], np.uint8))
    bits = np.concatenate([bits, np.zeros(codes.longest, np.uint8)])
    # How far a counter has come depends on the number of samples alone.
    first, most = 1 << _FIRST, (1 << _HYBRID_COUNTER) - 1
    steps = pixels - 1
    half = 1 << (_HYBRID_COUNTER - 1)
    count = first + steps if steps <= most - first else half + (steps - (most - first) - 1) % half
    indices = np.empty(shape, np.uint32)
    _backward(
        indices, bits, depth, totals, np.full(bands, count, np.int64), nodes, _THRESHOLDS, _LIMITS,
        codes.lengths, codes.paths, codes.inner, codes.lookup, codes.longest,
    )  # fmt: skip
    return indices
