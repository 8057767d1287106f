"""Scenes in sensor geometry, put on the ground with their lookup table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.errors import SceneError
from xhsinr.scene.chunks import Indices, Windowed, lazily_read
from xhsinr.scene.grid import centre_coords
from xhsinr.scene.lookup import Lookup
from xhsinr.scene.model import Scene
from xhsinr.scene.parts import Coordinate, GridMapping

__all__ = ["orthorectified"]


class _Ortho(Windowed):
    """The samples of a scene at the cells of a table, (bands, cells down, cells across)."""

    def __init__(self, lookup: Lookup, data: Any, fill: Any) -> None:
        self.lookup, self.data, self.fill = lookup, data, fill
        self.shape = (data.shape[0], *lookup.rows.shape)
        self.dtype: np.dtype[Any] = np.dtype(data.dtype)

    def read(self, *places: Indices) -> npt.NDArray[Any]:
        bands, *cells = places
        rows, cols = self.lookup.rows[np.ix_(*cells)], self.lookup.cols[np.ix_(*cells)]
        seen = (rows > 0) & (cols > 0)
        found = np.full((len(bands), *rows.shape), self.fill, self.dtype)
        if seen.any():
            down, across = rows[seen] - 1, cols[seen] - 1
            top, left = int(down.min()), int(across.min())
            window = slice(top, int(down.max()) + 1), slice(left, int(across.max()) + 1)
            found[:, seen] = np.asarray(self.data[(bands, *window)])[:, down - top, across - left]
        return found


def orthorectified(scene: Scene) -> Scene:
    """A scene on the ground: the nearest pixel at each cell of its table, lazily.

    Parameters
    ----------
    scene : Scene
        With a lookup table.

    Raises
    ------
    SceneError
        If it has no table, or no value for cells that no pixel is seen at.
    """
    lookup = scene.lookup
    if lookup is None:
        raise SceneError(
            "the scene has no geometry lookup table to orthorectify it with: it is on a grid "
            "already, or its product had none"
        )
    fill = scene.nodata
    if fill is None and scene.dtype.kind == "f":
        fill = float("nan")
    if fill is None:
        raise SceneError(
            "cells that no pixel is seen at need a value, and the scene has no nodata: give it one "
            "with .assign_attrs(_FillValue=...)"
        )
    samples = lazily_read(_Ortho(lookup, scene.data, fill))
    axes = {scene.row_dim, scene.col_dim}
    coords = {name: c for name, c in scene.coords.items() if not axes & {*c.dims}}
    down, across = lookup.rows.shape
    for name, (dim, values) in centre_coords(lookup.transform, down, across, ("y", "x")).items():
        coords[name] = Coordinate((dim,), values)
    return replace(
        scene,
        data=samples,
        dims=(scene.band_dim, "y", "x"),
        axes=(0, 1, 2),
        crs=lookup.crs,
        transform=lookup.transform,
        gcps=None,
        lookup=None,
        coords=coords,
        grid_mapping=GridMapping(),
    )
