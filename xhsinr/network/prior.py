"""The prior: the base network of every lossy file, which expects how large a coefficient is.

From the magnitudes of coefficients that are decoded already, around the one to come in its own
band, in the band above it and in other components, a network of two hidden layers gives the odds
that the coefficient is zero; that it is one if not zero; and so on along classes of half an octave
(a stick broken again and again). Its numbers are integers: inputs and hidden units in units of
``2**-5``, weights in ``2**-6``, no sum beyond ``2**24``, so that float32 holds each exactly, in any
order and on any machine.
"""

from __future__ import annotations

import decimal
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from xhsinr.entropy.rans import BITS
from xhsinr.errors import NetworkError
from xhsinr.network.file import Network, Tensors, read_network

__all__ = [
    "FIXED",
    "HIDDEN",
    "INPUTS",
    "LARGEST_UNIT",
    "MEAN_CONTEXTS",
    "MEAN_SYMBOLS",
    "NEWEST_PRIOR",
    "ODDS_LIMIT",
    "STICKS",
    "UNIT",
    "Prior",
    "bits_of_odds",
    "odds_table",
    "package_prior",
]

INPUTS = 24
"""Magnitudes around a coefficient."""

FIXED = 20
"""Numbers that are the same for all coefficients of a group of a band."""

HIDDEN = 32
"""Units of each hidden layer."""

STICKS = 25
"""Decisions, class after class, whether a coefficient is in it; one more class is left."""

UNIT = 32
"""An input or hidden unit of 1 as an integer."""

LARGEST_UNIT = 1023
"""Hidden units are clipped to it."""

MEAN_CONTEXTS, MEAN_SYMBOLS = 4, 32
"""Tables of how large a band's mean is, by whether the bands that predict it are zero."""

ODDS_LIMIT = 1024
"""Log-odds, in ``2**-6``, are clipped to it; the table of probabilities has both signs."""

NEWEST_PRIOR = 1
"""Number of the package's prior that files are written with."""

_WEIGHT = 64
_LARGEST_INPUT = 512
_LARGEST_WEIGHT = 1 << 14
_EXACT = 1 << 24

Float32 = npt.NDArray[np.float32]
_SHAPES = {
    "weights_1": (INPUTS + FIXED, HIDDEN),
    "bias_1": (HIDDEN,),
    "weights_2": (HIDDEN, HIDDEN),
    "bias_2": (HIDDEN,),
    "weights_3": (HIDDEN, HIDDEN),
    "bias_3": (HIDDEN,),
    "means": (MEAN_CONTEXTS, MEAN_SYMBOLS),
}
_KINDS = {
    name: np.dtype(np.uint16 if name == "means" else np.int16 if name[0] == "w" else np.int32)
    for name in _SHAPES
}


