"""The header of a sidecar: what is known of its samples, in a few bytes."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from xhsinr.entropy.cursor import Cursor, varint
from xhsinr.errors import DamagedSidecarError
from xhsinr.sidecar.vectors import DTYPES
from xhsinr.tiling import Tiling

__all__ = ["FORMAT_VERSION", "MAX_SIDE", "Header"]

FORMAT_VERSION = 2

MAX_SIDE = 1 << 31
_TILE_STEP = 32
_ASKED: tuple[tuple[str, str | bool | None], ...] = (
    ("lossless", True),
    ("quality", "standard"),
    ("quality", "preview"),
    ("quality", "analysis"),
    ("quality", "archive"),
    ("psnr", None),
    ("bpppb", None),
    ("sam_deg", None),
    ("max_error", None),
)
"""What may have been asked for; a file has the place in this list, and a number where it is None.
"""
_FLOAT32, _FLOAT64 = struct.Struct("<f"), struct.Struct("<d")
_DECIMALS, _NO_DECIMAL = 12, 255


@dataclass(frozen=True)
class Header:
    """What a sidecar says of the samples and of how it was made.

    Attributes
    ----------
    dtype : dtype
        Of the samples.
    shape : (int, int, int)
        Bands, rows, columns.
    tile : int
        Side of a tile in pixels; of a scene of one tile its longer side.
    target : dict
        What was asked for, one argument of `xhsinr.compress`.
    rmse, max_error, mean_sam_deg : float
        Of all valid samples; the angle is NaN where no pixel has one.
    noise_by_band : tuple of float
        Estimated noise of each band, where the target rests on it; NaN for bands without a valid
        sample. Else empty.
    software : str
        Version of xhsinr that wrote the file.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, int, int]
    tile: int
    target: dict[str, Any]
    rmse: float
    max_error: float
    mean_sam_deg: float
    noise_by_band: tuple[float, ...]
    software: str

    @property
    def tiling(self) -> Tiling:
        return Tiling(self.shape[1], self.shape[2], self.tile)

    def to_bytes(self) -> bytes:
        """For `from_bytes`."""
        return b"".join(field.write(getattr(self, field.name), self) for field in _FIELDS)

    @classmethod
    def from_bytes(cls, cursor: Cursor) -> Header:
        """The next header.

        Raises
        ------
        DamagedSidecarError
            If it declares what no scene is.
        """
        found: dict[str, Any] = {}
        for field in _FIELDS:
            found[field.name] = field.read(cursor, found)
        return cls(**found)


class _Field(NamedTuple):
    """One field of a header, as a file has it; ``read`` is given the fields before it."""

    name: str
    write: Callable[[Any, Header], bytes]
    read: Callable[[Cursor, dict[str, Any]], Any]


def _expect(condition: bool, what: str) -> None:
    if not condition:
        raise DamagedSidecarError(f"its header is damaged: it declares {what}")


def _read_dtype(cursor: Cursor, _: Any) -> np.dtype[Any]:
    number = cursor.byte()
    # 64-bit integers are for coordinates alone.
    _expect(number < len(DTYPES) and DTYPES[number] != np.int64, f"samples of type {number}")
    return DTYPES[number]


def _read_shape(cursor: Cursor, _: Any) -> tuple[int, int, int]:
    shape = cursor.varint(), cursor.varint(), cursor.varint()
    _expect(min(shape) > 0 and max(shape) <= MAX_SIDE, f"the shape {shape}")
    return shape


def _write_tile(tile: int, header: Header) -> bytes:
    """Zero for one tile; else twice the 32nd of a side, or twice the side and one."""
    if len(header.tiling) == 1:
        return varint(0)
    return varint(2 * tile + 1 if tile % _TILE_STEP else 2 * (tile // _TILE_STEP))


def _read_tile(cursor: Cursor, found: dict[str, Any]) -> int:
    coded, longest = cursor.varint(), max(found["shape"][1:])
    tile = coded >> 1 if coded & 1 else (coded >> 1) * _TILE_STEP
    _expect(coded != 1, "tiles without pixels")
    _expect(tile < longest, f"tiles of {tile} pixels a side in a scene of {longest}")
    return tile or longest


def _write_target(target: dict[str, Any], _: Any) -> bytes:
    ((name, value),) = target.items()
    if (name, value) in _ASKED:
        return bytes([_ASKED.index((name, value))])
    return bytes([_ASKED.index((name, None))]) + _write_number(float(value))


def _read_target(cursor: Cursor, _: Any) -> dict[str, Any]:
    number = cursor.byte()
    _expect(number < len(_ASKED), f"target number {number}")
    name, value = _ASKED[number]
    return {name: _read_number(cursor) if value is None else value}


def _write_number(value: float) -> bytes:
    """Digits after the point and an integer, where that is exact; else a float."""
    for digits in range(_DECIMALS + 1):
        whole = round(value * 10**digits) if abs(value) < 1e12 else -1
        if 0 <= whole < 1 << 53 and whole / 10**digits == value:
            return bytes([digits]) + varint(whole)
    return bytes([_NO_DECIMAL]) + _FLOAT64.pack(value)


def _read_number(cursor: Cursor) -> float:
    digits = cursor.byte()
    if digits == _NO_DECIMAL:
        value: float = _FLOAT64.unpack(cursor.take(8))[0]
        _expect(0 < value < float("inf"), f"a target of {value}")
        return value
    _expect(digits <= _DECIMALS, f"a target of {digits} digits")
    return float(cursor.varint() / 10**digits)


def _write_figure(value: float, _: Any) -> bytes:
    with np.errstate(over="ignore"):
        return np.array(value, "<f4").tobytes()


def _read_figure(cursor: Cursor, _: Any) -> float:
    figure: float = _FLOAT32.unpack(cursor.take(4))[0]
    _expect(not figure < 0, f"a figure of {figure:g}")  # NaN is a figure that nothing has
    return figure


def _write_noise(values: tuple[float, ...], header: Header) -> bytes:
    noisy = header.target == {"quality": "analysis"}
    return b"".join(_write_figure(value, header) for value in values) if noisy else b""


def _read_noise(cursor: Cursor, found: dict[str, Any]) -> tuple[float, ...]:
    noisy = bool(found["target"] == {"quality": "analysis"})
    return tuple(_read_figure(cursor, found) for _ in range(found["shape"][0] if noisy else 0))


def _write_software(version: str, _: Any) -> bytes:
    """The release that a version is or comes before."""
    numbers = [int(number) for number in re.findall(r"\d+", version)[:3]]
    return b"".join(varint(number) for number in (*numbers, 0, 0, 0)[:3])


def _read_software(cursor: Cursor, _: Any) -> str:
    return ".".join(str(cursor.varint()) for _ in range(3))


_FIELDS = (
    _Field("dtype", lambda dtype, _: bytes([DTYPES.index(dtype)]), _read_dtype),
    _Field("shape", lambda shape, _: b"".join(map(varint, shape)), _read_shape),
    _Field("tile", _write_tile, _read_tile),
    _Field("target", _write_target, _read_target),
    _Field("rmse", _write_figure, _read_figure),
    _Field("max_error", _write_figure, _read_figure),
    _Field("mean_sam_deg", _write_figure, _read_figure),
    _Field("noise_by_band", _write_noise, _read_noise),
    _Field("software", _write_software, _read_software),
)
"""All fields, in the order in which they stand."""
