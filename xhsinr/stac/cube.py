"""The scenes of an archive as one lazy cube, laid out by what their items say.

No sidecar is opened before samples of its scene are asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import numpy.typing as npt
import xarray as xr
from affine import Affine
from dask.base import tokenize

from xhsinr.errors import ChangedSidecarError, SourceError
from xhsinr.reading.reader import Reader
from xhsinr.scene.grid import centre_coords
from xhsinr.sidecar.file import Sidecar
from xhsinr.stac.opening import Entry, Moment, open_catalog

__all__ = ["virtual"]

_OPEN = 64
_OPENING = tuple(threading.Lock() for _ in range(_OPEN))
_SHAPE = {"data_type", "bands", "proj:shape"}
_GRID = ("data_type", "nodata", "bands", "proj:shape", "proj:transform", "proj:code", "proj:wkt2")
_SCALING = {"scale_factor": "raster:scale", "add_offset": "raster:offset", "units": "unit"}
_NANOMETRES = 1000.0


def virtual(
    catalog: str | Path,
    bbox: Sequence[float] | None = None,
    datetime: Moment | tuple[Moment, Moment] = None,
) -> xr.Dataset:
    """The scenes of a catalog that lie on one grid as one lazy Dataset; nothing is copied.

    Chunks are the tiles of the sidecars. Samples are the stored ones; ``xr.decode_cf`` masks
    nodata and applies scale and offset.

    Parameters
    ----------
    catalog, bbox, datetime
        As for `xhsinr.open_catalog`.

    Returns
    -------
    Dataset
        With the variable ``scene``, of time, band, y and x, in the order of their times;
        ``id`` along time says which scene it is, ``wavelength`` of bands is in nanometres.

    Raises
    ------
    SourceError
        If there is no such catalog, or its scenes have different grids, bands or types.

    Examples
    --------
    >>> cube = xhsinr.virtual("s3://bucket/archive", datetime="2024")  # doctest: +SKIP
    >>> cube.scene.isel(band=40).median("time").compute()  # doctest: +SKIP
    """
    entries = sorted(open_catalog(catalog, bbox, datetime).entries, key=lambda e: (e.start, e.id))
    if not entries:
        raise SourceError(f"{catalog}: no scene of it is there and then")
    fields, *rest = (_grid(entry) for entry in entries)
    others = [entry.id for entry, grid in zip(entries[1:], rest, strict=True) if grid != fields]
    if others:
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        raise SourceError(
            f"{catalog}: {', '.join(others[:5])}{more}: of other bands, type or place than "
            f"{entries[0].id}: choose scenes of one grid by bbox and datetime, or open them one by "
            "one with xhsinr.open_catalog"
        )
    lazy = dask.array.stack([_lazy(entry, fields) for entry in entries])
    attrs = {name: fields[key] for name, key in _SCALING.items() if key in fields}
    if "nodata" in fields:
        attrs["_FillValue"] = np.dtype(fields["data_type"]).type(fields["nodata"])
    cube = xr.DataArray(lazy, dims=("time", "band", "y", "x"), name="scene", attrs=attrs)
    times = [None if entry.time is None else entry.time.replace(tzinfo=None) for entry in entries]
    cube = cube.assign_coords(
        time=np.array(times, "datetime64[ns]"),
        id=("time", [entry.id for entry in entries]),
        band=np.arange(1, cube.sizes["band"] + 1),
    )
    return _placed(_with_wavelengths(cube, fields), fields).to_dataset()


def _grid(entry: Entry) -> dict[str, Any]:
    """What has to be alike of scenes in one cube."""
    if not entry.data["hsinr:tile"] or not entry.data.keys() >= _SHAPE:
        raise SourceError(f"{entry.id}: its item does not say of what shape, type and tile it is")
    return {key: entry.data[key] for key in (*_GRID, *_SCALING.values()) if key in entry.data}


def _lazy(entry: Entry, fields: Mapping[str, Any]) -> dask.array.Array:
    shape = (len(fields["bands"]), *fields["proj:shape"])
    checksum = str(entry.data.get("file:checksum"))
    samples = _Samples(entry.href, shape, np.dtype(fields["data_type"]))
    side = int(entry.data["hsinr:tile"])
    name = f"xhsinr-{tokenize(entry.href, checksum)}"
    array: dask.array.Array = dask.array.from_array(
        samples,
        chunks=(-1, side, side),
        name=name,
        asarray=False,
        fancy=False,
        meta=np.empty((0, 0, 0), samples.dtype),  # else dask would look into it
    )
    return array


@dataclass(frozen=True)
class _Samples:
    """The samples of a sidecar that is opened when they are asked for."""

    href: str
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]

    ndim = 3

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        reader = _reader(self.href)
        if (reader.shape, reader.dtype) != (self.shape, self.dtype):
            raise ChangedSidecarError(f"{self.href} is not the file that its item describes")
        return reader[key]


def _reader(href: str) -> Reader:
    # Many tiles are asked for at once, and their file is opened by the first one.
    with _OPENING[hash(href) % _OPEN]:
        return _opened(href)


@lru_cache(_OPEN)
def _opened(href: str) -> Reader:
    return Reader(Sidecar.open(href))


def _with_wavelengths(cube: xr.DataArray, fields: Mapping[str, Any]) -> xr.DataArray:
    centres = [band.get("eo:center_wavelength") for band in fields["bands"]]
    if None in centres:
        return cube
    nanometres = np.round(np.array(centres, float) * _NANOMETRES, 6)
    return cube.assign_coords(wavelength=("band", nanometres, {"units": "nm"}))


def _placed(cube: xr.DataArray, fields: Mapping[str, Any]) -> xr.DataArray:
    crs = fields.get("proj:code") or fields.get("proj:wkt2")
    numbers = fields.get("proj:transform")
    if numbers is not None:
        transform, (rows, cols) = Affine(*numbers[:6]), fields["proj:shape"]
        cube = cube.assign_coords(centre_coords(transform, rows, cols, ("y", "x")))
        cube = cube.rio.write_transform(transform)
    return cube if crs is None else cube.rio.write_crs(crs)
