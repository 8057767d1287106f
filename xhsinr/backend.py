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

from xhsinr.errors import SidecarError
from xhsinr.reading.reader import Reader
from xhsinr.scene.bands import with_named_bands
from xhsinr.scene.model import as_dataset
from xhsinr.sidecar.file import Sidecar
from xhsinr.storage import locate, suffix_of
from xhsinr.target import ENCODING_KEY

__all__ = ["HsinrBackend", "lazy_scene", "open_dataarray"]

Scaling = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]

_LISTS = frozenset(("scales", "offsets"))
_SCALING = ("_FillValue", "missing_value", "scale_factor", "add_offset")


class _LazySamples(BackendArray):
    """Samples that decode when they are indexed, laid out as the scene came.

    xarray's own lazy transpose would turn every key into an index for each sample.
    """

    def __init__(
        self, reader: Reader, axes: tuple[int, int, int], scaling: Scaling | None = None
    ) -> None:
        self.reader = reader
        self.axes = axes
        self.order = tuple(int(axis) for axis in np.argsort(axes))
        self.shape = tuple(reader.shape[axis] for axis in self.order)
        self.scaling = scaling
        self.dtype = np.result_type(reader.dtype, np.float32) if scaling else reader.dtype

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
        samples = self.reader.window(bands, rows, cols)
        if self.scaling is not None:
            samples = self._scaled(samples, bands)
        # An integer takes its axis away.
        return samples.transpose(self.order).reshape([part.size for part in chosen if part.ndim])

    def _scaled(self, samples: npt.NDArray[Any], bands: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
        """What samples of these bands mean, NaN where they say nothing."""
        assert self.scaling is not None
        scales, offsets = (values[bands, None, None].astype(self.dtype) for values in self.scaling)
        meant = scales * samples + offsets
        meant[self.reader.scene().invalid(samples)] = np.nan
        return np.asarray(meant, self.dtype)


def open_dataarray(path: str | os.PathLike[str], overview: int = 1) -> xr.DataArray:
    """A sidecar as a lazy DataArray, laid out as the scene came, with its coordinates.

    Parameters
    ----------
    path, overview
        As for `HsinrBackend.open_dataset`.

    Raises
    ------
    FileNotFoundError, NotASidecarError, UnsupportedVersionError, DamagedSidecarError,
    LimitError, RemoteError
    """
    return lazy_scene(Sidecar.open(path), overview)


def lazy_scene(sidecar: Sidecar, overview: int = 1, *, scaled: bool = False) -> xr.DataArray:
    """An open sidecar as `open_dataarray` gives it; ``scaled`` to say it as other engines do."""
    reader = Reader(sidecar, overview)
    scene = reader.scene()
    # CF has one scale for a variable, and xarray sees to it; lists are up to us.
    listed = scaled and not _LISTS.isdisjoint(scene.attrs)
    lazy = _LazySamples(reader, scene.axes, scene.scaling if listed else None)
    # A stand-in of the right shape that takes no memory.
    blank = np.broadcast_to(np.zeros((), reader.dtype), reader.shape)
    samples = indexing.LazilyIndexedArray(lazy)
    array = scene.to_xarray(blank).copy(deep=False, data=samples)
    sides: dict[Hashable, int] = {
        scene.row_dim: reader.tiling.tile,
        scene.col_dim: reader.tiling.tile,
    }
    array.encoding["preferred_chunks"] = {
        dim: min(sides.get(dim, size), size)
        for dim, size in zip(array.dims, array.shape, strict=True)
    }
    array.encoding["source"] = reader.sidecar.name
    if scaled:
        array = scene.with_cf_nodata(with_named_bands(array, scene.band_dim))
    if lazy.scaling is not None:
        for name in (*_LISTS, *_SCALING):
            array.attrs.pop(name, None)
            array.encoding.pop(name, None)
        return array
    # `xhsinr.compress` without settings takes the ones that the scene came with.
    array.encoding[ENCODING_KEY] = reader.sidecar.header.target
    return array


class HsinrBackend(BackendEntrypoint):
    """xarray's engine ``hsinr``: opens ``.hsinr`` files written by ``compress``."""

    description = "Hyperspectral scenes compressed by xhsinr"
    open_dataset_parameters = ("filename_or_obj", "drop_variables", "mask_and_scale", "overview")

    def open_dataset(  # type: ignore[override]
        self,
        filename_or_obj: str | os.PathLike[str],
        *,
        drop_variables: str | Iterable[str] | None = None,
        mask_and_scale: bool = True,
        overview: int = 1,
    ) -> xr.Dataset:
        """Open a sidecar.

        Parameters
        ----------
        filename_or_obj : str or path
            Of the ``.hsinr`` file, or a URL that fsspec knows: tiles are read when they are
            needed, by range requests.
        drop_variables : str or iterable of str, optional
        mask_and_scale : bool
            Show nodata as NaN and apply scale and offset, as other engines do; names of bands
            become the coordinate ``band_name``. With False, as with `xhsinr.open`, samples and
            attributes are as they were.
        overview : int
            Above one, each pixel is about the mean of the valid samples of a block of so many
            pixels a side, in the scene's data type, and the transform and the coordinates are
            those of the blocks. It has to divide the side of a tile, unless the scene is one
            tile. From 4 on, files of the coding ``planes`` are decoded without their finest
            details, and those with a bound by their base, where they have one.
        """
        array = lazy_scene(Sidecar.open(filename_or_obj), overview, scaled=mask_and_scale)
        dataset = as_dataset(array).drop_vars(drop_variables or [])
        if not mask_and_scale:
            return dataset
        for variable in dataset.variables.values():
            _check_numbers(variable, os.fspath(filename_or_obj))
        dataset = xr.decode_cf(dataset, decode_times=False)
        for scene in dataset.data_vars.values():
            _scale_target(scene.encoding)
        return dataset

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """By the name alone."""
        if not isinstance(filename_or_obj, str | os.PathLike):
            return False
        return suffix_of(locate(filename_or_obj)) == ".hsinr"


def _check_numbers(variable: xr.Variable, name: str) -> None:
    """What masks and scales a variable has to be numbers."""
    for key in _SCALING:
        value = variable.attrs.get(key, variable.encoding.get(key, 0))
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise SidecarError(
                f"{name}: {key} = {value!r} is no number: open it with mask_and_scale=False"
            )


def _scale_target(encoding: dict[Any, Any]) -> None:
    """A bound on the error counts in the units of the samples, which were scaled."""
    target, scale = encoding.get(ENCODING_KEY, {}), encoding.get("scale_factor", 1)
    if isinstance(target.get("max_error"), int | float):
        encoding[ENCODING_KEY] = {"max_error": float(target["max_error"] * abs(scale))}
