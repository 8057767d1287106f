"""The scenes of an archive in Python: a mapping from ids to lazy arrays."""

from __future__ import annotations

import difflib
import html
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pystac
import xarray as xr
from pystac.utils import str_to_datetime
from rasterio.errors import RasterioError

from xhsinr import backend
from xhsinr.errors import SourceError, UnknownSceneError, counted
from xhsinr.folders import at, located
from xhsinr.pictures.encoded import png_bytes
from xhsinr.pictures.picture import image_html
from xhsinr.pictures.preview import small_preview
from xhsinr.progress import bar
from xhsinr.stac.extension import MEDIA_TYPE, QUALITY
from xhsinr.stac.walking import (
    LOCAL_RULE,
    NETWORK_RULE,
    is_in_store,
    is_remote,
    leads_to_network,
    walk,
)

__all__ = ["Entry", "Moment", "SceneCatalog", "open_catalog"]

Moment = str | datetime | None
_CATALOG = "catalog.json"
_SHOWN = 20
_LOOK = 48
_PARTIAL_DATE = re.compile(r"\d{4}(-\d\d){0,2}")
_ALWAYS = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Entry:
    """One scene: where its sidecar is, and what its item says; ``data`` of the sidecar."""

    id: str
    href: str
    bbox: tuple[float, ...] | None
    start: datetime
    end: datetime
    figures: Mapping[str, Any]
    preview: str | None
    data: Mapping[str, Any]

    @property
    def time(self) -> datetime | None:
        return self.start if self.start == self.end else None


