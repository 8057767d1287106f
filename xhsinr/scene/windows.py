"""Windows of a file that GDAL opens, read where they are asked for, masked pixels as nodata."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import dask.array
import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import MaskFlags
from rasterio.errors import RasterioError
from rasterio.windows import Window

from xhsinr.errors import SceneError
from xhsinr.scene.chunks import SIDE, Indices, Windowed, lazily_read
from xhsinr.scene.images import driver_of, patiently, placeless

__all__ = ["Mask", "lazy_raster", "unused_value"]


@dataclass(frozen=True)
class Mask:
    """What of a file says which pixels are data.

    Attributes
    ----------
    bands : tuple of int
        Bands with a mask, counted from 1: the first for all of them, or each.
    alpha : int, optional
        The band that is itself a mask; counts in place of theirs.
    """

    bands: tuple[int, ...] = ()
    alpha: int | None = None

    @classmethod
    def of(cls, source: rasterio.DatasetReader, bands: list[int], alpha: list[int]) -> Mask | None:
        """The mask of an open file; None where every pixel is data, or nodata tells it."""
        if alpha:
            return cls(alpha=alpha[0])
        told = [set(source.mask_flag_enums[band - 1]) for band in bands]
        if not any(flags in (set(), {MaskFlags.per_dataset}) for flags in told):
            return None
        shared = all(MaskFlags.per_dataset in flags for flags in told)
        return cls(tuple(bands[:1] if shared else bands))

    def valid(
        self, source: rasterio.DatasetReader, bands: list[int], window: Window
    ) -> npt.NDArray[np.bool_]:
        """Which pixels of a window are data, shape (1 or bands, rows, cols)."""
        if self.alpha is not None:
            values = source.read([self.alpha], window=window)
        else:
            values = source.read_masks(
                list(self.bands) if len(self.bands) == 1 else bands, window=window
            )
        found: npt.NDArray[np.bool_] = values != 0
        return found


class _Windows(Windowed):
    """Bands of a file as (bands, rows, cols).

    Each thread opens the file once for itself; pickled, it carries the name alone.
    """

    def __init__(
        self, name: str, bands: list[int], mask: Mask | None, nodata: float | None
    ) -> None:
        self.name, self.bands, self.mask, self.nodata = name, bands, mask, nodata
        self.driver = driver_of(name)
        self._open = threading.local()
        source = self._source()
        self.shape = (len(bands), source.height, source.width)
        self.dtype: np.dtype[Any] = np.dtype(source.dtypes[bands[0] - 1])

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_open"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._open = threading.local()

    def read(self, *places: Indices) -> npt.NDArray[Any]:
        with patiently(self.name):
            samples, valid = self.with_mask(*places)
        if valid is not None:
            samples[~np.broadcast_to(valid, samples.shape)] = self.nodata
        return samples

    def with_mask(
        self, bands: Indices, rows: Indices, cols: Indices
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
        """Samples, and where a mask says that they are data, of bands, rows and columns."""
        top, left = int(rows.min()), int(cols.min())
        window = Window(left, top, int(cols.max()) + 1 - left, int(rows.max()) + 1 - top)
        chosen = [self.bands[band] for band in bands.tolist()]
        inside = np.ix_(np.arange(len(chosen)), rows - top, cols - left)
        try:
            source = self._source()
            samples = source.read(chosen, window=window)[inside]
            if self.mask is None:
                return samples, None
            valid = self.mask.valid(source, chosen, window)
        except RasterioError as error:
            # What GDAL said is in the cause of rasterio's error.
            raise SceneError(
                f"{self.name}: rows {rows.min()} to {rows.max()}, columns {cols.min()} to "
                f"{cols.max()} cannot be read ({error.__cause__ or error}); get the file again"
            ) from error
        return samples, valid[:, rows - top][:, :, cols - left]

    def _source(self) -> rasterio.DatasetReader:
        source = getattr(self._open, "source", None)
        if source is None:
            with placeless():
                source = self._open.source = rasterio.open(self.name, driver=self.driver)
        return source


def lazy_raster(
    name: str, bands: list[int], mask: Mask | None, nodata: float | None
) -> dask.array.Array:
    """Bands of a file as a dask array of (bands, rows, cols).

    Parameters
    ----------
    name : str
        As GDAL knows the file.
    bands : list of int
        Counted from 1.
    mask : Mask, optional
    nodata : int or float, optional
        What masked samples become.
    """
    return lazily_read(_Windows(name, bands, mask, nodata))


def unused_value(name: str, bands: list[int], mask: Mask) -> int | float:
    """A value that no sample has where a mask says that it is data, to stand where it is not.

    NaN for floats. For integers the file is read once: the lowest value of a type with a sign,
    0 of one without, else the highest, else any.

    Raises
    ------
    SceneError
        If the samples use every value of their type.
    """
    windows = _Windows(name, bands, mask, None)
    if windows.dtype.kind == "f":
        return float("nan")
    limits = np.iinfo(windows.dtype)
    ends = [limits.min, limits.max]
    small = windows.dtype.itemsize <= 2
    used: set[int] = set()
    _, height, width = windows.shape
    for top in range(0, height, SIDE):
        for left in range(0, width, SIDE):
            rows = np.arange(top, min(top + SIDE, height))
            cols = np.arange(left, min(left + SIDE, width))
            samples, valid = windows.with_mask(np.arange(len(bands)), rows, cols)
            data = samples[np.broadcast_to(True if valid is None else valid, samples.shape)]
            candidates = np.unique(data) if small else data[np.isin(data, ends)]
            used.update(candidates.tolist())
    free = [value for value in ends if value not in used]
    if not free and small:
        free = [value for value in range(limits.min, limits.max) if value not in used][:1]
    if not free:
        raise SceneError(
            f"{name}: its mask says which pixels are data, and these use every value of "
            f"{windows.dtype}, so none is left for the others: convert it to a wider type first"
        )
    return free[0]
