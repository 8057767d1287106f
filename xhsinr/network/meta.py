"""Meta-learning after CAVIA and COIN++: latents in the inner loop, all that is shared outside.

Inner loop: from ``phi = 0``, a few steps of gradient descent on the latent vectors alone.
Outer loop: Adam on ``{W_i, b_i, W_M, b_M}`` and, where they are learned, the inner rates,
through the inner loop (second order) or past it (first order). Paper, section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xhsinr.network.siren import Parameters, Siren, forward, pixel_grid
from xhsinr.network.siren_network import SirenNetwork

__all__ = ["Batch", "adapt", "batch_loss", "fit", "outer_loss", "to_tensors"]


@dataclass(frozen=True)
class Batch:
    """Patches to fit.

    Attributes
    ----------
    coords : Tensor, shape (pixels, 2) or (patches, pixels, 2)
    targets : Tensor, shape (patches, pixels, outputs)
    used : Tensor or None, shape (patches, 1, outputs)
        1 for the outputs that a patch's scene has, 0 for the others, which the loss ignores.
    """

    coords: Tensor
    targets: Tensor
    used: Tensor | None = None


def batch_loss(output: Tensor, batch: Batch) -> Tensor:
    """Squared error of each patch: mean over its pixels, sum over its outputs."""
    error = output - batch.targets
    if batch.used is not None:
        error = error * batch.used
    return error.square().sum(-1).mean(-1)


def adapt(
    siren: Siren,
    parameters: dict[str, Tensor],
    rates: Tensor,
    batch: Batch,
    steps: int,
    *,
    second_order: bool = False,
) -> Tensor:
    """Inner loop: latent vectors of a batch of patches, by gradient descent from zero.

    Parameters
    ----------
    siren, parameters
        The base network.
    rates : Tensor, shape () or (latents,)
        Step size, one for all latents (the paper: 1e-2) or one for each.
    batch : Batch
    steps : int
    second_order : bool
        Keep the graph, so that the result can be differentiated by the shared parameters.

    Returns
    -------
    Tensor, shape (patches, latents)
    """
    latents = batch.targets.new_zeros(batch.targets.shape[0], siren.latents)
    for _ in range(steps):
        with torch.enable_grad():
            latents = latents.requires_grad_() if latents.is_leaf else latents
            loss = batch_loss(forward(siren, parameters, batch.coords, latents), batch).sum()
            (gradient,) = torch.autograd.grad(loss, latents, create_graph=second_order)
        latents = latents - rates * gradient
        if not second_order:
            latents = latents.detach()
    return latents


def outer_loss(
    siren: Siren,
    parameters: dict[str, Tensor],
    rates: Tensor,
    batch: Batch,
    steps: int,
    *,
    second_order: bool = True,
) -> Tensor:
    """Loss of the shared parameters: what the adapted latents leave, mean over patches.

    With ``second_order=False`` the adapted latents count as constants (first-order MAML);
    learned rates then still get the gradient of the last inner step.
    """
    if second_order or steps == 0:
        latents = adapt(siren, parameters, rates, batch, steps, second_order=second_order)
    else:
        before = adapt(siren, parameters, rates, batch, steps - 1).requires_grad_()
        loss = batch_loss(forward(siren, parameters, batch.coords, before), batch).sum()
        (gradient,) = torch.autograd.grad(loss, before)
        latents = before.detach() - rates * gradient
    return batch_loss(forward(siren, parameters, batch.coords, latents), batch).mean()


def to_tensors(parameters: Parameters, device: str = "cpu") -> dict[str, Tensor]:
    """Copy NumPy parameters to torch."""
    return {name: torch.tensor(value, device=device) for name, value in parameters.items()}


def fit(
    network: SirenNetwork,
    patches: npt.NDArray[np.float32],
    shape: tuple[int, int],
    device: str,
) -> npt.NDArray[np.float32]:
    """Latent vectors of patches under a base network: what compression is in this method.

    Parameters
    ----------
    network : SirenNetwork
    patches : ndarray of float32, shape (patches, pixels, planes)
        Fewer planes than the network has outputs are the first of them.
    shape : (int, int)
        Rows and columns of a patch.
    device : str
        ``cpu``, ``cuda`` or any device of torch; ``auto`` is CUDA where there is some.

    Returns
    -------
    ndarray of float32, shape (patches, latents)
    """
    device = _found(device)
    outputs = network.siren.outputs
    missing = outputs - patches.shape[2]
    used = None
    if missing:
        patches = np.pad(patches, ((0, 0), (0, 0), (0, missing)))
        used = torch.ones(1, 1, outputs, device=device)
        used[..., outputs - missing :] = 0
    batch = Batch(
        torch.from_numpy(pixel_grid(*shape)).to(device), torch.from_numpy(patches).to(device), used
    )
    parameters = to_tensors(network.parameters, device)
    rates = torch.from_numpy(network.inner_rates).to(device)
    latents = adapt(network.siren, parameters, rates, batch, network.inner_steps)
    result: npt.NDArray[np.float32] = latents.cpu().numpy()
    return result


def _found(device: str) -> str:
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"
