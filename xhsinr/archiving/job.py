"""One scene of a batch: from its source to its finished folder in the archive.

The scene's folder is the checkpoint. It is put in place as a whole, once the sidecar has been read
back against its checksums, and its STAC item says what it was made from and how: where that still
holds, and the files are those of the item, there is nothing to do.
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
from xhsinr.archiving.files import item_of
from xhsinr.archiving.fingerprint import fingerprint
from xhsinr.archiving.folder import making, publish
from xhsinr.archiving.memory import recall
from xhsinr.archiving.table import Row
from xhsinr.compression.pipeline import compress_scene
from xhsinr.errors import HsinrError, SourceError, VerificationError
from xhsinr.folders import at, folder_of, read
from xhsinr.pictures.preview import write_preview, write_thumbnail
from xhsinr.pictures.samples import drawn, sampled
from xhsinr.reading.verification import verify
from xhsinr.running.memory import peak_memory, share_of
from xhsinr.storage import Place, size_of
from xhsinr.target import Settings

__all__ = ["Job", "do", "finished"]


@dataclass(frozen=True)
class Job:
    """A scene to archive.

    Attributes
    ----------
    source : Source
    out : Path or str
        Folder of the archive, or its URL.
    archive : str
        The archive's own id, by which a worker knows that it sees the same folder.
    settings : Settings
    request : mapping
        What of the settings decides the result, in JSON's types.
    network : Path or None
        The base network in the archive, if it may be used.
    """

    source: stac.Source
    out: Place
    archive: str
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
    try:
        if source.error:
            raise SourceError(source.error)
        _check_shared(job)
        made_from = fingerprint(source)
        found = finished(job, made_from)
        if found is not None:
            return found
        row = _make(job, made_from, threads, share, start)
    # A library may raise anything on a broken scene; the batch goes on without it.
    except Exception as error:
        text = str(error) if isinstance(error, HsinrError | OSError) else repr(error)
        shown = " ".join(text.replace(source.href, source.identity).split())
        row = Row(source.id, "failed", error=shown)
    return replace(row, **_work(start))


def _work(start: float) -> dict[str, Any]:
    """Who did it, in what time and with what memory."""
    return {
        "seconds": round(time.perf_counter() - start, 3),
        "worker": f"{platform.node()}:{os.getpid()}",
        "peak_memory": peak_memory(),
    }


def _check_shared(job: Job) -> None:
    """Whether the archive of the run is at its place here as well."""
    memory = recall(job.out)
    if memory is None or memory.id != job.archive:
        raise SourceError(
            f"{platform.node()} does not see the archive in {job.out}: workers write to it, so "
            "give a folder that all machines share, or a store"
        )


def _make(job: Job, made_from: dict[str, Any], threads: int, share: int, start: float) -> Row:
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
        write_thumbnail(files.preview, files.thumbnail)
        samples = sampled(scene, compressed.sidecar)
        if samples is not None:
            files.spectra.write_text(drawn(samples, scene), "utf-8")
        if fingerprint(source) != made_from:
            raise SourceError(f"{source.identity} was changed while it was read: try again")
        work = _work(start)
        info = compressed.info | {"path": files.sidecar.name, "archiving": work}
        files.metadata.write_text(json.dumps(info, indent=2) + "\n", "utf-8")
        item = stac.scene_item(
            files.sidecar,
            source=source,
            preview=files.preview,
            metadata=files.metadata,
            thumbnail=files.thumbnail,
            spectra=None if samples is None else files.spectra,
            network=job.network if info["network"] else None,
        )
        caution = compressed.caution
        if caution:
            item.properties["hsinr:caution"] = caution
        item.properties["hsinr:source"] = made_from
        item.properties["hsinr:settings"] = dict(job.request)
        stac.write_item(item, files.item)
        publish(files, job.out)
    return _row(source.id, "done", info, caution)


def finished(job: Job, made_from: Mapping[str, Any] | None) -> Row | None:
    """The row of a scene that is there whole, made from this source in this way.

    Parameters
    ----------
    job : Job
    made_from : mapping, optional
        The source's fingerprint; without it, sizes alone are looked at, of whatever source. So
        they are in a store, which keeps what it was sent.
    """
    name = job.source.id
    item = item_of(job.out, name)
    try:
        content = read(item)
        properties = json.loads(content)["properties"]
        assets = stac.file_assets_of(item, content)
        if properties["hsinr:settings"] != job.request or len(assets) < 4:
            return None
        if made_from is not None and properties["hsinr:source"] != made_from:
            return None
        if made_from is None or isinstance(job.out, str):
            if any(size_of(asset.path) != asset.size for asset in assets):
                return None
        elif any(asset.errors() for asset in assets):
            return None
        info = json.loads(read(at(folder_of(item), f"{name}.metadata.json")))
        row = _row(name, "skipped", info, properties.get("hsinr:caution", ""))
        return replace(row, **info["archiving"])
    except (HsinrError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _row(name: str, status: str, info: Mapping[str, Any], caution: str) -> Row:
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
        caution=caution,
    )
