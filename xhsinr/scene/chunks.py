"""Chunks of lazy arrays, as large as reading by tiles wants them."""

from __future__ import annotations

import abc
import contextlib
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dask.array
import numpy as np
import numpy.typing as npt
from dask.array.core import getter, getter_nofancy
from dask.blockwise import Blockwise

from xhsinr.errors import HsinrError, SceneError

__all__ = ["SIDE", "Windowed", "joined", "lazily_read", "read_where"]

Indices = npt.NDArray[np.intp]

SIDE = 256
"""Rows and columns of a chunk."""

# A task for each chunk takes longer than its samples where so many make one piece.
_FAR_SMALLER = 128


class Windowed(abc.ABC):
    """Samples that are read where they are asked for; looks like an array of three axes."""

    ndim = 3
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @abc.abstractmethod
    def read(self, *places: Indices) -> npt.NDArray[Any]:
        """Samples at the crossings of some places along each axis, at least one of each."""

    def __getitem__(self, key: tuple[Any, ...]) -> npt.NDArray[Any]:
        asked = [np.arange(size)[part] for size, part in zip(self.shape, key, strict=True)]
        places = [np.atleast_1d(part) for part in asked]
        # An integer takes its axis away.
        shape = [part.size for part in asked if part.ndim]
        if not all(part.size for part in places):
            return np.empty(shape, self.dtype)
        return self.read(*places).reshape(shape)


def lazily_read(
    source: Windowed, chunks: tuple[int, int, int] = (-1, SIDE, SIDE)
) -> dask.array.Array:
    """What reads a window when it is sliced, as a lazy array.

    Parameters
    ----------
    source : Windowed
        Several threads may slice it at a time.
    chunks : tuple of int
        Along each axis; -1 for all of it.
    """
    array: dask.array.Array = dask.array.from_array(
        source, chunks=chunks, name=False, lock=False, meta=np.empty((0, 0, 0), source.dtype)
    )
    return array


@contextlib.contextmanager
def read_where(source: str, rows: slice, cols: slice) -> Iterator[None]:
    """Tell of which window of what, where samples are computed and a library raises its own error.

    Raises
    ------
    SceneError
    """
    try:
        yield
    except (HsinrError, MemoryError):
        raise
    except Exception as error:
        # What GDAL said is in the cause of rasterio's error.
        said = error.__cause__ or error
        raise SceneError(
            f"{source or 'a lazy array'}: rows {rows.start} to {rows.stop - 1}, columns "
            f"{cols.start} to {cols.stop - 1} cannot be read ({type(error).__name__}: {said}); get "
            "the file again, or mend what computes these samples"
        ) from error


def joined(
    array: dask.array.Array, dims: Sequence[Any], pieces: Mapping[Any, int]
) -> dask.array.Array:
    """A lazy array that reads what it was made from in pieces of the given sizes.

    Where every chunk is a slice of one array (of a file, as a rule), that array is sliced
    otherwise; chunks that are computed stay as they are.

    Parameters
    ----------
    array : dask array
    dims : tuple
        Names of its dimensions.
    pieces : mapping
        Size of a piece along each dimension, -1 for all of it.

    Warns
    -----
    UserWarning
        If the chunks are far smaller than the pieces.
    """
    sizes = [
        size if pieces[dim] == -1 else min(pieces[dim], size)
        for dim, size in zip(dims, map(int, array.shape), strict=True)
    ]
    whole = math.prod(-(-int(size) // side) for size, side in zip(array.shape, sizes, strict=True))
    if array.npartitions > _FAR_SMALLER * whole:
        found = " x ".join(f"{d}={n}" for d, n in zip(dims, array.chunksize, strict=True))
        warnings.warn(
            f"the scene is in {array.npartitions:,} chunks of {found}, far smaller than "
            f"what is read at a time: open it with chunks={dict(pieces)!r}, or give its path",
            stacklevel=2,
        )
    source = _sliced_by(array)
    if source is None:
        return array
    original, how = source
    lazy: dask.array.Array = dask.array.from_array(
        original,
        tuple(sizes),
        name=f"joined-{array.name}",
        asarray=how.get("asarray", True),
        lock=how.get("lock", False),
        meta=array._meta,
    )
    return lazy


def _sliced_by(array: dask.array.Array) -> tuple[Any, dict[str, Any]] | None:
    """The one array that all chunks are slices of, and how it is sliced; None if there is none."""
    graph: Any = array.__dask_graph__()
    layer = graph.layers.get(array.name)
    if len(graph.layers) != 2 or not isinstance(layer, Blockwise):
        return None
    (below,) = (name for name in graph.layers if name != array.name)
    whole = graph.layers[below]
    task = layer.task
    if list(whole) != [below] or getattr(task, "func", None) not in (getter, getter_nofancy):
        return None
    original = whole[below]
    original = getattr(original, "value", original)
    same = getattr(original, "shape", None) == array.shape
    return (original, dict(task.kwargs)) if same and original.dtype == array.dtype else None
