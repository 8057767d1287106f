"""Sidecar -> raster layer in natural colours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from qgis.core import QgsContrastEnhancement, QgsMultiBandColorRenderer, QgsRasterLayer

from xhsinr.errors import DamagedSidecarError
from xhsinr.pictures.picture import limits, picture_bands
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.file import Sidecar

from .bands import Bands, open_vrt, read_bands
from .vrt_file import write_vrt

__all__ = ["Prepared", "make_layer", "prepare"]

_TILES = 24


@dataclass(frozen=True)
class Prepared:
    """All that a layer needs.

    Attributes
    ----------
    sidecar, vrt : Path
    bands : list of int
        The bands shown as red, green and blue, counted from 0.
    limits : list of (float, float)
        Samples shown darkest and brightest, for each of these bands.
    """

    sidecar: Path
    vrt: Path
    bands: list[int]
    limits: list[tuple[float, float]]


def prepare(path: str | Path) -> Prepared:
    """Check a sidecar, write its VRT and choose its colours; in any thread.

    The limits are the 2nd and 98th percentile of at most 24 tiles spread over the scene.

    Raises
    ------
    HsinrError, OSError
    """
    sidecar = Sidecar.open(path)
    absolute = sidecar.path.absolute()
    reader = Reader(sidecar)
    live = reader.codec.live
    vrt = write_vrt(absolute)
    bands = read_bands(open_vrt(vrt))
    chosen = picture_bands(live, bands.micrometres)
    return Prepared(absolute, vrt, chosen, _limits(reader, chosen, bands))


def _limits(reader: Reader, chosen: list[int], bands: Bands) -> list[tuple[float, float]]:
    count = len(reader.tiling)
    parts, damage = [], None
    for number in np.unique(np.linspace(0, count - 1, _TILES).astype(int)):
        try:
            tile = reader.tile(int(number), np.array(chosen))
        except DamagedSidecarError as error:
            # The others can be shown; QGIS reports this one when it comes into view.
            damage = error
        else:
            parts.append(tile.reshape(len(chosen), -1))
    if damage is not None and not parts:
        raise damage
    samples = np.concatenate(parts, axis=1)
    return limits(samples, ~bands.invalid(samples))


def make_layer(prepared: Prepared) -> QgsRasterLayer:
    """The layer, to be added to a project; in the main thread."""
    options = QgsRasterLayer.LayerOptions()
    # QGIS's own style would be that of the first three bands, which it would read for it.
    options.loadDefaultStyle = False
    layer = QgsRasterLayer(str(prepared.vrt), prepared.sidecar.stem, "gdal", options)
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
