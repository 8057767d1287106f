"""A small scene with all that belongs to one, and the ways that scenes take."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS

from xhsinr.scene import Scene

WAVELENGTHS = np.array([399.369995, 409.21, 1000.0, 2457.23999, 2500.1])
UTM = CRS.from_epsg(32633)
GRID = Affine(30.0, 0.0, 384342.37, 0.0, -30.0, 5818392.35)


def carried(scene: Scene) -> Scene:
    """The scene after its description went through JSON."""
    description, arrays = scene.describe()
    text = json.dumps(description, sort_keys=True, allow_nan=False)
    return Scene.from_description(json.loads(text), arrays, scene.data)


def tif(path: Path, cube: np.ndarray, **profile: Any) -> Path:
    kept = {"driver": "GTiff", "count": len(cube), "height": 6, "width": 7, "dtype": cube.dtype}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, "w", **(kept | profile)) as out:
            out.write(cube)
    return path
