"""Tiles of a scene and patches of a tile: pure geometry."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["LARGEST_TILE", "Patching", "Tiling", "Window", "default_tile"]

Window = tuple[slice, slice]


LARGEST_TILE = 256
"""Side of the tiles of all but middle-sized scenes, see `default_tile`."""

_SMALLEST_TILE, _TILE_STEP = 96, 8
# Scenes of fewer pixels are read whole in no time: their tiles need not be small.
_LARGE_SCENE = 1 << 20
_TILES_WANTED = 110


def default_tile(rows: int, cols: int) -> int:
    """Side of the tiles of a scene, in pixels: a pixel's spectrum reads one of them.

    Large tiles cost the fewest bytes, small ones read fastest. Tiles are 256 pixels a side, and
    less in scenes of a megapixel and more that have too few of them for one to stay below a
    hundredth of the file; 96 at least.

    Examples
    --------
    >>> default_tile(512, 512), default_tile(1024, 1024), default_tile(5000, 1200)
    (256, 96, 232)
    """
    if rows * cols < _LARGE_SCENE:
        return LARGEST_TILE
    side = int(math.sqrt(rows * cols / _TILES_WANTED)) // _TILE_STEP * _TILE_STEP
    return min(max(side, _SMALLEST_TILE), LARGEST_TILE)


@dataclass(frozen=True)
class Tiling:
    """The regular grid of tiles of a scene, numbered row by row; edge tiles are smaller.

    Attributes
    ----------
    rows, cols : int
        Size of the scene in pixels.
    tile : int
        Side of a tile in pixels.

    Examples
    --------
    >>> tiling = Tiling(rows=300, cols=500, tile=256)
    >>> len(tiling), tiling.window(1)
    (4, (slice(0, 256, None), slice(256, 500, None)))
    >>> list(tiling.touching(slice(250, 260), slice(0, 10)))
    [0, 2]
    """

    rows: int
    cols: int
    tile: int

    def __post_init__(self) -> None:
        if min(self.rows, self.cols, self.tile) < 1:
            raise ValueError(f"rows, cols and tile must be positive: {self}")

    @property
    def grid(self) -> tuple[int, int]:
        """Tiles down and across."""
        return math.ceil(self.rows / self.tile), math.ceil(self.cols / self.tile)

    def __len__(self) -> int:
        down, across = self.grid
        return down * across

    def window(self, index: int) -> Window:
        """Row and column slices of a tile."""
        if not 0 <= index < len(self):
            raise IndexError(f"tile {index} of {len(self)}")
        down, across = divmod(index, self.grid[1])
        top, left = down * self.tile, across * self.tile
        return (
            slice(top, min(top + self.tile, self.rows)),
            slice(left, min(left + self.tile, self.cols)),
        )

    def shape(self, index: int) -> tuple[int, int]:
        """Rows and columns of a tile."""
        rows, cols = self.window(index)
        return rows.stop - rows.start, cols.stop - cols.start

    def touching(self, rows: slice, cols: slice) -> Iterator[int]:
        """Numbers of the tiles that share pixels with a window, in order."""
        if rows.start >= rows.stop or cols.start >= cols.stop:
            return
        for down in range(rows.start // self.tile, (rows.stop - 1) // self.tile + 1):
            for across in range(cols.start // self.tile, (cols.stop - 1) // self.tile + 1):
                yield down * self.grid[1] + across


@dataclass(frozen=True)
class Patching:
    """How a tile is cut into patches; what is missing at its edges is its mirror image.

    Attributes
    ----------
    rows, cols : int
        Size of the tile in pixels.
    patch : int or None
        Side of a patch; None where the tile is one patch, whatever its shape.
    even : bool
        Patches are no larger than they have to be for so many of them to cover the tile.
    """

    rows: int
    cols: int
    patch: int | None
    even: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a patch."""
        if self.patch is None:
            return self.rows, self.cols
        if self.even:
            down, across = self.grid
            return math.ceil(self.rows / down), math.ceil(self.cols / across)
        return self.patch, self.patch

    @property
    def grid(self) -> tuple[int, int]:
        """Patches down and across."""
        height, width = self.patch or self.rows, self.patch or self.cols
        return math.ceil(self.rows / height), math.ceil(self.cols / width)

    def __len__(self) -> int:
        down, across = self.grid
        return down * across

    def split(self, planes: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Pixels of each patch, shape (patches, pixels, planes), of (planes, rows, cols)."""
        (height, width), (down, across) = self.shape, self.grid
        below, beside = down * height - self.rows, across * width - self.cols
        padded = np.pad(planes, ((0, 0), (0, below), (0, beside)), mode="symmetric")
        blocks = padded.reshape(len(planes), down, height, across, width)
        return blocks.transpose(1, 3, 2, 4, 0).reshape(len(self), height * width, len(planes))

    def join(self, patches: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Planes of shape (planes, rows, cols) of what `split` returned."""
        (height, width), (down, across) = self.shape, self.grid
        blocks = patches.reshape(down, across, height, width, patches.shape[2])
        planes = blocks.transpose(4, 0, 2, 1, 3).reshape(-1, down * height, across * width)
        return np.ascontiguousarray(planes[:, : self.rows, : self.cols])
