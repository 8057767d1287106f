"""Section 10 of the page: coding planes."""

from __future__ import annotations

import decimal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from second_reader.coder import RangeDecoder
from second_reader.frame import Bytes
from second_reader.networks import PACKAGE_PRIORS, named, network
from second_reader.wavelet import analysis, gain, mirrored, sides, synthesis

__all__ = ["PlanesCodec"]

STRENGTHS = (0.0, 0.6, 1.0)


@dataclass
class PlanesCodec:
    prior: dict[str, Any]
    step: float
    mean: Any
    vectors: Any

    @classmethod
    def read(cls, codec: Bytes, bands: int, networks: Path | None) -> PlanesCodec:
        (package,) = codec.unpack("B")
        if package:
            path = PACKAGE_PRIORS[package]
        else:
            path = named(Bytes(codec.take(codec.varint())), networks)
        about, prior = network(path)
        assert about["kind"] == "prior"
        (step,) = codec.unpack("f")
        return cls(prior, step, *_basis(codec, bands))

    def samples(self, content: bytes, rows: int, cols: int, dtype: Any, low: Any, high: Any) -> Any:
        """Samples of a tile, of a data type, clipped."""
        kind = np.float32 if dtype.itemsize <= 2 or dtype == np.float32 else np.float64
        scores = _scores(content, rows, cols, self).astype(kind)
        samples = np.empty((len(self.mean), rows, cols), kind)
        for band, sample in enumerate(samples):
            sample[:] = kind(self.mean[band])
            for score, vector in zip(scores, self.vectors, strict=False):
                sample += kind(vector[band]) * score
        samples = np.where(samples > kind(low), samples, kind(low))
        samples = np.where(samples < kind(high), samples, kind(high))
        return samples.astype(dtype) if dtype.kind == "f" else np.rint(samples).astype(dtype)


def _basis(codec: Bytes, bands: int) -> tuple[Any, Any]:
    """Mean spectrum and vectors."""
    components = codec.varint()
    (exponent,) = codec.unpack("b")
    assert components <= bands
    coder = RangeDecoder(codec.take(codec.left))
    mean = _row(coder, bands, [])
    seen: list[list[int]] = []
    vectors = []
    for _ in range(components):
        shift = coder.raw(5)
        assert shift <= 16
        vectors.append([number << shift for number in _row(coder, bands, seen)])
    assert coder.ended
    scaled = np.array(vectors, np.float64).reshape(components, bands) / 65536
    return np.ldexp(np.array(mean, np.float64), int(exponent)), scaled


