"""A sidecar as a GeoTIFF that nobody writes: its bytes are made when they are asked for.

A BigTIFF of uncompressed tiles, each of a single band, so that it is known where every sample
stands before any is decoded. GDAL itself writes the tags, into a file without samples; tiles and
overviews are added to its directory here (BigTIFF design, Aware Systems 2004; TIFF 6.0).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self
from xml.etree import ElementTree

import numpy as np
import rasterio
from rasterio.io import MemoryFile

from xhsinr.errors import LimitError, SceneError
from xhsinr.reading.reader import Reader
from xhsinr.scene.geotiff import gdal_profile, write_tags
from xhsinr.scene.images import placeless
from xhsinr.sidecar.file import Sidecar
from xhsinr.tiling import Tiling

__all__ = ["VirtualGeoTIFF"]

_TILE, _MULTIPLE = 256, 16
_MOST_TILES = 1 << 24
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 9: 4, 11: 4, 12: 8, 16: 8}
_SHORT, _LONG, _LONG8 = 3, 4, 16
_REDUCED, _WIDTH, _LENGTH, _BITS, _SAMPLES = 254, 256, 257, 258, 277
_OFFSETS, _COUNTS, _EXTRA, _FORMAT, _METADATA = 324, 325, 338, 339, 42112
_OF_AN_OVERVIEW = {_WIDTH, _LENGTH, _BITS, 259, 262, _SAMPLES, 284, 322, 323, _EXTRA, _FORMAT}
_OF_AN_OVERVIEW |= {42113}  # GDAL's nodata

Tags = dict[int, tuple[int, int, bytes]]
"""Type, count and content of each tag."""


@dataclass(frozen=True)
class VirtualGeoTIFF:
    """Bytes of a GeoTIFF with the samples of a sidecar, and with overviews.

    Attributes
    ----------
    levels : tuple of Reader
        Full resolution, then overviews by 2, 4, ...
    bands : tuple of int
        Which bands it has, numbered from 0.
    tags : Tags
        Of a GeoTIFF of all bands, without samples.
    side : int
        Of a tile, in pixels.
    """

    levels: tuple[Reader, ...]
    bands: tuple[int, ...]
    tags: Tags
    side: int

    @classmethod
    def of(cls, sidecar: Sidecar) -> Self:
        """All bands of a sidecar.

        Raises
        ------
        SceneError
            If GeoTIFF cannot hold its data type.
        LimitError
            If a list of its tiles alone would be huge.
        """
        bands, rows, cols = sidecar.shape
        side = min(_TILE, -(-max(rows, cols) // _MULTIPLE) * _MULTIPLE)
        levels, factor = [Reader(sidecar)], 2
        tile = sidecar.header.tile if len(sidecar.tiling) > 1 else 0
        while max(rows, cols) * 2 > factor * _TILE and tile % factor == 0:
            levels.append(Reader(sidecar, factor))
            factor *= 2
        tiles = bands * -(-rows // side) * -(-cols // side)
        if tiles > _MOST_TILES:
            raise LimitError(
                f"{sidecar.name}: a GeoTIFF of {bands:,} bands of {rows:,} x {cols:,} pixels has "
                f"{tiles:,} tiles: the limit is {_MOST_TILES:,}. Read it with xhsinr.open"
            )
        return cls(tuple(levels), tuple(range(bands)), _written_by_gdal(levels[0], side), side)

    def one_band(self, band: int) -> Self:
        """The same with a single band, numbered from 0."""
        return replace(self, bands=(band,), tags=_of_one_band(self.tags, band, len(self.bands)))

    @property
    def size(self) -> int:
        """Of the file, in bytes."""
        return len(self.head) + sum(map(self._blocks, self._tilings)) * self._block_bytes

    def read(self, start: int, stop: int) -> bytes:
        """Bytes of the file from one place to before another; tiles they touch are decoded."""
        head = len(self.head)
        parts = [self.head[start:stop]]
        first = max(start - head, 0) // self._block_bytes
        after = -(-max(min(stop, self.size) - head, 0) // self._block_bytes)
        for number in range(first, after):
            place = head + number * self._block_bytes
            parts.append(self._block(number)[max(start - place, 0) : max(stop - place, 0)])
        return b"".join(parts)

    @cached_property
    def head(self) -> bytes:
        """What stands before the samples: a directory of each level."""
        directories = [self._directory(level) for level in range(len(self.levels))]
        place = 16 + sum(map(_directory_bytes, directories))
        content = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16)
        for number, (tags, tiling) in enumerate(zip(directories, self._tilings, strict=True)):
            blocks = self._blocks(tiling)
            offsets = place + np.arange(blocks, dtype=np.uint64) * np.uint64(self._block_bytes)
            tags[_OFFSETS] = (_LONG8, blocks, offsets.astype("<u8").tobytes())
            content += _directory(tags, len(content), last=number + 1 == len(directories))
            place += blocks * self._block_bytes
        return content

    def _directory(self, level: int) -> Tags:
        rows, cols = self.levels[level].shape[1:]
        tags = dict(self.tags)
        if level:
            tags = {tag: entry for tag, entry in tags.items() if tag in _OF_AN_OVERVIEW}
            tags[_REDUCED] = (_LONG, 1, struct.pack("<I", 1))
            tags[_WIDTH] = (_LONG, 1, struct.pack("<I", cols))
            tags[_LENGTH] = (_LONG, 1, struct.pack("<I", rows))
        blocks = self._blocks(self._tilings[level])
        tags[_OFFSETS] = (_LONG8, blocks, bytes(8 * blocks))
        counts = np.full(blocks, self._block_bytes, "<u4")
        tags[_COUNTS] = (_LONG, blocks, counts.tobytes())
        return tags

    @cached_property
    def _block_bytes(self) -> int:
        return self.side * self.side * self.levels[0].dtype.itemsize

    @cached_property
    def _tilings(self) -> list[Tiling]:
        """Tiles of a band at each level."""
        return [Tiling(*level.shape[1:], self.side) for level in self.levels]

    def _blocks(self, tiling: Tiling) -> int:
        """How many tiles all bands have at a level."""
        return len(self.bands) * len(tiling)

    def _block(self, number: int) -> bytes:
        """The samples of a tile of one band, with zeros beyond the edges of the scene."""
        level = 0
        while number >= (blocks := self._blocks(self._tilings[level])):
            number -= blocks
            level += 1
        reader, tiling, side = self.levels[level], self._tilings[level], self.side
        place, tile = divmod(number, len(tiling))
        band = self.bands[place]
        held = reader[(slice(band, band + 1), *tiling.window(tile))][0]
        block = np.zeros((side, side), reader.dtype.newbyteorder("<"))
        block[: held.shape[0], : held.shape[1]] = held
        return block.tobytes()


def _written_by_gdal(reader: Reader, side: int) -> Tags:
    """Tags of a GeoTIFF of a scene, whose samples GDAL has not written."""
    scene = reader.scene()
    if not rasterio.dtypes.check_dtype(scene.dtype.name):
        raise SceneError(f"{reader.sidecar.name}: GeoTIFF cannot hold samples of {scene.dtype}")
    profile: dict[str, Any] = gdal_profile(scene, scene.dtype) | {
        "driver": "GTiff",
        "tiled": True,
        "blockxsize": side,
        "blockysize": side,
        "interleave": "band",
        "BIGTIFF": "YES",
        "ENDIANNESS": "LITTLE",
        "SPARSE_OK": True,
    }
    with placeless(), MemoryFile(ext=".tif") as memory:
        with memory.open(**profile) as out:
            write_tags(scene, out)
        return _tags(bytes(memory.getbuffer()))


def _tags(content: bytes) -> Tags:
    """Of the first directory of a BigTIFF."""
    (place,) = struct.unpack_from("<Q", content, 8)
    (count,) = struct.unpack_from("<Q", content, place)
    tags = {}
    for entry in range(place + 8, place + 8 + 20 * count, 20):
        tag, kind, number = struct.unpack_from("<HHQ", content, entry)
        size = _TYPE_SIZES[kind] * number
        start = entry + 12 if size <= 8 else struct.unpack_from("<Q", content, entry + 12)[0]
        tags[tag] = (kind, number, content[start : start + size])
    return tags


def _directory_bytes(tags: Tags) -> int:
    return 16 + sum(20 + (len(c) + len(c) % 2 if len(c) > 8 else 0) for _, _, c in tags.values())


def _directory(tags: Tags, place: int, *, last: bool) -> bytes:
    """A directory that stands at some place, with its tags' contents behind it."""
    entries, contents = struct.pack("<Q", len(tags)), b""
    after = place + 16 + 20 * len(tags)
    for tag, (kind, number, content) in sorted(tags.items()):
        value = content.ljust(8, b"\0")
        if len(content) > 8:
            value = struct.pack("<Q", after + len(contents))
            contents += content + bytes(len(content) % 2)
        entries += struct.pack("<HHQ", tag, kind, number) + value
    return entries + struct.pack("<Q", 0 if last else after + len(contents)) + contents


def _of_one_band(tags: Tags, band: int, bands: int) -> Tags:
    """The tags, of a file that has but one of the bands."""
    tags = {tag: entry for tag, entry in tags.items() if tag != _EXTRA}
    tags[_SAMPLES] = (_SHORT, 1, struct.pack("<H", 1))
    for tag in (_BITS, _FORMAT):
        kind, _, content = tags[tag]
        tags[tag] = (kind, 1, content[: len(content) // bands])
    if _METADATA in tags:
        kind, _, content = tags[_METADATA]
        root = ElementTree.fromstring(content.rstrip(b"\0"))
        for item in root.findall("Item"):
            if item.get("sample", str(band)) != str(band):
                root.remove(item)
            elif "sample" in item.attrib:
                item.set("sample", "0")
        content = ElementTree.tostring(root) + b"\0"
        tags[_METADATA] = (kind, len(content), content)
    return tags
