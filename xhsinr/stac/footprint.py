"""Where on Earth the valid pixels of a scene lie: a GeoJSON geometry in WGS 84.

The footprint is the convex hull of the valid pixels. It is exact for the usual quadrilateral
of data in a frame of nodata, and covers all valid pixels of any other shape. Geometries that
cross the antimeridian are cut there, as RFC 7946 (section 3.1.9) asks.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import antimeridian
import numpy as np
import numpy.typing as npt
import pyproj
import shapely
from affine import Affine
from rasterio import warp
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.transform import from_gcps
from scipy.spatial import ConvexHull
from shapely.geometry import Polygon

from xhsinr.scene import Scene

__all__ = ["Footprint", "footprint"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# Straight edges of a projected scene are curves in WGS 84. In pixels of the scene, where the
# curve bends evenly; where it does not, some pieces are off by twice as much.
_TOLERANCE = 0.25
_MOST_PIECES = 64
# 1e-7 degrees are a centimetre.
_DECIMALS = 7
_EARTH_RADIUS = 6_378_137.0


class Footprint(NamedTuple):
    """A place on Earth.

    Attributes
    ----------
    geometry : dict
        GeoJSON, Polygon or MultiPolygon.
    bbox : list of float
        West, south, east, north; west is above east where it crosses the antimeridian.
    """

    geometry: dict[str, Any]
    bbox: list[float]


def footprint(scene: Scene, valid: Mask | None = None, step: int = 1) -> Footprint | None:
    """Footprint of a scene; None where its place on Earth is unknown.

    Parameters
    ----------
    scene : Scene
        Its CRS and its transform or ground control points count.
    valid : ndarray of bool, shape (rows, cols), optional
        Pixels with data, possibly coarser than the scene; without it, all of them.
    step : int
        Pixels of the scene along each side of one pixel of ``valid``.
    """
    transform = _transform(scene)
    if transform is None or scene.crs is None or not _on_earth(scene.crs):
        return None
    if valid is not None and not valid.any():
        return None
    try:
        ring = _to_wgs84(_hull(scene, valid, step), transform, scene.crs)
    except RasterioError:
        return None
    # The hull is counter-clockwise in columns and rows, which mostly run downwards.
    ring = ring if transform.determinant > 0 else ring[::-1]
    return _on_sphere(ring) if np.isfinite(ring).all() else None


def _transform(scene: Scene) -> Affine | None:
    if scene.transform is not None or not scene.gcps:
        return scene.transform
    return Affine(*from_gcps(scene.gcps)[:6])


def _on_earth(crs: CRS) -> bool:
    """Scenes of the Moon and Mars have coordinate systems as well."""
    ellipsoid = pyproj.CRS.from_wkt(crs.to_wkt()).ellipsoid
    return ellipsoid is None or abs(ellipsoid.semi_major_metre / _EARTH_RADIUS - 1) < 0.01


def _hull(scene: Scene, valid: Mask | None, step: int) -> Floats:
    """Convex hull of the valid pixels' corners, as (column, row), not closed."""
    if valid is None:
        valid, step = np.ones((1, 1), np.bool_), max(scene.rows, scene.cols)
    rows = np.flatnonzero(valid.any(axis=1))
    first = valid[rows].argmax(axis=1)
    last = valid.shape[1] - valid[rows, ::-1].argmax(axis=1)
    corners = [(cols, rows + below) for cols in (first, last) for below in (0, 1)]
    points = step * np.concatenate([np.stack(pair, axis=1) for pair in corners])
    points = np.minimum(points, (scene.cols, scene.rows)).astype(np.float64)
    hull: Floats = points[ConvexHull(points).vertices]
    return hull


def _to_wgs84(pixels: Floats, transform: Affine, crs: CRS) -> Floats:
    """A ring of (column, row) as (longitude, latitude), with points on edges that are curved.

    An edge off its chord by e pixels in the middle needs about sqrt(e / tolerance) pieces.
    """

    def place(points: Floats) -> Floats:
        cols, rows = points.T
        return np.array(warp.transform(crs, "EPSG:4326", *(transform @ (cols, rows)))).T

    ends = np.roll(pixels, -1, axis=0)
    first, middle, last = place(pixels), place((pixels + ends) / 2), place(ends)
    half, chord = _apart(first, middle), _apart(first, last)
    degrees = np.maximum(np.linalg.norm(chord, axis=1), 1e-12)
    off = np.linalg.norm(half - chord / 2, axis=1) / degrees
    off *= np.linalg.norm(ends - pixels, axis=1)
    pieces = np.clip(np.ceil(np.sqrt(np.nan_to_num(off) / _TOLERANCE)), 1, _MOST_PIECES)
    edges = zip(pixels, ends, pieces.astype(int), strict=True)
    return place(np.concatenate([np.linspace(a, b, n, endpoint=False) for a, b, n in edges]))


def _apart(a: Floats, b: Floats) -> Floats:
    """From a to b in degrees of a great circle, the short way round the Earth."""
    lon = (b[:, 0] - a[:, 0] + 180) % 360 - 180
    return np.stack([lon * np.cos(np.radians(a[:, 1])), b[:, 1] - a[:, 1]], axis=1)


def _on_sphere(ring: Floats) -> Footprint:
    """Footprint of a ring of (longitude, latitude), counter-clockwise on the ground."""
    fixed = antimeridian.fix_polygon(Polygon(ring), fix_winding=False, great_circle=False)
    rounded = shapely.transform(fixed, lambda points: points.round(_DECIMALS))
    return Footprint(json.loads(shapely.to_geojson(rounded)), list(antimeridian.bbox(rounded)))
