"""The codecs that a scene can be coded with, made of what the survey found.

A number decides each: how many components are worth their bytes, how precise the basis is, and
the level of error variance that all tiles share. For a PSNR or a rate that number is the mean
squared error aimed at; for a base below a bound it is the level itself, with errors weighted
by the noise of the bands (see `xhsinr.compression.noise`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.coding.bounded import BoundedCoding, base_frame
from xhsinr.coding.contract import Coding, Frame
from xhsinr.coding.floats import FloatsCoding
from xhsinr.coding.latents import LatentsCoding
from xhsinr.coding.lattice import QUOTIENT, Lattice
from xhsinr.coding.planes import PlanesCoding
from xhsinr.coding.tile import TileCodec
from xhsinr.compression.noise import band_noise, band_weights
from xhsinr.compression.pursuit import SMALLEST
from xhsinr.compression.survey import Survey
from xhsinr.network.file import Network
from xhsinr.network.prior import Prior, package_prior
from xhsinr.network.siren_network import SirenNetwork
from xhsinr.spectral.basis import SpectralBasis, worthwhile_components
from xhsinr.spectral.independent import sparse_basis, sparsest_turn

__all__ = ["Candidates", "Details", "Forecast"]

# Neighbouring pixels are alike: the share of a score's variance that its neighbours leave open.
_UNEXPLAINED = 0.15
# Share of the bound that errors are measured by where the noise is less: below it they are free.
_BOUND_NOISE = 0.5
# Share of a scene's variance that a preview leaves open.
_PREVIEW_LEAVES = 0.05
# A base may pay where the bound is so many times the noise: of 22 scenes none saves enough below
# 0.65. Its level is the sum of these multiples of the noise variance and of the squared bound.
_BASE_FROM = 0.6
# Above so many times the noise a base always saves bytes, below it has to be tried.
_BASE_SURELY_FROM = 4.0
_NOISE_FACTOR, _BOUND_FACTOR = 2.0, 1.0
_LARGEST_INTEGER = 1 << 32
# Share of a bound that the steps of a lattice have to fill.
_WIDE = 0.97
# Of which squared steps a forecast is asked for, as multiples of those with the error aimed at.
_LEVELS = 2.0 ** np.arange(-6, 8.25, 0.25)
# Floats are coded by the layers if the largest lies between these powers of two: the squares of
# their errors have to lie above `SMALLEST`.
_EXPONENTS = -80, 100

Forecast = Callable[[TileCodec, npt.NDArray[np.float64]], npt.NDArray[np.float64]]
"""``forecast(codec, steps)``: mean squared error of a scene's scores at each quantiser's step."""

Details = Callable[[TileCodec], npt.NDArray[np.float64] | None]
"""``details(codec)``: wavelet coefficients of a scene's scores, see `sparsest_turn`.

