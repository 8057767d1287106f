"""The ``latents`` layer of a scene: planes of a tile <-> bytes, through the base network.

Decoding needs NumPy alone, torch is imported only to fit latents.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.coding import latents
from xhsinr.coding.overview import block_means, coarse_side
from xhsinr.errors import DamagedSidecarError
from xhsinr.network.base import BaseNetwork
from xhsinr.network.siren import forward, pixel_grid
from xhsinr.tiling import Patching

__all__ = ["LatentCoding"]

# Numbers in a layer's activations at most, when reading: a few megabytes, which also is fastest.
_ACTIVATIONS = 1 << 20
# Coarse reads sample the network every so many pixels. With 2 they miss the mean of the full
# decode by less than a tenth of what the latents miss the scene by, with 4 by a third.
_SAMPLING = 2
# Numbers that the patches of a tile may hold, however small the tile.
_PADDED = 1 << 23
# Numbers that it takes to make the coordinates of a pixel of a patch; all patches share them.
_GRID = 12

Planes = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class LatentCoding:
    """The ``latents`` layer of a scene.

    Attributes
    ----------
    network : BaseNetwork
    level : int
        Quantiser level, see `xhsinr.coding.latents.scene_step`.
    unit, offset : float
        The network's planes times ``unit`` plus ``offset`` are scores (``scene`` head; the
        offset is zero) or samples (``shared`` head).
    """

    network: BaseNetwork
    level: int
    unit: float
    offset: float = 0.0

    def encode(self, planes: Planes, device: str) -> bytes:
        """Fit, quantise and code the latents of a tile's planes, shape (planes, rows, cols)."""
        from xhsinr.network import meta  # torch

        patching = self._patching(planes.shape[1:])
        scaled = (planes[: self.network.siren.outputs] - self.offset) / self.unit
        patches = patching.split(scaled.astype(np.float32))
        fitted = meta.fit(self.network, patches, patching.shape, device)
        return latents.encode(fitted, self.network, self.level)[0]

    def decode(self, payload: bytes, planes: int, rows: int, cols: int, factor: int = 1) -> Planes:
        """The first ``planes`` planes of a tile, shape (planes, rows, cols), float32.

        With a ``factor`` above one, means over blocks of so many pixels a side: of samples of
        the network between the pixels, one where there are four of them.
        """
        network = self.network
        patching = self._patching((rows, cols))
        _check_patches(patching, network, planes)
        integers = latents.decode(payload, len(patching), network, self.level)
        vectors = latents.dequantise(integers, network, self.level)
        step = math.gcd(factor, _SAMPLING, network.patch or 0)
        coarse = Patching(
            coarse_side(rows, step),
            coarse_side(cols, step),
            network.patch and network.patch // step,
        )
        grid = pixel_grid(*patching.shape, step)
        pixels = _evaluate(network, grid, vectors, min(planes, network.siren.outputs))
        joined = coarse.join(pixels) * np.float32(self.unit) + np.float32(self.offset)
        return joined if factor == step else block_means(joined, factor // step)

    def _patching(self, shape: tuple[int, ...]) -> Patching:
        return Patching(shape[0], shape[1], self.network.patch)


def _check_patches(patching: Patching, network: BaseNetwork, planes: int) -> None:
    """Refuse patches that ask for far more memory than the tile that they are patches of."""
    grid, patches = math.prod(patching.shape), len(patching)
    numbers = max(planes * grid * patches, _GRID * grid, network.siren.latents * patches)
    tile = patching.rows * patching.cols
    if numbers > max(_PADDED, 4 * planes * tile, _GRID * tile):
        raise DamagedSidecarError(
            f"patches of {patching.shape} pixels with {network.siren.latents} latents each are too "
            f"large or too many for a tile of {patching.rows} x {patching.cols} pixels: the base "
            "network is not one for this scene"
        )


def _evaluate(
    network: BaseNetwork, grid: npt.NDArray[np.float32], vectors: Planes, planes: int
) -> npt.NDArray[np.float32]:
    """The first planes of the network at all points of all patches, a part at a time."""
    siren = network.siren
    # Each patch has its own shifts in every layer, and maybe its own output layer.
    wide = max(siren.layers, siren.outputs if siren.modulation == "shift+output" else 1)
    points = max(1, _ACTIVATIONS // siren.width)
    patches = max(1, points // max(len(grid), wide))
    pixels = np.empty((len(vectors), len(grid), planes), np.float32)
    for first in range(0, len(vectors), patches):
        part = slice(first, first + patches)
        for start in range(0, len(grid), points):
            inside = slice(start, start + points)
            output = forward(siren, network.parameters, grid[inside], vectors[part])
            pixels[part, inside] = output[..., :planes]
    return pixels
