"""How much memory a tile takes on its way, and so how many may be on their way at a time.

The figures are rounded up from peaks of the resident set, over what the process held before,
of scenes of one tile: all data types, with gaps and without, at all kinds of targets.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
from dask.utils import format_bytes, parse_bytes

from xhsinr.errors import MemoryLimitError

__all__ = [
    "gdal_cache",
    "kept_bytes",
    "parse_memory",
    "peak_memory",
    "share_of",
    "survey_bytes",
    "tiles_at_once",
]

# What the process holds with its libraries and compiled loops loaded, and no scene. To compile the
# loops, once after installing, takes as much again for a while.
_LIBRARIES = 340_000_000
# Smaller ones are not worth their overhead.
_SMALLEST_TILE = 16
# Share of a limit that GDAL may keep blocks of files in; else it takes 5 % of the machine's.
_CACHE_SHARE = 16
# Bytes of a lazy scene that stay in memory where no limit was asked for.
_KEPT = 1 << 29
# Bytes of a sample in the coding that takes most, besides its copies.
_DEAREST = 80
# Of a tile, whatever its size.
_FIXED = 16_000_000
# Bytes of a sample in pass 1, and copies of it in its own type.
_SURVEY, _COPIES = 24, 3


def parse_memory(value: float | str | None) -> int | None:
    """Bytes of a number or of a text such as ``"1.5 GB"`` or ``"800 MiB"``; None stays None.

    Raises
    ------
    MemoryLimitError
        If it is no positive amount of memory.
    """
    if value is None:
        return None
    try:
        found = float(parse_bytes(value)) if value else 0.0
    except (ValueError, AttributeError, OverflowError):
        found = math.nan
    if isinstance(value, bool) or not (math.isfinite(found) and found >= 1):
        raise MemoryLimitError(
            f"max_memory = {value!r} is no amount of memory: give bytes, or a text like '1.5 GB'"
        )
    return int(found)


def share_of(limit: float | str | None, parts: int) -> int | None:
    """The limit for each of several that are at work in one process; it has its libraries once."""
    whole = parse_memory(limit)
    return None if whole is None else _LIBRARIES + (whole - _LIBRARIES) // parts


def peak_memory() -> int | None:
    """The largest resident set of this process so far, in bytes; None where it is not known."""
    try:
        # `getrusage` would count what the parent held when it started this process.
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])
    except (OSError, IndexError):
        pass
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def gdal_cache(limit: int) -> int:
    """Bytes of a limit that are for GDAL's cache."""
    return limit // _CACHE_SHARE


def survey_bytes(samples: int, dtype: np.dtype[np.generic]) -> int:
    """Bytes that pass 1 takes for a tile of so many samples."""
    return samples * (_SURVEY + _COPIES * dtype.itemsize)


def kept_bytes(limit: int | None, threads: int, tile_samples: int, itemsize: int) -> int:
    """Bytes of a scene that may stay in memory while so many threads work on its tiles."""
    if limit is None:
        return _KEPT
    tile_bytes = _FIXED + tile_samples * (_DEAREST + 4 * itemsize)
    return max(0, limit - gdal_cache(limit) - _LIBRARIES - threads * tile_bytes)


def tiles_at_once(
    limit: int | None, threads: int, tile_bytes: int, shape: tuple[int, int], what: str
) -> int:
    """How many of a process's threads may each hold a tile.

    Parameters
    ----------
    limit : int or None
        Most bytes that the process may hold, its libraries included; None for no limit.
    threads : int
        More are not wanted.
    tile_bytes : int
        Bytes that a tile takes, besides what is the same for all.
    shape : (int, int)
        Rows and columns of a tile.
    what : str
        What is done with the tile, for the error.

    Raises
    ------
    MemoryLimitError
        If not even one tile fits, saying which would.
    """
    if limit is None:
        return threads
    room = limit - gdal_cache(limit) - _LIBRARIES
    tile_bytes += _FIXED
    fitting = min(threads, room // tile_bytes)
    if fitting >= 1:
        return fitting
    rows, cols = shape
    smaller = _power_of_two_below(math.sqrt(rows * cols * max(room, 0) / tile_bytes))
    advice = f"tiles of {smaller} or less would" if smaller >= _SMALLEST_TILE else "no tile would"
    least = (tile_bytes + _LIBRARIES) * _CACHE_SHARE / (_CACHE_SHARE - 1)
    raise MemoryLimitError(
        f"max_memory = {format_bytes(limit)}: to {what} a tile of {rows} x {cols} pixels takes "
        f"{format_bytes(tile_bytes)}, and {format_bytes(limit - max(room, 0))} are for libraries "
        f"and files; {advice} fit, or allow {math.ceil(least / 1e6)} MB"
    )


def _power_of_two_below(value: float) -> int:
    return 1 << max(0, math.frexp(value)[1] - 1)
