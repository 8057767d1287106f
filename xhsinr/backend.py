"""``xr.open_dataset("scene.hsinr", engine="hsinr")``: lazy arrays; imports no torch."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing

from xhsinr.reading import Reader
from xhsinr.sidecar import Sidecar

__all__ = ["HsinrBackend", "open_dataarray"]

_VARIABLE = "scene"


class _LazySamples(BackendArray):
    """Samples that decode when they are indexed, laid out as the scene came.

    xarray's own lazy transpose would turn every key into an index for each sample.
    """

    def __init__(self, reader: Reader, axes: tuple[int, int, int]) -> None:
        self.reader = reader
        self.axes = axes
        self.order = tuple(int(axis) for axis in np.argsort(axes))
        self.shape = tuple(reader.shape[axis] for axis in self.order)
        self.dtype = reader.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> npt.NDArray[Any]:
        if not isinstance(key, indexing.VectorizedIndexer):
            return self._read(key.tuple)
        samples: npt.NDArray[Any] = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )
        return samples

    def _read(self, key: tuple[Any, ...]) -> npt.NDArray[Any]:
        chosen = [np.arange(size)[part] for size, part in zip(self.shape, key, strict=True)]
        bands, rows, cols = (np.atleast_1d(chosen[axis]) for axis in self.axes)
        samples = self.reader.window(bands, rows, cols).transpose(self.order)
        # An integer takes its axis away.
        return samples.reshape([part.size for part in chosen if part.ndim])


def open_dataarray(path: str | os.PathLike[str]) -> xr.DataArray:
    """A sidecar as a lazy DataArray, laid out as the scene came, with its coordinates.

    Raises
    ------
    FileNotFoundError, NotASidecarError, UnsupportedVersionError, DamagedSidecarError
    """
    reader = Reader(Sidecar.open(os.fspath(path)))
    scene = reader.scene()
    samples = indexing.LazilyIndexedArray(_LazySamples(reader, scene.axes))
    # A stand-in of the right shape that takes no memory.
    blank = np.broadcast_to(np.zeros((), reader.dtype), reader.shape)
    array = scene.to_xarray(blank).copy(deep=False, data=samples)
    sides: dict[Hashable, int] = {
        scene.row_dim: reader.sidecar.header["tile"],
        scene.col_dim: reader.sidecar.header["tile"],
    }
    array.encoding["preferred_chunks"] = {
        dim: min(sides.get(dim, size), size)
        for dim, size in zip(array.dims, array.shape, strict=True)
    }
    array.encoding["source"] = str(reader.sidecar.path)
    return array


class HsinrBackend(BackendEntrypoint):
    """xarray's engine ``hsinr``: opens ``.hsinr`` files written by ``compress``."""

    description = "Hyperspectral scenes compressed by xhsinr"
    open_dataset_parameters = ("filename_or_obj", "drop_variables", "mask_and_scale")

    def open_dataset(  # type: ignore[override]
        self,
        filename_or_obj: str | os.PathLike[str],
        *,
        drop_variables: str | Iterable[str] | None = None,
        mask_and_scale: bool = False,
    ) -> xr.Dataset:
        """Open a sidecar.

        Parameters
        ----------
        filename_or_obj : str or path
        drop_variables : str or iterable of str, optional
        mask_and_scale : bool
            Show nodata as NaN and apply scale and offset; without it samples are as they were.
        """
        array = open_dataarray(filename_or_obj)
        dataset = array.to_dataset(name=array.name or _VARIABLE)
        dataset = dataset.drop_vars(drop_variables or [])
        return xr.decode_cf(dataset, decode_times=False) if mask_and_scale else dataset

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """By the name alone."""
        return isinstance(filename_or_obj, str | os.PathLike) and os.fspath(
            filename_or_obj
        ).endswith(".hsinr")
