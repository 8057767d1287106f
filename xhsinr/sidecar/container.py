"""The safetensors file around a sidecar: a length, a JSON header, and one array of bytes."""

from __future__ import annotations

import re
import struct

from xhsinr.errors import DamagedSidecarError, NotASidecarError, UnsupportedVersionError
from xhsinr.storage import Place

__all__ = ["Outside", "outside", "read_outside"]

_LENGTH = struct.Struct("<Q")
_JSON = '{{"h":{{"dtype":"U8","shape":[{0}],"data_offsets":[0,{0}]}}}}'
_PATTERN = re.compile(
    rb'\{"h":\{"dtype":"U8","shape":\[(\d{1,18})\],"data_offsets":\[0,(\d{1,18})\]\}\}'
)
# No container is longer, and first bytes with this in them are of a file of format 1.
_LONGEST = 128
_FORMAT_1 = b'{"__metadata__":{"crc32c":"'

Outside = tuple[int, int]
"""Bytes before the array of bytes, and bytes in it."""


def outside(size: int) -> bytes:
    """What stands before an array of so many bytes."""
    header = _JSON.format(size).encode()
    return _LENGTH.pack(len(header)) + header


def read_outside(content: bytes, place: Place) -> Outside:
    """Read what `outside` wrote, at the beginning of ``content``.

    Raises
    ------
    NotASidecarError, UnsupportedVersionError, DamagedSidecarError
    """
    if content[8:].startswith(_FORMAT_1):
        raise UnsupportedVersionError(
            f"{place} has format version 1, which was never published and is no longer read: "
            "compress the scene again"
        )
    ours = content[8:31] == b'{"h":{"dtype":"U8","sha'
    length = int.from_bytes(content[:8], "little")
    found = _PATTERN.fullmatch(content[8 : 8 + length]) if length <= _LONGEST else None
    if found is None or found[1] != found[2] or outside(int(found[1])) != content[: 8 + length]:
        if ours:
            raise DamagedSidecarError(f"{place}: its first bytes are damaged, or were cut off")
        raise NotASidecarError(f"{place} is not an xhsinr sidecar: it does not begin like one")
    return 8 + length, int(found[1])
