"""The files of networks, section 13 of the page."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from second_reader.frame import Bytes

__all__ = ["PACKAGE_PRIORS", "named", "network"]

_FOLDER = Path(__file__).parents[2] / "xhsinr" / "networks"
PACKAGE_PRIORS = {1: _FOLDER / "prior-1.safetensors"}


def named(name: Bytes, networks: Path | None) -> Path:
    """The file that a codec names, in a folder."""
    digest, size = name.take(32), name.varint()
    assert networks is not None
    path = networks / f"{name.take(name.left).decode()}.safetensors"
    assert path.stat().st_size == size
    assert hashlib.sha256(path.read_bytes()).digest() == digest
    return path


def network(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a network's file says of itself, and its arrays."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    about = json.loads(header.pop("__metadata__")["hsinr"])
    assert about["format"] == "hsinr-network"
    assert about["version"] == 3
    kinds = {"I16": "<i2", "I32": "<i4", "U16": "<u2", "U8": "u1", "F16": "<f2", "F32": "<f4"}
    arrays = {}
    for name, entry in header.items():
        a, b = entry["data_offsets"]
        flat = np.frombuffer(content[start + a : start + b], kinds[entry["dtype"]])
        arrays[name] = flat.reshape(entry["shape"])
    return about, arrays
