"""The outer loop's state: shared parameters, learned rates and Adam's moments."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from xhsinr.errors import NetworkError
from xhsinr.network.meta import Batch, adapt, batch_loss, outer_loss, to_tensors
from xhsinr.network.siren import (
    Parameters,
    Siren,
    forward,
)
from xhsinr.outputs import replacing
from xhsinr.training.settings import TrainingSettings

__all__ = ["Trainer"]


class Trainer:
    """Shared parameters, learned rates and Adam's state."""

    def __init__(
        self, siren: Siren, start: Parameters, settings: TrainingSettings, device: str
    ) -> None:
        self.siren, self.settings = siren, settings
        self.step = 0
        self.curve: list[list[float]] = []
        self.parameters = {
            name: value.requires_grad_() for name, value in to_tensors(start, device).items()
        }
        self.rates = torch.full((siren.latents,), settings.inner_rate, device=device)
        groups = [{"params": list(self.parameters.values()), "lr": settings.rate}]
        if settings.learn_rates:
            self.rates.requires_grad_()
            # Rates are of the order of the inner rate; Adam moves each by its own rate a step.
            groups.append({"params": [self.rates], "lr": settings.rate * settings.inner_rate})
        self.adam = torch.optim.Adam(groups)
        self.warm_up = torch.optim.lr_scheduler.LambdaLR(self.adam, self._schedule)

    def _schedule(self, step: int) -> float:
        warm = min(1.0, (step + 1) / 100)
        return warm * (0.5 + 0.5 * math.cos(math.pi * min(1.0, step / self.settings.steps)))

    def advance(self, batch: Batch) -> float:
        """One step of the outer loop; returns the loss before it."""
        settings = self.settings
        loss = outer_loss(
            self.siren,
            self.parameters,
            self.rates,
            batch,
            settings.inner_steps,
            second_order=settings.second_order,
        )
        if not torch.isfinite(loss):
            raise NetworkError(
                f"the training diverged at step {self.step}: use a smaller rate "
                f"(now {settings.rate:g}) or w0 (now {settings.w0:g})"
            )
        self.adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._learned(), settings.clip)
        self.adam.step()
        self.warm_up.step()
        self.step += 1
        return float(loss.detach())

    def _learned(self) -> list[Tensor]:
        return [tensor for group in self.adam.param_groups for tensor in group["params"]]

    def adapt(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Latents and losses of a batch, with the parameters as they will be stored."""
        with torch.no_grad():
            stored, rates = self.stored(), self.rates.detach()
            found = adapt(self.siren, stored, rates, batch, self.settings.inner_steps)
            return found, batch_loss(forward(self.siren, stored, batch.coords, found), batch)

    def stored(self) -> dict[str, Tensor]:
        """The parameters as they will be stored, in float16."""
        return {name: value.detach().half().float() for name, value in self.parameters.items()}

    def save(self, path: Path, recipe: dict[str, Any]) -> None:
        """Write a checkpoint of a training with this recipe."""
        tensors = {f"parameter.{i}": tensor.detach() for i, tensor in enumerate(self._learned())}
        for i, state in self.adam.state_dict()["state"].items():
            tensors |= {f"adam.{i}.{name}": value for name, value in state.items()}
        header = {
            "recipe": json.dumps(recipe, sort_keys=True),
            "step": str(self.step),
            "curve": json.dumps(self.curve),
        }
        with replacing(path) as part:
            safetensors.torch.save_file(tensors, part, header)

    def restore(self, path: Path, recipe: dict[str, Any]) -> None:
        """Go on from a checkpoint, which must be of the same recipe."""
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                header = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            stored = json.loads(header["recipe"])
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise NetworkError(f"{path} is no checkpoint: remove it to start anew") from error
        if stored != recipe:
            raise NetworkError(
                f"{path} was written with other settings or scenes: repeat them, or remove it to "
                "start anew"
            )
        self.step = int(header["step"])
        self.curve.extend(json.loads(header["curve"]))
        state = self.adam.state_dict()
        with torch.no_grad():
            for i, tensor in enumerate(self._learned()):
                tensor.copy_(tensors[f"parameter.{i}"])
                # Adam has no state of what never had a gradient, as hidden layers where K = 1.
                prefix = f"adam.{i}."
                moments = {
                    name.removeprefix(prefix): value
                    for name, value in tensors.items()
                    if name.startswith(prefix)
                }
                if moments:
                    state["state"][i] = moments
        for group in state["param_groups"]:
            group["lr"] = group["initial_lr"] * self._schedule(self.step)
        self.adam.load_state_dict(state)
        self.warm_up.last_epoch = self.step
