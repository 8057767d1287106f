"""WSRC: a scene at half its size along each axis, and a network that puts the details back.

Ouahioune et al., "Enhancing hyperspectral image compression using learning-based
super-resolution technique", Earth Science Informatics 14, 2021. The bands' means are taken off;
one level of a 3-D wavelet transform halves rows, columns and bands; the low subband is coded with
SPERR, of the family of 3-D SPECK; a small 3-D CNN predicts the seven detail subbands at the
decoder. Nothing corrects them, so the quality has a limit. The network's weights come with the
package and are not counted, like any code; examples/train_wsrc.py trained it, on scenes of other
sites than the benchmark's; their names are in its file.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import imagecodecs
import numpy as np
import numpy.typing as npt

from xhsinr.bench.codecs import Cube, Kind, Target
from xhsinr.bench.codecs.common import as_type, check, pack_shape, search, unpack_shape, wavelets

if TYPE_CHECKING:
    import torch

__all__ = ["DETAILS", "WEIGHTS", "Wsrc", "halve", "network", "training_scenes"]

Floats = npt.NDArray[np.float64]

DETAILS = ("aad", "ada", "add", "daa", "dad", "dda", "ddd")
"""Detail subbands in the order of the network's outputs: a for low, d for high, by axis."""

WEIGHTS = Path(__file__).with_name("wsrc.safetensors")
"""The trained network."""

_WAVELET, _MODE = "bior4.4", "periodization"
_SPREAD = struct.Struct("<f")
_CHANNELS = 16
# Most and fewest bits a sample of the low subband.
_MOST_BITS, _FEWEST_BITS = 16.0, 0.02


@dataclass(frozen=True)
class Wsrc:
    """The codec."""

    name: ClassVar[str] = "WSRC"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"bpppb", "psnr"})
    settings: ClassVar[str] = "one level of 9/7, SPERR on the low subband, CNN for the details"

    def encode(self, cube: Cube, target: Target) -> bytes:
        """See `xhsinr.bench.codecs.Codec`."""
        check(self, target)
        mean = cube.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
        low, _ = halve(cube - mean.astype(np.float64))
        spread = np.float32(low.std() or 1.0)
        planes = np.ascontiguousarray(low.transpose(2, 0, 1) / spread, np.float32)
        head: bytes = pack_shape(cube) + _SPREAD.pack(spread) + mean.tobytes()

        def code(step: float) -> bytes:
            return head + bytes(imagecodecs.sperr_encode(planes, _MOST_BITS / step, "bpp"))

        return search(self, cube, target, code, 1.0, _MOST_BITS / _FEWEST_BITS)

    def decode(self, payload: bytes) -> Cube:
        """See `xhsinr.bench.codecs.Codec`."""
        shape, dtype, rest = unpack_shape(payload)
        (spread,) = _SPREAD.unpack_from(rest)
        end = _SPREAD.size + 4 * shape[2]
        mean = np.frombuffer(rest[_SPREAD.size : end], "<f4")
        planes = imagecodecs.sperr_decode(rest[end:])
        low = planes.transpose(1, 2, 0)
        subbands = dict(zip(DETAILS, _details(low) * spread, strict=True))
        subbands["aaa"] = low * spread
        rows, cols, bands = shape
        whole = wavelets().idwtn(subbands, _WAVELET, _MODE)[:rows, :cols, :bands]
        return as_type(whole + mean, dtype)


def halve(cube: Floats) -> tuple[Floats, Floats]:
    """Low subband, (rows / 2, cols / 2, bands / 2), and the `DETAILS`, stacked before it."""
    subbands = wavelets().dwtn(cube, _WAVELET, _MODE)
    return subbands["aaa"], np.stack([subbands[key] for key in DETAILS])


def network() -> torch.nn.Sequential:
    """The untrained network: a cube with mean 0 and spread 1 in, seven of its shape out."""
    from torch.nn import Conv3d, ReLU, Sequential

    return Sequential(
        Conv3d(1, _CHANNELS, 3, padding=1, padding_mode="replicate"),
        ReLU(),
        Conv3d(_CHANNELS, _CHANNELS, 3, padding=1, padding_mode="replicate"),
        ReLU(),
        Conv3d(_CHANNELS, len(DETAILS), 3, padding=1, padding_mode="replicate"),
    )


@cache
def training_scenes() -> frozenset[str]:
    """Names of the scenes that the packaged weights were trained on."""
    from safetensors import safe_open

    with safe_open(WEIGHTS, "numpy") as file:
        return frozenset(json.loads(file.metadata()["training"]))


@cache
def _trained() -> torch.nn.Sequential:
    from safetensors.torch import load_file

    trained = network()
    trained.load_state_dict({name: w.float() for name, w in load_file(WEIGHTS).items()})
    return trained.eval()


def _details(low: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    import torch

    with torch.inference_mode():
        found = _trained()(torch.from_numpy(np.ascontiguousarray(low))[None, None])[0]
    return np.asarray(found.numpy())
