"""Lazy samples that are read once: kept in memory, or in a scratch file where they do not fit."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import numpy.typing as npt

from xhsinr.running.memory import kept_bytes
from xhsinr.running.store import Store
from xhsinr.running.tasks import Tasks
from xhsinr.scene.chunks import read_where
from xhsinr.tiling import Window

__all__ = ["KeptSamples", "SentSamples", "keeping_samples"]

Samples = npt.NDArray[Any]
Edges = npt.NDArray[np.intp]

# What gives fewer bytes a second than this is worth a scratch file.
_DEAR = 200_000_000
# A scratch file leaves at least as much of a disk free as it takes.
_DISK_SHARE = 2


@contextlib.contextmanager
def keeping_samples(tasks: Tasks, side: int, folder: Path) -> Iterator[Tasks]:
    """Tasks that read a lazy scene once where that can be; workers of a cluster see to it there.

    Parameters
    ----------
    tasks : Tasks
    side : int
        Of a tile.
    folder : Path
        Of the scratch file, where one is needed.
    """
    scene, limit = tasks.scene, tasks.max_memory
    if not isinstance(scene.data, dask.array.Array):
        yield tasks
        return
    if tasks.client is not None:
        yield replace(tasks, scene=replace(scene, data=SentSamples(scene.data)))
        return
    tile_samples = min(side, scene.rows) * min(side, scene.cols) * scene.bands
    size, item = int(scene.data.nbytes), scene.dtype.itemsize
    fits = size <= kept_bytes(limit, tasks.most_threads, tile_samples, item)
    kept = KeptSamples(scene.data, side, size if fits else 0, folder, scene.source)
    left = limit - size if fits and limit is not None else limit
    with contextlib.closing(kept):
        yield replace(tasks, scene=replace(scene, data=kept), max_memory=left)


class SentSamples:
    """The samples of a lazy array, (bands, rows, cols), that workers of a cluster compute."""

    def __init__(self, lazy: dask.array.Array) -> None:
        self.shape, self.dtype = lazy.shape, lazy.dtype
        self._lazy, self._sent = lazy, 0.0

    @property
    def passes(self) -> float:
        """How often the array was sent so far, parts of it counted as parts."""
        return self._sent / self._lazy.nbytes

    def __getitem__(self, key: tuple[slice, slice, slice]) -> dask.array.Array:
        part: dask.array.Array = self._lazy[key]
        self._sent += part.nbytes
        return part


class KeptSamples:
    """The samples of a lazy array, (bands, rows, cols); each of its blocks is computed once.

    A block holds all bands of a few of the array's chunks, so that no chunk is computed twice,
    however tiles lie on them. Blocks stay in memory up to a limit. Where they do not fit and
    are dear, they are written to a scratch file, and read from there.

    Parameters
    ----------
    lazy : dask array, shape (bands, rows, cols)
    side : int
        Blocks are at least so many pixels a side.
    limit_bytes : int
        What blocks may take in memory, besides the one in hand.
    folder : Path
        Of the scratch file, which is gone with the process.
    source : str
        The file that errors name.
    """

    def __init__(
        self, lazy: dask.array.Array, side: int, limit_bytes: int, folder: Path, source: str = ""
    ) -> None:
        self.shape, self.dtype = lazy.shape, lazy.dtype
        self._lazy, self._source = lazy, source
        # A tile for each thread: what reads it must not start threads of its own. But what is
        # on the workers of a cluster is theirs to give.
        self._scheduler = None if _on_workers(lazy) else "synchronous"
        self._edges = _edges(lazy.chunks[1], side), _edges(lazy.chunks[2], side)
        self._blocks: Store[Samples] = Store(limit_bytes)
        self._computed = 0
        self._lock = threading.Lock()
        self._scratch = None if lazy.nbytes <= limit_bytes else _Scratch(folder, int(lazy.nbytes))

    @property
    def passes(self) -> float:
        """How often the array was computed so far, parts of it counted as parts."""
        return self._computed / self._lazy.nbytes

    def __getitem__(self, key: tuple[slice, slice, slice]) -> Samples:
        """All bands of a window, not to be changed; slices have a start and a stop."""
        _, rows, cols = key
        if self._scratch is not None and self._scratch.closed:
            return self._compute((rows, cols))
        out = np.empty((self.shape[0], rows.stop - rows.start, cols.stop - cols.start), self.dtype)
        for down in _touched(self._edges[0], rows):
            for across in _touched(self._edges[1], cols):
                block = self._blocks.get(
                    (down.start, across.start), partial(self._block, (down, across))
                )
                if (down, across) == (rows, cols):
                    return block
                i, j = _common(rows, down), _common(cols, across)
                part = block[:, _within(i, down), _within(j, across)]
                out[:, _within(i, rows), _within(j, cols)] = part
        return out

    def close(self) -> None:
        """Give the scratch file back."""
        if self._scratch is not None:
            self._scratch.close()

    def _block(self, window: Window) -> Samples:
        if self._scratch is None:
            return self._compute(window)
        found = self._scratch.read(window)
        if found is not None:
            return found
        start = time.perf_counter()
        samples = self._compute(window)
        self._scratch.write(window, samples, time.perf_counter() - start)
        return samples

    def _compute(self, window: Window) -> Samples:
        with read_where(self._source, *window):
            samples = np.asarray(self._lazy[:, *window].compute(scheduler=self._scheduler))
        with self._lock:
            self._computed += samples.nbytes
        return samples


class _Scratch:
    """Blocks in a file without a name.

    Closed, it takes no more: what is computed is cheap, or the disk has no room.
    """

    def __init__(self, folder: Path, expected_bytes: int) -> None:
        self._folder, self._expected = folder, expected_bytes
        self._places: dict[tuple[int, int], tuple[int, tuple[int, ...], np.dtype[Any]]] = {}
        self._lock = threading.Lock()
        self._file: Any = None
        self.closed = False

    def write(self, window: Window, block: Samples, seconds: float) -> None:
        """Keep a block that took so long to compute."""
        with self._lock:
            if self._file is None and not self.closed:
                self._open(dear=block.nbytes < _DEAR * seconds)
            if self.closed:
                return
            place = self._file.seek(0, 2)
            try:
                self._file.write(np.ascontiguousarray(block).data)
            except OSError:
                # Full all the same: what is there stays, and the rest is computed again.
                self.closed = True
                return
            key = window[0].start, window[1].start
            self._places[key] = place, block.shape, block.dtype

    def read(self, window: Window) -> Samples | None:
        """The block of a window, None where it is not there."""
        found = self._places.get((window[0].start, window[1].start))
        if found is None:
            return None
        place, shape, dtype = found
        block = np.empty(shape, dtype)
        with self._lock:
            self._file.seek(place)
            self._file.readinto(block.data.cast("B"))
        return block

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _open(self, *, dear: bool) -> None:
        """Open the file, unless the first block came fast or there is no room."""
        room = shutil.disk_usage(self._folder).free >= _DISK_SHARE * self._expected
        if dear and room:
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115
        self.closed = self._file is None


def _on_workers(lazy: dask.array.Array) -> bool:
    if "distributed" not in sys.modules:
        return False
    from distributed import futures_of

    return bool(futures_of(lazy))


def _edges(chunks: tuple[int, ...], side: int) -> Edges:
    """Where blocks of whole chunks begin and end, each at least ``side`` long but the last."""
    edges = [0]
    for stop in np.cumsum(chunks).tolist():
        if stop - edges[-1] >= side:
            edges.append(stop)
    if edges[-1] != sum(chunks):
        edges.append(sum(chunks))
    return np.array(edges)


def _touched(edges: Edges, part: slice) -> list[slice]:
    """Blocks along a side that share pixels with a part of it."""
    first = int(np.searchsorted(edges, part.start, "right")) - 1
    last = int(np.searchsorted(edges, part.stop, "left"))
    return [slice(int(edges[n]), int(edges[n + 1])) for n in range(first, last)]


def _common(one: slice, other: slice) -> slice:
    return slice(max(one.start, other.start), min(one.stop, other.stop))


def _within(part: slice, whole: slice) -> slice:
    """A part of a side, counted from where ``whole`` begins."""
    return slice(part.start - whole.start, part.stop - whole.start)
