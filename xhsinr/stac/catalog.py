"""An archive's catalog on disk: items, one collection of scenes, and the root.

    catalog.json  collection.json  index.html  <id>/<id>.json  networks/<name>.json

Items are written one by one; the catalog is written from the items that are there, so it can
be written again at any time. Files appear under their names when they are complete. All links
and hrefs within the archive are relative.
"""

from __future__ import annotations

import json
import os
import stat
import warnings
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pystac
from pystac.utils import str_to_datetime

from xhsinr.errors import SourceError
from xhsinr.folders import (
    at,
    folder_of,
    located,
    name_of,
    names_below,
    read,
    read_each,
    stem_of,
    write,
)
from xhsinr.progress import bar
from xhsinr.stac.assets import ASSETS, multihash
from xhsinr.stac.items import COLLECTION, TIMES
from xhsinr.stac.page import page_html, page_row
from xhsinr.stac.sources import RESERVED
from xhsinr.storage import Place, size_of

__all__ = [
    "FileAsset",
    "file_assets_of",
    "lost_items",
    "scene_items",
    "write_catalog",
    "write_item",
]

_CATALOG, _SCENES, _PAGE = "catalog.json", "collection.json", "index.html"
_WORLD = [-180.0, -90.0, 180.0, 90.0]


class FileAsset(NamedTuple):
    """What an item says of one of its files.

    Attributes
    ----------
    path : Path or str
        Path or URL.
    size : int
        In bytes.
    checksum : str
        Multihash, see `xhsinr.stac.multihash`.
    """

    path: Place
    size: int
    checksum: str

    def errors(self) -> list[str]:
        """Where the file is not the one that its item describes."""
        try:
            # A device or a pipe would be read for ever.
            if isinstance(self.path, Path) and not stat.S_ISREG(self.path.stat().st_mode):
                return [f"{self.path}: is no regular file: it is not the archive's own"]
            found = size_of(self.path)
            if found != self.size:
                return [
                    f"{self.path}: {found} bytes, its STAC item says {self.size}: it is damaged"
                ]
            checksum = multihash(self.path)
        except OSError as error:
            return [str(error)]
        if checksum != self.checksum:
            return [f"{self.path}: its checksum is not that of its STAC item: it is damaged"]
        return []


def file_assets_of(item: Place, content: bytes | None = None) -> list[FileAsset]:
    """What an archive's item says of its files, the compressed scene first.

    Parameters
    ----------
    content : bytes, optional
        Of the item, where it was read.

    Raises
    ------
    SourceError
        If the file is not the item of a compressed scene.
    """
    try:
        assets = json.loads(read(item) if content is None else content)["assets"]
        return [
            FileAsset(_beside(item, asset["href"]), asset["file:size"], asset["file:checksum"])
            for asset in (assets.pop("data"), *assets.values())
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"{item} is not the item of a compressed scene: {error!r}") from error


def _beside(item: Place, href: str) -> Place:
    """A file of an item, which names no others than those beside it."""
    name = href.removeprefix("./")
    if Path(name).name != name or name in ("", ".."):
        raise ValueError(f"{href!r} is not beside it")
    return at(folder_of(item), name)


def lost_items(out: Place) -> list[Place]:
    """Items that the collection of an archive lists and that are not there."""
    try:
        links = json.loads(read(at(out, _SCENES)))["links"]
        listed = [link["href"].removeprefix("./") for link in links if link["rel"] == "item"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"{out} has no collection that can be read: {error!r}") from error
    return [at(out, name) for name in sorted({*listed} - {*names_below(out)})]


def scene_items(out: Place, names: Iterable[str] | None = None) -> list[Place]:
    """The items of the scenes of an archive, by their ids.

    Parameters
    ----------
    names : iterable of str, optional
        Of `xhsinr.folders.names_below`, where they are known.
    """
    found = []
    for name in names_below(out) if names is None else names:
        folder, _, file = name.partition("/")
        if folder != RESERVED and file == f"{folder}.json":
            found.append(at(out, name))
    return found


def write_item(item: pystac.Item, path: str | Path) -> None:
    """Write an item of an archive to ``<out>/<folder>/<id>.json``, with its relative links.

    Parameters
    ----------
    item : pystac.Item
        As `scene_item` and `network_item` give it; assets have absolute paths.
    path : str or Path
        It is replaced where it exists.
    """
    path = Path(path)
    content = item.to_dict(include_self_link=False, transform_hrefs=False)
    folder = path.resolve().parent
    for asset in content["assets"].values():
        asset["href"] = "./" + os.path.relpath(asset["href"], folder)
    above = [("root", _CATALOG), ("parent", _CATALOG)]
    if item.collection_id is not None:
        above = [("root", _CATALOG), ("parent", _SCENES), ("collection", _SCENES)]
    content["links"] = [*(_link(rel, f"../{href}") for rel, href in above), *content["links"]]
    _write(content, path)


