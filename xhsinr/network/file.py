"""A base network's file: settings, tensors and recipe in safetensors, known by its SHA-256.

What a network is, its kind says (`xhsinr.network.siren_network`, `xhsinr.network.prior`); here is
what all kinds have in common.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Self, SupportsIndex

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from xhsinr.errors import NetworkDigestError, NetworkError
from xhsinr.outputs import replacing

__all__ = [
    "MAX_NETWORK_BYTES",
    "Network",
    "Tensors",
    "network_content",
    "parse_network",
    "read_network",
    "remember",
    "save_network",
]

NETWORK_VERSION = 3
MAX_NETWORK_BYTES = 256 << 20

_KINDS = {
    "siren": ("xhsinr.network.siren_network", "SirenNetwork"),
    "prior": ("xhsinr.network.prior", "Prior"),
}

Tensors = Mapping[str, npt.NDArray[Any]]

_SENT: dict[str, Network] = {}


@dataclass(frozen=True, eq=False, kw_only=True)
class Network:
    """A base network, whatever its kind.

    Attributes
    ----------
    kind : str
        By which a file names its class.
    recipe : dict
        How it was trained: scenes and their digests, settings, seed, steps, curve.
    name, digest : str
        The file's stem and SHA-256 (hexadecimal); empty until it is a file.
    file_bytes, path
        The file's size and where it was read from.
    """

    kind: ClassVar[str]
    recipe: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    digest: str = ""
    file_bytes: int = 0
    path: Path | None = None

    def settings(self) -> dict[str, Any]:
        """What its file keeps besides tensors and recipe, for JSON."""
        raise NotImplementedError

    def tensors(self) -> Tensors:
        """Arrays as its file keeps them."""
        raise NotImplementedError

    @classmethod
    def from_file(cls, settings: Mapping[str, Any], tensors: Tensors, **about: Any) -> Self:
        """The network of which `settings` and `tensors` are, checked; ``about`` is for the fields.

        Raises
        ------
        NetworkError, KeyError, TypeError, ValueError
            If it is not one that can be used.
        """
        raise NotImplementedError

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        """A network with a file travels as its digest, and is loaded once in each process."""
        if not self.digest or self.path is None:
            return super().__reduce_ex__(protocol)
        return _of_digest, (self.digest, self.path)


def save_network(network: Network, path: str | Path) -> Network:
    """Write a base network; returns it as it will be found, with its digest.

    The same network gives the same bytes.

    Raises
    ------
    NetworkError
        If it could not be loaded again.
    """
    path = Path(path)
    content = network_content(network)
    saved = parse_network(content, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_bytes(content)
    return saved


def network_content(network: Network) -> bytes:
    """The bytes that `save_network` writes."""
    about = {
        "format": "hsinr-network",
        "version": NETWORK_VERSION,
        "kind": network.kind,
        "settings": network.settings(),
        "recipe": network.recipe,
    }
    metadata = {"hsinr": json.dumps(about, sort_keys=True, separators=(",", ":"))}
    # It takes arrays as they lie in memory.
    tensors = {name: np.ascontiguousarray(value) for name, value in network.tensors().items()}
    return safetensors.numpy.save(tensors, metadata)


def parse_network(content: bytes, path: Path) -> Network:
    """The base network in the contents of a file; ``path`` gives its name.

    Raises
    ------
    NetworkError
    """
    try:
        tensors = safetensors.numpy.load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        about = json.loads(header["__metadata__"]["hsinr"])
        if about["format"] != "hsinr-network":
            raise KeyError("format")
        version = about["version"]
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise NetworkError(f"{path} is not a base network: {error}") from error
    if version != NETWORK_VERSION:
        raise NetworkError(
            f"{path} is a base network of format {version}, this version reads {NETWORK_VERSION}: "
            "use the xhsinr that it was trained with, or train it again"
        )
    try:
        return _class_of(about["kind"], path).from_file(
            about["settings"],
            tensors,
            recipe=dict(about["recipe"]),
            name=path.stem,
            digest=hashlib.sha256(content).hexdigest(),
            file_bytes=len(content),
            path=path,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NetworkError(f"{path}: a part of the base network is missing: {error}") from error
    except NetworkError as error:
        raise NetworkError(f"{path}: {error}") from error


def _class_of(kind: Any, path: Path) -> type[Network]:
    if not isinstance(kind, str) or kind not in _KINDS:
        raise NetworkError(f"networks of kind {kind!r} are unknown: install a newer xhsinr")
    module, name = _KINDS[kind]
    found: type[Network] = getattr(import_module(module), name)
    return found


def read_network(path: Path) -> Network:
    """The base network in a file; kept until the file changes.

    Raises
    ------
    NetworkError
    """
    return _cached(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _cached(path: Path, _mtime: int) -> Network:
    size = path.stat().st_size
    if size > MAX_NETWORK_BYTES:
        raise NetworkError(f"{path}: {size} bytes; a base network has at most {MAX_NETWORK_BYTES}")
    return parse_network(path.read_bytes(), path)


def remember(content: bytes, path: Path) -> None:
    """Keep a base network that was sent to this process, for those that know its digest."""
    network = parse_network(content, path)
    _SENT[network.digest] = network


def _of_digest(digest: str, path: Path) -> Network:
    network = _SENT.get(digest) or read_network(path)
    if network.digest != digest:
        raise NetworkDigestError(
            f"{path} has other contents than when the task was made (SHA-256 {digest[:12]}…): "
            "start again"
        )
    return network
