"""``salvage``: what is whole of a damaged file."""

from __future__ import annotations

import sys
from pathlib import Path

import click

import xhsinr
from xhsinr.cli.common import OUT, SIDECAR, echo, overwrite_option

__all__ = ["salvage"]


@click.command()
@click.argument("src", type=SIDECAR)
@click.argument("dst", type=OUT)
@click.option(
    "--nodata", type=float, help="Value for what is lost, if the scene has no nodata value."
)
@overwrite_option
def salvage(src: Path | str, dst: Path, nodata: float | None, overwrite: bool) -> None:
    """Save what is whole of the damaged sidecar SRC into the GeoTIFF DST.

    Tiles that are damaged become nodata and are listed. Exit code 1 if all of them are.
    """
    saved = xhsinr.salvage(src, dst, nodata=nodata, overwrite=overwrite)
    for tile in saved.lost:
        echo(str(tile))
    kept = saved.tiles - len(saved.lost)
    echo(f"{dst}: {kept} of {saved.tiles} tiles saved; the others are {saved.nodata}")
    if not kept:
        sys.exit(1)
