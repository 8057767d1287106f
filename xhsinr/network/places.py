"""Where base networks are looked for: near the sidecar, in the user's folder, in the package.

A sidecar names its network and its SHA-256; it is used only if both agree.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from functools import lru_cache
from pathlib import Path

from xhsinr.errors import NetworkDigestError, NetworkError, NetworkNotFoundError, RemoteError
from xhsinr.network.file import MAX_NETWORK_BYTES, Network, parse_network, read_network
from xhsinr.outputs import replacing
from xhsinr.storage import Place, read_range, sibling

__all__ = [
    "PACKAGE_NETWORKS",
    "load_network",
    "network_file",
    "network_of",
    "provide_network",
]

PACKAGE_NETWORKS = Path(__file__).parents[1] / "networks"


def load_network(source: str | Path, *, digest: str = "", near: Path | None = None) -> Network:
    """Load a base network by name or path.

    A path is itself. A name is looked for beside the sidecar ``near``, in ``networks/`` beside it
    and above it, in the folder ``XHSINR_NETWORKS``, and in the package; where a digest is wanted,
    in each place also under the name followed by its first 12 digits.

    Parameters
    ----------
    source : str or Path
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
    places = _candidates(source, near, digest)
    for path in places:
        if not path.is_file():
            continue
        found = True
        try:
            network = read_network(path)
        except NetworkError as error:
            unreadable = unreadable or error
            continue
        if not digest or network.digest == digest:
            return network
    if unreadable is not None:
        raise unreadable
    looked = "\n  ".join(map(str, places))
    if not found:
        own = ", ".join(sorted(path.stem for path in PACKAGE_NETWORKS.glob("*.safetensors")))
        raise NetworkNotFoundError(
            f"base network {str(source)!r} was not found. Looked for:\n  {looked}\n"
            "Put its .safetensors file there, or set XHSINR_NETWORKS to its folder. With the "
            f"package come: {own}."
        )
    raise NetworkDigestError(
        f"base network {str(source)!r} has other contents than are needed "
        f"(SHA-256 {digest[:12]}…). Looked at:\n  {looked}\n"
        "Put the file that the scene was compressed with beside the sidecar."
    )


def network_of(name: str, digest: str, sidecar: Place | None) -> Network:
    """The base network that a sidecar names, wherever the sidecar is.

    For a URL it is looked for on this machine first, then in ``networks/`` beside the URL.

    Raises
    ------
    NetworkNotFoundError, NetworkDigestError, NetworkError
    """
    if not isinstance(sidecar, str):
        return load_network(name, digest=digest, near=sidecar)
    with contextlib.suppress(NetworkError):
        return load_network(name, digest=digest)
    return _fetch(name, digest, sidecar)


def provide_network(network: Network, near: Path) -> None:
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
def _fetch(name: str, digest: str, url: str) -> Network:
    """Download the base network of a sidecar; a file of another digest is not used."""
    files = (network_file(name, digest), f"{name}.safetensors")
    places = [sibling(url, f"networks/{file}") for file in files]
    others = []
    for place in places:
        try:
            content = read_range(place, 0, MAX_NETWORK_BYTES + 1)
        except FileNotFoundError:
            continue
        except RemoteError as error:
            raise NetworkError(str(error)) from error
        if len(content) > MAX_NETWORK_BYTES:
            raise NetworkError(f"{place}: a base network has at most {MAX_NETWORK_BYTES} bytes")
        if hashlib.sha256(content).hexdigest() == digest:
            return parse_network(content, Path(f"{name}.safetensors"))
        others.append(place)
    if others:
        raise NetworkDigestError(
            f"{others[0]} has other contents than are needed (SHA-256 {digest[:12]}…): put the "
            "file that the scene was compressed with there"
        )
    looked = "\n  ".join(places)
    raise NetworkNotFoundError(
        f"base network {name!r} was not found, here or at:\n  {looked}\n"
        "Put its .safetensors file there, or set XHSINR_NETWORKS to its folder."
    )
