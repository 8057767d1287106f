"""The predictor of CCSDS 123.0-B-2: samples <-> mapped quantizer indices.

Our reading of the standard's section 4: full or reduced prediction from wide or column-oriented
local sums, weights that adapt by the sign of the error, an absolute error limit, and sample
representatives with one damping and one offset for all bands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["Predictor", "restore", "to_indices"]

Samples = npt.NDArray[np.int32]
Indices = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Predictor:
    """Settings, named as in the standard.

    Attributes
    ----------
    bands : int
        P, previous bands that predict.
    full : bool
        Neighbours of the own band predict, too; else the previous bands alone.
    wide : bool
        Local sums of four neighbours; else column-oriented ones.
    resolution : int
        Omega, bits of a weight's fraction.
    slowest, fastest, interval : int
        v_max, v_min and log2 of t_inc: how the rate of adaptation falls.
    theta, damping, offset : int
        Theta, phi and psi of the sample representatives; only where there is an error limit.
    """

    bands: int = 3
    full: bool = False
    wide: bool = True
    resolution: int = 16
    slowest: int = 5
    fastest: int = -2
    interval: int = 5
    theta: int = 4
    damping: int = 0
    offset: int = 12

    def parameters(self, limit: int) -> tuple[int, ...]:
        """Numbers as the kernel takes them."""
        theta, damping, offset = (self.theta, self.damping, self.offset) if limit else (0, 0, 0)
        return (
            *(self.bands, int(self.full), int(self.wide), self.resolution),
            *(self.slowest, self.fastest, self.interval, theta, damping, offset),
        )


def to_indices(
    samples: Samples, limit: int, low: int, high: int, middle: int, predictor: Predictor
) -> Indices:
    """Mapped quantizer indices, shape (bands, rows, cols), of samples of that shape.

    Parameters
    ----------
    samples : ndarray of int32
    limit : int
        Largest error allowed, m_z(t); 0 is lossless.
    low, high, middle : int
        s_min, s_max and s_mid of the dynamic range.
    predictor : Predictor
    """
    indices = np.empty(samples.shape, np.uint32)
    _walk(samples, indices, False, limit, low, high, middle, predictor.parameters(limit))
    return indices


def restore(
    indices: Indices, limit: int, low: int, high: int, middle: int, predictor: Predictor
) -> Samples:
    """The samples that a decoder gets from `to_indices`."""
    samples = np.empty(indices.shape, np.int32)
    _walk(samples, indices, True, limit, low, high, middle, predictor.parameters(limit))
    return samples


@njit(cache=True, nogil=True)
def _clip(value: Any, low: Any, high: Any) -> Any:
    return min(max(value, low), high)


@njit(cache=True, nogil=True)
def _local_sum(reproduced: Any, row: int, col: int, wide: int) -> Any:
    cols = reproduced.shape[1]
    if not wide:
        if row > 0:
            return 4 * reproduced[row - 1, col]
        return 4 * reproduced[row, col - 1]
    if row == 0:
        return 4 * reproduced[row, col - 1]
    above = reproduced[row - 1]
    if cols == 1:
        return 4 * above[col]
    if col == 0:
        return 2 * (above[col] + above[col + 1])
    if col == cols - 1:
        return reproduced[row, col - 1] + above[col - 1] + 2 * above[col]
    return reproduced[row, col - 1] + above[col - 1] + above[col] + above[col + 1]


@njit(cache=True, nogil=True)
def _directional(reproduced: Any, row: int, col: int, total: Any, differences: Any) -> None:
    if row == 0:
        differences[0] = differences[1] = differences[2] = 0
        return
    north = 4 * reproduced[row - 1, col] - total
    differences[0] = differences[1] = differences[2] = north
    if col > 0:
        differences[1] = 4 * reproduced[row, col - 1] - total
        differences[2] = 4 * reproduced[row - 1, col - 1] - total


@njit(cache=True, nogil=True)
def _walk(
    samples: Any,
    indices: Any,
    decoding: bool,
    limit: int,
    low: int,
    high: int,
    middle: int,
    parameters: Any,
) -> None:
    previous, full, wide, omega, v_max, v_min, interval, theta, phi, psi = parameters
    bands, rows, cols = samples.shape
    depth = int(np.ceil(np.log2(high - low + 1)))
    central = np.zeros((bands, rows, cols), np.int64)
    first = np.zeros(bands, np.int64)
    bound = 1 << (omega + 2)
    for z in range(bands):
        used = min(previous, z)
        spatial = 3 * full
        count = used + spatial
        weights, differences = np.zeros(count, np.int64), np.zeros(max(count, 3), np.int64)
        if used:
            weights[spatial] = 7 * (1 << omega) // 8
            for i in range(1, used):
                weights[spatial + i] = weights[spatial + i - 1] >> 3
        # Sample representatives of this band, which is all that later samples see.
        seen = np.zeros((rows, cols), np.int64)
        for y in range(rows):
            for x in range(cols):
                start = y == 0 and x == 0
                error, step = (0, 1) if start else (limit, 2 * limit + 1)
                total, wide_prediction = 0, 0
                if start:
                    double = 2 * (first[z - 1] if z and previous else middle)
                else:
                    total = _local_sum(seen, y, x, wide)
                    if full:
                        _directional(seen, y, x, total, differences)
                    for i in range(used):
                        differences[spatial + i] = central[z - 1 - i, y, x]
                    product = 0
                    for i in range(count):
                        product += weights[i] * differences[i]
                    wide_prediction = _clip(
                        product
                        + ((total - 4 * middle) << omega)
                        + (middle << (omega + 2))
                        + (1 << (omega + 1)),
                        low << (omega + 2),
                        (high << (omega + 2)) + (1 << (omega + 1)),
                    )
                    double = wide_prediction >> (omega + 1)
                predicted = double >> 1
                below, above = (predicted - low + error) // step, (high - predicted + error) // step
                room = min(below, above)
                even = 1 if double % 2 == 0 else -1
                if decoding:
                    mapped = np.int64(indices[z, y, x])
                    if mapped > 2 * room:
                        quantised = mapped - room if below < above else room - mapped
                    elif mapped % 2 == 0:
                        quantised = even * (mapped // 2)
                    else:
                        quantised = -even * ((mapped + 1) // 2)
                else:
                    difference = np.int64(samples[z, y, x]) - predicted
                    sign = 1 if difference > 0 else -1
                    quantised = sign * ((abs(difference) + error) // step)
                    size = abs(quantised)
                    if size > room:
                        indices[z, y, x] = size + room
                    elif even * quantised >= 0:
                        indices[z, y, x] = 2 * size
                    else:
                        indices[z, y, x] = 2 * size - 1
                centre = _clip(predicted + quantised * step, low, high)
                if decoding:
                    samples[z, y, x] = centre
                if start:
                    first[z] = centre
                    seen[y, x] = centre
                else:
                    sign = 1 if quantised > 0 else (-1 if quantised < 0 else 0)
                    shifted = (centre << omega) - ((sign * error * psi << omega) >> theta)
                    damped = 4 * ((1 << theta) - phi) * shifted
                    damped += phi * wide_prediction - (phi << (omega + 1))
                    seen[y, x] = ((damped >> (omega + theta + 1)) + 1) >> 1
                    central[z, y, x] = 4 * seen[y, x] - total
                    up = 1 if 2 * centre - double >= 0 else -1
                    scale = _clip(v_min + ((y * cols + x - cols) >> interval), v_min, v_max)
                    scale += depth - omega
                    for i in range(count):
                        change = up * differences[i]
                        if scale >= 0:
                            change = ((change >> scale) + 1) >> 1
                        else:
                            change = ((change << -scale) + 1) >> 1
                        weights[i] = _clip(weights[i] + change, -bound, bound - 1)
