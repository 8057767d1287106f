"""Where two scenes differ: by pixel, by band, and in some spectra; measured tile by tile."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr import scene as scenes
from xhsinr.errors import SceneError
from xhsinr.metrics import Quality
from xhsinr.reading.reader import Reader
from xhsinr.running.tasks import run_tiles
from xhsinr.scene import Scene
from xhsinr.sidecar.file import Sidecar
from xhsinr.tiling import LARGEST_TILE, Tiling

__all__ = ["Comparison", "compare", "scene_of"]

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two scenes and the errors between them, over the samples that the original has.

    Attributes
    ----------
    original, decoded : Scene
    quality : Quality
        Of the whole.
    by_pixel : ndarray of float64, shape (rows, cols)
        RMSE over the valid bands of each pixel; NaN where there is none.
    by_band : ndarray of float64, shape (bands,)
        RMSE over the valid pixels of each band; NaN where there is none.
    rows, cols : ndarray of intp, shape (n,)
        Pixels on a regular grid of at most 10 x 10.
    before, after : ndarray of float64, shape (bands, n)
        Their spectra in the original and in the decoded scene; NaN where the original has no
        valid sample.
    """

    original: Scene
    decoded: Scene
    quality: Quality
    by_pixel: Floats
    by_band: Floats
    rows: Indices
    cols: Indices
    before: Floats
    after: Floats


def scene_of(source: Any) -> Scene:
    """The scene of a `Compressed`, of a sidecar's path, or of what `xhsinr.scene.read` takes."""
    if isinstance(getattr(source, "sidecar", None), Sidecar):
        return Reader(source.sidecar).scene()
    if isinstance(source, str | Path) and Path(source).suffix == ".hsinr":
        return Reader(Sidecar.open(source)).scene()
    return scenes.read(source)


def compare(original: Scene, decoded: Scene, *, progress: bool = True) -> Comparison:
    """Measure a decoded scene against the original; a few tiles are in memory at a time.

    Raises
    ------
    SceneError
        If the shapes differ, or no sample of the original is valid.
    """
    if original.shape != decoded.shape:
        raise SceneError(
            f"the original has (bands, rows, cols) {original.shape} and the decoded scene "
            f"{decoded.shape}: pass the same part of both"
        )
    bands, rows, cols = original.shape
    # Whole tiles of a sidecar, so that none is decoded twice.
    tile = decoded.data.sidecar.tiling.tile if isinstance(decoded.data, Reader) else LARGEST_TILE
    tiling = Tiling(rows, cols, tile)
    grid = np.meshgrid(_spread(rows), _spread(cols), indexing="ij")
    row, col = (index.ravel() for index in grid)
    by_pixel = np.full((rows, cols), np.nan)
    squares, counts = np.zeros(bands), np.zeros(bands, np.int64)
    before, after = np.full((2, bands, row.size), np.nan)
    qualities = []
    task = partial(_compare_tile, original, decoded, tiling, row, col)
    parts = run_tiles(task, range(len(tiling)), "compare", progress=progress)
    for number, part in enumerate(parts):
        by_pixel[tiling.window(number)] = part.by_pixel
        squares += part.squares
        counts += part.counts
        before[:, part.chosen], after[:, part.chosen] = part.before, part.after
        qualities.append(part.quality)
    quality = Quality.merge(qualities)
    if not quality.samples:
        raise SceneError("no sample of the original is valid: there is nothing to show")
    by_band = _rms(squares, counts)
    return Comparison(original, decoded, quality, by_pixel, by_band, row, col, before, after)


@dataclass(frozen=True, eq=False)
class _Part:
    """What is kept of one tile; ``chosen`` are the grid's pixels that lie in it."""

    quality: Quality
    by_pixel: Floats
    squares: Floats
    counts: npt.NDArray[np.int64]
    chosen: Indices
    before: Floats
    after: Floats


def _compare_tile(
    original: Scene, decoded: Scene, tiling: Tiling, row: Indices, col: Indices, number: int
) -> _Part:
    down, across = tiling.window(number)
    samples, again = original.window(down, across), decoded.window(down, across)
    valid = np.isfinite(samples) & ~original.invalid(samples)
    quality = Quality.of(samples, again, valid)
    a = np.where(valid, samples, np.nan).astype(np.float64)
    b = np.where(valid, again, np.nan).astype(np.float64)
    squared = np.where(valid, np.square(a - b), 0)
    inside = (row >= down.start) & (row < down.stop) & (col >= across.start) & (col < across.stop)
    chosen = np.flatnonzero(inside)
    at = np.s_[:, row[chosen] - down.start, col[chosen] - across.start]
    return _Part(
        quality,
        _rms(squared.sum(axis=0), np.count_nonzero(valid, axis=0)),
        squared.sum(axis=(1, 2)),
        np.count_nonzero(valid, axis=(1, 2)),
        chosen,
        a[at],
        b[at],
    )


def _rms(squares: Floats, counts: npt.NDArray[Any]) -> Floats:
    """Root of the mean; NaN where nothing was counted."""
    mean = np.full(squares.shape, np.nan)
    np.divide(squares, counts, out=mean, where=counts > 0)
    root: Floats = np.sqrt(mean)
    return root


def _spread(length: int) -> Indices:
    """Up to ten places spread over a length."""
    count = min(10, length)
    return ((np.arange(count) + 0.5) * length / count).astype(np.intp)
