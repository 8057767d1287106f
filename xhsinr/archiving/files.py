"""The files of an archive: what they are called, and what a scene's item says of its source."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from xhsinr import stac
from xhsinr.folders import at, read_each, stem_of
from xhsinr.pictures.preview import preview_path
from xhsinr.stac.sources import ARCHIVE_FILES, RESERVED
from xhsinr.storage import Place

__all__ = ["ROOT", "SceneFiles", "item_of", "origins_in"]

ROOT = ARCHIVE_FILES | {RESERVED}
"""What an archive has beside its scenes."""


class SceneFiles(NamedTuple):
    """The files of a scene in a folder, its item last."""

    sidecar: Path
    preview: Path
    thumbnail: Path
    spectra: Path
    metadata: Path
    item: Path

    @classmethod
    def of(cls, folder: Path, name: str) -> SceneFiles:
        """Those of the scene of that id."""
        sidecar = folder / f"{name}.hsinr"
        ends = (".thumbnail.jpg", ".spectra.svg", ".metadata.json", ".json")
        return cls(sidecar, preview_path(sidecar), *(folder / f"{name}{end}" for end in ends))


def item_of(out: Place, name: str) -> Place:
    """The item of a scene of an archive."""
    return at(at(out, name), f"{name}.json")


def origins_in(out: Place) -> dict[str, str | None]:
    """What each scene of an archive was made from, as its item says; None where it does not."""
    items = stac.scene_items(out)
    return {stem_of(i): _origin(text) for i, text in zip(items, read_each(items), strict=True)}


def _origin(item: bytes | OSError) -> str | None:
    try:
        if isinstance(item, OSError):
            return None
        properties = json.loads(item)["properties"]
        origin, _ = properties["hsinr:source"]["href"], properties["hsinr:settings"]
    except (ValueError, KeyError, TypeError):
        return None
    return origin if isinstance(origin, str) else None
