"""An archive below a URL of an object store: one run at a time, scenes whose item comes last.

A store cannot rename, so a scene's files are sent one by one under their final names, each whole by
the store's own rules, and the item, which makes the scene, last. In a folder of the archive, files
that are called like a scene's and have no item are what an upload left that was cut short.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from xhsinr import stac
from xhsinr.archiving.files import ROOT, SceneFiles
from xhsinr.archiving.memory import recall
from xhsinr.errors import HsinrError
from xhsinr.folders import end_uploads, names_below, put, read, remove, write

__all__ = ["foreign", "one_run", "publish"]

_LOCK = ".xhsinr-run.json"
_BEAT, _ABANDONED = 20.0, 120.0
"""Seconds from one sign of life to the next, and without one before a run counts as gone."""


def publish(files: SceneFiles, out: str) -> None:
    """Send a scene's files, its item last, in place of what it was made as before."""
    folder = f"{out}/{files.item.stem}"
    gone = []
    for made in files:
        if made.exists():
            put(made, f"{folder}/{made.name}")
        else:  # some scenes have no spectra to show
            gone.append(f"{folder}/{made.name}")
    for place in gone:
        remove(place)


def foreign(
    out: str, scenes: Sequence[stac.Source], origins: Mapping[str, str | None], overwrite: bool
) -> list[str]:
    """What is there already and is not known to be this archive's own."""
    if recall(out) is None:
        taken = ROOT | {source.id for source in scenes}
        return [f"{out}/{name}" for name in names_below(out) if name.partition("/")[0] in taken]

    def is_free(source: stac.Source) -> bool:
        origin = origins.get(source.id, source.identity)
        return overwrite if origin is None else origin == source.identity

    return [f"{out}/{source.id}" for source in scenes if not is_free(source)]


@contextlib.contextmanager
def one_run(out: str) -> Iterator[None]:
    """Keep other runs out; what killed ones left goes away.

    Raises
    ------
    HsinrError
        If another run is writing to the folder.
    """
    lock, mark = f"{out}/{_LOCK}", secrets.token_hex(8)
    try:
        write(lock, _sign(mark), new=True)
    except FileExistsError:
        _check_abandoned(out, lock, mark)
        write(lock, _sign(mark))
    done = threading.Event()
    beating = threading.Thread(target=_beat, args=(lock, mark, done), daemon=True)
    beating.start()
    try:
        _tidy(out)
        yield
        _tidy(out)
    finally:
        done.set()
        beating.join()
        remove(lock)


def _sign(mark: str) -> bytes:
    """A sign of life of this process."""
    now = datetime.now(UTC).isoformat()
    told = {"host": platform.node(), "pid": os.getpid(), "run": mark, "alive": now}
    return json.dumps(told).encode()


def _beat(lock: str, mark: str, done: threading.Event) -> None:
    while not done.wait(_BEAT):
        with contextlib.suppress(OSError):
            write(lock, _sign(mark))


def _check_abandoned(out: str, lock: str, mark: str) -> None:
    """Raise if another run that holds a lock may be alive."""
    try:
        told = json.loads(read(lock))
        host, pid = told["host"], told["pid"]
        silent = (datetime.now(UTC) - datetime.fromisoformat(told["alive"])).total_seconds()
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError) as error:
        raise HsinrError(f"{lock} is no lock of a run ({error!r}): remove it") from error
    # An answer that got lost makes its own run's file one that is there.
    own = told.get("run") == mark
    if own or silent > _ABANDONED or (host == platform.node() and not _runs(pid)):
        return
    raise HsinrError(
        f"{out}: another run is writing to it (process {pid} on {host}): wait for it, or stop it; "
        f"one that was killed counts as gone {_ABANDONED:g} seconds after its last sign"
    )


def _runs(pid: int) -> bool:
    if os.name != "posix":
        return True  # elsewhere the question would end it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _tidy(out: str) -> None:
    """Remove what uploads left that were cut short; nothing where there is no archive."""
    if recall(out) is None:
        return
    end_uploads(out)
    names = {*names_below(out)}
    for folder in {name.partition("/")[0] for name in names if "/" in name}:
        own = {f"{folder}/{path.name}" for path in SceneFiles.of(Path(folder), folder)}
        if f"{folder}/{folder}.json" not in names:
            for left in own & names:
                remove(f"{out}/{left}")