class SceneCatalog(Mapping[str, xr.DataArray]):
    """Scenes of a catalog by their ids; each is opened, lazily, when it is asked for.

    A scene has a scalar coordinate ``time`` where its item has a datetime, so
    ``xr.concat(scenes.values(), "time")`` stacks scenes on one grid.

    Attributes
    ----------
    paths : list of str
        Of the sidecars, for ``xr.open_mfdataset(scenes.paths, engine="hsinr", ...)``.
    table : DataFrame
        One row a scene: time, size, quality and rate as its item says them.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = {entry.id: entry for entry in entries}

    def __getitem__(self, key: str) -> xr.DataArray:
        """The scene of that id, as `xhsinr.open` opens it; samples are decoded when used."""
        entry = self._entries.get(key)
        if entry is None:
            near = difflib.get_close_matches(str(key), self._entries, 3, 0.3)
            hint = f"the nearest are {', '.join(near)}" if near else "list(scenes) names all"
            raise UnknownSceneError(f"no scene {key!r} among {len(self)}: {hint}")
        scene = backend.open_dataarray(entry.href)
        if entry.time is None or "time" in scene.coords or "time" in scene.dims:
            return scene
        return scene.assign_coords(time=np.datetime64(entry.time.replace(tzinfo=None), "ns"))

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def entries(self) -> list[Entry]:
        """What the items say."""
        return list(self._entries.values())

    @property
    def paths(self) -> list[str]:
        return [entry.href for entry in self._entries.values()]

    @property
    def table(self) -> pd.DataFrame:
        rows = [
            {"id": e.id, "datetime": e.time, **e.figures, "path": e.href}
            for e in self._entries.values()
        ]
        return pd.DataFrame(rows, columns=["id", "datetime", *_FIGURES, "path"]).set_index("id")

    def __repr__(self) -> str:
        head = f"<xhsinr.SceneCatalog of {counted(len(self), 'scene')}>"
        shown = self.table.drop(columns="path").to_string(max_rows=_SHOWN)
        return f"{head}\n{shown}" if len(self) else head

    def _repr_html_(self) -> str:
        shown = self.table.drop(columns="path").head(_SHOWN).reset_index()
        # Items may hold anything; of all this only the pictures are HTML.
        shown = shown.astype(object).map(lambda value: html.escape(_shown(value)))
        looks = [_look(self._entries[key]) for key in list(self)[:_SHOWN]]
        shown.insert(0, "", pd.Series(looks, dtype=object))
        table = shown.to_html(index=False, border=0, escape=False)
        more = f"and {len(self) - _SHOWN} more" if len(self) > _SHOWN else ""
        return f"<b>{counted(len(self), 'scene')}</b>{table}{more}"


def open_catalog(
    catalog: str | Path,
    bbox: Sequence[float] | None = None,
    datetime: Moment | tuple[Moment, Moment] = None,
) -> SceneCatalog:
    """Open the compressed scenes of a catalog; no sidecar is read before it is used.

    Parameters
    ----------
    catalog : str or Path
        An archive's folder or its ``catalog.json``, or another STAC catalog, collection, item
        or ItemCollection with compressed scenes; a path or a URL, of a store such as
        ``s3://bucket/archive``, too.
    bbox : sequence of float, optional
        West, south, east, north in degrees: scenes that touch it. West above east goes across
        the antimeridian. Scenes without a place are left out.
    datetime : str, datetime or pair of these, optional
        A moment or an interval, in pystac-client's words: ``"2024-06"``, ``"2024/2025"``,
        ``"2024-06-01/.."``, a datetime, or a pair with None for an open end.

    Raises
    ------
    SourceError
        If there is no such catalog or no compressed scene in it.

    Examples
    --------
    >>> scenes = xhsinr.open_catalog("archive/", bbox=(12, 52, 14, 53), datetime="2022")
    ... # doctest: +SKIP
    >>> scenes["ENMAP01_49"].sel(wavelength=850, method="nearest").plot()  # doctest: +SKIP
    """
    box = None if bbox is None else _box(bbox)
    start, end = _interval(datetime)
    href = str(catalog)
    if Path(href).is_dir() or is_in_store(href):
        href = str(at(located(href), _CATALOG))
    entries = []
    total = 0
    for found in bar(walk(href), "catalog", unit=" items"):
        entry, error = None, found.error
        try:
            entry = None if found.item is None else _entry(found.item)
        except Exception as wrong:  # items may hold anything, and pystac lets most of it pass
            error = f"it is malformed: {type(wrong).__name__}: {wrong}"
        if entry is not None and is_remote(href):
            if not leads_to_network(entry.href, href):
                error = f"its scene is at {entry.href}, and {LOCAL_RULE}"
        elif entry is not None and is_remote(entry.href):
            error = f"its scene is at {entry.href}, and only {NETWORK_RULE}"
        if error:
            warnings.warn(f"{found.href} is left out: {error}", stacklevel=2)
        if error or entry is None:
            continue
        total += 1
        inside = box is None or (entry.bbox is not None and _touch(entry.bbox, box))
        if inside and entry.start <= end and entry.end >= start:
            entries.append(entry)
    if not total:
        raise SourceError(f"{href}: none of its items is a compressed scene")
    return SceneCatalog(entries)


_FIGURES = ("bands", "rows", "cols", "dtype", *QUALITY, "bytes")


def _entry(item: pystac.Item) -> Entry | None:
    asset = next((a for a in item.assets.values() if a.media_type == MEDIA_TYPE), None)
    if asset is None:
        return None
    fields, properties = asset.extra_fields, item.properties
    rows, cols = fields.get("proj:shape", (None, None))
    sizes = (len(fields.get("bands", ())), rows, cols, fields.get("data_type"))
    quality = (properties.get(f"hsinr:{name}") for name in QUALITY)
    figures = dict(zip(_FIGURES, (*sizes, *quality, fields.get("file:size")), strict=True))
    start, end = (properties.get(key) for key in ("start_datetime", "end_datetime"))
    moment = item.datetime
    if moment is not None:
        times = moment, moment
    else:
        times = (str_to_datetime(start), str_to_datetime(end)) if start and end else _ALWAYS
    box = None if item.bbox is None else _box(item.bbox)
    preview = item.assets.get("preview")
    look = None if preview is None else preview.get_absolute_href()
    href = asset.get_absolute_href() or asset.href
    data = {**fields, "hsinr:tile": properties.get("hsinr:tile")}
    return Entry(item.id, href, box, *times, figures, look, data)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return "" if value is None or value is pd.NaT else str(value)


def _look(entry: Entry) -> str:
    """A small picture of a scene as HTML; empty where its preview is not at hand."""
    if entry.preview is None or not Path(entry.preview).is_file():
        return ""
    try:
        return image_html(png_bytes(small_preview(Path(entry.preview), _LOOK)), _LOOK)
    except RasterioError:
        return ""


def _box(bbox: Sequence[float]) -> tuple[float, ...]:
    """West, south, east, north; heights are left out."""
    try:
        half = {4: 2, 6: 3}[len(bbox)]
        box = tuple(float(value) for value in (*bbox[:2], *bbox[half : half + 2]))
    except (TypeError, ValueError, KeyError):
        box = ()
    if not box or not all(map(math.isfinite, box)) or box[1] > box[3]:
        raise SourceError(f"bbox = {bbox!r}: it should be west, south, east, north in degrees")
    return box


def _touch(a: Sequence[float], b: Sequence[float]) -> bool:
    if a[1] > b[3] or b[1] > a[3]:
        return False
    return any(w <= east and west <= e for w, e in _spans(a) for west, east in _spans(b))


def _spans(box: Sequence[float]) -> list[tuple[float, float]]:
    west, _, east, _ = box
    return [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]


def _interval(value: Moment | tuple[Moment, Moment]) -> tuple[datetime, datetime]:
    if value is None:
        return _ALWAYS
    if isinstance(value, str) and "/" in value:
        first, _, last = value.partition("/")
        value = first, last
    elif not isinstance(value, tuple):
        value = value, value
    if len(value) != 2:
        raise SourceError(f"datetime = {value!r}: an interval is a pair")
    start, end = _moment(value[0], 0), _moment(value[1], 1)
    if start > end:
        raise SourceError(f"datetime = {value!r}: it ends before it starts")
    return start, end


def _moment(value: Moment, end: int) -> datetime:
    """First (``end`` 0) or last (1) moment of what may be a year, a month or a day."""
    if value is None or value in ("", ".."):
        return _ALWAYS[end]
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if not isinstance(value, str):
        raise SourceError(f"datetime = {value!r}: it should be text or a datetime")
    try:
        if _PARTIAL_DATE.fullmatch(value):
            period = pd.Period(value)
            bounds = period.start_time, period.end_time
            moment: datetime = bounds[end].floor("us").to_pydatetime()
            return moment.replace(tzinfo=UTC)
        return str_to_datetime(value)
    except ValueError as error:
        raise SourceError(
            f"datetime {value!r}: it should be like 2024, 2024-06-01 or 2024-06-01T10:00:00Z"
        ) from error
