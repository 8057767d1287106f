"""What the commands share: errors as text, paths, and the options of `xhsinr.compress`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xhsinr.errors import HsinrError
from xhsinr.storage import locate
from xhsinr.target import PROFILES

__all__ = [
    "EXISTING",
    "OUT",
    "SIDECAR",
    "Group",
    "overwrite_option",
    "preview_option",
    "quality_options",
]


class _PathOrUrl(click.Path):
    """A file that exists, or a URL, which is not looked at yet."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        place = locate(value)
        return place if isinstance(place, str) else super().convert(value, param, ctx)


EXISTING = click.Path(exists=True, path_type=Path)
SIDECAR = _PathOrUrl(exists=True, path_type=Path)
OUT = click.Path(path_type=Path)

_QUALITY = [
    click.option("--quality", type=click.Choice(list(PROFILES)), help="A named quality."),
    click.option("--psnr", type=float, metavar="DB", help="At least this PSNR, in dB."),
    click.option("--max-error", type=float, metavar="X", help="No sample off by more than X."),
    click.option("--bpppb", type=float, metavar="BITS", help="At most this many bits per sample."),
    click.option("--lossless", is_flag=True, help="Every bit."),
    click.option("--network", help="A base network of your own: name or file."),
    click.option("--tile", type=int, help="Side of a tile in pixels, else 96 to 256."),
    click.option("--device", default="auto", show_default=True, help="cpu, cuda or auto."),
    click.option(
        "--max-memory", metavar="BYTES", help="Most memory of a process, such as '1.5 GB'."
    ),
]


class Group(click.Group):
    """Turns the package's and the file system's errors into text and an exit code of 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # click ends quietly when the reader of its output has gone
        except (HsinrError, OSError) as error:
            raise click.ClickException(str(error)) from error


def quality_options(command: Any) -> Any:
    """Add the options that say how good the files have to be, and how they are made."""
    for option in reversed(_QUALITY):
        command = option(command)
    return command


def overwrite_option(command: Any) -> Any:
    """Add ``--overwrite``."""
    return click.option("--overwrite", is_flag=True, help="Replace an existing file.")(command)


def preview_option(command: Any) -> Any:
    """Add ``--preview``."""
    return click.option(
        "--preview", is_flag=True, help="Write a small picture beside it, a GeoTIFF."
    )(command)
