"""Arrays of numbers in few bytes, to the last bit: wavelengths, widths, coordinates.

Numbers become integers: as they are, times a power of ten, or by the bits of their float. Their
differences, of an order up to three, are coded as Exp-Golomb numbers (ITU-T H.264, section 9.1):
all prefixes first, then all other bits. Whatever takes the fewest bits is taken, and the bytes
themselves, deflated, where nothing is gained.
"""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.coding.rest import from_order, in_order
from xhsinr.entropy.cursor import Cursor, varint
from xhsinr.errors import DamagedSidecarError

__all__ = ["DTYPES", "read_array", "write_array"]

DTYPES = tuple(np.dtype(name) for name in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "f4", "f8"))
"""Types of arrays and of samples; a file has a type's place in this list."""

_DECIMALS = 10
# Kinds of integers: digits after the point up to `_DECIMALS`, then these.
_FLOAT32, _FLOAT64, _DEFLATED = 13, 14, 15
_ORDERS = 3
_LONGEST = 61  # bits of a difference
_MOST = 1 << 16  # numbers; more are deflated, which is faster
_MOST_AXES = 8

Ints = npt.NDArray[np.int64]


def write_array(array: npt.NDArray[Any]) -> bytes:
    """Bytes of an array of one of the types `DTYPES`."""
    flat = np.ascontiguousarray(array).ravel()
    number = DTYPES.index(array.dtype.newbyteorder("="))
    head = bytes([number << 4 | array.ndim]) + b"".join(map(varint, array.shape))
    level = 9 if flat.size <= _MOST else 6
    plain = zlib.compress(flat.astype(flat.dtype.newbyteorder("<")).tobytes(), level)
    best = bytes([_DEFLATED << 3]) + varint(len(plain)) + plain
    if 0 < flat.size <= _MOST:
        for kind, whole in _integers(flat):
            for order in range(min(_ORDERS, flat.size - 1) + 1):
                coded = _write_differences(whole, order)
                if coded is not None and len(coded) + 1 < len(best):
                    best = bytes([kind << 3 | order]) + coded
    return head + best


def read_array(cursor: Cursor, most_bytes: int) -> npt.NDArray[Any]:
    """The next array that `write_array` wrote, of at most so many bytes.

    Raises
    ------
    DamagedSidecarError
    """
    first = cursor.byte()
    _expect(first >> 4 < len(DTYPES) and first & 15 <= _MOST_AXES, "an array of no known type")
    dtype = DTYPES[first >> 4]
    shape = tuple(cursor.varint() for _ in range(first & 15))
    size = math.prod(shape)
    _expect(size * dtype.itemsize <= most_bytes, f"an array of shape {shape}")
    second = cursor.byte()
    kind, order = second >> 3, second & 7
    if kind == _DEFLATED:
        plain = cursor.inflated(size * dtype.itemsize)
        little = np.frombuffer(plain, dtype.newbyteorder("<"))
        return little.astype(dtype).reshape(shape)
    _expect(0 < size <= _MOST and order <= min(_ORDERS, size - 1), f"differences of {size} numbers")
    whole = _read_differences(cursor, size, order)
    with np.errstate(over="ignore", invalid="ignore"):
        if kind == _FLOAT64 and dtype.kind == "f":
            values = from_order(whole, np.dtype(np.float64))
        elif kind == _FLOAT32 and dtype.kind == "f":
            values = from_order(whole, np.dtype(np.float32))
        else:
            _expect(kind <= _DECIMALS, f"numbers of kind {kind}")
            values = whole / np.float64(10**kind) if kind else whole
        return values.astype(dtype).reshape(shape)


