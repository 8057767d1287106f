"""A codec in a sidecar: header and arrays <-> `Codec`."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.coding import mask
from xhsinr.coding.codec import BoundCoding, Codec, LatentCoding
from xhsinr.errors import (
    DamagedSidecarError,
    NetworkDigestError,
    NetworkError,
    NetworkNotFoundError,
)
from xhsinr.network.base import BaseNetwork, load_network
from xhsinr.network.remote import fetch_network
from xhsinr.sidecar.file import Sidecar
from xhsinr.spectral.basis import SpectralBasis
from xhsinr.storage import Place

__all__ = ["codec_of", "describe_codec"]

# File systems take 255 bytes, and the digest and the suffix come on top.
_LONGEST_NAME = 200
_STATES = {"nodata": mask.NODATA, "nan": mask.NAN}


def describe_codec(codec: Codec) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """What the header and the arrays have to hold for `codec_of`."""
    header: dict[str, Any] = {"range": [_plain(codec.low), _plain(codec.high)]}
    invalid = {name: _ranges(codec.states == state) for name, state in _STATES.items()}
    invalid["mixed"] = _ranges(~codec.live & (codec.states == mask.VALID))
    if any(invalid.values()):
        header["invalid_bands"] = {name: ranges for name, ranges in invalid.items() if ranges}
    if codec.nodata is not None and codec.nodata == codec.nodata:
        # JSON has no infinity.
        finite = np.isfinite(codec.nodata)
        header["nodata"] = _plain(codec.nodata) if finite else str(float(codec.nodata))
    if codec.latents is not None:
        network = codec.latents.network
        header["latents"] = {
            "network": network.name,
            "sha256": network.digest,
            "network_bytes": network.file_bytes,
            "patch": network.patch,
            "unit": codec.latents.unit,
        }
        if network.contexts is None:
            header["latents"] |= {"level": codec.latents.level, "offset": codec.latents.offset}
    if codec.bound is not None:
        header["bound"] = {
            "max_error": codec.bound.max_error,
            "exponent": codec.bound.exponent,
            "exact_floats": codec.bound.exact_floats,
        }
    return header, {"basis": np.frombuffer(codec.basis.to_bytes(), np.uint8)}


def codec_of(sidecar: Sidecar) -> Codec:
    """The codec that a sidecar's tiles decode with; finds and loads its base network.

    Raises
    ------
    DamagedSidecarError, NetworkNotFoundError, NetworkDigestError
    """
    header, path = sidecar.header, sidecar.name
    try:
        codec = _codec(sidecar)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise DamagedSidecarError(f"{path}: its header contradicts itself: {error}") from error
    if "latents" not in header:
        return codec
    try:
        coding = header["latents"]
        name, digest, unit = str(coding["network"]), str(coding["sha256"]), float(coding["unit"])
        level, offset = int(coding.get("level", 0)), float(coding.get("offset", 0))
        # A name from a file is a name: no path, which would be followed.
        path_like = Path(name).name != name or Path(name).suffix == ".safetensors"
        if (
            path_like
            or len(name) > _LONGEST_NAME
            or abs(level) > 1000
            or not (math.isfinite(unit) and math.isfinite(offset))
        ):
            raise ValueError(f"latents {coding}")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DamagedSidecarError(f"{path}: its header contradicts itself: {error}") from error
    try:
        network = _network(name, digest, sidecar.place)
    except NetworkError as error:
        raise type(error)(f"{path} needs it: {error}") from error
    return replace(codec, latents=LatentCoding(network, level, unit, offset))


def _network(name: str, digest: str, place: Place) -> BaseNetwork:
    """The base network, found on this machine, or beside a sidecar that is behind a URL."""
    if isinstance(place, Path):
        return load_network(name, digest=digest, near=place)
    try:
        return load_network(name, digest=digest)
    except (NetworkNotFoundError, NetworkDigestError):
        return fetch_network(name, digest, place)


def _codec(sidecar: Sidecar) -> Codec:
    header = sidecar.header
    bands = sidecar.shape[0]
    states = np.zeros(bands, np.uint8)
    invalid = header.get("invalid_bands", {})
    for name, state in _STATES.items():
        states[_mask_of(invalid.get(name, []), bands)] = state
    live = (states == mask.VALID) & ~_mask_of(invalid.get("mixed", []), bands)
    low, high = (_sample(value, sidecar.dtype) for value in header["range"])
    nodata = header.get("nodata")
    if isinstance(nodata, str):
        nodata = float(nodata)
    if nodata is not None:
        nodata = _sample(nodata, sidecar.dtype)
    bound = None
    if "bound" in header:
        coding = header["bound"]
        bound = BoundCoding(
            int(coding["max_error"]), int(coding["exponent"]), bool(coding["exact_floats"])
        )
        if not 0 <= bound.max_error < 1 << 40 or abs(bound.exponent) > 1100:
            raise ValueError(f"bound {coding}")
    return Codec(
        dtype=sidecar.dtype,
        states=states,
        live=live,
        low=low,
        high=high,
        nodata=nodata,
        basis=SpectralBasis.from_bytes(sidecar.arrays["basis"].tobytes(), int(live.sum())),
        bound=bound,
    )


def _plain(value: Any) -> int | float:
    number: int | float = np.asarray(value).item()
    return number


def _sample(value: Any, dtype: np.dtype[Any]) -> int | float:
    """A number of the header that has to be a value of the samples' type."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no number")
    if dtype.kind != "f":
        limits = np.iinfo(dtype)
        if value != int(value) or not limits.min <= value <= limits.max:
            raise ValueError(f"{value!r} is no value of {dtype}")
        return int(value)
    return float(value)


def _ranges(flags: npt.NDArray[np.bool_]) -> list[list[int]]:
    """First and last index of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    return [[int(start), int(stop) - 1] for start, stop in edges.reshape(-1, 2)]


def _mask_of(ranges: Any, bands: int) -> npt.NDArray[np.bool_]:
    flags = np.zeros(bands, np.bool_)
    if len(ranges) > bands:
        raise ValueError(f"{len(ranges)} ranges of {bands} bands")
    for first, last in ranges:
        if not 0 <= first <= last < bands:
            raise ValueError(f"bands {first} to {last} of {bands}")
        flags[first : last + 1] = True
    return flags
