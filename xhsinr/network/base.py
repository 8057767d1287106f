"""Base networks: the shared file that a sidecar's latents are decoded with.

A base network is a ``.safetensors`` file: parameters in float16, the quantiser's steps and
the entropy coder's integer tables beside them, and its settings and recipe in its metadata.
A sidecar names it and its SHA-256; it is used only if both agree.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from xhsinr.coding.contexts import (
    FEATURES,
    LARGEST_LEVEL,
    LEVELS,
    MOST_LOW_BITS,
    MOST_RINGS,
    ContextModel,
)
from xhsinr.coding.entropy import TABLE_TOTAL
from xhsinr.errors import NetworkDigestError, NetworkError, NetworkNotFoundError
from xhsinr.network.siren import Parameters, Siren
from xhsinr.outputs import replacing

__all__ = [
    "HEADS",
    "BaseNetwork",
    "check_network",
    "find_network",
    "load_network",
    "network_file",
    "parse_network",
    "provide_network",
    "remember",
    "save_network",
]

HEADS = ("scene", "shared")
"""``scene``: outputs are scores in the scene's own KLT basis; ``shared``: bands of one sensor."""

NETWORK_VERSION = 2
"""2 came with ``output`` modulation and contexts; other networks are still written as 1."""
MAX_NETWORK_BYTES = 256 << 20
_LARGEST_PATCH = 4096
_MOST_STEPS = 10_000
# Latents name them in a byte, and classes and a scene's level move them by some hundreds more.
_MOST_TABLES = 1024
_MOST_SYMBOLS = 4096
# Of networks with contexts: runs of latents that are decoded one after another, and values of
# all atoms, or units, at the pixels of a patch. All cosines of 32 x 32 pixels are within both.
_MOST_RUNS = 1 << 14
_MOST_VALUES = 1 << 21
CONTEXT_ARRAYS = {
    "contexts.orders": np.dtype(np.uint8),
    "contexts.priors": np.dtype(np.int16),
    "contexts.weights": np.dtype(np.uint16),
    "contexts.levels": np.dtype(np.int64),
    "contexts.tables": np.dtype(np.uint16),
}
PACKAGE_NETWORKS = Path(__file__).parents[1] / "networks"
_SENT: dict[str, BaseNetwork] = {}


@dataclass(frozen=True, eq=False)
class BaseNetwork:
    """A base network, ready to encode and to decode with.

    Attributes
    ----------
    siren : Siren
        Sizes and modulation.
    head : {"scene", "shared"}
        What the outputs are, see `HEADS`.
    patch : int or None
        Side of a patch in pixels; None where a whole scene is one patch, as in the paper.
    parameters : dict of ndarray
        float32 values of the stored float16, by the names of `Siren.shapes`.
    inner_steps : int
        Gradient steps of the inner loop.
    inner_rates : ndarray of float32, shape (latents,)
    latent_steps : ndarray of float32, shape (latents,)
        Quantiser step of each latent at a scene's step of one.
    latent_tables : ndarray of uint8, shape (latents,)
        Which of `tables` codes each latent of an average patch.
    tables : ndarray of uint16, shape (tables, symbols)
        Integer frequencies, see `xhsinr.coding.entropy`; the last symbol is the escape.
    contexts : ContextModel or None
        How the latents of ``output`` modulation are coded. Such a network is fitted by least
        squares, so it has none of the five before this one.
    recipe : dict
        How it was trained: scenes and their digests, settings, seed, steps, curve.
    name, digest : str
        The file's stem and SHA-256 (hexadecimal); empty until it is a file.
    file_bytes, path
        The file's size and where it was read from.
    """

    siren: Siren
    head: str
    patch: int | None
    parameters: Parameters
    inner_steps: int = 0
    inner_rates: npt.NDArray[np.float32] = field(default_factory=lambda: _none(np.float32))
    latent_steps: npt.NDArray[np.float32] = field(default_factory=lambda: _none(np.float32))
    latent_tables: npt.NDArray[np.uint8] = field(default_factory=lambda: _none(np.uint8))
    tables: npt.NDArray[np.uint16] = field(default_factory=lambda: _none(np.uint16))
    contexts: ContextModel | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    digest: str = ""
    file_bytes: int = 0
    path: Path | None = None

    def __post_init__(self) -> None:
        if self.head not in HEADS:
            raise NetworkError(f"head {self.head!r} is unknown: this version has {HEADS}")
        patch, steps = self.patch, self.inner_steps
        if patch is not None and (type(patch) is not int or not 1 <= patch <= _LARGEST_PATCH):
            raise NetworkError(f"patch = {patch!r}: a network needs 1 to {_LARGEST_PATCH}, or none")
        if type(steps) is not int or not 0 <= steps <= _MOST_STEPS:
            raise NetworkError(f"inner_steps = {steps!r}: a network needs 0 to {_MOST_STEPS}")
        if (self.contexts is None) == (self.siren.modulation == "output"):
            raise NetworkError("output modulation and contexts go together")

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        """A network with a file travels as its digest, and is loaded once in each process."""
        if not self.digest or self.path is None:
            return super().__reduce_ex__(protocol)
        return _of_digest, (self.digest, self.path)


