"""RPM: HEVC on what a Gaussian-mixture model of reflectance leaves of each band.

Paul et al., "Reflectance prediction modelling for residual-based hyperspectral image coding",
PLoS ONE 11(10), 2016. A band has two references: the band before it, and a prediction by a
mixture model that is learned from the bands before it, as decoded, so that the decoder learns
the same one. In the paper HEVC chooses between the two as between any frames. x265 takes no
reference from outside, so here we choose for each block of 16x16 samples, and x265 codes the
residual. Gain and offset of each reference are fitted for each band and stored, as in HEVC's
weighted prediction.

Learning from decoded bands closes the loop: each band has to be decoded before the next is
predicted. So x265 runs without delay, with neither B frames nor lookahead, which plain HEVC has
here. That costs more than the mixture gains: the paper's lead over HEVC is not reproduced.

The decoder repeats the encoder's learning in floating point. Both have to run with the same NumPy
on the same kind of machine.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import constriction
import numpy as np
import numpy.typing as npt

from xhsinr.bench.codecs import Cube, Kind, Target, integers, x265
from xhsinr.bench.codecs.common import (
    as_type,
    check,
    join,
    pack_shape,
    search,
    split,
    unpack_shape,
)
from xhsinr.bench.codecs.reflectance import Reflectance

__all__ = ["Rpm"]

Plane = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_HEAD = struct.Struct("<ddfB")
# Residuals of samples of 11 bits have 12.
_PEAK = 2047
_OPTIONS = "no-scenecut=1:no-weightp=1:ref=3"
_MIDDLE = 2048
_BLOCK = 16
_GAINS = 64
_TUNE = "zerolatency"
_PER_QP = 16


@dataclass(frozen=True)
class Rpm:
    """The codec."""

    name: ClassVar[str] = "RPM"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"bpppb", "psnr"})
    settings: ClassVar[str] = (
        "6 Gaussians, residual to the better reference of each 16x16 block, x265 without B frames; "
        "the paper's gain over HEVC is not reproduced"
    )

    def encode(self, cube: Cube, target: Target) -> bytes:
        """See `xhsinr.bench.codecs.Codec`."""
        check(self, target)
        at_level = lru_cache(None)(lambda level: _code(cube, level))

        def code(step: float) -> bytes:
            return at_level(round(6 * math.log2(step) * _PER_QP) / _PER_QP)

        return search(self, cube, target, code, 1.0, 2.0 ** (x265.COARSEST / 6 + 1))

    def decode(self, payload: bytes) -> Cube:
        """See `xhsinr.bench.codecs.Codec`."""
        shape, dtype, rest = unpack_shape(payload)
        low, unit, share, qp = _HEAD.unpack_from(rest)
        step = _step(qp)
        weights, chosen, stream = split(rest[_HEAD.size :], 3)
        weights_of_bands = np.stack(integers.decode(weights)).T
        flags = _unpack_flags(chosen, share, shape)
        decoder, model = x265.Decoder(), Reflectance(shape[:2], step**2)
        reference = np.full(shape[:2], _MIDDLE, np.float64)
        for number, packet in enumerate(x265.packets(stream)):
            references = model.references()
            weighted = _weighted(references, weights_of_bands[number], step)
            predicted = _chosen(weighted, flags[number])
            decoded = decoder.add(packet)[0].astype(np.float64)
            model.add((predicted + decoded - reference).clip(0, _PEAK))
            reference = decoded
        bands = np.stack(model.bands, axis=2)
        return as_type(bands * unit + low, dtype)


def _code(cube: Cube, level: float) -> bytes:
    """The scene at a level that counts as QP does; what is not a whole QP scales the samples."""
    qp = min(math.floor(level), x265.COARSEST)
    low, high = float(cube.min()), float(cube.max())
    unit = (high - low or 1.0) / (_PEAK * 2 ** ((qp - level) / 6))
    step = _step(qp)
    rows, cols, bands = cube.shape
    encoder, decoder = x265.Encoder(rows, cols, qp, _OPTIONS, _TUNE), x265.Decoder()
    model = Reflectance((rows, cols), step**2)
    weights, flags, stream = [], [], []
    reference = np.full((rows, cols), _MIDDLE, np.float64)
    for band in range(bands):
        samples = np.rint((cube[:, :, band].astype(np.float64) - low) / unit)
        references = model.references()
        weights.append(_fit(references, samples, step))
        weighted = _weighted(references, weights[-1], step)
        flags.append(_choose(weighted, samples, step))
        predicted = _chosen(weighted, flags[-1])
        frame = (reference + samples - predicted).clip(0, x265.PEAK)
        stream.append(encoder.add(frame.astype(np.uint16)))
        decoded = decoder.add(stream[-1])[0].astype(np.float64)
        model.add((predicted + decoded - reference).clip(0, _PEAK))
        reference = decoded
    chosen, share = _pack_flags(np.stack(flags))
    planes = list(np.array(weights, np.int32).T)
    head = pack_shape(cube) + _HEAD.pack(low, unit, share, qp)
    return head + join(integers.encode(planes), chosen, b"".join(stream))


def _step(qp: int) -> float:
    """Step of HEVC's quantiser, in samples of 12 bits."""
    return float(2 ** ((qp - 4) / 6) * 16)


