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
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pystac
from pystac.utils import str_to_datetime
from tqdm import tqdm

from xhsinr.errors import SourceError
from xhsinr.outputs import replacing
from xhsinr.stac.assets import multihash
from xhsinr.stac.extension import MEDIA_TYPE
from xhsinr.stac.items import COLLECTION
from xhsinr.stac.page import page_html, page_row
from xhsinr.stac.sources import RESERVED

__all__ = [
    "FileAsset",
    "data_asset_of",
    "file_assets_of",
    "lost_items",
    "scene_items",
    "write_catalog",
    "write_item",
]

_CATALOG, _SCENES, _PAGE = "catalog.json", "collection.json", "index.html"
_WORLD = [-180.0, -90.0, 180.0, 90.0]
_ASSETS = {
    "data": ("Compressed scene", MEDIA_TYPE, "data"),
    "preview": ("Preview in natural colours", pystac.MediaType.COG, "visual"),
    "metadata": ("Report of the compression", pystac.MediaType.JSON, "metadata"),
    "thumbnail": ("Thumbnail", pystac.MediaType.JPEG, "thumbnail"),
    "spectra": ("Spectra before and after, error of each band", "image/svg+xml", "metadata"),
}


class FileAsset(NamedTuple):
    """What an item says of one of its files.

    Attributes
    ----------
    path : Path
    size : int
        In bytes.
    checksum : str
        Multihash, see `xhsinr.stac.multihash`.
    """

    path: Path
    size: int
    checksum: str

    def errors(self) -> list[str]:
        """Where the file is not the one that its item describes."""
        try:
            found = self.path.stat()
            # A device or a pipe would be read for ever.
            if not stat.S_ISREG(found.st_mode):
                return [f"{self.path}: is no regular file: it is not the archive's own"]
            if found.st_size != self.size:
                return [
                    f"{self.path}: {found.st_size} bytes, its STAC item says {self.size}: it is "
                    "damaged"
                ]
            checksum = multihash(self.path)
        except OSError as error:
            return [str(error)]
        if checksum != self.checksum:
            return [f"{self.path}: its checksum is not that of its STAC item: it is damaged"]
        return []


def file_assets_of(item: str | Path) -> list[FileAsset]:
    """What an archive's item says of its files, the compressed scene first.

    Raises
    ------
    SourceError
        If the file is not the item of a compressed scene.
    """
    path = Path(item)
    try:
        assets = json.loads(path.read_text("utf-8"))["assets"]
        return [
            FileAsset(_beside(path, asset["href"]), asset["file:size"], asset["file:checksum"])
            for asset in (assets.pop("data"), *assets.values())
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"{path} is not the item of a compressed scene: {error!r}") from error


def _beside(item: Path, href: str) -> Path:
    """A file of an item, which names no others than those beside it."""
    path = item.parent / href
    if path.parent != item.parent or path.name in ("", ".."):
        raise ValueError(f"{href!r} is not beside it")
    return path


def data_asset_of(item: str | Path) -> FileAsset:
    """What an archive's item says of its compressed scene; raises as `file_assets_of`."""
    return file_assets_of(item)[0]


