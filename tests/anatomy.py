"""A sidecar taken apart, to be put together again with other parts and a checksum that is right."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import google_crc32c

from xhsinr.entropy.cursor import Cursor, varint
from xhsinr.sidecar.container import outside, read_outside
from xhsinr.sidecar.file import CRC
from xhsinr.sidecar.header import FORMAT_VERSION, Header
from xhsinr.sidecar.index import Index

__all__ = ["Anatomy"]


@dataclass(frozen=True)
class Anatomy:
    """The parts of a sidecar, in the order in which they stand."""

    header: bytes
    description: bytes
    index: bytes
    codec: bytes
    tiles: bytes
    version: int = FORMAT_VERSION

    @classmethod
    def of(cls, path: Path) -> Anatomy:
        content = path.read_bytes()
        begin, _ = read_outside(content, path)
        cursor = Cursor(content[begin:], "a sidecar")
        cursor.byte()
        length = cursor.varint()
        at = cursor.at
        header = Header.from_bytes(cursor)
        header_bytes = content[begin + at : begin + cursor.at]
        description = cursor.take(cursor.varint())
        at = cursor.at
        Index.from_bytes(cursor, len(header.tiling), 8, header.rmse, header.max_error)
        index = content[begin + at : begin + cursor.at]
        codec = cursor.take(length - CRC.size - cursor.at)
        return cls(header_bytes, description, index, codec, content[begin + length :])

    def with_(self, **parts: Any) -> Anatomy:
        """With other bytes in place of some."""
        return replace(self, **parts)

    def to_bytes(self) -> bytes:
        """The file, signed."""
        described = varint(len(self.description)) + self.description
        rest = self.header + described + self.index + self.codec
        length = 1 + len(rest) + CRC.size
        length += len(varint(length + len(varint(length))))
        inside = bytes([self.version]) + varint(length) + rest
        signed = outside(length + len(self.tiles)) + inside
        return signed + CRC.pack(google_crc32c.value(signed)) + self.tiles