@dataclass(frozen=True, eq=False)
class Prior(Network):
    """Weights of a prior; compiled code takes the arrays.

    Attributes
    ----------
    weights_1 : ndarray of float32, shape (INPUTS + FIXED, HIDDEN)
        Whole numbers in units of ``2**-6``, as all weights; an input a row.
    bias_1 : ndarray of float32, shape (HIDDEN,)
        Whole numbers in units of ``2**-11``, as all biases.
    weights_2, bias_2 : ndarray of float32, shapes (HIDDEN, HIDDEN) and (HIDDEN,)
    weights_3, bias_3 : ndarray of float32, shapes (HIDDEN, HIDDEN) and (HIDDEN,)
        Log-odds of the first `STICKS` columns; the others are padding.
    means : ndarray of uint16, shape (MEAN_CONTEXTS, MEAN_SYMBOLS)
        Frequencies of what bands' means are coded in; each row sums to ``2**15``.
    """

    kind: ClassVar[str] = "prior"

    weights_1: Float32
    bias_1: Float32
    weights_2: Float32
    bias_2: Float32
    weights_3: Float32
    bias_3: Float32
    means: npt.NDArray[np.uint16]

    def __post_init__(self) -> None:
        for name, shape in _SHAPES.items():
            if getattr(self, name).shape != shape:
                raise NetworkError(
                    f"{name} of a prior has shape {getattr(self, name).shape}, "
                    f"not {shape}: it is no prior of this version"
                )
        largest = (_LARGEST_INPUT, LARGEST_UNIT, LARGEST_UNIT)
        for number, unit in enumerate(largest, 1):
            weights, bias = getattr(self, f"weights_{number}"), getattr(self, f"bias_{number}")
            reach = np.abs(weights).astype(np.float64).sum(0) * unit + np.abs(bias)
            if not reach.max() < _EXACT:
                raise NetworkError(
                    f"sums of layer {number} of a prior reach {reach.max():.3g}, "
                    f"beyond {_EXACT}: train it with smaller weights"
                )
        if (self.means == 0).any() or (self.means.astype(int).sum(1) != 1 << BITS).any():
            raise NetworkError("frequencies of means in a prior do not sum to 2**15")

    @classmethod
    def from_floats(
        cls,
        layers: list[tuple[npt.NDArray[Any], npt.NDArray[Any]]],
        means: npt.NDArray[Any],
        recipe: dict[str, Any],
    ) -> Self:
        """Round a trained network.

        Parameters
        ----------
        layers : list of (weights, bias)
            Three, with inputs along the rows of the weights.
        means : ndarray, shape (MEAN_CONTEXTS, MEAN_SYMBOLS)
            How often each symbol was seen in each context.
        """
        arrays: dict[str, Any] = {}
        for number, (weights, bias) in enumerate(layers, 1):
            shape = _SHAPES[f"weights_{number}"]
            scaled = np.clip(np.rint(weights * _WEIGHT), -_LARGEST_WEIGHT, _LARGEST_WEIGHT)
            arrays[f"weights_{number}"] = _padded(scaled, shape)
            arrays[f"bias_{number}"] = _padded(np.rint(bias * _WEIGHT * UNIT), shape[1:])
        share = (means + 0.5) / (means + 0.5).sum(1, keepdims=True)
        frequencies = np.maximum(np.floor(share * (1 << BITS)), 1).astype(np.int64)
        rows = np.arange(len(frequencies))
        frequencies[rows, frequencies.argmax(1)] += (1 << BITS) - frequencies.sum(1)
        return cls(**arrays, means=frequencies.astype(np.uint16), recipe=recipe)

    def fixed_biases(self, fixed: Float32) -> Float32:
        """Biases of the first layer with numbers in it that stay the same; exact.

        Parameters
        ----------
        fixed : ndarray of float32, shape (groups, FIXED)
            Whole numbers in units of ``2**-5``.
        """
        return np.asarray(fixed @ self.weights_1[INPUTS:] + self.bias_1)

    def settings(self) -> dict[str, Any]:
        """See `Network.settings`; all priors have the same sizes."""
        return {}

    def tensors(self) -> Tensors:
        """See `Network.tensors`."""
        return {name: getattr(self, name).astype(kind) for name, kind in _KINDS.items()}

    @classmethod
    def from_file(cls, settings: Mapping[str, Any], tensors: Tensors, **about: Any) -> Self:
        """See `Network.from_file`."""
        for name, kind in _KINDS.items():
            if tensors[name].dtype != kind:
                raise NetworkError(f"{name} of a prior is {tensors[name].dtype}, not {kind}")
        floats: dict[str, Any] = {
            name: tensors[name].astype(np.float32) for name in _KINDS if name != "means"
        }
        return cls(**floats, means=tensors["means"], **about)


def package_prior(number: int = NEWEST_PRIOR) -> Prior:
    """The package's prior of a number from 1 to `NEWEST_PRIOR`: files need theirs for ever."""
    return _read_once(number)


@cache
def _read_once(number: int) -> Prior:
    found = read_network(Path(__file__).parents[1] / "networks" / f"prior-{number}.safetensors")
    assert isinstance(found, Prior)
    return found


@cache
def odds_table() -> npt.NDArray[np.uint16]:
    """Probability, in ``2**-15``, of log-odds from ``-ODDS_LIMIT`` on, in units of ``2**-6``."""
    with decimal.localcontext(prec=30):  # correctly rounded, so the same everywhere
        shares = [
            (1 << BITS) / (1 + (decimal.Decimal(-odds) / 64).exp())
            for odds in range(-ODDS_LIMIT, ODDS_LIMIT)
        ]
    return np.clip([round(s) for s in shares], 1, (1 << BITS) - 1).astype(np.uint16)


@cache
def bits_of_odds() -> Float32:
    """Bits that each probability in ``2**-15`` costs; for encoders alone."""
    return (BITS - np.log2(np.maximum(np.arange((1 << BITS) + 1), 1))).astype(np.float32)


def _padded(values: npt.NDArray[Any], shape: tuple[int, ...]) -> Float32:
    full = np.zeros(shape, np.float32)
    full[tuple(slice(side) for side in values.shape)] = values
    return full
