"""Rate and quality control: the codec that meets a target, found in few passes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from xhsinr.coding.codec import Codec
from xhsinr.coding.spectral import worthwhile_components
from xhsinr.compression.candidates import SMALLEST, Candidates, Forecast
from xhsinr.compression.survey import Survey
from xhsinr.compression.target import Target
from xhsinr.errors import TargetError
from xhsinr.metrics import Quality
from xhsinr.network.base import PACKAGE_NETWORKS, BaseNetwork
from xhsinr.scene import Scene

__all__ = ["PSNR_WINDOW", "RATE_WINDOW", "Attempt", "Search"]

# A target counts as met from here to there: decibels above it, share of the bytes allowed.
PSNR_WINDOW = 0.3
RATE_WINDOW = 0.03
# Where in its window a PSNR is aimed at.
_AIM = 0.45
_MOST_ATTEMPTS = 14
# No scene has more bits a sample.
_MOST_BITS = 1024.0
# Where the cheapest base below a bound is looked for: at the sum of these multiples of the noise
# variance and of the squared bound to begin with, and by this factor from trial to trial.
_NOISE_FACTOR, _BOUND_FACTOR, _TRIAL_FACTOR = 8.0, 1.0, 2.0


@dataclass(frozen=True)
class Attempt:
    """What a codec gave.

    Attributes
    ----------
    codec : Codec
    bytes : int
        Of the file; on trial, of the part tried and its share of the basis.
    quality : Quality
    """

    codec: Codec
    bytes: int
    quality: Quality


class Search:
    """Finds the codec for a target: encode with `next`, tell `learn`, until that is content.

    Parameters
    ----------
    scene : Scene
    survey : Survey
    target : Target
    network : BaseNetwork
    forecast : callable
        See `xhsinr.compression.candidates.Forecast`.

    Attributes
    ----------
    next : Codec
        To be tried next.
    on_trial : bool
        A part of the scene is enough to judge `next`; else it wants the whole scene.
    """

    def __init__(
        self,
        scene: Scene,
        survey: Survey,
        target: Target,
        network: BaseNetwork,
        forecast: Forecast,
    ) -> None:
        self._survey, self._target = survey, target
        limit = target.value if target.kind == "max_error" else 0.0
        candidates = Candidates(survey, scene.dtype, scene.nodata, limit, network, forecast)
        if target.kind == "noise":
            candidates = replace(candidates, limit=candidates.noise)
        self._candidates = candidates
        rate = target.value if target.kind == "bpppb" else 0.0
        self._budget = int(min(rate, _MOST_BITS) * scene.samples / 8)
        # Attempts with the error that each aimed at, or with the level of a trial.
        self._attempts: list[tuple[float, Attempt]] = []
        self._aim = math.inf
        self._rival: Attempt | None = None
        self._settled = False
        self.on_trial = False
        self.next = self._first()

    @property
    def noise(self) -> float:
        """Standard deviation of the scene's noise in data units: the median over bands."""
        return self._candidates.noise

    def learn(self, attempt: Attempt) -> bool:
        """Take in what `next` gave; true if it is to be kept, else `next` is another codec.

        Raises
        ------
        TargetError
            If no codec gets below the rate asked for.
        """
        if self._settled:
            return True
        if self._rival is not None:
            self.next = self._rival.codec
            self._settled = True
            return self._cheaper_or_better(attempt, self._rival)
        self._attempts.append((self._aim, attempt))
        if self.on_trial:
            level = self._next_trial()
            self.on_trial = level is not None
            self.next = self._cheapest() if level is None else self._bounded(level)
            self._settled = level is None
            return False
        if self._met(attempt):
            if not self._latents_may_pay(attempt):
                return True
            self._rival, self.next = attempt, self._candidates.latents()
        elif len(self._attempts) < _MOST_ATTEMPTS:
            self.next = self._detail(self._next_aim())
        else:
            self.next = self._nearest()
            self._settled = True
        return False

    def _first(self) -> Codec:
        kind, candidates = self._target.kind, self._candidates
        if candidates.extreme and kind in ("bpppb", "preview"):
            raise TargetError(
                f"samples from {self._survey.low:g} to {self._survey.high:g} are stored exactly "
                "or not at all: rescale them, or ask for lossless"
            )
        if candidates.extreme:
            self._settled = True
            return candidates.exact_floats()
        if kind == "preview":
            self._settled = True
            return candidates.latents()
        if kind == "psnr":
            return self._detail(self._mse_wanted())
        if kind == "bpppb":
            return self._detail(candidates.mse_of_bits(8 * self._budget / self._survey.pixels))
        self.on_trial = not candidates.bound.exact_floats
        self._settled = candidates.bound.exact_floats
        return self._below_bound()

    def _detail(self, aim: float) -> Codec:
        self._aim = max(aim, SMALLEST)
        return self._candidates.detail(self._aim)

    def _bounded(self, level: float) -> Codec:
        self._aim = level
        return self._candidates.bounded(level)

    def _below_bound(self) -> Codec:
        """A codec that keeps the bound, and near the cheapest as a rule."""
        bound = self._candidates.bound
        if bound.exact_floats:
            return self._candidates.exact_floats()
        limit = math.ldexp(bound.max_error + 0.5, bound.exponent)
        return self._bounded(_NOISE_FACTOR * self._candidates.noise**2 + _BOUND_FACTOR * limit**2)

    def _next_trial(self) -> float | None:
        """Another level for the base, None once one lies between dearer ones."""
        tried = sorted((level, attempt.bytes) for level, attempt in self._attempts)
        if len(tried) >= _MOST_ATTEMPTS:
            return None
        cheapest = min(range(len(tried)), key=lambda i: tried[i][1])
        level = tried[cheapest][0]
        if cheapest == len(tried) - 1 and level < self._candidates.weighted_variances[0]:
            return level * _TRIAL_FACTOR
        if cheapest == 0 and level > SMALLEST:
            return level / _TRIAL_FACTOR
        return None

    def _cheapest(self) -> Codec:
        return min((attempt for _, attempt in self._attempts), key=lambda a: a.bytes).codec

    def _latents_may_pay(self, attempt: Attempt) -> bool:
        """Whether latents alone are worth a try in place of the detail layer.

        A network trained on the scene's own archive may hold most of it. The networks of the
        package never saw it: at equal bytes they were behind the detail layer on every scene
        and at every rate that was measured, and fitting them takes time.
        """
        network = self._candidates.network
        own = network.path is None or network.path.parent != PACKAGE_NETWORKS
        fits = network.head == "scene" or len(self._survey.mean) <= network.siren.outputs
        return own and fits and attempt.codec.level is not None

    def _cheaper_or_better(self, latents: Attempt, detail: Attempt) -> bool:
        if self._target.kind == "psnr":
            enough = latents.quality.psnr_db >= self._target.value
            return enough and latents.bytes < detail.bytes
        better = latents.quality.psnr_db > detail.quality.psnr_db
        return better and latents.bytes <= self._budget

    def _mse_wanted(self) -> float:
        span = self._survey.high - self._survey.low
        decibels = self._target.value + _AIM * PSNR_WINDOW
        return span**2 / 10 ** (decibels / 10)

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
