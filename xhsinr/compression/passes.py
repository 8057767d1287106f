"""The passes over a scene's tiles: survey, forecast and trials, then encoding until it is right."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

import xhsinr
from xhsinr.coding import mask
from xhsinr.coding.bounded import BoundedCoding
from xhsinr.coding.contract import NetworkCoding
from xhsinr.coding.planes import PlanesCoding
from xhsinr.coding.tile import TileCodec
from xhsinr.compression.control import Search
from xhsinr.compression.defects import FAR_OFF, impulses
from xhsinr.compression.pursuit import Attempt
from xhsinr.compression.survey import survey
from xhsinr.handle import Compressed
from xhsinr.metrics import Quality
from xhsinr.network.file import Network
from xhsinr.network.places import provide_network
from xhsinr.running.memory import peak_memory, survey_bytes
from xhsinr.running.tasks import Tasks
from xhsinr.scene import Scene
from xhsinr.scene.origin import Origin
from xhsinr.sidecar.description import write_description
from xhsinr.sidecar.header import Header
from xhsinr.sidecar.writer import Contents, SidecarWriter
from xhsinr.target import Target
from xhsinr.tiling import Tiling, Window

__all__ = ["CodedTile", "Compression", "detail_tile", "encode_tile", "forecast_tile", "tile_bytes"]

T = TypeVar("T")

_FORECAST_TILES = 16
# Parts of a scene whose details the basis is turned by, and their side, at most.
_DETAIL_TILES, _DETAIL_TILE = 4, 64
# Side of the part of a scene that trials are made on, at most.
_TRIAL_TILE = 48


@dataclass(frozen=True)
class CodedTile:
    """One encoded tile and how good it is once decoded."""

    payload: dict[str, bytes]
    quality: Quality


def encode_tile(tile: Scene, _: Window, codec: TileCodec, device: str) -> CodedTile:
    """Encode a tile, decode it as a reader will, and measure the difference."""
    payload, valid = _encoded(tile, codec, device)
    decoded = codec.decode(payload, *tile.data.shape[1:])
    return CodedTile(payload, Quality.of(tile.data, decoded, None if valid.all() else valid))


def tile_bytes(tile: Scene, _: Window, codec: TileCodec, device: str) -> int:
    """Bytes that a codec makes of a tile."""
    return sum(map(len, _encoded(tile, codec, device)[0].values()))


def _encoded(
    tile: Scene, codec: TileCodec, device: str
) -> tuple[dict[str, bytes], npt.NDArray[np.bool_]]:
    """The parts of a tile, and which of its samples count."""
    samples = tile.data
    states = codec.voids.states(samples, tile.invalid(samples))
    # Borders are kept bit for bit, and would flatter the figures.
    valid = states == mask.VALID
    exceptions = impulses(samples, valid, _worth_sending(codec))
    return codec.encode(samples, states, device, exceptions), valid


def _network_of(codec: TileCodec) -> Network | None:
    """The network that a codec needs, if it is not the package's own."""
    return codec.coding.network if isinstance(codec.coding, NetworkCoding) else None


def _worth_sending(codec: TileCodec) -> float:
    """How far off a sample has to be that is sent by itself."""
    return FAR_OFF * (codec.high - codec.low) if isinstance(codec.coding, PlanesCoding) else 0.0


