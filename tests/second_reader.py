"""A second reader of `.hsinr` files, written from docs/format.md alone, whose sections it names.

It shows that the page is complete. It is slow, and trusts what the checksums cover.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Header = dict[str, Any]
Basis = tuple[Array, int, Array]  # mean, its exponent, vectors in units of 2^-16

NODATA, NAN = 1, 2


def decode(path: str | Path, network_path: str | Path | None = None) -> Array:
    """Samples (bands, rows, cols) of a file; one with `latents` needs its base network."""
    content = Path(path).read_bytes()
    metadata, arrays = read_safetensors(content)  # 1
    header, tiles = json.loads(metadata["hsinr"]), arrays["tiles"].tobytes()
    assert header["version"] == 1
    field, checksum = b'"crc32c":"%s"', metadata["crc32c"].encode()
    before = content[8 : len(content) - len(tiles)]
    assert crc32c(before.replace(field % checksum, field % b"00000000", 1)) == int(checksum, 16)
    network = Path(network_path).read_bytes() if network_path else b""
    basis = read_basis(arrays["basis"].tobytes())

    (bands, rows, cols), side, start = header["shape"], header["tile"], 0
    scene, live = np.zeros((bands, rows, cols), header["dtype"]), np.ones(bands, bool)
    states = np.zeros(scene.shape, np.uint8)
    corners = [(row, col) for row in range(0, rows, side) for col in range(0, cols, side)]
    for kind, spans in header.get("invalid_bands", {}).items():  # 2
        for first, last in spans:
            live[first : last + 1] = False
            states[first : last + 1] = {"nodata": NODATA, "nan": NAN, "mixed": 0}[kind]
    for (row, col), entries in zip(corners, arrays["index"].tolist(), strict=True):
        layers = {}
        for name, (size, checksum) in zip(header["layers"], entries, strict=True):
            layers[name] = tiles[start : start + size]
            assert crc32c(layers[name]) == checksum
            start += size
        area = np.s_[:, row : row + side, col : col + side]
        states[area] |= read_mask(layers.get("mask"), states[area].shape)
        scene[area][live] = read_tile(header, basis, network, layers, scene[area].shape[1:])
    return finish(header, scene, states)


def finish(header: Header, scene: Array, states: Array) -> Array:
    """5.4: nodata and NaN in their places, and nowhere else."""
    low, high = header["range"]
    if header.get("nodata") is not None:
        nodata = scene.dtype.type(header["nodata"])
        if low < nodata < high:
            integer, high = scene.dtype.kind in "iu", scene.dtype.type(high)
            scene[scene == nodata] = nodata + 1 if integer else np.nextafter(nodata, high)
        scene[states == NODATA] = nodata
    if scene.dtype.kind == "f":
        scene[states == NAN] = np.nan
    return scene


def read_safetensors(content: bytes) -> tuple[dict[str, str], dict[str, Array]]:
    start = 8 + int.from_bytes(content[:8], "little")
    entries = json.loads(content[8:start])
    metadata, arrays = entries.pop("__metadata__"), {}
    for name, entry in entries.items():
        if not name.startswith("scene."):
            first, last = (start + offset for offset in entry["data_offsets"])
            kind, bits = entry["dtype"][0].lower(), int(entry["dtype"][1:])
            values = np.frombuffer(content[first:last], f"<{kind}{bits // 8}")
            arrays[name] = values.reshape(entry["shape"])
    return metadata, arrays


def crc32c(content: bytes) -> int:
    table, value = crc32c_table(), 0xFFFFFFFF
    for byte in content:
        value = value >> 8 ^ table[value & 0xFF ^ byte]
    return value ^ 0xFFFFFFFF


@cache
def crc32c_table() -> list[int]:
    table = list(range(256))
    for _ in range(8):
        table = [value >> 1 ^ (0x82F63B78 if value & 1 else 0) for value in table]
    return table


# 3. Entropy coding


class Payload:
    """A stack of symbols."""

    def __init__(self, content: bytes) -> None:
        self.words = np.frombuffer(content, "<u4").tolist()
        self.state = self.words.pop() if self.words else 0
        if self.words:
            self.state = self.state << 32 | self.words.pop()

    def run(self, counts: Sequence[int], size: int) -> Array:
        """The next `size` symbols of the table with these cumulative counts."""
        symbols = []
        for _ in range(size):
            q = self.state & 0xFFFFFF
            k = bisect_right(counts, q) - 1
            self.state = (self.state >> 24) * (counts[k + 1] - counts[k]) + q - counts[k]
            if self.state < 2**32 and self.words:
                self.state = self.state << 32 | self.words.pop()
            symbols.append(k)
        return np.array(symbols, np.int64)

    def bits(self, width: int, size: int) -> Array:
        """The next `size` integers of `width` raw bits."""
        values = np.zeros(size, np.int64)
        for low in range(0, width, 12):
            values |= self.run(uniform(min(12, int(width) - low)), size) << low
        return values


def cumulative(frequencies: Sequence[int]) -> list[int]:
    n = len(frequencies)
    sums = accumulate(frequencies, initial=0)
    return [i + (total * (2**24 - n) >> 15) for i, total in enumerate(sums)]


def completed(frequencies: list[int], symbol: int) -> list[int]:
    """Cumulative counts, where `symbol` gets what is missing to 2^15."""
    frequencies[symbol] += 2**15 - sum(frequencies)
    return cumulative(frequencies)


@cache
def uniform(width: int) -> list[int]:
    return cumulative([2 ** (15 - width)] * 2**width)


# 4. The spectral basis


def read_basis(content: bytes) -> Basis:
    bands, components, exponent = struct.unpack_from("<HHb", content)
    payload, flat = Payload(content[5:]), np.full(bands, 256)
    mean, kept = read_row(payload, [flat]), [flat]
    vectors = np.zeros((components, bands), np.int64)
    for component in range(components):
        shift = payload.bits(5, 1)[0]
        vectors[component] = read_row(payload, kept) << shift
    return mean, exponent, vectors


def read_row(payload: Payload, kept: list[Array]) -> Array:
    """A row; the envelope `kept` moves on with it."""
    tables, means = row_tables()
    order, level = payload.bits(2, 1)[0], payload.bits(6, 1)[0]
    a = np.pad(sum(kept) // len(kept), 1, mode="edge")
    smooth = (a[:-2] + 2 * a[1:-1] + a[2:]) // 4 + 24
    numbers = np.searchsorted(means[:59], means[level] * smooth >> 8)
    classes = np.zeros_like(smooth)
    for number in np.unique(numbers):
        classes[numbers == number] = payload.run(tables[number], np.sum(numbers == number))
    signs = np.ones_like(classes)
    signs[classes > 0] -= 2 * payload.bits(1, np.sum(classes > 0))
    magnitudes = 1 << classes >> 1
    for number in np.unique(classes[classes > 1]):
        magnitudes[classes == number] += payload.bits(number - 1, np.sum(classes == number))
    g = np.minimum(magnitudes, 2**40)
    if g.sum() > 1:
        kept.append(np.minimum(g * 256 // max(g.sum() // g.size, 1), 2**16))
        del kept[:-4]
    row = signs * magnitudes
    for _ in range(order):
        row = np.cumsum(row)
    return row


@cache
def row_tables() -> tuple[list[list[int]], list[int]]:
    """Cumulative counts and mean of each table."""
    one, tables, means = 2**48, [], []
    for t in range(60):
        u = t - 11
        if t < 11:
            theta = one * (2 + t % 2) >> 7 - t // 2
        else:
            theta = one - (one * (3 - u % 2) >> 3 + u // 2)
        weights, p = [one - theta >> 1], theta
        for _ in range(44):
            weights.append(p - (p * p >> 48))
            p = p * p >> 48
        frequencies = [1 + int(w / sum(weights) * (2**15 - 45)) for w in weights]
        tables.append(completed(frequencies, frequencies.index(max(frequencies))))
        means.append((theta << 65) // (one * one - theta * theta))
    return tables, means


# 5. The layers of a tile


def read_tile(
    header: Header, basis: Basis, network: bytes, layers: dict[str, bytes], shape: tuple[int, int]
) -> Array:
    """Samples of the live bands."""
    (mean, exponent, vectors), (low, high) = basis, header["range"]
    dtype = np.dtype(header["dtype"])
    scores, unit = read_detail(layers.get("detail"), (len(vectors), *shape))
    if "bound" in header["layers"]:
        if not layers["bound"]:
            return np.zeros((mean.size, *shape), dtype)
        return read_bound(header, basis, scores, unit, layers["bound"])
    planes, shared = np.ldexp(np.float32(scores), unit), False
    if layers.get("latents"):
        images, shared = read_latents(
            header["latents"], network, layers["latents"], shape, len(planes)
        )
        if not shared:
            planes[: len(images)] += images[: len(planes)]
    if shared:
        spectra = images[: mean.size]
    else:
        spectra = np.tensordot(np.ldexp(np.float32(vectors.T), -16), planes, 1)
        spectra += np.ldexp(np.float32(mean), exponent)[:, None, None]
    if header["dtype"] in ("i4", "u4", "f8"):
        spectra = spectra.astype(np.float64)
    spectra = np.clip(spectra, low, high)
    return (np.rint(spectra) if dtype.kind in "iu" else spectra).astype(dtype)


def read_mask(content: bytes | None, shape: tuple[int, ...]) -> Array:
    if not content:
        return np.zeros(shape, np.uint8)
    (masks,), data = struct.unpack_from("<H", content), zlib.decompress(content[2:])
    numbers = np.frombuffer(data, "<u2", shape[0])
    planes = np.frombuffer(data, np.uint8, offset=2 * shape[0]).reshape(2, masks, -1)
    flags = np.unpackbits(planes, axis=2, count=shape[1] * shape[2])
    return (NODATA * flags[0] + NAN * flags[1])[numbers].reshape(shape)


# 6. latents


def read_latents(
    settings: Header, network: bytes, content: bytes, shape: tuple[int, int], components: int
) -> tuple[Array, bool]:
    """Planes (outputs, rows, cols), and whether they are the bands themselves."""
    assert hashlib.sha256(network).hexdigest() == settings["sha256"]
    metadata, arrays = read_safetensors(network)
    model, payload, side = json.loads(metadata["hsinr"]), Payload(content), settings["patch"]
    assert model["version"] in (1, 2)
    linear, layers, step = (
        model["modulation"] == "output",
        model["layers"],
        settings.get("level", 0),
    )
    w = {name: array.astype(np.float32) for name, array in arrays.items()}
    height, width = (side, side) if side else shape
    down, across = -(-shape[0] // height), -(-shape[1] // width)
    if linear:
        height, width = -(-shape[0] // down), -(-shape[1] // across)
        sizes = min(model["outputs"], components), down, across
        phi = np.float32(read_contexts(payload, arrays, sizes, height, width) * 2 ** (step / 8))
        beta = np.zeros((layers, 1), np.float32)
    else:
        integers = read_classes(payload, arrays, down * across, step)
        phi = np.float32(integers * w["latent_steps"] * 2 ** (step / 8))
        beta = phi @ w["shift.weight"].T + w["shift.bias"]
        beta = beta.reshape(len(phi), layers, 1, -1).swapaxes(0, 1)

    row, col = np.mgrid[:height, :width].astype(np.float32)
    points = np.stack([(2 * col + 1) / width - 1, (2 * row + 1) / height - 1], -1).reshape(-1, 2)
    h = points @ w["first.weight"].T + w["first.bias"]
    h = np.sin(np.float32(model["w0_first"]) * h + beta[0])
    for i in range(1, layers):
        h = h @ w["hidden.weight"][i - 1].T + w["hidden.bias"][i - 1]
        h = np.sin(np.float32(model["w0"]) * h + beta[i])
    if linear:
        atoms = h @ w["atoms.weight"].T * np.float32(side / (height * width) ** 0.5)
        out = atoms @ phi.transpose(2, 3, 1, 0).reshape(down * across, *phi.shape[1::-1])
    else:
        output = w["output.weight"]
        if model["modulation"] == "shift+output":
            output = output + (phi @ w["output_modulation.weight"].T).reshape(-1, *output.shape)
        out = h @ np.swapaxes(output, -1, -2) + w["output.bias"]
    out = out * np.float32(settings["unit"]) + np.float32(settings.get("offset", 0))
    planes = out.reshape(down, across, height, width, -1).transpose(4, 0, 2, 1, 3)
    planes = planes.reshape(-1, down * height, across * width)[:, : shape[0], : shape[1]]
    return planes, model["head"] == "shared"


def read_classes(payload: Payload, arrays: dict[str, Array], patches: int, level: int) -> Array:
    """Integers (patches, latents), with the modulation `shift` or `shift+output`."""
    tables, classes = arrays["tables"].tolist(), payload.bits(4, patches)
    numbers = np.int64(arrays["latent_tables"]) + classes[:, None] - 8 - level // 4
    numbers = np.clip(numbers, 0, len(tables) - 1)
    integers = np.zeros(numbers.shape, np.int64)
    for number, table in enumerate(tables):
        integers[numbers == number] = payload.run(cumulative(table), np.sum(numbers == number))
    escaped = integers == len(tables[0]) - 1
    integers -= (len(tables[0]) - 2) // 2
    integers[escaped] = np.uint8(payload.bits(8, 4 * np.sum(escaped))).view("<i4")
    return integers


def read_contexts(
    payload: Payload, arrays: dict[str, Array], sizes: tuple[int, int, int], height: int, width: int
) -> Array:
    """Integers (outputs, atoms, down, across), with the modulation `output`."""
    model = {name[9:]: np.int64(array) for name, array in arrays.items() if "contexts." in name}
    orders, levels, (outputs, *grid) = model["orders"], model["levels"], sizes
    bounds = levels[:-1] + levels[1:] >> 1
    integers = np.zeros((outputs, len(orders), *grid), np.int64)
    # Magnitudes in a frame of zeros: one output before, two orders and one patch on each side.
    frame = np.zeros((outputs + 1, *(orders.max(0) + 5), grid[0] + 2, grid[1] + 2), np.int64)
    counts, spreads = payload.bits(7, outputs), payload.bits(6, outputs)
    for ring in range(orders.sum(1).max() + 1):
        inside = (orders < [width, height]).all(axis=1) & (orders.sum(1) == ring)
        atoms, i = np.flatnonzero(inside), min(ring, len(model["priors"]) - 1)
        for o in np.flatnonzero(counts > ring):
            numbers = np.zeros((len(atoms), *grid), np.int64)
            for number, (u, v) in zip(numbers, orders[atoms] + 2, strict=True):
                own, before = frame[o + 1], frame[o]
                near = own[u - 1, v] + own[u, v - 1]
                features = [
                    near,
                    own[u - 1, v - 1] + own[u - 2, v] + own[u, v - 2],
                    before[u, v],
                    frame[: o + 1, u, v].sum(axis=0),
                    before[u - 1, v + 1] + before[u + 1, v - 1],
                    np.pad(near[:-2] + near[2:], ((1, 1), (0, 0)))
                    + np.pad(near[:, :-2] + near[:, 2:], ((0, 0), (1, 1))),
                ]
                e = levels[np.clip(2 * spreads[o] + model["priors"][i], 0, len(levels) - 1)]
                e = e + np.tensordot(model["weights"][i], np.stack(features), 1)[1:-1, 1:-1]
                number[:] = np.searchsorted(bounds, e, side="right")
            integers[o, atoms] = values = read_sorted(payload, model["tables"].tolist(), numbers)
            for value, (u, v) in zip(values, orders[atoms] + 2, strict=True):
                frame[o + 1, u, v, 1:-1, 1:-1] = np.abs(value)
    return integers


def read_sorted(payload: Payload, tables: list[list[int]], numbers: Array) -> Array:
    """The integers of an output in a ring, each with the table of its number."""
    values, symbols = np.zeros(numbers.shape, np.int64), len(tables[0])
    for t in np.unique(numbers).tolist():
        above, count = t - len(tables), int(np.sum(numbers == t))
        table, b = (t, 0) if above < 0 else (len(tables) - 4 + above % 4, above // 4 + 1)
        high = payload.run(cumulative(tables[table]), count)
        escaped = high == symbols - 1
        high -= (symbols - 2) // 2
        high[escaped] = np.int32(np.uint32(payload.bits(32, np.sum(escaped))))
        values[numbers == t] = (high << b) + payload.bits(b, count) - ((1 << b) >> 1)
    return values


# 7. detail


def read_detail(content: bytes | None, shape: tuple[int, int, int]) -> tuple[Array, int]:
    """Scores (components, rows, cols) in units of 2^exponent, and the exponent."""
    scores = np.zeros(shape, np.int64)
    if not content:
        return scores, 0
    exponent, precision, n = struct.unpack_from("<bBH", content)
    start = 4 + -(-n // 8)
    sent = np.flatnonzero(np.unpackbits(np.frombuffer(content[4:start], np.uint8), count=n))
    end = start  # of the segments COD and QCD: a marker, then the length of the rest
    for _ in range(2):
        end += 2 + int.from_bytes(content[end + 2 : end + 4], "big")
    _, rows, cols = shape
    height, width = (rows, cols) if cols > 1 else (1, max(rows, 2))
    stream = struct.pack(">HHHH", 0xFF4F, 0xFF51, 38 + 3 * len(sent), 0)
    stream += struct.pack(">8IH", width, height, 0, 0, width, height, 0, 0, len(sent))
    stream += bytes([0x80 | (precision & 0x7F) - 1, 1, 1]) * len(sent) + content[start:end]
    stream += struct.pack(">HHHIBBH", 0xFF90, 10, 0, 14 + len(content) - end, 0, 1, 0xFF93)
    image = imagecodecs.jpeg2k_decode(stream + content[end:] + b"\xff\xd9", planar=True)
    scores[sent] = image.reshape(len(sent), -1)[:, : rows * cols].reshape(-1, rows, cols)
    return scores, exponent


# 8. bound


def read_bound(header: Header, basis: Basis, scores: Array, unit: int, content: bytes) -> Array:
    """Samples of the live bands."""
    settings, dtype, (low, high) = header["bound"], np.dtype(header["dtype"]), header["range"]
    shape = (basis[0].size, *scores.shape[1:])
    if not settings["exact_floats"]:
        exponent, bound = settings["exponent"], settings["max_error"]
        if bound > 0 and low < float(header.get("nodata", "nan")) < high:
            bound -= 1
        ends = [int(np.rint(np.ldexp(end, -exponent))) for end in (low, high)]
        base = np.clip(read_base(basis, scores, unit, exponent), *ends)
        integers = np.clip(base + read_residuals(content[4:], shape, 2 * bound + 1, base), *ends)
        samples = integers if dtype.kind in "iu" else np.clip(integers * 2.0**exponent, low, high)
    elif content[4] == 255:
        samples = read_floats(imagecodecs.zstd_decode(content[5:]), shape, dtype.itemsize)
    else:
        samples = read_residuals(content[5:], shape, 1, None) / 10.0 ** content[4]
    samples = samples.astype(dtype)
    assert crc32c(samples.tobytes()) == int.from_bytes(content[:4], "little")
    return samples


def read_base(basis: Basis, scores: Array, unit: int, exponent: int) -> Array:
    """8.1 before it is clipped, in Python's integers."""
    mean, mean_unit, vectors = basis
    fine = min(mean_unit, unit - 16, exponent - 1)  # all is in units of 2^fine
    total = np.tensordot(vectors.T.astype(object), scores.astype(object), 1) << unit - 16 - fine
    total = total + (mean.astype(object) << mean_unit - fine)[:, None, None]
    return np.int64(total + (1 << exponent - 1 - fine) >> exponent - fine)


