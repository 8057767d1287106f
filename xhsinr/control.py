"""Rate and quality control: the codec that meets a target, found in few passes.

One number decides a codec: how many components are worth their bytes, how precise the basis
is, and the level of error variance that all tiles share. For a PSNR or a rate that number is the
mean squared error aimed at; for the cheapest base below a bound it is the level itself, with
errors weighted by the noise of the bands (see `xhsinr.noise`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.codec import BoundCoding, Codec, LatentCoding
from xhsinr.errors import NetworkError, TargetError
from xhsinr.metrics import Quality
from xhsinr.network import BaseNetwork
from xhsinr.noise import band_noise, band_weights
from xhsinr.spectral import SpectralBasis, worthwhile_components
from xhsinr.survey import Survey
from xhsinr.target import Target

__all__ = ["PSNR_WINDOW", "RATE_WINDOW", "Attempt", "Search"]

# A target counts as met from here to there: decibels above it, share of the bytes allowed.
PSNR_WINDOW = 0.3
RATE_WINDOW = 0.03
# Where in its window a PSNR is aimed at.
_AIM = 0.45
_MOST_ATTEMPTS = 14
# Neighbouring pixels are alike: the share of a score's variance that its neighbours leave open.
_UNEXPLAINED = 0.15
# Where the cheapest base below a bound is looked for: at the sum of these multiples of the noise
# variance and of the squared bound to begin with, and by this factor from trial to trial.
_NOISE_FACTOR, _BOUND_FACTOR, _TRIAL_FACTOR = 8.0, 1.0, 2.0
# Share of the bound that errors are measured by where the noise is less: below it they are free.
_BOUND_NOISE = 0.5
# Share of a scene's variance that latents leave open, roughly: the basis need not be finer.
_LATENTS_LEAVE = 0.1
# Levels that a forecast is asked for, as multiples of the error aimed at.
_LEVELS = 2.0 ** np.arange(-6, 8.25, 0.25)
# Squared errors below it count as none.
_TINY = 2.0**-200
# Floats are coded by the layers if the largest lies between these powers of two.
_EXPONENTS = -100, 100


Forecast = Callable[[Codec, npt.NDArray[np.float64]], npt.NDArray[np.float64]]
"""``forecast(codec, levels)``: mean squared error of a scene's scores at each level."""


@dataclass(frozen=True)
class Attempt:
    """What a codec gave.

    Attributes
    ----------
    codec : Codec
    bytes : int
        Of the file; on trial, of the tiles tried and their share of the basis.
    quality : Quality
    """

    codec: Codec
    bytes: int
    quality: Quality


