"""Training of a prior: rounds of recording what the encoder sees, and of learning to expect it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from xhsinr.errors import SceneError
from xhsinr.network.file import save_network
from xhsinr.network.prior import MEAN_CONTEXTS, MEAN_SYMBOLS, UNIT, Prior
from xhsinr.progress import bar
from xhsinr.training.examples import Examples, examples
from xhsinr.training.prior_network import PriorNetwork, code_lengths
from xhsinr.training.scenes import SceneSamples

__all__ = ["PriorSettings", "train_prior"]

_CURVE_EVERY = 250
# Bits a coefficient that are added before lengths are compared: views of nothing but zeros
# would otherwise count most of all.
_SOME_BITS = 0.02
_CLIP = 1.0
# By which the rate is lower where a prior is tuned that knows most already.
_TUNING = 8


@dataclass(frozen=True)
class PriorSettings:
    """What decides a prior besides its scenes; stored in its recipe.

    Attributes
    ----------
    steps : sequence of int
        Steps of Adam in each round of recording and learning.
    batch : int
        Coefficients a step.
    rate : float
        Adam's rate at most.
    seed : int
    """

    steps: tuple[int, ...] = (500, 1500, 12_000)
    batch: int = 4096
    rate: float = 4e-3
    seed: int = 0


def train_prior(
    scenes: Sequence[SceneSamples],
    validation: Sequence[SceneSamples],
    out: Path,
    settings: PriorSettings | None = None,
    *,
    start: Prior | None = None,
    progress: bool = True,
) -> Prior:
    """Train a prior, or go on with one on other scenes, and write it to ``out``.

    The same scenes and settings give the same file, on the same machine.

    Parameters
    ----------
    scenes, validation : sequences of SceneSamples
        Validation scenes only make the curve.
    out : Path
        Ends in ``.safetensors``.
    settings : PriorSettings, optional
    start : Prior, optional
        To be tuned to the scenes; without it training begins at random.
    progress : bool
        Show a bar.

    Raises
    ------
    SceneError
        If there is nothing to train on.
    """
    settings = settings or PriorSettings()
    if not scenes:
        raise SceneError("no scene is left to train on: all of them are for validation")
    recipe: dict[str, Any] = {
        "settings": asdict(settings),
        "training": {scene.name: scene.digest for scene in scenes},
        "validation": {scene.name: scene.digest for scene in validation},
        "curve": [],
        "curve_columns": ["step", "loss", "validation_bits"],
    }
    if start is not None:
        recipe["start"] = start.digest
    threads = torch.get_num_threads()
    with threadpool_limits(1), torch.random.fork_rng(devices=[]):
        torch.set_num_threads(1)  # sums in another order would lead to another network
        torch.manual_seed(settings.seed)
        try:
            prior = _rounds(scenes, validation, settings, recipe, start, progress)
        finally:
            torch.set_num_threads(threads)
    saved = save_network(prior, out)
    assert isinstance(saved, Prior)
    return saved


def _rounds(
    scenes: Sequence[SceneSamples],
    validation: Sequence[SceneSamples],
    settings: PriorSettings,
    recipe: dict[str, Any],
    start: Prior | None,
    progress: bool,
) -> Prior:
    network, prior = PriorNetwork(start), start
    rate = settings.rate if start is None else settings.rate / _TUNING
    for number, steps in enumerate(settings.steps):
        found = _record(scenes, prior, settings.seed + number, progress)
        checked = _record(validation, prior, settings.seed, progress)
        _learn(network, found, checked, steps, rate, settings, recipe["curve"], progress)
        means = np.sum([each.means for each in found], axis=0)
        prior = network.prior(means, recipe)
    assert prior is not None
    return prior


def _record(
    scenes: Sequence[SceneSamples], prior: Prior | None, seed: int, progress: bool
) -> list[Examples]:
    """Examples of the scenes; without a prior all coefficients are rounded."""
    found = examples(scenes, prior or _blank(), seed, **({} if prior else {"worth": 0.0}))
    return list(bar(found, "recording", unit="view", progress=progress))


def _blank() -> Prior:
    """A prior of which nothing is known."""
    return PriorNetwork().prior(np.ones((MEAN_CONTEXTS, MEAN_SYMBOLS)), {})


def _learn(
    network: PriorNetwork,
    found: Sequence[Examples],
    checked: Sequence[Examples],
    steps: int,
    rate: float,
    settings: PriorSettings,
    curve: list[list[float]],
    progress: bool,
) -> None:
    """Steps of Adam down the code lengths of views, each relative to what the view takes."""
    inputs, kinds = _joined(found)
    rates = torch.from_numpy(_bits_a_coefficient(found))
    optimiser = torch.optim.Adam(network.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, steps)
    before = curve[-1][0] if curve else 0
    shown = bar(range(1, steps + 1), "learning", unit="step", progress=progress)
    for step in shown:
        chosen = torch.randint(0, len(kinds), (settings.batch,))
        bits = code_lengths(network(inputs[chosen].float() / UNIT), kinds[chosen])
        loss = (bits / rates[chosen]).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
        optimiser.step()
        schedule.step()
        if step % _CURVE_EVERY == 0 or step == steps:
            row = [before + step, float(loss.detach()), _validated(network, checked)]
            curve.append([round(value, 5) for value in row])
            shown.set_postfix_str(f"{row[2]:.4f} bits" if checked else f"loss {row[1]:.4f}")


def _joined(found: Sequence[Examples]) -> tuple[Tensor, Tensor]:
    inputs = np.concatenate([each.inputs for each in found])
    kinds = np.concatenate([each.kinds for each in found])
    return torch.from_numpy(inputs), torch.from_numpy(kinds.astype(np.int64))


def _bits_a_coefficient(found: Sequence[Examples]) -> npt.NDArray[np.float32]:
    """About what each example's view takes a coefficient: its classes' entropy."""
    rates = []
    for each in found:
        share = np.bincount(each.kinds) / len(each.kinds)
        share = share[share > 0]
        entropy = float(-(share * np.log2(share)).sum())
        rates.append(np.full(len(each.kinds), entropy + _SOME_BITS, np.float32))
    return np.concatenate(rates)


def _validated(network: PriorNetwork, checked: Sequence[Examples]) -> float:
    """Geometric mean over views of the bits a coefficient; 0 without views."""
    if not checked:
        return 0.0
    logs = []
    with torch.no_grad():
        for each in checked:
            inputs = torch.from_numpy(each.inputs.astype(np.float32) / UNIT)
            bits = code_lengths(network(inputs), torch.from_numpy(each.kinds.astype(np.int64)))
            logs.append(np.log(float(bits.mean()) + _SOME_BITS))
    return float(np.exp(np.mean(logs)))
