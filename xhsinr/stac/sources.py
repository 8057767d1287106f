"""What a batch is made of: the scenes of a STAC catalog, a folder or a glob."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pystac

from xhsinr.errors import SourceError
from xhsinr.folders import matching
from xhsinr.scene import Scene
from xhsinr.scene.products import scene_files
from xhsinr.stac.searching import Search
from xhsinr.stac.searching import search as searched
from xhsinr.stac.walking import (
    LOCAL_RULE,
    NETWORK_RULE,
    Found,
    is_catalog,
    is_in_store,
    is_remote,
    leads_to_network,
    walk,
)
from xhsinr.storage import suffix_of

__all__ = ["ARCHIVE_FILES", "RESERVED", "Source", "sources"]

RESERVED = "networks"
"""No scene's id: the folder of an archive's base networks."""

ARCHIVE_FILES = frozenset(
    (
        *("archive.json", "catalog.json", "collection.json", "in-sample.json", "index.html"),
        "report.csv",
    )
)
"""No scenes' ids either: files of an archive."""

_ZARR = ".zarr"
_IMAGES = frozenset((".tif", ".tiff", ".img", ".bsq", ".bil", ".bip", ".dat", ".raw", ".bin"))
_SUFFIXES = _IMAGES | {".vrt", ".jp2", ".mat", ".npy", ".h5", ".he5", ".hdf5", ".nc", ".nc4"}
_PREVIEW = ".preview.tif"
_NOT_DATA = {"thumbnail", "overview", "metadata", "mask", "visual"}
_BANDS = ("bands", "eo:bands", "raster:bands")  # of STAC 1.1, and of the extensions before
# Of addresses that were signed for a while, and of keys.
_SIGNED = re.compile(r"(?i)(^|&)(x-\w+-signature|signature|sig|\w*token|\w*key)=")
_LONGEST_ID = 128
_LONGEST_ERROR = 500

Wavelengths = tuple[float | None, ...]


@dataclass(frozen=True)
class Source:
    """One scene of a batch; can be pickled and is small.

    Attributes
    ----------
    id : str
        Unique in the batch and fit for a file name.
    href : str
        Path or URL of the scene; empty where there is none.
    item : dict, optional
        The STAC item that it comes from, with absolute links and without the bands of assets.
    wavelengths : tuple of float or None, optional
        Of each band that the collection, else the item, declares: its centre in micrometres,
        or None where that is not said. None where no bands are declared.
    error : str
        Why it cannot be compressed; empty where nothing is known to be wrong.
    """

    id: str
    href: str
    item: dict[str, Any] | None = None
    wavelengths: Wavelengths | None = None
    error: str = ""

    @property
    def identity(self) -> str:
        """``href`` without what is secret in it, or changes while the scene stays the same."""
        if "://" not in self.href:
            return self.href
        parts = urlsplit(self.href)
        query = "" if _SIGNED.search(parts.query) else parts.query
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query=query).geturl()

    def check(self, scene: Scene) -> None:
        """Raise `SourceError` if the scene has other bands than are declared.

        A declared wavelength may be off by half the median distance between bands.
        """
        if self.wavelengths is None:
            return
        if len(self.wavelengths) != scene.bands:
            raise SourceError(
                f"{self.href} has {scene.bands} bands, its collection or item declares "
                f"{len(self.wavelengths)}: correct the one that is wrong"
            )
        found = scene.wavelengths_um
        if found is None or scene.bands < 2:
            return
        declared = np.array([np.nan if w is None else w for w in self.wavelengths])
        off = np.abs(found - declared)
        wrong = np.flatnonzero(off > np.median(np.abs(np.diff(found))) / 2)
        if wrong.size:
            band = int(wrong[0])
            raise SourceError(
                f"{self.href}: band {band + 1} is at {found[band]:.4f} micrometres, its "
                f"collection or item declares {declared[band]:.4f}: correct the one that is wrong"
            )


def sources(source: str | Path, search: Search | None = None) -> Iterator[Source]:
    """The scenes of a batch, in an order that does not change from run to run.

    Parameters
    ----------
    source : str or Path
        A STAC catalog, collection, item or ItemCollection: the path or URL of its ``.json``
        or ``.geojson``. Or a file, a folder, with all that are below it, or a glob of scenes;
        these may be in an object store. Only a URL makes it use the network.
    search : Search, optional
        What to ask for, of a ``source`` that is the URL of a STAC API.

    Yields
    ------
    Source
        Also for what cannot be read; these have an ``error``.

    Raises
    ------
    SourceError
        If there is no scene at all.
    """
    text = str(source)
    if search:
        found = _of_items(searched(text, search), text)
    elif is_remote(text) and suffix_of(text).lower() in _SUFFIXES and "*" not in text:
        found = _of_urls([text])
    elif is_in_store(text):
        found = _of_urls(url for url in matching(text) if _is_named_like_one(url))
    elif is_catalog(text):
        found = _of_items(walk(text), text)
    else:
        found = _of_files(Path(text))
    taken = {RESERVED, *ARCHIVE_FILES}
    listed: set[str] = set()
    for entry in found:
        where = f"{entry.id}\n{entry.identity}\n{entry.error}"
        if where in listed:
            continue
        listed.add(where)
        name = _file_safe(entry.id)
        mark = hashlib.sha256(where.encode("utf-8", "backslashreplace")).hexdigest()
        length = 8
        while name.lower() in taken:
            name, length = f"{_file_safe(entry.id)}-{mark[:length]}", length + 1
        taken.add(name.lower())
        yield replace(entry, id=name)
    if not listed:
        raise SourceError(f"{source}: there is no scene in it; give a STAC catalog or scene files")


