"""``bench``: every codec on real scenes."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["bench"]

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_PROTOCOLS = ("held-out", "in-sample", "both")


def _list(_: click.Context, parameter: click.Parameter, value: str | None) -> list[str]:
    return [part.strip() for part in value.split(",")] if value else []


@click.command()
@click.option("--scenes", type=_FOLDER, required=True, envvar="XHSINR_SCENES", show_envvar=True,
              help="Folder of .npy scenes (rows, cols, bands) with a scenes.csv.")  # fmt: skip
@click.option("--scene", "names", multiple=True, metavar="NAME", help="One scene; may repeat.")
@click.option("--codecs", callback=_list, metavar="A,B", help="Codecs; all if not given.")
@click.option("--rates", callback=_list, metavar="X,Y", help="Rates in bpppb.")
@click.option("--protocol", type=click.Choice(_PROTOCOLS), default="both", show_default=True)
@click.option("--network", type=_FILE, help="A network that was trained on the scenes, in-sample.")
@click.option("--quick", is_flag=True, help="One scene, one rate, one bound, short fits.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True,
              help="Folder for results.csv, tables.md and the figures.")  # fmt: skip
def bench(
    scenes: Path,
    names: tuple[str, ...],
    codecs: list[str],
    rates: list[str],
    protocol: str,
    network: Path | None,
    quick: bool,
    out: Path,
) -> None:
    """Measure all codecs on real scenes, from real bitstreams.

    Run it again to go on: rows of OUT/results.csv are not measured twice.
    """
    from xhsinr.bench import run
    from xhsinr.bench.cases import Plan
    from xhsinr.bench.codecs import CODECS
    from xhsinr.bench.scenes import DEFAULT_SCENES

    try:
        asked = tuple(float(rate) for rate in rates)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--rates") from error
    plan = Plan(
        codecs=codecs or tuple(CODECS),
        rates=asked,
        protocol=protocol,
        network=str(network or ""),
        quick=quick,
    )
    page = run.bench(scenes, names or DEFAULT_SCENES[: 1 if quick else None], plan, out)
    click.echo(f"{page}: tables; results.csv and the figures are beside it")
