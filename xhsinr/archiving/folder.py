"""The folder of an archive: where things lie, one run at a time, nothing unfinished in it.

<id>/<id>.hsinr  <id>.preview.tif  <id>.metadata.json  <id>.json     a finished scene
.partial-<random>/                                                  one in the making
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xhsinr import stac
from xhsinr.errors import HsinrError
from xhsinr.network.file import Network
from xhsinr.outputs import replacing
from xhsinr.pictures.preview import preview_path

__all__ = ["SceneFiles", "keep_network", "making", "one_run"]

_PARTIAL = ".partial-"


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
    def item(self) -> Path:
        return self.folder / f"{self.id}.json"

    def move(self, to: Path) -> None:
        """Move all to a folder, the item last: where it is, the scene is finished."""
        to.mkdir(exist_ok=True)
        for path in (self.sidecar, self.preview, self.metadata, self.item):
            path.replace(to / path.name)


@contextlib.contextmanager
def making(out: Path, name: str) -> Iterator[SceneFiles]:
    """Where a scene is made; it goes away, with whatever is left in it.

    It lies beside the folders of the scenes, so that base networks are found from it.
    """
    with tempfile.TemporaryDirectory(
        prefix=_PARTIAL, dir=out, ignore_cleanup_errors=True
    ) as folder:
        yield SceneFiles(Path(folder), name)


@contextlib.contextmanager
def one_run(out: Path) -> Iterator[None]:
    """Make the folder if needed and keep other runs out; what killed ones left goes away.

    Workers of a killed run that still make a scene find their folder gone, and give it up.

    Raises
    ------
    HsinrError
        If another run is writing to the folder.
    """
    out.mkdir(parents=True, exist_ok=True)
    with _lock(out):
        _sweep(out)
        with tempfile.TemporaryDirectory(prefix=_PARTIAL, dir=out):
            pass  # where nothing can be written, it is said once and not for every scene
        try:
            yield
        finally:
            _sweep(out)


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


def _sweep(out: Path) -> None:
    for left in out.glob(f"{_PARTIAL}*"):
        shutil.rmtree(left, ignore_errors=True)
    for folder in (out, out / "networks", *(path for path in out.iterdir() if path.is_dir())):
        for left in folder.glob(".*.part"):
            left.unlink(missing_ok=True)


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
