"""HDF5 and netCDF-4 files, read window by window through h5py (extra ``products``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import numpy.typing as npt

from xhsinr.errors import SceneError
from xhsinr.scene.chunks import Indices, Windowed, lazily_read

__all__ = ["NEEDED", "attributes", "check_alone", "is_hdf5", "lazy_cube", "open_hdf5"]

NEEDED = "pip install 'xhsinr[products]'"
"""What reads and writes netCDF, and reads HDF5."""

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# MATLAB puts 512 bytes of its own before the signature.
_OFFSETS = (0, 512)


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 files do; netCDF-4 and MATLAB v7.3 files are HDF5 files."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(_OFFSETS[-1] + len(_SIGNATURE))
    return any(start[offset:].startswith(_SIGNATURE) for offset in _OFFSETS)


def open_hdf5(path: str | Path) -> Any:
    """The file as an `h5py.File` to read from, for a ``with`` statement."""
    try:
        import h5py
    except ImportError as error:
        raise SceneError(
            f"{path} is an HDF5 or netCDF file, and h5py is not installed: {NEEDED}"
        ) from error
    return h5py.File(path, "r")


def check_alone(path: Path, file: Any) -> None:
    """Refuse a file that sends HDF5 to others: by links, virtual datasets or external storage."""
    import h5py

    def named(name: str, link: Any) -> str | None:
        if isinstance(link, h5py.ExternalLink):
            return str(link.filename)
        found = file.get(name)
        if not isinstance(found, h5py.Dataset):
            return None
        storage = [part[0] for part in found.external or ()]
        sources = [part.file_name for part in (found.virtual_sources() if found.is_virtual else ())]
        return next((str(other) for other in (*storage, *sources) if other != "."), None)

    other = file.visititems_links(named)
    if other is not None:
        raise SceneError(
            f"{path}: it names another file, {other}, which is not read for it: make one file of "
            "both, or open it with xarray and pass the variable, where you trust it"
        )


def attributes(holder: Any) -> dict[str, Any]:
    """Attributes of a file, group or dataset: one number or text as such, several as an array.

    What is neither number nor text (references, empty values) is left out.
    """
    found: dict[str, Any] = {}
    for name, value in holder.attrs.items():
        values = np.asarray(value)
        if values.dtype.kind not in "biufSUO" or values.size == 0:
            continue
        item = values.item() if values.size == 1 else values
        item = item.decode("utf-8", "replace") if isinstance(item, bytes) else item
        if isinstance(item, bool | int | float | str) or values.dtype.kind in "biuf":
            found[name] = item
    return found


class _Cube(Windowed):
    """Bands of one or several 3-D datasets as (bands, rows, cols).

    Opens the file at each read: tasks carry a path and never a handle, so it can be pickled and
    read from several threads and processes at once.
    """

    def __init__(
        self, path: Path, parts: Mapping[str, Indices | None], axes: tuple[int, int, int]
    ) -> None:
        self.path = str(path)
        self.names = list(parts)
        self.axes = axes
        with open_hdf5(path) as file:
            shapes = [file[name].shape for name in parts]
            self.dtype: np.dtype[Any] = np.result_type(*(file[name].dtype for name in parts))
        if any(len(shape) != 3 for shape in shapes):
            raise SceneError(f"{path}: not all of {', '.join(parts)} have three dimensions")
        sides = {(shape[axes[1]], shape[axes[2]]) for shape in shapes}
        if len(sides) != 1:
            raise SceneError(f"{path}: {', '.join(parts)} differ in rows or columns")
        chosen = [
            np.arange(shape[axes[0]]) if bands is None else bands
            for shape, bands in zip(shapes, parts.values(), strict=True)
        ]
        # Of each band: which dataset has it, and where.
        self.part = np.repeat(np.arange(len(chosen)), [len(bands) for bands in chosen])
        self.place = np.concatenate(chosen)
        self.shape = (len(self.place), *sides.pop())

    def read(self, *places: Indices) -> npt.NDArray[Any]:
        bands, rows, cols = places
        samples = np.empty((bands.size, rows.size, cols.size), self.dtype)
        try:
            with open_hdf5(self.path) as file:
                for number, name in enumerate(self.names):
                    here = self.part[bands] == number
                    if here.any():
                        samples[here] = self._of(file[name], self.place[bands[here]], rows, cols)
        except OSError as error:
            raise SceneError(
                f"{self.path}: rows {rows.min()} to {rows.max()}, columns {cols.min()} to "
                f"{cols.max()} cannot be read ({error}); get the file again"
            ) from error
        return samples

    def _of(self, dataset: Any, *places: Indices) -> npt.NDArray[Any]:
        region = [slice(0)] * 3
        for axis, place in zip(self.axes, places, strict=True):
            region[axis] = slice(int(place.min()), int(place.max()) + 1)
        block = dataset[tuple(region)].transpose(self.axes)
        found: npt.NDArray[Any] = block[np.ix_(*(place - place.min() for place in places))]
        return found


def lazy_cube(
    path: Path, parts: Mapping[str, Indices | None], axes: tuple[int, int, int]
) -> dask.array.Array:
    """3-D datasets, one after the other, as a dask array of (bands, rows, cols).

    A window that is asked of it is all that is read: slice it before anything else.

    Parameters
    ----------
    path : Path
    parts : mapping of str to ndarray of int, or None
        Names of the datasets in the file, and of each the bands to take, in this order; None for
        all.
    axes : tuple of int
        Where bands, rows and columns stand in the datasets.
    """
    # h5py has a lock of its own.
    return lazily_read(_Cube(path, parts, axes))
