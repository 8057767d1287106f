"""The prior while it learns: torch, rounded on the way as the integer network will be."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xhsinr.network.prior import FIXED, HIDDEN, INPUTS, LARGEST_UNIT, STICKS, UNIT, Prior

__all__ = ["PriorNetwork", "code_lengths"]

_WEIGHT = 64.0
_SIZES = (INPUTS + FIXED, HIDDEN, HIDDEN, STICKS)


class PriorNetwork(torch.nn.Module):
    """Weights in float, whose rounded values are what the loss sees.

    Parameters
    ----------
    start : Prior, optional
        Where to go on from; without it small random weights.
    """

    def __init__(self, start: Prior | None = None) -> None:
        super().__init__()
        shapes = list(itertools.pairwise(_SIZES))
        self.layers = torch.nn.ModuleList(torch.nn.Linear(a, b) for a, b in shapes)
        if start is None:
            return
        for number, (layer, (a, b)) in enumerate(zip(self.layers, shapes, strict=True), 1):
            weight, bias = getattr(start, f"weights_{number}"), getattr(start, f"bias_{number}")
            layer.weight.data = torch.from_numpy(weight[:a, :b].T / np.float32(_WEIGHT))
            layer.bias.data = torch.from_numpy(bias[:b] / np.float32(_WEIGHT * UNIT))

    def forward(self, inputs: Tensor) -> Tensor:
        """Log-odds of each stick, shape (n, STICKS).

        Parameters
        ----------
        inputs : Tensor, shape (n, INPUTS + FIXED)
            In units, not in integers.
        """
        values = inputs
        for number, layer in enumerate(self._linear()):
            weight = _rounded(layer.weight, _WEIGHT)
            bias = _rounded(layer.bias, _WEIGHT * UNIT)
            values = torch.nn.functional.linear(values, weight, bias)
            if number < 2:
                values = values.clamp(0, LARGEST_UNIT / UNIT)
                values = values + ((values * UNIT).floor() / UNIT - values).detach()
        return values

    def _linear(self) -> list[torch.nn.Linear]:
        return [layer for layer in self.layers if isinstance(layer, torch.nn.Linear)]

    def prior(self, means: npt.NDArray[Any], recipe: dict[str, Any]) -> Prior:
        """The integer network."""
        layers = [
            (layer.weight.detach().numpy().T.astype(float), layer.bias.detach().numpy())
            for layer in self._linear()
        ]
        return Prior.from_floats(layers, means, recipe)


def code_lengths(odds: Tensor, kinds: Tensor) -> Tensor:
    """Bits of classes under these log-odds, shape (n,).

    A coefficient of class ``k`` is not in each class before, and in that one; the last class is
    what is left.
    """
    stick = torch.arange(STICKS)
    stops = stick == kinds[:, None]
    passed = stick <= kinds[:, None]
    nats = torch.nn.functional.softplus(torch.where(stops, -odds, odds))
    bits: Tensor = (nats * passed).sum(1) / math.log(2)
    return bits


def _rounded(values: Tensor, unit: float) -> Tensor:
    """Values to the nearest multiple, with the gradient as if they were not rounded."""
    return values + ((values * unit).round() / unit - values).detach()
