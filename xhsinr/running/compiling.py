"""Saying that loops are compiled while they are: the first use of each takes some seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba.core.event import Event, Listener, install_listener
from tqdm import tqdm

__all__ = ["told_on"]


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
