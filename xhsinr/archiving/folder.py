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
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path

from xhsinr import stac
from xhsinr.archiving import bucket
from xhsinr.archiving.files import ROOT, SceneFiles
from xhsinr.archiving.memory import recall
from xhsinr.errors import HsinrError, OutputExistsError
from xhsinr.network.file import Network
from xhsinr.outputs import replacing, scratch, sweep, sync
from xhsinr.storage import Place

__all__ = ["check_free", "keep_network", "making", "one_run", "publish", "with_own_ids"]

_ASIDE = re.compile(r"\.(.+)\.xhsinr-replaced")
_SHOWN = 5


def publish(files: SceneFiles, out: Place) -> None:
    """Make a scene's files those of the archive, in place of what it was made as before."""
    if isinstance(out, str):
        bucket.publish(files, out)
        return
    for path in files:
        if path.exists():  # some scenes have no spectra to show
            sync(path)
    name = files.item.stem
    final = out / name
    if final.is_dir():
        final.rename(_aside(out, name))
    files.item.parent.rename(final)
    sync(out)
    _settle(out, name)


def _aside(out: Path, name: str) -> Path:
    return out / f".{name}.xhsinr-replaced"


def _settle(out: Path, name: str) -> None:
    """End a replacement, also one that was cut short: the new folder counts, else the old one."""
    final, aside = out / name, _aside(out, name)
    if not aside.is_dir() or aside.is_symlink():
        return
    if not final.exists():
        aside.rename(final)
        return
    for path in SceneFiles.of(aside, name):
        path.unlink(missing_ok=True)
    for others in aside.iterdir():
        others.rename(final / others.name)
    aside.rmdir()


@contextlib.contextmanager
def making(out: Place, name: str) -> Iterator[SceneFiles]:
    """Where a scene is made; it goes away, with whatever is left in it.

    It lies beside the folders of the scenes, so that base networks are found from it; of an
    archive in a store, in the folder for temporary files.
    """
    beside = out if isinstance(out, Path) else Path(tempfile.gettempdir())
    with scratch(beside, name) as folder:
        yield SceneFiles.of(folder, name)


def with_own_ids(
    found: Iterable[stac.Source], origins: Mapping[str, str | None]
) -> list[stac.Source]:
    """Sources with the ids that they have in the archive: a scene's identity is its source.

    A new source gets its own id, with a mark where another has it.

    Parameters
    ----------
    found : iterable of Source
    origins : mapping
        Of the archive, see `xhsinr.archiving.files.origins_in`.
    """
    origins = {name: origin for name, origin in origins.items() if origin is not None}
    taken = {name.lower() for name in origins}
    named = []
    for source in found:
        marked = re.compile(re.escape(source.id) + "(-[0-9a-f]{8,})?")
        held = [n for n, href in origins.items() if href == source.identity and marked.fullmatch(n)]
        name = min(held, key=len, default=source.id)
        if held:
            del origins[name]
        elif name.lower() in taken:
            where = f"{source.identity}\n{source.error}"
            name = f"{name}-{sha256(where.encode()).hexdigest()[:8]}"
        taken.add(name.lower())
        named.append(replace(source, id=name))
    return named


def check_free(
    out: Place, scenes: Sequence[stac.Source], origins: Mapping[str, str | None], *, overwrite: bool
) -> None:
    """Refuse to start where anything would be replaced that is not this archive's own.

    Raises
    ------
    OutputExistsError
    """
    readable = [source for source in scenes if source.href]
    found = partial(bucket.foreign, out) if isinstance(out, str) else partial(_foreign, out)
    foreign = found(readable, origins, overwrite)
    if foreign:
        helps = not overwrite and not found(readable, origins, True)
        how = "pass overwrite (--overwrite) to replace it, " if helps else ""
        more = f" and {len(foreign) - _SHOWN} more" if len(foreign) > _SHOWN else ""
        raise OutputExistsError(
            f"{', '.join(map(str, foreign[:_SHOWN]))}{more}: there already, and not known to be "
            f"this archive's own. Nothing was done: {how}move it away, or choose another folder"
        )


def _foreign(
    out: Path, scenes: Sequence[stac.Source], origins: Mapping[str, str | None], overwrite: bool
) -> list[str]:
    paths = [out / name for name in sorted(ROOT)]
    found = [path for path in paths if path.is_symlink()]
    if recall(out) is None:
        found = [path for path in paths if os.path.lexists(path)]
    found += [out / s.id for s in scenes if not _is_free(out, s, origins.get(s.id), overwrite)]
    return [str(path) for path in found]


def _is_free(out: Path, source: stac.Source, origin: str | None, overwrite: bool) -> bool:
    folder = out / source.id
    if not os.path.lexists(folder):
        return True
    if folder.is_symlink() or not folder.is_dir():
        return False
    files = SceneFiles.of(folder, source.id)
    if any(path.is_symlink() or (path.exists() and not path.is_file()) for path in files):
        return False
    if origin is not None:
        return origin == source.identity
    # Nobody can tell what it was made from.
    return overwrite or not any(folder.iterdir())


@contextlib.contextmanager
def one_run(out: Place) -> Iterator[None]:
    """Make the folder if needed and keep other runs out; what killed ones left goes away.

    Raises
    ------
    HsinrError
        If another run is writing to the folder.
    """
    if isinstance(out, str):
        with bucket.one_run(out):
            yield
        return
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
