"""Sidecar -> raster layer in natural colours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from qgis.core import QgsContrastEnhancement, QgsMultiBandColorRenderer, QgsRasterLayer

from xhsinr.pictures.picture import limits, picture_bands
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.file import Sidecar

from .bands import Bands, open_image, read_bands
from .image_file import write_image

__all__ = ["Prepared", "make_layer", "prepare"]

_TILES = 24


@dataclass(frozen=True)
class Prepared:
    """All that a layer needs.

    Attributes
    ----------
    sidecar, image : Path
    bands : list of int
        The bands shown as red, green and blue, counted from 0.
    limits : list of (float, float)
        Samples shown darkest and brightest, for each of these bands.
    """

    sidecar: Path
    image: Path
    bands: list[int]
    limits: list[tuple[float, float]]


def prepare(path: str | Path) -> Prepared:
    """Check a sidecar, decode it and choose its colours; in any thread.

    The limits are the 2nd and 98th percentile of at most 24 tiles spread over the scene.

    Raises
    ------
    HsinrError, OSError
    """
    sidecar = Sidecar.open(path)
    absolute = sidecar.path.absolute()
    reader = Reader(sidecar)
    live = reader.codec.live
    image = write_image(absolute)
    bands = read_bands(open_image(image))
    chosen = picture_bands(live, bands.micrometres)
    return Prepared(absolute, image, chosen, _limits(reader, chosen, bands))


def _limits(reader: Reader, chosen: list[int], bands: Bands) -> list[tuple[float, float]]:
    count = len(reader.tiling)
    tiles = np.unique(np.linspace(0, count - 1, _TILES).astype(int)).tolist()
    parts = [reader.tile(tile, np.array(chosen)).reshape(len(chosen), -1) for tile in tiles]
    samples = np.concatenate(parts, axis=1)
    return limits(samples, ~bands.invalid(samples))


def make_layer(prepared: Prepared) -> QgsRasterLayer:
    """The layer, to be added to a project; in the main thread."""
    options = QgsRasterLayer.LayerOptions()
    # QGIS's own style would be that of the first three bands, which it would read for it.
    options.loadDefaultStyle = False
    layer = QgsRasterLayer(str(prepared.image), prepared.sidecar.stem, "gdal", options)
    provider = layer.dataProvider()
    numbers = [band + 1 for band in prepared.bands]
    renderer = QgsMultiBandColorRenderer(provider, *numbers)
    setters = (
        renderer.setRedContrastEnhancement,
        renderer.setGreenContrastEnhancement,
        renderer.setBlueContrastEnhancement,
    )
    for number, (low, high), set_stretch in zip(numbers, prepared.limits, setters, strict=True):
        stretch = QgsContrastEnhancement(provider.dataType(number))
        stretch.setContrastEnhancementAlgorithm(QgsContrastEnhancement.StretchToMinimumMaximum)
        stretch.setMinimumValue(low)
        stretch.setMaximumValue(high)
        set_stretch(stretch)
    layer.setRenderer(renderer)
    return layer
