"""Writing a sidecar: tiles as they come, in any order, then all of it under its name at once."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import numpy as np

from xhsinr.entropy.cursor import varint
from xhsinr.metrics import Quality
from xhsinr.outputs import replacing
from xhsinr.sidecar.container import outside
from xhsinr.sidecar.file import CRC, Sidecar
from xhsinr.sidecar.header import FORMAT_VERSION, Header
from xhsinr.sidecar.index import Index

__all__ = ["Contents", "SidecarWriter", "least_front"]


@dataclass(frozen=True)
class Contents:
    """What a sidecar holds besides its tiles.

    Attributes
    ----------
    header : Header
    description : bytes
        Of `xhsinr.sidecar.description.write_description`.
    codec : bytes
        Of `xhsinr.coding.tile.TileCodec.to_bytes`.
    """

    header: Header
    description: bytes
    codec: bytes


@dataclass(frozen=True)
class _Tile:
    start: int
    sizes: tuple[int, ...]
    crc: int
    rmse: float
    max_error: float


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
        self._path, self._count, self._parts = path, tiles, parts
        self._tiles: dict[int, _Tile] = {}
        self._spool = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115 (`__exit__` closes it)

    def __enter__(self) -> SidecarWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self._spool.close()

    def add(self, number: int, payload: Mapping[str, bytes], quality: Quality) -> None:
        """Take the parts of a tile, one that is missing has no bytes, and how good it is."""
        parts = [payload.get(name, b"") for name in self._parts]
        content = b"".join(parts)
        rmse = quality.rmse if quality.samples else 0.0
        crc = google_crc32c.value(content)
        sizes = tuple(map(len, parts))
        self._tiles[number] = _Tile(self._spool.tell(), sizes, crc, rmse, quality.max_error)
        self._spool.write(content)

    @property
    def payload_bytes(self) -> int:
        """Bytes of all tiles added so far."""
        return self._spool.tell()

    def front(self, contents: Contents) -> bytes:
        """Everything that will stand before the tiles, once all of them were added."""
        tiles = [self._tiles[number] for number in range(self._count)]
        sizes = np.array([tile.sizes for tile in tiles], np.int64)
        used = np.asarray(sizes.any(axis=0))
        index = Index(
            used=tuple(used.tolist()),
            sizes=sizes[:, used],
            crcs=np.array([tile.crc for tile in tiles], np.uint32),
            errors=np.array([(tile.rmse, tile.max_error) for tile in tiles]),
        )
        return _front(contents, index, self.payload_bytes)

    def size(self, contents: Contents) -> int:
        """Bytes that the file would have."""
        return len(self.front(contents)) + self.payload_bytes

    def finish(self, contents: Contents) -> Sidecar:
        """Write the file and open it.

        Raises
        ------
        LimitError
            If readers would refuse it; a file that was there stays.
        """
        start = self.front(contents)
        with replacing(self._path) as part:
            with part.open("wb") as file:
                file.write(start)
                for number in range(self._count):
                    tile = self._tiles[number]
                    self._spool.seek(tile.start)
                    file.write(self._spool.read(sum(tile.sizes)))
            Sidecar.open(part).check_size()
        return Sidecar.open(self._path)


def least_front(description: bytes) -> int:
    """Bytes before the tiles that a scene of this description takes at least."""
    return len(outside(len(description))) + len(description)


def _front(contents: Contents, index: Index, tiles_bytes: int) -> bytes:
    header = contents.header
    rest = b"".join(
        [
            header.to_bytes(),
            varint(len(contents.description)),
            contents.description,
            index.to_bytes(header.rmse, header.max_error),
            contents.codec,
        ]
    )
    length = 1 + len(rest) + CRC.size  # and the varint of the length itself
    length += len(varint(length + len(varint(length))))
    inside = bytes([FORMAT_VERSION]) + varint(length) + rest
    signed = outside(length + tiles_bytes) + inside
    return signed + CRC.pack(google_crc32c.value(signed))
