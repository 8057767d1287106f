"""The part ``mask``: which samples of a tile are none, and what stands in their place.

A state is 0 where a sample is valid, else the number of a void (see `xhsinr.coding.voids`). Bands
that share a mask share its bytes, and a tile that is valid throughout has none. Of the planes that
differ, each sample is valid or not in the context of its neighbours and of the plane before, so
that outlines cost little, and scattered samples what their positions cost.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from xhsinr.entropy import bits, rans
from xhsinr.errors import DamagedSidecarError

__all__ = ["VALID", "decode", "encode"]

VALID = 0

States = npt.NDArray[np.uint8]

# Contexts: valid by eight neighbours, as the left one, as the upper one, which; a band's plane.
_LEFT = rans.ZERO + 256
_ABOVE = _LEFT + 1
_WHICH = _ABOVE + 1
_PLANE = _WHICH + 256
_CONTEXTS = _PLANE + bits.NUMBER_CONTEXTS
_SEGMENT = 1 << 22
_SAMPLE_NOTES = 11
_LENGTH = struct.Struct("<I")


def encode(states: States) -> bytes:
    """Code the states of a tile, shape (bands, rows, cols); empty where all are valid."""
    if not states.any():
        return b""
    # By the bytes: np.unique would sort whole planes.
    numbers: dict[bytes, int] = {}
    of_band = np.array([numbers.setdefault(p.tobytes(), len(numbers)) for p in states])
    planes = states[np.unique(of_band, return_index=True)[1]]
    model = bits.contexts(_CONTEXTS)
    room = min(_SEGMENT, planes.size * _SAMPLE_NOTES) + planes[0].size * _SAMPLE_NOTES
    notes = np.empty((room + 2 * bits.LENGTHS * len(states), 2), np.uint16)
    count = _note_numbers(of_band, notes, model)
    segments = []
    before = np.zeros_like(planes[0])
    for plane in planes:
        count = _note_plane(plane, before, notes, count, model)
        before = plane
        if count > _SEGMENT:
            segments.append(bits.finish(notes, count))
            count = 0
    segments.append(bits.finish(notes, count))
    lengths = [_LENGTH.pack(len(segment)) for segment in segments[:-1]]
    return b"".join([_LENGTH.pack(len(lengths)), *lengths, *segments])


def decode(payload: bytes, bands: int, rows: int, cols: int) -> States:
    """The states of a tile, shape (bands, rows, cols).

    Raises
    ------
    DamagedSidecarError
        If the payload is not a mask of that shape.
    """
    if not payload:
        return np.zeros((bands, rows, cols), np.uint8)
    try:
        return _decode(payload, bands, rows, cols)
    except (ValueError, struct.error) as error:
        raise DamagedSidecarError(f"the mask does not decode: {error}") from error


def _decode(payload: bytes, bands: int, rows: int, cols: int) -> States:
    (more,) = _LENGTH.unpack_from(payload)
    if more > bands:
        raise ValueError(f"{more} segments for {bands} bands")
    lengths = struct.unpack_from(f"<{more}I", payload, _LENGTH.size)
    place = _LENGTH.size * (1 + more)
    model = bits.contexts(_CONTEXTS)
    of_band = np.zeros(bands, np.int64)
    before = np.zeros((rows, cols), np.uint8)
    planes: list[States] = []
    for number in range(more + 1):
        end = place + lengths[number] if number < more else len(payload)
        state, words = rans.start(payload[place:end])
        left, place = len(words), end
        if not number:
            state, left, sound = _read_numbers(of_band, state, words, model)
            if not sound:
                raise ValueError("a band has a plane that is not there")
        while left or state != rans.EMPTY:
            if len(planes) == bands:
                raise ValueError("bytes are left over")
            plane = np.zeros((rows, cols), np.uint8)
            state, left = _read_plane(plane, before, np.uint64(state), words, left, model)
            planes.append(plane)
            before = plane
    if len(planes) != of_band.max() + 1:
        raise ValueError(f"there are {len(planes)} planes")
    return np.stack(planes)[of_band]


@njit(cache=True, nogil=True)
def _note_numbers(of_band: Any, notes: Any, model: Any) -> int:
    """Which plane each band has: how many more than the newest it is behind, 0 for another."""
    count: int = rans.ZERO
    newest = -1
    for plane in of_band:
        behind = newest + 1 - plane
        count = bits.note_number(notes, count, model, _PLANE, behind)
        newest = max(newest, plane)
    return count


@njit(cache=True, nogil=True)
def _read_numbers(of_band: Any, state: Any, words: Any, model: Any) -> tuple[Any, int, bool]:
    left, newest = len(words), -1
    for band in range(len(of_band)):
        state, left, behind = bits.read_number(state, words, left, model, _PLANE)
        if behind < 0 or behind > newest + 1 or (band == 0 and behind):
            return state, left, False
        of_band[band] = newest + 1 - behind
        newest = max(newest, of_band[band])
    return state, left, True


@njit(inline="always", cache=True)
def _context(plane: Any, before: Any, row: int, col: int) -> int:
    """Which of eight samples are not valid: five around it, and three of the plane before."""
    rows, cols = plane.shape
    found = 0
    if col:
        found |= plane[row, col - 1] != 0
        found |= (col > 1 and plane[row, col - 2] != 0) << 1
    if row:
        found |= (plane[row - 1, col] != 0) << 2
        found |= (col > 0 and plane[row - 1, col - 1] != 0) << 3
        found |= (col + 1 < cols and plane[row - 1, col + 1] != 0) << 4
    found |= (before[row, col] != 0) << 5
    found |= (col + 1 < cols and before[row, col + 1] != 0) << 6
    found |= (row + 1 < rows and before[row + 1, col] != 0) << 7
    return int(found)


@njit(cache=True, nogil=True)
def _note_plane(plane: Any, before: Any, notes: Any, count: int, model: Any) -> int:
    rows, cols = plane.shape
    for row in range(rows):
        for col in range(cols):
            state = plane[row, col]
            context = _context(plane, before, row, col)
            count = bits.note(notes, count, model, context, 1 if state else 0)
            if state == 0:
                continue
            left = plane[row, col - 1] if col else 0
            above = plane[row - 1, col] if row else 0
            if left:
                count = bits.note(notes, count, model, _LEFT, 1 if state == left else 0)
                if state == left:
                    continue
            if above:
                count = bits.note(notes, count, model, _ABOVE, 1 if state == above else 0)
                if state == above:
                    continue
            path = 1
            for place in range(7, -1, -1):
                bit = (state >> place) & 1
                count = bits.note(notes, count, model, _WHICH + path, bit)
                path = 2 * path + bit
    return count


@njit(cache=True, nogil=True)
def _read_plane(
    plane: Any, before: Any, state: Any, words: Any, words_left: int, model: Any
) -> tuple[Any, int]:
    rows, cols = plane.shape
    for row in range(rows):
        for col in range(cols):
            context = _context(plane, before, row, col)
            state, words_left, bit = bits.read(state, words, words_left, model, context)
            if not bit:
                continue
            left = plane[row, col - 1] if col else 0
            above = plane[row - 1, col] if row else 0
            if left:
                state, words_left, bit = bits.read(state, words, words_left, model, _LEFT)
                if bit:
                    plane[row, col] = left
                    continue
            if above:
                state, words_left, bit = bits.read(state, words, words_left, model, _ABOVE)
                if bit:
                    plane[row, col] = above
                    continue
            path = 1
            for _ in range(8):
                state, words_left, bit = bits.read(state, words, words_left, model, _WHICH + path)
                path = 2 * path + bit
            plane[row, col] = path - 256
    return state, words_left
