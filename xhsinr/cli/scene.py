"""``compress``, ``decompress``, ``info``, ``verify``, ``salvage``: one scene, one sidecar."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

import xhsinr
from xhsinr.cli.common import (
    OUT,
    PLACE,
    SIDECAR,
    SOURCE,
    echo,
    overwrite_option,
    preview_option,
    quality_options,
)
from xhsinr.target import VERIFY_LEVELS

__all__ = ["compress", "decompress", "info", "salvage", "verify"]


@click.command()
@click.argument("src", type=SOURCE)
@click.argument("dst", type=PLACE, required=False)
@quality_options
@click.option("--variable", metavar="NAME", help="Which variable of netCDF or Zarr is the scene.")
@preview_option
@overwrite_option
def compress(src: Path | str, dst: Path | str | None, variable: str | None, **options: Any) -> None:
    """Compress the scene SRC into the sidecar DST (SRC with .hsinr if not given), a path or a URL.

    SRC is a GeoTIFF, ENVI, netCDF, Zarr, MATLAB (.mat) or NumPy (.npy) file, the last two of
    (rows, cols, bands), another image that GDAL opens, a URL of one, or a product as it comes. Ask
    for one quality at most; the default is 'standard'. A sidecar is the .hsinr file that holds one
    compressed scene.
    """
    from xhsinr.compression.pipeline import default_path
    from xhsinr.scene.files import open_file

    path = dst or default_path(src)
    if isinstance(path, Path) and path.is_file() and path.suffix.lower() != ".hsinr":
        raise click.UsageError(
            f"{path} is there and no .hsinr file: give the name of a sidecar as DST. A glob needs "
            "quotes, and `xhsinr archive` takes many scenes."
        )
    source = open_file(src, variable) if variable else src
    made = xhsinr.compress(source, path, **options)
    size, before = made.info["bytes"], _bytes_of(src)
    smaller = f", {before / size:.1f} times smaller than {src}" if before else ""
    echo(f"{made.sidecar.place}: {size:,} bytes{smaller}\n{made.text()}")


def _bytes_of(src: Path | str) -> int | None:
    """Bytes of a source on the disk; None where they are not told."""
    if isinstance(src, str):
        return None
    if src.is_dir():
        return sum(file.stat().st_size for file in src.rglob("*") if file.is_file())
    # The samples of an ENVI scene are beside its header.
    return None if src.suffix.lower() == ".hdr" else src.stat().st_size


@click.command()
@click.argument("src", type=SIDECAR)
@click.argument("dst", type=OUT)
@click.option("--ortho", is_flag=True, help="On the ground, by the lookup table of its product.")
@overwrite_option
def decompress(src: Path | str, dst: Path, ortho: bool, overwrite: bool) -> None:
    """Decode the sidecar SRC into DST, in the format of its suffix.

    .tif is a GeoTIFF, .nc netCDF, .zarr Zarr, .img or .dat ENVI.
    """
    from xhsinr.outputs import check_output
    from xhsinr.reading.reader import Reader
    from xhsinr.scene.formats import check_format, write_scene
    from xhsinr.scene.ortho import orthorectified
    from xhsinr.sidecar.file import Sidecar

    check_format(dst)
    check_output(dst, overwrite=overwrite, source=src)
    reader = Reader(Sidecar.open(src))
    scene, samples = reader.scene(), reader.to_dask()
    if ortho:
        scene = orthorectified(scene)
        samples = scene.data
    write_scene(scene, samples, dst)
    size = _bytes_of(dst)
    echo(f"{dst}: {size:,} bytes")


@click.command()
@click.argument("src", type=SIDECAR)
@click.option("--json", "as_json", is_flag=True, help="All figures, as JSON.")
def info(src: Path | str, as_json: bool) -> None:
    """Say what the sidecar SRC holds: size, rates, measured quality, parts."""
    handle = xhsinr.open(src)
    echo(json.dumps(handle.info, indent=2) if as_json else f"{src}\n{handle.text()}")


@click.command()
@click.argument("src", type=SIDECAR)
@click.option("--level", type=click.Choice(VERIFY_LEVELS), default="decode", show_default=True)
@click.option("--against", type=SOURCE, help="The original, to measure the decoded scene.")
def verify(src: Path | str, level: str, against: Path | str | None) -> None:
    """Check that the sidecar SRC is whole; exit code 1 if it is not."""
    found = xhsinr.verify(src, level=level, against=against)
    for error in found.errors:
        echo(error, err=True)
    if not found.valid:
        sys.exit(1)
    what = f"{level}, against {against}" if against else level
    echo(f"{src}: valid ({what}; {found.tiles} tiles)")
    if found.quality is not None:
        psnr, largest = found.quality.psnr_db, found.quality.max_error
        angle = found.quality.mean_sam_deg
        how = f"PSNR {psnr:.2f} dB" if largest else "lossless"
        echo(f"measured: {how}, mean spectral angle {angle:.4g}°, largest error {largest:g}")


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
    rest = f"; the others are {saved.nodata}" if saved.lost else ""
    echo(f"{dst}: {kept} of {saved.tiles} tiles saved{rest}")
    if not kept:
        sys.exit(1)
