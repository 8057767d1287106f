"""The range that a PSNR counts against: that of the samples, without the few that lie far off.

Undeclared fill values and dead or saturated samples would make 45 dB of their own distance.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["usual_range"]

# Fewer samples, or fewer values beside the fill values, have no usual ones.
_LEAST_SAMPLES, _LEAST_VALUES = 4096, 16
# Values at an end that may be fill values, and how far off one is: in spans of all the others.
_MOST_FILLS, _FILL_APART = 4, 0.5
# Share of the samples at an end that need not be usual, and how far from the usual ones, in spans
# of these, scenery goes.
_UNUSUAL, _REACH = 0.001, 3.0
# Spans of the usual samples that the range has to have before outliers count as setting it.
_SET_BY_OUTLIERS = 2.0


def usual_range(values: npt.NDArray[Any], low: float, high: float) -> tuple[float, float]:
    """Range of a scene without outliers: (low, high) itself where there are none.

    Parameters
    ----------
    values : ndarray
        Valid samples from all over the scene.
    low, high : float
        Of all valid samples.
    """
    if values.size < _LEAST_SAMPLES:
        return low, high
    ordered = np.sort(values.astype(np.float64), axis=None)
    for _ in range(_MOST_FILLS):
        ordered = _without_fill(-ordered[::-1])
        ordered = _without_fill(-ordered[::-1])
    if len(np.unique(ordered)) < _LEAST_VALUES:
        return low, high
    first, last = np.quantile(ordered, [_UNUSUAL, 1 - _UNUSUAL])
    reach = _REACH * (last - first)
    if not reach > 0:
        return low, high
    usual = ordered[(ordered >= first - reach) & (ordered <= last + reach)]
    # What was not among the samples given may lie beyond them and be usual all the same.
    fills = ordered.size < values.size
    found = (
        float(usual[0]) if fills or low < first - reach else low,
        float(usual[-1]) if fills or high > last + reach else high,
    )
    return found if high - low > _SET_BY_OUTLIERS * (found[1] - found[0]) else (low, high)


def _without_fill(ordered: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Without the largest value, if it lies far above the others and these differ."""
    if ordered.size == 0:
        return ordered
    rest = ordered[: np.searchsorted(ordered, ordered[-1])]
    if rest.size == 0 or not ordered[-1] - rest[-1] > _FILL_APART * (rest[-1] - rest[0]) > 0:
        return ordered
    return rest if math.isfinite(rest[-1] - rest[0]) else ordered
