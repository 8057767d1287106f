"""Adam, its schedule and its checkpoints: a training that was stopped goes on as it would have."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from xhsinr.errors import NetworkError
from xhsinr.outputs import replacing
from xhsinr.training.settings import SirenSettings

__all__ = ["Descent"]

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class Descent:
    """What learns by descending a loss: tensors, and Adam's moments of them.

    Parameters
    ----------
    groups : list of dict
        Of tensors and their rates, as `torch.optim.Adam` takes them.
    settings : SirenSettings

    Attributes
    ----------
    step : int
        Steps done.
    curve : list of list of float
        A row for each validation.
    """

    def __init__(self, groups: list[dict[str, Any]], settings: SirenSettings) -> None:
        self.settings = settings
        self.step = 0
        self.curve: list[list[float]] = []
        self._adam = torch.optim.Adam(groups)
        self._rates = torch.optim.lr_scheduler.LambdaLR(self._adam, self._schedule)

    def _schedule(self, step: int) -> float:
        warm = min(1.0, (step + 1) / 100)
        return warm * (0.5 + 0.5 * math.cos(math.pi * min(1.0, step / self.settings.steps)))

    def descend(self, loss: Tensor) -> float:
        """One step down this loss; returns it."""
        if not torch.isfinite(loss):
            raise NetworkError(
                f"the training diverged at step {self.step}: use a smaller rate "
                f"(now {self.settings.rate:g}) or w0 (now {self.settings.w0:g})"
            )
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._learned(), self.settings.clip)
        self._adam.step()
        self._rates.step()
        self.step += 1
        return float(loss.detach())

    def _learned(self) -> list[Tensor]:
        return [tensor for group in self._adam.param_groups for tensor in group["params"]]

    def save(self, path: Path, recipe: dict[str, Any]) -> None:
        """Write a checkpoint of a training with this recipe."""
        tensors = {f"parameter.{i}": tensor.detach() for i, tensor in enumerate(self._learned())}
        for i, state in self._adam.state_dict()["state"].items():
            tensors |= {f"adam.{i}.{name}": value for name, value in state.items()}
        header = {
            "recipe": json.dumps(recipe, sort_keys=True),
            "step": str(self.step),
            "curve": json.dumps(self.curve),
        }
        header["sha256"] = _digest(tensors, header)
        with replacing(path) as part:
            safetensors.torch.save_file(tensors, part, header)

    def restore(self, path: Path, recipe: dict[str, Any]) -> None:
        """Go on from a checkpoint, which must be of the same recipe."""
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                header = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            stored = json.loads(header["recipe"])
            step, curve = int(header["step"]), list(json.loads(header["curve"]))
            whole = header.pop("sha256") == _digest(tensors, header)
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise NetworkError(f"{path} is no checkpoint: remove it to start anew") from error
        if stored != recipe:
            raise NetworkError(
                f"{path} was written with other settings or scenes: repeat them, or remove it to "
                "start anew"
            )
        try:
            if not whole:
                raise ValueError("its checksum is another one")
            self._take(tensors, step)
        except (KeyError, RuntimeError, ValueError) as error:
            raise NetworkError(f"{path} is damaged: remove it to start anew") from error
        self.step = step
        self.curve.extend(curve)

    def _take(self, tensors: dict[str, Tensor], step: int) -> None:
        if not 0 <= step <= self.settings.steps:
            raise ValueError(f"step {step}")
        if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
            raise ValueError("a number is not finite")
        state = self._adam.state_dict()
        with torch.no_grad():
            for i, tensor in enumerate(self._learned()):
                stored = tensors[f"parameter.{i}"]
                # Adam has no state of what never had a gradient, as hidden layers where K = 1.
                prefix = f"adam.{i}."
                moments = {
                    name.removeprefix(prefix): value
                    for name, value in tensors.items()
                    if name.startswith(prefix)
                }
                if any(
                    value.shape not in ((), tensor.shape) for value in (stored, *moments.values())
                ):
                    raise ValueError(f"shapes of parameter {i}")
                tensor.copy_(stored)
                if moments:
                    state["state"][i] = {name: moments[name] for name in _MOMENTS}
        for group in state["param_groups"]:
            group["lr"] = group["initial_lr"] * self._schedule(step)
        self._adam.load_state_dict(state)
        self._rates.last_epoch = step


def _digest(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> str:
    """Of all that a checkpoint holds."""
    found = hashlib.sha256(json.dumps(dict(header), sort_keys=True).encode())
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].detach().cpu().numpy().tobytes())
    return found.hexdigest()
