"""A base network for one archive: trained on its own scenes, and what it is worth to them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from xhsinr import scene as scenes
from xhsinr import stac
from xhsinr.archiving.check import archive_items, restore
from xhsinr.archiving.folder import keep_network, making, one_run
from xhsinr.compression.pipeline import compress_scene
from xhsinr.metrics import bpppb
from xhsinr.outputs import replacing
from xhsinr.target import Settings
from xhsinr.training import SirenSettings, load_samples, train_siren

__all__ = ["Retrained", "retrain"]


@dataclass(frozen=True)
class Retrained:
    """A network trained on an archive, and its in-sample rate there.

    Attributes
    ----------
    network : Path
        Of the network, in the archive's ``networks/``.
    scenes : int
        All of them are in the training.
    samples : int
        Of all scenes together.
    bytes : int
        Of all sidecars at the quality ``preview``.
    network_bytes : int
    psnr_db : dict of str to float or None
        Of each scene.
    """

    network: Path
    scenes: int
    samples: int
    bytes: int
    network_bytes: int
    psnr_db: dict[str, float | None]

    def figures(self) -> dict[str, object]:
        """For a JSON file."""
        return {
            "protocol": "in-sample",
            "quality": "preview",
            "scenes": self.scenes,
            "samples": self.samples,
            "bytes": self.bytes,
            "network_bytes": self.network_bytes,
            "bpppb": bpppb(self.bytes, self.samples),
            "bpppb_with_network": bpppb(self.bytes + self.network_bytes, self.samples),
            "psnr_db": self.psnr_db,
        }


def retrain(
    out: str | Path, settings: SirenSettings | None = None, *, progress: bool = True
) -> Retrained:
    """Train a base network on the scenes of an archive, and measure it on them.

    The sources are used where they still are, else what the archive decodes to. The network
    comes into ``networks/``, its in-sample rate, with its own bytes counted once, into
    ``in-sample.json``. The archive's sidecars stay as they are: to use the network, run
    `xhsinr.archive` with it. A training that was stopped goes on where it was.

    Parameters
    ----------
    out : str or Path
        Folder of the archive. A scene has to fit in memory.
    settings : SirenSettings, optional
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
    items = archive_items(out)
    settings = settings or SirenSettings()
    with one_run(out):
        loaded = [load_samples(path) for path in _originals(out, items, progress)]
        made = out / "networks" / "retrained.safetensors"
        network = train_siren(loaded, [], settings, made, resume=True, progress=progress)
        held = keep_network(network, out)
        made.unlink()
        total, samples, psnr = 0, 0, {}
        asked = Settings(quality="preview", network=held)
        for path, item in zip(_originals(out, items, progress), items, strict=True):
            with making(out, item.stem) as files:
                scene = scenes.read(path)
                info = compress_scene(scene, files.sidecar, asked, progress=False).info
            total, samples = total + info["bytes"], samples + scene.samples
            psnr[item.stem] = info["psnr_db"]
        found = Retrained(held, len(items), samples, total, network.file_bytes, psnr)
        stac.write_catalog(out)
        rates = out / "in-sample.json"
        with replacing(rates) as part:
            part.write_text(json.dumps(found.figures(), indent=2) + "\n", "utf-8")
    return found


def _originals(out: Path, items: list[Path], progress: bool) -> Iterator[Path]:
    """Each scene as a file, one at a time: its source, or what it decodes to."""
    for item in tqdm(items, "scenes", unit="scene", delay=2, disable=not progress):
        source = json.loads(item.read_text("utf-8"))["properties"]["hsinr:source"]["href"]
        if Path(source).is_file():
            yield Path(source)
            continue
        with making(out, item.stem) as files:
            yield restore(item, files.folder / f"{item.stem}.tif")
