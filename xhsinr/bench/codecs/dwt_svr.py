"""3D DWT + SVR: support-vector regression of the details of a 3-D wavelet transform.

Zikiou et al., "Support vector regression-based 3D-wavelet texture learning for hyperspectral image
compression", The Visual Computer 36, 2020. The details of each subband are fitted by an
epsilon-SVR with a Gaussian kernel over the places of the coefficients; the weights of the support
vectors are quantised and entropy-coded, together with where they are. The lowest subband is kept
without loss by DPCM.

All places of a subband form a grid, on which the product with the kernel matrix is a Gaussian
filter. So the regression's dual is solved for whole subbands by accelerated proximal gradient,
in a time that does not depend on the data, where a general solver would have to cut them into
blocks. The constant of the regression is left out, since details have mean zero. Two changes make
the codec stronger: each axis is transformed to its own depth, where the paper has octaves, and
the means of the bands are taken off first.
"""

from __future__ import annotations

import struct
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.ndimage import correlate1d

from xhsinr.bench.codecs import Cube, Kind, Target, integers, subbands
from xhsinr.bench.codecs.common import (
    as_type,
    check,
    join,
    pack_shape,
    search,
    split,
    unpack_shape,
    wavelets,
)

__all__ = ["DwtSvr", "regress"]

Floats = npt.NDArray[np.float64]

_STEPS = struct.Struct("<ff")
_WAVELET, _MODE = "bior4.4", "periodization"
_MOST_LEVELS, _SMALLEST = (4, 4, 5), 3
_WIDTH = 0.4
_KERNEL = np.exp(-np.square(np.arange(-2, 3)) / (2 * _WIDTH**2))
# Epsilon of the regression in steps of the quantiser of its weights.
_EPSILON = 0.25
_ITERATIONS = 12
_PER_OCTAVE = 64


@dataclass(frozen=True)
class DwtSvr:
    """The codec."""

    name: ClassVar[str] = "3D DWT + SVR"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"bpppb", "psnr"})
    settings: ClassVar[str] = (
        f"9/7 wavelet, kernel width {_WIDTH}, epsilon {_EPSILON} steps, ANS; lowest subband DPCM"
    )

    def encode(self, cube: Cube, target: Target) -> bytes:
        """See `xhsinr.bench.codecs.Codec`."""
        check(self, target)
        mean = cube.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
        transformed = _forward(cube - mean.astype(np.float64))
        details = [transformed[key] for key in _keys(transformed)]
        top = max((float(np.abs(detail).max()) for detail in details), default=0.0) or 1.0
        lowest_step = np.float32(max(float(np.abs(transformed.approx).max()), top) / 2**14)
        lowest = np.rint(transformed.approx / lowest_step).astype(np.int32)
        head: bytes = pack_shape(cube) + mean.tobytes()
        dpcm = integers.encode([np.diff(lowest.ravel(), prepend=np.int32(0))])

        @lru_cache(None)
        def at_level(level: int) -> bytes:
            step = np.float32(top * 2 ** (level / _PER_OCTAVE))
            weights = [regress(detail, _EPSILON * float(step)) for detail in details]
            quantised = [np.rint(w / step).astype(np.int32) for w in weights]
            coded = subbands.encode(quantised)
            return head + _STEPS.pack(lowest_step, step) + join(dpcm, coded)

        def code(step: float) -> bytes:
            return at_level(round(float(np.log2(step)) * _PER_OCTAVE))

        return search(self, cube, target, code, 2.0**-14, 1.0)

    def decode(self, payload: bytes) -> Cube:
        """See `xhsinr.bench.codecs.Codec`."""
        shape, dtype, rest = unpack_shape(payload)
        mean = np.frombuffer(rest[: 4 * shape[2]], "<f4").astype(np.float64)
        rest = rest[4 * shape[2] :]
        lowest_step, step = _STEPS.unpack_from(rest)
        dpcm, coded = split(rest[_STEPS.size :], 2)
        transformed = _forward(np.zeros(shape))
        lowest = np.cumsum(integers.decode(dpcm)[0]).reshape(transformed.approx.shape)
        transformed.approx = lowest * lowest_step
        keys = _keys(transformed)
        shapes = [transformed[key].shape for key in keys]
        for key, weights in zip(keys, subbands.decode(coded, shapes), strict=True):
            transformed[key] = _filtered(weights.astype(np.float64) * step)
        return as_type(_inverse(transformed, shape) + mean, dtype)


def regress(details: Floats, epsilon: float, iterations: int = _ITERATIONS) -> Floats:
    """Weights of the support vectors of an epsilon-SVR of values on a grid, zero at the others.

    The dual, minimise ``w K w / 2 - w y + epsilon |w|`` over the weights w, by FISTA (Beck and
    Teboulle 2009). The values that it fits are K w, with K the Gaussian filter; no limit is put on
    the weights.

    Parameters
    ----------
    details : ndarray, three axes
        The values y.
    epsilon : float
        Half the width of the tube in which errors cost nothing.
    """
    weights = ahead = np.zeros_like(details)
    momentum = 1.0
    largest = float(_KERNEL.sum()) ** details.ndim
    for _ in range(iterations):
        moved = ahead - (_filtered(ahead) - details) / largest
        shrunk = np.sign(moved) * np.maximum(np.abs(moved) - epsilon / largest, 0)
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = shrunk + (momentum - 1) / following * (shrunk - weights)
        weights, momentum = shrunk, following
    return np.asarray(weights)


def _filtered(weights: Floats) -> Floats:
    for axis in range(weights.ndim):
        weights = correlate1d(weights, _KERNEL, axis, mode="constant")
    return weights


def _forward(cube: Floats) -> Any:
    levels = tuple(
        max(0, min(most, int(np.log2(max(size / _SMALLEST, 1)))))
        for size, most in zip(cube.shape, _MOST_LEVELS, strict=True)
    )
    with warnings.catch_warnings():
        # Few samples in the lowest subband are what periodic borders are good for.
        warnings.filterwarnings("ignore", "Level value", UserWarning)
        return wavelets().fswavedecn(cube, _WAVELET, _MODE, levels)


def _keys(transformed: Any) -> list[Any]:
    """Detail subbands, the coarsest first."""
    return sorted(transformed.detail_keys(), key=lambda key: (transformed[key].size, key))


def _inverse(transformed: Any, shape: tuple[int, int, int]) -> Floats:
    rows, cols, bands = shape
    return np.asarray(wavelets().fswaverecn(transformed)[:rows, :cols, :bands])
