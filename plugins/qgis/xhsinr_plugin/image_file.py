"""The GeoTIFFs that QGIS shows for sidecars.

No VRT: one that calls Python would need QGIS to trust a module, and with it the code of any VRT
that names that module. They lie in the user's QGIS profile, because projects name them: one for
each sidecar, in a folder named after a digest of its path. Nothing is written beside the sidecar.
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

__all__ = ["image_path", "write_image"]

_PROGRAM = "from xhsinr.cli import main; main()"
# They name the files of QGIS's own GDAL and PROJ, not of those that rasterio brings.
_FOR_QGIS_ALONE = ("GDAL_DATA", "GDAL_DRIVER_PATH", "PROJ_DATA", "PROJ_LIB")


def image_path(sidecar: Path) -> Path:
    """Where the GeoTIFF of a sidecar is, given the absolute path of the latter."""
    digest = hashlib.sha256(os.fsencode(sidecar)).hexdigest()[:16]
    profile = Path(QgsApplication.qgisSettingsDirPath())
    return profile / "xhsinr" / digest / f"{sidecar.stem}.tif"


def write_image(sidecar: Path) -> Path:
    """Decode a sidecar into its GeoTIFF, anew if there is one.

    Another process does it: xhsinr takes rasterio for that, whose GDAL must not meet the one of
    QGIS.

    Raises
    ------
    HsinrError
        With what the other process said.
    """
    path = image_path(sidecar)
    path.parent.mkdir(parents=True, exist_ok=True)
    environment = {k: v for k, v in os.environ.items() if k not in _FOR_QGIS_ALONE}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    command = [
        python_program(),
        "-c",
        _PROGRAM,
        "decompress",
        str(sidecar),
        str(path),
        "--overwrite",
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    if done.returncode:
        raise HsinrError(done.stderr.strip().removeprefix("Error: "))
    return path
