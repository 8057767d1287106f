"""How much a file may ask for before anything is allocated: all limits in one place.

A header is a claim. The defaults let every real scene through and stop a small file that
declares a huge one; `set_limits` moves them.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace

from xhsinr.errors import LimitError

__all__ = ["Limits", "current_limits", "set_limits"]


@dataclass(frozen=True)
class Limits:
    """Limits on what a sidecar may declare.

    Attributes
    ----------
    header_bytes : int
        Bytes of its JSON header.
    front_bytes : int
        Bytes before the tiles: the header, the index and the small arrays, read when it is
        opened.
    array_bytes : int
        Bytes of wavelengths, coordinates and other small arrays, all together, unpacked.
    bands : int
        Bands of the scene.
    side : int
        Rows, and columns: opening a file makes a coordinate of each.
    tiles : int
        Tiles of the scene.
    load_bytes : int
        Bytes of the samples decoded in one piece: a tile, or the window that is asked for.
        With dask that is a chunk, so larger scenes can be read as well.
    """

    header_bytes: int = 8 << 20
    front_bytes: int = 1 << 30
    array_bytes: int = 256 << 20
    bands: int = 1 << 16
    side: int = 1 << 22
    tiles: int = 1 << 24
    load_bytes: int = 16 << 30

    def check(self, name: str, value: int, what: str) -> None:
        """Refuse a value above the limit of that name.

        Raises
        ------
        LimitError
            Naming the file and what it declares, the limit and how to raise it.
        """
        limit = getattr(self, name)
        if value > limit:
            raise LimitError(
                f"{what}: the limit is {limit:,}. If you trust the file, raise it: "
                f"xhsinr.set_limits({name}={value})"
            )


_current = Limits()


def current_limits() -> Limits:
    """The limits in force; a sidecar keeps those under which it was opened."""
    return _current


def set_limits(**values: int) -> ExitStack:
    """Set limits for the files that are opened from now on, or within a ``with`` block.

    An open file takes its limits along, to other processes too.

    Parameters
    ----------
    **values : int
        New limits, by the names of `Limits`.

    Raises
    ------
    LimitError
        If there is no such limit, or it is no whole number.

    Examples
    --------
    >>> import xhsinr
    >>> with xhsinr.set_limits(load_bytes=64 << 30):
    ...     scene = xhsinr.open("large.hsinr").open().load()  # doctest: +SKIP
    """
    names = list(asdict(_current))
    for name, value in values.items():
        if name not in names:
            raise LimitError(f"there is no limit {name!r}: choose one of {names}")
        if type(value) is not int or value < 0:
            raise LimitError(f"{name} = {value!r}: it should be a whole number")
    block = ExitStack()
    block.callback(_use, _current)
    _use(replace(_current, **values))
    return block


def _use(limits: Limits) -> None:
    global _current
    _current = limits
