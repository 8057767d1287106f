"""Compress hyperspectral scenes with a small network, trained on others, that knows what to expect.

Importing the package registers the ``.hsinr`` accessor with xarray. Torch is only needed, and
imported, where a network is trained or latents are fitted.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from xhsinr.accessor import HsinrAccessor
from xhsinr.errors import HsinrError

if TYPE_CHECKING:
    from xhsinr.archiving import ArchiveReport, archive
    from xhsinr.compression.pipeline import compress
    from xhsinr.gdal.vrt import open_rasterio_dataset
    from xhsinr.handle import Compressed
    from xhsinr.handle import open_sidecar as open  # noqa: A004
    from xhsinr.network.places import load_network
    from xhsinr.reading.salvaging import Salvage, salvage
    from xhsinr.reading.verification import verify
    from xhsinr.serving import serve
    from xhsinr.sidecar.limits import set_limits
    from xhsinr.stac import open_catalog, virtual

__version__ = "0.1.0"

__all__ = [
    "ArchiveReport",
    "Compressed",
    "HsinrAccessor",
    "HsinrError",
    "Salvage",
    "archive",
    "compress",
    "load_network",
    "open",
    "open_catalog",
    "open_rasterio_dataset",
    "salvage",
    "serve",
    "set_limits",
    "verify",
    "virtual",
]

_LAZY = {
    "ArchiveReport": ("xhsinr.archiving", "ArchiveReport"),
    "archive": ("xhsinr.archiving", "archive"),
    "Compressed": ("xhsinr.handle", "Compressed"),
    "Salvage": ("xhsinr.reading.salvaging", "Salvage"),
    "compress": ("xhsinr.compression.pipeline", "compress"),
    "salvage": ("xhsinr.reading.salvaging", "salvage"),
    "load_network": ("xhsinr.network.places", "load_network"),
    "open": ("xhsinr.handle", "open_sidecar"),
    "serve": ("xhsinr.serving", "serve"),
    "set_limits": ("xhsinr.sidecar.limits", "set_limits"),
    "open_catalog": ("xhsinr.stac", "open_catalog"),
    "open_rasterio_dataset": ("xhsinr.gdal.vrt", "open_rasterio_dataset"),
    "verify": ("xhsinr.reading.verification", "verify"),
    "virtual": ("xhsinr.stac", "virtual"),
}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    """Import the rest of the public names when they are first used."""
    if name not in _LAZY:
        raise AttributeError(f"module 'xhsinr' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value