def _fit(references: tuple[Plane, Plane], samples: Plane, step: float) -> list[int]:
    """Gain, in sixty-fourths over 1, and offset, in eighths of a step, of each reference."""
    weights = []
    for reference in references:
        centred = reference - reference.mean()
        power = np.square(centred).mean()
        gain = (centred * samples).mean() / power if power > 0 else 1.0
        over = round(float(np.clip(gain - 1, -1, 4)) * _GAINS)
        left = (samples - reference * (1 + over / _GAINS)).mean()
        weights += [over, round(float(left) / (step / 8))]
    return weights


def _weighted(references: tuple[Plane, Plane], weights: Any, step: float) -> tuple[Plane, Plane]:
    first, second = (
        np.rint(reference * (1 + over / _GAINS) + offset * step / 8).clip(0, _PEAK)
        for reference, over, offset in zip(references, weights[::2], weights[1::2], strict=True)
    )
    return first, second


def _choose(weighted: tuple[Plane, Plane], samples: Plane, step: float) -> Flags:
    """Blocks whose first reference, the band before, is better by what a flag costs."""
    before, modelled = (_block_sums(np.square(samples - plane)) for plane in weighted)
    return np.asarray(before + step**2 / 4 < modelled)


def _chosen(weighted: tuple[Plane, Plane], flags: Flags) -> Plane:
    rows, cols = weighted[0].shape
    whole = flags.repeat(_BLOCK, 0).repeat(_BLOCK, 1)[:rows, :cols]
    return np.where(whole, weighted[0], weighted[1])


def _block_sums(plane: Plane) -> Plane:
    rows, cols = (range(0, size, _BLOCK) for size in plane.shape)
    return np.asarray(np.add.reduceat(np.add.reduceat(plane, rows, 0), cols, 1))


def _pack_flags(flags: Flags) -> tuple[bytes, float]:
    share = np.float32(flags.mean())
    coder = constriction.stream.stack.AnsCoder()
    coder.encode_reverse(flags.ravel().astype(np.int32), _model(share))
    return coder.get_compressed().astype("<u4").tobytes(), float(share)


def _unpack_flags(payload: bytes, share: float, shape: tuple[int, int, int]) -> Flags:
    rows, cols, bands = shape
    blocks = (bands, -(-rows // _BLOCK), -(-cols // _BLOCK))
    coder = constriction.stream.stack.AnsCoder(np.frombuffer(payload, "<u4").astype(np.uint32))
    symbols = coder.decode(_model(np.float32(share)), math.prod(blocks))
    flags: Flags = symbols.reshape(blocks).astype(bool)
    return flags


def _model(share: np.float32) -> Any:
    return constriction.stream.model.Bernoulli(float(share), perfect=False)
