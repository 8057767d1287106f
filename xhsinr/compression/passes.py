"""The passes over a scene's tiles: survey, forecast and trials, then encoding until it is right."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xhsinr.coding import mask
from xhsinr.coding.contract import NetworkCoding
from xhsinr.coding.planes import PlanesCoding
from xhsinr.coding.tile import TileCodec
from xhsinr.compression.control import Search
from xhsinr.compression.pursuit import Attempt
from xhsinr.compression.survey import sample_states, survey
from xhsinr.handle import Compressed
from xhsinr.metrics import Quality
from xhsinr.network.places import provide_network
from xhsinr.network.siren_network import SirenNetwork
from xhsinr.running.memory import peak_memory, survey_bytes
from xhsinr.running.tasks import Tasks
from xhsinr.scene import Scene
from xhsinr.sidecar import report
from xhsinr.sidecar.writer import SidecarWriter
from xhsinr.target import Target
from xhsinr.tiling import Tiling, Window

__all__ = ["CodedTile", "Compression", "encode_tile", "forecast_tile"]

_FORECAST_TILES = 16
# Side of the part of a scene that trials are made on, at most.
_TRIAL_TILE = 128


@dataclass(frozen=True)
class CodedTile:
    """One encoded tile and how good it is once decoded."""

    payload: dict[str, bytes]
    quality: Quality


def encode_tile(tile: Scene, _: Window, codec: TileCodec, device: str) -> CodedTile:
    """Encode a tile, decode it as a reader will, and measure the difference."""
    samples = tile.data
    states = sample_states(tile, samples)
    payload = codec.encode(samples, states, device)
    decoded = codec.decode(payload, *samples.shape[1:])
    valid = None if (states == mask.VALID).all() else states == mask.VALID
    return CodedTile(payload, Quality.of(samples, decoded, valid))


def forecast_tile(
    tile: Scene, _: Window, codec: TileCodec, levels: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Squared error of a tile's scores at each level, summed over its pixels.

    A tile without a valid sample counts as free of error.
    """
    states = sample_states(tile, tile.data)
    if not (states == mask.VALID).any():
        return np.zeros(len(levels))
    assert isinstance(codec.coding, PlanesCoding)
    filled = codec.filled(tile.data, states)
    errors = codec.coding.expected_errors(filled, levels)
    return np.asarray(errors * tile.data[0].size)


@dataclass(frozen=True)
class Compression:
    """How one scene is compressed.

    Attributes
    ----------
    tasks : Tasks
        Does the work on the tiles of the scene.
    tiling : Tiling
    target : Target
    network : SirenNetwork or None
    device : str
        Where latents are fitted.
    """

    tasks: Tasks
    tiling: Tiling
    target: Target
    network: SirenNetwork | None
    device: str

    def write(self, path: Path) -> Compressed:
        """Find the codec that meets the target, and write the sidecar."""
        scene, tiling = self.tasks.scene, self.tiling
        every = range(len(tiling))
        need = survey_bytes(self._samples(tiling), scene.dtype)
        found = survey(scene, lambda f: self.tasks.run(f, tiling, every, "survey", need))
        search = Search(scene, found, self.target, self.network, self._forecast)
        while search.on_trial:
            search.learn(self._trial(search.next))
        while True:
            codec = search.next
            with SidecarWriter(path, len(tiling), codec.parts) as writer:
                qualities = []
                for number, part in enumerate(self._encode(codec, tiling, every, "encode")):
                    writer.add(number, part.payload)
                    qualities.append(part.quality)
                noise = search.noise if self.target.kind == "noise" else None
                header, arrays = report.describe(
                    scene, tiling, self.target, codec, qualities, noise
                )
                attempt = Attempt(codec, writer.size(header, arrays), Quality.merge(qualities))
                if search.learn(attempt):
                    if isinstance(codec.coding, NetworkCoding):
                        assert self.network is not None
                        provide_network(self.network, path)
                    return Compressed(writer.finish(header, arrays), peak_memory())

    def _encode(
        self, codec: TileCodec, tiling: Tiling, tiles: Sequence[int], what: str
    ) -> Iterator[CodedTile]:
        network = self.network if isinstance(codec.coding, NetworkCoding) else None
        need = codec.memory(math.prod(tiling.shape(0)))
        function = partial(encode_tile, codec=codec, device=self.device)
        return self.tasks.run(function, tiling, tiles, what, need, network)

    def _trial(self, codec: TileCodec) -> Attempt:
        """What a codec makes of the middle of the scene."""
        rows, cols = self.tiling.rows, self.tiling.cols
        tiling = Tiling(rows, cols, min(self.tiling.tile, _TRIAL_TILE))
        middle = len(tiling) // 2
        (coded,) = self._encode(codec, tiling, [middle], "trial")
        share = math.prod(tiling.shape(middle)) / (rows * cols)
        size = sum(map(len, coded.payload.values())) + round(share * len(codec.to_bytes()))
        return Attempt(codec, size, coded.quality)

    def _forecast(
        self, codec: TileCodec, levels: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """Mean squared error of the scores at each level, from a spread of tiles.

        See `xhsinr.compression.candidates.Forecast`.
        """
        tiling = self.tiling
        spread = np.linspace(0, len(tiling) - 1, min(_FORECAST_TILES, len(tiling))).astype(int)
        need = codec.memory(math.prod(tiling.shape(0)))
        function = partial(forecast_tile, codec=codec, levels=levels)
        tiles = spread.tolist()
        total = sum(
            self.tasks.run(function, tiling, tiles, "forecast", need), np.zeros(len(levels))
        )
        mean: npt.NDArray[np.float64] = total / sum(math.prod(tiling.shape(t)) for t in tiles)
        return mean

    def _samples(self, tiling: Tiling) -> int:
        """Samples of the largest tile."""
        return math.prod(tiling.shape(0)) * self.tasks.scene.bands
