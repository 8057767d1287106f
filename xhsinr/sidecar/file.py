"""The sidecar: one compressed scene in one ``.hsinr`` file, a valid safetensors file.

A file holds a canonical JSON header (in ``__metadata__["hsinr"]``), a few small arrays, an
index, and last the payloads of all tiles, one behind the other. The small arrays are covered,
with the header, by one CRC32C; each part of each tile has its own.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from xhsinr.errors import (
    ChangedSidecarError,
    DamagedSidecarError,
    SidecarError,
)
from xhsinr.sidecar.header import (
    DTYPES,
    FORMAT_VERSION,
    UNSIGNED,
    Header,
    check_entries,
    check_signature,
    check_size,
    header_length,
    parse_header,
)
from xhsinr.sidecar.limits import Limits, current_limits
from xhsinr.storage import Place, locate, read_range, size_of
from xhsinr.tiling import Tiling

__all__ = ["FORMAT_VERSION", "MAX_SIDE", "NAMES", "UNSIGNED", "Header", "Sidecar"]

MAX_SIDE = 1 << 31
# Bytes of the first read, which is all that opening takes for most files.
_FIRST_READ = 1 << 16

_SAMPLES = frozenset(("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"))
_FIGURE = (int, float, type(None))
_QUALITY = {"psnr_db": _FIGURE, "rmse": _FIGURE, "max_error": (float,), "mean_sam_deg": _FIGURE}
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}


@dataclass(frozen=True, eq=False)
class Sidecar:
    """An open sidecar: its header and arrays are read and checked, its tiles are not yet.

    Holds no file handle, so it can be pickled and read from many threads.

    Attributes
    ----------
    place : Path or str
        The path of a file on this machine, or a URL.
    header : dict
        The canonical JSON header.
    arrays : dict of ndarray
        Small arrays: ``index``, ``quality``, ``codec`` and those of the scene.
    tiles_start : int
        Where in the file the payloads begin.
    file_bytes : int
        Size of the file.
    front_crc : int
        CRC32C of all bytes before the payloads, by which a replaced file is told.
    limits : Limits
        Those in force when it was opened.
    """

    place: Place
    header: Header
    arrays: dict[str, npt.NDArray[Any]]
    tiles_start: int
    file_bytes: int
    front_crc: int
    limits: Limits

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, whole: bool = True) -> Sidecar:
        """Read and check the header and the small arrays of a sidecar.

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
        length = header_length(content, place, known, limits)
        content += read_range(place, len(content), 8 + length)
        raw = content[8 : 8 + length]
        entries, header = parse_header(raw, place)
        offsets = check_entries(entries, place)
        start = 8 + length + offsets["tiles"][0]
        file_bytes = 8 + length + offsets["tiles"][1]
        limits.check("front_bytes", start, f"{place} declares {start:,} bytes before its tiles")
        if known is not None and whole:
            check_size(place, known, file_bytes)
        content += read_range(place, len(content), start)
        if len(content) < start:
            check_size(place, len(content), file_bytes)
        small = content[8 + length : start]
        check_signature(raw, small, entries, place)
        try:
            arrays = {
                name: np.frombuffer(small[begin:end], "<" + DTYPES[entries[name]["dtype"]]).reshape(
                    entries[name]["shape"]
                )
                for name, (begin, end) in offsets.items()
                if name != "tiles"
            }
        except ValueError as error:
            raise DamagedSidecarError(f"{place}: its header is damaged: {error}") from error
        crc = google_crc32c.value(content[:start])
        sidecar = cls(place, header, arrays, start, file_bytes, crc, limits)
        sidecar._check_index(file_bytes - start)
        return sidecar

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
        bands, rows, cols = self.header["shape"]
        return bands, rows, cols

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.header["dtype"])

    @property
    def samples(self) -> int:
        return math.prod(self.shape)

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts of its tiles."""
        return tuple(self.header["parts"])

    @cached_property
    def tiling(self) -> Tiling:
        return Tiling(self.shape[1], self.shape[2], self.header["tile"])

    @cached_property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Bytes of each part of each tile, shape (tiles, parts)."""
        sizes: npt.NDArray[np.int64] = self.arrays["index"][:, :, 0].astype(np.int64)
        return sizes

    @cached_property
    def _starts(self) -> npt.NDArray[np.int64]:
        sizes = self.sizes.sum(axis=1)
        starts: npt.NDArray[np.int64] = self.tiles_start + np.cumsum(sizes) - sizes
        return starts

    @property
    def metadata_bytes(self) -> int:
        """Bytes that the samples don't need: JSON, container, wavelengths, per-tile report."""
        needed = self.sizes.sum() + self.arrays["index"].nbytes
        if "codec" in self.arrays:
            needed += self.arrays["codec"].nbytes
        return self.file_bytes - int(needed)

    def payload(self, tile: int) -> dict[str, bytes]:
        """Bytes of each part of a tile, after checking each one's checksum.

        Raises
        ------
        DamagedSidecarError
            Naming the file, the tile and the part.
        """
        sizes = self.sizes[tile]
        start = int(self._starts[tile])
        content = read_range(self.place, start, start + int(sizes.sum()))
        ends = np.cumsum(sizes)
        parts = {}
        for i, name in enumerate(self.parts):
            part = content[int(ends[i] - sizes[i]) : int(ends[i])]
            stored = int(self.arrays["index"][tile, i, 1])
            found = google_crc32c.value(part)
            if len(part) != sizes[i] or found != stored:
                self._check_unchanged()
                what = "is damaged" if len(part) == sizes[i] else "was cut off"
                raise DamagedSidecarError(
                    f"{self.name}: tile {tile}, part {name!r}: checksum {found:08x}, stored "
                    f"{stored:08x}: the tile {what}; the others can still be read"
                )
            parts[name] = part
        return parts

    def check_size(self) -> None:
        """Check that the file is as long as its header says; asks a server for its size.

        Raises
        ------
        DamagedSidecarError, ChangedSidecarError, RemoteError
        """
        found = size_of(self.place)
        if found != self.file_bytes:
            self._check_unchanged()
        check_size(self.place, found, self.file_bytes)

    def _check_unchanged(self) -> None:
        """What stands before the tiles is compared with what was read when it was opened."""
        front = read_range(self.place, 0, self.tiles_start)
        if google_crc32c.value(front) != self.front_crc:
            raise ChangedSidecarError(
                f"{self.name} was replaced, or is being written, since it was opened: open it again"
            )

    def _check_index(self, tiles_bytes: int) -> None:
        header = self.header
        try:
            bands, rows, cols = header["shape"]
            tile, parts, dtype = header["tile"], header["parts"], header["dtype"]
            index = self.arrays["index"]
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedSidecarError(
                f"{self.name}: its header lacks the index, shape, tile, parts or dtype"
            ) from error
        fits = all(type(n) is int for n in (bands, rows, cols, tile))
        fits = fits and min(bands, rows, cols, tile) >= 1 and tile <= MAX_SIDE
        fits = fits and isinstance(parts, list) and all(type(name) is str for name in parts)
        if not (fits and isinstance(dtype, str) and dtype in _SAMPLES):
            raise DamagedSidecarError(
                f"{self.name}: its header declares what no scene is: shape {header['shape']}, "
                f"tile {header['tile']}, parts {header['parts']}, dtype {header['dtype']}"
            )
        declares = f"{self.name} declares {bands} bands of {rows} x {cols} pixels"
        self.limits.check("bands", bands, declares)
        self.limits.check("side", max(rows, cols), declares)
        tiles = len(Tiling(rows, cols, tile))
        self.limits.check("tiles", tiles, f"{declares} in {tiles} tiles")
        expected = (tiles, len(parts), 2)
        if index.shape != expected or index.dtype != np.uint32:
            raise DamagedSidecarError(
                f"{self.name}: its index has shape {index.shape}, its tiles need {expected}"
            )
        if int(self.sizes.sum()) != tiles_bytes:
            raise DamagedSidecarError(
                f"{self.name}: its index adds up to {int(self.sizes.sum())} bytes of tiles, the "
                f"file has {tiles_bytes}"
            )

    def check_report(self) -> None:
        """Check that what a scene and its report need is in the header, and of its kind.

        Raises
        ------
        DamagedSidecarError
        """
        kinds = {"quality": dict, "target": dict, "scene": dict, "software": str}
        wrong = [name for name, kind in kinds.items() if type(self.header.get(name)) is not kind]
        if "quality" not in wrong and not _has(self.header["quality"], _QUALITY):
            wrong.append("quality")
        if type(self.header.get("noise", 0.0)) not in (int, float):
            wrong.append("noise")
        tiles = (len(self.tiling), 2)
        for name, shape in (("quality", tiles), ("codec", None)):
            array = self.arrays.get(name)
            if array is None or (shape is not None and array.shape != shape):
                wrong.append(f"the array {name!r}")
        if wrong:
            raise DamagedSidecarError(
                f"{self.name}: {', '.join(wrong)} of its header is missing or of the wrong kind"
            )


def _has(part: dict[str, Any], kinds: dict[str, tuple[type, ...]]) -> bool:
    """Whether a part of the header has all of these keys, and values of these kinds."""
    return all(name in part and type(part[name]) in kind for name, kind in kinds.items())
