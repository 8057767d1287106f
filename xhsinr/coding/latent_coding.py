"""The ``latents`` layer of a scene: planes of a tile <-> bytes, through the base network.

Decoding needs NumPy alone, torch is imported only to fit latents.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.coding import contexts
from xhsinr.coding import old_latents as latents
from xhsinr.coding.overview import block_means, coarse_side
from xhsinr.errors import DamagedSidecarError
from xhsinr.network.base import BaseNetwork
from xhsinr.network.siren import atom_values, forward, pixel_grid
from xhsinr.tiling import Patching

__all__ = ["LatentCoding", "fit", "quantiser_step"]

# Numbers in a layer's activations at most, when reading: a few megabytes, which also is fastest.
_ACTIVATIONS = 1 << 20
# Coarse reads sample the network every so many pixels. With 2 they miss the mean of the full
# decode by less than a tenth of what the latents miss the scene by, with 4 by a third.
_SAMPLING = 2
# Numbers that the patches of a tile may hold, however small the tile.
_PADDED = 1 << 23
# Numbers that it takes to make the coordinates of a pixel of a patch; all patches share them.
_GRID = 12
# Shapes of patches whose atoms are kept, half a megabyte each: a scene has four at most.
_SHAPES = 16
# Squared quantiser step for each unit of error: below 12, since zeros have larger errors.
_STEP = 7.7

Planes = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class LatentCoding:
    """The ``latents`` layer of a scene.

    Attributes
    ----------
    network : BaseNetwork
    level : int
        Quantiser level, see `xhsinr.coding.old_latents.scene_step`.
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
        network, patching = self.network, self._patching(planes.shape[1:])
        scaled = (planes[: network.siren.outputs] - self.offset) / (self.unit * self._step)
        if network.contexts is not None:
            fitted = fit(network, scaled, patching, device)
            return contexts.encode(fitted, network.contexts, patching.shape)[0]
        from xhsinr.network import meta  # torch

        patches = patching.split(scaled.astype(np.float32))
        adapted = meta.fit(network, patches, patching.shape, device)
        return latents.encode(adapted, network, self.level)[0]

    def decode(self, payload: bytes, planes: int, rows: int, cols: int, factor: int = 1) -> Planes:
        """The first ``planes`` planes of a tile, shape (planes, rows, cols), float32.

        With a ``factor`` above one, means over blocks of so many pixels a side: of samples of
        the network between the pixels, one where there are four of them.
        """
        patching, outputs = self._patching((rows, cols)), min(planes, self.network.siren.outputs)
        _check_patches(patching, self.network, planes)
        if self.network.contexts is not None:
            joined = patching.join(self._linear(payload, outputs, patching))
            step = 1
        else:
            step = math.gcd(factor, _SAMPLING, self.network.patch or 0)
            joined = self._sampled(payload, outputs, patching, step)
        joined = joined * np.float32(self.unit) + np.float32(self.offset)
        return joined if factor == step else block_means(joined, factor // step)

    def _linear(self, payload: bytes, outputs: int, patching: Patching) -> Planes:
        """Patches of a network that is linear in its latents, shape (patches, pixels, planes)."""
        network = self.network
        assert network.contexts is not None
        integers = contexts.decode(
            payload, outputs, patching.grid, network.contexts, patching.shape
        )
        used = integers.any(axis=(0, 2, 3))
        atoms = _atoms(network, patching.shape)[:, used] * np.float32(self._step)
        weights = integers[:, used].reshape(outputs, -1, len(patching)).astype(np.float32)
        patches: Planes = np.einsum("pa,cal->lpc", atoms, weights, optimize=True)
        return patches

    def _sampled(self, payload: bytes, outputs: int, patching: Patching, step: int) -> Planes:
        """Planes of the network at every ``step``-th pixel, shape (planes, rows, cols)."""
        network = self.network
        integers = latents.decode(payload, len(patching), network, self.level)
        vectors = latents.dequantise(integers, network, self.level)
        coarse = Patching(
            coarse_side(patching.rows, step),
            coarse_side(patching.cols, step),
            network.patch and network.patch // step,
        )
        grid = pixel_grid(*patching.shape, step)
        return coarse.join(_evaluate(network, grid, vectors, outputs))

    @property
    def _step(self) -> float:
        """Quantiser step of all latents, where the network has none for each."""
        return 1.0 if self.network.contexts is None else latents.scene_step(self.level)

    def _patching(self, shape: tuple[int, ...]) -> Patching:
        even = self.network.contexts is not None
        return Patching(shape[0], shape[1], self.network.patch, even)


def quantiser_step(error: float) -> float:
    """Quantiser step of scores whose errors, those of zeros included, average ``error``."""
    return math.sqrt(_STEP * error)


def fit(
    network: BaseNetwork, planes: Planes, patching: Patching, device: str = "cpu"
) -> npt.NDArray[np.float32]:
    """Latents of a network that is linear in them: the least-squares fit of every patch.

    From zero this is the one Gauss-Newton step that arrives, for all patches in one product.

    Parameters
    ----------
    network : BaseNetwork
        With ``output`` modulation.
    planes : ndarray of float, shape (outputs, rows, cols)
        Of a tile; there may be fewer than the network has outputs.
    patching : Patching
    device : str
        Where torch does it, if that is not the CPU.

    Returns
    -------
    ndarray of float32, shape (outputs, atoms, down, across)
        Zero for atoms of higher orders than a patch has pixels.
    """
    patches = patching.split(planes.astype(np.float32))
    projection = _projection(network, patching.shape)
    if device.startswith("cuda"):
        from xhsinr.network import meta  # torch

        fitted = meta.project(projection, patches, device)
    else:
        fitted = np.einsum("ap,lpc->cal", projection, patches, optimize=True)
    return fitted.reshape(len(planes), network.siren.atoms, *patching.grid)


@lru_cache(maxsize=_SHAPES)
def _atoms(network: BaseNetwork, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Atoms of a network at the pixels of a patch, of unit length, shape (pixels, atoms)."""
    assert network.contexts is not None
    assert network.patch is not None
    values = atom_values(network.siren, network.parameters, pixel_grid(*shape))
    u, v = network.contexts.orders.T
    values *= (u < shape[1]) & (v < shape[0])
    return np.asarray(values * np.float32(network.patch / math.sqrt(math.prod(shape))))


@lru_cache(maxsize=_SHAPES)
def _projection(network: BaseNetwork, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    atoms = _atoms(network, shape).astype(np.float64)
    projection = np.zeros(atoms.T.shape, np.float32)
    there = atoms.any(axis=0)
    projection[there] = np.linalg.pinv(atoms[:, there])
    return projection


def _check_patches(patching: Patching, network: BaseNetwork, planes: int) -> None:
    """Refuse patches that ask for far more memory than the tile that they are patches of."""
    grid, patches = math.prod(patching.shape), len(patching)
    coded = network.siren.latents
    if network.contexts is not None:  # only the outputs that there are planes for
        coded = network.siren.atoms * min(planes, network.siren.outputs)
    numbers = max(planes * grid * patches, _GRID * grid, coded * patches)
    tile = patching.rows * patching.cols
    if numbers > max(_PADDED, 4 * planes * tile, _GRID * tile):
        raise DamagedSidecarError(
            f"patches of {patching.shape} pixels with {coded} latents each are too "
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
