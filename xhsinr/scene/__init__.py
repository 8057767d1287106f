"""The canonical scene: what can be compressed comes in here, what is decoded goes out here.

`read` takes what people have (a DataArray, a Dataset, an array, a file) and gives a `Scene`:
the samples as (bands, rows, cols), lazily where the source is lazy, and everything that the
source says about them. `Scene.to_xarray` gives it back laid out as it came, `write_geotiff`
writes it to a file.
"""

from xhsinr.scene.geotiff import write_geotiff
from xhsinr.scene.model import Scene
from xhsinr.scene.parts import Coordinate, GridMapping
from xhsinr.scene.read import read

__all__ = ["Coordinate", "GridMapping", "Scene", "read", "write_geotiff"]
