"""The ``mask`` layer: which samples of a tile say nothing, and in which of two ways.

States are 0 (valid), 1 (the scene's nodata value) and 2 (NaN). Bands that share a mask share
its bytes, and a tile that is valid throughout has none.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt

from xhsinr.errors import DamagedSidecarError

__all__ = ["NAN", "NODATA", "VALID", "decode", "encode"]

VALID, NODATA, NAN = 0, 1, 2

States = npt.NDArray[np.uint8]

_HEADER = struct.Struct("<H")


def encode(states: States) -> bytes:
    """Code the states of a tile, shape (bands, rows, cols); empty where all are valid."""
    if not states.any():
        return b""
    flat = states.reshape(len(states), -1)
    # By the bytes: np.unique would sort whole planes.
    numbers: dict[bytes, int] = {}
    of_band = [numbers.setdefault(plane.tobytes(), len(numbers)) for plane in flat]
    planes = flat[np.unique(of_band, return_index=True)[1]]
    bits = np.packbits([planes == NODATA, planes == NAN], axis=-1)
    content = np.array(of_band, "<u2").tobytes() + bits.tobytes()
    return _HEADER.pack(len(planes)) + zlib.compress(content, 9)


def decode(payload: bytes, bands: int, rows: int, cols: int) -> States:
    """The states of a tile, shape (bands, rows, cols).

    Raises
    ------
    DamagedSidecarError
        If the payload is not a mask of that shape.
    """
    if not payload:
        return np.zeros((bands, rows, cols), np.uint8)
    pixels = rows * cols
    try:
        (count,) = _HEADER.unpack_from(payload)
        if not 1 <= count <= bands:
            raise ValueError(f"{count} masks for {bands} bands")
        size = 2 * bands + 2 * count * (-(-pixels // 8))
        inflater = zlib.decompressobj()
        content = inflater.decompress(payload[_HEADER.size :], size + 1)
        if len(content) != size:
            raise ValueError(f"{count} masks need {size} bytes")
        of_band = np.frombuffer(content, "<u2", bands)
        packed = np.frombuffer(content, np.uint8, offset=2 * bands).reshape(2, count, -1)
        nodata, nan = np.unpackbits(packed, axis=-1, count=pixels)
        if (nodata & nan).any():
            raise ValueError("a sample is both nodata and NaN")
        planes = nodata * NODATA + nan * NAN
        states: States = planes[of_band].reshape(bands, rows, cols)
    except (ValueError, IndexError, struct.error, zlib.error) as error:
        raise DamagedSidecarError(f"the mask does not decode: {error}") from error
    return states