def _tables() -> tuple[list[list[int]], list[int]]:
    tables, means = [], []
    for i in range(60):
        j = i - 11
        theta = (
            2**48 * (2 + i % 2) >> 7 - i // 2
            if i < 11
            else 2**48 - (2**48 * (3 - j % 2) >> 3 + j // 2)
        )
        weights, p = [2**48 - theta], theta
        for _ in range(44):
            q = p * p >> 48
            weights.append(2 * (p - q))
            p = q
        table = [1 + weight * (2**15 - 45) // sum(weights) for weight in weights]
        table[table.index(max(table))] += 2**15 - sum(table)
        tables.append(table)
        means.append(theta * 2**65 // (2**96 - theta * theta))
    return tables, means


TABLES, MEANS = _tables()


def _row(coder: RangeDecoder, bands: int, seen: list[list[int]]) -> list[int]:
    order, level = coder.raw(2), coder.raw(6)
    assert order <= 2
    assert level < 60
    recent = ([[256] * bands, *seen])[-4:]
    m = [sum(column) // len(recent) for column in zip(*recent, strict=True)]
    numbers = []
    for band in range(bands):
        left, right = m[max(band - 1, 0)], m[min(band + 1, bands - 1)]
        w = (left + 2 * m[band] + right) // 4 + 24
        expected = MEANS[level] * w >> 8
        table = sum(mean < expected for mean in MEANS[:59])
        length = coder.symbol(TABLES[table])
        minus = coder.raw(1) if length else 0
        size = 2 ** (length - 1) + coder.raw(length - 1) if length else 0
        numbers.append(-size if minus else size)
    sizes = [min(abs(number), 2**40) for number in numbers]
    if sum(sizes) > 1:
        share = max(sum(sizes) // bands, 1)
        seen.append([min(256 * size // share, 2**16) for size in sizes])
    for _ in range(order):
        numbers = np.cumsum(numbers).tolist()
    return numbers


def _shares() -> list[int]:
    with decimal.localcontext(prec=30):
        exact = [2**15 / (1 + (decimal.Decimal(-i) / 64).exp()) for i in range(-1024, 1024)]
    return [min(max(round(share), 1), 2**15 - 1) for share in exact]


SHARES = _shares()


def _share(z: int) -> int:
    return SHARES[min(max(int(z) // 32, -1024), 1023) + 1024]


def _scores(content: bytes, rows: int, cols: int, codec: PlanesCodec) -> Any:
    if not content:
        return np.zeros((0, rows, cols))
    tile = _Tile(content, rows, cols, codec)
    planes = tile.planes()
    assert tile.coder.ended
    return np.array(planes).reshape(tile.components, rows, cols) * codec.step


class _Tile:
    def __init__(self, content: bytes, rows: int, cols: int, codec: PlanesCodec) -> None:
        self.coder = RangeDecoder(content)
        self.components = self.coder.raw(16)
        assert self.components <= len(codec.vectors)
        self.rows, self.cols, self.prior = rows, cols, codec.prior
        self.codes: dict[Any, int] = {}
        self.sizes: dict[Any, Any] = {}  # magnitudes, by level, component and orientation

    def planes(self) -> list[Any]:
        coarse = [self.band(0, k, 0, None) / gain(4, 0) for k in range(self.components)]
        for level in (4, 3, 2, 1):
            finer: list[Any] = []
            for k in range(self.components):
                predicted = None
                if level <= 3 and k and coarse[k].any():
                    strength = STRENGTHS[self.coder.symbol([10924, 10922, 10922])]
                    if strength:
                        bands = _predict(coarse, finer, k, level)
                        predicted = [strength * band for band in bands]
                bands = []
                for o in (1, 2, 3):
                    guess = predicted and predicted[o - 1]
                    numbers = self.band(level, k, o, guess)
                    whole = numbers if guess is None else numbers + guess
                    bands.append(whole / gain(level, o))
                finer.append(synthesis(coarse[k], *bands))
            coarse = finer
        return coarse

    def band(self, level: int, k: int, o: int, guess: Any) -> Any:
        shape = sides(self.rows, self.cols, level, o)
        numbers = np.zeros(shape, np.int64)
        if not numbers.size:
            return numbers
        b = self.codes.get((level, k - 1, o), -20)
        p = self.codes.get((level + 1, k, o), -20) if level else -20
        number = (b == -20) + 2 * (p == -20)
        guessed = [(3 * b + 2 * (p - 2)) // 5, p - 2, b, -6][number]
        symbol = self.coder.symbol(self.prior["means"][number])
        if not symbol:
            return numbers
        code = guessed + symbol - 16
        assert abs(code) <= 127
        self.codes[level, k, o] = code
        own = self.sizes[level, k, o] = np.zeros(shape, np.int64)
        b2 = self.codes.get((level + 1, k - 1, o), -20) if level else -20
        fixed = np.zeros(20, np.int64)
        fixed[:4] = 4 * np.array([code, p, b, b2])
        fixed[[4 + level, 9 + o]] = 32
        fixed[17:] = _input(1 + k), _input(1 + self.components), 32 * (guess is not None)
        for group, (top, left) in enumerate([(0, 0), (1, 1), (0, 1), (1, 0)]):
            fixed[13:17] = 0
            fixed[13 + group] = 32
            before = own.copy()
            for y in range(top, shape[0], 2):
                for x in range(left, shape[1], 2):
                    inputs = self.inputs(level, k, o, y, x, before, guess)
                    size = self.magnitude(np.append(inputs, fixed))
                    own[y, x] = min(size, 65535)
                    minus = size and self.coder.raw(1)
                    numbers[y, x] = -size if minus else size
        return numbers

    def inputs(self, level: int, k: int, o: int, y: int, x: int, own: Any, guess: Any) -> list[int]:
        def at(c: int, orientation: int, dy: int, dx: int, up: int = 0) -> int:
            plane = self.sizes.get((level + up, c, orientation))
            if up == 0 and (c, orientation) == (k, o):
                plane = own
            row, col = (y >> up) + dy, (x >> up) + dx
            if plane is None or not (0 <= row < plane.shape[0] and 0 <= col < plane.shape[1]):
                return 0
            return int(plane[row, col])

        beside, over = [(0, -1), (0, 1)], [(-1, 0), (1, 0)]
        corners = [(-1, -1), (-1, 1), (1, -1), (1, 1)]
        straight = [(-2, 0), (2, 0), (0, -2), (0, 2)]
        five = [(i, j) for i in range(-2, 3) for j in range(-2, 3) if max(abs(i), abs(j)) == 2]
        twelve = [place for place in five if place not in straight]
        around = [*beside, *over, *corners]
        sums = [
            sum(at(k, o, *place) for place in ring)
            for ring in (beside, over, corners, straight, twelve)
        ]
        if 1 <= level <= 3:
            close = [(1 if y % 2 else -1, 0), (0, 1 if x % 2 else -1)]
            others = [place for place in around if place not in close]
            sums.append(at(k, o, 0, 0, 1))
            sums += [sum(at(k, o, *place, 1) for place in ring) for ring in (close, others)]
            sums.append(sum(at(k, other, 0, 0, 1) for other in (1, 2, 3) if other != o))
        else:
            sums += [0] * 4
        lower = range(1, o)
        sums.append(sum(at(k, other, 0, 0) for other in lower))
        sums.append(sum(at(k, other, *place) for other in lower for place in around))
        for c in (k - 1, k - 2, k - 3):
            sums.append(at(c, o, 0, 0))
            sums.append(sum(at(c, o, *place) for place in [*beside, *over]))
            sums.append(sum(at(c, o, *place) for place in corners))
        values = [np.float32(1 + 4 * s) for s in sums]
        for ring in ([(0, 0)], [*over, *beside]):
            total = sum(at(c, o, *place) for c in range(k - 3) for place in ring)
            share = np.float32(4) / np.float32(max(k - 3, 1))
            values.append(np.float32(1) + share * np.float32(total))
        later = range(k + 1, min(k + 4, self.components)) if 1 <= level <= 3 else ()
        values.append(np.float32(1 + 4 * sum(at(c, o, 0, 0, 1) for c in later)))
        size = np.float32(0 if guess is None else min(abs(guess[y, x]), 65535))
        values.append(np.float32(1) + np.float32(4) * size)
        return [_input(value) for value in values]

    def magnitude(self, inputs: Any) -> int:
        w = {name: array.astype(np.int64) for name, array in self.prior.items()}
        units = inputs
        for layer in (1, 2):
            z = units @ w[f"weights_{layer}"] + w[f"bias_{layer}"]
            units = np.minimum(np.maximum(z, 0) // 64, 1023)
        z = units @ w["weights_3"] + w["bias_3"]
        kind = 0
        while kind < 25:
            share = _share(z[kind])
            if self.coder.point < share:
                self.coder.remove(0, share)
                break
            self.coder.remove(share, 2**15 - share)
            kind += 1
        if kind < 4:
            return kind
        if kind < 25:
            d = (kind - 2) >> 1
            return (2 + kind % 2 << d) + self.coder.raw(d)
        d = self.coder.raw(5)
        return min(6143 + 2**d + self.coder.raw(d), 2**30 - 1)


def _input(value: Any) -> int:
    (bits,) = np.array([value], np.float32).view(np.int32)
    return int(bits >> 19) - 127 * 16


def _smooth(plane: Any) -> Any:
    for _ in range(2):
        # Down the columns, then, of the transposed plane, along the rows.
        a, b, c, d, e = (plane[mirrored(len(plane), shift)] for shift in (-2, -1, 0, 1, 2))
        plane = (0.4991 * c + 0.2285 * (b + d) + 0.02195 * (a + e)).T
    return plane


def _predict(coarse: list[Any], finer: list[Any], k: int, level: int) -> list[Any]:
    P = [plane * 2.0**-level for plane in coarse[: k + 1]]
    n = min(k, 8)
    P[n:] = [P[k]]
    M = [_smooth(plane) for plane in P]
    F: dict[Any, Any] = {}
    for i in range(n):
        for j in range(i + 1):
            F[i, j] = _smooth(P[i] * P[j]) - M[i] * M[j]
            if i == j:
                F[i, j] = F[i, j] + 0.1
            for m in range(j):
                F[i, j] = F[i, j] - F[i, m] * F[j, m]
            F[i, j] = 1 / np.sqrt(np.maximum(F[i, i], 0.1)) if i == j else F[i, j] * F[j, j]
    w = []
    for i in range(n):
        w.append(_smooth(P[i] * P[n]) - M[i] * M[n])
        for j in range(i):
            w[i] = w[i] - F[i, j] * w[j]
        w[i] = w[i] * F[i, i]
    for i in reversed(range(n)):
        for j in range(i + 1, n):
            w[i] = w[i] - F[j, i] * w[j]
        w[i] = w[i] * F[i, i]
    c = M[n]
    for i in range(n):
        c = c - w[i] * M[i]
    shape = finer[0].shape
    Q = _wide(c, 2.0 ** (level - 1), shape)
    for j in range(n):
        Q = Q + _wide(w[j], 1.0, shape) * finer[j]
    return [band * gain(level, o) for o, band in enumerate(analysis(Q), 1)]


def _wide(plane: Any, factor: float, shape: tuple[int, int]) -> Any:
    rows = np.arange(shape[0])
    below = np.minimum(rows + 1 >> 1, len(plane) - 1)
    q = (0.5 * factor) * (plane[rows >> 1] + plane[below])
    out = np.empty(shape)
    out[:, 0::2] = q
    after = q[:, np.minimum(np.arange(1, q.shape[1] + 1), q.shape[1] - 1)]
    out[:, 1::2] = (0.5 * (q + after))[:, : shape[1] // 2]
    return out
