"""What of a source's STAC item is true of the compressed scene as well.

It shows the same place at the same time, taken by the same instrument: that is kept. What the
item says about the source's files is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pystac

__all__ = ["inherited"]

# Prefixes of fields about files, their grids and where they are stored; ours take their place.
_OF_FILES = {"alternate", "auth", "checksum", "file", "hsinr", "order", "proj", "raster", "storage"}
# Fields about the item itself or its files that have no prefix.
_OF_ITEM = (
    {"created", "deprecated", "experimental", "expires", "published", "unpublished", "updated"}
    | {"version"}
    | {"bands", "data_type", "eo:bands", "nodata", "statistics", "unit"}
)
_LINKS_OF_ITEM = (
    {"child", "collection", "item", "items", "next", "parent", "prev", "root", "self"}
    | {"alternate", "canonical", "preview", "thumbnail"}
    | {"latest-version", "predecessor-version", "successor-version"}
)
# Extensions whose prefix is not their name; of the last two, all fields are in `_OF_ITEM`.
_PREFIXES = {
    "projection": "proj",
    "scientific": "sci",
    "datacube": "cube",
    "authentication": "auth",
}
_PREFIXES |= {"alternate-assets": "alternate", "timestamps": "file", "version": "file"}
# What other fields may be called like and are not; those are left out.
_TEXTS = ["title", "description", "license", "platform", "constellation", "mission", "datetime"]
_TEXTS += ["start_datetime", "end_datetime", "processing:lineage"]
_KINDS: dict[str, Any] = dict.fromkeys(_TEXTS, str | None)
_KINDS |= {"providers": list, "instruments": list, "keywords": list, "gsd": int | float}
_KINDS |= {"processing:software": dict}
_NAME = re.compile(r"/([a-z0-9-]+)/v[0-9][^/]*/schema\.json#?$")


def inherited(source: dict[str, Any]) -> pystac.Item:
    """An item without assets that says what stays true of a source's item.

    Parameters
    ----------
    source : dict
        The source's item with absolute links.
    """
    properties = {
        key: value
        for key, value in source["properties"].items()
        if key not in _OF_ITEM
        and key.partition(":")[0] not in _OF_FILES
        and isinstance(value, _KINDS.get(key, object))
    }
    links = [link for link in source["links"] if link["rel"] not in _LINKS_OF_ITEM]
    kept = {
        **source,
        "properties": properties,
        **_place(source),
        "assets": {},
        "links": links,
        "stac_extensions": _extensions(source, properties),
    }
    kept.pop("collection", None)
    return pystac.Item.from_dict(kept, migrate=False)


def _place(source: dict[str, Any]) -> dict[str, Any]:
    """Geometry and box, where they are such."""
    geometry, box = source.get("geometry"), source.get("bbox")
    if not isinstance(geometry, dict) or not {"type"} <= geometry.keys():
        return {"geometry": None, "bbox": None}
    numbers = [value for value in box if type(value) in (int, float)] if box else []
    if len(numbers) not in (4, 6) or numbers != box:
        box = None
    return {"geometry": geometry, "bbox": box}


def _extensions(source: dict[str, Any], properties: dict[str, Any]) -> list[str]:
    """Those whose fields are kept; most of them require that a field of theirs is there."""
    used = _prefixes([source["properties"], *source["assets"].values()])
    kept = _prefixes([properties])
    found = []
    for uri in source.get("stac_extensions", []):
        name = _NAME.search(uri)
        prefix = _PREFIXES.get(name[1], name[1]) if name else ""
        if prefix not in _OF_FILES and (prefix in kept or prefix not in used):
            found.append(uri)
    return found


def _prefixes(objects: Iterable[dict[str, Any]]) -> set[str]:
    return {key.partition(":")[0] for fields in objects for key in fields if ":" in key}
