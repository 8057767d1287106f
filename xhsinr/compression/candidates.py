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

from xhsinr.coding.codec import BoundCoding, Codec, LatentCoding
from xhsinr.coding.latent_coding import quantiser_step
from xhsinr.compression.noise import band_noise, band_weights
from xhsinr.compression.pursuit import SMALLEST
from xhsinr.compression.survey import Survey
from xhsinr.errors import NetworkError
from xhsinr.network.base import BaseNetwork
from xhsinr.spectral.basis import SpectralBasis, worthwhile_components

__all__ = ["Candidates", "Forecast"]

# Neighbouring pixels are alike: the share of a score's variance that its neighbours leave open.
_UNEXPLAINED = 0.15
# Share of the bound that errors are measured by where the noise is less: below it they are free.
_BOUND_NOISE = 0.5
# Share of a scene's variance that latents leave open, roughly: the basis need not be finer.
_LATENTS_LEAVE = 0.1
# Share of a scene's variance that a preview leaves open.
_PREVIEW_LEAVES = 0.05
# Levels that a forecast is asked for, as multiples of the error aimed at.
_LEVELS = 2.0 ** np.arange(-6, 8.25, 0.25)
# Floats are coded by the layers if the largest lies between these powers of two: the squares of
# their errors have to lie above `SMALLEST`.
_EXPONENTS = -80, 100

Forecast = Callable[[Codec, npt.NDArray[np.float64]], npt.NDArray[np.float64]]
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
    network : BaseNetwork
    forecast : callable
        See `Forecast`.
    """

    survey: Survey
    dtype: np.dtype[Any]
    nodata: int | float | None
    limit: float
    network: BaseNetwork
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

    @property
    def linear(self) -> bool:
        """Whether the network is linear in its latents, so that any error can be aimed at."""
        return self.network.contexts is not None

    def preview(self) -> Codec:
        """Latents alone that show the scene."""
        if not self.linear:
            return self.latents()
        mse = _PREVIEW_LEAVES * float(self.survey.variances.mean())
        return self.sparse_latents(max(mse, SMALLEST))

    def latents(self) -> Codec:
        """Latents alone, as precise as the network was calibrated for.

        Raises
        ------
        NetworkError
            If the network has outputs for fewer bands than the scene has.
        """
        survey, network = self.survey, self.network
        if network.head == "shared":
            bands = len(survey.mean)
            if bands > network.siren.outputs:
                raise NetworkError(
                    f"network {network.name!r} has outputs for {network.siren.outputs} bands, the "
                    f"scene has {bands}: use the network default, or train one"
                )
            unit = (survey.high - survey.low) or 1.0
            return replace(self._plain, latents=LatentCoding(network, 0, unit, survey.low))
        unit = math.sqrt(survey.variances[0]) or 1.0
        mse = _LATENTS_LEAVE * float(survey.variances.mean())
        basis = self._basis(network.siren.outputs, max(mse, SMALLEST))
        return replace(self._plain, basis=basis, latents=LatentCoding(network, 0, unit))

    def detail(self, aim: float) -> Codec:
        """A detail layer that leaves about this mean squared error per sample."""
        draft, level = self._planned(aim, len(self.survey.mean))
        return replace(draft, level=level)

    def sparse_latents(self, aim: float) -> Codec:
        """Latents alone that leave about this mean squared error per sample."""
        draft, level = self._planned(aim, self.network.siren.outputs)
        if level is None:
            return draft
        step = float(f"{quantiser_step(level):.4g}")
        return replace(draft, latents=LatentCoding(self.network, 0, step))

    def _planned(self, aim: float, most: int) -> tuple[Codec, float | None]:
        """A basis of ``most`` vectors or fewer for an error, and the level of its scores' errors.

        Without a level no component is worth its vector.
        """
        survey = self.survey
        bands = len(survey.mean)
        components = min(most, worthwhile_components(survey.variances, aim * bands))
        basis = self._basis(components, aim)
        draft = replace(self._plain, basis=basis)
        if basis.components == 0:
            return draft, None
        # What the components left out cost already; some has to remain for the others.
        left = max(aim - basis.unexplained(survey.mean, survey.covariance), 0.2 * aim)
        wanted = left * bands / basis.components
        errors = np.maximum(self.forecast(draft, wanted * _LEVELS), SMALLEST)
        level = wanted * np.exp(np.interp(np.log(wanted), np.log(errors), np.log(_LEVELS)))
        return draft, float(level)

    def bounded(self, level: float) -> Codec:
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
        return replace(self._plain, basis=basis, level=level, bound=self.bound)

    def exact_floats(self) -> Codec:
        """Floats bit by bit, by a library's codec."""
        return replace(self._plain, bound=BoundCoding(0, exact_floats=True))

    @cached_property
    def bound(self) -> BoundCoding:
        """The bound layer for the limit; exact floats where integers would not hold it."""
        survey = self.survey
        span = survey.high - survey.low
        if self.dtype.kind != "f":
            return BoundCoding(int(min(self.limit, span)))
        exact = BoundCoding(0, exact_floats=True)
        if self.limit <= 0:
            return exact
        # Sixteen to thirty-two units a bound: rounding to a unit costs little of it.
        exponent = math.frexp(min(self.limit, 2 * span or self._largest or 1.0))[1] - 5
        mantissa = min(np.finfo(self.dtype).nmant, 32)
        if self._largest >= math.ldexp(1.0, exponent + mantissa) or exponent < _EXPONENTS[0]:
            return exact
        units = min(math.ldexp(self.limit, -exponent), 1 << 20)
        return BoundCoding(int(units - 0.5), exponent)

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
        unit = math.ldexp(1.0, self.bound.exponent)
        return band_weights(self.band_noise, (_BOUND_NOISE * self.bound.max_error + 0.5) * unit)

    @cached_property
    def _plain(self) -> Codec:
        survey, integer = self.survey, self.dtype.kind != "f"
        return Codec(
            dtype=self.dtype,
            states=survey.states,
            live=survey.live,
            low=int(survey.low) if integer else survey.low,
            high=int(survey.high) if integer else survey.high,
            nodata=self.nodata,
            basis=self._coarse_mean(),
        )

    def _coarse_mean(self) -> SpectralBasis:
        """Fills invalid samples; what decodes from scores has its own mean."""
        mean = self.survey.mean
        vectors = np.zeros((0, len(mean)), np.int64)
        if self.extreme:
            return SpectralBasis(np.zeros(len(mean), np.int64), 0, vectors)
        span = self.survey.high - self.survey.low
        # To some tenth of the range, and no more digits than a mean may have.
        exponent = max(math.frexp(span)[1] - 4, math.frexp(self._largest)[1] - 30)
        integers = np.rint(np.ldexp(mean, -exponent)).astype(np.int64)
        return SpectralBasis(integers, exponent, vectors)

    def _basis(self, components: int, mse: float) -> SpectralBasis:
        survey = self.survey
        return SpectralBasis.from_statistics(
            survey.mean,
            survey.covariance,
            components=components,
            distortion=mse,
            pixels=survey.pixels,
        )
