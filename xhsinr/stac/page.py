"""An archive's page: its scenes on a map and in a table, for any browser and without a network.

What items say may come from anybody. It goes into the page as data, which the page's script shows
as text, and a content security policy lets no other script run and nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import numpy as np

from xhsinr.stac.extension import QUALITY

__all__ = ["page_html", "page_row"]

_TEMPLATE, _STYLE, _SCRIPT = (
    Path(__file__).with_name(f"page.{end}") for end in ("html", "css", "js")
)


def page_row(folder: str, item: dict[str, Any]) -> dict[str, Any]:
    """What the page shows of a scene, from the item in its folder of the archive.

    Raises
    ------
    KeyError, TypeError, ValueError, AttributeError
        If the item is not one of a compressed scene.
    """
    properties, assets = item["properties"], item["assets"]
    data = assets["data"]
    files = {key: _beside(folder, asset["href"]) for key, asset in assets.items()}
    return {
        "id": folder,
        "title": _text(properties.get("title")),
        "time": _text(properties.get("datetime")),
        "asked": ", ".join(f"{key}={value}" for key, value in properties["hsinr:target"].items()),
        "lossless": properties.get("hsinr:lossless") is True,
        "caution": _text(properties.get("hsinr:caution")),
        "shape": [len(data["bands"]), *map(_number, data["proj:shape"])],
        "bytes": _number(data["file:size"]),
        "ratio": _ratio(data, properties),
        **{name: _number(properties.get(f"hsinr:{name}")) for name in QUALITY},
        "rings": _rings(item.get("geometry")),
        "files": {key: href for key, href in files.items() if href},
        "item": _beside(folder, f"{folder}.json"),
    }


def page_html(title: str, rows: list[dict[str, Any]]) -> str:
    """The page of an archive."""
    style, script = _STYLE.read_text("utf-8"), _SCRIPT.read_text("utf-8")
    policy = (
        f"default-src 'none'; img-src 'self' file:; style-src '{_digest(style)}'; "
        f"script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )
    data = json.dumps(rows, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    parts = {
        "title": html.escape(title),
        "policy": policy,
        "style": style,
        "script": script,
        # Nothing in it can end the element that it stands in, or begin a comment there.
        "data": data.replace("<", "\\u003c"),
    }
    template = _TEMPLATE.read_text("utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _beside(folder: str, href: str) -> str | None:
    """The relative address of a file in a scene's folder; None of any other."""
    name = PurePosixPath(href).name
    return f"./{quote(folder)}/{quote(name)}" if href in (name, f"./{name}") else None


def _ratio(data: dict[str, Any], properties: dict[str, Any]) -> float | None:
    rate = _number(properties.get("hsinr:bpppb"))
    return 8 * np.dtype(data["data_type"]).itemsize / rate if rate else None


def _rings(geometry: Any) -> list[list[list[float]]]:
    """The outlines of a polygon or of several, longitude and latitude."""
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    polygons = geometry["coordinates"] if kind in ("Polygon", "MultiPolygon") else []
    if kind == "Polygon":
        polygons = [polygons]
    rings = [[[round(float(x), 5), round(float(y), 5)] for x, y, *_ in p[0]] for p in polygons]
    if not np.isfinite([value for ring in rings for point in ring for value in point]).all():
        raise ValueError("its geometry is not finite")
    return rings


def _number(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if number and math.isfinite(value) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
