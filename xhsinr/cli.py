"""``xhsinr`` in the shell."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

import xhsinr
from xhsinr.errors import HsinrError
from xhsinr.target import PROFILES
from xhsinr.verification import LEVELS

__all__ = ["main"]

_EXISTING = click.Path(exists=True, path_type=Path)
_OUT = click.Path(path_type=Path)


class _Group(click.Group):
    """Turns the package's and the file system's errors into text and an exit code of 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # click ends quietly when the reader of its output has gone
        except (HsinrError, OSError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(xhsinr.__version__, prog_name="xhsinr")
def main() -> None:
    """Compress hyperspectral scenes, and read them back."""


def _overwrite(command: Any) -> Any:
    return click.option("--overwrite", is_flag=True, help="Replace an existing file.")(command)


@main.command()
@click.argument("src", type=_EXISTING)
@click.argument("dst", type=_OUT, required=False)
@click.option("--quality", type=click.Choice(list(PROFILES)), help="A named quality.")
@click.option("--psnr", type=float, metavar="DB", help="At least this PSNR, in dB.")
@click.option("--max-error", type=float, metavar="X", help="No sample off by more than X.")
@click.option("--bpppb", type=float, metavar="BITS", help="At most this many bits per sample.")
@click.option("--lossless", is_flag=True, help="Every bit.")
@click.option("--network", default="default", show_default=True, help="Base network: name or file.")
@click.option("--tile", default=256, show_default=True, help="Side of a tile in pixels.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda or auto.")
@_overwrite
def compress(src: Path, dst: Path | None, **options: Any) -> None:
    """Compress the scene SRC into the sidecar DST (SRC with .hsinr if not given).

    SRC is a GeoTIFF, ENVI, MATLAB (.mat) or NumPy (.npy) file, or what else GDAL opens. Ask
    for one quality at most; the default is 'standard'.
    """
    click.echo(repr(xhsinr.compress(src, dst or src.with_suffix(".hsinr"), **options)))


@main.command()
@click.argument("src", type=_EXISTING)
@click.argument("dst", type=_OUT)
@_overwrite
def decompress(src: Path, dst: Path, overwrite: bool) -> None:
    """Decode the sidecar SRC into the GeoTIFF DST."""
    from xhsinr.reading import Reader
    from xhsinr.scene import write_geotiff
    from xhsinr.sidecar import Sidecar
    from xhsinr.sidecar_writer import check_output

    check_output(dst, overwrite=overwrite, source=src)
    reader = Reader(Sidecar.open(src))
    write_geotiff(reader.scene(), reader.to_dask(), dst)
    click.echo(f"{dst}: {dst.stat().st_size:,} bytes")


@main.command()
@click.argument("src", type=_EXISTING)
@click.option("--json", "as_json", is_flag=True, help="All figures, as JSON.")
def info(src: Path, as_json: bool) -> None:
    """Say what the sidecar SRC holds: size, rates, measured quality, layers."""
    handle = xhsinr.open(src)
    click.echo(json.dumps(handle.info, indent=2) if as_json else repr(handle))


@main.command()
@click.argument("src", type=_EXISTING)
@click.option("--level", type=click.Choice(LEVELS), default="decode", show_default=True)
@click.option("--against", type=_EXISTING, help="The original, to measure the decoded scene.")
def verify(src: Path, level: str, against: Path | None) -> None:
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


@main.command()
@click.option(
    "--scenes", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True
)
@click.option("--out", type=_OUT, required=True, help="The .safetensors file to write.")
@click.option("--validation", multiple=True, metavar="NAME", help="Scene kept out; may repeat.")
@click.option("--only", multiple=True, metavar="NAME", help="Train on this scene; may repeat.")
@click.option("--recipe", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="JSON file with settings, see xhsinr.training.TrainingSettings.")  # fmt: skip
@click.option("--steps", type=int, help="Steps of the outer loop, in place of the recipe's.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint beside OUT.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@_overwrite
def train(
    scenes: Path,
    out: Path,
    validation: tuple[str, ...],
    only: tuple[str, ...],
    recipe: Path | None,
    steps: int | None,
    resume: bool,
    device: str,
    overwrite: bool,
) -> None:
    """Meta-learn a base network on a folder of scenes.

    Where the folder has a scenes.csv with a column 'split', only its 'train' scenes are used,
    unless they are named with --only.
    """
    from xhsinr import training
    from xhsinr.sidecar_writer import check_output

    check_output(out, overwrite=overwrite)
    settings = training.read_settings(recipe, steps)
    paths = training.find_scenes(scenes, only)
    loaded = [training.load_scene(path, settings) for path in paths]
    network = training.train(
        [scene for scene in loaded if scene.name not in validation],
        [scene for scene in loaded if scene.name in validation],
        settings,
        out,
        resume=resume,
        device=device,
    )
    click.echo(f"{out}: {network.file_bytes:,} bytes, SHA-256 {network.digest}")


@main.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default="demo",
              show_default=True, help="Folder for the files and the figure.")  # fmt: skip
def demo(out: Path) -> None:
    """Compress a synthetic scene, verify it, decode it and draw what changed."""
    from xhsinr.demo import run

    run(out)
