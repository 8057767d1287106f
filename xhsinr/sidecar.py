"""The sidecar: one compressed scene in one ``.hsinr`` file, a valid safetensors file.

A file holds a canonical JSON header (in ``__metadata__["hsinr"]``), a few small arrays, an
index, and last the payloads of all tiles, one behind the other. The small arrays are covered,
with the header, by one CRC32C; each layer of each tile has its own.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c
import numpy as np
import numpy.typing as npt

from xhsinr.errors import (
    DamagedSidecarError,
    NotASidecarError,
    UnsupportedVersionError,
)
from xhsinr.tiling import Tiling

__all__ = ["FORMAT_VERSION", "LAYERS", "MAX_SIDE", "NAMES", "UNSIGNED", "Header", "Sidecar"]

FORMAT_VERSION = 1
LAYERS = ("mask", "latents", "detail", "bound")
"""Layers in the order in which they are decoded; a file has those that it lists."""

MAX_HEADER_BYTES = 64 << 20
MAX_BANDS = 1 << 16
MAX_SIDE = 1 << 31
_MAX_AXES = 8

_DTYPES = {
    "U8": "u1", "U16": "u2", "U32": "u4", "U64": "u8", "I8": "i1", "I16": "i2", "I32": "i4",
    "I64": "i8", "F16": "f2", "F32": "f4", "F64": "f8", "BOOL": "?",
}  # fmt: skip
_SAMPLES = frozenset(("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"))
NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
UNSIGNED = b'"crc32c":"00000000"'

Header = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Sidecar:
    """An open sidecar: its header and arrays are read and checked, its tiles are not yet.

    Holds no file handle, so it can be pickled and read from many threads.

    Attributes
    ----------
    path : Path
    header : dict
        The canonical JSON header.
    arrays : dict of ndarray
        Small arrays: ``index``, ``quality``, ``basis`` and those of the scene.
    tiles_start : int
        Where in the file the payloads begin.
    file_bytes : int
        Size of the file.
    """

    path: Path
    header: Header
    arrays: dict[str, npt.NDArray[Any]]
    tiles_start: int
    file_bytes: int

    @classmethod
    def open(cls, path: str | Path) -> Sidecar:
        """Read and check the header and the small arrays of a sidecar.

        Raises
        ------
        FileNotFoundError, NotASidecarError, UnsupportedVersionError, DamagedSidecarError
        """
        path = Path(path)
        with path.open("rb") as file:
            file_bytes = os.fstat(file.fileno()).st_size
            raw, entries, header = _read_header(file, path, file_bytes)
            offsets = _check_entries(entries, path)
            data_start = 8 + len(raw)
            declared = data_start + max((end for _, end in offsets.values()), default=0)
            if declared != file_bytes:
                what = "it was cut off" if file_bytes < declared else "something was appended"
                raise DamagedSidecarError(
                    f"{path}: {file_bytes} bytes where its header declares {declared}: {what}"
                )
            small = file.read(offsets["tiles"][0])
        _check_signature(raw, small, entries, path)
        try:
            arrays = {
                name: np.frombuffer(
                    small[start:end], "<" + _DTYPES[entries[name]["dtype"]]
                ).reshape(entries[name]["shape"])
                for name, (start, end) in offsets.items()
                if name != "tiles"
            }
        except ValueError as error:
            raise DamagedSidecarError(f"{path}: its header is damaged: {error}") from error
        sidecar = cls(path, header, arrays, data_start + offsets["tiles"][0], file_bytes)
        sidecar._check_index(offsets["tiles"][1] - offsets["tiles"][0])
        return sidecar

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
    def layers(self) -> tuple[str, ...]:
        return tuple(self.header["layers"])

    @cached_property
    def tiling(self) -> Tiling:
        return Tiling(self.shape[1], self.shape[2], self.header["tile"])

    @cached_property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Bytes of each layer of each tile, shape (tiles, layers)."""
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
        if "basis" in self.arrays:
            needed += self.arrays["basis"].nbytes
        return self.file_bytes - int(needed)

    def payload(self, tile: int) -> dict[str, bytes]:
        """Bytes of each layer of a tile, after checking each one's checksum.

        Raises
        ------
        DamagedSidecarError
            Naming the file, the tile and the layer.
        """
        sizes = self.sizes[tile]
        start = int(self._starts[tile])
        with self.path.open("rb") as file:
            file.seek(start)
            content = file.read(int(sizes.sum()))
        ends = np.cumsum(sizes)
        layers = {}
        for i, layer in enumerate(self.layers):
            part = content[int(ends[i] - sizes[i]) : int(ends[i])]
            stored = int(self.arrays["index"][tile, i, 1])
            found = google_crc32c.value(part)
            if len(part) != sizes[i] or found != stored:
                raise DamagedSidecarError(
                    f"{self.path}: tile {tile}, layer {layer!r}: checksum {found:08x}, stored "
                    f"{stored:08x}: the tile is damaged; the others can still be read"
                )
            layers[layer] = part
        return layers

    def _check_index(self, tiles_bytes: int) -> None:
        header = self.header
        try:
            bands, rows, cols = header["shape"]
            tile, layers, dtype = header["tile"], header["layers"], header["dtype"]
            index = self.arrays["index"]
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedSidecarError(
                f"{self.path}: its header lacks the index, shape, tile, layers or dtype"
            ) from error
        fits = all(type(n) is int for n in (bands, rows, cols, tile))
        fits = fits and 1 <= bands <= MAX_BANDS and min(rows, cols, tile) >= 1
        fits = fits and max(rows, cols, tile) <= MAX_SIDE
        fits = fits and isinstance(layers, list) and layers == [n for n in LAYERS if n in layers]
        if not (fits and isinstance(dtype, str) and dtype in _SAMPLES):
            raise DamagedSidecarError(
                f"{self.path}: its header declares what no scene is: shape {header['shape']}, "
                f"tile {header['tile']}, layers {header['layers']}, dtype {header['dtype']}"
            )
        expected = (len(Tiling(rows, cols, tile)), len(layers), 2)
        if index.shape != expected or index.dtype != np.uint32:
            raise DamagedSidecarError(
                f"{self.path}: its index has shape {index.shape}, its tiles need {expected}"
            )
        if int(self.sizes.sum()) != tiles_bytes:
            raise DamagedSidecarError(
                f"{self.path}: its index adds up to {int(self.sizes.sum())} bytes of tiles, the "
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
        if not wrong:
            figures = ("psnr_db", "rmse", "max_error", "mean_sam_deg")
            quality = self.header["quality"]
            known = all(type(quality.get(name)) in (int, float, type(None)) for name in figures)
            wrong = [] if known and type(quality.get("max_error")) is float else ["quality"]
        coding = self.header.get("latents", {"network": "", "sha256": "", "network_bytes": 0})
        types = (str, str, int)
        if type(coding) is not dict or any(
            type(coding.get(name)) is not kind
            for name, kind in zip(("network", "sha256", "network_bytes"), types, strict=True)
        ):
            wrong.append("latents")
        tiles = (len(self.tiling), 2)
        for name, shape in (("quality", tiles), ("basis", None)):
            array = self.arrays.get(name)
            if array is None or (shape is not None and array.shape != shape):
                wrong.append(f"the array {name!r}")
        if wrong:
            raise DamagedSidecarError(
                f"{self.path}: {', '.join(wrong)} of its header is missing or of the wrong kind"
            )


def _read_header(
    file: BinaryIO, path: Path, file_bytes: int
) -> tuple[bytes, dict[str, dict[str, Any]], Header]:
    head = file.read(8)
    length = int.from_bytes(head, "little")
    if len(head) < 8 or not 2 <= length <= MAX_HEADER_BYTES:
        raise NotASidecarError(f"{path} is not an xhsinr sidecar: it does not begin like one")
    if 8 + length > file_bytes:
        raise (DamagedSidecarError if b'"hsinr"' in file.read(64) else NotASidecarError)(
            f"{path}: its header would have {length} bytes, the file has {file_bytes}: "
            "it was cut off, or is not an xhsinr sidecar"
        )
    raw = file.read(length)
    try:
        entries = json.loads(raw)
        metadata = entries.pop("__metadata__")
        header = json.loads(metadata["hsinr"])
        version = header["version"]
        metadata["crc32c"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if b'"crc32c"' in raw and b'"hsinr"' in raw:
            raise DamagedSidecarError(f"{path}: its header is damaged: {error}") from error
        raise NotASidecarError(f"{path} is not an xhsinr sidecar") from error
    if type(version) is not int or version < 1:
        raise DamagedSidecarError(f"{path}: its header is damaged: format version {version!r}")
    if version > FORMAT_VERSION:
        raise UnsupportedVersionError(
            f"{path} has format version {version}, this xhsinr reads up to {FORMAT_VERSION}: "
            "install a newer xhsinr"
        )
    return raw, entries, header


def _check_entries(entries: dict[str, dict[str, Any]], path: Path) -> dict[str, tuple[int, int]]:
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
            expected = math.prod(shape) * np.dtype(_DTYPES[entry["dtype"]]).itemsize
            if start != position or end - start != expected:
                raise ValueError(f"{name!r} overlaps, leaves a gap or has the wrong size")
            offsets[name] = (start, end)
            position = end
        if list(offsets)[-1] != "tiles":
            raise ValueError("tiles are not last")
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DamagedSidecarError(f"{path}: its header is damaged: {error}") from error
    return offsets


def _check_signature(
    raw: bytes, small: bytes, entries: dict[str, dict[str, Any]], path: Path
) -> None:
    stored = json.loads(raw)["__metadata__"]["crc32c"]
    found = "none"
    if isinstance(stored, str) and stored.isascii():
        signed = b'"crc32c":"%s"' % stored.encode()
        found = f"{google_crc32c.value(raw.replace(signed, UNSIGNED, 1) + small):08x}"
    if found != stored:
        raise DamagedSidecarError(
            f"{path}: checksum of its header and index is {found}, stored {stored}: "
            "the file is damaged"
        )
