"""Scene -> sidecar: what is asked for is checked, then the passes over the tiles do it.

Pass 1 surveys the scene (`survey`), then pass 2 encodes every tile, decodes it again and measures
it; it is repeated while the target is missed (`control`). A few tiles are in memory at a time
(`tasks`), whatever the size of the scene.
"""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Unpack
from urllib.parse import urlsplit

import numpy as np
import rasterio
import xarray as xr
from threadpoolctl import threadpool_limits

from xhsinr import scene as scenes
from xhsinr.compression.passes import Compression
from xhsinr.devices import check_device
from xhsinr.errors import Caution, HsinrError, SceneError, TargetError
from xhsinr.folders import at, check_place, folder_of, name_of, put
from xhsinr.handle import Compressed
from xhsinr.network.places import load_network
from xhsinr.network.siren_network import SirenNetwork
from xhsinr.pictures.preview import preview_path, write_preview
from xhsinr.running.kept import keeping_samples
from xhsinr.running.memory import gdal_cache, parse_memory
from xhsinr.running.tasks import Tasks, client_in_scope
from xhsinr.scene import Scene
from xhsinr.scene.formats import WRITTEN
from xhsinr.scene.origin import Origin, file_of
from xhsinr.sidecar.description import read_description, write_description
from xhsinr.sidecar.file import Sidecar
from xhsinr.sidecar.header import MAX_SIDE
from xhsinr.sidecar.limits import current_limits
from xhsinr.sidecar.writer import least_front
from xhsinr.storage import Place, locate
from xhsinr.target import Options, Settings, Target, remembered_target, takes_settings
from xhsinr.tiling import LARGEST_TILE, Tiling, default_tile

__all__ = ["check_settings", "compress", "compress_scene"]


@takes_settings
def compress(
    source: Any,
    path: str | Path | None = None,
    *,
    preview: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    **options: Unpack[Options],
) -> Compressed:
    """Compress a scene into a sidecar.

    Parameters
    ----------
    source : DataArray, Dataset, ndarray (rows, cols, bands), or path
        Whatever `xhsinr.scene.read` takes, lazy or not.
    path : str or Path, optional
        Of the ``.hsinr`` file to write; without it, one beside the file that ``source`` names,
        else one in the working folder, named after the file or the variable that the scene is.
        Or its URL in an object store, ``s3://bucket/scene.hsinr``, where it appears when it is
        complete.
    preview : bool
        Write ``scene.preview.tif`` beside ``scene.hsinr``: a small picture that opens anywhere,
        see `xhsinr.pictures.preview.write_preview`.
    overwrite : bool
        Replace ``path`` if it exists, and the preview with it.
    progress : bool
        Show a bar for what takes more than two seconds.
    **options
        How good the file has to be and how it is made, see `xhsinr.target.Settings`: one of
        ``quality``, ``psnr``, ``sam_deg``, ``bpppb``, ``max_error`` and ``lossless`` at most.
        With none, what the source was compressed to if it was read from a sidecar, else the
        quality ``standard``.

    Returns
    -------
    Compressed

    Raises
    ------
    SceneError, TargetError, NetworkError, MemoryLimitError, OutputExistsError
        Before any sample is read, except for what only the samples tell.
    """
    place = default_path(source) if path is None else locate(path)
    if name_of(place).lower().endswith(WRITTEN):
        raise SceneError(
            f"{place} would be a sidecar by another format's name: call it .hsinr; decompress "
            "writes other formats"
        )
    check_place(place, overwrite=overwrite, source=file_of(source))
    if preview:
        beside = at(folder_of(place), preview_path(Path(name_of(place))).name)
        check_place(beside, overwrite=overwrite, source=file_of(source))
    settings = Settings(**options)
    if not settings.asked:
        settings = replace(settings, **remembered_target(source))
    origin = Origin.of(source)
    scene = scenes.read(source)
    with _made_here(place) as path:
        compressed = compress_scene(scene, path, settings, progress=progress, origin=origin)
        if preview:
            write_preview(compressed.sidecar, overwrite=overwrite, progress=progress)
    if isinstance(place, Path):
        return compressed
    return replace(compressed, sidecar=Sidecar.open(place))


@contextlib.contextmanager
def _made_here(place: Place) -> Iterator[Path]:
    """The path to write a sidecar to; what is for a store is sent there, the sidecar last."""
    if isinstance(place, Path):
        yield place
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name_of(place)
        yield path
        for file in Path(folder).rglob("*"):
            if file.is_file() and file != path:
                put(file, f"{folder_of(place)}/{file.relative_to(folder).as_posix()}")
        put(path, place)


