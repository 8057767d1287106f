"""The noise of each band, and what an error in it weighs below a bound.

A band's noise is what no linear combination of the other bands explains (Bioucas-Dias and
Nascimento 2008, HySime). Below a bound, an error of the base costs in proportion to the noise that
it drowns in: errors count in units of the noise, or of the bound where that is larger.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["band_noise", "band_weights"]

_RANGE = 16.0
"""Weights lie within this factor of 1: beyond it only the precision of the basis suffers."""

# A band with a larger share than this in combinations of no variance is explained by others.
_EXPLAINED = 1e-6

Float64Array = npt.NDArray[np.float64]


def band_noise(covariance: Float64Array) -> Float64Array:
    """Standard deviation of the noise of each band, shape (bands,).

    The inverse of the diagonal of the inverse covariance is the variance of the residual of the
    regression of a band on all others. Zero where other bands explain a band within the
    accuracy of the covariance, as with constant bands or fewer pixels than bands.
    """
    deviations = np.sqrt(np.maximum(covariance.diagonal(), 0.0))
    units = np.where(deviations > 0, deviations, 1.0)
    # Correlations are as well conditioned as can be, whatever the units and spreads of the bands.
    values, vectors = np.linalg.eigh(covariance / units / units[:, None])
    null = values <= 4 * len(values) * np.finfo(np.float64).eps * max(values[-1], 1.0)
    shares = np.square(vectors)
    explained = shares[:, null].sum(axis=1) > _EXPLAINED
    precisions = shares[:, ~null] @ (1 / values[~null])
    return np.where(explained, 0.0, deviations / np.sqrt(np.where(explained, 1.0, precisions)))


def band_weights(noise: Float64Array, least: float) -> Float64Array:
    """Weights of the bands' errors, shape (bands,), of geometric mean 1 or close to it.

    Parameters
    ----------
    noise : ndarray of float64, shape (bands,)
        Of `band_noise`.
    least : float
        Noise below which less of it gains nothing, above zero, in the same units.
    """
    scales = np.log(np.maximum(noise, least))
    limit = np.log(_RANGE)
    return np.asarray(np.exp(np.clip(scales.mean() - scales, -limit, limit)))
