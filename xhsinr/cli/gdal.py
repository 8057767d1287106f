"""``serve``, ``vrt`` and ``doctor``: sidecars for GDAL and what builds on it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from xhsinr.cli.common import EXISTING, OUT, PLACE, echo, overwrite_option

__all__ = ["doctor", "serve", "vrt"]


@click.command()
@click.argument("place", type=PLACE)
@click.option("--port", type=int, default=0, help="Of this machine; a free one if not given.")
def serve(place: Path | str, port: int) -> None:
    """Serve the sidecar, folder or archive PLACE as GeoTIFF to other programs of this machine.

    GDAL, QGIS, rasterio and others open the addresses that are printed, which need no trust in
    Python. Samples are decoded when they are read. The items of an archive have them as assets.
    """
    from xhsinr.serving.server import run_server

    run_server(place, port, echo)


@click.command()
@click.argument("src", type=EXISTING)
@click.argument("dst", type=OUT, required=False)
@overwrite_option
def vrt(src: Path, dst: Path | None, overwrite: bool) -> None:
    """Write a VRT that lets GDAL read the sidecar SRC (SRC with .vrt if DST is not given).

    GDAL calls Python for the samples, which has to be allowed in the environment of that command,
    as it is printed here; do not export it: it lets any VRT run code. SRC is found beside
    the VRT, where both were moved together, or where it is now; write the VRT again where SRC was
    compressed again. Without Python: `xhsinr decompress`.
    """
    from xhsinr.gdal.doctor import before_a_command
    from xhsinr.gdal.vrt import write_vrt

    written = write_vrt(src, dst or src.with_suffix(".vrt"), overwrite=overwrite)
    echo(f"{written}: put this before a command that reads it, and do not export it:")
    echo(before_a_command())


@click.command()
def doctor() -> None:
    """Check that GDAL reads sidecars here, and say what to set where it does not.

    Exit code 1 if rasterio's own GDAL does not; the system's programs are optional.
    """
    from xhsinr.gdal.doctor import examine

    broken = False
    for check in examine():
        lines = check.text.splitlines()
        mark = "ok" if check.passed else "FAIL" if check.required else "no"
        echo(f"{mark:4} {check.what}: {lines[0]}")
        for line in lines[1:]:
            echo(f"     {line}")
        broken |= check.required and not check.passed
    sys.exit(1 if broken else 0)
