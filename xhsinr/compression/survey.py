"""Pass 1 over a scene: what its samples are, and the statistics for a spectral basis.

What is valid and what stands where nothing is, borders that nobody declared, the range, the step
that the samples are multiples of, and mean and covariance of the spectra, in which gaps and
impulses have no part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.coding.lattice import Lattice
from xhsinr.coding.voids import MOST_VOIDS, Voids, bits_of
from xhsinr.compression.defects import FAR_OFF, impulses, repeated_spectra
from xhsinr.compression.outliers import usual_range
from xhsinr.compression.steps import find_lattice
from xhsinr.errors import SceneError
from xhsinr.running.tasks import TileFunction
from xhsinr.scene import Scene
from xhsinr.spectral.basis import SpectralStatistics
from xhsinr.spectral.filling import Filler, complete_spectra
from xhsinr.tiling import Window

__all__ = ["Border", "Survey", "TileSurvey", "survey", "survey_tile"]

# Spectra that the covariance is estimated from; more make the basis no better.
_SPECTRA = 1 << 16
# Spectra whose samples are looked at for a step.
_STEP_SPECTRA = 1 << 13
# Samples among which outliers are looked for.
_RANGE_SAMPLES = 1 << 17
# Share of a scene's pixels that a border has at least.
_BORDER = 0.001
_MOST_BORDERS = 4
# Pixels of one value that are worth a word: in a tiny scene any value repeats.
_TOLD = 100

Samples = npt.NDArray[Any]
Valid = npt.NDArray[np.bool_]


@dataclass
class Border:
    """A spectrum that many pixels have bit for bit."""

    spectrum: Samples
    pixels: int


@dataclass(frozen=True, eq=False)
class TileSurvey:
    """What pass 1 keeps of one tile.

    Attributes
    ----------
    valid : ndarray of int64, shape (bands,)
        Valid samples of each band, those of borders left out.
    invalid : dict of bytes to ndarray of int64, shape (bands,)
        Samples of each band that the scene says are not valid, by their bits; not all kinds
        where there are very many.
    borders : list of Border
    low, high : float
        Range of the valid samples, those of borders left out; inf and -inf where there are none.
    statistics : SpectralStatistics
        Of a regular sample of pixels, likely values in place of what is not valid, and zeros in
        bands without any valid sample.
    spectra : ndarray, shape (bands, n)
        Of some pixels.
    known : ndarray of bool, same shape
        Which samples of these are valid.
    """

    valid: npt.NDArray[np.int64]
    invalid: dict[bytes, npt.NDArray[np.int64]]
    borders: list[Border]
    low: float
    high: float
    statistics: SpectralStatistics
    spectra: Samples
    known: Valid


@dataclass(frozen=True, eq=False)
class Survey:
    """What pass 1 found.

    Attributes
    ----------
    voids : Voids
        What stands where samples are not valid.
    states : ndarray of uint8, shape (bands,)
        Number of the void that a band is throughout, 0 for the others.
    live : ndarray of bool, shape (bands,)
        Bands with at least one valid sample.
    low, high : float
        Range of the valid samples.
    pixels : int
        Pixels with at least one valid sample, at most.
    mean : ndarray of float64, shape (live bands,)
    covariance : ndarray of float64, shape (live bands, live bands)
    lattice : Lattice or None
        Of the live bands; None for floats without one.
    usual : (float, float)
        Range of the valid samples without outliers, see `xhsinr.compression.outliers`.
    fills : dict of float to float
        Values that nobody declared and whole pixels have: which share of the pixels has each.
    """

    voids: Voids
    states: npt.NDArray[np.uint8]
    live: npt.NDArray[np.bool_]
    low: float
    high: float
    pixels: int
    mean: npt.NDArray[np.float64]
    covariance: npt.NDArray[np.float64]
    lattice: Lattice | None
    usual: tuple[float, float]
    fills: dict[float, float]

    @property
    def span(self) -> float:
        """The range that a PSNR counts against."""
        return self.usual[1] - self.usual[0]

    @property
    def outliers(self) -> str | None:
        """What lies so far off that a PSNR does not count against its range; None for nothing."""
        low, high = self.usual
        if (low, high) == (self.low, self.high):
            return None
        return (
            f"samples go from {self.low:g} to {self.high:g}, nearly all from {low:g} to {high:g}: "
            "the PSNR asked for counts against the range of these; if the others are fill values, "
            "declare them as nodata"
        )

    @property
    def undeclared(self) -> str | None:
        """What may be fill values that nobody declared; None for nothing."""
        if not self.fills:
            return None
        shares = [
            f"{100 * share:.3g} % of the pixels are {v:.9g}" for v, share in self.fills.items()
        ]
        value = next(iter(self.fills))
        return (
            f"{' and '.join(shares)} in all bands: if that is a fill value, declare it as nodata, "
            f"with .rio.write_nodata({value:.9g}), in a GeoTIFF with `rio edit-info --nodata "
            f"{value:.9g}`; as it is, readers take it for data"
        )

    @cached_property
    def variances(self) -> npt.NDArray[np.float64]:
        """Eigenvalues of the covariance, largest first, shape (live bands,)."""
        return np.asarray(np.maximum(np.linalg.eigvalsh(self.covariance)[::-1], 0.0))

    @cached_property
    def filler(self) -> Filler:
        """Fills what is not valid with what is likely."""
        return Filler.from_statistics(self.mean, self.covariance)


def survey_tile(
    tile: Scene, window: Window, stride: int, step_stride: int, borders: bool
) -> TileSurvey:
    """Pass 1 on one tile.

    Parameters
    ----------
    tile : Scene
    window : Window
    stride, step_stride : int
        Every how manieth pixel statistics, and the step of the samples, are found from.
    borders : bool
        Leave out pixels whose spectrum is repeated.
    """
    samples = tile.data
    bands = len(samples)
    invalid = tile.invalid(samples)
    found = [Border(*pair) for pair in repeated_spectra(samples, invalid)] if borders else []
    valid = ~invalid
    for border in found:
        inside = Voids(border.spectrum[None]).states(samples, np.zeros_like(invalid)).all(axis=0)
        border.pixels = int(inside.sum())
        valid &= ~inside
    low, high = _range(samples, valid)
    if valid.any() and not (math.isfinite(low) and math.isfinite(high)):
        band = int(np.argmax((np.isinf(samples) & valid).any(axis=(1, 2))))
        raise SceneError(
            f"band {band} has infinite values in rows {window[0].start} to {window[0].stop - 1}, "
            f"columns {window[1].start} to {window[1].stop - 1}: replace them by NaN or nodata"
        )
    counts = np.array([np.count_nonzero(band) for band in valid], np.int64)
    flat, known = samples.reshape(bands, -1), valid.reshape(bands, -1)
    steps = flat[:, ::step_stride].copy(), known[:, ::step_stride].copy()
    struck = impulses(samples, valid, FAR_OFF * (high - low))
    if struck is not None:
        known = known & ~struck.reshape(bands, -1)
    statistics = _statistics(flat[:, ::stride], known[:, ::stride])
    return TileSurvey(counts, _kinds(samples, invalid), found, low, high, statistics, *steps)


def _range(samples: Samples, valid: Valid) -> tuple[float, float]:
    if valid.all():
        return float(samples.min()), float(samples.max())
    if not valid.any():
        return math.inf, -math.inf
    chosen = samples[valid]
    return float(chosen.min()), float(chosen.max())


def _kinds(samples: Samples, invalid: Valid) -> dict[bytes, npt.NDArray[np.int64]]:
    """Samples of each band by their bits, among those that are not valid."""
    kinds: dict[bytes, npt.NDArray[np.int64]] = {}
    if not invalid.any():
        return kinds
    held = bits_of(samples)
    left = held[invalid]
    while len(left) and len(kinds) < MOST_VOIDS:
        kind = left[:1].copy()
        left = left[left != kind]
        kinds[kind.tobytes()] = np.count_nonzero((held == kind) & invalid, axis=(1, 2))
    return kinds


def _statistics(spectra: Samples, known: Valid) -> SpectralStatistics:
    """Of spectra, shape (bands, pixels): of the complete ones, or of all where these are few."""
    statistics = SpectralStatistics(len(spectra))
    if known.all():
        statistics.update(spectra)
        return statistics
    live, some = np.asarray(known.any(axis=1)), np.asarray(known.any(axis=0))
    complete = np.asarray(some & known[live].all(axis=0))
    if not some.any():
        return statistics
    if 2 * complete.sum() >= some.sum():
        chosen = spectra if complete.all() else spectra[:, complete]
        statistics.update(chosen if live.all() else np.where(live[:, None], chosen, 0))
        return statistics
    filled = np.zeros((len(spectra), int(some.sum())))
    filled[live] = complete_spectra(spectra[np.ix_(live, some)], known[np.ix_(live, some)])
    statistics.update(filled)
    return statistics


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
    pixels = scene.rows * scene.cols
    function = partial(
        survey_tile,
        stride=max(1, -(-pixels // _SPECTRA)),
        step_stride=max(1, -(-pixels // _STEP_SPECTRA)),
    )
    gathered = _Gathered(scene)
    for part in run(partial(function, borders=True)):
        gathered.add(part)
    if not gathered.valid.any() and gathered.borders:
        # All is one border: the scene is what is repeated in it.
        gathered = _Gathered(scene)
        for part in run(partial(function, borders=False)):
            gathered.add(part)
    return gathered.survey()


@dataclass
class _Gathered:
    """What tiles gave so far."""

    scene: Scene
    low: float = math.inf
    high: float = -math.inf
    invalid: dict[bytes, npt.NDArray[np.int64]] = field(default_factory=dict)
    borders: dict[bytes, Border] = field(default_factory=dict)
    statistics: dict[bytes, SpectralStatistics] = field(default_factory=dict)
    steps: list[tuple[Samples, Valid]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.valid = np.zeros(self.scene.bands, np.int64)

    def add(self, part: TileSurvey) -> None:
        """Take in what a tile gave."""
        self.valid += part.valid
        self.low, self.high = min(self.low, part.low), max(self.high, part.high)
        for kind, counts in part.invalid.items():
            self.invalid[kind] = self.invalid.get(kind, 0) + counts
        for border in part.borders:
            key = border.spectrum.tobytes()
            known = self.borders.setdefault(key, Border(border.spectrum, 0))
            known.pixels += border.pixels
        # Tiles are kept apart by the bands that they lack, until it is known which bands all of
        # the scene lacks.
        key = (part.valid > 0).tobytes()
        self.statistics.setdefault(key, SpectralStatistics(self.scene.bands)).merge(part.statistics)
        self.steps.append((part.spectra, part.known))

    def survey(self) -> Survey:
        """What the scene is."""
        scene = self.scene
        borders = self._real_borders()
        live = self.valid > 0
        if not live.any():
            nodata = any(not _is_nan(kind, scene.dtype) for kind in self.invalid)
            raise SceneError(
                "no sample of the scene is valid: all are "
                + (f"nodata ({scene.nodata}) or NaN" if nodata else "NaN")
            )
        kinds = sorted(self.invalid, key=lambda kind: -int(self.invalid[kind].sum()))
        kinds = kinds[: MOST_VOIDS - len(borders)]
        spectra = [np.full(scene.bands, np.frombuffer(kind, scene.dtype)) for kind in kinds]
        spectra += [border.spectrum for border in borders]
        states = np.zeros(scene.bands, np.uint8)
        for number, kind in enumerate(kinds, 1):
            states[self.invalid[kind] == scene.rows * scene.cols] = number
        chosen = self.statistics.get(live.tobytes()) or max(
            self.statistics.values(), key=lambda statistics: statistics.count
        )
        return Survey(
            voids=Voids(np.array(spectra, scene.dtype).reshape(-1, scene.bands)),
            states=states,
            live=live,
            low=self.low,
            high=self.high,
            pixels=int(self.valid.max()),
            mean=chosen.mean[live],
            covariance=chosen.covariance[np.ix_(live, live)],
            lattice=self._lattice(live),
            usual=self._usual(),
            fills={
                float(value): border.pixels / (scene.rows * scene.cols)
                for border in borders
                for value in border.spectrum[live][:1]
                if border.pixels >= _TOLD and (border.spectrum[live] == value).all()
            },
        )

    def _usual(self) -> tuple[float, float]:
        known = np.concatenate([spectra[valid] for spectra, valid in self.steps])
        return usual_range(known[:: max(1, known.size // _RANGE_SAMPLES)], self.low, self.high)

    def _real_borders(self) -> list[Border]:
        """Those that are large; the samples of the others count as all do."""
        scene = self.scene
        least = _BORDER * scene.rows * scene.cols
        large = sorted(self.borders.values(), key=lambda border: -border.pixels)
        real = [border for border in large[:_MOST_BORDERS] if border.pixels >= least]
        for border in large[len(real) :]:
            column = border.spectrum[:, None, None]
            known = ~scene.invalid(column)
            low, high = _range(column, known)
            self.low, self.high = min(self.low, low), max(self.high, high)
            self.valid += border.pixels * known[:, 0, 0]
        return real

    def _lattice(self, live: npt.NDArray[np.bool_]) -> Lattice | None:
        scene = self.scene
        spectra = np.concatenate([spectra[live] for spectra, _ in self.steps], axis=1)
        known = np.concatenate([known[live] for _, known in self.steps], axis=1)
        bands = [values[valid] for values, valid in zip(spectra, known, strict=True)]
        return find_lattice(bands, scene.dtype, _scalings(scene))


def _is_nan(kind: bytes, dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" and bool(np.isnan(np.frombuffer(kind, dtype)[0]))


def _scalings(scene: Scene) -> list[tuple[float, float]]:
    """Scales and offsets that the metadata mention: samples may have been scaled by them."""
    found = []
    for where in (scene.encoding, scene.attrs):
        scale, offset = where.get("scale_factor", 1.0), where.get("add_offset", 0.0)
        if all(isinstance(n, int | float) and n == n for n in (scale, offset)):
            found.append((float(scale), float(offset)))
    return [pair for pair in dict.fromkeys(found) if pair != (1.0, 0.0)]
