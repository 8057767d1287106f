"""How coarse a codec of one kind has to be: a PSNR or a rate, met in few passes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xhsinr.coding.tile import TileCodec
from xhsinr.compression.survey import Survey
from xhsinr.metrics import Quality
from xhsinr.target import Target

__all__ = ["RATE_WINDOW", "SMALLEST", "WINDOW", "Attempt", "Goal", "Pursuit"]

SMALLEST = 2.0**-200
"""Squared errors below it count as none."""

# A target counts as met from here to there: decibels above it, also of an angle, and the share of
# the bytes allowed.
WINDOW = 0.3
RATE_WINDOW = 0.03
# Where in its window a fidelity is aimed at.
_AIM = 0.45
_MOST_ATTEMPTS = 14
# No rate buys more than these decibels: rounded, samples are exact long before.
_MOST_DECIBELS = 120
# How the log of the bytes falls with the log of the error: at first as on real scenes, measured
# from the second attempt on; and the longest step in the log of the error.
_SLOPE, _LEAST_SLOPE, _LONGEST = -0.95, -0.2, 5.5


@dataclass(frozen=True)
class Attempt:
    """What a codec gave.

    Attributes
    ----------
    codec : TileCodec
    bytes : int
        Of the file.
    quality : Quality
    """

    codec: TileCodec
    bytes: int
    quality: Quality


@dataclass(frozen=True)
class Goal:
    """A fidelity, or a number of bytes, for one scene.

    Attributes
    ----------
    survey : Survey
        Of the scene.
    target : Target
        Its kind is ``fidelity`` or ``bpppb``.
    budget : int
        Bytes that the file may have, for a rate.
    """

    survey: Survey
    target: Target
    budget: int

    @property
    def finest(self) -> float:
        """Error that is never aimed below."""
        if self.faithful:
            return SMALLEST
        return max(self.survey.span**2 / 10 ** (_MOST_DECIBELS / 10), SMALLEST)

    @property
    def mse(self) -> float:
        """Error aimed at first, for a fidelity."""
        survey, target, ahead = self.survey, self.target, 10 ** (_AIM * WINDOW / 10)
        found = []
        if target.psnr is not None:
            found.append(survey.span**2 / 10 ** (target.psnr / 10))
        if target.sam_deg is not None:
            # The angle of errors of that size at right angles to spectra of the mean length.
            power = float((np.square(survey.mean) + survey.covariance.diagonal()).mean())
            found.append(math.tan(math.radians(min(target.sam_deg, 45.0))) ** 2 * power)
        return min(found) / ahead

    @property
    def faithful(self) -> bool:
        """Whether it is a fidelity that is wanted, and no rate."""
        return self.target.kind == "fidelity"

    def margin(self, attempt: Attempt) -> float:
        """Decibels by which it is better than was asked for."""
        quality = attempt.quality
        return self.target.margin(quality.psnr(self.survey.span), quality.mean_sam_deg)

    def reached(self, attempt: Attempt) -> bool:
        """Whether it is good enough, however dear, or small enough, however bad."""
        return self.margin(attempt) >= 0 if self.faithful else attempt.bytes <= self.budget

    def met(self, attempt: Attempt) -> bool:
        """Whether it is reached, and not by more than has to be."""
        if self.faithful:
            return 0 <= self.margin(attempt) <= WINDOW or self.survey.span == 0
        return (1 - RATE_WINDOW) * self.budget <= attempt.bytes <= self.budget

    def merit(self, attempt: Attempt) -> float:
        """What is larger for the better of two that reach it."""
        return -attempt.bytes if self.faithful else attempt.quality.psnr_db

    def figure(self, attempt: Attempt) -> float:
        """How far above the aim, on a scale that falls evenly with the log of the level."""
        if self.faithful:
            return self.margin(attempt) - _AIM * WINDOW
        return math.log(attempt.bytes / ((1 - RATE_WINDOW / 2) * max(self.budget, 1)))


class Pursuit:
    """Reaches a goal with codecs of one kind.

    Parameters
    ----------
    goal : Goal
    make : callable
        ``make(aim)`` is a codec for a mean squared error.
    aim : float
        Error to begin with.
    most : int
        Attempts at most.

    Attributes
    ----------
    next : TileCodec
        To be tried next.
    attempts : list of Attempt
    """

    def __init__(
        self, goal: Goal, make: Callable[[float], TileCodec], aim: float, most: int = _MOST_ATTEMPTS
    ) -> None:
        self._goal, self._make, self._most = goal, make, most
        self._aims: list[float] = []
        self.attempts: list[Attempt] = []
        self.next = self._code(aim)

    @property
    def best(self) -> Attempt | None:
        """The best of what was tried and reaches the goal."""
        reaching = [attempt for attempt in self.attempts if self._goal.reached(attempt)]
        return max(reaching, key=self._goal.merit, default=None)

    @property
    def aim(self) -> float:
        """The error that was aimed at last."""
        return self._aims[-1]

    def learn(self, attempt: Attempt) -> bool:
        """Take in what `next` gave; true at the end, else `next` is another codec."""
        self.attempts.append(attempt)
        goal = self._goal
        if goal.met(attempt) or len(self.attempts) == self._most:
            return True
        if self.aim == goal.finest and goal.reached(attempt):
            return True
        self.next = self._code(self._next_aim())
        return False

    def _code(self, aim: float) -> TileCodec:
        self._aims.append(max(aim, self._goal.finest))
        return self._make(self._aims[-1])

    def _next_aim(self) -> float:
        goal = self._goal
        tried = [(a, goal.figure(t)) for a, t in zip(self._aims, self.attempts, strict=True)]
        above = max((t for t in tried if t[1] > 0), default=None)
        below = min((t for t in tried if t[1] <= 0), default=None)
        if above and below and above[0] < below[0]:
            share = 0.5
            if math.isfinite(above[1]):
                share = min(max(above[1] / (above[1] - below[1]), 0.1), 0.9)
            return float(above[0] * (below[0] / above[0]) ** share)
        aim, figure = tried[-1]
        if goal.faithful:
            # What was measured against what was predicted corrects the next prediction.
            if len(tried) > 1 and self.attempts[-1].quality == self.attempts[-2].quality:
                # The same few coefficients again: go further, until there are others.
                figure = 20 * math.log10(aim / tried[-2][0])
            return aim * 10 ** (min(max(figure, -20.0), 20.0) / 10)
        slope = _SLOPE
        if len(tried) > 1 and aim != tried[-2][0] and math.isfinite(figure - tried[-2][1]):
            slope = (figure - tried[-2][1]) / math.log(aim / tried[-2][0])
        step = -figure / min(slope, _LEAST_SLOPE)
        return aim * math.exp(min(max(step, -_LONGEST), _LONGEST))
