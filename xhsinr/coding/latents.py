"""The coding ``latents``: a latent vector a patch, under a network of the paper's kind.

For networks that users train on their own archives. Fitting the vectors needs torch; decoding is
NumPy's, with the rounding of its float32, so the last digits may differ from machine to machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from xhsinr.coding import latent_vectors
from xhsinr.coding.contract import Bands, Frame, NetworkUse, Samples, Valid
from xhsinr.coding.overview import block_means, coarse_side
from xhsinr.devices import need_torch
from xhsinr.errors import DamagedSidecarError, NetworkError
from xhsinr.network.places import network_of
from xhsinr.network.siren import forward, pixel_grid
from xhsinr.network.siren_network import SirenNetwork
from xhsinr.tiling import Patching

__all__ = ["LatentsCoding"]

# Numbers in a layer's activations at most, when reading: a few megabytes, which also is fastest.
_ACTIVATIONS = 1 << 20
# Coarse reads sample the network every so many pixels. With 2 they miss the mean of the full
# decode by less than a tenth of what the latents miss the scene by, with 4 by a third.
_SAMPLING = 2
# Numbers that the patches of a tile may hold, however small the tile.
_PADDED = 1 << 23
# Numbers that it takes to make the coordinates of a pixel of a patch; all patches share them.
_GRID = 12
# What fitting takes: torch itself, and numbers that are kept of each unit, once and in each layer.
_TORCH = 200_000_000
_ONCE, _IN_A_LAYER = 4, 3

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LatentsCoding:
    """Latent vectors of a scene's patches; see `xhsinr.coding.contract.Coding`.

    Attributes
    ----------
    frame : Frame
        Its range is what the network's outputs from 0 to 1 stand for.
    network : SirenNetwork
    """

    name: ClassVar[str] = "latents"
    parts: ClassVar[tuple[str, ...]] = ("latents",)
    exact: ClassVar[bool] = False

    frame: Frame
    network: SirenNetwork

    def __post_init__(self) -> None:
        outputs = self.network.siren.outputs
        if outputs < self.frame.bands:
            raise NetworkError(
                f"network {self.network.name!r} has outputs for {outputs} bands, the scene has "
                f"{self.frame.bands}: train one on scenes of this sensor"
            )

    @staticmethod
    def gains_by_gpu(device: str) -> bool:
        """See `Coding.gains_by_gpu`."""
        return device != "cpu"

    def encode(self, samples: Samples, valid: Valid | None, device: str) -> dict[str, bytes]:
        """See `Coding.encode`."""
        need_torch("to fit latents")
        from xhsinr.network.meta import fit

        patching = self._patching(samples.shape[1:])
        scaled = (samples.astype(np.float32) - np.float32(self.frame.low)) / self._unit
        vectors = fit(self.network, patching.split(scaled), patching.shape, device)
        return {"latents": latent_vectors.encode(vectors, self.network)[0]}

    def decode(
        self,
        parts: Mapping[str, bytes],
        rows: int,
        cols: int,
        bands: Bands | None,
        valid: Valid | None = None,
    ) -> Samples:
        """See `Coding.decode`."""
        return self.frame.to_samples(self.decode_coarse(parts, rows, cols, 1, bands))

    def decode_coarse(
        self, parts: Mapping[str, bytes], rows: int, cols: int, factor: int, bands: Bands | None
    ) -> Float32Array:
        """See `Coding.decode_coarse`; the network is sampled between the pixels.

        That is, once where there are four pixels.
        """
        network, patching = self.network, self._patching((rows, cols))
        wanted = np.arange(self.frame.bands) if bands is None else bands
        _check_patches(patching, network, self.frame.bands)
        vectors = latent_vectors.dequantise(
            latent_vectors.decode(parts.get("latents", b""), len(patching), network), network
        )
        step = math.gcd(factor, _SAMPLING, network.patch or 0)
        patch = network.patch and network.patch // step
        coarse = Patching(coarse_side(rows, step), coarse_side(cols, step), patch)
        grid = pixel_grid(*patching.shape, step)
        planes = coarse.join(_evaluate(network, grid, vectors, wanted)) * self._unit
        planes += np.float32(self.frame.low)
        return planes if factor == step else block_means(planes, factor // step)

    def to_bytes(self) -> bytes:
        """See `Coding.to_bytes`: the network's name and digest."""
        return NetworkUse.of(self.network).to_bytes()

    @classmethod
    def network_use(cls, content: bytes) -> NetworkUse:
        """See `xhsinr.coding.contract.NetworkCoding`."""
        return NetworkUse.from_bytes(content)

    @classmethod
    def from_bytes(cls, content: bytes, frame: Frame) -> Self:
        """See `Coding.from_bytes`.

        Raises
        ------
        NetworkNotFoundError, NetworkDigestError, NetworkError
            If the network isn't found, or is none of the paper's kind.
        DamagedSidecarError
        """
        use = cls.network_use(content)
        network = network_of(use.name, use.digest, frame.sidecar)
        if not isinstance(network, SirenNetwork):
            raise NetworkError(
                f"network {use.name!r} is a {network.kind}, and latents need a siren"
            )
        return cls(frame, network)

    def memory(self, pixels: int) -> int:
        """See `Coding.memory`."""
        siren = self.network.siren
        activations = siren.width * (_ONCE + _IN_A_LAYER * siren.layers)
        return _TORCH + pixels * (activations + 4 * siren.outputs) * 4

    @property
    def _unit(self) -> np.float32:
        return np.float32(self.frame.high - self.frame.low or 1.0)

    def _patching(self, shape: tuple[int, ...]) -> Patching:
        return Patching(shape[0], shape[1], self.network.patch)


def _check_patches(patching: Patching, network: SirenNetwork, bands: int) -> None:
    """Refuse patches that ask for far more memory than the tile that they are patches of."""
    grid, patches = math.prod(patching.shape), len(patching)
    numbers = max(bands * grid * patches, _GRID * grid, network.siren.latents * patches)
    tile = patching.rows * patching.cols
    if numbers > max(_PADDED, 4 * bands * tile, _GRID * tile):
        raise DamagedSidecarError(
            f"patches of {patching.shape} pixels with {network.siren.latents} latents each are too "
            f"large or too many for a tile of {patching.rows} x {patching.cols} pixels: the base "
            "network is not one for this scene"
        )


def _evaluate(
    network: SirenNetwork, grid: Float32Array, vectors: Float32Array, bands: Bands
) -> Float32Array:
    """Some bands at all points of all patches, a part at a time."""
    siren = network.siren
    parameters = network.parameters | {
        name: network.parameters[name][bands] for name in ("output.weight", "output.bias")
    }
    points = max(1, _ACTIVATIONS // siren.width)
    # Each patch has its own shifts in every layer.
    patches = max(1, points // max(len(grid), siren.layers))
    pixels = np.empty((len(vectors), len(grid), len(bands)), np.float32)
    for first in range(0, len(vectors), patches):
        part = slice(first, first + patches)
        for start in range(0, len(grid), points):
            inside = slice(start, start + points)
            pixels[part, inside] = forward(siren, parameters, grid[inside], vectors[part])
    return pixels
