"""Rate and quality control: the codec that meets a target, found in few passes.

The error of a scene follows from one number, the water level: the error variance of every
score that is sent, while weaker components are left out (reverse water-filling). Searching a
PSNR or a rate is searching the level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xhsinr.codec import BoundCoding, Codec, LatentCoding
from xhsinr.errors import NetworkError, TargetError
from xhsinr.metrics import Quality
from xhsinr.network import BaseNetwork
from xhsinr.spectral import SpectralBasis, water_level
from xhsinr.survey import Survey
from xhsinr.target import Target

__all__ = ["Attempt", "Search"]

# A target counts as met from here to there: decibels above it, share of the bytes allowed.
PSNR_WINDOW = 0.3
RATE_WINDOW = 0.03
_MOST_ATTEMPTS = 14
# Neighbouring pixels are alike: the share of a score's variance that its neighbours leave open.
_UNEXPLAINED = 0.15


@dataclass(frozen=True)
class Attempt:
    """What a codec gave on the whole scene.

    Attributes
    ----------
    codec : Codec
    bytes : int
        Of the file.
    quality : Quality
    """

    codec: Codec
    bytes: int
    quality: Quality


class Search:
    """Finds the codec for a target: ask `next`, encode the scene, tell `learn`.

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
    """

    def __init__(
        self,
        survey: Survey,
        target: Target,
        dtype: np.dtype[Any],
        nodata: int | float | None,
        samples: int,
        network: BaseNetwork,
    ) -> None:
        self._survey, self._target, self._network = survey, target, network
        integer = dtype.kind != "f"
        self._plain = Codec(
            dtype=dtype,
            states=survey.states,
            live=survey.live,
            low=int(survey.low) if integer else survey.low,
            high=int(survey.high) if integer else survey.high,
            nodata=nodata,
            basis=self._basis(0, 1.0),
        )
        self._budget = int(target.value * samples / 8)
        self._attempts: list[Attempt] = []
        self.next = self._first()

    @property
    def noise(self) -> float:
        """Standard deviation of the noise in data units: the median over bands.

        A band's noise is what no linear combination of the other bands explains, the inverse
        of the diagonal of the inverse covariance (Bioucas-Dias and Nascimento 2008, HySime).
        """
        covariance = self._survey.covariance
        ridge = np.finfo(np.float64).eps * np.trace(covariance) * np.eye(len(covariance))
        variances = 1 / np.diag(np.linalg.pinv(covariance + ridge, hermitian=True))
        return float(np.sqrt(np.median(np.maximum(variances, 0.0))))

    def learn(self, attempt: Attempt) -> bool:
        """Take in what `next` gave; true if it is to be kept, else `next` is another codec.

        Raises
        ------
        TargetError
            If no codec gets below the rate asked for.
        """
        if self._target.kind not in ("psnr", "bpppb") or self._met(attempt):
            return True
        settled = bool(self._attempts) and attempt is self._attempts[-1]
        if settled or attempt.codec.level is None:
            return True
        self._attempts.append(attempt)
        if len(self._attempts) >= _MOST_ATTEMPTS:
            self.next = self._fallback()
        else:
            self.next = self._detail(self._next_level())
        return False

    def _first(self) -> Codec:
        kind = self._target.kind
        if kind == "preview":
            return self._preview()
        if kind == "psnr":
            return self._detail(self._level_of_mse(self._mse_wanted()))
        if kind == "bpppb":
            return self._detail(self._level_of_bits(8 * self._budget / self._survey.pixels))
        raise AssertionError(kind)

    def _basis(self, components: int, level: float) -> SpectralBasis:
        survey = self._survey
        bands = len(survey.mean)
        left = float(np.minimum(survey.variances, level).sum()) / bands
        return SpectralBasis.from_statistics(
            survey.mean,
            survey.covariance,
            components=components,
            distortion=max(left, np.finfo(np.float32).tiny),
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
        # What the latents leave open decides how precise the basis has to be.
        level = float(np.square(network.latent_steps * unit).mean())
        basis = self._basis(network.siren.outputs, level)
        return replace(self._plain, basis=basis, latents=LatentCoding(network, 0, unit))

    def _detail(self, level: float) -> Codec:
        components = int(np.count_nonzero(self._survey.variances > level))
        return replace(self._plain, basis=self._basis(components, level), level=level)

    def _mse_wanted(self) -> float:
        span = self._survey.high - self._survey.low
        decibels = self._target.value + 0.4 * PSNR_WINDOW
        return float(max(span, np.finfo(np.float32).tiny) ** 2 / 10 ** (decibels / 10))

    def _level_of_mse(self, mse: float) -> float:
        variances = self._survey.variances
        level = water_level(variances, mse * len(variances))
        return max(level, float(np.finfo(np.float32).tiny))

    def _level_of_bits(self, bits: float) -> float:
        """Level at which Gaussian scores of the scene's variances take that many bits a pixel."""
        variances = np.maximum(self._survey.variances * _UNEXPLAINED, np.finfo(np.float32).tiny)
        logs = np.log2(variances)
        levels = (np.cumsum(logs) - 2 * bits) / np.arange(1, len(logs) + 1)
        fits = np.append(levels[:-1] >= logs[1:], True)
        return float(2.0 ** levels[np.argmax(fits)])

    def _met(self, attempt: Attempt) -> bool:
        if self._target.kind == "psnr":
            above = attempt.quality.psnr_db - self._target.value
            return 0 <= above <= PSNR_WINDOW or attempt.quality.range == 0
        return (1 - RATE_WINDOW) * self._budget <= attempt.bytes <= self._budget

    def _figure(self, attempt: Attempt) -> float:
        """What is searched for, on a scale that falls evenly with the log of the level."""
        if self._target.kind == "psnr":
            return attempt.quality.psnr_db - (self._target.value + 0.4 * PSNR_WINDOW)
        return math.log(attempt.bytes / ((1 - RATE_WINDOW / 2) * self._budget))

    def _next_level(self) -> float:
        tried = [(self._level_tried(a), self._figure(a)) for a in self._attempts]
        over = max((t for t in tried if t[1] > 0), default=None)
        under = min((t for t in tried if t[1] <= 0), default=None)
        if over and under and math.isfinite(over[1]):
            share = over[1] / (over[1] - under[1])
            share = min(max(share, 0.1), 0.9)
            return math.exp(math.log(over[0]) + share * math.log(under[0] / over[0]))
        if over and under:
            return math.sqrt(over[0] * under[0])
        level, figure = tried[-1]
        if self._target.kind == "psnr":
            # What was measured against what was predicted corrects the next prediction.
            return level * 10 ** (min(max(figure, -20.0), 20.0) / 10)
        kept = max(int(np.count_nonzero(self._survey.variances > level)), 1)
        bits = 8 * self._budget / self._survey.pixels
        # Half a bit a score for each doubling of the level, with some of it spent on zeros.
        return level * 2.0 ** min(max(4 * bits * figure / kept, -8.0), 8.0)

    def _level_tried(self, attempt: Attempt) -> float:
        assert attempt.codec.level is not None
        return attempt.codec.level

    def _fallback(self) -> Codec:
        """The best of what was tried, where nothing falls into the window."""
        if self._target.kind == "psnr":
            enough = [a for a in self._attempts if a.quality.psnr_db >= self._target.value]
            if enough:
                return min(enough, key=lambda a: a.bytes).codec
            return self._lossless()
        fitting = [a for a in self._attempts if a.bytes <= self._budget]
        if not fitting:
            least = min(a.bytes for a in self._attempts)
            raise TargetError(
                f"bpppb = {self._target.value:g} allows {self._budget} bytes, this scene needs "
                f"{least} at least: ask for more"
            )
        return max(fitting, key=lambda a: a.quality.psnr_db).codec
