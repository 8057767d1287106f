"""The Python that QGIS has within: its program, and how xhsinr gets into it."""

from __future__ import annotations

import sys
from pathlib import Path

from qgis.core import QgsApplication

__all__ = ["how_to_install", "python_program"]


def python_program() -> str:
    """The program of QGIS's Python; ``sys.executable`` may be QGIS itself or another Python."""
    prefix = Path(sys.exec_prefix)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    places = [prefix / "python.exe", prefix / "bin" / version, prefix / "bin" / "python3"]
    return str(next((place for place in places if place.is_file()), sys.executable))


def how_to_install(error: ImportError) -> str:
    """What to do where xhsinr cannot be imported."""
    # QGIS puts this folder of the user's profile before all others.
    target = Path(QgsApplication.qgisSettingsDirPath(), "python")
    return (
        f"xhsinr cannot be imported ({error}). Install it for QGIS and start QGIS again: "
        f'"{python_program()}" -m pip install --target "{target}" xhsinr'
    )
