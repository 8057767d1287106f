"""INR: a SIREN fitted to one scene; its weights are the file.

Rezasoltani and Qureshi, "Hyperspectral image compression using implicit neural representations",
CRV 2023, and "Hyperspectral image compression using sampling and implicit neural
representations", IEEE TGRS 2024. The network maps a pixel's place to its spectrum. The second
paper fits each step to a random sample of the pixels. ``HP_`` stores the same fit in half
precision.
"""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from xhsinr.bench.codecs import Cube, Kind, Target
from xhsinr.bench.codecs.common import as_type, check, pack_shape, unpack_shape
from xhsinr.bench.codecs.sharing import share
from xhsinr.network.siren import pixel_grid

__all__ = ["HalfInr", "HalfSampledInr", "Inr", "SampledInr"]

Floats = npt.NDArray[np.float32]

_HEAD = struct.Struct("<BHdd")
_W0 = 30.0
# Deep and wide networks need smaller steps. At 3e-3 one of (15, 40), and at 1e-3 one of (20, 60),
# collapsed to the mean; 0.07 / (K sqrt(d)) is 7e-4 and 4.5e-4 for these.
_RATE, _WARM, _MOST_GRADIENT = 0.07, 0.05, 1.0
_SEED = 0


@dataclass(frozen=True)
class Inr:
    """The codec, with ``layers`` sine layers of ``width`` units, fitted by ``steps`` of Adam."""

    name: ClassVar[str] = "INR"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"native"})
    stored: ClassVar[str] = "<f4"
    """Data type of the weights."""
    share: ClassVar[float] = 1.0
    """Share of the pixels in each step."""

    layers: int = 10
    width: int = 20
    steps: int = 1400

    @property
    def settings(self) -> str:
        """How it is arranged, in one line for the tables."""
        bits = 8 * np.dtype(self.stored).itemsize
        return (
            f"K={self.layers}, d={self.width}, {bits}-bit weights, {self.steps} Adam steps on "
            f"{self.share:.0%} of the pixels"
        )

    def encode(self, cube: Cube, target: Target) -> bytes:
        """See `xhsinr.bench.codecs.Codec`."""
        check(self, target)
        low, high = float(cube.min()), float(cube.max())
        unit = high - low or 1.0
        spectra = ((cube.reshape(-1, cube.shape[2]) - low) / unit).astype(np.float32)
        weights = share(
            (_digest(cube), self.layers, self.width, self.steps, self.share),
            lambda: _fit(self, pixel_grid(*cube.shape[:2]), spectra),
        )
        head = pack_shape(cube) + _HEAD.pack(self.layers, self.width, low, unit)
        return head + b"".join(weight.astype(self.stored).tobytes() for weight in weights)

    def decode(self, payload: bytes) -> Cube:
        """See `xhsinr.bench.codecs.Codec`."""
        shape, dtype, rest = unpack_shape(payload)
        layers, width, low, unit = _HEAD.unpack_from(rest)
        numbers = np.frombuffer(rest[_HEAD.size :], self.stored).astype(np.float32)
        hidden = pixel_grid(*shape[:2]).T
        *inner, last = _split(numbers, layers, width, shape[2])
        for matrix, bias in inner:
            hidden = np.sin(_W0 * (matrix @ hidden + bias[:, None]))
        spectra = last[0] @ hidden + last[1][:, None]
        return as_type(spectra.T.reshape(shape) * unit + low, dtype)


class HalfInr(Inr):
    """`Inr` with weights in half precision."""

    name: ClassVar[str] = "HP_INR"
    stored: ClassVar[str] = "<f2"


@dataclass(frozen=True)
class SampledInr(Inr):
    """`Inr` fitted to a random quarter of the pixels in each step, in more of
    them."""

    name: ClassVar[str] = "INR_sampling"
    share: ClassVar[float] = 0.25

    steps: int = 4000


class HalfSampledInr(SampledInr):
    """`SampledInr` with weights in half precision."""

    name: ClassVar[str] = "HP_INR_sampling"
    stored: ClassVar[str] = "<f2"


def _digest(cube: Cube) -> str:
    return hashlib.sha256(pack_shape(cube) + np.ascontiguousarray(cube).tobytes()).hexdigest()


def _sizes(layers: int, width: int, bands: int) -> list[tuple[int, int]]:
    """Outputs and inputs of each layer."""
    return [(width, 2), *[(width, width)] * (layers - 1), (bands, width)]


def _split(numbers: Floats, layers: int, width: int, bands: int) -> list[tuple[Floats, Floats]]:
    """Matrix and bias of each layer from all weights in a row."""
    found = []
    for outputs, inputs in _sizes(layers, width, bands):
        matrix, bias, numbers = np.split(numbers, [outputs * inputs, outputs * (inputs + 1)])
        found.append((matrix.reshape(outputs, inputs), bias))
    return found


def _share_of_rate(steps: int, step: int) -> float:
    """The learning rate as a share of its peak: a linear warm-up, then half a cosine."""
    return min((step + 1) / (_WARM * steps), 0.5 + 0.5 * math.cos(math.pi * step / steps))


def _fit(codec: Inr, places: Floats, spectra: Floats) -> list[Floats]:
    """Weights of a SIREN that maps places, (pixels, 2), to spectra, (pixels, bands)."""
    # Here, since only fitting needs torch.
    import torch
    from torch.nn.functional import linear, mse_loss
    from torch.nn.utils import clip_grad_norm_
    from tqdm import trange

    random = torch.Generator().manual_seed(_SEED)

    def uniform(shape: Any, limit: float) -> torch.Tensor:
        return ((2 * torch.rand(shape, generator=random) - 1) * limit).requires_grad_()

    # Sitzmann et al. 2020: with n inputs the first layer's weights lie within 1 / n, the others'
    # within sqrt(6 / n) / w0. The last layer is linear: its outputs start near the spread of the
    # spectra, which the fit sees with mean 0 and spread 1.
    weights: list[torch.Tensor] = []
    sizes = _sizes(codec.layers, codec.width, spectra.shape[1])
    for number, (outputs, inputs) in enumerate(sizes):
        limit = math.sqrt(6 / inputs) / _W0 if number else 1 / inputs
        last = number == codec.layers
        weights += [
            uniform((outputs, inputs), 1 / math.sqrt(inputs) if last else limit),
            uniform(outputs, 0.0 if last else 1 / math.sqrt(inputs) / (_W0 if number else 1)),
        ]
    mean = spectra.mean(0)
    spread = float((spectra - mean).std()) or 1.0
    everywhere, everything = torch.from_numpy(places), torch.from_numpy((spectra - mean) / spread)

    rate = _RATE / (codec.layers * math.sqrt(codec.width))
    adam = torch.optim.Adam(weights, rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, partial(_share_of_rate, codec.steps))
    sample = max(1, round(codec.share * len(places)))
    for _ in trange(codec.steps, desc=codec.name, delay=2, leave=False):
        hidden, wanted = everywhere, everything
        if sample < len(places):
            chosen = torch.randperm(len(places), generator=random)[:sample]
            hidden, wanted = everywhere[chosen], everything[chosen]
        for matrix, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
            hidden = torch.sin(_W0 * linear(hidden, matrix, bias))
        loss = mse_loss(linear(hidden, *weights[-2:]), wanted)
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        clip_grad_norm_(weights, _MOST_GRADIENT)
        adam.step()
        schedule.step()
    *inner, scale, offset = (weight.detach().numpy() for weight in weights)
    return [*inner, scale * spread, offset * spread + mean]
