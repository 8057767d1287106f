"""What a prior learns from: coefficients of many scenes, quantised finely and coarsely.

The encoder itself records them, so they are in a closed loop: what a coefficient is expected from
was quantised with the prior as it is so far.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xhsinr.coding.planes_forecast import blocks_of_details
from xhsinr.coding.planes_tile import WORTH, PlaneEncoder, Record
from xhsinr.network.prior import FIXED, INPUTS, MEAN_CONTEXTS, MEAN_SYMBOLS, Prior
from xhsinr.spectral.basis import SpectralBasis, SpectralStatistics
from xhsinr.spectral.independent import sparse_basis
from xhsinr.training.scenes import SceneSamples

__all__ = ["Examples", "examples", "tiles", "views"]

# Octaves that a view's mean squared error lies below the scene's variance: from the smallest
# previews to some 60 dB.
_OCTAVES = np.arange(1.0, 15.0, 2.0)
_SMALLEST_SIDE, _LARGEST_SIDE = 24, 512
# Coefficients of a view at most, so that fine ones of all components do not take all the time.
_MOST_COEFFICIENTS = 100_000
_EXAMPLES = 8000
# Side of the part of a scene whose details the basis is turned by, at most.
_TURNED_SIDE = 128
# Scenes of as many bands are put together to one of so many pixels a side.
_MOSAIC = 400

Planes = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Examples:
    """Coefficients of one view of a scene.

    Attributes
    ----------
    inputs : ndarray of int16, shape (n, INPUTS + FIXED)
        What a coefficient is expected from, see `xhsinr.coding.planes_tile.Record`.
    kinds : ndarray of uint8, shape (n,)
        Classes of the coefficients.
    means : ndarray of int64, shape (MEAN_CONTEXTS, MEAN_SYMBOLS)
        How often each mean of a band was seen.
    """

    inputs: npt.NDArray[np.int16]
    kinds: npt.NDArray[np.uint8]
    means: npt.NDArray[np.int64]


def examples(
    scenes: Sequence[SceneSamples], prior: Prior, seed: int, *, worth: float = WORTH
) -> Iterator[Examples]:
    """Examples of each view of each scene, as a prior quantises them.

    Parameters
    ----------
    scenes : sequence of SceneSamples
    prior : Prior
        Its expectations decide what is worth its bits.
    seed : int
        Of crops, turns, errors and the choice of coefficients.
    worth : float
        What a bit is worth to the quantiser, see `xhsinr.coding.planes_tile.WORTH`.
    """
    for number, scene in enumerate(tiles(scenes, seed)):
        rng = np.random.default_rng([seed, number])
        for planes in views(scene, rng):
            record = Record()
            PlaneEncoder(planes, prior, worth, record).planes()
            if not record.kinds:
                continue
            inputs, kinds = np.concatenate(record.inputs), np.concatenate(record.kinds)
            chosen = rng.permutation(len(kinds))[:_EXAMPLES]
            means = np.zeros((MEAN_CONTEXTS, MEAN_SYMBOLS), np.int64)
            np.add.at(means, tuple(np.array(record.means).T), 1)
            assert inputs.shape[1] == INPUTS + FIXED
            yield Examples(inputs[chosen], kinds[chosen], means)


def tiles(scenes: Sequence[SceneSamples], seed: int) -> Iterator[npt.NDArray[np.float32]]:
    """Samples of the scenes, then of mosaics of those with as many bands."""
    yield from (scene.samples for scene in scenes)
    alike: dict[int, list[npt.NDArray[np.float32]]] = {}
    for scene in scenes:
        alike.setdefault(len(scene.samples), []).append(scene.samples)
    for bands, group in sorted(alike.items()):
        rng = np.random.default_rng([seed, bands, 1])
        if len(group) > 1:
            yield _mosaic(group, _MOSAIC, rng)


def _mosaic(
    group: Sequence[npt.NDArray[np.float32]], side: int, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Scenes of one sensor side by side, each turned as it comes; cut at the edges."""
    mosaic = np.empty((len(group[0]), side, side), np.float32)
    piece = min(min(samples.shape[1:]) for samples in group)
    for top in range(0, side, piece):
        for left in range(0, side, piece):
            samples = group[int(rng.integers(len(group)))]
            part = mosaic[:, top : top + piece, left : left + piece]
            turned = _turned(_crop(samples, piece, rng), rng)
            part[:] = turned[:, : part.shape[1], : part.shape[2]]
    return mosaic


def views(samples: npt.NDArray[np.float32], rng: np.random.Generator) -> Iterator[Planes]:
    """Score planes of crops of a scene, in steps, from coarse to fine."""
    bands = len(samples)
    statistics = SpectralStatistics(bands)
    statistics.update(samples.reshape(bands, -1))
    variances = np.maximum(np.linalg.eigvalsh(statistics.covariance)[::-1], 0.0)
    part = samples[:, :_TURNED_SIDE, :_TURNED_SIDE]

    def details(basis: SpectralBasis) -> Planes:
        return blocks_of_details(basis.scores(part).astype(np.float64))

    for octave in _OCTAVES:
        mse = float(variances.mean()) * 2.0 ** -(octave + rng.uniform(-1.0, 1.0))
        basis = sparse_basis(
            statistics.mean, statistics.covariance, variances, samples[0].size, mse, details
        )
        if not basis.components:
            continue
        fits = int(np.sqrt(_MOST_COEFFICIENTS / max(basis.components, 1)))
        side = min(fits, int(rng.integers(_SMALLEST_SIDE, 2 * _LARGEST_SIDE)))
        crop = _turned(_crop(samples, max(side, _SMALLEST_SIDE), rng), rng)
        # Errors of coefficients that become zero are larger, those of components left out smaller.
        step = np.sqrt(12 * mse * bands / max(basis.components, 1)) * rng.uniform(0.7, 1.0)
        yield basis.scores(crop).astype(np.float64) / step


def _crop(
    samples: npt.NDArray[np.float32], side: int, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    tops = [int(rng.integers(max(size - side, 0) + 1)) for size in samples.shape[1:]]
    return samples[:, tops[0] : tops[0] + side, tops[1] : tops[1] + side]


def _turned(samples: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    turned = np.rot90(samples, int(rng.integers(4)), (1, 2))
    return np.ascontiguousarray(turned[:, ::-1] if rng.integers(2) else turned)
