"""What tells a source from a changed one, without reading all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xhsinr import stac
from xhsinr.errors import SourceError
from xhsinr.scene.origin import files_of
from xhsinr.storage import state_of

__all__ = ["fingerprint"]


def fingerprint(source: stac.Source) -> dict[str, Any]:
    """Its ``href``, and size and time of every file that it is read from, as far as they are told.

    Raises
    ------
    SourceError
        If the file is gone.
    """
    if "://" in source.href:
        updated = (source.item or {}).get("properties", {}).get("updated")
        told = {"updated": updated, "state": state_of(source.href)}
        return {"href": source.identity} | {key: value for key, value in told.items() if value}
    path = Path(source.href)
    if not path.exists():
        raise SourceError(f"{path}: there is no such file any more; put it back, or leave it out")
    files = {file.name: state_of(file) for file in files_of(path)}
    return {"href": source.href, "files": files}
