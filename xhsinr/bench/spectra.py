"""What spectroscopists ask of decoded spectra: angles, and errors against the noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.bench.codecs import Cube
from xhsinr.compression.noise import band_noise

__all__ = ["angles", "noise_ratio"]


def angles(cube: Cube, decoded: Cube) -> npt.NDArray[np.float64]:
    """Spectral angle in degrees of each pixel whose spectra are not zero, shape (pixels,)."""
    before, after = (c.reshape(-1, c.shape[2]).astype(np.float64) for c in (cube, decoded))
    norms = np.linalg.norm(before, axis=1), np.linalg.norm(after, axis=1)
    defined = (norms[0] > 0) & (norms[1] > 0)
    unit, other = (
        c[defined] / n[defined, None] for c, n in zip((before, after), norms, strict=True)
    )
    # Of the chord, which is exact where the cosine is one but for rounding.
    chord: Any = np.linalg.norm(unit - other, axis=1)
    return np.asarray(np.degrees(2 * np.arcsin(np.clip(chord / 2, 0, 1))), np.float64)


def noise_ratio(cube: Cube, decoded: Cube) -> float:
    """RMSE of a band in units of its noise: the median over bands; NaN where noise is none.

    The noise is what no linear combination of the other bands explains, see
    `xhsinr.compression.noise.band_noise`.
    """
    pixels = cube.reshape(-1, cube.shape[2]).astype(np.float64)
    noise = band_noise(np.cov(pixels.T, bias=True))
    rmse = np.sqrt(np.square(decoded.reshape(pixels.shape) - pixels).mean(axis=0))
    noisy = noise > 0
    return float(np.median(rmse[noisy] / noise[noisy])) if noisy.any() else float("nan")
