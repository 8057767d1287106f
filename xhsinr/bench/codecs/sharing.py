"""Work that two codecs have in common: done once, with its seconds counted for both."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

__all__ = ["seconds_saved", "share"]

T = TypeVar("T")

# The last result alone is kept: codecs that share work stand side by side in the tables.
_last: dict[Hashable, tuple[Any, float]] = {}
_saved = 0.0


def share(key: Hashable, task: Callable[[], T]) -> T:
    """The result of a task, or what it was for the same key just before."""
    global _saved
    if key in _last:
        result, seconds = _last[key]
        _saved += seconds
    else:
        start = time.process_time()
        result = task()
        _last.clear()
        _last[key] = result, time.process_time() - start
    found: T = result
    return found


def seconds_saved() -> float:
    """Seconds that `share` has saved so far: timings add what they would have been."""
    return _saved
