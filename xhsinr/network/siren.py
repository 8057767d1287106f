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

__all__ = [
    "MODULATIONS",
    "Siren",
    "atom_values",
    "cosine_atoms",
    "cosine_width",
    "dct_parameters",
    "forward",
    "pixel_grid",
    "random_parameters",
]

MODULATIONS = ("shift", "shift+output", "output")
"""What the latents change.

``shift``: the phases of all sine layers, as in the paper. ``shift+output``: they also add to the
output layer's weights. ``output``: they are the output layer, in terms of learned atoms: the row
of each output is a sum of atoms that its own latents weigh, so that every output has as many
latents as there are atoms, and the patches are linear in them.
"""

_LIMITS = {"layers": 64, "width": 4096, "latents": 8192, "outputs": 4096}
# With output modulation, where no array grows with the outputs.
_OUTPUT_LATENTS = 1 << 16

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
        Channels of the output: bands (``shared`` head) or scores (``scene`` head).
    w0_first, w0 : float
        Frequency factors of the first and of the other sine layers.
    modulation : {"shift", "shift+output", "output"}
        What the latents change, see `MODULATIONS`.
    """

    layers: int
    width: int
    latents: int
    outputs: int
    w0_first: float = 30.0
    w0: float = 30.0
    modulation: str = "shift"

    def __post_init__(self) -> None:
        more = {"latents": _OUTPUT_LATENTS} if self.modulation == "output" else {}
        for name, limit in (_LIMITS | more).items():
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= limit:
                raise NetworkError(f"{name} = {value!r}: a network needs 1 to {limit}")
        for name in ("w0_first", "w0"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 < value < 1e6:
                raise NetworkError(f"{name} = {value!r}: a network needs a positive number")
        if self.modulation not in MODULATIONS:
            raise NetworkError(
                f"modulation {self.modulation!r} is unknown: this version has {MODULATIONS}"
            )
        if self.modulation == "output" and self.latents % self.outputs:
            raise NetworkError(
                f"latents = {self.latents}: with output modulation each of the {self.outputs} "
                "outputs has as many"
            )

    @property
    def atoms(self) -> int:
        """Latents of each output with the modulation ``output``."""
        return self.latents // self.outputs

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter, by name."""
        K, d, L, C = self.layers, self.width, self.latents, self.outputs
        shapes: dict[str, tuple[int, ...]] = {
            "first.weight": (d, 2),
            "first.bias": (d,),
            "hidden.weight": (K - 1, d, d),
            "hidden.bias": (K - 1, d),
        }
        if self.modulation == "output":
            return shapes | {"atoms.weight": (self.atoms, d)}
        shapes |= {
            "output.weight": (C, d),
            "output.bias": (C,),
            "shift.weight": (K * d, L),
            "shift.bias": (K * d,),
        }
        if self.modulation == "shift+output":
            shapes["output_modulation.weight"] = (C * d, L)
        return shapes


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
    output layer, to whose weights ``shift+output`` adds a linear map of ``phi``.

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
    if siren.modulation == "output":
        weights = latents.reshape(patches, siren.outputs, siren.atoms)
        return atom_values(siren, parameters, coords) @ weights.swapaxes(-1, -2)
    beta = latents @ parameters["shift.weight"].T + parameters["shift.bias"]
    beta = beta.reshape(patches, K, 1, d)
    first = siren.w0_first * (coords @ parameters["first.weight"].T + parameters["first.bias"])
    h = _sin(first + beta[:, 0])
    for i in range(1, K):
        weight, bias = parameters["hidden.weight"][i - 1], parameters["hidden.bias"][i - 1]
        h = _sin(siren.w0 * (h @ weight.T + bias) + beta[:, i])
    if siren.modulation == "shift":
        return h @ parameters["output.weight"].T + parameters["output.bias"]
    added = latents @ parameters["output_modulation.weight"].T
    weight = parameters["output.weight"] + added.reshape(patches, siren.outputs, d)
    return h @ weight.swapaxes(-1, -2) + parameters["output.bias"]


def atom_values(siren: Siren, parameters: Mapping[str, Any], coords: Any) -> Any:
    """The atoms of a network with ``output`` modulation at some points.

    Parameters are those of `forward`.

    Returns
    -------
    array, shape (..., pixels, atoms)
    """
    h = _sin(siren.w0_first * (coords @ parameters["first.weight"].T + parameters["first.bias"]))
    for weight, bias in zip(parameters["hidden.weight"], parameters["hidden.bias"], strict=True):
        h = _sin(siren.w0 * (h @ weight.T + bias))
    return h @ parameters["atoms.weight"].T


def _sin(values: Any) -> Any:
    if isinstance(values, np.ndarray):
        return np.sin(values, out=values)
    return values.sin()


