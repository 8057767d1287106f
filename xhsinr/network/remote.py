"""Base networks of sidecars behind a URL: looked for in ``networks/`` beside them."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from xhsinr.errors import NetworkDigestError, NetworkError, NetworkNotFoundError, RemoteError
from xhsinr.network.base import MAX_NETWORK_BYTES, BaseNetwork, network_file, parse_network
from xhsinr.storage import read_range, sibling

__all__ = ["fetch_network"]


@lru_cache(maxsize=8)
def fetch_network(name: str, digest: str, url: str) -> BaseNetwork:
    """Download the base network of a sidecar.

    Parameters
    ----------
    name, digest : str
        As the sidecar's header gives them. A file of another digest is not used.
    url : str
        Of the sidecar.

    Raises
    ------
    NetworkNotFoundError, NetworkDigestError, NetworkError
    """
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
