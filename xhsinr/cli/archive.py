"""``archive``: many scenes at once, and looking after what they became."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import click

import xhsinr
from xhsinr.cli.common import echo, quality_options
from xhsinr.errors import counted

__all__ = ["archive"]


class _Share(click.ParamType[float]):
    """A share such as 5%, or 0.05."""

    name = "share"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        text = str(value)
        try:
            return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            self.fail(f"{text!r} is no share: give one such as 5%", param, ctx)


@click.command()
@click.argument("paths", nargs=-1, metavar="SOURCE OUT")
@quality_options
@click.option("--collection", multiple=True, metavar="NAME",
              help="Search a STAC API, at SOURCE, in this collection.")  # fmt: skip
@click.option("--bbox", type=float, nargs=4, metavar="W S E N",
              help="Search for what touches this box, in degrees.")  # fmt: skip
@click.option("--datetime", metavar="TIME",
              help="Search for a moment or interval: 2024-06/2024-08.")  # fmt: skip
@click.option("--scheduler", metavar="ADDRESS", help="dask scheduler, such as tcp://host:8786.")
@click.option("--workers", type=int, metavar="N", help="Processes to start on this machine.")
@click.option("--retries", default=2, show_default=True, help="Tries more for a failed scene.")
@click.option("--overwrite", is_flag=True,
              help="Replace scenes that were asked for otherwise.")  # fmt: skip
@click.option("--strict", is_flag=True, help="Exit code 1 if a scene has a caution, too.")
@click.option("--verify", "task", flag_value="verify", help="Check the archive OUT.")
@click.option("--sample", type=_Share(), default="100%", show_default=True,
              help="With --verify: the share of the scenes to check.")  # fmt: skip
@click.option("--restore", "task", flag_value="restore",
              help="Decode the archive's scene SCENE into the GeoTIFF DST.")  # fmt: skip
@click.option("--retrain", "task", flag_value="retrain",
              help="Tune the network of lossy files to the archive OUT.")  # fmt: skip
@click.option("--steps", type=int, help="With --retrain: steps of the training.")
def archive(
    paths: tuple[str, ...],
    task: str | None,
    sample: float,
    steps: int | None,
    scheduler: str | None,
    workers: int | None,
    retries: int,
    strict: bool,
    **options: Any,
) -> None:
    """Compress the scenes of SOURCE into the archive OUT, with a STAC catalog.

    SOURCE is a STAC catalog, collection, item or ItemCollection, or a folder or a glob of
    scenes, or the URL of a STAC API to search. OUT is a folder or a URL such as s3://bucket/archive.
    Scenes that are finished are skipped: run it again after a stop. The archive remembers
    what it was asked for: run it again without options. Exit code 1 if a scene is missing in the
    end; OUT/report.csv says why, and what of a scene's quality to be wary of.

    \b
        xhsinr archive SOURCE OUT [--psnr 45] [--workers 4]
        xhsinr archive https://host/api OUT --collection C [--bbox W S E N] [--datetime TIME]
        xhsinr archive --verify OUT [--sample 5%]
        xhsinr archive --restore OUT/scene scene.tif
        xhsinr archive --retrain OUT
    """
    wanted = {None: 2, "verify": 1, "restore": 2, "retrain": 1}[task]
    if len(paths) != wanted:
        words = {None: "SOURCE and OUT", "restore": "SCENE and DST"}.get(task, "the archive OUT")
        hint = "" if task or len(paths) < wanted else ": a glob needs quotes"
        raise click.UsageError(f"{f'--{task}' if task else 'archive'} needs {words}{hint}")
    if task == "verify":
        _verify(paths[0], sample, scheduler, workers)
    elif task == "restore":
        from xhsinr.archiving import restore

        path = restore(*paths)
        echo(f"{path}: {path.stat().st_size:,} bytes")
    elif task == "retrain":
        _retrain(paths[0], steps)
    else:
        report = xhsinr.archive(
            *paths, scheduler=scheduler, workers=workers, retries=retries, **options
        )
        echo("\n".join(report.lines()))
        sys.exit(0 if report.ok and not (strict and report.cautions) else 1)


def _verify(out: str, sample: float, scheduler: str | None, workers: int | None) -> None:
    from xhsinr.archiving import verify_archive

    found = verify_archive(out, sample=sample, scheduler=scheduler, workers=workers)
    for error in found.errors:
        echo(error, err=True)
    if not found.valid:
        sys.exit(1)
    scenes = counted(found.scenes, "scene")
    echo(f"{out}: {len(found.checked)} of {scenes} checked, all valid")


def _retrain(out: str, steps: int | None) -> None:
    from xhsinr.archiving.retrain import TUNING, retrain

    found = retrain(out, TUNING if steps is None else replace(TUNING, steps=(steps,)))
    echo(
        f"{found.network}: {len(found.scenes)} lossy scenes take {found.bytes:,} bytes in place of "
        f"{found.bytes_before:,}, and the network {found.network_bytes:,} once: "
        f"{found.gain:+.1%} saved, in-sample"
    )