def _none(dtype: type[np.generic]) -> npt.NDArray[Any]:
    return np.zeros(0, dtype)


def save_network(network: BaseNetwork, path: str | Path) -> BaseNetwork:
    """Write a base network; returns it as `load_network` will find it, with its digest.

    Parameters are rounded to float16. The same network gives the same bytes.

    Raises
    ------
    NetworkError
        If it could not be loaded again.
    """
    path = Path(path)
    content = _content(network)
    saved = parse_network(content, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_bytes(content)
    return saved


def check_network(network: BaseNetwork, path: Path) -> None:
    """Refuse a base network that `save_network` would refuse to write to ``path``."""
    parse_network(_content(network), path)


def _content(network: BaseNetwork) -> bytes:
    settings = {
        "format": "hsinr-network",
        "version": 1 if network.contexts is None else NETWORK_VERSION,
        "layers": network.siren.layers,
        "width": network.siren.width,
        "latents": network.siren.latents,
        "outputs": network.siren.outputs,
        "w0_first": network.siren.w0_first,
        "w0": network.siren.w0,
        "modulation": network.siren.modulation,
        "head": network.head,
        "patch": network.patch,
        "inner_steps": network.inner_steps,
        "recipe": network.recipe,
    }
    with np.errstate(over="ignore"):  # checked below, with the name of the parameter
        tensors = {name: value.astype(np.float16) for name, value in network.parameters.items()}
    if network.contexts is None:
        tensors |= {
            "inner_rates": network.inner_rates.astype(np.float32),
            "latent_steps": network.latent_steps.astype(np.float32),
            "latent_tables": network.latent_tables.astype(np.uint8),
            "tables": network.tables.astype(np.uint16),
        }
    else:
        tensors |= {
            name: getattr(network.contexts, name.removeprefix("contexts."))
            for name in CONTEXT_ARRAYS
        }
    metadata = {"hsinr": json.dumps(settings, sort_keys=True, separators=(",", ":"))}
    return safetensors.numpy.save(tensors, metadata)


def load_network(source: str | Path, *, digest: str = "", near: Path | None = None) -> BaseNetwork:
    """Load a base network by name or path.

    Parameters
    ----------
    source : str or Path
        A path, or a name that is looked for as `find_network` says.
    digest : str
        SHA-256 that the file must have; empty for any.
    near : Path, optional
        A sidecar, beside which to look first.

    Raises
    ------
    NetworkNotFoundError, NetworkDigestError, NetworkError
    """
    unreadable: NetworkError | None = None
    found = False
    for path in find_network(source, near, digest):
        found = True
        try:
            network = _cached(path, path.stat().st_mtime_ns)
        except NetworkError as error:
            unreadable = unreadable or error
            continue
        if not digest or network.digest == digest:
            return network
    if unreadable is not None:
        raise unreadable
    looked = "\n  ".join(str(path) for path in _candidates(source, near, digest))
    if not found:
        raise NetworkNotFoundError(
            f"base network {str(source)!r} was not found. Looked for:\n  {looked}\n"
            "Put its .safetensors file there, or set XHSINR_NETWORKS to its folder; default and "
            "paper come with the package."
        )
    raise NetworkDigestError(
        f"base network {str(source)!r} has other contents than are needed "
        f"(SHA-256 {digest[:12]}…). Looked at:\n  {looked}\n"
        "Put the file that the scene was compressed with beside the sidecar."
    )


def remember(content: bytes, path: Path) -> None:
    """Keep a base network that was sent to this process, for those that know its digest."""
    network = parse_network(content, path)
    _SENT[network.digest] = network


def _of_digest(digest: str, path: Path) -> BaseNetwork:
    return _SENT.get(digest) or load_network(path, digest=digest)


def provide_network(network: BaseNetwork, near: Path) -> None:
    """Copy a base network into ``networks/`` beside a sidecar, if it isn't found from there."""
    with contextlib.suppress(NetworkError):
        load_network(network.name, digest=network.digest, near=near)
        return
    assert network.path is not None
    folder = near.resolve().parent / "networks"
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise NetworkError(
            f"{folder} is to hold the base network {network.name!r} but cannot be a folder "
            f"({error}): move what is there, or set XHSINR_NETWORKS to the network's folder"
        ) from error
    # Another network of that name may serve other sidecars: the digest keeps them apart.
    copy = folder / network_file(network.name, network.digest)
    with replacing(copy) as part:
        shutil.copyfile(network.path, part)


def find_network(source: str | Path, near: Path | None = None, digest: str = "") -> Iterator[Path]:
    """Files that ``source`` may mean, best first.

    A path is itself. A name is looked for beside the sidecar ``near``, in ``networks/``
    beside it and above it, in the folder ``XHSINR_NETWORKS``, and in the package; where a
    digest is wanted, in each place also under the name followed by its first 12 digits.
    """
    return (path for path in _candidates(source, near, digest) if path.is_file())


def network_file(name: str, digest: str) -> str:
    """Name of a base network's file where the plain name may be taken."""
    return f"{name}-{digest[:12]}.safetensors"


def _candidates(source: str | Path, near: Path | None, digest: str) -> list[Path]:
    path = Path(source)
    if path.suffix == ".safetensors" or len(path.parts) != 1:
        return [path]
    files = [f"{path.name}.safetensors", *([network_file(path.name, digest)] if digest else [])]
    folders = []
    if near is not None:
        folder = near.resolve().parent
        folders += [folder, folder / "networks", folder.parent / "networks"]
    if os.environ.get("XHSINR_NETWORKS"):
        folders.append(Path(os.environ["XHSINR_NETWORKS"]))
    return [folder / file for folder in [*folders, PACKAGE_NETWORKS] for file in files]


@lru_cache(maxsize=8)
def _cached(path: Path, _mtime: int) -> BaseNetwork:
    return _read(path)


def _read(path: Path) -> BaseNetwork:
    size = path.stat().st_size
    if size > MAX_NETWORK_BYTES:
        raise NetworkError(f"{path}: {size} bytes; a base network has at most {MAX_NETWORK_BYTES}")
    return parse_network(path.read_bytes(), path)


def parse_network(content: bytes, path: Path) -> BaseNetwork:
    """The base network in the contents of a file; ``path`` gives its name.

    Raises
    ------
    NetworkError
    """
    try:
        tensors = safetensors.numpy.load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        settings = json.loads(header["__metadata__"]["hsinr"])
        if settings["format"] != "hsinr-network":
            raise KeyError("format")
        version = settings["version"]
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise NetworkError(f"{path} is not a base network: {error}") from error
    if type(version) is not int or not 1 <= version <= NETWORK_VERSION:
        raise NetworkError(
            f"{path} is a base network of format {version}, this version reads up "
            f"to {NETWORK_VERSION}: install a newer xhsinr"
        )
    try:
        siren = Siren(
            **{
                key: settings[key]
                for key in ("layers", "width", "latents", "outputs", "w0_first", "w0", "modulation")
            }
        )
        shapes = siren.shapes()
        network = BaseNetwork(
            siren=siren,
            head=settings["head"],
            patch=settings["patch"],
            parameters={name: tensors[name].astype(np.float32) for name in shapes},
            inner_steps=settings["inner_steps"],
            **_coding(siren, tensors),
            recipe=settings["recipe"],
            name=path.stem,
            digest=hashlib.sha256(content).hexdigest(),
            file_bytes=len(content),
            path=path,
        )
    except (KeyError, TypeError) as error:
        raise NetworkError(f"{path}: a part of the base network is missing: {error}") from error
    except NetworkError as error:
        raise NetworkError(f"{path}: {error}") from error
    _check(network, shapes, path)
    return network


def _coding(siren: Siren, tensors: dict[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """What the latents of a network are coded with."""
    if siren.modulation == "output":
        arrays = {name.removeprefix("contexts."): tensors[name] for name in CONTEXT_ARRAYS}
        return {"contexts": ContextModel(**arrays)}
    return {
        "inner_rates": tensors["inner_rates"].astype(np.float32, copy=False),
        "latent_steps": tensors["latent_steps"].astype(np.float32, copy=False),
        "latent_tables": tensors["latent_tables"],
        "tables": tensors["tables"],
    }


def _check(network: BaseNetwork, shapes: dict[str, tuple[int, ...]], path: Path) -> None:
    for name, shape in shapes.items():
        _check_numbers(name, network.parameters[name], shape, path)
    if network.contexts is not None:
        _check_contexts(network, network.contexts, path)
        return
    for name in ("inner_rates", "latent_steps", "latent_tables"):
        _check_numbers(name, getattr(network, name), (network.siren.latents,), path)
    _check_tables(network.tables, path)
    numbers = network.latent_tables
    in_range = numbers.dtype == np.uint8 and numbers.max() < len(network.tables)
    if not in_range or (network.latent_steps <= 0).any():
        raise NetworkError(f"{path}: its quantiser's steps or table numbers are out of range")


def _check_numbers(name: str, value: Any, shape: tuple[int, ...], path: Path) -> None:
    if value.shape != shape or not np.isfinite(value).all():
        raise NetworkError(f"{path}: {name} should be finite numbers of shape {shape}")


def _check_tables(tables: npt.NDArray[Any], path: Path) -> None:
    if tables.dtype != np.uint16 or tables.ndim != 2 or tables.shape[1] < 3 or not tables.all():
        raise NetworkError(f"{path}: its frequency tables are not positive 16-bit numbers")
    if len(tables) > _MOST_TABLES:
        raise NetworkError(f"{path}: {len(tables)} frequency tables, {_MOST_TABLES} is the most")
    if tables.shape[1] > _MOST_SYMBOLS:
        raise NetworkError(f"{path}: {tables.shape[1]} symbols, {_MOST_SYMBOLS} is the most")
    if (tables.sum(1, dtype=np.int64) != TABLE_TOTAL).any():
        raise NetworkError(f"{path}: a frequency table does not sum to {TABLE_TOTAL}")


def _check_contexts(network: BaseNetwork, model: ContextModel, path: Path) -> None:
    """Refuse arrays with which latents would not decode."""
    for name, dtype in CONTEXT_ARRAYS.items():
        value = getattr(model, name.removeprefix("contexts."))
        if value.dtype != dtype:
            raise NetworkError(f"{path}: {name} is {value.dtype}, it should be {dtype}")
    _check_tables(model.tables, path)
    patch = network.patch or 0
    if len(model.tables) < LEVELS or patch < LEVELS or network.head != "scene":
        raise NetworkError(
            f"{path}: contexts need {LEVELS} tables, patches of as many pixels a side and the "
            "scene head"
        )
    rings, levels = model.priors.size, model.levels.size
    expected = {
        "contexts.orders": (network.siren.atoms, 2),
        "contexts.priors": (max(rings, 1),),
        "contexts.weights": (rings, FEATURES),
        "contexts.levels": (max(levels, len(model.tables)),),
    }
    for name, shape in expected.items():
        _check_numbers(name, getattr(model, name.removeprefix("contexts.")), shape, path)
    first, last = model.levels[0], model.levels[-1]
    # Compared, since a difference of 64-bit numbers may overflow.
    decreasing = model.levels[1:] <= model.levels[:-1]
    if first < 1 or last > LARGEST_LEVEL or decreasing.any():
        raise NetworkError(f"{path}: its levels should increase from above 0 to {LARGEST_LEVEL}")
    most = len(model.tables) + LEVELS * MOST_LOW_BITS
    if levels > most:
        raise NetworkError(f"{path}: {levels} levels, {most} is the most with its tables")
    highest = int(model.orders.sum(1, dtype=int).max())
    if (model.orders >= patch).any() or highest >= MOST_RINGS:
        raise NetworkError(f"{path}: orders of its atoms are too high for {patch} pixels")
    if len(np.unique(model.orders, axis=0)) < len(model.orders):
        raise NetworkError(f"{path}: two of its atoms have the same orders")
    siren = network.siren
    if siren.outputs * (highest + 1) > _MOST_RUNS:
        raise NetworkError(
            f"{path}: {siren.outputs} outputs with {highest + 1} rings each are too many to decode "
            f"one after another: {_MOST_RUNS} is the most"
        )
    if patch**2 * max(siren.atoms, siren.width) > _MOST_VALUES:
        raise NetworkError(
            f"{path}: the {siren.atoms} atoms of width {siren.width} have more than "
            f"{_MOST_VALUES} values in a patch of {patch} pixels a side"
        )
