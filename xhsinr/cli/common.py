"""What the commands share: errors as text, paths, and the options of `xhsinr.compress`."""

from __future__ import annotations

import warnings
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import click

from xhsinr.errors import Caution, HsinrError, printable
from xhsinr.storage import locate
from xhsinr.target import PROFILES, Settings

__all__ = [
    "EXISTING",
    "OUT",
    "PLACE",
    "SIDECAR",
    "SOURCE",
    "Group",
    "echo",
    "overwrite_option",
    "preview_option",
    "quality_options",
]


class _PathOrUrl(click.Path):
    """A path, or a URL, which is not looked at yet."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        place = locate(value)
        return place if isinstance(place, str) else super().convert(value, param, ctx)


EXISTING = click.Path(exists=True, path_type=Path)
SIDECAR = _PathOrUrl(exists=True, path_type=Path)
SOURCE = SIDECAR
OUT = click.Path(path_type=Path)
PLACE = _PathOrUrl(path_type=Path)


class Group(click.Group):
    """Turns warnings into lines, and the package's and the file system's errors into one.

    These end with an exit code of 1.
    """

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Caution)  # they are in what the commands print
                warnings.showwarning = _show
                return super().invoke(ctx)
        except BrokenPipeError:
            raise  # click ends quietly when the reader of its output has gone
        except click.UsageError as error:
            if "unexpected extra argument" in error.message:
                hint = ". A glob needs quotes, and `xhsinr archive` takes many scenes."
                raise click.UsageError(error.message + hint, error.ctx) from error
            raise
        except (HsinrError, OSError) as error:
            raise click.ClickException(printable(str(error))) from error
        except UnicodeError as error:
            raise click.ClickException(
                f"a name is not UTF-8, which what is to read or write it needs ({error}): rename it"
            ) from error


def _show(message: Warning | str, *_: object, **__: object) -> None:
    echo(f"Warning: {message}", err=True)


def echo(text: str, *, err: bool = False) -> None:
    """Print a line or several, see `xhsinr.errors.printable`."""
    click.echo(printable(text), err=err)


def quality_options(command: Any) -> Any:
    """Add the options that say how good the files have to be, and how they are made."""
    for field in reversed(fields(Settings)):
        command = _option(field)(command)
    return command


def _option(field: Field[Any]) -> Any:
    """The option of a parameter: a flag, a choice, or what its type reads."""
    kinds = {"float | None": float, "int | None": int}
    name, about = f"--{field.name.replace('_', '-')}", field.metadata
    if field.default is False:
        return click.option(name, is_flag=True, help=about["help"])
    kind = click.Choice(list(PROFILES)) if field.name == "quality" else kinds.get(str(field.type))
    return click.option(
        name, type=kind, default=field.default, metavar=about["metavar"], help=about["help"]
    )


overwrite_option = click.option("--overwrite", is_flag=True, help="Replace an existing file.")
preview_option = click.option(
    "--preview", is_flag=True, help="Write a small picture beside it, a GeoTIFF."
)
