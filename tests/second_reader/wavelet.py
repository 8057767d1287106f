"""The wavelet of section 10 of the page."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["analysis", "gain", "mirrored", "sides", "synthesis"]

LOW = (0.0, 0.9914401935, 1.0151859281, 1.0257158584, 1.0288212938)
HIGH = (0.0, 1.0200176289, 0.9834713041, 1.0196213942, 1.0368802098)
L, H = 1.1496043988602411, 0.8698644516247813


def gain(level: int, o: int) -> float:
    return (HIGH if o & 2 else LOW)[level] * (HIGH if o & 1 else LOW)[level]


def sides(rows: int, cols: int, level: int, o: int) -> tuple[int, int]:
    before = [rows, cols]
    for _ in range((level or 4) - 1):
        before = [(side + 1) // 2 for side in before]
    low = [(side + 1) // 2 for side in before]
    return (before[0] - low[0] if o & 2 else low[0], before[1] - low[1] if o & 1 else low[1])


def mirrored(side: int, shift: int) -> Any:
    """Indices of a side, shifted."""
    i = np.arange(side) + shift
    i = np.where(i < 0, -1 - i, i)
    i = np.where(i >= side, 2 * side - 1 - i, i)
    return np.clip(i, 0, side - 1)


def _lift(lines: Any, odd: int, factor: float) -> None:
    """A step on the columns of an array of rows, in place."""
    if len(lines) == 1:
        return
    for i in range(odd, len(lines), 2):
        before = i - 1 if i else i + 1
        after = i + 1 if i + 1 < len(lines) else i - 1
        lines[i] += factor * (lines[before] + lines[after])


def synthesis(coarse: Any, across: Any, down: Any, both: Any) -> Any:
    rows, cols = len(coarse) + len(down), coarse.shape[1] + across.shape[1]
    plane = np.empty((rows, cols))
    rl, rh = (1 / L, 1 / H) if rows > 1 else (1.0, 1.0)
    cl, ch = (1 / L, 1 / H) if cols > 1 else (1.0, 1.0)
    plane[0::2, 0::2], plane[0::2, 1::2] = (rl * cl) * coarse, (rl * ch) * across
    plane[1::2, 0::2], plane[1::2, 1::2] = (rh * cl) * down, (rh * ch) * both
    for lines in (plane.T, plane):
        _lift(lines, 0, -0.443506852043971)
        _lift(lines, 1, -0.882911075530934)
        _lift(lines, 0, 0.052980118572961)
        _lift(lines, 1, 1.586134342059924)
    return plane


def analysis(plane: Any) -> list[Any]:
    """Bands 1, 2 and 3."""
    plane = plane.copy()
    for lines in (plane, plane.T):
        _lift(lines, 1, -1.586134342059924)
        _lift(lines, 0, -0.052980118572961)
        _lift(lines, 1, 0.882911075530934)
        _lift(lines, 0, 0.443506852043971)
        if len(lines) > 1:
            lines[0::2] *= L
            lines[1::2] *= H
    return [plane[0::2, 1::2], plane[1::2, 0::2], plane[1::2, 1::2]]
