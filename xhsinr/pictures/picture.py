"""Pictures of scenes in natural colours, as arrays."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["image_html", "limits", "picture_bands", "stretched"]

Scene = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Picture = npt.NDArray[np.uint8]

RED_GREEN_BLUE_UM = (0.65, 0.55, 0.45)


def picture_bands(live: Mask, micrometres: Floats | None) -> list[int]:
    """Bands for red, green and blue: those nearest to 650, 550 and 450 nm.

    A scene without wavelengths, or without three bands near these, is shown in the false
    colours of three bands spread over all.

    Parameters
    ----------
    live : ndarray of bool, shape (bands,)
        Bands that hold a valid sample; where there are any, the others are passed over.
    micrometres : ndarray of float64, shape (bands,), optional
        Wavelengths.
    """
    usable = np.flatnonzero(live)
    if not usable.size:
        usable = np.arange(len(live))
    if micrometres is not None:
        away = np.abs(micrometres[usable, None] - np.array(RED_GREEN_BLUE_UM))
        nearest = usable[away.argmin(axis=0)]
        if len(set(nearest)) == 3:
            return [int(band) for band in nearest]
    return [int(usable[int(share * (usable.size - 1))]) for share in (0.75, 0.5, 0.25)]


def limits(planes: Scene, valid: Mask) -> list[tuple[float, float]]:
    """2nd and 98th percentile of the valid samples of each plane (planes, rows, cols)."""
    found = []
    for plane, counts in zip(planes, valid, strict=True):
        values = plane[counts].astype(np.float64)
        low, high = np.percentile(values, (2, 98)) if values.size else (0.0, 1.0)
        found.append((float(low), float(high)))
    return found


def stretched(planes: Scene, valid: Mask, between: list[tuple[float, float]]) -> Picture:
    """Three planes as a picture (rows, cols, 3), each from its lower to its upper limit.

    Pixels with an invalid sample in one of the planes are black.
    """
    low, high = np.array(between).T[:, :, None, None]
    shares = (planes.astype(np.float64) - low) / np.where(high > low, high - low, 1.0)
    whole = (valid & np.isfinite(shares)).all(axis=0)
    shown = np.where(whole, np.clip(shares, 0, 1), 0)
    levels: Picture = np.rint(255 * np.moveaxis(shown, 0, -1)).astype(np.uint8)
    return levels


def image_html(png: bytes, side: int) -> str:
    """An HTML element that shows a PNG file in a square of that many pixels, large or small."""
    style = (
        f"width:{side}px;max-height:{side}px;object-fit:contain;object-position:top;"
        "image-rendering:pixelated"
    )
    data = base64.b64encode(png).decode()
    return f"<img src='data:image/png;base64,{data}' style='{style}' alt='quicklook'>"
