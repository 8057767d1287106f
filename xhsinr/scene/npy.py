"""NumPy's ``.npy`` files of (rows, cols, bands), read window by window.

Not by a memory map: a file that becomes shorter meanwhile would end the process.
"""

from __future__ import annotations

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
        order = np.argsort(self._strides, kind="stable")[::-1].tolist()
        outer, middle, inner = (places[axis] for axis in order)
        down, across, along = (self._strides[axis] for axis in order)
        low, length = int(inner.min()), int(np.ptp(inner)) + 1
        # Whole lines lie one behind the other.
        joined = length == self.shape[order[2]] and (np.diff(middle) == 1).all()
        block = np.empty((outer.size, middle.size, length), self.dtype)
        with self.path.open("rb") as file:
            for plane, i in zip(block, outer.tolist(), strict=True):
                start = self._offset + i * down + low * along
                if joined:
                    found = self._run(file, start + int(middle[0]) * across, plane.size)
                    plane[:] = found.reshape(plane.shape)
                    continue
                for line, j in zip(plane, middle.tolist(), strict=True):
                    line[:] = self._run(file, start + j * across, length)
        if (np.diff(inner) != 1).any():
            block = block[:, :, inner - low]
        return block.transpose(np.argsort(order))

    def look(self) -> npt.NDArray[Any]:
        """Samples from all over the file, `LOOK` along a side at most."""
        return self.read(*(np.arange(0, size, -(-size // LOOK)) for size in self.shape))

    def _run(self, file: Any, start: int, count: int) -> npt.NDArray[Any]:
        file.seek(start)
        content = file.read(count * self.dtype.itemsize)
        if len(content) < count * self.dtype.itemsize:
            raise SceneError(f"{self.path} has become shorter while it was read; read it again")
        return np.frombuffer(content, self.dtype)
