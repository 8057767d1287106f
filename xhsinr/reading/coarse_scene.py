"""What a scene says of itself, said of its overview: place and coordinates are the blocks'."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.control import GroundControlPoint

from xhsinr.scene import Coordinate, Scene
from xhsinr.scene.grid import RotatedCentres

__all__ = ["coarse_scene"]

# Written for the full resolution; the transform of the overview takes its place.
_PLACE_KEYS = ("GeoTransform",)


def coarse_scene(scene: Scene, factor: int, data: Any) -> Scene:
    """What a scene says, said of its overview: place and coordinates are those of the blocks.

    Parameters
    ----------
    scene : Scene
    factor : int
    data : array, shape (bands, coarse rows, coarse cols)
        Samples of the overview.
    """
    transform = scene.transform
    if transform is not None:
        transform = transform @ Affine.scale(factor)
    gcps = scene.gcps and tuple(
        GroundControlPoint(p.row / factor, p.col / factor, p.x, p.y, p.z, p.id, p.info)
        for p in scene.gcps
    )
    mapping = scene.grid_mapping
    if mapping is not None:
        extra = {key: value for key, value in mapping.extra.items() if key not in _PLACE_KEYS}
        mapping = replace(mapping, extra=extra)
    coarse = replace(scene, data=data, transform=transform, gcps=gcps, grid_mapping=mapping)
    coords = {
        name: _coarse_coord(scene, coarse, coord, factor) for name, coord in scene.coords.items()
    }
    return replace(coarse, coords=coords)


def _coarse_coord(scene: Scene, coarse: Scene, coord: Coordinate, factor: int) -> Coordinate:
    if isinstance(coord.values, RotatedCentres):
        assert coarse.transform is not None
        axis = coord.values.axis
        return replace(coord, values=RotatedCentres(coarse.transform, *coarse.shape[1:], axis))
    for name, made in scene.derivable(coord.dims).items():
        if np.array_equal(made, coord.values):
            return replace(coord, values=coarse.derivable(coord.dims)[name])
    values = coord.values
    for axis, dim in enumerate(coord.dims):
        if dim in (scene.row_dim, scene.col_dim):
            values = _thinned(values, axis, factor)
    return replace(coord, values=values)


def _thinned(values: npt.NDArray[Any], axis: int, factor: int) -> npt.NDArray[Any]:
    """Block means of numbers along an axis; of other values each block's first."""
    starts = np.arange(0, values.shape[axis], factor)
    if values.dtype.kind not in "iuf":
        return values.take(starts, axis)
    counts = np.diff(np.append(starts, values.shape[axis]))
    shape = [-1 if i == axis else 1 for i in range(values.ndim)]
    sums = np.add.reduceat(values.astype(np.float64), starts, axis)
    return np.asarray(sums / counts.reshape(shape))