def write_catalog(out: str | Path) -> pystac.Catalog:
    """Write the catalog of an archive from the items on its disk.

    Every scene that has an item is in it once. Nothing but ``catalog.json``, ``collection.json``
    and ``index.html``, the archive's page, is written.

    Parameters
    ----------
    out : str or Path
        The archive's folder, or its URL.

    Returns
    -------
    pystac.Catalog
        The root, as it was written.
    """
    out = located(out)
    title = name_of(out.resolve() if isinstance(out, Path) else out)
    names = names_below(out)
    collection, page = _collection(out, title, names)
    networks = [name for name in names if _is_network(name)]
    catalog = pystac.Catalog("archive", f"Archive of compressed scenes: {title}", title)
    content = catalog.to_dict(include_self_link=False)
    content["links"] = [
        _link("root", f"./{_CATALOG}"),
        _link("child", f"./{_SCENES}"),
        *(_link("item", f"./{name}") for name in networks),
    ]
    _write(collection, at(out, _SCENES))
    _write(content, at(out, _CATALOG))
    write(at(out, _PAGE), page.encode())
    return pystac.Catalog.from_dict(content, href=str(at(out, _CATALOG)))


def _is_network(name: str) -> bool:
    folder, _, file = name.partition("/")
    return folder == RESERVED and file.endswith(".json")


def _collection(out: Place, title: str, names: list[str]) -> tuple[dict[str, Any], str]:
    """The collection, and the page, which are of the same items."""
    boxes: list[list[float]] = []
    times: list[datetime] = []
    licences, links, rows = set[str](), [], []
    items = scene_items(out, names)
    found = bar(read_each(items), "catalog", len(items), unit=" items")
    for item, text in zip(items, found, strict=True):
        folder = stem_of(item)
        try:
            if isinstance(text, OSError):
                raise text
            content = json.loads(text)
            licence = content["properties"].get("license", "other")
            row = page_row(folder, content)
            box, moments = _box(content), _moments(content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            warnings.warn(f"{item} is left out of the catalog: {error!r}", stacklevel=2)
            continue
        boxes += box
        times += moments
        licences.add(licence if isinstance(licence, str) else "other")
        links.append(_link("item", f"./{folder}/{folder}.json"))
        rows.append(row)
    interval: list[datetime | None] = [min(times), max(times)] if times else [None, None]
    collection = pystac.Collection(
        COLLECTION,
        f"Hyperspectral scenes compressed by xhsinr: {title}",
        pystac.Extent(pystac.SpatialExtent([_union(boxes)]), pystac.TemporalExtent([interval])),
        title,
        license=licences.pop() if len(licences) == 1 else "other",
    )
    content = collection.to_dict(include_self_link=False)
    content["item_assets"] = {
        name: {"title": label, "type": media_type, "roles": [role]}
        for name, (label, media_type, role) in ASSETS.items()
    }
    above = [_link("root", f"./{_CATALOG}"), _link("parent", f"./{_CATALOG}")]
    content["links"] = [*above, *links]
    return content, page_html(title, rows)


def _box(item: dict[str, Any]) -> list[list[float]]:
    """West, south, east, north of a box that may have heights; none of an item without one."""
    bbox = item.get("bbox") or []
    half = len(bbox) // 2
    return [[float(value) for value in (*bbox[:2], *bbox[half : half + 2])]] if bbox else []


def _moments(item: dict[str, Any]) -> list[datetime]:
    """All times that an item says."""
    found = (item["properties"].get(key) for key in TIMES)
    return [str_to_datetime(text) for text in found if text]


def _union(boxes: list[list[float]]) -> list[float]:
    if not boxes:
        return _WORLD
    west, south, east, north = zip(*boxes, strict=True)
    if any(w > e for w, e in zip(west, east, strict=True)):
        return [-180.0, min(south), 180.0, max(north)]
    return [min(west), min(south), max(east), max(north)]


def _link(rel: str, href: str) -> dict[str, str]:
    media_type = pystac.MediaType.GEOJSON if rel == "item" else pystac.MediaType.JSON
    return {"rel": rel, "href": href, "type": media_type}


def _write(content: dict[str, Any], place: Place) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write(place, f"{text}\n".encode())
