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

from xhsinr.coding.bounded import BoundedCoding
from xhsinr.coding.contract import Coding, Frame
from xhsinr.coding.floats import FloatsCoding
from xhsinr.coding.latents import LatentsCoding
from xhsinr.coding.planes import PlanesCoding
from xhsinr.coding.tile import TileCodec
from xhsinr.compression.noise import band_noise, band_weights
from xhsinr.compression.pursuit import SMALLEST
from xhsinr.compression.survey import Survey
from xhsinr.network.siren_network import SirenNetwork
from xhsinr.spectral.basis import SpectralBasis, worthwhile_components

__all__ = ["Candidates", "Forecast"]

# Neighbouring pixels are alike: the share of a score's variance that its neighbours leave open.
_UNEXPLAINED = 0.15
# Share of the bound that errors are measured by where the noise is less: below it they are free.
_BOUND_NOISE = 0.5
# Share of a scene's variance that a preview leaves open.
_PREVIEW_LEAVES = 0.05
# Levels that a forecast is asked for, as multiples of the error aimed at.
_LEVELS = 2.0 ** np.arange(-6, 8.25, 0.25)
# Floats are coded by the layers if the largest lies between these powers of two: the squares of
# their errors have to lie above `SMALLEST`.
_EXPONENTS = -80, 100

Forecast = Callable[[TileCodec, npt.NDArray[np.float64]], npt.NDArray[np.float64]]
"""``forecast(codec, levels)``: mean squared error of a scene's scores at each level."""


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
    network : SirenNetwork or None
        Of the user's own, to try latents with.
    forecast : callable
        See `Forecast`.
    """

    survey: Survey
    dtype: np.dtype[Any]
    nodata: int | float | None
    limit: float
    network: SirenNetwork | None
    forecast: Forecast

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
        if self.network is not None:
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
        assert self.network is not None
        return self._around(LatentsCoding(self._frame, self.network))

    def planes(self, aim: float) -> TileCodec:
        """Planes that leave about this mean squared error per sample."""
        survey = self.survey
        bands = len(survey.mean)
        components = worthwhile_components(survey.variances, aim * bands)
        basis = self._basis(components, aim)
        coding = PlanesCoding(self._frame, basis)
        if basis.components == 0:
            return self._around(coding)
        # What the components left out cost already; some has to remain for the others.
        left = max(aim - basis.unexplained(survey.mean, survey.covariance), 0.2 * aim)
        wanted = left * bands / basis.components
        errors = np.maximum(self.forecast(self._around(coding), wanted * _LEVELS), SMALLEST)
        level = wanted * np.exp(np.interp(np.log(wanted), np.log(errors), np.log(_LEVELS)))
        return self._around(replace(coding, level=float(level)))

    def bounded(self, level: float) -> TileCodec:
        """A base at this level of weighted error variance, and the bound layer on it."""
        survey, weights = self.survey, self._weights
        distortion = float(np.minimum(self.weighted_variances, level).mean())
        components = worthwhile_components(self.weighted_variances, distortion * len(weights))
        basis = SpectralBasis.from_statistics(
            survey.mean,
            survey.covariance,
            components=components,
            distortion=max(distortion, SMALLEST),
            pixels=survey.pixels,
            weights=weights,
        )
        assert self.bound is not None
        max_error, exponent = self.bound
        # A step is for the way off nodata, see `TileCodec`.
        within = self.nodata is not None and survey.low < self.nodata < survey.high
        coding = BoundedCoding(
            self._frame, max_error - (within and max_error > 0), exponent, basis, level
        )
        return self._around(coding)

    def exact_floats(self) -> TileCodec:
        """Floats bit by bit."""
        return self._around(FloatsCoding(self._frame))

    @cached_property
    def bound(self) -> tuple[int, int] | None:
        """The limit in units, and the power of two that is a unit; None for exact floats.

        Exact floats where integers would not hold the limit.
        """
        survey = self.survey
        span = survey.high - survey.low
        if self.dtype.kind != "f":
            return int(min(self.limit, span)), 0
        if self.limit <= 0:
            return None
        # Sixteen to thirty-two units a bound: rounding to a unit costs little of it.
        exponent = math.frexp(min(self.limit, 2 * span or self._largest or 1.0))[1] - 5
        mantissa = min(np.finfo(self.dtype).nmant, 32)
        if self._largest >= math.ldexp(1.0, exponent + mantissa) or exponent < _EXPONENTS[0]:
            return None
        units = min(math.ldexp(self.limit, -exponent), 1 << 20)
        return int(units - 0.5), exponent

    @cached_property
    def weighted_variances(self) -> npt.NDArray[np.float64]:
        """Eigenvalues of the covariance below the bound, largest first."""
        weighted = self.survey.covariance * self._weights * self._weights[:, None]
        return np.asarray(np.maximum(np.linalg.eigvalsh(weighted)[::-1], 0.0))

    def mse_of_bits(self, bits: float) -> float:
        """Error of Gaussian scores of the scene's variances at that many bits a pixel."""
        logs = np.log2(np.maximum(self.survey.variances * _UNEXPLAINED, SMALLEST))
        levels = (np.cumsum(logs) - 2 * bits) / np.arange(1, len(logs) + 1)
        fits = np.append(levels[:-1] >= logs[1:], True)
        level = 2.0 ** levels[np.argmax(fits)]
        return float(np.minimum(self.survey.variances, level).mean())

    @property
    def _largest(self) -> float:
        return max(abs(self.survey.low), abs(self.survey.high))

    @cached_property
    def _weights(self) -> npt.NDArray[np.float64]:
        """What errors of the base weigh below the bound."""
        assert self.bound is not None
        max_error, exponent = self.bound
        unit = math.ldexp(1.0, exponent)
        return band_weights(self.band_noise, (_BOUND_NOISE * max_error + 0.5) * unit)

    @cached_property
    def _frame(self) -> Frame:
        survey, kind = self.survey, float if self.dtype.kind == "f" else int
        return Frame(self.dtype, len(survey.mean), kind(survey.low), kind(survey.high))

    def _around(self, coding: Coding) -> TileCodec:
        """The codec of the scene in some coding; the mean spectrum fills what is not valid."""
        survey = self.survey
        fill = np.clip(survey.mean, survey.low, survey.high)
        if self.dtype.kind != "f":
            fill = np.rint(fill)
        return TileCodec(survey.states, survey.live, self.nodata, coding, fill.astype(self.dtype))

    def _basis(self, components: int, mse: float) -> SpectralBasis:
        survey = self.survey
        return SpectralBasis.from_statistics(
            survey.mean,
            survey.covariance,
            components=components,
            distortion=mse,
            pixels=survey.pixels,
        )
