"""The files of an archive: what they are called, and what a scene's item says of its source."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xhsinr.folders import at, read
from xhsinr.pictures.preview import preview_path
from xhsinr.stac.sources import ARCHIVE_FILES, RESERVED
from xhsinr.storage import Place

__all__ = ["ROOT", "SceneFiles", "item_of", "origin_in", "origin_of"]

ROOT = ARCHIVE_FILES | {RESERVED}
"""What an archive has beside its scenes."""


@dataclass(frozen=True)
class SceneFiles:
    """The files of a scene in a folder.

    Attributes
    ----------
    folder : Path
    id : str
    """

    folder: Path
    id: str

    @property
    def sidecar(self) -> Path:
        return self.folder / f"{self.id}.hsinr"

    @property
    def preview(self) -> Path:
        return preview_path(self.sidecar)

    @property
    def metadata(self) -> Path:
        return self.folder / f"{self.id}.metadata.json"

    @property
    def thumbnail(self) -> Path:
        return self.folder / f"{self.id}.thumbnail.jpg"

    @property
    def spectra(self) -> Path:
        return self.folder / f"{self.id}.spectra.svg"

    @property
    def item(self) -> Path:
        return self.folder / f"{self.id}.json"

    @property
    def all(self) -> tuple[Path, ...]:
        pictures = self.preview, self.thumbnail, self.spectra
        return self.sidecar, *pictures, self.metadata, self.item


def item_of(out: Place, name: str) -> Place:
    """The item of a scene of an archive."""
    return at(at(out, name), f"{name}.json")


def origin_of(item: Place) -> dict[str, Any] | None:
    """What a scene of an archive was made from, as its item says; None if it is no such item."""
    try:
        return origin_in(read(item))
    except OSError:
        return None


def origin_in(item: bytes | OSError) -> dict[str, Any] | None:
    """What `origin_of` says, of an item that was read."""
    try:
        if isinstance(item, OSError):
            return None
        properties = json.loads(item)["properties"]
        source, _ = properties["hsinr:source"], properties["hsinr:settings"]
        return source if isinstance(source["href"], str) else None
    except (ValueError, KeyError, TypeError):
        return None
