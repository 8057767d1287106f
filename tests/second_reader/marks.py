"""Sections 8 and 9 of the page: the parts mask and listed."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from second_reader.coder import Contexts, RangeDecoder, unranked

__all__ = ["listed", "states"]


def states(content: bytes, shape: tuple[int, ...]) -> Any:
    """States of the samples of a tile."""
    bands, rows, cols = shape
    if not content:
        return np.zeros(shape, np.uint8)
    (more,) = struct.unpack_from("<I", content)
    sizes = struct.unpack_from(f"<{more}I", content, 4)
    at = 4 + 4 * more
    coders = []
    for size in (*sizes, len(content) - at - sum(sizes)):
        coders.append(RangeDecoder(content[at : at + size]))
        at += size
    model = Contexts()
    of_band: list[int] = []
    newest = -1
    for _ in range(bands):
        of_band.append(newest + 1 - model.number(coders[0], 514))
        newest = max(newest, of_band[-1])
        assert of_band[-1] >= 0
    planes: list[Any] = []
    before = np.zeros((rows, cols), np.uint8)
    for _ in range(newest + 1):
        if coders[0].ended:
            coders.pop(0)
        before = _plane(coders[0], model, before)
        planes.append(before)
    assert len(coders) == 1
    assert coders[0].ended
    return np.stack([planes[number] for number in of_band])


def _plane(coder: RangeDecoder, model: Contexts, before: Any) -> Any:
    rows, cols = before.shape
    plane = np.zeros((rows, cols), np.uint8)

    def at(of: Any, row: int, col: int) -> int:
        return int(of[row, col]) if 0 <= row < rows and 0 <= col < cols else 0

    for y in range(rows):
        for x in range(cols):
            left, above = at(plane, y, x - 1), at(plane, y - 1, x)
            around = [left, at(plane, y, x - 2), above, at(plane, y - 1, x - 1)]
            around += [at(plane, y - 1, x + 1), at(before, y, x), at(before, y, x + 1)]
            around.append(at(before, y + 1, x))
            if not model.bit(coder, sum((state > 0) << i for i, state in enumerate(around))):
                continue
            if left and model.bit(coder, 256):
                plane[y, x] = left
            elif above and model.bit(coder, 257):
                plane[y, x] = above
            else:
                path = 1
                for _ in range(8):
                    path = 2 * path + model.bit(coder, 258 + path)
                plane[y, x] = path - 256
    return plane


def listed(content: bytes, size: int, dtype: Any) -> list[tuple[int, Any]]:
    """Where the listed samples of a tile are, and what they are."""
    found: list[tuple[int, Any]] = []
    if not content:
        return found
    coder, model = RangeDecoder(content), Contexts()
    place, rank, again = -1, 0, 0
    while gap := model.number(coder, 0):
        place += gap
        assert place < size
        again = model.bit(coder, 192 + again)
        if not again:
            minus = model.bit(coder, 194)
            number = model.number(coder, 195)
            rank = -number - 1 if minus else number
        found.append((place, unranked(np.array([rank]), dtype)[0]))
    assert coder.ended
    return found
