"""A prior for one archive: tuned to its own scenes, and what it is worth to them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from xhsinr import scene as scenes
from xhsinr import stac
from xhsinr.archiving.check import archive_items, restore
from xhsinr.archiving.folder import keep_network, making, one_run
from xhsinr.compression.control import may_use
from xhsinr.compression.pipeline import compress_scene
from xhsinr.network.prior import package_prior
from xhsinr.outputs import replacing
from xhsinr.progress import bar
from xhsinr.target import Settings
from xhsinr.training import PriorSettings, load_samples, train_prior

__all__ = ["TUNING", "Retrained", "SceneGain", "retrain"]

TUNING = PriorSettings(steps=(1000, 2000))
"""How a prior is tuned that knows most already."""


@dataclass(frozen=True)
class SceneGain:
    """A scene as good as the archive has it, coded with the package's prior and with the tuned one.

    Attributes
    ----------
    bytes_before, bytes : int
        Of the file.
    psnr_before, psnr : float or None
        In dB.
    """

    bytes_before: int
    bytes: int
    psnr_before: float | None
    psnr: float | None


@dataclass(frozen=True)
class Retrained:
    """A prior tuned to an archive, and its in-sample gain there.

    Attributes
    ----------
    network : Path
        Of the prior, in the archive's ``networks/``.
    network_bytes : int
    scenes : dict of str to SceneGain
        The lossy ones; all of the archive's are in the training.
    """

    network: Path
    network_bytes: int
    scenes: dict[str, SceneGain]

    @property
    def bytes_before(self) -> int:
        """Of all lossy scenes with the package's prior."""
        return sum(scene.bytes_before for scene in self.scenes.values())

    @property
    def bytes(self) -> int:
        """Of all lossy scenes with the tuned prior, whose own bytes come on top."""
        return sum(scene.bytes for scene in self.scenes.values())

    @property
    def gain(self) -> float:
        """Share of the bytes that it saves, its own counted once; negative where it costs more."""
        with_network = self.bytes + self.network_bytes
        return 1 - with_network / self.bytes_before if self.scenes else 0.0

    def figures(self) -> dict[str, object]:
        """For a JSON file."""
        return {
            "protocol": "in-sample",
            "network_bytes": self.network_bytes,
            "bytes_before": self.bytes_before,
            "bytes": self.bytes,
            "gain": self.gain,
            "scenes": {name: asdict(scene) for name, scene in self.scenes.items()},
        }


def retrain(
    out: str | Path, settings: PriorSettings = TUNING, *, progress: bool = True
) -> Retrained:
    """Tune the package's prior to the scenes of an archive, and measure it on them.

    The sources are used where they still are, else what the archive decodes to. The prior comes
    into ``networks/``; what the lossy scenes take with it and with the package's, both coded anew
    as the archive was asked for, into ``in-sample.json``. The archive's sidecars stay as they
    are: if the prior pays, run `xhsinr.archive` with it.

    Parameters
    ----------
    out : str or Path
        Folder of the archive. A scene has to fit in memory.
    settings : PriorSettings
    progress : bool
        Show bars.

    Raises
    ------
    SourceError
        If there is no archive.
    SceneError
        If a scene is too small to train on.
    """
    out = Path(out).absolute()
    items = [Path(item) for item in archive_items(out)]
    with one_run(out):
        loaded = [load_samples(path) for path in _originals(out, items, progress)]
        made = out / "networks" / "retrained.safetensors"
        prior = train_prior(loaded, [], made, settings, start=package_prior(), progress=progress)
        held = keep_network(prior, out)
        made.unlink()
        gains = {}
        for path, item in zip(_originals(out, items, progress), items, strict=True):
            found = _gain(path, item, out, held)
            if found is not None:
                gains[item.stem] = found
        retrained = Retrained(held, prior.file_bytes, gains)
        stac.write_catalog(out)
        with replacing(out / "in-sample.json") as part:
            part.write_text(json.dumps(retrained.figures(), indent=2) + "\n", "utf-8")
    return retrained


def _gain(path: Path, item: Path, out: Path, network: Path) -> SceneGain | None:
    """What a scene takes with both priors; None for one that needs none."""
    told = json.loads(item.read_text("utf-8"))["properties"]["hsinr:settings"]
    settings = Settings(**told["target"], tile=told.get("tile"))
    tuned = Settings(**told["target"], tile=told.get("tile"), network=network)
    if not may_use(package_prior(), settings.target(np.dtype(np.float64))):
        return None
    infos = []
    for asked in (settings, tuned):
        with making(out, item.stem) as files:
            made = compress_scene(scenes.read(path), files.sidecar, asked, progress=False)
            infos.append(made.info)
    before, after = infos
    return SceneGain(before["bytes"], after["bytes"], before["psnr_db"], after["psnr_db"])


def _originals(out: Path, items: list[Path], progress: bool) -> Iterator[Path]:
    """Each scene as a file, one at a time: its source, or what it decodes to."""
    for item in bar(items, "scenes", unit="scene", progress=progress):
        source = json.loads(item.read_text("utf-8"))["properties"]["hsinr:source"]["href"]
        if Path(source).is_file():
            yield Path(source)
            continue
        with making(out, item.stem) as files:
            yield restore(item, files.item.with_suffix(".tif"))
