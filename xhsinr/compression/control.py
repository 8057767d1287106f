"""Rate and quality control: the codec that meets a target, found in few passes."""

from __future__ import annotations

import math
from dataclasses import replace
from operator import itemgetter

import numpy as np

from xhsinr.coding.latents import LatentsCoding
from xhsinr.coding.planes import PlanesCoding
from xhsinr.coding.tile import TileCodec
from xhsinr.compression.candidates import Candidates, Details, Forecast
from xhsinr.compression.pursuit import Attempt, Goal, Pursuit
from xhsinr.compression.survey import Survey
from xhsinr.errors import TargetError
from xhsinr.network.file import Network
from xhsinr.network.siren_network import SirenNetwork
from xhsinr.scene import Scene
from xhsinr.target import Target

__all__ = ["Search", "gains_by_gpu", "may_use"]

# Bits a sample from which on integers below a bound may take fewer bytes than planes as good.
_DEAR = 1.5
# The error that such a bound is aimed at first, in that of the planes: bounds are whole numbers.
_BOUND_AIM = 1.2
# A base takes more than twice the time: it has to leave no more than this share of the bytes. On a
# part as small as that of a trial it looks better by one to three hundredths than on the scene.
_BASE_SAVES = 0.955
# Where no base does better than a usual one, one with so many times its error variance may do
# better than none.
_COARSER = 4.0
# No file has more bits a sample, with all its metadata on one pixel.
_MOST_BITS = 2.0**32
# Targets of files that may be planes or latents alone.
_UNBOUNDED = ("preview", "fidelity", "bpppb")


def may_use(network: Network | None, target: Target) -> bool:
    """Whether a scene may come to need a network: a prior wherever something may be lost.

    Latents are none below a bound.
    """
    if isinstance(network, SirenNetwork):
        return target.kind in _UNBOUNDED
    return network is not None and target.kind != "lossless"


def gains_by_gpu(network: Network | None, target: Target, device: str) -> bool:
    """Whether a scene may come to a coding that gains by a GPU, see `Coding.gains_by_gpu`."""
    if isinstance(network, SirenNetwork) and may_use(network, target):
        return LatentsCoding.gains_by_gpu(device)
    return target.kind in _UNBOUNDED and PlanesCoding.gains_by_gpu(device)


