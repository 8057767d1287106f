"""The turn of a spectral basis after which scores take the fewest bits.

The KLT makes scores uncorrelated over a whole scene. Any turn of its strongest directions spans
the same space and leaves the same error, so the one is taken whose wavelet coefficients are
sparse: where one score is large, others are not. That is an independent component analysis, by
Jacobi's rotations of pairs (Cardoso 1999), of blocks of four coefficients: their neighbours tell
the coder how large coefficients are, so it is blocks whose energies should lie apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from xhsinr.spectral.basis import SpectralBasis, water_level, worthwhile_components

__all__ = ["sparse_basis", "sparsest_turn"]

Float64Array = npt.NDArray[np.float64]

# Errors of scores lie so far above what is aimed at where few of their coefficients are coded, and
# a basis needs to be no more precise (fitted to training scenes).
_BASIS_ERROR = 1.5
# Share of the water level above which a direction adds to what is turned.
_WORTHWHILE = 0.5

_MOST = 48
"""Components that are turned: of the weaker ones hardly anything is left to gain."""
_SWEEPS = 3
_WIDEST = 0.3  # first angle tried of a pair, in radians; half of it in the next sweep
_HALVINGS = 5
_LEAST = 1e-12  # share of a block's energies that counts as none
_FACTORS = 16  # whose product a float64 has room for, each of them `_LEAST` at least


def sparse_basis(
    mean: Float64Array,
    covariance: Float64Array,
    variances: Float64Array,
    pixels: int,
    aim: float,
    details: Callable[[SpectralBasis], Float64Array | None],
) -> SpectralBasis:
    """The basis of a scene whose planes leave about an error, turned.

    Parameters
    ----------
    mean, covariance, pixels
        As for `SpectralBasis.from_statistics`.
    variances : ndarray of float64, shape (bands,)
        Eigenvalues of the covariance, the largest first.
    aim : float
        Mean squared error per sample.
    details : callable
        Wavelet coefficients of scores in a basis, as for `sparsest_turn`; None where there are
        none.
    """
    distortion = aim * len(mean)
    make = partial(
        SpectralBasis.from_statistics,
        mean,
        covariance,
        components=worthwhile_components(variances, distortion, _WORTHWHILE),
        distortion=_BASIS_ERROR * aim,
        pixels=pixels,
    )
    basis = make()
    blocks = details(basis) if basis.components else None
    if blocks is None:
        return basis
    return make(turn=sparsest_turn(blocks, water_level(variances, distortion)))


def sparsest_turn(blocks: Float64Array, level: float) -> Float64Array:
    """The orthogonal matrix that makes few numbers of many, the dearest component first.

    Parameters
    ----------
    blocks : ndarray of float64, shape (components, blocks, coefficients)
        Wavelet coefficients of scores, strongest component first. They are turned in place.
    level : float
        Energy of a coefficient that is worth half a bit: about the error that scores will have.

    Returns
    -------
    ndarray of float64, shape (components, components)
        A row for each new component.
    """
    turn = np.eye(len(blocks))
    for sweep in range(_SWEEPS):
        _sweep(blocks[:_MOST], level, turn, _WIDEST * 0.5**sweep)
    bits = np.log2(1 + np.square(blocks) / level).sum(axis=(1, 2))
    return np.asarray(turn[np.argsort(-bits, kind="stable")])


@njit(cache=True, nogil=True)
def _sweep(blocks: Any, level: float, turn: Any, widest: float) -> None:
    """Turn each pair of components by the angle that is best for it."""
    components, count, size = blocks.shape
    apart, joint = np.empty(count), np.empty(count)
    for i in range(components):
        for j in range(i + 1, components):
            # Of mean energies u and v in a block, (1 + u) (1 + v) is (1 + (u + v) / 2)^2 times
            # 1 - (d cos + e sin of twice the angle)^2.
            for block in range(count):
                first = second = both = 0.0
                for k in range(size):
                    x, y = blocks[i, block, k], blocks[j, block, k]
                    first += x * x
                    second += y * y
                    both += x * y
                whole = 2 * level * size + first + second
                apart[block] = (first - second) / whole
                joint[block] = 2 * both / whole
            angle = _best_angle(apart, joint, widest)
            if angle != 0:
                cos, sin = math.cos(angle), math.sin(angle)
                _rotate(blocks[i].ravel(), blocks[j].ravel(), cos, sin)
                _rotate(turn[i], turn[j], cos, sin)


@njit(cache=True, nogil=True)
def _best_angle(apart: Any, joint: Any, width: float) -> float:
    angle, least = 0.0, _bits(apart, joint, 0.0)
    for _ in range(_HALVINGS):
        for trial in (angle - width, angle + width):
            bits = _bits(apart, joint, trial)
            if bits < least:
                angle, least = trial, bits
                break
        else:
            width /= 2
    return angle


@njit(cache=True, nogil=True)
def _bits(apart: Any, joint: Any, angle: float) -> float:
    cos, sin = math.cos(2 * angle), math.sin(2 * angle)
    bits = 0.0
    for start in range(0, len(apart), _FACTORS):
        product = 1.0
        for block in range(start, min(start + _FACTORS, len(apart))):
            share = apart[block] * cos + joint[block] * sin
            product *= max(1 - share * share, _LEAST)
        bits += math.log2(product)
    return bits


@njit(cache=True, nogil=True)
def _rotate(first: Any, second: Any, cos: float, sin: float) -> None:
    for k in range(len(first)):
        x, y = first[k], second[k]
        first[k] = cos * x + sin * y
        second[k] = cos * y - sin * x
