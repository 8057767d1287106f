"""Scene -> sidecar: what is asked for is checked, then the passes over the tiles do it.

Pass 1 surveys the scene (`survey`), then pass 2 encodes every tile, decodes it again and measures
it; it is repeated while the target is missed (`control`). A few tiles are in memory at a time
(`tasks`), whatever the size of the scene.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from threadpoolctl import threadpool_limits

from xhsinr import scene as scenes
from xhsinr.compression.control import may_use
from xhsinr.compression.passes import Compression
from xhsinr.devices import check_device
from xhsinr.errors import SceneError, TargetError
from xhsinr.handle import Compressed
from xhsinr.network.places import siren_near
from xhsinr.outputs import check_output
from xhsinr.pictures.preview import preview_path, write_preview
from xhsinr.running.kept import KeptSamples, keeping_samples
from xhsinr.running.memory import gdal_cache, parse_memory
from xhsinr.running.tasks import Tasks, client_in_scope
from xhsinr.scene import Scene
from xhsinr.sidecar.file import MAX_SIDE
from xhsinr.sidecar.writer import front
from xhsinr.target import Target, parse_target, remembered_target
from xhsinr.tiling import LARGEST_TILE, Tiling, default_tile

__all__ = ["Settings", "check_settings", "compress", "compress_scene"]


def compress(
    source: Any,
    path: str | Path,
    *,
    quality: str | None = None,
    psnr: float | None = None,
    max_error: float | None = None,
    bpppb: float | None = None,
    lossless: bool = False,
    network: str | Path | None = None,
    tile: int | None = None,
    device: str = "auto",
    max_memory: float | str | None = None,
    preview: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> Compressed:
    """Compress a scene into a sidecar.

    Parameters
    ----------
    source : DataArray, Dataset, ndarray (rows, cols, bands), or path
        Whatever `xhsinr.scene.read` takes, lazy or not.
    path : str or Path
        Of the ``.hsinr`` file to write.
    quality, psnr, max_error, bpppb, lossless
        What to reach, at most one of them: see `xhsinr.target.parse_target`. With
        none, what the source was compressed to if it was read from a sidecar, else
        ``standard``.
    network : str or Path, optional
        A base network of your own, by name or path: latents of it are tried.
    tile : int, optional
        Side of a tile in pixels; without it `xhsinr.tiling.default_tile` chooses.
    device : str
        Where latents are fitted: ``cpu``, ``cuda``, or ``auto`` for CUDA where there is some and
        fitting takes gradients.
    max_memory : float or str, optional
        Most memory that a process may hold, its libraries included: bytes, or a text such as
        ``"1.5 GB"``. It decides how many tiles are worked on at a time. What the process holds
        besides, a scene in memory for example, comes on top.
    preview : bool
        Write ``scene.preview.tif`` beside ``scene.hsinr``: a small picture that opens anywhere,
        see `xhsinr.pictures.preview.write_preview`.
    overwrite : bool
        Replace ``path`` if it exists, and the preview with it.
    progress : bool
        Show a bar for what takes more than two seconds.

    Returns
    -------
    Compressed

    Raises
    ------
    SceneError, TargetError, NetworkError, MemoryLimitError, OutputExistsError
        Before any sample is read, except for what only the samples tell.
    """
    path = Path(path)
    check_output(path, overwrite=overwrite, source=_file_of(source))
    if preview:
        check_output(preview_path(path), overwrite=overwrite, source=_file_of(source))
    settings = Settings(
        quality, psnr, max_error, bpppb, lossless, network, tile, device, max_memory
    )
    if not settings.asks:
        settings = replace(settings, **remembered_target(source))
    compressed = compress_scene(scenes.read(source), path, settings, progress=progress)
    if preview:
        write_preview(compressed.sidecar, overwrite=overwrite, progress=progress)
    return compressed


@dataclass(frozen=True)
class Settings:
    """What `compress` is told about how scenes are to be compressed; see there."""

    quality: str | None = None
    psnr: float | None = None
    max_error: float | None = None
    bpppb: float | None = None
    lossless: bool = False
    network: str | Path | None = None
    tile: int | None = None
    device: str = "auto"
    max_memory: float | str | None = None

    @property
    def asks(self) -> bool:
        """Whether they say how good the file has to be."""
        figures = (self.quality, self.psnr, self.max_error, self.bpppb)
        return bool(self.lossless) or any(figure is not None for figure in figures)

    def target(self, dtype: np.dtype[Any]) -> Target:
        """The target for samples of some type."""
        return parse_target(
            dtype,
            quality=self.quality,
            psnr=self.psnr,
            max_error=self.max_error,
            bpppb=self.bpppb,
            lossless=self.lossless,
        )


def compress_scene(
    scene: Scene,
    path: Path,
    settings: Settings,
    *,
    threads: int | None = None,
    progress: bool = True,
) -> Compressed:
    """Compress a scene into a sidecar, replacing it if it exists.

    Parameters
    ----------
    threads : int, optional
        Threads of this process that work on tiles, also where a cluster is at hand.
    """
    target = settings.target(scene.dtype)
    max_memory = parse_memory(settings.max_memory)
    _check_tile(settings.tile)
    tile = settings.tile
    if tile is None:
        # The tiles of a preview take few bytes however large, and fewest where they are large.
        previews = target.kind == "preview"
        tile = LARGEST_TILE if previews else default_tile(scene.rows, scene.cols)
    _check_rate(scene, target)
    network = None if settings.network is None else siren_near(settings.network, path)
    if may_use(network, target) and (threads or client_in_scope() is None):
        check_device(settings.device)
    if network is not None and network.patch is None and target.kind == "preview":
        tile = max(scene.rows, scene.cols)
    tiling = Tiling(scene.rows, scene.cols, int(tile))
    every = Tasks(scene, max_memory, threads, progress)
    with (
        keeping_samples(every, tiling.tile, path.parent) as tasks,
        # The tiles are the threads: those of BLAS would only get into their way.
        threadpool_limits(1, user_api="blas"),
        _gdal_cache(max_memory),
    ):
        compressed = Compression(tasks, tiling, target, network, settings.device).write(path)
        kept = tasks.scene.data
        return replace(compressed, passes=kept.passes if isinstance(kept, KeptSamples) else None)


def _file_of(source: Any) -> str | Path | None:
    """The file that a source is read from, possibly later, if it is one."""
    if isinstance(source, str | Path):
        return source
    found = getattr(source, "encoding", {}).get("source")
    return found if isinstance(found, str | Path) else None


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


def _check_rate(scene: Scene, target: Target) -> None:
    """Refuse a rate that the scene's metadata alone exceed."""
    if target.kind != "bpppb":
        return
    description, arrays = scene.describe()
    allowed = target.value * scene.samples / 8
    least = len(front({"scene": description}, arrays, 0))
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
