"""``rio hsinr``: the commands of one scene as a plugin of rasterio's shell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rasterio.rio import options

from xhsinr.cli import gdal, scene
from xhsinr.cli.common import EXISTING, OUT, Group, preview_option, quality_options

__all__ = ["hsinr"]


def _input_and_output(command: Any) -> Any:
    """Add ``INPUT``, ``OUTPUT``, ``-o`` and ``--overwrite``, as in rasterio's own commands."""
    parameters = [
        click.argument("src", type=EXISTING, metavar="INPUT"),
        click.argument("dst", type=OUT, required=False, metavar="[OUTPUT]"),
        options.output_opt,
        options.overwrite_opt,
    ]
    for parameter in reversed(parameters):
        command = parameter(command)
    return command


@click.group(cls=Group)
def hsinr() -> None:
    """Compress hyperspectral scenes, and read them back."""


@hsinr.command(short_help="Compress a scene.")
@_input_and_output
@quality_options
@preview_option
@click.pass_context
def compress(ctx: click.Context, /, dst: Path | None, output: str | None, **rest: Any) -> None:
    """Compress the scene INPUT into the sidecar OUTPUT (INPUT with .hsinr if not given)."""
    ctx.invoke(scene.compress, dst=_chosen(dst, output), **rest)


@hsinr.command(short_help="Decode a sidecar into a GeoTIFF.")
@_input_and_output
@click.pass_context
def decompress(ctx: click.Context, /, dst: Path | None, output: str | None, **rest: Any) -> None:
    """Decode the sidecar INPUT into the GeoTIFF OUTPUT."""
    chosen = _chosen(dst, output)
    if chosen is None:
        raise click.UsageError("give the OUTPUT, as an argument or with -o")
    ctx.invoke(scene.decompress, dst=chosen, **rest)


@hsinr.command(short_help="Write a VRT for GDAL.")
@_input_and_output
@click.pass_context
def vrt(ctx: click.Context, /, dst: Path | None, output: str | None, **rest: Any) -> None:
    """Write a VRT that lets GDAL read the sidecar INPUT (INPUT with .vrt if not given)."""
    ctx.invoke(gdal.vrt, dst=_chosen(dst, output), **rest)


hsinr.add_command(scene.info)
hsinr.add_command(scene.verify)


def _chosen(dst: Path | None, output: str | None) -> Path | None:
    """The output, which rasterio's commands take in either way."""
    if dst is not None and output is not None:
        raise click.UsageError("give the OUTPUT once: as an argument or with -o")
    return dst if output is None else Path(output)