def lost_items(out: Path) -> list[Path]:
    """Items that the collection of an archive lists and that are not there."""
    try:
        links = json.loads((out / _SCENES).read_text("utf-8"))["links"]
        listed = [out / link["href"] for link in links if link["rel"] == "item"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{out} has no collection that can be read: {error!r}") from error
    return sorted(item for item in listed if not item.is_file())


def scene_items(out: Path) -> Iterator[Path]:
    """The items of the scenes of an archive, by their ids."""
    for folder in sorted(out.iterdir()):
        item = folder / f"{folder.name}.json"
        if folder.name != RESERVED and item.is_file():
            yield item


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
        The archive's folder.

    Returns
    -------
    pystac.Catalog
        The root, as it was written.
    """
    out = Path(out)
    title = out.resolve().name
    collection, page = _collection(out, title)
    networks = sorted((out / RESERVED).glob("*.json"))
    catalog = pystac.Catalog("archive", f"Archive of compressed scenes: {title}", title)
    content = catalog.to_dict(include_self_link=False)
    content["links"] = [
        _link("root", f"./{_CATALOG}"),
        _link("child", f"./{_SCENES}"),
        *(_link("item", f"./{RESERVED}/{path.name}") for path in networks),
    ]
    _write(collection, out / _SCENES)
    _write(content, out / _CATALOG)
    _write_text(page, out / _PAGE)
    return pystac.Catalog.from_file(str(out / _CATALOG))


def _collection(out: Path, title: str) -> tuple[dict[str, Any], str]:
    """The collection, and the page, which are of the same items."""
    extent, licences, links, rows = _Extent(), set[str](), [], []
    for path in tqdm(scene_items(out), "catalog", unit=" items", delay=2):
        try:
            content = json.loads(path.read_text("utf-8"))
            licence = content["properties"].get("license", "other")
            row = page_row(path.parent.name, content)
            extent.add(content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            warnings.warn(f"{path} is left out of the catalog: {error!r}", stacklevel=2)
            continue
        licences.add(licence if isinstance(licence, str) else "other")
        links.append(_link("item", f"./{path.parent.name}/{path.name}"))
        rows.append(row)
    collection = pystac.Collection(
        COLLECTION,
        f"Hyperspectral scenes compressed by xhsinr: {title}",
        extent.to_pystac(),
        title,
        license=licences.pop() if len(licences) == 1 else "other",
    )
    content = collection.to_dict(include_self_link=False)
    content["item_assets"] = {
        name: {"title": label, "type": media_type, "roles": [role]}
        for name, (label, media_type, role) in _ASSETS.items()
    }
    above = [_link("root", f"./{_CATALOG}"), _link("parent", f"./{_CATALOG}")]
    content["links"] = [*above, *links]
    return content, page_html(title, rows)


class _Extent:
    """Where and when the scenes of an archive are, as far as they say it."""

    def __init__(self) -> None:
        self.boxes: list[list[float]] = []
        self.times: list[datetime] = []

    def add(self, item: dict[str, Any]) -> None:
        """Raises what a malformed item makes Python raise."""
        boxes = [[float(value) for value in _flat(item["bbox"])]] if item.get("bbox") else []
        properties = item["properties"]
        keys = ("datetime", "start_datetime", "end_datetime")
        times = [str_to_datetime(properties[key]) for key in keys if properties.get(key)]
        self.boxes += boxes
        self.times += times

    def to_pystac(self) -> pystac.Extent:
        times = self.times
        interval: list[datetime | None] = [min(times), max(times)] if times else [None, None]
        return pystac.Extent(
            pystac.SpatialExtent([_union(self.boxes)]), pystac.TemporalExtent([interval])
        )


def _flat(bbox: list[float]) -> list[float]:
    """West, south, east, north of a box that may have heights."""
    half = len(bbox) // 2
    return [*bbox[:2], *bbox[half : half + 2]]


def _union(boxes: Iterable[list[float]]) -> list[float]:
    boxes = list(boxes)
    if not boxes:
        return _WORLD
    west, south, east, north = zip(*boxes, strict=True)
    if any(w > e for w, e in zip(west, east, strict=True)):
        return [-180.0, min(south), 180.0, max(north)]
    return [min(west), min(south), max(east), max(north)]


def _link(rel: str, href: str) -> dict[str, str]:
    media_type = pystac.MediaType.GEOJSON if rel == "item" else pystac.MediaType.JSON
    return {"rel": rel, "href": href, "type": media_type}


def _write(content: dict[str, Any], path: Path) -> None:
    """Complete or not at all."""
    _write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", path)


def _write_text(text: str, path: Path) -> None:
    with replacing(path) as part:
        part.write_text(text, "utf-8")
