"""QGIS opens scenes compressed with xhsinr and shows the spectra of their pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qgis.gui import QgisInterface

    from .plugin import Plugin


def classFactory(iface: QgisInterface) -> Plugin:  # noqa: N802 (QGIS calls it)
    """What QGIS calls to load the plugin."""
    from .plugin import Plugin

    return Plugin(iface)
