"""A sidecar taken apart, to be put together again with other parts and checksums that are right."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, replace

import google_crc32c

__all__ = ["Anatomy"]


@dataclass(frozen=True)
class Anatomy:
    """The parts of a sidecar: header (JSON text), entries, bytes of its arrays, tiles."""

    header: str
    entries: dict[str, dict[str, object]]
    arrays: dict[str, bytes]
    tiles: bytes

    @classmethod
    def of(cls, content: bytes) -> Anatomy:
        length = int.from_bytes(content[:8], "little")
        entries = json.loads(content[8 : 8 + length])
        rest = content[8 + length :]
        header = entries.pop("__metadata__")["hsinr"]
        arrays = {name: rest[slice(*entry["data_offsets"])] for name, entry in entries.items()}
        return cls(header, entries, arrays, arrays.pop("tiles"))

    def with_header(self, header: str) -> Anatomy:
        return replace(self, header=header)

    def with_array(self, name: str, content: bytes) -> Anatomy:
        """With other bytes in an array, cut or filled up to the size that it has."""
        size = len(self.arrays[name])
        return replace(self, arrays=self.arrays | {name: content[:size].ljust(size, b"\0")})

    def with_tiles(self, content: bytes) -> Anatomy:
        """With other bytes of tiles, cut or filled up, and their checksums in the index."""
        size = len(self.tiles)
        content = content[:size].ljust(size, b"\0")
        index, start = bytearray(self.arrays["index"]), 0
        for at in range(0, len(index), 8):
            end = start + int.from_bytes(index[at : at + 4], "little")
            struct.pack_into("<I", index, at + 4, google_crc32c.value(content[start:end]))
            start = end
        return replace(self.with_array("index", bytes(index)), tiles=content)

    def to_bytes(self) -> bytes:
        """The file, signed; arrays of bytes have the length that they have."""
        metadata = {"crc32c": "00000000", "hsinr": self.header}
        entries, start = {}, 0
        for name, content in (*self.arrays.items(), ("tiles", self.tiles)):
            end = start + len(content)
            entries[name] = self.entries[name] | {"data_offsets": [start, end]}
            if entries[name]["dtype"] == "U8":
                entries[name]["shape"] = [end - start]
            start = end
        raw = json.dumps({"__metadata__": metadata, **entries}, separators=(",", ":")).encode()
        raw += b" " * (-len(raw) % 8)
        small = b"".join(self.arrays.values())
        signature = b"%08x" % google_crc32c.value(raw + small)
        raw = raw.replace(b"00000000", signature, 1)
        return struct.pack("<Q", len(raw)) + raw + small + self.tiles
