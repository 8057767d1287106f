"""The STAC item of a base network, with the machine learning model extension (MLM)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pystac
from pystac.utils import datetime_to_str

from xhsinr.network.file import Network
from xhsinr.network.places import load_network
from xhsinr.network.prior import FIXED, INPUTS, STICKS
from xhsinr.network.siren_network import SirenNetwork
from xhsinr.stac.assets import multihash

__all__ = ["network_item"]

_EXTENSIONS = [
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/mlm/v1.4.0/schema.json",
]
# As the extension recommends for a model that is bound to no place and no time.
_ALWAYS = datetime(1900, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def network_item(network: str | Path) -> pystac.Item:
    """The item of one base network; its id is the file's stem.

    Scenes name it by the digest of its file: their ``hsinr:network_checksum`` is the
    ``file:checksum`` of its asset ``model``.

    Parameters
    ----------
    network : str or Path
        A ``.safetensors`` file.

    Raises
    ------
    NetworkNotFoundError, NetworkError
    """
    path = Path(network)
    loaded = load_network(path)
    start, end = _ALWAYS
    properties: dict[str, Any] = {
        "title": f"Base network {path.stem}",
        "start_datetime": datetime_to_str(start),
        "end_datetime": datetime_to_str(end),
        "mlm:name": _model_name(path.stem),
        "mlm:tasks": ["regression"],
        "mlm:framework": "PyTorch",
        **(_of_siren(loaded) if isinstance(loaded, SirenNetwork) else _of_prior(loaded)),
    }
    item = pystac.Item(path.stem, None, None, None, properties, start, end, _EXTENSIONS)
    item.add_asset("model", _model(path))
    return item


def _of_siren(network: SirenNetwork) -> dict[str, Any]:
    siren = network.siren
    return {
        "description": "A SIREN that maps pixel coordinates and a latent vector to spectra.",
        "mlm:architecture": "SIREN",
        "mlm:total_parameters": sum(value.size for value in network.parameters.values()),
        "mlm:input": [
            _ends("coordinates", "input", ["pixel", "coordinate"], 2),
            _ends("latents", "input", ["patch", "latent"], siren.latents),
        ],
        "mlm:output": [_output("spectrum", ["pixel", "output"], siren.outputs)],
        "mlm:hyperparameters": {
            "layers": siren.layers,
            "width": siren.width,
            "w0_first": siren.w0_first,
            "w0": siren.w0,
            "patch": network.patch,
            "inner_steps": network.inner_steps,
        },
    }


def _of_prior(network: Network) -> dict[str, Any]:
    return {
        "description": "The odds of a wavelet coefficient's size, from what is decoded around it.",
        "mlm:architecture": "MLP",
        "mlm:total_parameters": sum(value.size for value in network.tensors().values()),
        "mlm:input": [_ends("around", "input", ["coefficient", "magnitude"], INPUTS + FIXED)],
        "mlm:output": [_output("odds", ["coefficient", "class"], STICKS)],
    }


def _model_name(stem: str) -> str:
    """A name as the extension allows it: from a letter to a letter or digit."""
    return "hsinr-" + (re.sub(r"[^A-Za-z0-9_.]+", "-", stem).strip("-_.") or "network")


def _ends(name: str, side: str, dims: list[str], size: int) -> dict[str, Any]:
    """One input or output; -1 is any number, as the extension has it."""
    structure = {"shape": [-1, size], "dim_order": dims, "data_type": "float32"}
    return {"name": name, "bands": [], side: structure}


def _output(name: str, dims: list[str], size: int) -> dict[str, Any]:
    return {**_ends(name, "result", dims, size), "tasks": ["regression"]}


def _model(path: Path) -> pystac.Asset:
    return pystac.Asset(
        str(path.resolve()),
        "Parameters and entropy coding tables",
        media_type="application/vnd.safetensors",
        roles=["mlm:model"],
        extra_fields={
            "mlm:artifact_type": "safetensors",
            "file:size": path.stat().st_size,
            "file:checksum": multihash(path),
        },
    )