class Search:
    """Finds the codec for a target: encode with `next`, tell `learn`, until that is content.

    While `on_trial`, the bytes of a part of the scene are enough: tell `learn_trial`.

    Parameters
    ----------
    scene : Scene
    survey : Survey
    target : Target
    network : Network or None
    forecast : callable
        See `xhsinr.compression.candidates.Forecast`.
    details : callable
        See `xhsinr.compression.candidates.Details`.

    Attributes
    ----------
    next : TileCodec
        To be tried next.
    on_trial : bool
        A part of the scene is enough to judge `next`; else it wants the whole scene.
    """

    def __init__(
        self,
        scene: Scene,
        survey: Survey,
        target: Target,
        network: Network | None,
        forecast: Forecast,
        details: Details,
    ) -> None:
        self._survey, self._target, self._samples = survey, target, scene.samples
        limit = target.value if target.kind == "max_error" else 0.0
        candidates = Candidates(
            survey, scene.dtype, scene.nodata, limit, network, forecast, details
        )
        if target.kind == "noise":
            candidates = replace(candidates, limit=candidates.noise)
        self._candidates = candidates
        rate = target.value if target.kind == "bpppb" else 0.0
        budget = int(min(rate, _MOST_BITS) * scene.samples / 8)
        self._goal = Goal(survey, target, budget)
        self._pursuit: Pursuit | None = None
        # The best of planes, once something else is tried.
        self._planes: Attempt | None = None
        self._tried_others = False
        # Sizes of codecs below a bound: on a base, then without one, then on a coarser base.
        self._trials: list[tuple[float, TileCodec]] = []
        self._settled = False
        self.on_trial = False
        self.next = self._first()

    @property
    def noise_by_band(self) -> tuple[float, ...]:
        """Standard deviation of each band's noise where it decides, NaN for those not coded."""
        if self._target.kind != "noise":
            return ()
        noise = np.full(len(self._survey.live), np.nan)
        noise[self._survey.live] = self._candidates.band_noise
        return tuple(noise.tolist())

    def learn_trial(self, size: float) -> None:
        """Take in how many bytes `next` took on trial."""
        self._trials.append((size, self.next))
        if len(self._trials) == 1:
            self.next = self._candidates.bounded(math.inf)
            return
        level = self._candidates.base_level
        if len(self._trials) == 2 and level is not None and size <= self._trials[0][0]:
            self.next = self._candidates.bounded(_COARSER * level)
            return
        self.on_trial, self._settled = False, True
        based, without, *coarser = self._trials
        best = min([based, *coarser], key=itemgetter(0))
        self.next = (best if best[0] < _BASE_SAVES * without[0] else without)[1]

    def learn(self, attempt: Attempt) -> bool:
        """Take in what `next` gave; true if it is to be kept, else `next` is another codec.

        Raises
        ------
        TargetError
            If no codec gets below the rate asked for.
        """
        if self._settled:
            return True
        assert self._pursuit is not None
        if not self._pursuit.learn(attempt):
            self.next = self._pursuit.next
            return False
        best = self._pursuit.best
        other = None if self._tried_others else self._other(best)
        if other is not None:
            self._planes, self._tried_others = best, True
            self._pursuit = other
            self.next = self._pursuit.next
            return False
        reaching = [found for found in (best, self._planes) if found is not None]
        if reaching:
            winner = max(reaching, key=self._goal.merit)
            self.next = winner.codec
        else:
            winner = None
            self.next = self._out_of_reach(self._pursuit.attempts)
        self._settled = True
        return winner is attempt

    def _first(self) -> TileCodec:
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
            return candidates.preview()
        if kind in ("fidelity", "bpppb"):
            if kind == "fidelity":
                aim = self._goal.mse
            else:
                aim = candidates.mse_of_bits(8 * self._goal.budget / self._survey.pixels)
            self._pursuit = Pursuit(self._goal, candidates.planes, aim)
            return self._pursuit.next
        first = self._below_bound()
        self.on_trial = not self._settled
        return first

    def _below_bound(self) -> TileCodec:
        """A codec that keeps the bound; settled if it needs no trial of what comes below it."""
        candidates = self._candidates
        level = candidates.base_level
        self._settled = level is None or candidates.base_surely_pays
        if candidates.bound is None:
            return candidates.exact_floats()
        return candidates.bounded(math.inf if level is None else level)

    def _other(self, planes: Attempt | None) -> Pursuit | None:
        """What may do better than planes: latents of the user's network, or a bound; or nothing."""
        candidates, goal = self._candidates, self._goal
        network = candidates.network
        if isinstance(network, SirenNetwork) and may_use(network, self._target):
            return Pursuit(goal, lambda _: candidates.latents(), goal.finest, most=1)
        if not goal.faithful or planes is None or 8 * planes.bytes < _DEAR * self._samples:
            return None
        aim = _BOUND_AIM * planes.quality.mse
        if candidates.bounded_like(aim) is None:
            return None
        make = candidates.bounded_like
        return Pursuit(goal, lambda aim: make(aim) or candidates.planes(aim), aim, most=2)

    def _out_of_reach(self, attempts: list[Attempt]) -> TileCodec:
        """The codec for a goal that none reaches."""
        if self._target.kind == "fidelity":
            return self._below_bound()
        raise TargetError(
            f"bpppb = {self._target.value:g} allows {self._goal.budget} bytes, this scene needs "
            f"{min(attempt.bytes for attempt in attempts)} at least: ask for more"
        )
