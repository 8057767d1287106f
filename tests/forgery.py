"""Sidecars with another header, signed anew, as only somebody with bad intentions writes them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c

__all__ = ["forge"]


def forge(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], Any]) -> None:
    """Change the entries and the header of a sidecar in place; its checksum is right again.

    The header is written as the text that ``change`` returns, if it returns one.
    """
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    entries, rest = json.loads(content[8 : 8 + length]), content[8 + length :]
    small = rest[: entries["tiles"]["data_offsets"][0]]
    header = json.loads(entries["__metadata__"]["hsinr"])
    text = change(entries, header)
    written = text if isinstance(text, str) else json.dumps(header)
    metadata = {"crc32c": "00000000", "hsinr": written}
    entries = {"__metadata__": metadata} | {k: v for k, v in entries.items() if k[0] != "_"}
    raw = json.dumps(entries, separators=(",", ":")).encode()
    signature = b"%08x" % google_crc32c.value(raw + small)
    raw = raw.replace(b"00000000", signature, 1)
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + rest)
