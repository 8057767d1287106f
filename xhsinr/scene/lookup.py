"""The way from sensor geometry to the ground: a geometry lookup table.

A table has, for each cell of a grid on the ground, the row and the column of the pixel that is seen
there, counted from 1, and 0 where none is. EMIT's products have one, called GLT.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.crs import CRS

from xhsinr.scene import header
from xhsinr.scene.numbers import expect

__all__ = ["Lookup"]

Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Lookup:
    """A geometry lookup table.

    Attributes
    ----------
    transform : Affine
    crs : CRS
        Of the grid on the ground.
    rows, cols : ndarray of int32, shape (cells down, cells across)
    """

    transform: Affine
    crs: CRS
    rows: Ints
    cols: Ints

    def fits(self, rows: int, cols: int) -> bool:
        """Whether all pixels that it names are in a scene of that size."""
        sides = ((self.rows, rows), (self.cols, cols))
        return all(places.min() >= 0 and places.max() <= most for places, most in sides)

    def describe(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """For a file's header: strict JSON, and small arrays."""
        out = {"crs": header.crs_to_text(self.crs), "transform": list(self.transform)[:6]}
        # From cell to cell little changes.
        return out, {
            "lookup.rows": np.diff(self.rows, axis=1, prepend=np.int32(0)),
            "lookup.cols": np.diff(self.cols, axis=1, prepend=np.int32(0)),
        }

    @classmethod
    def from_description(cls, entry: Any, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Inverse of `describe`; checked.

        Raises
        ------
        DamagedSidecarError
        """
        expect(isinstance(entry, dict) and "crs" in entry, "the lookup table has no CRS")
        places = []
        for name in ("lookup.rows", "lookup.cols"):
            steps = arrays.get(name)
            expect(
                steps is not None
                and steps.ndim == 2
                and steps.dtype == np.int32
                and steps.size > 0,
                f"{name} is no table",
            )
            assert steps is not None
            places.append(np.cumsum(steps, axis=1, dtype=np.int32))
        expect(places[0].shape == places[1].shape, "the lookup tables differ in shape")
        transform = header.transform_from_json(entry.get("transform"))
        return cls(transform, header.crs_from_text(entry["crs"]), *places)