class Search:
    """Finds the codec for a target: encode with `next`, tell `learn`, until that is content.

    Parameters
    ----------
    survey : Survey
    target : Target
    dtype : dtype
        Of the samples.
    nodata : int, float or None
    samples : int
        Of the scene, valid or not.
    network : BaseNetwork
    forecast : callable
        See `Forecast`.

    Attributes
    ----------
    next : Codec
        To be tried next.
    on_trial : bool
        A few tiles are enough to judge `next`; else it wants the whole scene.
    """

    def __init__(
        self,
        survey: Survey,
        target: Target,
        dtype: np.dtype[Any],
        nodata: int | float | None,
        samples: int,
        network: BaseNetwork,
        forecast: Forecast,
    ) -> None:
        self._survey, self._target, self._network = survey, target, network
        self._forecast = forecast
        integer = dtype.kind != "f"
        largest = max(abs(survey.low), abs(survey.high))
        lowest, highest = (math.ldexp(1.0, exponent) for exponent in _EXPONENTS)
        # Floats of a size whose units the layers have no exponents for.
        self._extreme = not integer and largest > 0 and not lowest <= largest < highest
        self._plain = Codec(
            dtype=dtype,
            states=survey.states,
            live=survey.live,
            low=int(survey.low) if integer else survey.low,
            high=int(survey.high) if integer else survey.high,
            nodata=nodata,
            basis=self._coarse_mean(),
        )
        self._budget = int(target.value * samples / 8) if target.kind == "bpppb" else 0
        # Attempts with the error that each aimed at, or with the level of a trial.
        self._attempts: list[tuple[float, Attempt]] = []
        self._aim = math.inf
        self._settled = False
        self.on_trial = False
        self.next = self._first()

    @property
    def noise(self) -> float:
        """Standard deviation of the noise in data units: the median over bands."""
        return float(np.median(self._band_noise))

    @cached_property
    def _band_noise(self) -> npt.NDArray[np.float64]:
        return band_noise(self._survey.covariance)

    def learn(self, attempt: Attempt) -> bool:
        """Take in what `next` gave; true if it is to be kept, else `next` is another codec.

        Raises
        ------
        TargetError
            If no codec gets below the rate asked for.
        """
        self._attempts.append((self._aim, attempt))
        if self.on_trial:
            level = self._next_trial()
            self.on_trial = level is not None
            self.next = self._cheapest() if level is None else self._bounded(level)
            self._settled = level is None
            return False
        if self._settled or self._target.kind not in ("psnr", "bpppb") or self._met(attempt):
            return True
        if len(self._attempts) < _MOST_ATTEMPTS:
            self.next = self._detail(self._next_aim())
        else:
            self.next = self._nearest()
            self._settled = True
        return False

    def _first(self) -> Codec:
        kind = self._target.kind
        if kind == "preview":
            return self._preview()
        if self._extreme and kind == "bpppb":
            raise TargetError(
                f"samples from {self._survey.low:g} to {self._survey.high:g} are stored exactly "
                "or not at all, at no rate that could be chosen: rescale them"
            )
        if self._extreme:
            self._settled = True
            return replace(self._plain, bound=BoundCoding(0, exact_floats=True))
        if kind == "psnr":
            return self._detail(self._mse_wanted())
        if kind == "bpppb":
            return self._detail(self._mse_of_bits(8 * self._budget / self._survey.pixels))
        codec = self._below_bound()
        self.on_trial = not self._bound.exact_floats
        return codec

    def _below_bound(self) -> Codec:
        """A codec that keeps the bound, and near the cheapest as a rule."""
        if self._bound.exact_floats:
            return replace(self._plain, bound=self._bound)
        return self._bounded(_NOISE_FACTOR * self.noise**2 + _BOUND_FACTOR * self._limit**2)

    def _coarse_mean(self) -> SpectralBasis:
        """Fills invalid samples; what decodes from scores has its own mean."""
        survey = self._survey
        if self._extreme:
            return SpectralBasis(
                np.zeros(len(survey.mean), np.int64), 0, np.zeros((0, len(survey.mean)), np.int64)
            )
        return self._basis(0, max((survey.high - survey.low) ** 2, _TINY))

    def _basis(self, components: int, mse: float) -> SpectralBasis:
        survey = self._survey
        return SpectralBasis.from_statistics(
            survey.mean,
            survey.covariance,
            components=components,
            distortion=mse,
            pixels=survey.pixels,
        )

    def _preview(self) -> Codec:
        survey, network = self._survey, self._network
        if network.head == "shared":
            bands = len(survey.mean)
            if bands > network.siren.outputs:
                raise NetworkError(
                    f"network {network.name!r} has outputs for {network.siren.outputs} bands, the "
                    f"scene has {bands}: use a network with the scene head, or train one"
                )
            unit = (survey.high - survey.low) or 1.0
            return replace(self._plain, latents=LatentCoding(network, 0, unit, survey.low))
        unit = math.sqrt(survey.variances[0]) or 1.0
        mse = _LATENTS_LEAVE * float(survey.variances.mean())
        basis = self._basis(network.siren.outputs, max(mse, _TINY))
        return replace(self._plain, basis=basis, latents=LatentCoding(network, 0, unit))

    def _detail(self, aim: float) -> Codec:
        """Codec with a detail layer that leaves about this mean squared error per sample."""
        self._aim = aim = max(aim, _TINY)
        survey = self._survey
        bands = len(survey.mean)
        components = worthwhile_components(survey.variances, aim * bands)
        basis = self._basis(components, aim)
        draft = replace(self._plain, basis=basis)
        if basis.components == 0:
            return draft
        # What the components left out cost already; some has to remain for the others.
        left = max(aim - basis.unexplained(survey.mean, survey.covariance), 0.2 * aim)
        wanted = left * bands / basis.components
        errors = np.maximum(self._forecast(draft, wanted * _LEVELS), _TINY)
        level = wanted * np.exp(np.interp(np.log(wanted), np.log(errors), np.log(_LEVELS)))
        return replace(draft, level=float(level))

    def _bounded(self, level: float) -> Codec:
        """Codec with a base at this level of weighted error variance, and the bound layer."""
        self._aim = level
        survey, weights = self._survey, self._weights
        distortion = float(np.minimum(self._weighted_variances, level).mean())
        components = worthwhile_components(self._weighted_variances, distortion * len(weights))
        basis = SpectralBasis.from_statistics(
            survey.mean,
            survey.covariance,
            components=components,
            distortion=distortion if components else level,
            pixels=survey.pixels,
            weights=weights,
        )
        return replace(self._plain, basis=basis, level=level, bound=self._bound)

    @cached_property
    def _weights(self) -> npt.NDArray[np.float64]:
        """What errors of the base weigh below the bound."""
        unit = math.ldexp(1.0, self._bound.exponent)
        return band_weights(self._band_noise, (_BOUND_NOISE * self._bound.max_error + 0.5) * unit)

    @cached_property
    def _weighted_variances(self) -> npt.NDArray[np.float64]:
        weighted = self._survey.covariance * self._weights * self._weights[:, None]
        return np.asarray(np.maximum(np.linalg.eigvalsh(weighted)[::-1], 0.0))

    @property
    def _limit(self) -> float:
        """Largest error that the bound layer leaves, in data units, rounding included."""
        return math.ldexp(self._bound.max_error + 0.5, self._bound.exponent)

    @cached_property
    def _bound(self) -> BoundCoding:
        """The bound layer for the target; exact floats where integers would not hold it."""
        exact = BoundCoding(0, exact_floats=self._plain.dtype.kind == "f")
        limit = {"max_error": self._target.value, "noise": self.noise}.get(self._target.kind, 0.0)
        span = self._survey.high - self._survey.low
        if self._plain.dtype.kind != "f":
            return BoundCoding(int(min(limit, span)))
        if limit <= 0:
            return exact
        # Sixteen to thirty-two units a bound: rounding to a unit costs little of it.
        exponent = math.frexp(min(limit, 2 * span) or limit)[1] - 5
        largest = max(abs(self._survey.low), abs(self._survey.high))
        mantissa = min(np.finfo(self._plain.dtype).nmant, 32)
        if largest >= math.ldexp(1.0, exponent + mantissa) or exponent < _EXPONENTS[0]:
            return exact
        units = min(math.ldexp(limit, -exponent), 1 << 20)
        return BoundCoding(int(units - 0.5), exponent)

    def _next_trial(self) -> float | None:
        """Another level for the base, None once one lies between dearer ones."""
        tried = sorted((level, attempt.bytes) for level, attempt in self._attempts)
        if len(tried) >= _MOST_ATTEMPTS:
            return None
        cheapest = min(range(len(tried)), key=lambda i: tried[i][1])
        level = tried[cheapest][0]
        if cheapest == len(tried) - 1 and level < self._weighted_variances[0]:
            return level * _TRIAL_FACTOR
        if cheapest == 0 and level > _TINY:
            return level / _TRIAL_FACTOR
        return None

    def _cheapest(self) -> Codec:
        return min((attempt for _, attempt in self._attempts), key=lambda a: a.bytes).codec

    def _mse_wanted(self) -> float:
        span = self._survey.high - self._survey.low
        decibels = self._target.value + _AIM * PSNR_WINDOW
        return span**2 / 10 ** (decibels / 10)

    def _mse_of_bits(self, bits: float) -> float:
        """Error of Gaussian scores of the scene's variances at that many bits a pixel."""
        logs = np.log2(np.maximum(self._survey.variances * _UNEXPLAINED, _TINY))
        levels = (np.cumsum(logs) - 2 * bits) / np.arange(1, len(logs) + 1)
        fits = np.append(levels[:-1] >= logs[1:], True)
        level = 2.0 ** levels[np.argmax(fits)]
        return float(np.minimum(self._survey.variances, level).mean())

    def _met(self, attempt: Attempt) -> bool:
        if self._target.kind == "psnr":
            above = attempt.quality.psnr_db - self._target.value
            return 0 <= above <= PSNR_WINDOW or attempt.quality.range == 0
        return (1 - RATE_WINDOW) * self._budget <= attempt.bytes <= self._budget

    def _figure(self, attempt: Attempt) -> float:
        """How far above the aim, on a scale that falls evenly with the log of the level."""
        if self._target.kind == "psnr":
            return attempt.quality.psnr_db - (self._target.value + _AIM * PSNR_WINDOW)
        return math.log(attempt.bytes / ((1 - RATE_WINDOW / 2) * max(self._budget, 1)))

    def _next_aim(self) -> float:
        tried = [(aim, self._figure(attempt)) for aim, attempt in self._attempts]
        above = max((t for t in tried if t[1] > 0), default=None)
        below = min((t for t in tried if t[1] <= 0), default=None)
        if above and below and above[0] < below[0]:
            share = 0.5
            if math.isfinite(above[1]):
                share = min(max(above[1] / (above[1] - below[1]), 0.1), 0.9)
            return float(above[0] * (below[0] / above[0]) ** share)
        aim, figure = tried[-1]
        if self._target.kind == "psnr":
            # What was measured against what was predicted corrects the next prediction.
            return aim * 10 ** (min(max(figure, -20.0), 20.0) / 10)
        kept = worthwhile_components(self._survey.variances, aim * len(self._survey.mean))
        bits = 8 * self._budget / self._survey.pixels
        # A bit a score for a quarter of the error, though most scores are cheaper zeros.
        return float(aim * 2.0 ** min(max(4 * bits * figure / max(kept, 1), -8.0), 8.0))

    def _nearest(self) -> Codec:
        """The best of what was tried, where nothing falls into the window."""
        if self._target.kind == "psnr":
            enough = [a for _, a in self._attempts if a.quality.psnr_db >= self._target.value]
            if enough:
                return min(enough, key=lambda a: a.bytes).codec
            return self._below_bound()
        fitting = [a for _, a in self._attempts if a.bytes <= self._budget]
        if not fitting:
            raise TargetError(
                f"bpppb = {self._target.value:g} allows {self._budget} bytes, this scene needs "
                f"{min(a.bytes for _, a in self._attempts)} at least: ask for more"
            )
        return max(fitting, key=lambda a: a.quality.psnr_db).codec
