"""Sections 1 to 5 of the page: what stands before the tiles, and the bytes of the tiles."""

from __future__ import annotations

import itertools
import json
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["TYPES", "Bytes", "crc32c", "dictionary", "read"]

TYPES = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "f4", "f8")
TARGETS = ["lossless", "standard", "preview", "analysis", "archive"]
FIGURES = ["psnr", "bpppb", "sam_deg", "max_error"]
PARTS = {
    0: ["mask", "listed", "planes"],
    1: ["mask", "listed", "base", "bound", "rest"],
    2: ["mask", "listed", "steps", "digits"],
    3: ["mask", "listed", "latents"],
}


def dictionary() -> bytes:
    page = (Path(__file__).parents[2] / "docs" / "format.md").read_text("utf-8")
    return page.split("The dictionary")[1].split("```")[1].replace("\n", "").encode()


def crc32c(content: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in content:
        value = value >> 8 ^ _TABLE[(value ^ byte) & 255]
    return value ^ 0xFFFFFFFF


def _entry(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value


_TABLE = [_entry(byte) for byte in range(256)]


class Bytes:
    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def take(self, count: int) -> bytes:
        part = self.content[self.at : self.at + count]
        assert len(part) == count
        self.at += count
        return part

    @property
    def left(self) -> int:
        return len(self.content) - self.at

    def varint(self) -> int:
        value = shift = 0
        while True:
            (byte,) = self.take(1)
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def unpack(self, layout: str) -> Any:
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))


def read(path: Path) -> dict[str, Any]:
    """Everything that stands before the tiles, and the bytes of the tiles."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    entry = json.loads(content[8 : 8 + length])["h"]
    start = 8 + length
    assert entry["shape"] == [len(content) - start]
    front = Bytes(content[start:])
    (version,) = front.unpack("B")
    assert version == 2
    end = start + front.varint()
    assert crc32c(content[: end - 4]) == int.from_bytes(content[end - 4 : end], "little")
    found = _header(front)
    about = front.take(front.varint())
    found["description"], found["arrays"] = _description(about) if about else ({}, {})
    tiles = math.prod(-(-side // found["tile"]) for side in found["shape"][1:])
    used, sizes, crcs, found["errors"] = _index(front, tiles, found)
    found["codec"] = content[start + front.at : end - 4]
    names = PARTS.get(found["codec"][0] >> 3)
    found["tiles"] = []
    for row, crc in zip(sizes, crcs, strict=True):
        piece = content[end : end + sum(row)]
        assert crc32c(piece) == crc
        end += len(piece)
        ends = np.cumsum([0, *row])
        parts = [piece[a:b] for a, b in itertools.pairwise(ends)]
        labels = [names[i] for i in used] if names else used
        found["tiles"].append(dict(zip(labels, parts, strict=True)))
    assert end == len(content)
    return found


def _header(front: Bytes) -> dict[str, Any]:
    dtype = np.dtype(TYPES[front.unpack("B")[0]])
    shape = front.varint(), front.varint(), front.varint()
    coded = front.varint()
    tile = coded >> 1 if coded & 1 else 32 * (coded >> 1)
    (number,) = front.unpack("B")
    if number == 0:
        target: dict[str, Any] = {"lossless": True}
    elif number < len(TARGETS):
        target = {"quality": TARGETS[number]}
    else:
        (digits,) = front.unpack("B")
        value = front.unpack("d")[0] if digits == 255 else front.varint() / 10**digits
        target = {FIGURES[number - len(TARGETS)]: value}
    rmse, max_error, angle = front.unpack("fff")
    noise = front.unpack(f"{shape[0]}f") if number == 3 else ()
    software = front.varint(), front.varint(), front.varint()
    return {
        "dtype": dtype, "shape": shape, "tile": tile or max(shape[1:]), "target": target,
        "rmse": rmse, "max_error": max_error, "mean_sam_deg": angle, "noise_by_band": noise,
        "software": software,
    }  # fmt: skip


def _description(content: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    rest = Bytes(content)
    packed = rest.take(rest.varint())
    text = zlib.decompressobj(-15, zdict=dictionary()).decompress(packed)
    out = json.loads(text)
    arrays = {name: _array(rest) for name in out.pop("arrays", [])}
    assert rest.at == len(content)
    return out, arrays


def _array(rest: Bytes) -> Any:
    (first,) = rest.unpack("B")
    dtype = np.dtype("<" + TYPES[first >> 4])
    shape = [rest.varint() for _ in range(first & 15)]
    kind, order = divmod(rest.unpack("B")[0], 8)
    if kind == 15:
        return np.frombuffer(zlib.decompress(rest.take(rest.varint())), dtype).reshape(shape)
    integers = _integers(rest, math.prod(shape), order)
    if kind in (13, 14):
        bits = 32 * (kind - 12)
        raw = [n ^ (2 ** (bits - 1) - 1) if n < 0 else n for n in integers]
        values = np.array(raw, f"<i{bits // 8}").view(f"<f{bits // 8}")
    else:
        values = np.array(integers) / 10.0**kind if kind else np.array(integers)
    return values.astype(dtype).reshape(shape)


def _unfold(value: int) -> int:
    return value >> 1 if value % 2 == 0 else -(value + 1 >> 1)


def _integers(rest: Bytes, size: int, order: int) -> list[int]:
    firsts = [_unfold(rest.varint()) for _ in range(order)]
    (k,) = rest.unpack("B")
    prefixes = "".join(f"{byte:08b}" for byte in rest.take(rest.varint()))
    zeros = [len(run) for run in prefixes.split("1")[: size - order]]
    total = sum(k + z for z in zeros)
    bits = "".join(f"{byte:08b}" for byte in rest.take(-(-total // 8)))
    numbers, at = [], 0
    for z in zeros:
        low = int(bits[at : at + k + z] or "0", 2)
        at += k + z
        numbers.append(_unfold(2 ** (k + z) + low - 2**k))
    for first in reversed(firsts):
        numbers = [first + sum(numbers[:i]) for i in range(len(numbers) + 1)]
    return numbers


def _index(front: Bytes, tiles: int, found: dict[str, Any]) -> Any:
    (bits,) = front.unpack("B")
    used = [i for i in range(8) if bits >> i & 1]
    sizes = [[front.varint() for _ in used] for _ in range(tiles)]
    crcs = front.unpack(f"{tiles}I")
    largest = found["max_error"]
    errors = [[found["rmse"]], [largest]]
    if tiles > 1:
        steps = [front.take(tiles), front.take(tiles)] if largest > 0 else [b"\xff" * tiles] * 2
        errors = [[0.0 if s == 255 else largest * 2 ** (-s / 8) for s in row] for row in steps]
    return used, sizes, crcs, errors
