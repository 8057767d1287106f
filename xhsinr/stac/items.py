"""A STAC item of each compressed scene."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pystac
from pystac.utils import datetime_to_str, str_to_datetime

import xhsinr
from xhsinr.reading.reader import Reader
from xhsinr.scene import Scene
from xhsinr.sidecar.file import Sidecar
from xhsinr.sidecar.report import report
from xhsinr.stac import extension
from xhsinr.stac.assets import data_asset, file_asset, preview_asset, valid_pixels
from xhsinr.stac.footprint import Footprint, footprint
from xhsinr.stac.inherited import inherited
from xhsinr.stac.sources import Source

__all__ = ["COLLECTION", "NETWORK_LINK", "TIMES", "scene_item"]

COLLECTION = "scenes"
"""Id of the collection that all scenes of an archive belong to."""

NETWORK_LINK = "hsinr:network"
"""Relation of a scene's item to the item of the base network that it is decoded with."""

_EXTENSIONS = {
    name: f"https://stac-extensions.github.io/{name}/v{version}/schema.json"
    for name, version in (
        ("eo", "2.0.0"),
        ("file", "2.1.0"),
        ("processing", "1.2.0"),
        ("projection", "2.0.0"),
        ("raster", "2.0.0"),
    )
}
TIMES = ("datetime", "start_datetime", "end_datetime")
"""Properties that are times."""

# What files that are no products call it: ENVI, ACDD and others; the first one found counts.
_MOMENTS = ("start_time", "time_coverage_start", "acquisition time", "acquisition_time")
# No scene is older: the first imaging spectrometers flew in the 1970s.
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


def scene_item(
    sidecar: str | Path,
    *,
    source: Source,
    preview: str | Path | None = None,
    metadata: str | Path | None = None,
    thumbnail: str | Path | None = None,
    spectra: str | Path | None = None,
    network: str | Path | None = None,
) -> pystac.Item:
    """The item of one compressed scene.

    Its geometry is the footprint of the valid pixels of the preview; of a scene without CRS
    it is that of the source's item, else null. Its time is that of the source's item, else
    that of the product. Where neither knows it, `datetime` is null and the interval is all
    that is sure: from 1970 to the compression.

    Parameters
    ----------
    sidecar : str or Path
        The compressed scene. It is read as a whole for its checksum.
    source : Source
        What it was compressed from; gives the id.
    preview : str or Path, optional
        Its preview, see `xhsinr.pictures.preview.write_preview`.
    metadata : str or Path, optional
        The figures of ``xhsinr info`` in a JSON file.
    thumbnail, spectra : str or Path, optional
        Pictures for browsers, see `xhsinr.pictures.preview.write_thumbnail` and
        `xhsinr.pictures.samples`.
    network : str or Path, optional
        The ``.safetensors`` file of the base network in the archive's ``networks/``.

    Raises
    ------
    FileNotFoundError, SidecarError
    """
    opened = Sidecar.open(sidecar)
    scene, figures = Reader(opened).scene(), report(opened).to_dict()
    item = _of_source(source)
    item.id, item.collection_id = source.id, COLLECTION
    place = _footprint(scene, preview)
    if place is not None:
        item.geometry, item.bbox = place.geometry, place.bbox
    written = datetime.fromtimestamp(Path(sidecar).stat().st_mtime, UTC)
    item.properties |= _product(scene, item.properties) | _processing(item, source, figures)
    _set_times(item, written)
    item.properties |= extension.properties(figures)
    item.add_asset("data", data_asset(Path(sidecar), scene))
    if preview is not None:
        item.add_asset("preview", preview_asset(Path(preview)))
    files = {"metadata": metadata, "thumbnail": thumbnail, "spectra": spectra}
    for key, path in files.items():
        if path is not None:
            item.add_asset(key, file_asset(key, Path(path)))
    item.properties["proj:code"] = item.assets["data"].extra_fields["proj:code"]
    _add_links(item, source, network)
    _set_extensions(item)
    return item


def _of_source(source: Source) -> pystac.Item:
    if source.item is not None:
        return inherited(source.item)
    return pystac.Item(source.id, None, None, _EARLIEST, {})


