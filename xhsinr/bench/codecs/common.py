"""What the codecs share: a header, samples in their data type, and the search for a target."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from xhsinr import metrics
from xhsinr.bench.codecs import Codec, Cube, Target
from xhsinr.errors import TargetError

__all__ = [
    "Found",
    "as_type",
    "band_means",
    "check",
    "join",
    "nearest",
    "pack_shape",
    "search",
    "split",
    "unpack_shape",
    "wavelets",
]

_SHAPE = struct.Struct("<HHH2s")
_LENGTH = struct.Struct("<I")
_TRIES, _NARROWEST = 18, 1e-4
# Close enough: log of the share of the bytes allowed, dB above a PSNR, log of the share of a bound.
_CLOSE = {"bpppb": 0.002, "psnr": 0.01, "max_error": 0.002}


def check(codec: Codec, target: Target) -> None:
    """Refuse a target of a kind that a codec does not take."""
    if target.kind not in codec.kinds:
        kinds = ", ".join(sorted(codec.kinds))
        raise TargetError(f"{codec.name} takes targets of {kinds}, not {target.kind}")


def pack_shape(cube: Cube) -> bytes:
    """Eight bytes that say shape and data type; `unpack_shape` reads them."""
    return _SHAPE.pack(*cube.shape, cube.dtype.str[1:].encode())


def unpack_shape(payload: bytes) -> tuple[tuple[int, int, int], np.dtype[Any], bytes]:
    """Shape, data type, and the bytes that follow what `pack_shape` wrote."""
    rows, cols, bands, dtype = _SHAPE.unpack_from(payload)
    return (rows, cols, bands), np.dtype(dtype.decode()), payload[_SHAPE.size :]


def join(*parts: bytes) -> bytes:
    """One string of bytes from several, for `split`; the last one costs nothing."""
    return b"".join(_LENGTH.pack(len(part)) + part for part in parts[:-1]) + parts[-1]


def split(payload: bytes, count: int) -> list[bytes]:
    """The ``count`` parts that `join` put together."""
    parts = []
    for _ in range(count - 1):
        (length,) = _LENGTH.unpack_from(payload)
        parts.append(payload[_LENGTH.size : _LENGTH.size + length])
        payload = payload[_LENGTH.size + length :]
    return [*parts, payload]


def as_type(values: npt.NDArray[Any], dtype: np.dtype[Any]) -> Cube:
    """Real samples in a data type: integers are rounded and kept within its limits."""
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    rounded: Cube = np.rint(values).astype(np.float64).clip(limits.min, limits.max).astype(dtype)
    return rounded


def band_means(cube: Cube) -> Cube:
    """The mean of each band, shape (bands,), in the cube's own data type."""
    return as_type(cube.mean(axis=(0, 1), dtype=np.float64), cube.dtype)


class Found(NamedTuple):
    """Complete bytes and the step that gave them."""

    payload: bytes
    step: float


def search(
    codec: Codec,
    cube: Cube,
    target: Target,
    code: Callable[[float], bytes],
    finest: float,
    coarsest: float,
) -> bytes:
    """The bytes at the step of a quantiser that meets a target best.

    Parameters
    ----------
    codec : Codec
        Its `decode` says what a step reaches.
    cube : ndarray, shape (rows, cols, bands)
    target : Target
        Of kind ``bpppb``, ``psnr`` or ``max_error``.
    code : callable
        From a step to complete bytes: the coarser, the fewer.
    finest, coarsest : float
        Above zero: no other steps are tried.

    Raises
    ------
    TargetError
        If no step meets the target.
    """
    easiest = coarsest if target.kind == "bpppb" else finest
    found = nearest(codec.decode, cube, target, code, finest, coarsest)
    if found is None:
        # Steps close in on the easiest end; what it reaches tells why nothing did.
        _, reached = _excess(codec.decode, cube, target, code(easiest))
        raise TargetError(f"{codec.name} cannot reach {target}: {reached} at its limit")
    return found.payload


def nearest(
    decode: Callable[[bytes], Cube],
    cube: Cube,
    target: Target,
    code: Callable[[float], bytes],
    finest: float,
    coarsest: float,
    start: float | None = None,
) -> Found | None:
    """As `search`, from a step to start with if one is known; None where no step meets it.

    Secants on the log of the step, with bisection wherever these leave the bracket or stall.
    """
    low, high = math.log(finest), math.log(coarsest)
    place = 0.5 * (low + high) if start is None else math.log(start)
    best: Found | None = None
    last: tuple[float, float] | None = None
    for number in range(1, _TRIES + 1):
        payload = code(math.exp(place))
        excess, _ = _excess(decode, cube, target, payload)
        if excess <= 0:
            best = Found(payload, math.exp(place))
            if excess >= -_CLOSE[target.kind]:
                break
        # A rate wants the finest step that fits, a quality the coarsest that reaches it.
        if (excess <= 0) == (target.kind == "bpppb"):
            high = place
        else:
            low = place
        following = math.nan
        if last is not None and number % 4 and excess != last[1]:
            slope = (excess - last[1]) / (place - last[0])
            following = place - (excess + 0.4 * _CLOSE[target.kind]) / slope
        last = place, excess
        place = following if low < following < high else 0.5 * (low + high)
        if high - low < _NARROWEST:
            break
    return best


def _excess(
    decode: Callable[[bytes], Cube], cube: Cube, target: Target, payload: bytes
) -> tuple[float, str]:
    """By how much a payload misses a target, below zero where it meets it; what it reaches."""
    if target.kind == "bpppb":
        size = len(payload)
        rate = metrics.bpppb(size, cube.size)
        return math.log(size / max(target.size(cube), 1)), f"{rate:.4f} bpppb"
    decoded = decode(payload)
    if target.kind == "psnr":
        psnr = metrics.psnr(cube, decoded)
        return target.value - psnr, f"{psnr:.2f} dB"
    error = metrics.max_error(cube, decoded)
    return math.log(max(error, 1e-300) / target.value), f"off by {error:g}"


def wavelets() -> Any:
    """PyWavelets, which only the benchmark needs."""
    try:
        import pywt
    except ImportError as error:
        raise TargetError(
            "wavelets need PyWavelets, which is not installed: pip install 'xhsinr[bench]'"
        ) from error
    return pywt
