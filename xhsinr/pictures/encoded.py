"""Pictures as the bytes of image files, by GDAL; arrays of them do without, for QGIS."""

from __future__ import annotations

from typing import Any

import numpy as np
import rasterio

from xhsinr.pictures.picture import Picture
from xhsinr.scene.images import placeless

__all__ = ["jpeg_bytes", "png_bytes"]


def png_bytes(picture: Picture) -> bytes:
    """A picture (rows, cols, 3), uint8, as the bytes of a small PNG file."""
    return _file_bytes(picture, driver="PNG", zlevel=9)


def jpeg_bytes(picture: Picture) -> bytes:
    """A picture (rows, cols, 3), uint8, as the bytes of a JPEG file."""
    return _file_bytes(picture, driver="JPEG", quality=80)


def _file_bytes(picture: Picture, **profile: Any) -> bytes:
    rows, cols, count = picture.shape
    shape = {"height": rows, "width": cols, "count": count, "dtype": "uint8"}
    with placeless(), rasterio.MemoryFile() as made:
        with made.open(**profile, **shape) as out:
            out.write(np.moveaxis(picture, -1, 0))
        return bytes(made.read())
