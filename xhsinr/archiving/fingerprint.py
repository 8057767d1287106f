"""What tells a source from a changed one, without reading all of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from xhsinr import stac
from xhsinr.errors import SceneError, SourceError
from xhsinr.scene.products import dlr

__all__ = ["fingerprint"]

# Files beside an image that GDAL or this package read with it.
_BESIDE: tuple[str, ...] = ("{name}.hdr", "{stem}.hdr", "{stem}.HDR")
_BESIDE += ("{name}.aux.xml", "{stem}.aux.xml", "{name}.msk", "{name}.ovr")
_BESIDE += ("{stem}.prj", "{stem}.wavelength_nm.txt")
_BESIDE += ("{stem}.tfw", "{stem}.tifw", "{stem}.wld", "{name}w", "{stem}.j2w", "{stem}.pgw")
_BESIDE += ("{stem}_RPC.TXT", "{stem}.RPB", "{stem}_rpc.txt", "{stem}.rpb")


def fingerprint(source: stac.Source) -> dict[str, Any]:
    """Its ``href``, and size and time of every file that it is read from.

    Raises
    ------
    SourceError
        If the file is gone.
    """
    if "://" in source.href:
        updated = (source.item or {}).get("properties", {}).get("updated")
        return {"href": source.href} | ({"updated": updated} if updated else {})
    path = Path(source.href)
    if not path.exists():
        raise SourceError(f"{path}: there is no such file any more; put it back, or leave it out")
    files = {}
    for file in _files(path):
        state = file.stat()
        files[file.name] = [state.st_size, state.st_mtime_ns]
    return {"href": source.href, "files": files}


def _files(path: Path) -> Iterator[Path]:
    names = [name.format(name=path.name, stem=path.stem) for name in _BESIDE]
    found = [path, *(path.with_name(name) for name in names)]
    with suppress(SceneError):  # it will be said when it is read
        found += dlr.files(path)
    for file in dict.fromkeys(found):
        if file.exists():
            yield file
