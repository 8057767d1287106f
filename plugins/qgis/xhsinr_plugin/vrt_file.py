"""The VRT files through which QGIS reads sidecars.

They lie in the user's QGIS profile, because projects name them: one for each sidecar, in a folder
named after a digest of its path. Nothing is written beside the sidecar.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from qgis.core import QgsApplication

from xhsinr.errors import HsinrError

from .qgis_python import python_program

__all__ = ["vrt_path", "write_vrt"]

_TIMEOUT = 120
_PROGRAM = "from xhsinr.cli import main; main()"
# They name the files of QGIS's own GDAL and PROJ, not of those that rasterio brings.
_FOR_QGIS_ALONE = ("GDAL_DATA", "GDAL_DRIVER_PATH", "PROJ_DATA", "PROJ_LIB")


def vrt_path(sidecar: Path) -> Path:
    """Where the VRT of a sidecar is, given the absolute path of the latter."""
    digest = hashlib.sha256(os.fsencode(sidecar)).hexdigest()[:16]
    profile = Path(QgsApplication.qgisSettingsDirPath())
    return profile / "xhsinr" / digest / f"{sidecar.stem}.vrt"


def write_vrt(sidecar: Path) -> Path:
    """Write the VRT of a sidecar, anew if there is one.

    Another process does it: xhsinr takes rasterio for that, whose GDAL must not meet the one of
    QGIS.

    Raises
    ------
    HsinrError
        With what the other process said.
    """
    path = vrt_path(sidecar)
    path.parent.mkdir(parents=True, exist_ok=True)
    environment = {k: v for k, v in os.environ.items() if k not in _FOR_QGIS_ALONE}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    command = [python_program(), "-c", _PROGRAM, "vrt", str(sidecar), str(path), "--overwrite"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        env=environment,
        check=False,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    if done.returncode:
        raise HsinrError(f"{sidecar}: its VRT could not be written: {done.stderr.strip()}")
    return path