def forecast_tile(
    tile: Scene, _: Window, codec: TileCodec, steps: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Squared error of a tile's scores at each step, summed over its pixels.

    A tile without a valid sample counts as free of error.
    """
    live = _filled(tile, codec)
    if live is None:
        return np.zeros(len(steps))
    assert isinstance(codec.coding, PlanesCoding)
    errors = codec.coding.expected_errors(live, steps)
    return np.asarray(errors * tile.data[0].size)


def detail_tile(tile: Scene, _: Window, codec: TileCodec) -> npt.NDArray[np.float64] | None:
    """Blocks of wavelet coefficients of a tile's scores, None where no sample is valid."""
    coding = codec.coding
    assert isinstance(coding, BoundedCoding | PlanesCoding)
    live = _filled(tile, codec)
    return None if live is None else coding.blocks_of_details(live)


def _filled(tile: Scene, codec: TileCodec) -> npt.NDArray[Any] | None:
    """What planes code of a tile; None where no sample is valid."""
    valid = codec.voids.states(tile.data, tile.invalid(tile.data)) == mask.VALID
    return codec.filled(tile.data, valid)[0] if valid.any() else None


@dataclass(frozen=True)
class Compression:
    """How one scene is compressed.

    Attributes
    ----------
    tasks : Tasks
        Does the work on the tiles of the scene.
    tiling : Tiling
    target : Target
    network : Network or None
        Of the user's own.
    device : str
        Where tiles are encoded.
    origin : Origin, optional
        Files that the scene is read from.
    """

    tasks: Tasks
    tiling: Tiling
    target: Target
    network: Network | None
    device: str
    origin: Origin | None = None

    def write(self, path: Path) -> Compressed:
        """Find the codec that meets the target, and write the sidecar."""
        scene, tiling = self.tasks.scene, self.tiling
        every = range(len(tiling))
        description = write_description(*scene.describe())
        need = survey_bytes(math.prod(tiling.shape(0)) * scene.bands, scene.dtype)
        found = survey(scene, lambda f: self.tasks.run(f, tiling, every, "survey", need))
        search = Search(scene, found, self.target, self.network, self._forecast, self._details)
        while search.on_trial:
            search.learn_trial(self._trial(search.next))
        while True:
            codec = search.next
            with SidecarWriter(path, len(tiling), codec.parts) as writer:
                qualities = []
                parts = self._run(encode_tile, codec, tiling, every, "encode")
                for number, part in enumerate(parts):
                    writer.add(number, part.payload, part.quality)
                    qualities.append(part.quality)
                total = Quality.merge(qualities)
                contents = Contents(
                    self._header(total, search.noise_by_band), description, codec.to_bytes()
                )
                attempt = Attempt(codec, writer.size(contents), total)
                if search.learn(attempt):
                    network = _network_of(codec)
                    if network is not None:
                        provide_network(network, path)
                    if self.origin is not None:
                        self.origin.check()
                    outliers = None if self.target.psnr is None else found.outliers
                    cautions = tuple(text for text in (outliers, found.undeclared) if text)
                    return Compressed(writer.finish(contents), peak_memory(), cautions=cautions)

    def _header(self, quality: Quality, noise: tuple[float, ...]) -> Header:
        scene = self.tasks.scene
        return Header(
            dtype=scene.dtype.newbyteorder("="),
            shape=scene.shape,
            tile=self.tiling.tile,
            target=self.target.to_header(),
            rmse=quality.rmse,
            max_error=quality.max_error,
            mean_sam_deg=quality.mean_sam_deg,
            noise_by_band=noise,
            software=xhsinr.__version__,
        )

    def _run(
        self,
        encode: Callable[..., T],
        codec: TileCodec,
        tiling: Tiling,
        tiles: Sequence[int],
        what: str,
    ) -> Iterator[T]:
        """Results of a function that encodes a tile, on many."""
        need = codec.memory(math.prod(tiling.shape(0)))
        function = partial(encode, codec=codec, device=self.device)
        gpu = codec.coding.gains_by_gpu(self.device)
        return self.tasks.run(function, tiling, tiles, what, need, _network_of(codec), gpu=gpu)

    def _trial(self, codec: TileCodec) -> float:
        """Bytes that a codec makes of the middle of the scene, with the share of its own."""
        rows, cols = self.tiling.rows, self.tiling.cols
        tiling = Tiling(rows, cols, min(self.tiling.tile, _TRIAL_TILE))
        down, across = (max(side // tiling.tile, 1) for side in (rows, cols))
        middle = down // 2 * -(-cols // tiling.tile) + across // 2
        (found,) = self._run(tile_bytes, codec, tiling, [middle], "trial")
        share = math.prod(tiling.shape(middle)) / (rows * cols)
        return float(found + share * len(codec.to_bytes()))

    def _forecast(
        self, codec: TileCodec, steps: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """Mean squared error of the scores at each step, from a spread of tiles.

        See `xhsinr.compression.candidates.Forecast`.
        """
        tiling = self.tiling
        tiles = _spread(tiling, _FORECAST_TILES)
        need = codec.memory(math.prod(tiling.shape(0)))
        function = partial(forecast_tile, codec=codec, steps=steps)
        total = sum(self.tasks.run(function, tiling, tiles, "forecast", need), np.zeros(len(steps)))
        mean: npt.NDArray[np.float64] = total / sum(math.prod(tiling.shape(t)) for t in tiles)
        return mean

    def _details(self, codec: TileCodec) -> npt.NDArray[np.float64] | None:
        """Blocks of wavelet coefficients of the scores, from a spread of small tiles.

        See `xhsinr.compression.candidates.Details`.
        """
        tiling = replace(self.tiling, tile=min(self.tiling.tile, _DETAIL_TILE))
        need = codec.memory(math.prod(tiling.shape(0)))
        function = partial(detail_tile, codec=codec)
        tiles = _spread(tiling, _DETAIL_TILES)
        found = self.tasks.run(function, tiling, tiles, "forecast", need)
        blocks = [part for part in found if part is not None]
        return np.concatenate(blocks, axis=1) if blocks else None


def _spread(tiling: Tiling, most: int) -> list[int]:
    """Some tiles of all parts of a scene."""
    return [int(tile) for tile in np.linspace(0, len(tiling) - 1, min(most, len(tiling)))]
