"""All items of a STAC catalog, read one at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pystac
from pystac.stac_io import DefaultStacIO

from xhsinr.errors import SourceError
from xhsinr.folders import read, read_each

__all__ = [
    "LOCAL_RULE",
    "NETWORK_RULE",
    "Found",
    "found_in",
    "is_catalog",
    "is_in_store",
    "is_remote",
    "leads_to_network",
    "walk",
]

NETWORK_RULE = "a catalog that is given by its URL makes xhsinr use the network"
"""For errors, after "only"."""

LOCAL_RULE = "what comes from the network leads to the network only, to no file of this machine"
"""For errors, after "and"."""


_NETWORK = {"http", "https", "ftp", "s3", "gs", "gcs", "az", "abfs", "abfss"}


class Found(NamedTuple):
    """One item of a catalog.

    Attributes
    ----------
    href : str
        Where it was looked for.
    item : pystac.Item, optional
        None where it cannot be read.
    collection : pystac.Collection, optional
        That links to it.
    error : str
        Why it cannot be read.
    """

    href: str
    item: pystac.Item | None = None
    collection: pystac.Collection | None = None
    error: str = ""


def is_remote(href: str) -> bool:
    """Whether it is a URL, and not of a file of this machine."""
    return "://" in href and not href.startswith("file://")


def leads_to_network(href: str, source: str) -> bool:
    """Whether an address in what came from a URL is in the network, as far as is known.

    Of fsspec's many schemes some are of this machine, and some wrap others: they may be the user's,
    who gave ``source``, and no document's.
    """
    scheme = href.partition("://")[0].lower()
    own = source.partition("://")[0].lower()
    return is_remote(href) and "::" not in href and scheme in {*_NETWORK, own}


def is_catalog(source: str) -> bool:
    """Whether it is called like a STAC document, or is a URL."""
    return is_remote(source) or Path(source).suffix.lower() in (".json", ".geojson")


def is_in_store(href: str) -> bool:
    """Whether it is a folder of an object store; what a web server has there, it alone knows."""
    web = href.startswith(("http://", "https://"))
    return is_remote(href) and not web and not href.endswith((".json", ".geojson"))


def walk(href: str) -> Iterator[Found]:
    """All items of a STAC catalog, collection, item or ItemCollection.

    Items are read without their catalog, which would keep all of them in memory. From a file
    no link to another machine is followed.

    Raises
    ------
    SourceError
        If the document itself cannot be read.
    """
    io = _RemoteIO(href) if is_remote(href) else _LocalIO()
    try:
        content = io.read_json(href)
        features = content["features"] if content.get("type") == "FeatureCollection" else None
        if not isinstance(features, list | None):
            raise ValueError("its features are no list")
        top = None if features is not None else _parsed(content, href, io)
    except Exception as error:  # what pystac makes of a broken file is its own
        raise SourceError(f"{href} is no STAC document that can be read: {error}") from error
    if features is not None:
        for number, feature in enumerate(features):
            yield found_in(feature, f"{href}#{number}")
    elif isinstance(top, pystac.Item):
        yield Found(href, top)
    elif top is not None:
        yield from _below(top, io)


class _LocalIO(DefaultStacIO):
    """Reads files and no URLs."""

    def read_text_from_href(self, href: str) -> str:
        if is_remote(href):
            raise SourceError(f"it is not on this machine, and only {NETWORK_RULE}")
        return super().read_text_from_href(href)


class _RemoteIO(DefaultStacIO):
    """Reads URLs and no files."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source

    def leads_on(self, href: str) -> bool:
        return href == self.source or leads_to_network(href, self.source)

    def read_text_from_href(self, href: str) -> str:
        if not self.leads_on(href):
            raise SourceError(f"{href}: {LOCAL_RULE}")
        return read(href).decode("utf-8")


def found_in(feature: dict[str, Any], href: str) -> Found:
    """The item in a feature of an ItemCollection that is at an address."""
    try:
        # Without a place of its own it is where the ItemCollection is.
        own = any(link["rel"] == "self" for link in feature["links"])
        item = _item(feature, None if own else href)
    except Exception as error:  # as above
        return Found(href, error=f"{type(error).__name__}: {error}")
    return Found(href, item)


def _parsed(content: dict[str, Any], href: str, io: DefaultStacIO) -> pystac.STACObject:
    if content.get("type") == "Feature":
        return _item(content, href)
    return io.stac_object_from_dict(content, href, preserve_dict=False)


def _item(content: dict[str, Any], href: str | None) -> pystac.Item:
    # pystac's way to the latest version copies all bands of all assets, several times.
    old = content.get("stac_version") != pystac.get_stac_version()
    return pystac.Item.from_dict(content, href, migrate=old, preserve_dict=False)


def _address(link: pystac.Link) -> str:
    try:
        return link.get_absolute_href() or ""
    except Exception:  # as below: it will be said when it is read
        return str(link.target)


def _texts(hrefs: list[str], io: DefaultStacIO) -> Iterator[str | bytes | Exception]:
    """What stands at addresses; of those behind the network, many are read at a time."""
    if isinstance(io, _RemoteIO) and all(map(io.leads_on, hrefs)):
        yield from read_each(hrefs)
        return
    for href in hrefs:
        try:
            yield io.read_text_from_href(href)
        except Exception as error:  # as below
            yield error


def _below(top: pystac.STACObject, io: DefaultStacIO) -> Iterator[Found]:
    waiting, seen = [top], {top.get_self_href()}
    while waiting:
        parent = waiting.pop()
        collection = parent if isinstance(parent, pystac.Collection) else None
        children: list[pystac.STACObject] = []
        links = [*parent.get_links("item"), *parent.get_links("child")]
        hrefs = [href for href in dict.fromkeys(map(_address, links)) if href not in seen]
        seen.update(hrefs)
        for href, text in zip(hrefs, _texts(hrefs, io), strict=True):
            try:
                if isinstance(text, Exception):
                    raise text
                found = _parsed(json.loads(text), href, io)
            except Exception as error:  # as above
                yield Found(href, error=f"{type(error).__name__}: {error}")
                continue
            if isinstance(found, pystac.Item):
                yield Found(href, found, collection)
            else:
                children.append(found)
        waiting += reversed(children)
