"""What the GeoTIFF of a sidecar says of its bands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from osgeo import gdal

__all__ = ["Bands", "open_image", "read_bands"]


@dataclass(frozen=True)
class Bands:
    """The bands of a scene.

    Attributes
    ----------
    micrometres : ndarray of float64, shape (bands,), optional
        Wavelengths.
    good : ndarray of bool, shape (bands,)
        False where the scene's list of bad bands (``bbl``) says so.
    nodata : float, optional
    unit : str
        Of the samples; empty where it is not known.
    """

    micrometres: npt.NDArray[np.float64] | None
    good: npt.NDArray[np.bool_]
    nodata: float | None
    unit: str

    def invalid(self, samples: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Which samples say nothing: nodata and NaN."""
        mask = np.isnan(samples)
        if self.nodata is None:
            return mask
        floats = samples.dtype.kind == "f"
        found: npt.NDArray[np.bool_] = mask | (
            samples == (samples.dtype.type(self.nodata) if floats else self.nodata)
        )
        return found


def open_image(path: str | Path) -> gdal.Dataset:
    """Open an image with QGIS's GDAL.

    Raises
    ------
    OSError
    """
    dataset = gdal.Open(str(path))
    if dataset is None:
        raise OSError(f"{path}: {gdal.GetLastErrorMsg() or 'GDAL cannot open it'}")
    return dataset


def read_bands(dataset: gdal.Dataset) -> Bands:
    """Wavelengths, good bands, nodata and unit of an open image."""
    bands = [dataset.GetRasterBand(number + 1) for number in range(dataset.RasterCount)]
    centres = [band.GetMetadataItem("CENTRAL_WAVELENGTH_UM", "IMAGERY") for band in bands]
    flags = [band.GetMetadataItem("bbl") or "1" for band in bands]
    return Bands(
        None if None in centres else np.array(centres, np.float64),
        np.array(flags, np.float64) != 0,
        bands[0].GetNoDataValue(),
        bands[0].GetUnitType(),
    )
