"""``vrt``, ``export`` and ``doctor``: sidecars for GDAL and what builds on it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from xhsinr.cli.common import EXISTING, OUT, overwrite_option

__all__ = ["doctor", "export", "vrt"]


@click.command()
@click.argument("src", type=EXISTING)
@click.argument("dst", type=OUT, required=False)
@overwrite_option
def vrt(src: Path, dst: Path | None, overwrite: bool) -> None:
    """Write a VRT that lets GDAL read the sidecar SRC (SRC with .vrt if DST is not given).

    GDAL calls Python for the samples; `xhsinr doctor` says what it needs for that. The VRT names
    SRC by its absolute path: write it again where SRC was moved.
    """
    from xhsinr.gdal.vrt import TRUSTED_MODULE, TRUSTED_MODULES_OPTION, write_vrt

    written = write_vrt(src, dst or src.with_suffix(".vrt"), overwrite=overwrite)
    click.echo(f"{written}: read it with {TRUSTED_MODULES_OPTION}={TRUSTED_MODULE}")


@click.command()
@click.argument("src", type=EXISTING)
@click.argument("dst", type=OUT)
@click.option("--gdal-native", is_flag=True, required=True, help="Scores and a VRT of GDAL's own.")
@overwrite_option
def export(src: Path, dst: Path, gdal_native: bool, overwrite: bool) -> None:
    """Write the sidecar SRC in a form that needs no xhsinr to be read.

    --gdal-native: the VRT DST and, beside it, a GeoTIFF of scores, for GDAL 3.9 or newer without
    Python. For files with neither latents nor a bound layer, as `standard` writes them.
    """
    from xhsinr.gdal.native import export_gdal_native

    for written in export_gdal_native(src, dst, overwrite=overwrite):
        click.echo(f"{written}: {written.stat().st_size:,} bytes")


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
        click.echo(f"{mark:4} {check.what}: {lines[0]}")
        for line in lines[1:]:
            click.echo(f"     {line}")
        broken |= check.required and not check.passed
    sys.exit(1 if broken else 0)
