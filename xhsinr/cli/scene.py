"""``compress``, ``decompress``, ``info`` and ``verify``: one scene, one sidecar."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

import xhsinr
from xhsinr.cli.common import (
    EXISTING,
    OUT,
    SIDECAR,
    overwrite_option,
    preview_option,
    quality_options,
)
from xhsinr.sidecar.verification import LEVELS

__all__ = ["compress", "decompress", "info", "verify"]


@click.command()
@click.argument("src", type=EXISTING)
@click.argument("dst", type=OUT, required=False)
@quality_options
@preview_option
@overwrite_option
def compress(src: Path, dst: Path | None, **options: Any) -> None:
    """Compress the scene SRC into the sidecar DST (SRC with .hsinr if not given).

    SRC is a GeoTIFF, ENVI, MATLAB (.mat) or NumPy (.npy) file, what else GDAL opens, or a
    product as it comes: EnMAP L2A, DESIS, PRISMA L2D, EMIT L2A. Ask for one quality at most;
    the default is 'standard'.
    """
    click.echo(repr(xhsinr.compress(src, dst or src.with_suffix(".hsinr"), **options)))


@click.command()
@click.argument("src", type=SIDECAR)
@click.argument("dst", type=OUT)
@overwrite_option
def decompress(src: Path | str, dst: Path, overwrite: bool) -> None:
    """Decode the sidecar SRC into the GeoTIFF DST."""
    from xhsinr.outputs import check_output
    from xhsinr.reading.reader import Reader
    from xhsinr.scene import write_geotiff
    from xhsinr.sidecar.file import Sidecar

    check_output(dst, overwrite=overwrite, source=src)
    reader = Reader(Sidecar.open(src))
    write_geotiff(reader.scene(), reader.to_dask(), dst)
    click.echo(f"{dst}: {dst.stat().st_size:,} bytes")


@click.command()
@click.argument("src", type=SIDECAR)
@click.option("--json", "as_json", is_flag=True, help="All figures, as JSON.")
def info(src: Path | str, as_json: bool) -> None:
    """Say what the sidecar SRC holds: size, rates, measured quality, layers."""
    handle = xhsinr.open(src)
    click.echo(json.dumps(handle.info, indent=2) if as_json else repr(handle))


@click.command()
@click.argument("src", type=SIDECAR)
@click.option("--level", type=click.Choice(LEVELS), default="decode", show_default=True)
@click.option("--against", type=EXISTING, help="The original, to measure the decoded scene.")
def verify(src: Path | str, level: str, against: Path | None) -> None:
    """Check that the sidecar SRC is whole; exit code 1 if it is not."""
    found = xhsinr.verify(src, level=level, against=against)
    for error in found.errors:
        click.echo(error, err=True)
    if not found.valid:
        sys.exit(1)
    what = f"{level}, against {against}" if against else level
    click.echo(f"{src}: valid ({what}; {found.tiles} tiles)")
    if found.quality is not None:
        psnr, largest = found.quality.psnr_db, found.quality.max_error
        click.echo(f"measured: PSNR {psnr:.2f} dB, largest error {largest:g}")
