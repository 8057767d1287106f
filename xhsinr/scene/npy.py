"""NumPy's ``.npy`` files of (rows, cols, bands), read window by window.

Not by a memory map: a file that becomes shorter meanwhile would end the process.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xhsinr.errors import SceneError
from xhsinr.scene.arrays import LOOK, warn_of_bands_first
from xhsinr.scene.chunks import SIDE, Indices, Windowed, lazily_read
from xhsinr.scene.spectrum import with_spectrum

__all__ = ["open_npy"]


def open_npy(path: Path) -> xr.DataArray:
    """The scene in a ``.npy`` file, lazily.

    With wavelengths from ``<stem>.wavelength_nm.txt`` where that is beside it.

    Raises
    ------
    SceneError
        If it is no plain array of three dimensions.
    """
    samples = _Samples(path)
    array = xr.DataArray(xr.Variable(("y", "x", "band"), lazily_read(samples, (SIDE, SIDE, -1))))
    beside = path.with_name(f"{path.stem}.wavelength_nm.txt")
    if not beside.exists():
        if min(samples.shape) > 1:
            warn_of_bands_first(path, samples.look())
        return array
    centres = np.array([float(word) for word in beside.read_text().split()])
    if centres.size != array.sizes["band"]:
        raise SceneError(
            f"{beside}: {centres.size} wavelengths for {array.sizes['band']} bands; "
            "mend the file or move it away"
        )
    return with_spectrum(array, centres, None, "nm")


class _Samples(Windowed):
    """An array in a file; opens it at each read, so that it can be pickled."""

    def __init__(self, path: Path) -> None:
        try:
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise SceneError(f"{path}: not a plain .npy array of numbers ({error})") from error
        if mapped.ndim != 3:
            raise SceneError(
                f"{path}: the array has {mapped.ndim} dimensions; save it as (rows, cols, bands)"
            )
        self.path, self.shape, self.dtype = path, mapped.shape, mapped.dtype
        self._offset, self._strides = mapped.offset, mapped.strides

    def read(self, *places: Indices) -> npt.NDArray[Any]:
        lows = [int(place.min()) for place in places]
        sizes = [int(p.max()) + 1 - low for p, low in zip(places, lows, strict=True)]
        block = self._block(lows, sizes)
        if any((np.diff(place) != 1).any() for place in places):
            block = block[np.ix_(*(p - low for p, low in zip(places, lows, strict=True)))]
        return block

    def look(self) -> npt.NDArray[Any]:
        """Samples from all over the file, `LOOK` along a side at most."""
        axes = np.argsort(self._strides, kind="stable")[::-1].tolist()
        every = [-(-self.shape[axis] // LOOK) for axis in axes]
        first, second = (
            range(0, self.shape[axis] * self._strides[axis], step * self._strides[axis])
            for axis, step in zip(axes[:2], every[:2], strict=True)
        )
        length = self.shape[axes[2]] * self.dtype.itemsize
        with self.path.open("rb") as file:
            lines = [
                [self._run(file, self._offset + i + j, length)[:: every[2]].copy() for j in second]
                for i in first
            ]
        return np.array(lines).transpose(np.argsort(axes))

    def _block(self, lows: list[int], sizes: list[int]) -> npt.NDArray[Any]:
        """Samples from some on, so many: a run of bytes for each slice along the outermost axes."""
        outer, middle, inner = np.argsort(self._strides, kind="stable")[::-1].tolist()
        wanted = [sizes[outer], sizes[middle], sizes[inner]]
        block = np.empty(wanted, self.dtype)
        length = sizes[inner] * self.dtype.itemsize
        # Whole lines lie one behind the other.
        joined = sizes[inner] == self.shape[inner]
        first = self._offset + sum(low * s for low, s in zip(lows, self._strides, strict=True))
        with self.path.open("rb") as file:
            for i in range(sizes[outer]):
                start = first + i * self._strides[outer]
                if joined:
                    block[i] = self._run(file, start, length * wanted[1]).reshape(wanted[1:])
                    continue
                for j in range(sizes[middle]):
                    block[i, j] = self._run(file, start + j * self._strides[middle], length)
        return block.transpose(np.argsort([outer, middle, inner]))

    def _run(self, file: Any, start: int, length: int) -> npt.NDArray[Any]:
        file.seek(start, os.SEEK_SET)
        content = file.read(length)
        if len(content) < length:
            raise SceneError(f"{self.path} has become shorter while it was read; read it again")
        return np.frombuffer(content, self.dtype)