def _integers(flat: npt.NDArray[Any]) -> list[tuple[int, Ints]]:
    """Integers that hold the numbers exactly, each with its kind."""
    if flat.dtype.kind in "iu":
        return [(0, flat.astype(np.int64))]
    found: list[tuple[int, Ints]] = []
    wide = flat.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        for digits in range(_DECIMALS + 1):
            scaled = np.rint(wide * 10.0**digits)
            if not (np.abs(scaled) < 2.0**53).all():
                break
            whole = scaled.astype(np.int64)
            if (whole / np.float64(10**digits)).astype(flat.dtype).tobytes() == flat.tobytes():
                found.append((digits, whole))
                break
        narrow = wide.astype(np.float32)
    if narrow.astype(flat.dtype).tobytes() == flat.tobytes():
        found.append((_FLOAT32, in_order(narrow)))
    if flat.dtype.itemsize == 8:
        found.append((_FLOAT64, in_order(wide)))
    return found


def _write_differences(whole: Ints, order: int) -> bytes | None:
    """First numbers of each order, then the differences; None where they are too large."""
    heads = []
    for _ in range(order):
        heads.append(int(whole[0]))
        if int(np.abs(whole >> 1).max()) >= 1 << (_LONGEST - 2):
            return None
        whole = np.diff(whole)
    folded = np.append(np.array([_fold(head) for head in heads], object), 0)[:-1]
    if int(np.abs(whole >> 1).max()) >= 1 << (_LONGEST - 2):
        return None
    values = (whole << 1) ^ (whole >> 63)
    costs = [int((2 * _bits(values, k)).sum()) - k * len(values) for k in range(_LONGEST)]
    k = int(np.argmin(costs))
    lengths = _bits(values, k)
    ends = np.cumsum(lengths - k) - 1  # a prefix is zeros and a one
    prefixes = np.zeros(int(ends[-1]) + 1, np.uint8)
    prefixes[ends] = 1
    places = lengths - 1
    starts = np.cumsum(places) - places
    rest = np.zeros(int(places.sum()), np.uint8)
    shifted = values + (1 << k)
    for place in range(int(places.max(initial=0))):
        has = places > place
        rest[starts[has] + place] = (shifted[has] >> (places[has] - 1 - place)) & 1
    unary = np.packbits(prefixes).tobytes()
    return b"".join(
        [*map(varint, folded), bytes([k]), varint(len(unary)), unary, np.packbits(rest).tobytes()]
    )


def _read_differences(cursor: Cursor, size: int, order: int) -> Ints:
    heads = [cursor.varint() for _ in range(order)]
    count = size - order
    k = cursor.byte()
    prefixes = np.unpackbits(np.frombuffer(cursor.take(cursor.varint()), np.uint8))
    ends = np.flatnonzero(prefixes)
    _expect(len(ends) == count and k < _LONGEST, f"{len(ends)} prefixes of {count} numbers")
    lengths = np.diff(ends, prepend=-1) + k
    places = lengths - 1
    _expect(int(places.max(initial=0)) <= _LONGEST + 1, "numbers of too many bits")
    starts = np.cumsum(places) - places
    total = int(places.sum())
    rest = np.unpackbits(np.frombuffer(cursor.take(-(-total // 8)), np.uint8), count=total)
    values = np.ones(count, np.int64)
    for place in range(int(places.max(initial=0))):
        has = places > place
        values[has] = values[has] << 1 | rest[starts[has] + place]
    values -= 1 << k
    whole: Ints = (values >> 1) ^ -(values & 1)
    for head in reversed(heads):
        # Forged numbers may wrap around: they are wrong, and no harm.
        first = (head >> 1) ^ -(head & 1)
        whole = np.cumsum(np.concatenate([[first], whole]), dtype=np.int64)
    return whole


def _bits(values: Ints, k: int) -> Ints:
    """Bits of each number plus ``2**k``."""
    shifted = values + (1 << k)
    # Floats round up to the next power of two where there are more than 53 bits: put right.
    lengths = np.frexp(shifted.astype(np.float64))[1].astype(np.int64)
    return np.asarray(lengths - (shifted >> np.maximum(lengths - 1, 0) == 0))


def _fold(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1


def _expect(condition: bool, what: str) -> None:
    if not condition:
        raise DamagedSidecarError(f"the description of the scene is damaged: it has {what}")
