"""Sidecars as GeoTIFF behind a local web server, for programs that know nothing of this package."""

from xhsinr.serving.server import serve

__all__ = ["serve"]
