"""Where the pixels of a DataArray are: by its coordinates, and by what is written down."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyproj.exceptions
import xarray as xr
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import CRSError

from xhsinr.errors import SceneError
from xhsinr.scene.header import grid_attrs
from xhsinr.scene.parts import GridMapping, plain_attrs

__all__ = ["Place", "place_of_array"]

Floats = npt.NDArray[np.float64]

# Pixels: coordinates that are off a regular grid by no more are rounded, not irregular.
_ROUNDED = 0.1
# Pixels: positions that differ by no more are one.
_SAME = 0.01


class Place(NamedTuple):
    """Where the pixels are, and what of the grid mapping rioxarray would not write itself."""

    crs: CRS | None
    transform: Affine | None
    gcps: tuple[GroundControlPoint, ...] | None
    mapping: GridMapping | None


def place_of_array(array: xr.DataArray, row: str, col: str) -> Place:
    """Where the pixels of an array with these row and column dimensions are.

    Raises
    ------
    SceneError
        If the CRS or the ground control points are malformed.
    """
    # The accessor remembers dimensions on the object: this one is not the caller's.
    own = array.copy(deep=False).rio.set_spatial_dims(x_dim=col, y_dim=row)
    name = own.rio.grid_mapping
    mapped = name in own.coords and own.coords[name].ndim == 0
    try:
        crs = own.rio.crs
        gcps = own.rio.get_gcps() if mapped else None
    except (CRSError, pyproj.exceptions.CRSError, ValueError, KeyError) as error:
        raise SceneError(
            f"the CRS or the ground control points in {name!r} are malformed ({error}); mend "
            "them with .rio.write_crs(...) or drop the coordinate"
        ) from error
    points = tuple(gcps) if gcps else None
    transform = _transform(own, row, col, has_crs=crs is not None)
    if points and transform is not None and transform.is_identity:
        transform = None
    if not mapped:
        if crs is None:
            _warn_of_lost_mapping(array)
        return Place(crs, transform, points, None)
    found = own.coords[name]
    written = grid_attrs(crs, transform, points)
    attrs = plain_attrs(found.attrs, f"{name}:")
    value = found.item() if found.dtype.kind in "iu" else 0
    extra = {k: v for k, v in attrs.items() if k not in written or written[k] != v}
    missing = tuple(key for key in written if key not in attrs)
    return Place(crs, transform, points, GridMapping(name, value, missing, extra))


def _warn_of_lost_mapping(array: xr.DataArray) -> None:
    """A variable taken out of a Dataset names its grid mapping and leaves it behind."""
    name = array.encoding.get("grid_mapping", array.attrs.get("grid_mapping"))
    if name is not None:
        warnings.warn(
            f"the array names {name!r} as its grid mapping and has no such coordinate, so the "
            f"scene has no CRS: compress the Dataset, or give the array its CRS with "
            f".rio.write_crs(...) or .assign_coords({name}=ds[{name!r}])",
            stacklevel=2,
        )


def _transform(array: xr.DataArray, row: str, col: str, *, has_crs: bool) -> Affine | None:
    """The transform of the pixels that are there: a selection leaves the written one behind."""
    written, corners = _written(array)
    if not has_crs and (written is None or written.is_identity):
        return None
    if written is not None and (written.b or written.d):
        return _rotated(array, row, col, written)
    down_known = None if written is None or written.e == 0 else (written.f, written.e)
    along_known = None if written is None or written.a == 0 else (written.c, written.a)
    lines = []
    for dim, known in ((row, down_known), (col, along_known)):
        # xarray makes up coordinates for dimensions that have none.
        coord = array.coords[dim] if dim in array.coords else None  # noqa: SIM401
        values = None if coord is None or coord.dtype.kind not in "iuf" else coord.values
        line = _line(values, known, corners=corners)
        if line is None:
            if values is not None and values.size > 1:
                warnings.warn(
                    f"coordinate {dim!r} is not regular, so the scene has no transform: the "
                    "coordinate comes back in xarray, and GeoTIFF and GDAL have no place for it",
                    stacklevel=2,
                )
            return None
        lines.append(line)
    (top, down), (left, along) = lines
    return Affine(along, 0.0, left, 0.0, down, top)


def _line(
    values: npt.NDArray[np.generic] | None, known: tuple[float, float] | None, *, corners: bool
) -> tuple[float, float] | None:
    """Outer edge of the first pixel and size of a pixel along an axis; None if it has none.

    From its coordinate, and edge and size as they are written down.
    """
    if values is None or not np.isfinite(centres := values.astype(np.float64)).all():
        return known
    own = _regular(centres)
    if known is None:
        return own and (own[0] - own[1] / 2, own[1])
    origin, step = known
    if centres.size > 1:
        if own is None:
            return None
        if abs(own[1] - step) * centres.size > _ROUNDED * abs(step) * 2:
            return own[0] - own[1] / 2, own[1]
    first = (float(centres[0]) - origin) / step
    if _is_at(first - 0.5, centres):
        return origin + round(first - 0.5) * step, step
    if corners and _is_at(first, centres):
        return origin + round(first) * step, step
    return float(centres[0]) - step / 2, step


def _is_at(position: float, centres: Floats) -> bool:
    """Whether a position in pixels is a whole one, but for rounding."""
    return abs(position - round(position)) <= (_SAME if centres.size == 1 else _ROUNDED)


def _regular(centres: Floats) -> tuple[float, float] | None:
    """First value and step of the line that coordinates lie on; None if they lie on none."""
    if centres.size < 2:
        return None
    step = float(centres[-1] - centres[0]) / (centres.size - 1)
    if step == 0:
        return None
    off = np.abs(centres - (centres[0] + step * np.arange(centres.size)))
    return (float(centres[0]), step) if off.max() <= _ROUNDED * abs(step) else None


def _rotated(array: xr.DataArray, row: str, col: str, written: Affine) -> Affine | None:
    """A rotated grid of which pixels were selected: where its first pixel is, and its steps."""
    x, y = (array.coords.get(name) for name in ("xc", "yc"))
    if x is None or y is None or {*x.dims} != {row, col} or x.dims != y.dims:
        return written
    rows, cols = array.sizes[row], array.sizes[col]
    # Corners are enough, and the whole grid would fill the memory of a large scene.
    corners = {row: [0, rows - 1], col: [0, cols - 1]}
    xs, ys = (c.transpose(row, col).isel(corners).values.astype(np.float64) for c in (x, y))
    if not (np.isfinite(xs).all() and np.isfinite(ys).all()):
        return written
    at_col, at_row = ~written @ (xs, ys)
    first = at_col[0, 0] - 0.5, at_row[0, 0] - 0.5
    steps = (
        (at_col[0, 1] - at_col[0, 0]) / (cols - 1) if cols > 1 else 1.0,
        (at_row[1, 0] - at_row[0, 0]) / (rows - 1) if rows > 1 else 1.0,
    )
    found = np.array((*first, *steps))
    near = np.round(found)
    left, top, wide, high = (near if np.abs(found - near).max() <= _SAME else found).tolist()
    made = (
        left + 0.5 + wide * np.array([[0, cols - 1]]),
        top + 0.5 + high * np.array([[0], [rows - 1]]),
    )
    if max(np.abs(made[0] - at_col).max(), np.abs(made[1] - at_row).max()) <= _ROUNDED:
        # The first pixel may be a block of those that are written down.
        right, down = left + 0.5 - wide / 2, top + 0.5 - high / 2
        if (right, down, wide, high) == (0, 0, 1, 1):
            return written
        return written @ Affine(wide, 0.0, right, 0.0, high, down)
    warnings.warn(
        f"coordinates {x.name!r} and {y.name!r} do not follow from the transform that is written "
        "down, so the scene has none; give it one with .rio.write_transform(...)",
        stacklevel=2,
    )
    return None


def _written(array: xr.DataArray) -> tuple[Affine | None, bool]:
    """The transform that a source has written down.

    And whether coordinates beside it may be those of pixels' corners, as stackstac's are.
    """
    mapping = array.coords.get(array.rio.grid_mapping)
    text = None if mapping is None else mapping.attrs.get("GeoTransform")
    try:
        if text is not None:
            return Affine.from_gdal(*map(float, str(text).split())), False
        return Affine(*map(float, tuple(array.attrs["transform"])[:6])), True
    except (KeyError, TypeError, ValueError):
        return None, False
