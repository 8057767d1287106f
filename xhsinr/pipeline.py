"""Scene -> sidecar: two passes over the tiles, in parallel through dask.

Pass 1 surveys the scene (`xhsinr.survey`), then pass 2 encodes every tile, decodes it again
and measures it; it is repeated while the target is missed (`xhsinr.control`). A few tiles are
in flight at a time, whatever the size of the scene.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from dask.base import compute
from dask.delayed import delayed
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from xhsinr import detail, mask, report
from xhsinr import scene as scenes
from xhsinr.codec import Codec
from xhsinr.control import Attempt, Search
from xhsinr.errors import HsinrError, SceneError, TargetError
from xhsinr.handle import Compressed
from xhsinr.metrics import Quality
from xhsinr.network import BaseNetwork, load_network, provide_network
from xhsinr.scene import Scene
from xhsinr.sidecar import MAX_SIDE
from xhsinr.sidecar_writer import SidecarWriter, check_output, front
from xhsinr.survey import sample_states, survey
from xhsinr.target import Target, parse_target
from xhsinr.tiling import Tiling

__all__ = ["CodedTile", "compress", "encode_tile", "run_tiles"]

DEFAULT_TILE = 256
DEFAULT_NETWORK = "default"
_IN_FLIGHT = 2 * (os.cpu_count() or 1)
# A bar appears only for what takes longer than this many seconds.
_PATIENCE = 2.0
_FORECAST_TILES = 16
# Side of the part of a scene that trials are made on, at most.
_TRIAL_TILE = 128

T = TypeVar("T")


@dataclass(frozen=True)
class CodedTile:
    """One encoded tile and how good it is once decoded."""

    payload: dict[str, bytes]
    quality: Quality


def encode_tile(
    scene: Scene, tiling: Tiling, tile: int, codec: Codec, device: str = "cpu"
) -> CodedTile:
    """Encode a tile, decode it as a reader will, and measure the difference."""
    samples = scene.window(*tiling.window(tile))
    states = sample_states(scene, samples)
    payload = codec.encode(samples, states, device)
    decoded = codec.decode(payload, *samples.shape[1:])
    valid = None if (states == mask.VALID).all() else states == mask.VALID
    return CodedTile(payload, Quality.of(samples, decoded, valid))


def forecast(
    scene: Scene, tiling: Tiling, codec: Codec, levels: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Mean squared error of the scores at each level, see `xhsinr.candidates.Forecast`.

    From a spread of tiles; those without a valid sample count as free of error.
    """
    spread = np.unique(np.linspace(0, len(tiling) - 1, _FORECAST_TILES).astype(int))
    total, pixels = np.zeros(len(levels)), 0
    for tile in spread:
        samples = scene.window(*tiling.window(int(tile)))
        states = sample_states(scene, samples)
        pixels += samples[0].size
        if (states == mask.VALID).any():
            scores = codec.scores(samples, states)
            total += samples[0].size * detail.expected_distortion(scores, levels)
    return total / pixels


def run_tiles(
    function: Callable[[int], T], tiles: Iterable[int], what: str, *, progress: bool
) -> Iterator[T]:
    """Run a function on tiles by dask, a few at a time; results in order, under a bar."""
    tiles = list(tiles)
    task = delayed(function, pure=False)
    with tqdm(
        total=len(tiles), desc=what, unit="tile", delay=_PATIENCE, disable=not progress, leave=False
    ) as bar:
        for start in range(0, len(tiles), _IN_FLIGHT):
            part = tiles[start : start + _IN_FLIGHT]
            for result in compute(*[task(tile) for tile in part]):
                bar.update()
                yield result


