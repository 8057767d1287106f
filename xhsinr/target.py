"""What may be asked for: the one list of parameters that all doors take theirs from."""

from __future__ import annotations

import difflib
import functools
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, TypedDict, TypeVar, cast

import numpy as np

from xhsinr.errors import TargetError

__all__ = [
    "DEFAULT_QUALITY",
    "ENCODING_KEY",
    "PROFILES",
    "VERIFY_LEVELS",
    "Options",
    "Settings",
    "Target",
    "decided_by",
    "parse_target",
    "remembered_target",
    "takes_settings",
]

PROFILES = {
    "preview": "what shows the scene: the smallest files",
    "standard": "PSNR of 45 dB or better, and spectra off by 1 degree or less on average",
    "analysis": "no sample off by more than the scene's noise, which is estimated",
    "archive": "lossless",
}
DEFAULT_QUALITY = "standard"
VERIFY_LEVELS = ("structure", "checksum", "decode")
"""How much of a sidecar is verified, from least to most."""

ENCODING_KEY = "hsinr"
"""Key of a variable's encoding under which a decoded scene says what it was compressed to."""

_STANDARD_PSNR, _STANDARD_ANGLE = 45.0, 1.0
# Decibels: what a file was made for is met within less.
_DECIDES = 1.0
_HIGHEST_PSNR, _LARGEST_ANGLE = 200.0, 90.0

F = TypeVar("F", bound=Callable[..., Any])


class Options(TypedDict, total=False):
    """The parameters of `Settings`, for type checkers."""

    quality: str | None
    psnr: float | None
    sam_deg: float | None
    bpppb: float | None
    max_error: float | None
    lossless: bool
    network: str | Path | None
    tile: int | None
    device: str
    max_memory: float | str | None


def _option(default: Any, about: str, metavar: str | None = None) -> Any:
    return field(default=default, metadata={"help": about, "metavar": metavar})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How good a file has to be, of which one at most is given, and how it is made.

    Parameters
    ----------
    quality : str, optional
        One of `PROFILES`; the default is ``standard``.
    psnr : float, optional
        At least this many dB (equation 4), and at most 0.3 more. Where a few samples lie far off
        all others, the range is that of the others, and a warning names them.
    sam_deg : float, optional
        A mean spectral angle of at most this many degrees.
    bpppb : float, optional
        At most this many bits per sample, all bytes of the file counted.
    max_error : float, optional
        No sample is off by more than this, in data units.
    lossless : bool
        Every bit.
    network : str or Path, optional
        A base network of your own, by name or path: a prior takes the place of the package's in
        whatever loses something; of a network of the paper's kind, latents are tried.
    tile : int, optional
        Side of a tile in pixels; without it `xhsinr.tiling.default_tile` chooses.
    device : str
        ``cuda`` has lossy tiles coded on a GPU, into the same bytes as ``cpu``; ``auto`` leaves
        that to the processor, and only fits latents of a network of the paper's kind on a GPU,
        where there is one.
    max_memory : float or str, optional
        Most memory that a process may hold, its libraries included: bytes, or a text such as
        ``"1.5 GB"``. It decides how many tiles are worked on at a time. What the process holds
        besides, a scene in memory for example, comes on top.
    """

    quality: str | None = _option(None, "A named quality.")
    psnr: float | None = _option(None, "At least this PSNR, in dB.", "DB")
    sam_deg: float | None = _option(None, "Mean spectral angle of at most this.", "DEGREES")
    bpppb: float | None = _option(None, "At most this many bits per sample.", "BITS")
    max_error: float | None = _option(None, "No sample off by more than X.", "X")
    lossless: bool = _option(False, "Every bit.")
    network: str | Path | None = field(
        default=None,
        metadata={"help": "A base network of your own: name or file.", "metavar": None},
    )
    tile: int | None = _option(None, "Side of a tile in pixels, else 96 to 256.", "PIXELS")
    device: str = _option("auto", "cpu, cuda or auto.")
    max_memory: float | str | None = _option(
        None, "Most memory of a process, such as '1.5 GB'.", "BYTES"
    )

    @property
    def asked(self) -> dict[str, Any]:
        """What says how good the file has to be; empty where nothing does."""
        values = {name: getattr(self, name) for name in _ASKED}
        given = {name: value for name, value in values.items() if value is not None}
        no = isinstance(self.lossless, bool | np.bool_) and not self.lossless
        return given if no else given | {"lossless": self.lossless}

    def target(self, dtype: np.dtype[Any]) -> Target:
        """The target for samples of some type; errors are those of `parse_target`."""
        return parse_target(dtype, self.asked)


_ASKED = ("quality", "psnr", "sam_deg", "bpppb", "max_error")


def takes_settings(function: F) -> F:
    """Show the parameters of `Settings` where a function takes them as ``**options``.

    Other names are refused before anything is looked at, with the nearest one.
    """
    signature = inspect.signature(function)
    kept = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    taken = [
        inspect.Parameter(
            f.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if f.default is MISSING else f.default,
            annotation=f.type,
        )
        for f in fields(Settings)
    ]
    at = next((i for i, p in enumerate(kept) if p.kind is p.KEYWORD_ONLY), len(kept))
    parameters = [*kept[:at], *taken, *kept[at:]]
    names = [p.name for p in parameters]

    @functools.wraps(function)
    def checked(*args: Any, **given: Any) -> Any:
        for name in given.keys() - set(names):
            near = difflib.get_close_matches(name, names, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
            raise TargetError(f"{function.__name__} has no parameter {name}: {hint}")
        return function(*args, **given)

    checked.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return cast(F, checked)


@dataclass(frozen=True)
class Target:
    """One thing to reach.

    Attributes
    ----------
    kind : {"preview", "fidelity", "bpppb", "max_error", "noise", "lossless"}
        ``fidelity`` is a PSNR, or a spectral angle, or both.
    value : float
        In bits per sample or data units; 0 where the kind says all.
    psnr, sam_deg : float or None
        Of the kind ``fidelity``: least PSNR in dB, largest mean spectral angle in degrees.
    quality : str or None
        The profile that it came from.
    """

    kind: str
    value: float = 0.0
    psnr: float | None = None
    sam_deg: float | None = None
    quality: str | None = None

    def to_header(self) -> dict[str, Any]:
        """For a sidecar's header: the argument of `xhsinr.compress` that gives this target."""
        if self.quality is not None:
            return {"quality": self.quality}
        if self.psnr is not None:
            return {"psnr": self.psnr}
        if self.sam_deg is not None:
            return {"sam_deg": self.sam_deg}
        return {self.kind: True if self.kind == "lossless" else self.value}

    def margin(self, psnr_db: float, mean_sam_deg: float) -> float:
        """By how many decibels both figures are better than asked for; an angle's are 20 log10."""
        margins = []
        if self.psnr is not None:
            margins.append(psnr_db - self.psnr)
        if self.sam_deg is not None and mean_sam_deg > 0:  # NaN where no pixel has an angle
            margins.append(20 * math.log10(self.sam_deg / mean_sam_deg))
        return min(margins, default=math.inf)


