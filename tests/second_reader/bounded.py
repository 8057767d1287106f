"""Section 11 of the page: coding bounded."""

from __future__ import annotations

import zlib
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np

from second_reader.coder import Contexts, RangeDecoder, rank, unranked
from second_reader.frame import Bytes
from second_reader.planes import PlanesCodec

__all__ = ["BoundedCodec", "integers"]

ONE = 1 << 28
ROOTS = (8192, 9195, 10321, 11585, 13004, 14596)
COMBS = (0, 2, 14, 44)


def _unfold(number: int) -> int:
    return number >> 1 if number % 2 == 0 else -(number + 1 >> 1)


class Lattice:
    def __init__(self, content: bytes, bands: int, dtype: Any) -> None:
        self.dtype, self.plain, self.rule, self.rounded = dtype, not content, 0, dtype
        self.steps: Any = np.ones((bands, 1, 1), np.int64)
        self.offsets: Any = np.zeros((bands, 1, 1), np.int64)
        if not content:
            assert dtype.kind != "f"
            return
        rest = Bytes(content)
        (first,) = rest.unpack("B")
        assert first < (32 if dtype == np.float64 else 16)
        assert first % 4 < 3
        self.rule = first % 4
        self.rounded = np.dtype(np.float32) if first & 16 else dtype
        count = bands if first & 4 else 1
        numbers: list[Any] = []
        while len(numbers) < 2 * count:
            mantissa = _unfold(rest.varint())
            exponent = _unfold(rest.varint()) if dtype.kind == "f" and mantissa else 0
            exact = Decimal(mantissa).scaleb(exponent)
            numbers.append(float(exact) if dtype.kind == "f" else mantissa)
        assert not rest.left
        both = np.array(numbers).reshape(2, count, 1, 1)
        self.steps, self.offsets = (np.repeat(row, bands // count, axis=0) for row in both)

    def samples(self, n: Any) -> Any:
        if self.dtype.kind != "f":
            return (n * self.steps + self.offsets).astype(self.dtype)
        n = n.astype(np.float64)
        values = n / self.steps if self.rule == 1 else n * self.steps
        if self.rule == 2:
            values = values.astype(self.rounded).astype(np.float64)
        return (values + self.offsets).astype(self.rounded).astype(self.dtype)

    def integer(self, sample: Any) -> Any:
        """The integer of a sample in each band."""
        if self.dtype.kind != "f":
            found = (int(sample) - self.offsets + self.steps // 2) // self.steps
        else:
            apart = np.float64(sample) - self.offsets
            found = np.rint(apart * self.steps if self.rule == 1 else apart / self.steps)
        return [int(number) for number in found.ravel()]


class BoundedCodec:
    def __init__(self, bounds: list[int], lattice: Lattice, base: Any, frame: Any) -> None:
        self.bounds, self.lattice, self.base, self.frame = bounds, lattice, base, frame
        low, high = lattice.integer(frame[2]), lattice.integer(frame[3])
        self.limits = list(zip(low, high, strict=True))

    @classmethod
    def read(cls, codec: Bytes, frame: Any, networks: Any) -> Any:
        dtype, bands, _, _ = frame
        bounds = [codec.varint() for _ in range(codec.varint())]
        assert len(bounds) in (1, bands)
        lattice = Lattice(codec.take(codec.varint()), bands, dtype)
        base = PlanesCodec.read(codec, bands, networks) if codec.left else None
        return cls(bounds * (bands // len(bounds)), lattice, base, frame)

    def __call__(self, parts: dict[str, bytes], rows: int, cols: int, valid: Any) -> Any:
        dtype, bands, low, high = self.frame
        base = np.zeros((bands, rows, cols), np.int64)
        if self.base and parts.get("base"):
            ends = min(a for a, _ in self.limits), max(b for _, b in self.limits)
            kind = np.dtype("i8")
            base = self.base.samples(parts["base"], rows, cols, kind, *ends)
        found = integers(parts["bound"], base, self.bounds, self.limits, valid)
        if self.lattice.plain:
            return found.astype(dtype)
        samples = self.lattice.samples(found)
        samples = np.where(samples > low, samples, low)
        samples = np.where(samples < high, samples, high)
        return unranked(rank(samples) + _rest(parts.get("rest", b""), found.shape), dtype)


def _rest(content: bytes, shape: Any) -> Any:
    rest = np.zeros(shape, np.int64)
    if not content:
        return rest
    coder, model = RangeDecoder(content), Contexts()
    for plane in rest:
        if not model.bit(coder, 0):
            continue
        for (y, x), _ in np.ndenumerate(plane):
            left, above = x and plane[y, x - 1], y and plane[y - 1, x]
            if model.bit(coder, 1 + (left != 0) + 2 * (above != 0)):
                minus = model.bit(coder, 5 if left == 0 else 6 if left > 0 else 7)
                size = model.number(coder, 8) + 1
                plane[y, x] = -size if minus else size
    assert coder.ended
    return rest


def integers(content: bytes, base: Any, bounds: Any, limits: Any, valid: Any) -> Any:
    """Integers of a tile, all bands."""
    bands, rows, cols = base.shape
    pixels = rows * cols
    rest = Bytes(content)
    (clusters,) = rest.unpack("B")
    assert 1 <= clusters <= 6
    pieces = []
    while rest.left:
        pieces.append(rest.take(rest.unpack("I")[0]))
    labels = np.zeros(pixels, np.uint8)
    if clusters > 1:
        labels = np.frombuffer(zlib.decompress(pieces[0]), np.uint8)
    classes = min(10, max(1, pixels // 1000))
    lags, near_lags = min(40, bands - 1), min(8, bands - 1)
    numbers = _numbers(pieces[1], bands, classes, clusters, 1 + lags + near_lags)
    segments = pieces[2:]
    coder, read = None, 1 << 20
    states = 1 << min(max(bands * pixels >> 16, 4), 32).bit_length() - 1
    found = np.zeros((bands, pixels), np.int64)
    memory: list[Any] = []
    for band in range(bands):
        if read >= 1 << 20:
            assert coder is None or coder.ended
            coder, read = RangeDecoder(segments.pop(0), 28, states), 0
        about = numbers[band]
        low, high = about["low"], about["low"] + about["width"]
        assert limits[band][0] <= low <= high <= limits[band][1]
        features = [own for own, _ in memory[::-1]] + [np.zeros(pixels, np.int64)] * lags
        nears = [near for _, near in memory[::-1]] + [np.zeros(pixels, np.int64)] * near_lags
        lagged = [*features[:lags], *nears[:near_lags]]
        used = np.array(lagged, np.int64).reshape(-1, pixels)
        weights = about["sets"][labels]  # of each pixel
        E = (64 * about["centre"] + weights[:, 0] << 3) + 4
        E = E + (weights[:, 1:] * used.T).sum(1) >> 3
        skipped = np.zeros(pixels, bool) if valid is None else ~valid[band].ravel()
        below = base[band].ravel()
        which = _classes(E, below, low, high, classes)
        assert coder is not None
        read += _band(coder, E, below, which, skipped, cols, bounds[band], about, found[band])
        memory.append(_remembered(found[band].reshape(rows, cols), about["centre"]))
    assert coder is not None
    assert coder.ended
    assert not segments
    return found.reshape(base.shape) + base


def _numbers(content: bytes, bands: int, classes: int, clusters: int, width: int) -> Any:
    coder, counts = RangeDecoder(content, 28, 2), [0] * 42
    sets = clusters + 1 if clusters > 1 else 1
    rows = []
    for _ in range(5 + classes + 8 + sets * width):
        counts = [1 + (count >> 3) for count in counts]
        row = []
        for _ in range(bands):
            ends = np.cumsum([0, *counts]).tolist()
            starts = [end * ONE // ends[-1] for end in ends]
            length = next(i for i in range(42) if coder.point < starts[i + 1])
            coder.remove(starts[length], starts[length + 1] - starts[length])
            counts[length] += 16
            size = (1 << length - 1) + coder.raw(length - 1) if length else 0
            row.append(-size if length and coder.raw(1) else size)
        rows.append(row)
    assert coder.ended
    table = np.array(rows, np.int64)
    table[[0, 2]] = table[[0, 2]].cumsum(1)
    levels = table[5 : 5 + classes].cumsum(0).cumsum(1)
    shared = table[13 + classes :].reshape(sets, width, bands)
    of_cluster = shared if clusters == 1 else shared[:1] + shared[1:]
    names = ("low", "width", "centre", "shape", "comb")
    return [
        dict(zip(names, table[:5, band].tolist(), strict=True))
        | {
            "spreads": [ROOTS[level % 6] << level // 6 for level in levels[:, band].tolist()],
            "errors": table[5 + classes : 13 + classes, band].tolist(),
            "sets": of_cluster[:, :, band],
        }
        for band in range(bands)
    ]


def _remembered(plane: Any, centre: int) -> tuple[Any, Any]:
    padded = np.pad(plane, 1, mode="edge")
    around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    near = around - 4 * centre + 2 >> 2
    return tuple(np.clip(x, -(1 << 30), 1 << 30).ravel() for x in (plane - centre, near))


def _classes(E: Any, base: Any, low: int, high: int, classes: int) -> Any:
    shift = 0
    while high - low >> shift >= 1 << 14:
        shift += 1
    keys = np.clip((E + 32 >> 6) + base, low, high) - low >> shift
    counts = np.bincount(keys)
    below = np.cumsum(counts) - counts
    of_key = np.minimum((below + (counts >> 1)) * classes // len(keys), classes - 1)
    return of_key[keys]


def _band(
    coder: RangeDecoder, E: Any, base: Any, which: Any, skipped: Any, cols: int, M: int,
    about: Any, found: Any,
) -> int:  # fmt: skip
    """Integers of a band, into ``found``; how many symbols were read."""
    q, low, width = 2 * M + 1, about["low"], about["width"]
    comb, w = COMBS[about["comb"]], about["errors"]
    R, h = (width + M) // q + 1, 0
    while 1 << 21 + h <= 2 * R + 1:
        h += 1
    S = (R >> h) + 1
    assert not comb or (q == 1 and width < min(1 << 16, 8 * len(E)))
    exact = q == 1 and h == 0
    n = width + 1 if exact else 2 * S + 1
    most = max(about["spreads"]) * (q << h) >> 8
    axis = [64 * i for i in range(n + 1)] if comb else None
    counts, seen, again = [0] * n, 0, len(E) >> 6
    rows = len(E) // cols
    errors: dict[Any, int] = {}
    u = max((1 << 14) // n, 1)
    D = [mass * (ONE - n * u) >> 28 for mass in shapes()[about["shape"]]]
    for y in range(rows):
        if comb and seen >= again:
            axis = _axis(counts, comb)
            again = seen + max(seen >> 2, len(E) >> 5)
        for odd in range(2):
            half = {}
            for x in range(odd, cols, 2):
                at = y * cols + x
                places = [(y - 1, x - 1), (y - 1, x), (y - 1, x + 1)]
                used = w[:3]
                if odd:
                    places += [(y, x - 1), (y, x + 1)]
                    used = w[3:]
                total = sum(a * errors.get(b, 0) for a, b in zip(used, places, strict=True))
                b = int(base[at])
                p = int(E[at]) + (total + 16 >> 5)
                p = min(max(p, 64 * (low - b)), 64 * (low + width - b))
                m = found[at] = p + 32 >> 6
                if comb:
                    assert axis
                    t = p + 32 - 64 * (low - b)
                    v = min(max(t >> 6, 0), n - 1)
                    part = min(max(t - 64 * v, 0), 64)
                    centre = axis[v] + (part * (axis[v + 1] - axis[v]) >> 6)
                else:
                    centre = p + 32 - 64 * (low - b) if exact else 64 * S + 32
                if skipped[at]:
                    coder.remove(0, ONE)
                else:
                    spread = about["spreads"][which[at]]
                    half[at] = m, _symbol(coder, n, axis, centre, spread, D, u)
            for x in range(odd, cols, 2):
                at = y * cols + x
                if skipped[at]:
                    if h:
                        coder.remove(0, ONE)
                    continue
                (m, i), b = half[at], int(base[at])
                if exact:
                    counts[i] += 1
                    seen += 1
                    value = i + low - b
                else:
                    s = i - S
                    if h:
                        s = (s << h) + coder.raw(h) - (1 << h - 1)
                    value = min(max(m + q * s, low - b), low + width - b)
                found[at] = value
                errors[y, x] = min(max(64 * value - int(E[at]), -most), most)
    return len(E) * (2 if h else 1)


def _symbol(
    coder: RangeDecoder, n: int, axis: Any, centre: int, spread: int, D: Any, u: int
) -> int:
    def begin(i: int) -> int:
        if i in (0, n):
            return ONE if i else 0
        z = (((axis[i] if axis else 64 * i) - centre) * ((1 << 44) // spread) >> 14) + (1 << 23)
        z = min(max(z, 0), 1 << 24)
        c = z >> 14
        return i * u + D[c] + ((D[c + 1] - D[c]) * (z % 16384) >> 14)

    least, most = 0, n
    while most - least > 1:
        middle = (least + most) // 2
        if begin(middle) <= coder.point:
            least = middle
        else:
            most = middle
    coder.remove(begin(least), begin(least + 1) - begin(least))
    return least


@cache
def shapes() -> list[list[int]]:
    d, f, t = [1 << 62], 4611123102832306901, [1 << 62]
    for _ in range(512):
        d.append(d[-1] * f >> 62)
        f = f * 4610560255948314624 >> 62
        t.append(t[-1] * 4510898844149047330 >> 62)
    b = [0]
    for i in range(512, 0, -1):
        b.append(b[-1] + (d[i] + d[i - 1] >> 1))
    normal = [(1 << 27) * mass // b[512] for mass in b]
    laplace = [t[512 - j] >> 35 for j in range(513)]
    lower = [normal, [x + y >> 1 for x, y in zip(normal, laplace, strict=True)], laplace]
    out = []
    for D in lower:
        D[0] = 0
        out.append([*D, *(ONE - D[j] for j in range(511, -1, -1)), ONE])
    return out


def _axis(counts: list[int], k: int) -> list[int]:
    often = zip(counts, _smooth(counts), strict=True)
    g = [int(65536.0 * 2197.0 * (4.0 * c + k) / (4.0 * a + 2197.0 * k)) for c, a in often]
    axis = [0]
    for gain, r in zip(g, _smooth(g), strict=True):
        axis.append(axis[-1] + min(max(int(64.0 * 2197.0 * gain / r), 1), 4096))
    return axis


def _smooth(x: list[int]) -> list[int]:
    for _ in range(3):
        mirrored = np.pad(np.array(x), 6, "symmetric").tolist()
        x = [sum(mirrored[i : i + 13]) for i in range(len(x))]
    return x
