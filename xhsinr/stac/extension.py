"""The STAC extension ``hsinr``: what a compressed scene says about its compression.

`docs/stac.md` describes its fields, `hsinr-v1.0.0.json` beside this module is their schema.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["MEDIA_TYPE", "QUALITY", "SCHEMA_URI", "properties", "schema"]

# A name and no address: nothing is served there that a validator could fetch, see `schema`.
SCHEMA_URI = "urn:x-hsinr:stac:v1.0.0"
MEDIA_TYPE = "application/vnd.hsinr+safetensors"
"""Media type of a sidecar."""
QUALITY = ("psnr_db", "max_error", "mean_sam_deg", "bpppb")
"""What tables of scenes show of how good they are; in items after ``hsinr:``."""

_SCHEMA = Path(__file__).with_name("hsinr-v1.0.0.json")
_MEASURED = ("psnr_db", "rmse", "max_error", "mean_sam_deg", "bpppb")


def schema() -> dict[str, Any]:
    """The JSON schema of the extension, for a validator's cache under `SCHEMA_URI`."""
    found: dict[str, Any] = json.loads(_SCHEMA.read_text("utf-8"))
    return found


def properties(info: dict[str, Any]) -> dict[str, Any]:
    """The extension's item properties.

    Parameters
    ----------
    info : dict
        Of the sidecar, see `xhsinr.sidecar.report.Report`.
    """
    fields: dict[str, Any] = {
        "format_version": info["format_version"],
        "target": info["target"],
        "lossless": info["max_error"] == 0,
        **{key: info[key] for key in _MEASURED if info[key] is not None},
        "coding": info["coding"],
        "tile": info["tile"],
    }
    network = info["network"]
    if network:
        fields["network"] = network["name"]
        fields["network_checksum"] = "1220" + network["sha256"]
    return {f"hsinr:{name}": value for name, value in fields.items()}
