"""Settings of a training; they are stored in the recipe of the base network."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

from xhsinr.errors import NetworkError
from xhsinr.network.base import HEADS

__all__ = ["TrainingSettings", "read_settings"]

STARTS = ("random", "cosines")
_LEAST = {
    "patch": 0, "layers": 1, "width": 1, "latents": 1, "outputs": 1, "inner_steps": 1, "steps": 1,
    "batch": 1, "pixels": 0, "seed": 0,
}  # fmt: skip
_POSITIVE = ("w0_first", "w0", "inner_rate", "rate", "clip")
_SWITCHES = ("learn_rates", "second_order")
_MOST = 1e30


@dataclass(frozen=True)
class TrainingSettings:
    """What decides a base network besides its scenes; stored in its recipe.

    Attributes
    ----------
    head : {"scene", "shared"}
        Scores in each scene's own KLT basis, or bands scaled to [0, 1] as in the paper.
    patch : int
        Side of a patch; 0 for whole scenes, as in the paper.
    layers, width, latents : int
        K, d and L; with output modulation ``latents`` are those of each output. With cosines
        the width follows from the latents.
    outputs : int
        Scores of the ``scene`` head; the ``shared`` head takes the most bands of any scene.
    w0_first, w0 : float
        Frequency factors.
    modulation : {"shift", "shift+output", "output"}
        See `xhsinr.network.siren.MODULATIONS`. With ``output`` the atoms are cosines, one layer
        of them, and what is learned is how their latents are coded; the settings from ``start``
        to ``second_order`` and ``pixels`` do not matter then.
    start : {"random", "cosines"}
        SIREN's random start, or the zonal cosine transform that suits the scenes best.
    inner_steps : int
        Steps of the inner loop.
    inner_rate : float
        Their step size, the start of it where ``learn_rates``.
    learn_rates : bool
        Learn one step size for each latent.
    second_order : bool
        Differentiate through the inner loop.
    steps, batch : int
        Steps of the outer loop and patches in each.
    rate : float
        Adam's rate, after a short warm-up and then down along a cosine.
    pixels : int
        Pixels drawn of each patch and step; 0 for all.
    clip : float
        Largest norm of a gradient.
    seed : int
    """

    head: str = "scene"
    patch: int = 20
    layers: int = 1
    width: int = 256
    latents: int = 400
    outputs: int = 64
    w0_first: float = 30.0
    w0: float = 30.0
    modulation: str = "output"
    start: str = "cosines"
    inner_steps: int = 2
    inner_rate: float = 0.5
    learn_rates: bool = True
    second_order: bool = True
    steps: int = 600
    batch: int = 6
    rate: float = 0.03
    pixels: int = 0
    clip: float = 10.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in (("head", HEADS), ("start", STARTS)):
            value = getattr(self, name)
            if value not in known:
                raise NetworkError(f"{name} {value!r} is unknown: this version has {known}")
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
        if self.start == "cosines" and self.patch == 0:
            raise NetworkError("a start at cosines needs patches: set patch, or start to random")
        if self.modulation == "output" and (self.patch == 0 or self.head != "scene"):
            raise NetworkError("output modulation needs patches and the scene head")
        if self.modulation == "output" and self.latents > self.patch**2:
            raise NetworkError(
                f"latents = {self.latents}: a patch of {self.patch} x {self.patch} has "
                f"{self.patch**2} cosines"
            )
        if self.patch and self.pixels > self.patch**2:
            raise NetworkError(
                f"pixels = {self.pixels}: a patch of {self.patch} x {self.patch} has "
                f"{self.patch**2}; 0 draws all of them"
            )


def read_settings(recipe: Path | None, steps: int | None) -> TrainingSettings:
    """Settings of a JSON file, the defaults where it is silent."""
    try:
        given = {} if recipe is None else json.loads(recipe.read_text())
    except (ValueError, RecursionError) as error:
        raise NetworkError(f"{recipe} is no JSON: {error}") from error
    known = {field.name for field in fields(TrainingSettings)}
    if not isinstance(given, dict):
        raise NetworkError(f"{recipe} should be an object of settings: {sorted(known)}")
    if given.keys() - known:
        unknown = ", ".join(sorted(given.keys() - known))
        raise NetworkError(f"{recipe}: no setting is called {unknown}; there are {sorted(known)}")
    return TrainingSettings(**given | ({} if steps is None else {"steps": steps}))
