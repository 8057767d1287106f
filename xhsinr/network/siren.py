"""The modulated SIREN: coordinates and a latent vector in, one spectrum a pixel out.

One function, `forward`, serves torch (training, encoding) and NumPy (reading): it uses only
operators that both have, so the two agree by construction. Nothing here imports torch.

Equations are those of Rezasoltani and Qureshi, "Hyperspectral Image Compression Using
Implicit Neural Representation and Meta-Learned Based Network", section 3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.errors import NetworkError

__all__ = ["Parameters", "Siren", "forward", "pixel_grid", "random_parameters"]

_LIMITS = {"layers": 64, "width": 4096, "latents": 8192, "outputs": 4096}

Parameters = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Siren:
    """Sizes of a modulated SIREN.

    Attributes
    ----------
    layers : int
        K, the number of hidden (sine) layers.
    width : int
        d, the units in each.
    latents : int
        L, the length of a latent vector.
    outputs : int
        Bands.
    w0_first, w0 : float
        Frequency factors of the first and of the other sine layers.
    """

    layers: int
    width: int
    latents: int
    outputs: int
    w0_first: float = 30.0
    w0: float = 30.0

    def __post_init__(self) -> None:
        for name, limit in _LIMITS.items():
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= limit:
                raise NetworkError(f"{name} = {value!r}: a network needs 1 to {limit}")
        for name in ("w0_first", "w0"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 < value < 1e6:
                raise NetworkError(f"{name} = {value!r}: a network needs a positive number")

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter, by name."""
        K, d, L, C = self.layers, self.width, self.latents, self.outputs
        return {
            "first.weight": (d, 2),
            "first.bias": (d,),
            "hidden.weight": (K - 1, d, d),
            "hidden.bias": (K - 1, d),
            "output.weight": (C, d),
            "output.bias": (C,),
            "shift.weight": (K * d, L),
            "shift.bias": (K * d,),
        }


def pixel_grid(rows: int, cols: int, step: int = 1) -> npt.NDArray[np.float32]:
    """Pixel centres of a patch as (x, y) in [-1, 1], row by row.

    Parameters
    ----------
    rows, cols : int
        Size of the patch in pixels.
    step : int
        Take the centres of blocks of ``step`` x ``step`` pixels instead; the last ones end at
        the edges of the patch.

    Returns
    -------
    ndarray of float32, shape (points, 2)
    """
    y, x = (_centres(size, step) / size - 1 for size in (rows, cols))
    grid = np.stack(np.broadcast_arrays(x[None, :], y[:, None]), axis=-1)
    return grid.reshape(-1, 2).astype(np.float32)


def _centres(size: int, step: int) -> npt.NDArray[np.int64]:
    """Twice the distance of the blocks' centres from the edge, in pixels."""
    starts = np.arange(0, size, step)
    return np.asarray(starts + np.minimum(starts + step, size))


def forward(siren: Siren, parameters: Mapping[str, Any], coords: Any, latents: Any) -> Any:
    """Evaluate the network for a batch of patches (equations 1 and 2).

    ``h_i = sin(w0 (W_i h_{i-1} + b_i) + beta_i)``, ``beta = W_M phi + b_M``, and a linear
    output layer.

    Parameters
    ----------
    siren : Siren
        Sizes.
    parameters : mapping of str to array
        As named by `Siren.shapes`; NumPy arrays or torch tensors, like all arguments.
    coords : array, shape (pixels, 2) or (patches, pixels, 2)
        In [-1, 1]. The first form is shared by all patches and passes the first layer once.
    latents : array, shape (patches, latents)

    Returns
    -------
    array, shape (patches, pixels, outputs)
    """
    K, d = siren.layers, siren.width
    patches = latents.shape[0]
    beta = latents @ parameters["shift.weight"].T + parameters["shift.bias"]
    beta = beta.reshape(patches, K, 1, d)
    first = siren.w0_first * (coords @ parameters["first.weight"].T + parameters["first.bias"])
    h = _sin(first + beta[:, 0])
    for i in range(1, K):
        weight, bias = parameters["hidden.weight"][i - 1], parameters["hidden.bias"][i - 1]
        h = _sin(siren.w0 * (h @ weight.T + bias) + beta[:, i])
    return h @ parameters["output.weight"].T + parameters["output.bias"]


def _sin(values: Any) -> Any:
    if isinstance(values, np.ndarray):
        return np.sin(values, out=values)
    return values.sin()


def random_parameters(siren: Siren, rng: np.random.Generator) -> Parameters:
    """Start of training after SIREN (Sitzmann et al. 2020) and COIN++ (Dupont et al. 2022).

    The first layer is uniform in ±1/2, the others in ±sqrt(6 / d) / w0, the modulation in
    ±1/sqrt(L), its bias zero.
    """
    d, L = siren.width, siren.latents
    bounds = {
        "first.weight": 1 / 2,
        "first.bias": 1 / math.sqrt(2),
        "hidden.weight": math.sqrt(6 / d) / siren.w0,
        "hidden.bias": 1 / math.sqrt(d) / siren.w0,
        "output.weight": math.sqrt(6 / d) / siren.w0,
        "output.bias": 0.0,
        "shift.weight": 1 / math.sqrt(L),
        "shift.bias": 0.0,
    }
    return {
        name: rng.uniform(-bounds[name], bounds[name], shape).astype(np.float32)
        for name, shape in siren.shapes().items()
    }
