"""Pictures of scenes in natural colours, as arrays and as PNG."""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

from xhsinr.errors import SceneError

__all__ = ["limits", "nanometres", "picture_bands", "png_bytes", "rgb", "stretched"]

Scene = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Picture = npt.NDArray[np.uint8]

RED_GREEN_BLUE_NM = (650.0, 550.0, 450.0)


def rgb(
    data: Scene,
    wavelengths: npt.ArrayLike | None = None,
    *,
    units: str = "nm",
    valid: Mask | None = None,
) -> Picture:
    """Picture of a scene in natural colours, where its bands allow it.

    Red, green and blue are the bands nearest to 650, 550 and 450 nm, each stretched between
    its 2nd and 98th percentile. A scene without wavelengths, or without three bands near
    these, is shown in the false colours of three bands spread over all.

    Parameters
    ----------
    data : ndarray, (bands, rows, cols)
        The scene, in any units.
    wavelengths : array_like, (bands,), optional
        Band centres.
    units : str
        Units of the wavelengths: "nm" or "um", by any of their usual names.
    valid : ndarray of bool, optional
        Where samples count; broadcasts to (bands, rows, cols). NaN and infinite samples
        never do.

    Returns
    -------
    ndarray, (rows, cols, 3), uint8
        Pixels with an invalid sample in one of the three bands are black.

    Raises
    ------
    SceneError
        If the units are neither nanometres nor micrometres.
    """
    counts: Mask = np.isfinite(data) if valid is None else np.isfinite(data) & valid
    known = None if wavelengths is None else nanometres(wavelengths, units)
    bands = picture_bands(np.asarray(counts.any(axis=(1, 2))), known)
    return stretched(data[bands], counts[bands], limits(data[bands], counts[bands]))


def png_bytes(picture: Picture) -> bytes:
    """A picture (rows, cols, 3), uint8, as the bytes of a small PNG file."""
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(picture), level=9))


def nanometres(wavelengths: npt.ArrayLike, units: str) -> Floats:
    """Wavelengths in nanometres; SceneError where the units are neither nm nor um."""
    name = units.strip().lower().replace("\N{GREEK SMALL LETTER MU}", "u").replace("µ", "u")
    if name in ("nm", "nanometer", "nanometers", "nanometre", "nanometres"):
        factor = 1.0
    elif name in ("um", "micron", "microns") or name.startswith("micromet"):
        factor = 1000.0
    else:
        raise SceneError(f'wavelengths in {units!r}: give their units as "nm" or "um"')
    return factor * np.asarray(wavelengths, np.float64)


def picture_bands(live: Mask, wavelengths: Floats | None) -> list[int]:
    """Bands for red, green and blue.

    Parameters
    ----------
    live : ndarray of bool, (bands,)
        Bands that hold a valid sample; where there are any, the others are passed over.
    wavelengths : ndarray of float64, (bands,), optional
        In nanometres.
    """
    usable = np.flatnonzero(live)
    if not usable.size:
        usable = np.arange(len(live))
    if wavelengths is not None:
        away = np.abs(wavelengths[usable, None] - np.array(RED_GREEN_BLUE_NM))
        nearest = usable[away.argmin(axis=0)]
        if len(set(nearest)) == 3:
            return [int(band) for band in nearest]
    return [int(usable[int(share * (usable.size - 1))]) for share in (0.75, 0.5, 0.25)]


def limits(planes: Scene, valid: Mask) -> list[tuple[float, float]]:
    """2nd and 98th percentile of each plane."""
    found = []
    for plane, counts in zip(planes, valid, strict=True):
        values = plane[counts].astype(np.float64)
        low, high = np.percentile(values, (2, 98)) if values.size else (0.0, 1.0)
        found.append((float(low), float(high)))
    return found


def stretched(planes: Scene, valid: Mask, between: list[tuple[float, float]]) -> Picture:
    """Three planes as a picture, each from its lower to its upper limit."""
    low, high = np.array(between).T[:, :, None, None]
    shares = (planes.astype(np.float64) - low) / np.where(high > low, high - low, 1.0)
    whole = (valid & np.isfinite(shares)).all(axis=0)
    shown = np.where(whole, np.clip(shares, 0, 1), 0)
    levels: Picture = np.rint(255 * np.moveaxis(shown, 0, -1)).astype(np.uint8)
    return levels
