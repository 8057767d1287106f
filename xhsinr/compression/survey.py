"""Pass 1 over a scene: what is valid, the range, and the statistics for a spectral basis."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.coding import mask
from xhsinr.errors import SceneError
from xhsinr.running.tasks import TileFunction
from xhsinr.scene import Scene
from xhsinr.spectral.basis import SpectralStatistics
from xhsinr.tiling import Window

__all__ = ["Survey", "TileSurvey", "sample_states", "survey", "survey_tile"]

# Spectra that the covariance is estimated from; more make the basis no better.
_SPECTRA = 1 << 18

Samples = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class TileSurvey:
    """What pass 1 keeps of one tile.

    Attributes
    ----------
    counts : ndarray of int64, shape (bands, 3)
        Samples of each band in each state (see `xhsinr.coding.mask`).
    low, high : float
        Range of the valid samples; inf and -inf where there are none.
    complete : bool
        Some pixels of a regular sample are valid in all of the tile's bands that are valid
        anywhere.
    statistics : SpectralStatistics
        Of these pixels; where there are none, of the sampled pixels that are valid somewhere,
        with the tile's band means for what is not valid and zeros in bands without any.
    """

    counts: npt.NDArray[np.int64]
    low: float
    high: float
    complete: bool
    statistics: SpectralStatistics


@dataclass(frozen=True, eq=False)
class Survey:
    """What pass 1 found.

    Attributes
    ----------
    states : ndarray of uint8, shape (bands,)
        State of the bands that are invalid throughout and in one way, 0 for the others.
    live : ndarray of bool, shape (bands,)
        Bands with at least one valid sample.
    low, high : float
        Range of the valid samples.
    pixels : int
        Pixels with at least one valid sample, at most.
    mean : ndarray of float64, shape (live bands,)
    covariance : ndarray of float64, shape (live bands, live bands)
    variances : ndarray of float64, shape (live bands,)
        Eigenvalues of the covariance, largest first.
    """

    states: npt.NDArray[np.uint8]
    live: npt.NDArray[np.bool_]
    low: float
    high: float
    pixels: int
    mean: npt.NDArray[np.float64]
    covariance: npt.NDArray[np.float64]
    variances: npt.NDArray[np.float64]


def sample_states(scene: Scene, samples: Samples) -> npt.NDArray[np.uint8]:
    """State of each sample (see `xhsinr.coding.mask`): valid, nodata or NaN."""
    states = scene.invalid(samples).astype(np.uint8) * np.uint8(mask.NODATA)
    if samples.dtype.kind == "f":
        states[np.isnan(samples)] = mask.NAN
    return states


def survey_tile(tile: Scene, window: Window, stride: int) -> TileSurvey:
    """Pass 1 on one tile, with the spectra of every ``stride``-th pixel."""
    samples = tile.data
    states = sample_states(tile, samples)
    counts = np.stack([np.count_nonzero(states == s, axis=(1, 2)) for s in range(3)], axis=1)
    valid = states == mask.VALID
    low, high = _range(samples, valid)
    if valid.any() and not (math.isfinite(low) and math.isfinite(high)):
        band = int(np.argmax((np.isinf(samples) & valid).any(axis=(1, 2))))
        raise SceneError(
            f"band {band} has infinite values in rows {window[0].start} to {window[0].stop - 1}, "
            f"columns {window[1].start} to {window[1].stop - 1}: replace them by NaN or nodata"
        )
    spectra = samples.reshape(len(samples), -1)[:, ::stride]
    chosen = valid.reshape(len(valid), -1)[:, ::stride]
    live = counts[:, mask.VALID] > 0
    some = chosen.any(axis=0)
    complete = some & chosen[live].all(axis=0)
    statistics = SpectralStatistics(len(samples))
    if complete.any():
        statistics.update(np.where(live[:, None], spectra[:, complete], 0))
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            total = np.sum(samples, axis=(1, 2), where=valid, dtype=np.float64)
        # The sum of the largest floats overflows; their mean lies in their range.
        means = np.clip(np.nan_to_num(total / np.maximum(counts[:, mask.VALID], 1)), low, high)
        statistics.update(np.where(chosen, spectra, means[:, None])[:, some])
    return TileSurvey(counts, low, high, bool(complete.any()), statistics)


def _range(samples: Samples, valid: npt.NDArray[np.bool_]) -> tuple[float, float]:
    if valid.all():
        return float(samples.min()), float(samples.max())
    if not valid.any():
        return math.inf, -math.inf
    chosen = samples[valid]
    return float(chosen.min()), float(chosen.max())


def survey(scene: Scene, run: Callable[[TileFunction[TileSurvey]], Iterator[TileSurvey]]) -> Survey:
    """Pass 1 over all tiles.

    Parameters
    ----------
    scene : Scene
    run : callable
        ``run(function)`` gives the results of a function on all tiles, in their order.

    Raises
    ------
    SceneError
        If a sample is infinite or no sample is valid.
    """
    stride = max(1, -(-scene.rows * scene.cols // _SPECTRA))
    counts = np.zeros((scene.bands, 3), np.int64)
    low, high = math.inf, -math.inf
    complete: dict[bytes, SpectralStatistics] = {}
    filled = SpectralStatistics(scene.bands)
    for part in run(partial(survey_tile, stride=stride)):
        counts += part.counts
        low, high = min(low, part.low), max(high, part.high)
        if part.complete:
            # Tiles are kept apart by the bands that they lack, until it is known which bands
            # all of the scene lacks.
            key = (part.counts[:, mask.VALID] > 0).tobytes()
            complete.setdefault(key, SpectralStatistics(scene.bands)).merge(part.statistics)
        elif not complete:
            filled.merge(part.statistics)
    live = counts[:, mask.VALID] > 0
    if not live.any():
        raise SceneError(
            "no sample of the scene is valid: all are "
            + ("NaN" if not counts[:, mask.NODATA].any() else f"nodata ({scene.nodata}) or NaN")
        )
    chosen = complete.get(live.tobytes()) or max(
        complete.values(), key=lambda statistics: statistics.count, default=filled
    )
    covariance = chosen.covariance[np.ix_(live, live)]
    variances = np.maximum(np.linalg.eigvalsh(covariance)[::-1], 0.0)
    uniform = (counts == scene.rows * scene.cols).argmax(axis=1)
    pixels = int(counts[:, mask.VALID].max())
    return Survey(
        states=uniform.astype(np.uint8),
        live=live,
        low=low,
        high=high,
        pixels=pixels,
        mean=chosen.mean[live],
        covariance=covariance,
        variances=variances,
    )
