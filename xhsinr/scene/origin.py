"""The files that a scene is read from, and whether they are what they were when that began."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from xhsinr.errors import SceneError
from xhsinr.scene.images import place_of
from xhsinr.scene.products import dlr
from xhsinr.storage import Place, state_of

__all__ = ["Origin", "file_of", "files_of"]

# Files beside an image that GDAL or this package read with it.
_BESIDE: tuple[str, ...] = ("{name}.hdr", "{stem}.hdr", "{stem}.HDR")
_BESIDE += ("{name}.aux.xml", "{stem}.aux.xml", "{name}.msk", "{name}.ovr")
_BESIDE += ("{stem}.prj", "{stem}.wavelength_nm.txt")
_BESIDE += ("{stem}.tfw", "{stem}.tifw", "{stem}.wld", "{name}w", "{stem}.j2w", "{stem}.pgw")
_BESIDE += ("{stem}_RPC.TXT", "{stem}.RPB", "{stem}_rpc.txt", "{stem}.rpb")
# Data files of an ENVI header.
_DATA = ("{stem}", "{stem}.img", "{stem}.dat", "{stem}.bil", "{stem}.bsq", "{stem}.bip")


def file_of(source: Any) -> str | Path | None:
    """The file that a source is read from, possibly later, if it is one."""
    if isinstance(source, str | Path):
        return source
    found = getattr(source, "encoding", {}).get("source")
    return found if isinstance(found, str | Path) else None


def files_of(path: Path) -> list[Path]:
    """The file of a scene, and those beside it that are read with it, as far as they are there."""
    path = path if path.name else path.absolute()  # "." may be a product
    names = [*_BESIDE, *(_DATA if path.suffix.lower() == ".hdr" else ())]
    beside = [name.format(name=path.name, stem=path.stem) for name in names]
    found = [path, *(path.parent / name for name in beside)]
    with suppress(SceneError):  # it will be said when it is read
        found += dlr.files(path)
    return [file for file in dict.fromkeys(found) if file.exists()]


@dataclass(frozen=True)
class Origin:
    """Files as they were.

    Attributes
    ----------
    files : mapping of Path or str to list
        See `xhsinr.storage.state_of`.
    """

    files: Mapping[Place, list[int | str]]

    @classmethod
    def of(cls, source: Any) -> Self:
        """The files of a path or URL, or of a DataArray that knows its own; none of others."""
        file = file_of(source)
        place = None if file is None else place_of(str(file))
        files: list[Place] = [*files_of(place)] if isinstance(place, Path) else []
        if isinstance(place, str) and "://" in place:
            files = [place]
        return cls({file: state_of(file) for file in files})

    def check(self) -> None:
        """Refuse a scene of which a part may be of other files.

        Raises
        ------
        SceneError
        """
        for file, state in self.files.items():
            gone = isinstance(file, Path) and not file.exists()
            found = [] if gone else state_of(file)
            if gone or (found and state and found != state):
                raise SceneError(
                    f"{file} changed while it was read, so nothing was written: compress it again "
                    "when it is finished"
                )
