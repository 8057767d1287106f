"""One scene of a batch: from its source to its finished folder in the archive.

The STAC item is the checkpoint. It is put in place last, once the sidecar has been read back
against its checksums, and says what it was made from and how: where that still holds, there
is nothing to do.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xhsinr import scene as scenes
from xhsinr import stac
from xhsinr.archiving.folder import SceneFiles, making
from xhsinr.archiving.table import Row
from xhsinr.compression.pipeline import Settings, compress_scene
from xhsinr.errors import HsinrError, SourceError, VerificationError
from xhsinr.pictures.preview import write_preview
from xhsinr.running.memory import peak_memory, share_of
from xhsinr.sidecar import report
from xhsinr.sidecar.file import Sidecar
from xhsinr.sidecar.verification import verify

__all__ = ["Job", "do"]

# Files beside a scene's own that its metadata come from.
_BESIDE = ("{name}.hdr", "{stem}.hdr", "{name}.aux.xml", "{stem}.wavelength_nm.txt")


@dataclass(frozen=True)
class Job:
    """A scene to archive.

    Attributes
    ----------
    source : Source
    out : Path
        Folder of the archive.
    settings : Settings
    request : mapping
        What of the settings decides the result, in JSON's types.
    network : Path or None
        The base network in the archive, if latents may be used.
    """

    source: stac.Source
    out: Path
    settings: Settings
    request: Mapping[str, Any]
    network: Path | None


def do(job: Job, threads: int, share: int) -> Row:
    """Archive a scene, unless it is there; never raises for what is wrong with the scene.

    Parameters
    ----------
    job : Job
    threads : int
        That work on its tiles.
    share : int
        Scenes that this process works on at a time; they share its memory.
    """
    start = time.perf_counter()
    source = job.source
    worker = f"{platform.node()}:{os.getpid()}"
    try:
        if source.error:
            raise SourceError(source.error)
        made_from = _fingerprint(source)
        final = SceneFiles(job.out / source.id, source.id)
        found = _finished(final, made_from, job.request)
        if found is not None:
            return _row(source.id, "skipped", found)
        info = _make(job, made_from, threads, share)
    # A library may raise anything on a broken scene; the batch goes on without it.
    except Exception as error:
        text = str(error) if isinstance(error, HsinrError | OSError) else repr(error)
        row = Row(source.id, "failed", error=" ".join(text.split()))
    else:
        row = _row(source.id, "done", info)
    seconds = round(time.perf_counter() - start, 3)
    return replace(row, seconds=seconds, worker=worker, peak_memory=peak_memory())


def _make(job: Job, made_from: dict[str, Any], threads: int, share: int) -> dict[str, Any]:
    source = job.source
    scene = scenes.read(source.href)
    source.check(scene)
    settings = replace(job.settings, max_memory=share_of(job.settings.max_memory, share))
    with making(job.out, source.id) as files:
        compressed = compress_scene(scene, files.sidecar, settings, threads=threads, progress=False)
        found = verify(files.sidecar, level="checksum", progress=False)
        if not found.valid:
            raise VerificationError("; ".join(found.errors))
        write_preview(compressed.sidecar, progress=False)
        info = compressed.info | {"path": files.sidecar.name}
        files.metadata.write_text(json.dumps(info, indent=2) + "\n", "utf-8")
        item = stac.scene_item(
            files.sidecar,
            source=source,
            preview=files.preview,
            metadata=files.metadata,
            network=job.network if info["network"] else None,
        )
        item.properties["hsinr:source"] = made_from
        item.properties["hsinr:settings"] = dict(job.request)
        stac.write_item(item, files.item)
        files.move(job.out / source.id)
    return info


def _finished(
    files: SceneFiles, made_from: Mapping[str, Any], request: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The report of a scene that is there, made from this source in this way."""
    try:
        properties = json.loads(files.item.read_text("utf-8"))["properties"]
        same = (properties["hsinr:source"], properties["hsinr:settings"]) == (made_from, request)
        size = stac.data_asset_of(files.item).size
        if not same or files.sidecar.stat().st_size != size or not files.preview.is_file():
            return None
        return report.info(Sidecar.open(files.sidecar))
    except (HsinrError, OSError, ValueError, KeyError, TypeError):
        return None


def _fingerprint(source: stac.Source) -> dict[str, Any]:
    """What tells a source from a changed one without reading all of it."""
    path = Path(source.href)
    if "://" in source.href:
        updated = (source.item or {}).get("properties", {}).get("updated")
        return {"href": source.href} | ({"updated": updated} if updated else {})
    if not path.exists():
        raise SourceError(f"{path}: there is no such file any more; put it back, or leave it out")
    beside = [path.with_name(name.format(name=path.name, stem=path.stem)) for name in _BESIDE]
    found = [file.stat() for file in dict.fromkeys([path, *beside]) if file.exists()]
    return {
        "href": source.href,
        "size": sum(stat.st_size for stat in found),
        "modified": max(stat.st_mtime for stat in found),
    }


def _row(name: str, status: str, info: Mapping[str, Any]) -> Row:
    return Row(
        name,
        status,
        bytes=info["bytes"],
        original_bytes=round(info["bytes"] * info["ratio"]),
        bpppb=info["bpppb"],
        psnr=info["psnr_db"],
        rmse=info["rmse"],
        max_error=info["max_error"],
        mean_sam_deg=info["mean_sam_deg"],
    )
