"""The paper's base network: a SIREN shared by scenes, and the tables that code its latents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from xhsinr.entropy.rans import BITS
from xhsinr.errors import NetworkError
from xhsinr.network.file import Network, Tensors
from xhsinr.network.siren import Parameters, Siren

__all__ = ["SirenNetwork"]

_LARGEST_PATCH = 4096
_MOST_STEPS = 10_000
# Latents name them in a byte, and classes and a scene's step move them by some hundreds more.
_MOST_TABLES = 1024
_MOST_SYMBOLS = 4096


@dataclass(frozen=True, eq=False)
class SirenNetwork(Network):
    """A base network of the paper's kind, ready to encode and to decode with.

    Attributes
    ----------
    siren : Siren
        Sizes.
    patch : int or None
        Side of a patch in pixels; None where a whole tile is one patch, as in the paper.
    parameters : dict of ndarray
        float32 values of the stored float16, by the names of `Siren.shapes`. Outputs are bands
        scaled to [0, 1].
    inner_steps : int
        Gradient steps of the inner loop.
    inner_rates : ndarray of float32, shape (latents,)
    latent_steps : ndarray of float32, shape (latents,)
        Quantiser step of each latent at a scene's step of one.
    latent_tables : ndarray of uint8, shape (latents,)
        Which of `tables` codes each latent of an average patch.
    tables : ndarray of uint16, shape (tables, symbols)
        Integer frequencies that sum to ``2**15``; the last symbol is the escape.
    """

    kind: ClassVar[str] = "siren"

    siren: Siren
    patch: int | None
    parameters: Parameters
    inner_steps: int
    inner_rates: npt.NDArray[np.float32]
    latent_steps: npt.NDArray[np.float32]
    latent_tables: npt.NDArray[np.uint8]
    tables: npt.NDArray[np.uint16]

    def __post_init__(self) -> None:
        patch, steps = self.patch, self.inner_steps
        if patch is not None and (type(patch) is not int or not 1 <= patch <= _LARGEST_PATCH):
            raise NetworkError(f"patch = {patch!r}: a network needs 1 to {_LARGEST_PATCH}, or none")
        if type(steps) is not int or not 0 <= steps <= _MOST_STEPS:
            raise NetworkError(f"inner_steps = {steps!r}: a network needs 0 to {_MOST_STEPS}")
        for name, shape in self.siren.shapes().items():
            _check_numbers(name, self.parameters[name], shape)
        for name in ("inner_rates", "latent_steps", "latent_tables"):
            _check_numbers(name, getattr(self, name), (self.siren.latents,))
        _check_tables(self.tables)
        numbers = self.latent_tables
        in_range = numbers.dtype == np.uint8 and numbers.max() < len(self.tables)
        if not in_range or (self.latent_steps <= 0).any():
            raise NetworkError("its quantiser's steps or table numbers are out of range")

    def settings(self) -> dict[str, Any]:
        """See `Network.settings`."""
        return asdict(self.siren) | {"patch": self.patch, "inner_steps": self.inner_steps}

    def tensors(self) -> Tensors:
        """See `Network.tensors`; parameters are rounded to float16."""
        with np.errstate(over="ignore"):  # checked when it is loaded, by the parameter's name
            halves = {name: value.astype(np.float16) for name, value in self.parameters.items()}
        return halves | {
            "inner_rates": self.inner_rates,
            "latent_steps": self.latent_steps,
            "latent_tables": self.latent_tables,
            "tables": self.tables,
        }

    @classmethod
    def from_file(cls, settings: Mapping[str, Any], tensors: Tensors, **about: Any) -> Self:
        """See `Network.from_file`."""
        rest = dict(settings)
        patch, inner_steps = rest.pop("patch"), rest.pop("inner_steps")
        siren = Siren(**rest)
        return cls(
            siren,
            patch,
            {name: tensors[name].astype(np.float32) for name in siren.shapes()},
            inner_steps,
            tensors["inner_rates"].astype(np.float32, copy=False),
            tensors["latent_steps"].astype(np.float32, copy=False),
            tensors["latent_tables"],
            tensors["tables"],
            **about,
        )


def _check_numbers(name: str, value: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    if value.shape != shape or not np.isfinite(value).all():
        raise NetworkError(f"{name} should be finite numbers of shape {shape}")


def _check_tables(tables: npt.NDArray[Any]) -> None:
    if tables.dtype != np.uint16 or tables.ndim != 2 or tables.shape[1] < 3 or not tables.all():
        raise NetworkError("its frequency tables are not positive 16-bit numbers")
    if not 1 <= len(tables) <= _MOST_TABLES:
        raise NetworkError(f"{len(tables)} frequency tables, {_MOST_TABLES} is the most")
    if tables.shape[1] > _MOST_SYMBOLS:
        raise NetworkError(f"{tables.shape[1]} symbols, {_MOST_SYMBOLS} is the most")
    if (tables.sum(1, dtype=np.int64) != 1 << BITS).any():
        raise NetworkError(f"a frequency table does not sum to {1 << BITS}")