def compress(
    source: Any,
    path: str | Path,
    *,
    quality: str | None = None,
    psnr: float | None = None,
    max_error: float | None = None,
    bpppb: float | None = None,
    lossless: bool = False,
    network: str | Path = DEFAULT_NETWORK,
    tile: int = DEFAULT_TILE,
    device: str = "auto",
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
        What to reach, at most one of them: see `xhsinr.target.parse_target`.
    network : str or Path
        Base network, by name or path.
    tile : int
        Side of a tile in pixels.
    device : str
        Where latents are fitted: ``cpu``, ``cuda``, or ``auto`` for CUDA where there is some.
    overwrite : bool
        Replace ``path`` if it exists.
    progress : bool
        Show a bar for what takes more than two seconds.

    Returns
    -------
    Compressed

    Raises
    ------
    SceneError, TargetError, NetworkError, OutputExistsError
        Before any sample is read, except for what only the samples tell.
    """
    path = Path(path)
    check_output(path, overwrite=overwrite, source=_file_of(source))
    scene = scenes.read(source)
    target = parse_target(
        scene.dtype,
        quality=quality,
        psnr=psnr,
        max_error=max_error,
        bpppb=bpppb,
        lossless=lossless,
    )
    _check_tile(tile)
    _check_rate(scene, target)
    base = load_network(network, near=path)
    if target.kind == "preview":
        _check_device(device)
    if base.patch is None and target.kind == "preview":
        tile = max(scene.rows, scene.cols)
    tiling = Tiling(scene.rows, scene.cols, int(tile))
    # The tiles are the threads: those of BLAS would only get into their way.
    with threadpool_limits(1, user_api="blas"):
        return _compress(scene, tiling, target, base, path, device, progress=progress)


def _compress(
    scene: Scene,
    tiling: Tiling,
    target: Target,
    base: BaseNetwork,
    path: Path,
    device: str,
    *,
    progress: bool,
) -> Compressed:
    found = survey(
        scene,
        tiling,
        lambda function, tiles: run_tiles(function, tiles, "survey", progress=progress),
    )
    search = Search(
        scene,
        found,
        target,
        base,
        lambda codec, levels: forecast(scene, tiling, codec, levels),
    )
    trial = Tiling(scene.rows, scene.cols, min(tiling.tile, _TRIAL_TILE))
    while search.on_trial:
        middle = len(trial) // 2
        (coded,) = run_tiles(
            lambda tile: encode_tile(scene, trial, tile, search.next),
            [middle],
            "trial",
            progress=progress,
        )
        share = math.prod(trial.shape(middle)) / (scene.rows * scene.cols)
        basis = len(search.next.basis.to_bytes())
        size = sum(map(len, coded.payload.values())) + round(share * basis)
        search.learn(Attempt(search.next, size, coded.quality))
    while True:
        codec = search.next
        with SidecarWriter(path, len(tiling)) as writer:
            qualities = []
            tiles = run_tiles(
                lambda tile: encode_tile(scene, tiling, tile, codec, device),  # noqa: B023
                range(len(tiling)),
                "encode",
                progress=progress,
            )
            for number, part in enumerate(tiles):
                writer.add(number, part.payload)
                qualities.append(part.quality)
            noise = search.noise if target.kind == "noise" else None
            header, arrays = report.describe(scene, tiling, target, codec, qualities, noise)
            attempt = Attempt(codec, writer.size(header, arrays), Quality.merge(qualities))
            if search.learn(attempt):
                if codec.latents is not None:
                    provide_network(codec.latents.network, path)
                return Compressed(writer.finish(header, arrays))


def _file_of(source: Any) -> str | Path | None:
    """The file that a source is read from, possibly later, if it is one."""
    if isinstance(source, str | Path):
        return source
    found = getattr(source, "encoding", {}).get("source")
    return found if isinstance(found, str | Path) else None


def _check_tile(tile: int) -> None:
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


def _check_device(device: str) -> None:
    import torch

    try:
        torch.zeros(0, device=None if device == "auto" else device)
    except (RuntimeError, AssertionError) as error:
        raise HsinrError(f"device {device!r} cannot be used ({error}): try auto or cpu") from error