None where what was looked at has no valid sample.
"""


@dataclass(frozen=True)
class Candidates:
    """Makes codecs for one scene.

    Attributes
    ----------
    survey : Survey
    dtype : dtype
        Of the samples.
    nodata : int, float or None
    limit : float
        Largest error of a sample that codecs with a bound leave, in data units; 0 is lossless.
    network : Network or None
        Of the user's own: a prior to code planes with, or a network to try latents with.
    forecast : callable
        See `Forecast`.
    details : callable
        See `Details`.
    """

    survey: Survey
    dtype: np.dtype[Any]
    nodata: int | float | None
    limit: float
    network: Network | None
    forecast: Forecast
    details: Details

    @property
    def extreme(self) -> bool:
        """Floats of a size whose units the layers have no exponents for: stored exactly."""
        if self.dtype.kind != "f":
            return False
        lowest, highest = (math.ldexp(1.0, exponent) for exponent in _EXPONENTS)
        return self._largest > 0 and not lowest <= self._largest < highest

    @cached_property
    def band_noise(self) -> npt.NDArray[np.float64]:
        """Standard deviation of each band's noise in data units."""
        return band_noise(self.survey.covariance)

    @property
    def noise(self) -> float:
        """Median of the bands' noise."""
        return float(np.median(self.band_noise))

    def preview(self) -> TileCodec:
        """What shows the scene: latents of the user's network, or else few planes."""
        if isinstance(self.network, SirenNetwork):
            return self.latents()
        mse = _PREVIEW_LEAVES * float(self.survey.variances.mean())
        return self.planes(max(mse, SMALLEST))

    def latents(self) -> TileCodec:
        """Latents of the user's network, as precise as it was calibrated for.

        Raises
        ------
        NetworkError
            If the network has outputs for fewer bands than the scene has.
        """
        assert isinstance(self.network, SirenNetwork)
        return self._around(LatentsCoding(self._frame, self.network))

    def planes(self, aim: float) -> TileCodec:
        """Planes that leave about this mean squared error per sample."""
        survey = self.survey
        bands = len(survey.mean)

        def details(basis: SpectralBasis) -> npt.NDArray[np.float64] | None:
            return self.details(self._around(PlanesCoding(self._frame, basis)))

        basis = sparse_basis(
            survey.mean, survey.covariance, survey.variances, survey.pixels, aim, details
        )
        coding = PlanesCoding(self._frame, basis, network=self._prior)
        if basis.components == 0:
            return self._around(coding)
        # What the components left out cost already; some has to remain for the others.
        left = max(aim - basis.unexplained(survey.mean, survey.covariance), 0.2 * aim)
        wanted = left * bands / basis.components
        steps = np.sqrt(12 * wanted * _LEVELS)
        errors = np.maximum(self.forecast(self._around(coding), steps), SMALLEST)
        step = np.exp(np.interp(np.log(wanted), np.log(errors), np.log(steps)))
        return self._around(replace(coding, step=float(np.float32(step))))

    def bounded(self, level: float) -> TileCodec:
        """Integers within the limit, on a base at this level of weighted error variance.

        Without a base where no component lies above the level.
        """
        assert self.bound is not None
        lattice, units = self.bound
        # A step is for the way off nodata, see `TileCodec`.
        within = self.nodata is not None and self.survey.low < self.nodata < self.survey.high
        units = units - (within & (units > 0))
        coding = BoundedCoding(self._frame, lattice, units, limit=max(self.limit, 0.0))
        base = self._base(level) if level < self.highest_level else None
        if base is not None:
            base = self._base(level, self._turn(replace(coding, base=base), level))
        return self._around(replace(coding, base=base))

    def bounded_like(self, mse: float) -> TileCodec | None:
        """Integers within the bound whose errors have this mean square; None for no such bound.

        Errors lie evenly below a bound: those of floats have a third of its square.
        """
        limit = math.sqrt(3 * mse)
        if self.dtype.kind != "f":
            limit = float(math.floor((math.sqrt(1 + 12 * mse) - 1) / 2))
        candidates = replace(self, limit=limit)
        if candidates.bound is None:
            return None
        level = candidates.base_level if candidates.base_surely_pays else None
        return candidates.bounded(math.inf if level is None else level)

    @property
    def base_level(self) -> float | None:
        """Where a base below the bound is roughly cheapest; None where none pays.

        What lies below the noise is better predicted from band to band.
        """
        if self.bound is None or len(self.survey.mean) == 1:
            return None
        noise = self._lattice_noise
        level = _NOISE_FACTOR * noise**2 + _BOUND_FACTOR * self._widest**2
        pays = self._widest > _BASE_FROM * noise and level < self.highest_level
        return level if pays and self._widest > 1 else None

    @property
    def base_surely_pays(self) -> bool:
        """Whether the bound is so far above the noise that coding without a base is dearer."""
        return self._widest > _BASE_SURELY_FROM * self._lattice_noise

    @property
    def _lattice_noise(self) -> float:
        """Median of the bands' noise in the units of the lattice."""
        return float(np.median(self.band_noise * self._scales))

    @cached_property
    def highest_level(self) -> float:
        """Level above which a base below the bound has no component."""
        weighted = self._scaled * self._weights * self._weights[:, None]
        return float(max(np.linalg.eigvalsh(weighted)[-1], 0.0))

    def _base(
        self, level: float, turn: npt.NDArray[np.float64] | None = None
    ) -> PlanesCoding | None:
        """The base below the bound, in the units of the lattice."""
        assert self.bound is not None
        survey, weights, lattice = self.survey, self._weights, self.bound[0]
        weighted = self._scaled * weights * weights[:, None]
        variances = np.maximum(np.linalg.eigvalsh(weighted)[::-1], 0.0)
        distortion = float(np.minimum(variances, level).mean())
        basis = SpectralBasis.from_statistics(
            (survey.mean - lattice.offsets) * self._scales,
            self._scaled,
            components=worthwhile_components(variances, distortion * len(weights)),
            distortion=max(distortion, SMALLEST),
            pixels=survey.pixels,
            weights=weights,
            turn=turn,
        )
        if not basis.components:
            return None
        step = float(np.float32(math.sqrt(12 * level)))
        return PlanesCoding(base_frame(lattice, self._frame), basis, step, self._prior)

    @property
    def _widest(self) -> float:
        """The bound in the units of the lattice, with what rounding adds."""
        assert self.bound is not None
        return float(np.median(self.bound[1])) + 0.5

    @property
    def _scales(self) -> npt.NDArray[np.float64]:
        """Units of the lattice in a unit of the samples, by band."""
        assert self.bound is not None
        lattice = self.bound[0]
        scales = lattice.steps if lattice.rule == QUOTIENT else 1 / lattice.steps
        return np.broadcast_to(scales, self.survey.mean.shape)

    @property
    def _scaled(self) -> npt.NDArray[np.float64]:
        """Covariance of the integers."""
        return np.asarray(self.survey.covariance * self._scales * self._scales[:, None])

    @cached_property
    def _weights(self) -> npt.NDArray[np.float64]:
        """What errors of the base weigh below the bound."""
        return band_weights(self.band_noise * self._scales, _BOUND_NOISE * self._widest + 0.5)

    def exact_floats(self) -> TileCodec:
        """Floats bit by bit."""
        return self._around(FloatsCoding(self._frame))

    @cached_property
    def bound(self) -> tuple[Lattice, npt.NDArray[np.int64]] | None:
        """The integers that samples are, and the limit in these; None for exact floats.

        Exact floats where integers would not hold the limit.
        """
        survey = self.survey
        limit = min(self.limit, 2 * (survey.high - survey.low) or self._largest or 1.0)
        found = survey.lattice
        if found is not None and self._holds(found):
            units = found.units(limit, self._largest)
            if self.dtype.kind != "f" or limit <= 0:
                return found, np.where(limit > 0, units, 0)
            # Rounding is better where few steps make a bound and a part of one is lost.
            steps = 1 / found.steps if found.rule == QUOTIENT else found.steps
            if ((2 * units + 1) * steps > _WIDE * 2 * limit).all():
                return found, units
        if limit <= 0:
            return None
        lattice = Lattice.rounding(self.dtype, limit)
        return (lattice, lattice.units(limit, self._largest)) if self._holds(lattice) else None

    def _holds(self, lattice: Lattice) -> bool:
        """Whether the integers of a lattice are small enough to be coded."""
        survey = self.survey
        ends = np.broadcast_to([survey.low, survey.high], (len(survey.mean), 2))
        integers = np.abs(lattice.to_integers(ends.astype(self.dtype)).astype(np.float64))
        return bool(integers.max() < _LARGEST_INTEGER)

    def mse_of_bits(self, bits: float) -> float:
        """Error of Gaussian scores of the scene's variances at that many bits a pixel."""
        logs = np.log2(np.maximum(self.survey.variances * _UNEXPLAINED, SMALLEST))
        levels = (np.cumsum(logs) - 2 * bits) / np.arange(1, len(logs) + 1)
        fits = np.append(levels[:-1] >= logs[1:], True)
        level = 2.0 ** levels[np.argmax(fits)]
        return float(np.minimum(self.survey.variances, level).mean())

    @property
    def _prior(self) -> Prior | None:
        """The user's own prior; None where it is the package's."""
        network = self.network
        if not isinstance(network, Prior) or network.digest == package_prior().digest:
            return None
        return network

    @property
    def _largest(self) -> float:
        return max(abs(self.survey.low), abs(self.survey.high))

    @cached_property
    def _frame(self) -> Frame:
        survey, kind = self.survey, float if self.dtype.kind == "f" else int
        return Frame(self.dtype, len(survey.mean), kind(survey.low), kind(survey.high))

    def _around(self, coding: Coding) -> TileCodec:
        """The codec of the scene in some coding."""
        survey = self.survey
        return TileCodec(
            survey.voids, survey.states, survey.live, self.nodata, coding, survey.filler
        )

    def _turn(self, coding: Coding, level: float) -> npt.NDArray[np.float64] | None:
        """What makes the scores of a coding sparse that will err by this level."""
        blocks = self.details(self._around(coding))
        return None if blocks is None else sparsest_turn(blocks, level)
