"""Looking after an archive: are its files whole, and a scene of it back as a file."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from pathlib import Path

from xhsinr import stac
from xhsinr.archiving.executors import executor
from xhsinr.errors import HsinrError, SourceError, VerificationError
from xhsinr.folders import at, exists, folder_of, located, name_of, stem_of
from xhsinr.outputs import check_output
from xhsinr.progress import bar
from xhsinr.reading.reader import Reader
from xhsinr.reading.verification import verify
from xhsinr.scene.formats import check_format, write_scene
from xhsinr.sidecar.file import Sidecar
from xhsinr.storage import Place

__all__ = ["ArchiveCheck", "archive_items", "restore", "verify_archive"]


@dataclass(frozen=True)
class ArchiveCheck:
    """What `verify_archive` found.

    Attributes
    ----------
    scenes : int
        Scenes of the archive.
    checked : tuple of str
        Ids of those that were looked at.
    errors : tuple of str
        What is wrong, each naming the file.
    """

    scenes: int
    checked: tuple[str, ...]
    errors: tuple[str, ...]

    @property
    def valid(self) -> bool:
        return not self.errors


def verify_archive(
    out: str | Path,
    *,
    sample: float = 1.0,
    scheduler: str | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> ArchiveCheck:
    """Check the sidecars of an archive against their STAC checksums, and decode them.

    Parameters
    ----------
    out : str or Path
        Folder of the archive, or its URL.
    sample : float
        Share of the scenes to look at, above 0 and at most 1; drawn anew each time.
    scheduler, workers
        Where to do it, as for `xhsinr.archive`.
    progress : bool
        Show a bar on a terminal.

    Raises
    ------
    SourceError
        If there is no archive.
    VerificationError
        If the share makes no sense.
    """
    if not 0 < sample <= 1:
        raise VerificationError(f"sample = {sample:g}: it should be above 0 and at most 1")
    out = located(out)
    items = archive_items(out)
    errors = [f"{item}: the catalog lists it, and it is gone" for item in stac.lost_items(out)]
    chosen = sorted(random.sample(items, math.ceil(sample * len(items))))
    with executor(scheduler, workers) as run:
        results = run(_check, chosen)
        for item, found in bar(results, "verify", len(chosen), unit="scene", progress=progress):
            errors += [f"{item}: {found}"] if isinstance(found, BaseException) else found
    return ArchiveCheck(len(items), tuple(map(stem_of, chosen)), tuple(sorted(errors)))


def restore(scene: str | Path, path: str | Path, *, overwrite: bool = False) -> Path:
    """Decode a scene of an archive into a file, once its checksum is right.

    Parameters
    ----------
    scene : str or Path
        The scene's folder in the archive, its STAC item or its sidecar; a path or a URL.
    path : str or Path
        Of the file to write, in the format of its suffix: ``.tif``, ``.nc``, ``.zarr``, ``.img``.
    overwrite : bool
        Replace ``path`` if it exists.

    Raises
    ------
    SourceError
        If there is no such scene.
    VerificationError
        If its file is not the one that its item describes.
    """
    item, path = _item_of(located(scene)), Path(path)
    check_format(path)
    check_output(path, overwrite=overwrite, source=item)
    data = stac.file_assets_of(item)[0]
    errors = data.errors()
    if errors:
        raise VerificationError("; ".join(errors))
    reader = Reader(Sidecar.open(data.path))
    write_scene(reader.scene(), reader.to_dask(), path)
    return path


def archive_items(out: Place) -> list[Place]:
    """The items of an archive's scenes."""
    items = stac.scene_items(out)
    if not items:
        raise SourceError(f"{out} is no archive: it has no STAC item of a compressed scene")
    return items


def _item_of(scene: Place) -> Place:
    file = name_of(scene).endswith((".json", ".hsinr"))
    item = (
        at(folder_of(scene), f"{stem_of(scene)}.json")
        if file
        else at(scene, f"{name_of(scene)}.json")
    )
    if not exists(item):
        raise SourceError(f"{scene} is no scene of an archive: there is no STAC item {item}")
    return item


def _check(item: Place, threads: int, share: int) -> list[str]:
    """What is wrong with a scene's files; checksums first, which tell all there is of damage."""
    try:
        data, *others = stac.file_assets_of(item)
    except HsinrError as error:
        return [str(error)]
    errors = data.errors()
    if not errors:
        errors += verify(data.path, progress=False).errors
    for asset in others:
        errors += asset.errors()
    return errors
