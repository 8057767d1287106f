"""The files of an archive: what they are called, and what a scene's item says of its source."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from xhsinr import stac
from xhsinr.folders import at, read_each, stem_of
from xhsinr.pictures.preview import preview_path
from xhsinr.stac.sources import ARCHIVE_FILES, RESERVED
from xhsinr.storage import Place

__all__ = ["ROOT", "SceneFiles", "item_of", "origins_in"]

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
