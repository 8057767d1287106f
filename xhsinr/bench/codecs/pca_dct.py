"""PCA over bands, a 2-D block DCT of the scores, one quantiser, an entropy coder.

Nian, Liu and Ye, "Pairwise KLT-based compression for multispectral images", 2016, is what the
paper cites for it. One step for all coefficients spreads the error evenly, which is best for
the mean squared error; planes of scores that it zeroes cost nothing but are left out.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from xhsinr.bench.codecs import Cube, Kind, Target, coefficients
from xhsinr.bench.codecs.blocks import DctBlocks
from xhsinr.bench.codecs.common import as_type, check, nearest, pack_shape, search, unpack_shape
from xhsinr.bench.codecs.pca import Axes, Basis

__all__ = ["PcaDct"]

Floats = npt.NDArray[np.floating[Any]]

_BLOCK = (1, 16, 16)
_STEP = struct.Struct("<f")
# Squared error that a bit has to save, in squared steps: the slope of the quantiser's curve.
_SLOPE = 0.3


@dataclass(frozen=True)
class PcaDct:
    """The codec."""

    name: ClassVar[str] = "PCA-DCT"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"bpppb", "psnr"})
    settings: ClassVar[str] = "16x16 DCT of the scores, dead-zone quantiser, adaptive ANS"

    def encode(self, cube: Cube, target: Target) -> bytes:
        check(self, target)
        rows, cols, bands = cube.shape
        axes = Axes.of(cube)
        blocks = DctBlocks((bands, rows, cols), _BLOCK)
        scores = blocks.forward(axes.strongest(bands).scores(cube))

        def code(step: float, count: int = 0) -> bytes:
            step = float(np.float32(step))
            indices = coefficients.quantise(scores, step)
            count = count or _worthwhile(scores, indices, step, bands)
            # All positions of the first component, then those of the next.
            planes = indices[:, :count].swapaxes(0, 1).reshape(-1, 1, *indices.shape[2:])
            head = pack_shape(cube) + _STEP.pack(step) + axes.strongest(count).to_bytes()
            return head + coefficients.encode(planes)

        top = float(np.abs(scores).max()) or 1.0
        payload = search(self, cube, target, code, 1e-6 * top, top)
        # Where one step more changes the number of components, the rate jumps: with that number
        # kept, finer steps use up what is left.
        shape, _, rest = unpack_shape(payload)
        (step,) = _STEP.unpack_from(rest)
        count = Basis.from_bytes(rest[_STEP.size :], shape)[0].n_planes
        at_count = partial(code, count=count)
        found = nearest(self.decode, cube, target, at_count, 1e-6 * top, top, step)
        return payload if found is None else found.payload

    def decode(self, payload: bytes) -> Cube:
        shape, dtype, rest = unpack_shape(payload)
        rows, cols, _ = shape
        (step,) = _STEP.unpack_from(rest)
        basis, code = Basis.from_bytes(rest[_STEP.size :], shape)
        planes = coefficients.dequantise(coefficients.decode(code), step)
        count = basis.n_planes
        scores = planes.reshape(count, -1, *planes.shape[2:]).swapaxes(0, 1)
        return as_type(basis.spectra(DctBlocks((count, rows, cols), _BLOCK).inverse(scores)), dtype)


def _worthwhile(scores: Floats, indices: coefficients.Integers, step: float, bands: int) -> int:
    """Components to keep: those that save more error than the bits of their axes would elsewhere.

    Scores and indices have shape (positions, components, rows, cols).
    """
    missed = scores - coefficients.dequantise(indices, step)
    saved = (np.square(scores) - np.square(missed)).sum(axis=(0, 2, 3))
    worth = saved > _SLOPE * step**2 * 16 * bands
    return int(np.flatnonzero(worth).max(initial=0)) + 1