def _footprint(scene: Scene, preview: str | Path | None) -> Footprint | None:
    if preview is None:
        return footprint(scene)
    valid = valid_pixels(Path(preview))
    step = math.ceil(max(scene.rows, scene.cols) / max(valid.shape))
    # A scene in which nothing is valid still has its frame.
    return footprint(scene, valid if valid.any() else None, step)


def _product(scene: Scene, known: dict[str, Any]) -> dict[str, Any]:
    """What the product says and the source's item does not."""
    attrs = {key: value for key, value in scene.attrs.items() if isinstance(value, str) and value}
    found: dict[str, Any] = {}
    if "platform" in attrs:
        found["platform"] = attrs["platform"].lower()
    if "instrument" in attrs:
        found["instruments"] = [attrs["instrument"].lower()]
    if "product_id" in attrs:
        found["title"] = attrs["product_id"]
    if not any(known.get(time) for time in TIMES):
        found |= {key: attrs[key] for key in TIMES if _is_time(attrs.get(key))}
        moment = next((attrs[key] for key in _MOMENTS if _is_time(attrs.get(key))), None)
        if moment is not None and not found.keys() & {*TIMES}:
            found["datetime"] = moment
    return {key: value for key, value in found.items() if known.get(key) is None}


def _is_time(text: str | None) -> bool:
    # Attributes called so may hold anything.
    if text is None or not re.match(r"\d{4}-\d\d-\d\dT", text):
        return False
    try:
        str_to_datetime(text)
    except ValueError:
        return False
    return True


def _set_times(item: pystac.Item, written: datetime) -> None:
    """What STAC asks for: a datetime, or null and an interval; or all three."""
    times = {key: item.properties.pop(key, None) for key in TIMES}
    known = {key: str_to_datetime(text) for key, text in times.items() if text}
    if len(known.keys() & {"start_datetime", "end_datetime"}) == 1:
        known = {key: value for key, value in known.items() if key == "datetime"}
    if not known:
        known = {"start_datetime": _EARLIEST, "end_datetime": written}
    item.datetime = known.get("datetime")
    item.properties["datetime"] = None
    item.properties |= {key: datetime_to_str(value) for key, value in known.items()}


def _processing(item: pystac.Item, source: Source, figures: dict[str, Any]) -> dict[str, Any]:
    ((kind, value),) = figures["target"].items()
    asked = "lossless" if kind == "lossless" else f"{kind} {value}"
    lineage = f"{Path(source.identity).name} compressed by xhsinr, asked for: {asked}."
    before = item.properties.get("processing:lineage")
    software = item.properties.get("processing:software", {})
    return {
        "processing:software": {**software, "xhsinr": xhsinr.__version__},
        "processing:lineage": f"{before} {lineage}" if before else lineage,
    }


def _add_links(item: pystac.Item, source: Source, network: str | Path | None) -> None:
    if source.item is not None:
        href = next((link["href"] for link in source.item["links"] if link["rel"] == "self"), None)
        if href is not None:
            link = pystac.Link("derived_from", href, pystac.MediaType.GEOJSON, "Source item")
            item.add_link(link)
    if network is not None:
        name = Path(network).with_suffix(".json").name
        item.add_link(
            pystac.Link(
                NETWORK_LINK, f"../networks/{name}", pystac.MediaType.GEOJSON, "Base network"
            )
        )


def _set_extensions(item: pystac.Item) -> None:
    """Ours in place of the same in other versions; none without a field of its own."""
    fields = {key for asset in item.assets.values() for key in asset.extra_fields}
    fields |= {key for band in item.assets["data"].extra_fields["bands"] for key in band}
    used = {key.partition(":")[0] for key in fields | item.properties.keys()}
    ours = [
        uri
        for name, uri in _EXTENSIONS.items()
        if ("proj" if name == "projection" else name) in used
    ]
    names = tuple(uri.rpartition("/v")[0] for uri in _EXTENSIONS.values())
    others = [uri for uri in item.stac_extensions if uri.rpartition("/v")[0] not in names]
    item.stac_extensions = [*others, *ours, extension.SCHEMA_URI]
