"""The header of a sidecar: a safetensors header, ours within it, each checked before it is used."""

from __future__ import annotations

import json
import math
from typing import Any

import google_crc32c
import numpy as np

from xhsinr.errors import DamagedSidecarError, NotASidecarError, UnsupportedVersionError
from xhsinr.sidecar.limits import Limits
from xhsinr.storage import Place

__all__ = [
    "DTYPES",
    "FORMAT_VERSION",
    "UNSIGNED",
    "Header",
    "check_entries",
    "check_signature",
    "check_size",
    "header_length",
    "parse_header",
]

FORMAT_VERSION = 2
DTYPES = {
    "U8": "u1", "U16": "u2", "U32": "u4", "U64": "u8", "I8": "i1", "I16": "i2", "I32": "i4",
    "I64": "i8", "F16": "f2", "F32": "f4", "F64": "f8", "BOOL": "?",
}  # fmt: skip
UNSIGNED = b'"crc32c":"00000000"'
_MAX_AXES = 8
_MOST_DIGITS = 300

Header = dict[str, Any]


def header_length(content: bytes, place: Place, known: int | None, limits: Limits) -> int:
    """Length of the JSON header, from the first bytes of a file of ``known`` size."""
    length = int.from_bytes(content[:8], "little")
    ours = b'"hsinr"' in content[8:72]
    if len(content) < 8 or length < 2 or (length > limits.header_bytes and not ours):
        raise NotASidecarError(f"{place} is not an xhsinr sidecar: it does not begin like one")
    if known is not None and 8 + length > known:
        raise (DamagedSidecarError if ours else NotASidecarError)(
            f"{place}: its header would have {length} bytes, the file has {known}: "
            "it was cut off, or is not an xhsinr sidecar"
        )
    limits.check("header_bytes", length, f"{place} declares a header of {length:,} bytes")
    return length


def parse_header(raw: bytes, place: Place) -> tuple[dict[str, dict[str, Any]], Header]:
    """The arrays that a safetensors header lists, and ours within it."""
    try:
        entries = json.loads(raw)
        metadata = entries.pop("__metadata__")
        header = json.loads(metadata["hsinr"], parse_int=_integer)
        version = header["version"]
        metadata["crc32c"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if b'"crc32c"' in raw and b'"hsinr"' in raw:
            raise DamagedSidecarError(f"{place}: its header is damaged: {error}") from error
        raise NotASidecarError(f"{place} is not an xhsinr sidecar") from error
    if type(version) is not int or version < 1:
        raise DamagedSidecarError(f"{place}: its header is damaged: format version {version!r}")
    if version < FORMAT_VERSION:
        raise UnsupportedVersionError(
            f"{place} has format version {version}, which was never published and is no longer "
            "read: compress the scene again"
        )
    if version > FORMAT_VERSION:
        raise UnsupportedVersionError(
            f"{place} has format version {version}, this xhsinr reads {FORMAT_VERSION}: "
            "install a newer xhsinr"
        )
    return entries, header


def _integer(text: str) -> int:
    """No number of a header is too large for a float."""
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def check_size(place: Place, found: int, declared: int) -> None:
    """Refuse a file that is not as long as its header declares."""
    if found != declared:
        what = "it was cut off" if found < declared else "something was appended"
        raise DamagedSidecarError(
            f"{place}: {found} bytes where its header declares {declared}: {what}"
        )


def check_entries(entries: dict[str, dict[str, Any]], place: Place) -> dict[str, tuple[int, int]]:
    """Offsets of all arrays, which must follow each other without a gap, ``tiles`` last."""
    offsets: dict[str, tuple[int, int]] = {}
    position = 0
    try:
        for name, entry in entries.items():
            start, end = entry["data_offsets"]
            shape = entry["shape"]
            if len(shape) > _MAX_AXES:
                raise ValueError(f"{name!r} has {len(shape)} axes")
            if any(type(n) is not int or n < 0 for n in (start, end, *shape)):
                raise ValueError(f"{name!r} has a size that is no natural number")
            expected = math.prod(shape) * np.dtype(DTYPES[entry["dtype"]]).itemsize
            if start != position or end - start != expected:
                raise ValueError(f"{name!r} overlaps, leaves a gap or has the wrong size")
            offsets[name] = (start, end)
            position = end
        if list(offsets)[-1] != "tiles":
            raise ValueError("tiles are not last")
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DamagedSidecarError(f"{place}: its header is damaged: {error}") from error
    return offsets


def check_signature(
    raw: bytes, small: bytes, entries: dict[str, dict[str, Any]], place: Place
) -> None:
    """Refuse a header or small arrays that are not those of the checksum."""
    stored = json.loads(raw)["__metadata__"]["crc32c"]
    found = "none"
    if isinstance(stored, str) and stored.isascii():
        signed = b'"crc32c":"%s"' % stored.encode()
        found = f"{google_crc32c.value(raw.replace(signed, UNSIGNED, 1) + small):08x}"
    if found != stored:
        raise DamagedSidecarError(
            f"{place}: checksum of its header and index is {found}, stored {stored}: "
            "the file is damaged"
        )
