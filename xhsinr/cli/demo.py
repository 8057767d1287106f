"""``demo``: see what it does, in one command."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["demo"]


@click.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default="demo",
              show_default=True, help="Folder for the files and the figure.")  # fmt: skip
def demo(out: Path) -> None:
    """Compress a synthetic scene, verify it, decode it and draw what changed."""
    from xhsinr.demo import run

    run(out)