def read_residuals(content: bytes, shape: tuple[int, ...], step: int, base: Array | None) -> Array:
    """8.2."""
    bands, fraction = shape[0], 10 if base is None else 5
    start = 5 + int.from_bytes(content[1:5], "little")
    bits = np.frombuffer(zlib.decompress(content[5:start]) if start > 5 else b"", np.uint8)
    live = np.ones(shape[1:], bool)
    if bits.size:
        live = np.unpackbits(bits, count=live.size).astype(bool).reshape(live.shape)
    residuals, own, around = np.zeros((3, *shape), np.int64)
    pixels = int(live.sum())
    if not pixels:
        return residuals

    lags, near = min(40, bands - 1), min(8, bands - 1)
    classes = min(6, max(1, pixels // 1000))
    counts = np.diff([pixels * i // classes for i in range(classes + 1)])
    models = np.frombuffer(content, np.uint8, 2 * (4 + classes + lags + near), start).tolist()
    payload, rows = Payload(content[start + len(models) :]), []
    for first, second in zip(models[::2], models[1::2], strict=True):
        model = first & 127, second // 55, first >> 7, [second % 55]
        rows.append(read_values(payload, [bands], *model))
    offset, shift, form, escaped = rows[:4]
    scales = np.cumsum(np.cumsum(rows[4 : 4 + classes], axis=0), axis=1)
    weights, near_weights = rows[4 + classes : 4 + classes + lags], rows[4 + classes + lags :]

    for b in range(bands):
        total = np.full(shape[1:], (offset[b] << fraction) + (1 << fraction - 1))
        for lag in range(1, min(lags, b) + 1):
            total += weights[lag - 1][b] * own[b - lag]
        for lag in range(1, min(near, b) + 1):
            total += near_weights[lag - 1][b] * around[b - lag]
        predicted = (total >> fraction)[live]
        key = predicted if base is None else predicted + base[b][live]
        key = key - key.min()
        order = np.argsort(key >> max(int(key.max()).bit_length() - 16, 0), kind="stable")
        values = read_values(payload, counts, shift[b], form[b], escaped[b], scales[:, b])
        predicted[order] += step * values
        residuals[b][live] = predicted
        own[b] = np.clip(residuals[b], -(2**35), 2**35)
        p = np.pad(own[b], 1)
        around[b] = p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:] + 2 >> 2
    return residuals


def read_floats(content: bytes, shape: tuple[int, ...], width: int) -> Array:
    """8.3 where k is 255."""
    folded = np.frombuffer(content, np.uint8).reshape(width, -1).T.copy().view(f"<u{width}")
    differences = folded.reshape(shape) >> 1 ^ -(folded.reshape(shape) & 1)
    bits = np.cumsum(differences, axis=0, dtype=folded.dtype).view(f"<i{width}")
    return np.where(bits < 0, bits ^ np.iinfo(bits.dtype).max, bits).view(f"<f{width}")


def read_values(
    payload: Payload,
    counts: Sequence[int],
    shift: int,
    form: int,
    escaped: int,
    scales: Sequence[int],
) -> Array:
    """8.4: the values of all classes."""
    values, half = np.zeros((2, sum(counts)), np.int64)
    for scale, count, end in zip(scales, counts, np.cumsum(counts), strict=True):
        if scale > 0:
            table, h = value_table(int(form), int(scale))
            values[end - count : end] = payload.run(table, count) - h
            half[end - count : end] = h
    at = np.flatnonzero((np.abs(values) == half) & (half > 0) & (escaped > 0))
    lengths = payload.run(length_table(), at.size)
    more = (1 << lengths) - 1
    for length in np.unique(lengths):
        more[lengths == length] += payload.bits(length, np.sum(lengths == length))
    values[at] += np.sign(values[at]) * more
    if shift > 0:
        values = (values << shift) + payload.bits(shift, values.size) - (1 << shift - 1)
    return values


@cache
def value_table(form: int, scale: int) -> tuple[list[int], int]:
    """Cumulative counts, and the half width."""
    octave, part = divmod(scale - 1, 6)
    unit = (8388608, 7473400, 6658043, 5931642, 5284492, 4707947)[part] >> octave
    edges = [odd * unit >> 10 for odd in range(1, 1024, 2)]
    edges = edges[: max(sum(edge < 5120 for edge in edges) + 1, 2)]
    s = [tail(form)[min(edge, 12288)] for edge in edges]
    side = [near - far for near, far in zip(s, [*s[1:], 0], strict=True)]
    masses = [*side[::-1], 2**40 - 2 * s[0], *side]
    frequencies = [1 + (mass * (2**15 - len(masses)) >> 40) for mass in masses]
    return completed(frequencies, len(edges)), len(edges)


@cache
def tail(form: int) -> list[int]:
    """Mass beyond each grid point, in units of 2^-40."""
    if form == 1:
        return [(a + b) // 2 for a, b in zip(tail(0), tail(2), strict=True)]
    if form == 2:
        steps = [4605321362777405093] * 12288
        return [x >> 62 for x in accumulate(steps, lambda x, r: x * r >> 62, initial=2**101)]
    r = 4611681620382973951
    ratios = accumulate([r] * 12287, lambda a, b: a * b >> 62, initial=r)
    d = list(accumulate(ratios, lambda a, b: a * b >> 62, initial=2**62))
    sums = list(accumulate(reversed(d)))[::-1]
    return [(total << 39) // sums[0] for total in sums]


@cache
def length_table() -> list[int]:
    return completed([max(2**14 >> j, 1) for j in range(50)], 0)
