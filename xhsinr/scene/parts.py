"""What a scene is made of besides its samples: coordinates, and how its place was written down."""

from __future__ import annotations

import datetime
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.scene import header
from xhsinr.scene.numbers import expect

__all__ = [
    "Coordinate",
    "GridMapping",
    "grid_mapping_from_json",
    "nodata_of",
    "plain_attrs",
    "scaling",
]

# In small letters, without spaces and underscores; the first that is found counts.
_NODATA_NAMES = (
    *("fillvalue", "missingvalue", "nodata", "nodatavals", "nodatavalue"),
    *("dataignorevalue", "ignorevalue"),
)


def nodata_of(attrs: Mapping[str, Any]) -> Any:
    """What the attributes have under a name for nodata; None where they have none."""
    plain = {re.sub(r"[\s_]+", "", key.lower()): v for key, v in attrs.items() if v is not None}
    return next((plain[name] for name in _NODATA_NAMES if name in plain), None)


@dataclass(frozen=True)
class Coordinate:
    """One coordinate of a scene: its dimensions (by their original names), values, attributes."""

    dims: tuple[str, ...]
    values: npt.NDArray[Any]
    attrs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class GridMapping:
    """How the source wrote its georeferencing down, where that is not rioxarray's own way.

    Attributes
    ----------
    name : str
        The scalar coordinate that holds it.
    value : int
        Its value; nothing depends on it.
    missing : tuple of str
        Attributes that rioxarray would write and the source does not have.
    extra : dict
        Attributes of the source that rioxarray would not write, or would write otherwise.
    """

    name: str = "spatial_ref"
    value: int = 0
    missing: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


def grid_mapping_from_json(entry: dict[str, Any] | None) -> GridMapping | None:
    """A grid mapping as `xhsinr.scene.Scene.describe` wrote it; checked."""
    if entry is None:
        return None
    look_up = header.reader(entry)
    missing = look_up("missing", list, [])
    expect(all(isinstance(key, str) for key in missing), "'missing' is malformed")
    extra = header.mapping_from_json(look_up("extra", dict, {}), {})
    value = look_up("value", int, 0)
    expect(abs(value) < 2**63, "the grid mapping has a bad value")
    return GridMapping(look_up("name", str), value, tuple(missing), extra)


def scaling(scales: Sequence[float], offsets: Sequence[float]) -> dict[str, Any]:
    """Attributes for value = scale * stored + offset: one number each where all bands share it.

    Where they do not, lists under the names that rioxarray has for them.
    """
    found: dict[str, Any] = {}
    for one, many, values in (
        ("scale_factor", "scales", scales),
        ("add_offset", "offsets", offsets),
    ):
        found |= {one: values[0]} if len(set(values)) == 1 else {many: list(values)}
    return found


def plain_attrs(attrs: Mapping[Any, Any], what: str) -> dict[str, Any]:
    """Attributes in JSON's own types; warns of those that have no such form, or only text."""
    kept = {}
    for key, value in attrs.items():
        try:
            if not isinstance(key, str):
                raise TypeError("its name is not text")
            kept[header.plain(key)] = header.plain(value)
        except TypeError as error:
            warnings.warn(f"{what} {key!r} is left out: {error}", stacklevel=2)
    texts = [key for key, value in attrs.items() if key in kept and _becomes_text(value)]
    if texts:
        warnings.warn(
            f"{what} {', '.join(map(repr, texts))} comes back as text: bytes, dates and paths have "
            "no form of their own in the file",
            stacklevel=2,
        )
    return kept


def _becomes_text(value: Any) -> bool:
    """Whether there is something in a value that JSON has only text for."""
    if isinstance(value, Mapping):
        return any(map(_becomes_text, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_becomes_text, value))
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.kind in "SmM"
    return isinstance(value, bytes | datetime.date | datetime.time | PurePath)
