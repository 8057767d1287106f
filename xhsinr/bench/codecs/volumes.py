"""Coders of floating-point volumes, such as SPERR and SZ3, on cubes of any type.

A volume is a cube as floats, bands first or last, less the mean of each band. A bound on
integers is met when the volume is off by less than the bound and a half: rounding does the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr import metrics
from xhsinr.bench.codecs import Codec, Cube, Target
from xhsinr.bench.codecs.common import as_type, band_means, nearest, pack_shape, unpack_shape
from xhsinr.errors import TargetError

__all__ = ["decode", "encode_bounded", "encode_searched"]

Volume = npt.NDArray[np.floating[Any]]

_BANDS_FIRST, _BANDS_LAST = b"\0", b"\1"
# What a volume may be off beyond an integer bound, and what a bound on floats keeps in hand.
_ROUNDING, _MARGIN = 0.49, 1 - 2.0**-10


def encode_bounded(
    codec: Codec, cube: Cube, target: Target, code: Callable[[Volume, float], bytes]
) -> bytes:
    """The smallest arrangement within a bound, or lossless for integers.

    Parameters
    ----------
    codec : Codec
        Its `decode` is what the bound is measured on.
    cube : ndarray, shape (rows, cols, bands)
    target : Target
        Of kind ``max_error`` or ``lossless``.
    code : callable
        From a volume and the bound that it has to keep to bytes.

    Raises
    ------
    TargetError
        If floats are to be lossless, or the bound does not hold.
    """
    if cube.dtype.kind != "f":
        bound = math.floor(target.value) + _ROUNDING
    elif target.kind == "max_error":
        bound = target.value * _MARGIN
    else:
        raise TargetError(f"{codec.name} is lossless for integers only: give floats a bound")
    attempts = [head + code(volume, bound) for head, volume in _arrangements(cube)]
    for payload in sorted(attempts, key=len):
        if metrics.max_error(cube, codec.decode(payload)) <= target.value:
            return payload
    raise TargetError(f"{codec.name} breaks {target} in every arrangement")


def encode_searched(
    codec: Codec,
    cube: Cube,
    target: Target,
    code: Callable[[Volume, float], bytes],
    finest: float,
    coarsest: float,
) -> bytes:
    """The best arrangement at the step that meets a target; ``code`` takes volume and step."""
    best: tuple[float, bytes] | None = None
    for head, volume in _arrangements(cube):
        found = nearest(
            codec.decode,
            cube,
            target,
            lambda step: head + code(volume, step),  # noqa: B023
            finest,
            coarsest,
        )
        if found is not None:
            by_size = target.kind != "bpppb"
            payload = found.payload
            merit = -len(payload) if by_size else metrics.psnr(cube, codec.decode(payload))
            if best is None or merit > best[0]:
                best = merit, payload
    if best is None:
        raise TargetError(f"{codec.name} cannot reach {target} at any of its settings")
    return best[1]


def decode(
    payload: bytes, decode_volume: Callable[[bytes, tuple[int, ...], np.dtype[Any]], Volume]
) -> Cube:
    """The cube; ``decode_volume`` takes bytes, shape and data type of the volume."""
    shape, dtype, rest = unpack_shape(payload)
    order, rest = rest[:1], rest[1:]
    end = shape[2] * dtype.itemsize
    mean = np.frombuffer(rest[:end], dtype).astype(_volume_type(dtype))
    stored = shape if order == _BANDS_LAST else (shape[2], *shape[:2])
    volume = decode_volume(rest[end:], stored, mean.dtype)
    cube = volume if order == _BANDS_LAST else volume.transpose(1, 2, 0)
    return as_type(cube + mean, dtype)


def _arrangements(cube: Cube) -> list[tuple[bytes, Volume]]:
    """Head and volume, bands first and bands last."""
    mean = band_means(cube)
    floats = _volume_type(cube.dtype)
    centred = cube.astype(floats) - mean.astype(floats)
    volumes = (_BANDS_FIRST, centred.transpose(2, 0, 1)), (_BANDS_LAST, centred)
    return [
        (pack_shape(cube) + order + mean.tobytes(), np.ascontiguousarray(volume))
        for order, volume in volumes
    ]


def _volume_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    wide = dtype.itemsize > 4 or (dtype.kind != "f" and dtype.itemsize > 2)
    return np.dtype(np.float64 if wide else np.float32)