_OF_PROFILE = {
    "preview": Target("preview", quality="preview"),
    "standard": Target(
        "fidelity", psnr=_STANDARD_PSNR, sam_deg=_STANDARD_ANGLE, quality="standard"
    ),
    "analysis": Target("noise", quality="analysis"),
    "archive": Target("lossless", quality="archive"),
}


def parse_target(dtype: np.dtype[Any], asked: Mapping[str, Any]) -> Target:
    """Check what was asked for; with nothing asked, the profile ``standard``.

    Parameters
    ----------
    dtype : dtype
        Of the scene, to which a bound on the error has to fit.
    asked : mapping
        At most one of the parameters of `Settings` that say how good a file has to be.

    Raises
    ------
    TargetError
        If more than one is given or one makes no sense.
    """
    if len(asked) > 1:
        raise TargetError(f"{' and '.join(asked)} are given together: ask for one of them")
    ((kind, value),) = asked.items() or (("quality", DEFAULT_QUALITY),)
    if kind == "quality":
        if not isinstance(value, str) or value not in _OF_PROFILE:
            raise TargetError(f"quality {value!r} is unknown: choose one of {list(PROFILES)}")
        return _OF_PROFILE[value]
    if kind == "lossless":
        if not isinstance(value, bool | np.bool_):
            raise TargetError(f"lossless = {value!r}: it should be True or False")
        return Target("lossless") if value else _OF_PROFILE[DEFAULT_QUALITY]
    number = _number(kind, value)
    if kind == "psnr":
        if number > _HIGHEST_PSNR:
            raise TargetError(
                f"psnr = {number:g}: at most {_HIGHEST_PSNR:g} dB can be aimed at, ask for lossless"
            )
        return Target("fidelity", psnr=number)
    if kind == "sam_deg":
        if number > _LARGEST_ANGLE:
            raise TargetError(f"sam_deg = {number:g}: an angle has at most {_LARGEST_ANGLE:g}")
        return Target("fidelity", sam_deg=number)
    if kind == "max_error" and dtype.kind != "f":
        # An integer that is off by 2.7 is off by 2.
        number = float(math.floor(number))
    return Target("lossless") if number == 0 else Target(kind, number)


def _number(kind: str, value: Any) -> float:
    """A number above zero; of a largest error zero, too."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise TargetError(f"{kind} = {value!r}: it should be a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise TargetError(f"{kind} = {number}: it should be a finite number")
    if number < 0 or (number == 0 and kind != "max_error"):
        raise TargetError(f"{kind} = {number:g}: it should be above zero")
    return number


def decided_by(asked: Mapping[str, Any], psnr_db: float | None, angle: float | None) -> str | None:
    """Which figure a file of the quality ``standard`` was made for; None of other files.

    An angle that has decibels to spare decided nothing, however much of the PSNR is to spare: what
    was asked for counts against the range without outliers, and ``psnr_db`` against all of it.
    """
    if dict(asked) != {"quality": DEFAULT_QUALITY} or psnr_db is None:
        return None
    spare = 20 * math.log10(_STANDARD_ANGLE / angle) if angle else math.inf
    return "psnr" if psnr_db - _STANDARD_PSNR <= spare or spare > _DECIDES else "sam_deg"


def remembered_target(source: Any) -> dict[str, Any]:
    """What the scene of a DataArray or Dataset was asked to be when it was compressed.

    Empty where it does not say, or not in the way of `Target.to_header`.
    """
    known = {*_ASKED, "lossless"}
    for variable in getattr(source, "data_vars", {"": source}).values():
        asked = getattr(variable, "encoding", {}).get(ENCODING_KEY)
        if isinstance(asked, dict) and len(asked) == 1 and asked.keys() <= known:
            (value,) = asked.values()
            return dict(asked) if isinstance(value, str | int | float) else {}
    return {}
