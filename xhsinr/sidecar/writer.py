"""Writing a sidecar: tiles as they come, in any order, then all of it under its name at once."""

from __future__ import annotations

import json
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from xhsinr.outputs import replacing
from xhsinr.sidecar.file import FORMAT_VERSION, NAMES, UNSIGNED, Header, Sidecar

__all__ = ["SidecarWriter", "front"]


class SidecarWriter:
    """Writes a sidecar: tiles as they come, in any order, then all of it under its name.

    Nothing appears under the final name before `finish` has written all of it to the disk;
    the same tiles give the same bytes in whichever order they came.

    Parameters
    ----------
    path : Path
        Of the file to write; an existing one is replaced.
    tiles : int
        Number of tiles.
    parts : tuple of str
        Names of the parts that tiles may have, in the order in which they are decoded.
    """

    def __init__(self, path: Path, tiles: int, parts: tuple[str, ...]) -> None:
        self._path, self._tiles, self._parts = path, tiles, parts
        self._starts: dict[int, int] = {}
        self._index: dict[int, dict[str, tuple[int, int]]] = {}
        self._spool = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115 (`__exit__` closes it)

    def __enter__(self) -> SidecarWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._spool.close()

    def add(self, tile: int, payload: Mapping[str, bytes]) -> None:
        """Take the parts of a tile; a part that is missing has no bytes."""
        self._starts[tile] = self._spool.tell()
        self._index[tile] = {
            name: (len(payload[name]), google_crc32c.value(payload[name]))
            for name in self._parts
            if payload.get(name)
        }
        self._spool.write(b"".join(payload[name] for name in self._index[tile]))

    @property
    def payload_bytes(self) -> int:
        """Bytes of all tiles added so far."""
        return self._spool.tell()

    def front(self, header: Header, arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
        """Everything that will stand before the tiles, once all of them were added.

        Parameters
        ----------
        header : dict
            All but the parts and the format version.
        arrays : mapping of str to ndarray
            All but the index.
        """
        parts = [name for name in self._parts if any(name in t for t in self._index.values())]
        index = np.array(
            [
                [self._index[tile].get(name, (0, 0)) for name in parts]
                for tile in range(self._tiles)
            ],
            "<u4",
        ).reshape(self._tiles, len(parts), 2)
        header = header | {"version": FORMAT_VERSION, "parts": parts}
        return front(header, {**arrays, "index": index}, self.payload_bytes)

    def size(self, header: Header, arrays: Mapping[str, npt.NDArray[Any]]) -> int:
        """Bytes that the file would have."""
        return len(self.front(header, arrays)) + self.payload_bytes

    def finish(self, header: Header, arrays: Mapping[str, npt.NDArray[Any]]) -> Sidecar:
        """Write the file and open it; parameters as for `front`."""
        start = self.front(header, arrays)
        with replacing(self._path) as part, part.open("wb") as file:
            file.write(start)
            for tile in range(self._tiles):
                size = sum(size for size, _ in self._index[tile].values())
                self._spool.seek(self._starts[tile])
                file.write(self._spool.read(size))
        return Sidecar.open(self._path)


def front(header: Header, arrays: Mapping[str, npt.NDArray[Any]], tiles_bytes: int) -> bytes:
    """Everything before the tiles' payloads: length, header, small arrays, all of it signed."""
    entries: dict[str, Any] = {}
    blobs, position = [], 0
    # Widest items first, so that each array is aligned to its items without padding.
    for name, value in sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0])):
        blob = value.astype(value.dtype.newbyteorder("<")).tobytes()
        entries[name] = {
            "dtype": NAMES[value.dtype.newbyteorder("=")],
            "shape": list(value.shape),
            "data_offsets": [position, position + len(blob)],
        }
        blobs.append(blob)
        position += len(blob)
    entries["tiles"] = {
        "dtype": "U8",
        "shape": [tiles_bytes],
        "data_offsets": [position, position + tiles_bytes],
    }
    canonical = json.dumps(header, sort_keys=True, separators=(",", ":"), allow_nan=False)
    entries = {"__metadata__": {"crc32c": "00000000", "hsinr": canonical}, **entries}
    raw = json.dumps(entries, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % 8)
    small = b"".join(blobs)
    signature = google_crc32c.value(raw + small)
    raw = raw.replace(UNSIGNED, UNSIGNED.replace(b"00000000", b"%08x" % signature), 1)
    return struct.pack("<Q", len(raw)) + raw + small