def default_path(source: Any) -> Path:
    """Where a scene is compressed to where nothing is said."""
    if isinstance(source, str | Path):
        place = locate(source)
        if isinstance(place, Path):
            if not place.name:
                raise SceneError(f"{place} has no name to call a sidecar after: give it one")
            return place.with_suffix(".hsinr")
        return Path(PurePosixPath(urlsplit(place).path).name or "scene").with_suffix(".hsinr")
    found = getattr(source, "encoding", {}).get("source")
    if found:
        return Path(Path(str(found)).name).with_suffix(".hsinr")
    name = source.name if isinstance(source, xr.DataArray) else None
    # A name is no path: what looks like one leads nowhere.
    return Path(f"{Path(str(name or '')).name or 'scene'}.hsinr")


def compress_scene(
    scene: Scene,
    path: Path,
    settings: Settings,
    *,
    threads: int | None = None,
    progress: bool = True,
    origin: Origin | None = None,
) -> Compressed:
    """Compress a scene into a sidecar, replacing it if it exists.

    Parameters
    ----------
    threads : int, optional
        Threads of this process that work on tiles, also where a cluster is at hand.
    origin : Origin, optional
        Files that must not have changed when all is encoded.
    """
    target = settings.target(scene.dtype)
    max_memory = parse_memory(settings.max_memory)
    _check_tile(settings.tile)
    tile = settings.tile
    if tile is None:
        # The tiles of a preview take few bytes however large, and fewest where they are large.
        previews = target.kind == "preview"
        tile = LARGEST_TILE if previews else default_tile(scene.rows, scene.cols)
    _check_kept(scene)
    _check_rate(scene, target)
    network = None if settings.network is None else load_network(settings.network, near=path)
    if threads or client_in_scope() is None:
        check_device(settings.device)
    whole = isinstance(network, SirenNetwork) and network.patch is None
    if whole and target.kind == "preview":
        tile = max(scene.rows, scene.cols)
    tiling = Tiling(scene.rows, scene.cols, int(tile))
    every = Tasks(scene, max_memory, threads, progress)
    with (
        keeping_samples(every, tiling.tile, path.parent) as tasks,
        # The tiles are the threads: those of BLAS would only get into their way.
        threadpool_limits(1, user_api="blas"),
        _gdal_cache(max_memory),
    ):
        compression = Compression(tasks, tiling, target, network, settings.device, origin)
        compressed = compression.write(path)
        kept = tasks.scene.data
    for caution in compressed.cautions:
        warnings.warn(caution, Caution, stacklevel=2)
    return replace(compressed, passes=getattr(kept, "passes", None))


def check_settings(settings: Settings) -> None:
    """Refuse what no scene could be compressed with.

    Raises
    ------
    SceneError, TargetError, MemoryLimitError
    """
    settings.target(np.dtype(np.float64))
    parse_memory(settings.max_memory)
    _check_tile(settings.tile)


def _check_tile(tile: int | None) -> None:
    if tile is None:
        return
    whole = isinstance(tile, int | np.integer) and not isinstance(tile, bool)
    if not whole or not 1 <= tile <= MAX_SIDE:
        raise SceneError(f"tile = {tile!r}: it should be a whole number of pixels from 1 up")


def _check_kept(scene: Scene) -> None:
    """Refuse what no reader would give back: its limits are the writer's."""
    limits = current_limits()
    limits.check("bands", scene.bands, f"the scene has {scene.bands:,} bands")
    limits.check(
        "side", max(scene.rows, scene.cols), f"it is {scene.rows:,} x {scene.cols:,} pixels"
    )
    try:
        content = write_description(*scene.describe())
        found = read_description(content, limits.header_bytes, limits.array_bytes)
        Scene.from_description(*found, scene.data)
    except (HsinrError, ValueError, RecursionError, OverflowError) as error:
        raise SceneError(
            f"the scene's metadata cannot be kept ({error}): remove or shorten what is named there"
        ) from error


def _check_rate(scene: Scene, target: Target) -> None:
    """Refuse a rate that the scene's metadata alone exceed."""
    if target.kind != "bpppb":
        return
    allowed = target.value * scene.samples / 8
    least = least_front(write_description(*scene.describe()))
    if least > allowed:
        raise TargetError(
            f"bpppb = {target.value:g} allows {int(allowed)} bytes, the metadata of this scene "
            f"alone take {least}: ask for more"
        )


def _gdal_cache(max_memory: int | None) -> contextlib.AbstractContextManager[Any]:
    """GDAL keeping no more of the files that it reads than the limit has room for."""
    if max_memory is None:
        return contextlib.nullcontext()
    env: contextlib.AbstractContextManager[Any] = rasterio.Env(GDAL_CACHEMAX=gdal_cache(max_memory))
    return env
