"""Meta-learning of a base network by its outer loop: shared parameters and learned rates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from xhsinr.network.meta import Batch, adapt, batch_loss, outer_loss, to_tensors
from xhsinr.network.siren import Parameters, Siren, forward
from xhsinr.training.batches import draw, whole
from xhsinr.training.descent import Descent
from xhsinr.training.scenes import SceneSamples
from xhsinr.training.settings import SirenSettings

__all__ = ["Trainer"]

# Adam moves each weight by about its rate, but the shift of a unit is a sum over all latents: at
# the full rate for the matrix that makes shifts, trainings fell to some 17 dB.
_SHIFT_RATE = 0.1


class Trainer(Descent):
    """Shared parameters and learned rates, and scenes to learn them from."""

    def __init__(
        self,
        siren: Siren,
        start: Parameters,
        training: Sequence[SceneSamples],
        settings: SirenSettings,
        device: str,
    ) -> None:
        self.siren, self.training = siren, training
        self.parameters = {
            name: value.requires_grad_() for name, value in to_tensors(start, device).items()
        }
        self.rates = torch.full((siren.latents,), settings.inner_rate, device=device)
        others = [tensor for name, tensor in self.parameters.items() if name != "shift.weight"]
        shifts = [self.parameters["shift.weight"]]
        groups = [
            {"params": others, "lr": settings.rate},
            {"params": shifts, "lr": settings.rate * _SHIFT_RATE},
        ]
        if settings.learn_rates:
            self.rates.requires_grad_()
            # Rates are of the order of the inner rate; Adam moves each by its own rate a step.
            groups.append({"params": [self.rates], "lr": settings.rate * settings.inner_rate})
        super().__init__(groups, settings)

    def batch(self, step: int) -> Batch:
        """The batch of a step, a function of the seed and the step alone."""
        return draw(self.training, self.settings, self.siren.outputs, step, str(self.rates.device))

    def advance(self) -> float:
        """One step of the outer loop; returns the loss before it."""
        settings = self.settings
        loss = outer_loss(
            self.siren,
            self.parameters,
            self.rates,
            self.batch(self.step),
            settings.inner_steps,
            second_order=settings.second_order,
        )
        return self.descend(loss)

    def validate(self, scenes: Sequence[SceneSamples]) -> float:
        """Mean PSNR of scenes, latents as they are."""
        psnrs = []
        for scene in scenes:
            batch = whole(scene, self.settings, self.siren.outputs, str(self.rates.device))
            psnrs.append(scene.psnr(self.adapt(batch)[1].cpu().numpy()))
        return float(np.mean(psnrs))

    def adapt(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Latents and losses of a batch, with the parameters as they will be stored."""
        with torch.no_grad():
            stored, rates = self.stored(), self.rates.detach()
            found = adapt(self.siren, stored, rates, batch, self.settings.inner_steps)
            return found, batch_loss(forward(self.siren, stored, batch.coords, found), batch)

    def stored(self) -> dict[str, Tensor]:
        """The parameters as they will be stored, in float16."""
        return {name: value.detach().half().float() for name, value in self.parameters.items()}
