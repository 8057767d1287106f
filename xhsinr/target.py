"""What a user asks for: one named quality, one figure, or nothing (the default profile)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from xhsinr.errors import TargetError

__all__ = [
    "DEFAULT_QUALITY",
    "ENCODING_KEY",
    "PROFILES",
    "Target",
    "parse_target",
    "remembered_target",
]

PROFILES = {
    "preview": "what shows the scene: the smallest files",
    "standard": "PSNR of 45 dB or better",
    "analysis": "no sample off by more than the scene's noise, which is estimated",
    "archive": "lossless",
}
DEFAULT_QUALITY = "standard"
ENCODING_KEY = "hsinr"
"""Key of a variable's encoding under which a decoded scene says what it was compressed to."""

_STANDARD_PSNR = 45.0
_HIGHEST_PSNR = 200.0


@dataclass(frozen=True)
class Target:
    """One thing to reach.

    Attributes
    ----------
    kind : {"preview", "psnr", "bpppb", "max_error", "noise", "lossless"}
    value : float
        In dB, bits per sample, or data units; 0 where the kind says all.
    quality : str or None
        The profile that it came from.
    """

    kind: str
    value: float = 0.0
    quality: str | None = None

    def to_header(self) -> dict[str, Any]:
        """For a sidecar's header: the arguments of `parse_target` that give this target."""
        if self.quality is not None:
            return {"quality": self.quality}
        return {self.kind: True if self.kind == "lossless" else self.value}


_OF_PROFILE = {
    "preview": Target("preview", quality="preview"),
    "standard": Target("psnr", _STANDARD_PSNR, quality="standard"),
    "analysis": Target("noise", quality="analysis"),
    "archive": Target("lossless", quality="archive"),
}


def parse_target(
    dtype: np.dtype[Any],
    *,
    quality: str | None = None,
    psnr: float | None = None,
    max_error: float | None = None,
    bpppb: float | None = None,
    lossless: bool = False,
) -> Target:
    """Check what was asked for; with nothing asked, the profile ``standard``.

    Parameters
    ----------
    dtype : dtype
        Of the scene, to which a bound on the error has to fit.
    quality : str, optional
        One of `PROFILES`.
    psnr : float, optional
        At least this many dB (equation 4), and at most 0.3 more.
    max_error : float, optional
        No sample is off by more than this, in data units.
    bpppb : float, optional
        At most this many bits per sample, all bytes of the file counted.
    lossless : bool
        Every bit.

    Raises
    ------
    TargetError
        If more than one is given or one makes no sense.
    """
    if not isinstance(lossless, bool | np.bool_):
        raise TargetError(f"lossless = {lossless!r}: it should be True or False")
    figures = {"psnr": psnr, "max_error": max_error, "bpppb": bpppb}
    given = {name: value for name, value in figures.items() if value is not None}
    named = [
        *given,
        *(["quality"] if quality is not None else []),
        *(["lossless"] * bool(lossless)),
    ]
    if len(named) > 1:
        raise TargetError(f"{' and '.join(named)} are given together: ask for one of them")
    if lossless:
        return Target("lossless")
    if not given:
        quality = DEFAULT_QUALITY if quality is None else quality
        if quality not in _OF_PROFILE:
            raise TargetError(f"quality {quality!r} is unknown: choose one of {list(PROFILES)}")
        return _OF_PROFILE[quality]
    ((kind, value),) = given.items()
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise TargetError(f"{kind} = {value!r}: it should be a number")
    try:
        value = float(value)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise TargetError(f"{kind} = {value}: it should be a finite number")
    if kind == "max_error" and value == 0:
        return Target("lossless")
    if value <= 0:
        raise TargetError(f"{kind} = {value:g}: it should be above zero")
    if kind == "psnr" and value > _HIGHEST_PSNR:
        raise TargetError(
            f"psnr = {value:g}: at most {_HIGHEST_PSNR:g} dB can be aimed at, ask for lossless"
        )
    if kind == "max_error" and dtype.kind != "f":
        # An integer that is off by 2.7 is off by 2.
        value = math.floor(value)
        if value == 0:
            return Target("lossless")
    return Target(kind, value)


def remembered_target(source: Any) -> dict[str, Any]:
    """Arguments of `parse_target` that the scene of a DataArray or Dataset was compressed with.

    Empty where it does not say, or not in the way of `Target.to_header`.
    """
    known = {"quality", "psnr", "max_error", "bpppb", "lossless"}
    for variable in getattr(source, "data_vars", {"": source}).values():
        asked = getattr(variable, "encoding", {}).get(ENCODING_KEY)
        if isinstance(asked, dict) and len(asked) == 1 and asked.keys() <= known:
            (value,) = asked.values()
            return dict(asked) if isinstance(value, str | int | float) else {}
    return {}