def random_parameters(siren: Siren, rng: np.random.Generator) -> Parameters:
    """Start of training after SIREN (Sitzmann et al. 2020) and COIN++ (Dupont et al. 2022).

    The first layer is uniform in ±1/2, the others in ±sqrt(6 / d) / w0, the modulations in
    ±1/sqrt(L), their biases zero.
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
        "output_modulation.weight": 1 / math.sqrt(L * d),
        "atoms.weight": math.sqrt(6 / d) / siren.w0,
    }
    return {
        name: rng.uniform(-bounds[name], bounds[name], shape).astype(np.float32)
        for name, shape in siren.shapes().items()
    }


def dct_parameters(siren: Siren, zone: npt.NDArray[np.int_]) -> Parameters:
    """Start of training at a zonal cosine transform, which one sine layer can hold exactly.

    Each product of cosines is the sum of two sines of sums, so that output modulation by
    latent ``l`` adds the basis function ``cos(pi u (x+1)/2) cos(pi v (y+1)/2)`` of output
    ``c``, scaled to a mean square of one, where ``(c, u, v) = zone[l]``.

    Parameters
    ----------
    siren : Siren
        With one layer, ``shift+output`` modulation and a width of at least two units for
        each frequency pair in the zone (one where v is zero).
    zone : ndarray of int, shape (latents, 3)
        Output channel and horizontal and vertical frequency of each latent.
    """
    if siren.layers != 1 or siren.modulation != "shift+output":
        raise NetworkError("a start at cosines needs one layer and shift+output modulation")
    u, v = zone[:, 1], zone[:, 2]
    units, index = _sine_units(zone[:, 1:])
    if len(units) > siren.width:
        raise NetworkError(f"width {siren.width} is too small: this zone needs {len(units)}")
    parameters = {name: np.zeros(shape, np.float32) for name, shape in siren.shapes().items()}
    angle = np.zeros((siren.width, 2))
    angle[: len(units)] = units * (math.pi / 2)
    parameters["first.weight"][:] = angle / siren.w0_first
    phase = np.mod(angle.sum(1) + math.pi / 2, 2 * math.pi)
    parameters["first.bias"][:] = phase / siren.w0_first
    amplitude = np.where(u > 0, math.sqrt(2), 1.0) * np.where(v > 0, math.sqrt(2), 1.0) / 2
    shape = (siren.outputs, siren.width, siren.latents)
    modulation = parameters["output_modulation.weight"].reshape(shape)
    latent = np.arange(siren.latents)
    for half in np.split(index, 2):
        np.add.at(modulation, (zone[:, 0], half, latent), amplitude)
    return parameters


def cosine_atoms(siren: Siren, orders: npt.NDArray[np.integer[Any]], patch: int) -> Parameters:
    """Atoms that are the products of cosines of the DCT-II of a patch, in one sine layer.

    With ``w0_first`` pi / 2 all frequencies and phases are whole numbers, which float16 holds.

    Parameters
    ----------
    siren : Siren
        With one layer, ``output`` modulation, ``w0_first = pi / 2`` and the width that
        `cosine_width` gives.
    orders : ndarray of int, shape (atoms, 2)
        Horizontal and vertical frequency of each atom, in half periods a patch.
    patch : int
        Side of the patch, in pixels, on which the atoms are of unit length.
    """
    units, index = _sine_units(orders)
    u, v = orders[:, 0], orders[:, 1]
    weight = np.zeros((siren.atoms, siren.width), np.float32)
    amplitude = np.where(u > 0, math.sqrt(2), 1.0) * np.where(v > 0, math.sqrt(2), 1.0) / 2
    for half in np.split(index, 2):
        np.add.at(weight, (np.arange(siren.atoms), half), amplitude / patch)
    return {
        "first.weight": units.astype(np.float32),
        "first.bias": np.mod(units.sum(1) + 1, 4).astype(np.float32),
        "hidden.weight": np.zeros((0, siren.width, siren.width), np.float32),
        "hidden.bias": np.zeros((0, siren.width), np.float32),
        "atoms.weight": weight,
    }


def cosine_width(orders: npt.NDArray[np.integer[Any]]) -> int:
    """Sine units that `cosine_atoms` needs for these orders."""
    return len(_sine_units(orders)[0])


def _sine_units(
    orders: npt.NDArray[np.integer[Any]],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.intp]]:
    """Frequency pairs whose sines add up to products of cosines, and those of each product."""
    orders = orders.astype(np.int64)
    pairs = np.concatenate([orders, orders * [1, -1]])
    units, index = np.unique(pairs, axis=0, return_inverse=True)
    return units, index.ravel()
