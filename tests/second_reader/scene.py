"""Section 6 of the page: the codec, and the samples of a scene."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from second_reader.bounded import BoundedCodec
from second_reader.floats import FloatsCodec
from second_reader.frame import Bytes, read
from second_reader.latents import LatentsCodec
from second_reader.marks import listed, states
from second_reader.planes import PlanesCodec

__all__ = ["decode"]

NOT_CODED = ("mask", "listed")


def decode(path: Path, networks: Path | None = None) -> Any:
    """All samples of a scene, shape (bands, rows, cols); networks are in a folder."""
    found = read(path)
    dtype, (bands, rows, cols), side = found["dtype"], found["shape"], found["tile"]
    codec = Bytes(found["codec"])
    (first,) = codec.unpack("B")
    low, high = np.frombuffer(codec.take(2 * dtype.itemsize), dtype)
    nodata = np.frombuffer(codec.take(dtype.itemsize), dtype)[0] if first & 1 else None
    voids = [_void(codec, bands, dtype) for _ in range(codec.varint())] if first & 4 else []
    runs: list[int] = []
    while first & 2 and len(runs) < bands:
        run = codec.varint()
        runs += [run % 32] * (run // 32)
    runs = runs or [0] * bands
    assert len(runs) == bands
    assert all(run == 31 or run <= len(voids) for run in runs)
    live = np.array(runs) == 0
    frame = (dtype, int(live.sum()), low, high)
    coding = (_planes, BoundedCodec.read, FloatsCodec, LatentsCodec.read)[first >> 3]
    tiles = coding(codec, frame, networks)
    samples = np.zeros((bands, rows, cols), dtype)
    grid = [(y, x) for y in range(0, rows, side) for x in range(0, cols, side)]
    for (y, x), parts in zip(grid, found["tiles"], strict=True):
        part = samples[:, y : y + side, x : x + side]
        found_states = states(parts.get("mask", b""), part.shape)
        for band, run in enumerate(runs):
            if 0 < run < 31:
                found_states[band] = run
        assert found_states.max(initial=0) <= len(voids)
        exceptions = listed(parts.get("listed", b""), part.size, dtype)
        valid = found_states == 0
        for place, _ in exceptions:
            valid[np.unravel_index(place, part.shape)] = False
        if any(parts[name] for name in parts if name not in NOT_CODED) or not first >> 3:
            part[live] = tiles(parts, *part.shape[1:], valid[live])
        if nodata is not None and low < nodata < high:
            part[part == nodata] = (
                np.nextafter(nodata, high) if dtype.kind == "f" else nodata + dtype.type(1)
            )
        for number, void in enumerate(voids, 1):
            where = found_states == number
            part[where] = np.broadcast_to(void[:, None, None], part.shape)[where]
        for place, value in exceptions:
            part[np.unravel_index(place, part.shape)] = value
    return samples


def _void(codec: Bytes, bands: int, dtype: Any) -> Any:
    (kind,) = codec.unpack("B")
    if kind == 0:
        return np.repeat(np.frombuffer(codec.take(dtype.itemsize), dtype), bands)
    assert kind == 1
    return np.frombuffer(zlib.decompress(codec.take(codec.varint())), dtype)


def _planes(codec: Bytes, frame: Any, networks: Path | None) -> Any:
    dtype, bands, low, high = frame
    planes = PlanesCodec.read(codec, bands, networks)

    def tile(parts: dict[str, bytes], rows: int, cols: int, valid: Any) -> Any:
        return planes.samples(parts.get("planes", b""), rows, cols, dtype, low, high)

    return tile
