"""Which codings there are: the one list by which headers, codecs and readers know them."""

from __future__ import annotations

from importlib import import_module

from xhsinr.coding.contract import Coding
from xhsinr.errors import UnsupportedVersionError

__all__ = ["coding_number", "coding_of_number"]

_CODINGS = {
    "planes": ("xhsinr.coding.planes", "PlanesCoding"),
    "bounded": ("xhsinr.coding.bounded", "BoundedCoding"),
    "floats": ("xhsinr.coding.floats", "FloatsCoding"),
    "latents": ("xhsinr.coding.latents", "LatentsCoding"),
}
"""Module and class of each; a header has its place in this list, so new ones come last."""


def coding_number(coding: Coding) -> int:
    """The number that a header has for a coding."""
    return list(_CODINGS).index(coding.name)


def coding_of_number(number: int) -> type[Coding]:
    """The class of a number; its module is imported only now.

    Raises
    ------
    UnsupportedVersionError
        If this version has no such coding.
    """
    if number >= len(_CODINGS):
        raise UnsupportedVersionError(
            f"its tiles are in coding number {number}, this version knows {len(_CODINGS)}: install "
            "a newer xhsinr"
        )
    module, name = list(_CODINGS.values())[number]
    found: type[Coding] = getattr(import_module(module), name)
    return found
