"""Settings of a training of the paper's network; they are stored in its recipe."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

from xhsinr.errors import NetworkError

__all__ = ["SirenSettings", "read_settings"]

_LEAST = {
    "patch": 0, "layers": 1, "width": 1, "latents": 1, "inner_steps": 1, "steps": 1, "batch": 1,
    "pixels": 0, "seed": 0,
}  # fmt: skip
_POSITIVE = ("w0_first", "w0", "inner_rate", "rate", "clip")
_SWITCHES = ("learn_rates", "second_order")
_MOST = 1e30


@dataclass(frozen=True)
class SirenSettings:
    """What decides a network of the paper's kind besides its scenes.

    Attributes
    ----------
    patch : int
        Side of a patch; 0 for whole scenes, as in the paper.
    layers, width, latents : int
        K, d and L.
    w0_first, w0 : float
        Frequency factors of the first and of the other layers. With 30 in the other layers, as in
        SIREN, training is fragile.
    inner_steps : int
        Steps of the inner loop.
    inner_rate : float
        Their step size, the start of it where ``learn_rates``.
    learn_rates : bool
        Learn one step size for each latent.
    second_order : bool
        Differentiate through the inner loop.
    steps, batch : int
        Steps of the outer loop and patches in each; whole scenes are taken in turn, none twice.
    rate : float
        Adam's rate, after a short warm-up and then down along a cosine.
    pixels : int
        Pixels drawn of each patch and step; 0 for all.
    clip : float
        Largest norm of a gradient.
    seed : int
    """

    patch: int = 0
    layers: int = 10
    width: int = 60
    latents: int = 600
    w0_first: float = 30.0
    w0: float = 5.0
    inner_steps: int = 2
    inner_rate: float = 0.01
    learn_rates: bool = False
    second_order: bool = True
    steps: int = 2500
    batch: int = 3
    rate: float = 2e-3
    pixels: int = 1000
    clip: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise NetworkError(f"{name} = {value!r}: a whole number from {least} on is needed")
        for name in _POSITIVE:
            value = getattr(self, name)
            if type(value) not in (int, float) or not 0 < value <= _MOST:
                raise NetworkError(
                    f"{name} = {value!r}: a number between 0 and {_MOST:g} is needed"
                )
        for name in _SWITCHES:
            if type(getattr(self, name)) is not bool:
                raise NetworkError(f"{name} = {getattr(self, name)!r}: true or false is needed")
        if self.patch and self.pixels > self.patch**2:
            raise NetworkError(
                f"pixels = {self.pixels}: a patch of {self.patch} x {self.patch} has "
                f"{self.patch**2}; 0 draws all of them"
            )


def read_settings(recipe: Path | None, steps: int | None) -> SirenSettings:
    """Settings of a JSON file, the defaults where it is silent."""
    try:
        given = {} if recipe is None else json.loads(recipe.read_text())
    except (ValueError, RecursionError) as error:
        raise NetworkError(f"{recipe} is no JSON: {error}") from error
    known = {field.name for field in fields(SirenSettings)}
    if not isinstance(given, dict):
        raise NetworkError(f"{recipe} should be an object of settings: {sorted(known)}")
    if given.keys() - known:
        unknown = ", ".join(sorted(given.keys() - known))
        raise NetworkError(f"{recipe}: no setting is called {unknown}; there are {sorted(known)}")
    return SirenSettings(**given | ({} if steps is None else {"steps": steps}))
