"""Bars of progress, which appear on a terminal for what takes longer than a moment.

They say if loops are compiled meanwhile: the first use of each takes some seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from numba.core.event import Event, Listener, install_listener
from tqdm import tqdm

__all__ = ["bar", "told_on"]

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


class _Compiling(Listener):
    """Tells a bar of the first loop that is compiled while it is shown."""

    def __init__(self, bar: tqdm[Any]) -> None:
        self._bar = bar

    def on_start(self, event: Event) -> None:
        if not self._bar.postfix:
            # At once, however patient the bar is.
            self._bar.delay = 0
            self._bar.set_postfix_str("compiling, which is kept")

    def on_end(self, event: Event) -> None:
        """Others follow at once: the bar says so until it ends."""


@contextmanager
def told_on(bar: tqdm[Any]) -> Iterator[None]:
    """While this lasts, a bar says if loops are being compiled."""
    if bar.disable:
        yield
    else:
        with install_listener("numba:compile", _Compiling(bar)):
            yield
