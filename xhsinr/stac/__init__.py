"""Archives in STAC (SpatioTemporal Asset Catalog): scenes come from it, archives are written to it.

`sources` lists the scenes of a catalog or a folder. `scene_item` and `network_item` describe
what an archive holds, `write_item` and `write_catalog` write that to its disk, and
`open_catalog` opens it.
"""

from xhsinr.stac.assets import multihash
from xhsinr.stac.catalog import (
    FileAsset,
    file_assets_of,
    lost_items,
    scene_items,
    write_catalog,
    write_item,
)
from xhsinr.stac.cube import virtual
from xhsinr.stac.extension import MEDIA_TYPE, SCHEMA_URI, schema
from xhsinr.stac.items import scene_item
from xhsinr.stac.network_items import network_item
from xhsinr.stac.opening import SceneCatalog, open_catalog
from xhsinr.stac.searching import Search
from xhsinr.stac.sources import Source, sources

__all__ = [
    "MEDIA_TYPE",
    "SCHEMA_URI",
    "FileAsset",
    "SceneCatalog",
    "Search",
    "Source",
    "file_assets_of",
    "lost_items",
    "multihash",
    "network_item",
    "open_catalog",
    "scene_item",
    "scene_items",
    "schema",
    "sources",
    "virtual",
    "write_catalog",
    "write_item",
]
