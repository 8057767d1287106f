"""Bars of progress, which appear on a terminal for what takes longer than a moment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

__all__ = ["bar"]

T = TypeVar("T")

_PATIENCE = 2.0  # seconds


def bar(
    items: Iterable[T],
    what: str,
    total: int | None = None,
    *,
    unit: str,
    progress: bool = True,
    leave: bool = True,
) -> tqdm[T]:
    """Items as they come, with a bar that says so; see `tqdm.tqdm`."""
    disable = None if progress else True
    return tqdm(items, what, total, leave, unit=unit, delay=_PATIENCE, disable=disable)
