"""The sidecar: one compressed scene in one ``.hsinr`` file, a valid safetensors file.

Before the tiles stands a front: version, header, description of the scene, index, codec, and one
CRC32C of everything up to there. The tiles follow, one behind the other.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from xhsinr.coding.contract import NetworkUse
from xhsinr.coding.tile import CodecBytes, TileCodec
from xhsinr.entropy.cursor import Cursor
from xhsinr.errors import (
    ChangedSidecarError,
    DamagedSidecarError,
    NetworkError,
    SidecarError,
    UnsupportedVersionError,
)
from xhsinr.sidecar.container import read_outside
from xhsinr.sidecar.description import Description, read_description
from xhsinr.sidecar.header import FORMAT_VERSION, Header
from xhsinr.sidecar.index import Index
from xhsinr.sidecar.limits import Limits, current_limits
from xhsinr.storage import Place, locate, read_range, size_of
from xhsinr.tiling import Tiling

__all__ = ["CRC", "Sidecar"]

CRC = struct.Struct("<I")

# Bytes of the first read, which is all that opening takes for most files.
_FIRST_READ = 1 << 16
_MOST_PARTS = 8


@dataclass(frozen=True, eq=False)
class Sidecar:
    """An open sidecar: what stands before its tiles is read and checked, its tiles are not yet.

    Holds no file handle, so it can be pickled and read from many threads.

    Attributes
    ----------
    place : Path or str
        The path of a file on this machine, or a URL.
    header : Header
    description_content, codec_content : bytes
        See `description` and `codec_bytes`.
    index : Index
    index_bytes : int
        That the index takes in the file.
    tiles_start : int
        Where in the file the tiles begin.
    file_bytes : int
        Size of the file.
    front_crc : int
        CRC32C of all bytes before the tiles, backwards, by which a replaced file is told.
    limits : Limits
        Those in force when it was opened.
    beginning : bytes
        Of a file behind a URL: what the first request brought, which is not asked for again.
    """

    place: Place
    header: Header
    description_content: bytes
    codec_content: bytes
    index: Index
    index_bytes: int
    tiles_start: int
    file_bytes: int
    front_crc: int
    limits: Limits
    beginning: bytes = field(default=b"", repr=False)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, whole: bool = True) -> Sidecar:
        """Read and check what stands before the tiles of a sidecar.

        The first 64 KiB are read in one piece, what else stands before the tiles in a second.

        Parameters
        ----------
        path : str or path
            Of the file, or a URL that fsspec knows (``http://``, ``s3://``, ...). The size of a
            file behind a URL is not asked for, see `check_size`.
        whole : bool
            Refuse a file on this machine that was cut off or has something appended. Without
            it, the tiles that are there can be read.

        Raises
        ------
        FileNotFoundError, NotASidecarError, UnsupportedVersionError, DamagedSidecarError,
        ChangedSidecarError, LimitError, RemoteError
        """
        place = locate(path)
        content = read_range(place, 0, _FIRST_READ)
        try:
            return cls._read(place, content, whole)
        except DamagedSidecarError as error:
            if read_range(place, 0, _FIRST_READ) == content:
                raise
            raise ChangedSidecarError(
                f"{place} was replaced while it was opened: open it again"
            ) from error

    @classmethod
    def _read(cls, place: Place, content: bytes, whole: bool) -> Sidecar:
        """Open the file that begins with ``content``."""
        limits = current_limits()
        known = size_of(place) if isinstance(place, Path) else None
        if len(content) < _FIRST_READ:
            known = len(content)
        begin, inside = read_outside(content, place)
        with _named(place):
            cursor = Cursor(content[begin:], "what stands before its tiles")
            _check_version(cursor.byte())
            start = begin + cursor.varint()
        limits.check("front_bytes", start, f"{place} declares {start:,} bytes before its tiles")
        file_bytes = begin + inside
        if known is not None and whole:
            _check_size(place, known, file_bytes)
        content += read_range(place, len(content), start)
        if len(content) < start:
            _check_size(place, len(content), file_bytes)
        _check_signature(content[:start], place)
        with _named(place):
            head = cursor.at
            cursor = Cursor(content[begin : start - CRC.size], "what stands before its tiles")
            cursor.take(head)
            header = Header.from_bytes(cursor)
            _check_limits(header, limits, place)
            description = cursor.take(cursor.varint())
            at = cursor.at
            tiles = len(header.tiling)
            index = Index.from_bytes(cursor, tiles, _MOST_PARTS, header.rmse, header.max_error)
            index_bytes = cursor.at - at
            found = int(index.sizes.sum())
            if found != file_bytes - start:
                raise DamagedSidecarError(
                    f"its index adds up to {found} bytes of tiles, the file has "
                    f"{file_bytes - start}"
                )
        return cls(
            place=place,
            header=header,
            description_content=description,
            codec_content=cursor.rest(),
            index=index,
            index_bytes=index_bytes,
            tiles_start=start,
            file_bytes=file_bytes,
            front_crc=_front_crc(content[:start]),
            limits=limits,
            beginning=content if isinstance(place, str) else b"",
        )

    @property
    def name(self) -> str:
        """Path or URL, as text."""
        return str(self.place)

    @property
    def path(self) -> Path:
        """Path of a file on this machine.

        Raises
        ------
        SidecarError
            If it is behind a URL.
        """
        if isinstance(self.place, Path):
            return self.place
        raise SidecarError(f"{self.place} is no file on this machine: download it first")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(bands, rows, cols)."""
        return self.header.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.header.dtype

    @property
    def samples(self) -> int:
        return math.prod(self.shape)

    @cached_property
    def tiling(self) -> Tiling:
        return self.header.tiling

    @property
    def description(self) -> Description:
        """What the scene says of itself: a JSON object and small arrays, read anew.

        Raises
        ------
        DamagedSidecarError
        """
        with _named(self.place):
            limits = self.limits
            return read_description(
                self.description_content, limits.header_bytes, limits.array_bytes
            )

    @cached_property
    def codec_bytes(self) -> CodecBytes:
        """The codec, whose network may be missing.

        Raises
        ------
        DamagedSidecarError, UnsupportedVersionError
        """
        with _named(self.place):
            return CodecBytes.split(self.codec_content, self.dtype, self.shape[0])

    @property
    def network_use(self) -> NetworkUse | None:
        """The network that its coding needs, if it is not the package's own.

        Raises
        ------
        DamagedSidecarError, UnsupportedVersionError
        """
        with _named(self.place):
            return self.codec_bytes.network_use

    def codec(self) -> TileCodec:
        """The codec that the tiles decode with; finds and loads its base network.

        Raises
        ------
        DamagedSidecarError, UnsupportedVersionError, NetworkNotFoundError, NetworkDigestError,
        NetworkError
        """
        try:
            with _named(self.place):
                return TileCodec.from_bytes(
                    self.codec_content, self.dtype, self.shape[0], self.place
                )
        except NetworkError as error:
            raise type(error)(f"{self.name} needs it: {error}") from error

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts of its tiles, in the order in which they are decoded.

        Raises
        ------
        DamagedSidecarError, UnsupportedVersionError
        """
        with _named(self.place):
            return self.index.names(self.codec_bytes.parts)

    @cached_property
    def _starts(self) -> npt.NDArray[np.int64]:
        sizes = self.index.sizes.sum(axis=1)
        starts: npt.NDArray[np.int64] = self.tiles_start + np.cumsum(sizes) - sizes
        return starts

    def payload(self, tile: int) -> dict[str, bytes]:
        """Bytes of each part of a tile, after checking their checksum.

        Raises
        ------
        DamagedSidecarError
            Naming the file and the tile.
        """
        sizes = self.index.sizes[tile]
        start, size = int(self._starts[tile]), int(sizes.sum())
        content = self.beginning[start : start + size]
        if len(content) < size:
            content = read_range(self.place, start, start + size)
        stored, found = int(self.index.crcs[tile]), google_crc32c.value(content)
        if len(content) != size or found != stored:
            self._check_unchanged()
            what = "is damaged" if len(content) == size else "was cut off"
            others = "; `xhsinr salvage SRC DST` saves the others" if len(self.tiling) > 1 else ""
            raise DamagedSidecarError(
                f"{self.name}: tile {tile}: checksum {found:08x}, stored {stored:08x}: the tile "
                f"{what}{others}"
            )
        ends = np.cumsum(sizes).tolist()
        return {
            name: content[end - size : end]
            for name, end, size in zip(self.parts, ends, sizes.tolist(), strict=True)
        }

    def check_size(self) -> None:
        """Check that the file is as long as its header says; asks a server for its size.

        Raises
        ------
        DamagedSidecarError, ChangedSidecarError, RemoteError
        """
        found = size_of(self.place)
        if found != self.file_bytes:
            self._check_unchanged()
        _check_size(self.place, found, self.file_bytes)

    def _check_unchanged(self) -> None:
        """What stands before the tiles is compared with what was read when it was opened."""
        front = read_range(self.place, 0, self.tiles_start)
        if _front_crc(front) != self.front_crc:
            raise ChangedSidecarError(
                f"{self.name} was replaced, or is being written, since it was opened: open it again"
            )


def _front_crc(front: bytes) -> int:
    """CRC32C of what stands before the tiles and of its checksum.

    Backwards: that of bytes and of their own checksum after them is the same number for all.
    """
    return int(google_crc32c.value(front[::-1]))


@contextmanager
def _named(place: Place) -> Iterator[None]:
    """Errors of what is inside name the file."""
    try:
        yield
    except (DamagedSidecarError, UnsupportedVersionError) as error:
        if str(error).startswith(f"{place}: "):
            raise
        raise type(error)(f"{place}: {error}") from error


def _check_version(version: int) -> None:
    if version != FORMAT_VERSION:
        raise UnsupportedVersionError(
            f"it has format version {version}, this xhsinr reads {FORMAT_VERSION}: install a newer "
            "xhsinr"
        )


def _check_size(place: Place, found: int, declared: int) -> None:
    if found != declared:
        what = "it was cut off" if found < declared else "something was appended"
        raise DamagedSidecarError(
            f"{place}: {found} bytes where its header declares {declared}: {what}; "
            "`xhsinr salvage SRC DST` saves what is whole"
        )


def _check_signature(front: bytes, place: Place) -> None:
    (stored,) = CRC.unpack(front[-CRC.size :])
    found = google_crc32c.value(front[: -CRC.size])
    if found != stored:
        raise DamagedSidecarError(
            f"{place}: checksum of its header and index is {found:08x}, stored {stored:08x}: "
            "the file is damaged"
        )


def _check_limits(header: Header, limits: Limits, place: Place) -> None:
    bands, rows, cols = header.shape
    declares = f"{place} declares {bands} bands of {rows} x {cols} pixels"
    limits.check("bands", bands, declares)
    limits.check("side", max(rows, cols), declares)
    tiles = len(header.tiling)
    limits.check("tiles", tiles, f"{declares} in {tiles} tiles")
