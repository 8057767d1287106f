"""The folder of an archive: where things lie, one run at a time, nothing unfinished in it.

archive.json  catalog.json  collection.json  index.html  report.csv  networks/
<id>/<id>.hsinr  .preview.tif  .thumbnail.jpg  .spectra.svg  .metadata.json  .json
.<id>.xhsinr-<random>/                                              one in the making

Only what this package wrote for this archive is ever replaced or removed. A scene's folder appears
and is replaced as a whole: its item never describes other files than those beside it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from xhsinr import stac
from xhsinr.archiving.memory import MEMORY, recall
from xhsinr.errors import HsinrError, OutputExistsError
from xhsinr.network.file import Network
from xhsinr.outputs import replacing, scratch, sweep, sync
from xhsinr.pictures.preview import preview_path

__all__ = [
    "SceneFiles",
    "check_free",
    "keep_network",
    "making",
    "one_run",
    "origin_of",
    "with_own_ids",
]

_ROOT = (
    MEMORY,
    "catalog.json",
    "collection.json",
    "index.html",
    "report.csv",
    "in-sample.json",
    "networks",
)
_ASIDE = re.compile(r"\.(.+)\.xhsinr-replaced")
_SHOWN = 5


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

    def publish(self, out: Path) -> None:
        """Make this folder the scene's in the archive, in place of what it was made as before."""
        for path in self.all:
            if path.exists():  # some scenes have no spectra to show
                sync(path)
        final, aside = out / self.id, _aside(out, self.id)
        if final.is_dir():
            final.rename(aside)
        self.folder.rename(final)
        sync(out)
        _settle(out, self.id)


def _aside(out: Path, name: str) -> Path:
    return out / f".{name}.xhsinr-replaced"


def _settle(out: Path, name: str) -> None:
    """End a replacement, also one that was cut short: the new folder counts, else the old one."""
    final, aside = SceneFiles(out / name, name), SceneFiles(_aside(out, name), name)
    if not aside.folder.is_dir() or aside.folder.is_symlink():
        return
    if not final.folder.exists():
        aside.folder.rename(final.folder)
        return
    for path in aside.all:
        path.unlink(missing_ok=True)
    for others in aside.folder.iterdir():
        others.rename(final.folder / others.name)
    aside.folder.rmdir()


@contextlib.contextmanager
def making(out: Path, name: str) -> Iterator[SceneFiles]:
    """Where a scene is made; it goes away, with whatever is left in it.

    It lies beside the folders of the scenes, so that base networks are found from it.
    """
    with scratch(out, name) as folder:
        yield SceneFiles(folder, name)


def origin_of(item: Path) -> dict[str, Any] | None:
    """What a scene of an archive was made from, as its item says; None if it is no such item."""
    try:
        properties = json.loads(item.read_text("utf-8"))["properties"]
        source, _ = properties["hsinr:source"], properties["hsinr:settings"]
        return source if isinstance(source["href"], str) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def with_own_ids(out: Path, found: Iterable[stac.Source]) -> list[stac.Source]:
    """Sources with the ids that they have in the archive: a scene's identity is its source.

    A new source gets its own id, with a mark where another has it.
    """
    items = stac.scene_items(out) if out.is_dir() else iter(())
    origins = {item.stem: origin["href"] for item in items if (origin := origin_of(item))}
    taken = {name.lower() for name in origins}
    named = []
    for source in found:
        marked = re.compile(re.escape(source.id) + "(-[0-9a-f]{8,})?")
        held = [n for n, href in origins.items() if href == source.href and marked.fullmatch(n)]
        name = min(held, key=len, default=source.id)
        if held:
            del origins[name]
        elif name.lower() in taken:
            where = f"{source.href}\n{source.error}"
            name = f"{name}-{sha256(where.encode()).hexdigest()[:8]}"
        taken.add(name.lower())
        named.append(replace(source, id=name))
    return named


def check_free(out: Path, scenes: Sequence[stac.Source], *, overwrite: bool) -> None:
    """Refuse to start where anything would be replaced that is not this archive's own.

    Raises
    ------
    OutputExistsError
    """
    paths = [out / name for name in _ROOT]
    foreign = [path for path in paths if path.is_symlink()]
    if recall(out) is None:
        foreign = [path for path in paths if os.path.lexists(path)]
    for source in scenes:
        if source.href and not _is_free(out, source, overwrite=overwrite):
            foreign.append(out / source.id)
    if foreign:
        more = f" and {len(foreign) - _SHOWN} more" if len(foreign) > _SHOWN else ""
        raise OutputExistsError(
            f"{', '.join(map(str, foreign[:_SHOWN]))}{more}: there already, and not known to be "
            "this archive's own. Nothing was done: move it away, or choose another folder"
        )


def _is_free(out: Path, source: stac.Source, *, overwrite: bool) -> bool:
    files = SceneFiles(out / source.id, source.id)
    if not os.path.lexists(files.folder):
        return True
    if files.folder.is_symlink() or not files.folder.is_dir():
        return False
    if any(path.is_symlink() or (path.exists() and not path.is_file()) for path in files.all):
        return False
    origin = origin_of(files.item)
    if origin is not None:
        return bool(origin["href"] == source.href)
    # Nobody can tell what it was made from.
    return overwrite or not any(files.folder.iterdir())


@contextlib.contextmanager
def one_run(out: Path) -> Iterator[None]:
    """Make the folder if needed and keep other runs out; what killed ones left goes away.

    Raises
    ------
    HsinrError
        If another run is writing to the folder.
    """
    out.mkdir(parents=True, exist_ok=True)
    with _lock(out):
        _tidy(out)
        with scratch(out, "run"):
            pass  # where nothing can be written, it is said once and not for every scene
        try:
            yield
        finally:
            _tidy(out)


def _tidy(out: Path) -> None:
    """End what was cut short."""
    for folder in (out, out / "networks"):
        if folder.is_dir() and not (folder != out and folder.is_symlink()):
            sweep(folder)
    for path in list(out.iterdir()):
        match = _ASIDE.fullmatch(path.name)
        if match:
            _settle(out, match[1])


def keep_network(network: Network, out: Path) -> Path:
    """Put a base network into the archive, with its item."""
    assert network.path is not None
    folder = out / "networks"
    folder.mkdir(exist_ok=True)
    mark = f"-{network.digest[:12]}"
    held = folder / f"{network.name.removesuffix(mark)}{mark}.safetensors"
    if not held.exists():
        with replacing(held) as part:
            shutil.copyfile(network.path, part)
    stac.write_item(stac.network_item(held), held.with_suffix(".json"))
    return held


@contextlib.contextmanager
def _lock(out: Path) -> Iterator[None]:
    """A lock on the folder itself, which goes away with the process however that ends."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    descriptor = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Some network file systems lock no folders: there it is the user's to run one at a time.
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            os.close(descriptor)
            raise HsinrError(
                f"{out}: another run is writing to it: wait for it, or stop it"
            ) from None
    try:
        yield
    finally:
        os.close(descriptor)