def _file_safe(name: str) -> str:
    # No hidden files, no way up, nothing that a shell or a URL gives a meaning.
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:_LONGEST_ID].lstrip(".-") or "scene"


def _of_urls(urls: Iterable[str]) -> Iterator[Source]:
    return (Source(PurePosixPath(urlsplit(url).path).stem, url) for url in urls)


def _is_named_like_one(url: str) -> bool:
    return suffix_of(url).lower() in _SUFFIXES and not url.endswith(_PREVIEW)


def _of_files(path: Path) -> Iterator[Source]:
    return (Source(name, str(file.absolute())) for name, file in scene_files(_files(path)))


def _files(path: Path) -> list[Path]:
    if path.is_file() or (path.suffix == _ZARR and path.is_dir()):
        return [path]
    if path.is_dir():
        found = path.rglob("*")
    else:
        found = Path(path.anchor or ".").glob(str(path.relative_to(path.anchor)))
    return sorted(file for file in found if _is_scene(file))


def _is_scene(path: Path) -> bool:
    name = path.name
    if name.startswith(".") or name.endswith(_PREVIEW) or not path.is_file():
        return path.suffix == _ZARR and path.is_dir()
    # ENVI's data may have no suffix of its own; its header isn't a scene by itself.
    return path.suffix.lower() in _SUFFIXES or path.with_name(name + ".hdr").is_file()


def _of_items(items: Iterable[Found], root: str) -> Iterator[Source]:
    for found in items:
        if found.item is None:
            yield Source(Path(found.href).stem, "", error=f"{found.href}: {found.error}")
            continue
        try:
            yield _of_item(found.item, found.collection, root)
        except Exception as error:  # items may hold anything, and pystac lets most of it pass
            text = f"{found.href} is malformed: {type(error).__name__}: {error}"
            yield Source(str(found.item.id), "", error=text[:_LONGEST_ERROR])


def _of_item(item: pystac.Item, collection: pystac.Collection | None, root: str) -> Source:
    local = not is_remote(root)
    try:
        key, asset = _asset_of(item)
        href = asset.get_absolute_href() or asset.href
        href = href.removeprefix("file://")
        if local and is_remote(href):
            raise SourceError(f"its asset {key} is at {href}, and only {NETWORK_RULE}")
        if not local and not leads_to_network(href, root):
            raise SourceError(f"its asset {key} is at {href}, and {LOCAL_RULE}")
        if local and not Path(href).exists():
            raise SourceError(f"its asset {key} is missing: there is no file {href}")
    except SourceError as error:
        return Source(str(item.id), "", error=f"item {item.id}: {error}")
    wavelengths = _wavelengths(key, asset, collection)
    return Source(str(item.id), href, _described(item, collection), wavelengths)


def _described(item: pystac.Item, collection: pystac.Collection | None) -> dict[str, Any]:
    """The item with absolute links, and with the licence and providers of its collection.

    Its bands are left out: in thousands of items they would fill the memory.
    """
    described = item.to_dict(transform_hrefs=False)
    for asset in described["assets"].values():
        for name in _BANDS:
            asset.pop(name, None)
    described["links"] = [
        {**link.to_dict(transform_href=False), "href": link.get_absolute_href()}
        for link in item.links
    ]
    if collection is not None:
        properties = described["properties"]
        properties.setdefault("license", collection.license)
        if collection.providers:
            properties.setdefault("providers", [p.to_dict() for p in collection.providers])
    return described


def _asset_of(item: pystac.Item) -> tuple[str, pystac.Asset]:
    """The asset that is the scene: of the data, the one with the most bands."""
    rasters = {
        key: asset
        for key, asset in item.assets.items()
        if Path(asset.href.partition("?")[0]).suffix.lower() in _SUFFIXES
        and not _NOT_DATA & set(asset.roles or ())
    }
    data = {key: asset for key, asset in rasters.items() if "data" in (asset.roles or ())}
    candidates = data or rasters
    if not candidates:
        raise SourceError(f"none of its assets ({', '.join(item.assets) or 'it has none'}) is data")
    counts = {key: len(_declared(asset.extra_fields) or ()) for key, asset in candidates.items()}
    most = [key for key, count in counts.items() if count == max(counts.values())]
    if len(most) > 1 and "data" not in most:
        raise SourceError(f"which of its assets {', '.join(most)} is the scene is not said")
    key = most[0] if len(most) == 1 else "data"
    return key, candidates[key]


def _declared(fields: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Bands in an asset's own fields."""
    return next((fields[name] for name in _BANDS if fields.get(name)), None)


def _wavelengths(
    key: str, asset: pystac.Asset, collection: pystac.Collection | None
) -> Wavelengths | None:
    bands = _declared(asset.extra_fields)
    if collection is not None:
        known = collection.item_assets.get(key)
        of_collection = known and _declared(known.properties)
        bands = of_collection or _declared(collection.summaries.lists) or bands
    if bands is None:
        return None
    centres = (band.get("eo:center_wavelength", band.get("center_wavelength")) for band in bands)
    return tuple(None if centre is None else float(centre) for centre in centres)
