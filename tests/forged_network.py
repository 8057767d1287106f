"""Files of base networks with other arrays and settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.numpy

__all__ = ["changed"]


def changed(path: Path, tensors: dict[str, Any] | None = None, **settings: Any) -> Path:
    """The file with some of its tensors and settings changed; None takes one away."""
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    stored = json.loads(header["__metadata__"]["hsinr"]) | settings
    stored = {name: value for name, value in stored.items() if value != "away"}
    arrays = safetensors.numpy.load(content) | (tensors or {})
    arrays = {name: value for name, value in arrays.items() if value is not None}
    path.write_bytes(safetensors.numpy.save(arrays, {"hsinr": json.dumps(stored)}))
    return path
