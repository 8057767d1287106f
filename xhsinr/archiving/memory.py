"""What an archive was asked for, kept in it: a rerun goes on with that, unless told otherwise.

``archive.json`` also tells an archive from any other folder, here and where workers look.
"""

from __future__ import annotations

import json
import secrets
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xhsinr.errors import RemoteError, SourceError, TargetError
from xhsinr.folders import at, read, write
from xhsinr.storage import Place
from xhsinr.target import Settings, Target, parse_target

__all__ = ["MEMORY", "Memory", "agree", "recall"]

MEMORY = "archive.json"
_VERSION = 1
_FLOATS = np.dtype(np.float64)


@dataclass(frozen=True)
class Memory:
    """What an archive remembers.

    Attributes
    ----------
    id : str
        Its own, random.
    target : dict
        What its scenes were asked for, as arguments of `xhsinr.target.parse_target`.
    tile : int or None
    network : str or None
        The base network's path in the archive.
    """

    id: str
    target: Mapping[str, Any]
    tile: int | None = None
    network: str | None = None

    def write(self, out: Place) -> None:
        """Keep it in the archive's folder."""
        content = {"xhsinr_archive": _VERSION, "id": self.id, "target": dict(self.target)}
        content |= {"tile": self.tile, "network": self.network}
        write(at(out, MEMORY), f"{json.dumps(content, indent=2)}\n".encode())


def recall(out: Place) -> Memory | None:
    """What the archive in a folder remembers; None where there is none.

    Raises
    ------
    SourceError
        If the file is there and is no such thing.
    """
    path = at(out, MEMORY)
    try:
        content = json.loads(read(path))
        if content["xhsinr_archive"] != _VERSION:
            raise ValueError(f"its version is {content['xhsinr_archive']!r}, not {_VERSION}")
        found = Memory(*(content[key] for key in ("id", "target", "tile", "network")))
        parse_target(_FLOATS, found.target)
    except FileNotFoundError:
        return None
    except RemoteError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(
            f"{path} is not what xhsinr keeps there ({error!r}): put it right, or choose "
            "another folder"
        ) from error
    return found


def agree(out: Place, asked: Settings, *, overwrite: bool) -> tuple[Memory, Settings]:
    """What to remember, and the settings with what was not asked for now as it was.

    Raises
    ------
    TargetError
        If other settings than the archive's are asked for, without ``overwrite``.
    """
    before = recall(out)
    if before is None:
        target = asked.target(_FLOATS).to_header()
        return Memory(secrets.token_hex(8), target, asked.tile), asked
    old, new = parse_target(_FLOATS, before.target), asked.target(_FLOATS)
    changes = []
    if asked.asked and replace(new, quality=None) != replace(old, quality=None):
        loses = " (the scenes lose quality)" if _loses(old, new) else ""
        changes.append(f"{_told(new)} in place of {_told(old)}{loses}")
    elif not asked.asked:
        new, asked = old, replace(asked, **before.target)
    if asked.tile not in (None, before.tile):
        changes.append(f"tile={asked.tile} in place of {before.tile}")
    if changes and not overwrite:
        raise TargetError(
            f"{out} is an archive of another kind: {' and '.join(changes)} would replace its "
            "scenes. Leave that out to go on as it was; pass overwrite (--overwrite) to replace "
            "them; or choose another folder"
        )
    if changes:
        warnings.warn(f"{out}: {' and '.join(changes)}: its scenes are replaced", stacklevel=3)
    tile = before.tile if asked.tile is None else asked.tile
    network = before.network if asked.network is None else None
    held = asked.network if network is None else str(at(out, network))
    kept = replace(before, target=new.to_header(), tile=tile, network=network)
    return kept, replace(asked, tile=tile, network=held)


def _told(target: Target) -> str:
    ((key, value),) = target.to_header().items()
    return f"{key}={value}"


def _loses(old: Target, new: Target) -> bool:
    """Whether less may be kept of the scenes, as far as can be told from what was asked."""
    if old.kind != new.kind:
        return new.kind != "lossless"
    if old.kind == "max_error":
        return new.value > old.value
    if old.kind == "fidelity":
        less = old.psnr is not None and (new.psnr is None or new.psnr < old.psnr)
        wider = old.sam_deg is not None and (new.sam_deg is None or new.sam_deg > old.sam_deg)
        return less or wider
    return new.value < old.value
