"""Prediction across components: what edges of one plane tell of those of another.

Around each pixel of the coarser planes, which are decoded, a component is regressed on the
strongest components, in a small Gaussian window and with a ridge. Those have their finer planes
already; with the coefficients of the regression they predict the finer plane of the component,
and its wavelet coefficients are what remains to be sent (after the guided filter of He, Sun and
Tang, 2013). IEEE float64 in a stated order: decoder and encoder predict the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from xhsinr.transform.wavelet import analyse, gain

__all__ = ["FINEST_UNPREDICTED", "GUIDES", "RIDGE", "STRENGTHS", "WINDOW", "Predictor"]

STRENGTHS = (0.0, 0.6, 1.0)
"""Factors that a prediction may be taken with."""

FINEST_UNPREDICTED = 4
"""Bands of this level and above are not predicted: their planes are too small to learn from."""

GUIDES = 8
"""Components, the first ones, that others are regressed on."""

RIDGE = 0.1
"""Of the regressions, in squared steps."""

WINDOW = 0.4991, 0.2285, 0.02195
"""Weights of a Gaussian of 0.8 pixels: in the middle, one and two pixels from it."""

_CENTRE, _NEAR, _FAR = WINDOW

Planes = npt.NDArray[np.float64]


class Predictor:
    """Predicts the bands of one level.

    Parameters
    ----------
    coarse : sequence of ndarray of float64
        The coarser planes of all components, in steps.
    level : int
        Of the bands.
    """

    def __init__(self, coarse: Sequence[Planes], level: int) -> None:
        self._coarse, self._level = coarse, level
        self._unit = 0.5**level  # of coarser planes, whose filters double what is smooth
        self._guides = np.stack(coarse[:GUIDES]) * self._unit
        self._means = np.stack([_smooth(guide) for guide in self._guides])
        self._factor = _factor(self._guides, self._means)

    def predict(self, component: int, finer: Sequence[Planes]) -> list[Planes]:
        """Coefficients of the three bands of a component, in steps, from finer planes before it."""
        k = min(component, GUIDES)
        target = self._coarse[component] * self._unit
        weights = _regress(target, self._guides[:k], self._means[:k], self._factor)
        plane = np.zeros(finer[0].shape)
        _spread(weights[k], np.ones((1, 1)), 1 / (2 * self._unit), plane)
        for weight, guide in zip(weights[:k], finer[:k], strict=True):
            _spread(weight, guide, 1.0, plane)
        bands = analyse(plane)[1:]
        return [band * gain(self._level, o) for o, band in enumerate(bands, 1)]


@njit(cache=True, nogil=True)
def _smooth(plane: Any) -> Any:
    """Means in a Gaussian window; the border is mirrored."""
    rows, cols = plane.shape
    down, out = np.empty(cols), np.empty((rows, cols))
    for y in range(rows):
        a = plane[_mirror(y - 2, rows)]
        b, c, d = plane[_mirror(y - 1, rows)], plane[y], plane[_mirror(y + 1, rows)]
        e = plane[_mirror(y + 2, rows)]
        for x in range(cols):
            down[x] = _CENTRE * c[x] + _NEAR * (b[x] + d[x]) + _FAR * (a[x] + e[x])
        row = out[y]
        for x in range(2, cols - 2):
            near, far = down[x - 1] + down[x + 1], down[x - 2] + down[x + 2]
            row[x] = _CENTRE * down[x] + _NEAR * near + _FAR * far
        for x in range(cols):
            if 2 <= x < cols - 2:
                continue
            near = down[_mirror(x - 1, cols)] + down[_mirror(x + 1, cols)]
            far = down[_mirror(x - 2, cols)] + down[_mirror(x + 2, cols)]
            row[x] = _CENTRE * down[x] + _NEAR * near + _FAR * far
    return out


@njit(cache=True, nogil=True)
def _mirror(i: int, n: int) -> int:
    """Index within a side, mirrored at its ends (which are repeated)."""
    if i < 0:
        i = -1 - i
    if i >= n:
        i = 2 * n - 1 - i
    return min(max(i, 0), n - 1)


@njit(cache=True, nogil=True)
def _factor(guides: Any, means: Any) -> Any:
    """Cholesky factors of the guides' covariances, shape (guides, guides, rows, cols).

    The diagonal has reciprocals. Those of the first few guides are the first few rows.
    """
    k, rows, cols = guides.shape
    factor = np.empty((k, k, rows, cols))
    for i in range(k):
        for j in range(i + 1):
            both = _smooth(guides[i] * guides[j])
            for y in range(rows):
                row = factor[i, j, y]
                for x in range(cols):
                    row[x] = both[y, x] - means[i, y, x] * means[j, y, x]
                    if i == j:
                        row[x] += RIDGE
                for m in range(j):
                    first, second = factor[i, m, y], factor[j, m, y]
                    for x in range(cols):
                        row[x] -= first[x] * second[x]
                if i == j:
                    for x in range(cols):
                        row[x] = 1.0 / np.sqrt(row[x] if row[x] > RIDGE else RIDGE)
                else:
                    diagonal = factor[j, j, y]
                    for x in range(cols):
                        row[x] *= diagonal[x]
    return factor


@njit(cache=True, nogil=True)
def _regress(target: Any, guides: Any, means: Any, factor: Any) -> Any:
    """Weights of the guides around each pixel, and last the constant."""
    k, rows, cols = guides.shape
    weights = np.empty((k + 1, rows, cols))
    mean = _smooth(target)
    for i in range(k):
        both = _smooth(guides[i] * target)
        for y in range(rows):
            for x in range(cols):
                weights[i, y, x] = both[y, x] - means[i, y, x] * mean[y, x]
    for y in range(rows):
        for i in range(k):
            row, diagonal = weights[i, y], factor[i, i, y]
            for j in range(i):
                before, share = weights[j, y], factor[i, j, y]
                for x in range(cols):
                    row[x] -= share[x] * before[x]
            for x in range(cols):
                row[x] *= diagonal[x]
        for back in range(k):
            i = k - 1 - back
            row, diagonal = weights[i, y], factor[i, i, y]
            for j in range(i + 1, k):
                after, share = weights[j, y], factor[j, i, y]
                for x in range(cols):
                    row[x] -= share[x] * after[x]
            for x in range(cols):
                row[x] *= diagonal[x]
        constant = weights[k, y]
        for x in range(cols):
            constant[x] = mean[y, x]
        for i in range(k):
            row, average = weights[i, y], means[i, y]
            for x in range(cols):
                constant[x] -= row[x] * average[x]
    return weights


@njit(cache=True, nogil=True)
def _spread(weight: Any, guide: Any, scale: float, plane: Any) -> None:
    """Add a guide's finer plane times its weight, interpolated between the coarser pixels.

    A guide of one pixel stands for ones.
    """
    rows, cols = plane.shape
    coarse_rows, coarse_cols = weight.shape
    line = np.empty(coarse_cols)
    wide = np.empty(cols)
    for y in range(rows):
        first, second = weight[y >> 1], weight[min((y + 1) >> 1, coarse_rows - 1)]
        for x in range(coarse_cols):
            line[x] = 0.5 * scale * (first[x] + second[x])
        for x in range(coarse_cols):
            wide[2 * x] = line[x]
        for x in range(cols // 2):
            wide[2 * x + 1] = 0.5 * (line[x] + line[min(x + 1, coarse_cols - 1)])
        out = plane[y]
        if guide.size == 1:
            for x in range(cols):
                out[x] += wide[x]
        else:
            row = guide[y]
            for x in range(cols):
                out[x] += wide[x] * row[x]
