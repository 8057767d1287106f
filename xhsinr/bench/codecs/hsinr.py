"""This package as one more codec: its files, metadata and report included."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from xhsinr.bench.codecs import Cube, Kind, Target
from xhsinr.bench.codecs.common import check
from xhsinr.compression.pipeline import compress
from xhsinr.errors import TargetError
from xhsinr.handle import open_sidecar
from xhsinr.network.places import load_network, provide_network
from xhsinr.reading.store import forget_tiles

__all__ = ["MetaLearning", "Xhsinr"]


@dataclass(frozen=True)
class Xhsinr:
    """The package as it comes.

    Its one operating point (kind ``native``) is the default quality, 45 dB.

    Attributes
    ----------
    network : str
        Base network, by name or path.
    """

    network: str = "paper"
    name: ClassVar[str] = "xhsinr"
    kinds: ClassVar[frozenset[Kind]] = frozenset(
        {"bpppb", "psnr", "max_error", "lossless", "native"}
    )
    settings: ClassVar[str] = "the whole file, its metadata and report counted"

    def encode(self, cube: Cube, target: Target) -> bytes:
        check(self, target)
        asked: dict[str, Any] = {}
        if target.kind != "native":
            asked[target.kind] = True if target.kind == "lossless" else target.value
        return _file(cube, self.network, **asked)

    def decode(self, payload: bytes) -> Cube:
        return _samples(payload, self.network)


@dataclass(frozen=True)
class MetaLearning:
    """The paper's codec: latents alone, for a network that was trained on the scenes.

    Attributes
    ----------
    network : str
        A base network trained with ``examples/paper.json``; its bytes are not in the payload,
        as its users have it.
    """

    network: str = ""
    kinds: ClassVar[frozenset[Kind]] = frozenset({"native"})

    @property
    def name(self) -> str:
        """As in the tables, with the network: one scene may have rows of several."""
        return f"Meta_learning, {Path(self.network).stem}" if self.network else "Meta_learning"

    @property
    def settings(self) -> str:
        """How it is arranged, in one line for the tables."""
        network = Path(self.network).stem or "none"
        return f"latents alone, network {network}, whose bytes are not counted"

    def encode(self, cube: Cube, target: Target) -> bytes:
        check(self, target)
        if not self.network:
            raise TargetError(
                "no network was trained on this scene: train one with xhsinr train "
                "--recipe examples/paper.json and name it with --network"
            )
        return _file(cube, self.network, quality="preview")

    def decode(self, payload: bytes) -> Cube:
        return _samples(payload, self.network)


def _file(cube: Cube, network: str, **asked: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.hsinr"
        compress(cube, path, network=network, progress=False, device="cpu", **asked)
        return path.read_bytes()


def _samples(payload: bytes, network: str) -> Cube:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.hsinr"
        path.write_bytes(payload)
        provide_network(load_network(network), path)
        forget_tiles()  # a file that was decoded before takes memory that counts for this one
        samples: Cube = open_sidecar(path).open().values
        return samples
