"""The spectrum of a place on the map, decoded from the sidecar itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from osgeo import gdal

from xhsinr.errors import HsinrError
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.file import Sidecar

from .bands import Bands, open_image, read_bands

__all__ = ["NoSpectrumError", "Spectrum", "pixel_at", "read_spectrum"]


class NoSpectrumError(HsinrError):
    """There is nothing to show at that place."""


@dataclass(frozen=True)
class Spectrum:
    """The samples of one pixel.

    Attributes
    ----------
    title, axis, unit : str
        Which pixel it is, what ``positions`` are, the unit of ``values`` (may be empty).
    positions : list of float
        Wavelengths in nanometres; numbers of the bands from 1 where there are none.
    values : list of float
        As they decode; NaN for bad bands and where there is no data.
    """

    title: str
    axis: str
    unit: str
    positions: list[float]
    values: list[float]

    def to_text(self) -> str:
        """A table of two columns, for spreadsheets."""
        rows = zip(self.positions, self.values, strict=True)
        lines = [f"{position:.10g}\t{value:.10g}" for position, value in rows]
        return "\n".join([f"{self.axis}\tvalue", *lines]) + "\n"


def read_spectrum(sidecar: str, image: str, x: float, y: float) -> Spectrum:
    """Decode the pixel under a place.

    Parameters
    ----------
    sidecar, image : str
        Paths of the two files.
    x, y : float
        The place in the CRS of the layer.

    Raises
    ------
    NoSpectrumError
        Outside of the scene, or where the pixel has no data.
    HsinrError, OSError
    """
    reader = Reader(Sidecar.open(sidecar))
    name = Path(sidecar).stem
    dataset = open_image(image)
    row, col = pixel_at(dataset, x, y)
    count, rows, cols = reader.shape
    if not (0 <= row < rows and 0 <= col < cols):
        raise NoSpectrumError(f"That place is outside of {name}.")
    samples = reader.window(np.arange(count), np.array([row]), np.array([col]))[:, 0, 0]
    bands = read_bands(dataset)
    invalid = bands.invalid(samples) | ~bands.good
    title = f"{name}, row {row}, column {col}"
    if invalid.all():
        raise NoSpectrumError(f"{title}: no data.")
    axis, positions = _axis(bands)
    values = np.where(invalid, np.nan, samples.astype(np.float64))
    return Spectrum(title, axis, bands.unit, positions, values.tolist())


def pixel_at(dataset: gdal.Dataset, x: float, y: float) -> tuple[int, int]:
    """Row and column of the pixel of an open VRT at a place in the CRS of its layer."""
    if dataset.GetGeoTransform(can_return_null=True) is None and not dataset.GetGCPCount():
        # QGIS lays out scenes without georeference like this.
        return math.floor(-y), math.floor(x)
    found, (col, row, _) = gdal.Transformer(dataset, None, []).TransformPoint(1, x, y)
    if not found:
        raise NoSpectrumError("That place has no pixel.")
    return math.floor(row), math.floor(col)


def _axis(bands: Bands) -> tuple[str, list[float]]:
    if bands.micrometres is None:
        return "band", [float(band) for band in range(1, len(bands.good) + 1)]
    # Not the digits that the conversion makes: 418.24, not 418.23999999999995.
    return "wavelength (nm)", np.round(1000 * bands.micrometres, 6).tolist()
