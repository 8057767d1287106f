"""Measure the package alone: every named quality of a folder's test scenes, or a page's rows anew.

    python examples/benchmark.py SCENES                   # prints a table
    python examples/benchmark.py SCENES docs/results.md   # measures its rows, in place

SCENES is a folder of ``.npy`` scenes (rows, cols, bands) with a ``scenes.csv``. The first two
cells of a row are its scene and what is asked for, such as ```psnr=45, tile=256```; the others are
measured. ``NAME@SIDE`` is a mosaic of a scene, for tiles against one. For networks that were
trained on the scenes see ``reproduce_paper.py``, for other codecs on the same ``xhsinr bench``.
"""

from __future__ import annotations

import argparse
import ast
import csv
import math
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import xhsinr
from xhsinr.bench.scenes import mosaic
from xhsinr.target import PROFILES

_HEAD = (
    "| scene | target | bytes | bpppb | PSNR (dB) | largest error | mean SAM (deg) "
    "| encode (s) | decode (s) |",
    "|---|---|---:|---:|---:|---:|---:|---:|---:|",
)
_ROW = re.compile(r"\| ([\w@-]+) \| `([^`]+)` \|")


def measured(scenes: Path, name: str, target: str) -> str:
    """The row of a scene and a target."""
    crop, _, side = name.partition("@")
    scene = np.load(scenes / f"{crop}.npy")
    if side:
        scene = mosaic(scene, int(side))
    asked = dict(word.split("=") for word in target.split(", "))
    settings: dict[str, Any] = {key: _value(text) for key, text in asked.items()}
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        made = xhsinr.compress(scene, Path(folder) / "a.hsinr", progress=False, **settings)
        encoded = time.process_time()
        made.open().load()
        end = time.process_time()
        info = made.info
    decibels = math.inf if info["psnr_db"] is None else info["psnr_db"]
    return (
        f"| {name} | `{target}` | {info['bytes']:,} | {info['bpppb']:.4f} "
        f"| {decibels:.2f} | {info['max_error']:g} | {info['mean_sam_deg']:.3f} "
        f"| {encoded - start:.1f} | {end - encoded:.2f} |"
    )


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except ValueError:  # the name of a quality
        return text


def renewed(scenes: Path, lines: Sequence[str]) -> str:
    """The lines of a page with every row measured."""
    rows = [row.groups() for line in lines if (row := _ROW.match(line))]
    for first in {row[1]: row for row in rows}.values():
        measured(scenes, *first)  # what is compiled or loaded once counts for no row
    done = [
        measured(scenes, *row.groups()) if (row := _ROW.match(line)) else line
        for line in tqdm(lines, unit="row")
    ]
    return "\n".join(done) + "\n"


def qualities(scenes: Path) -> list[str]:
    """A table of the test scenes and named qualities, not yet measured."""
    with (scenes / "scenes.csv").open(newline="") as file:
        names = [row["scene"] for row in csv.DictReader(file) if row["split"] == "test"]
    return [*_HEAD, *(f"| {name} | `quality={key}` |" for name in names for key in PROFILES)]


def main(given: Sequence[str] | None = None) -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("scenes", type=Path)
    parser.add_argument("page", type=Path, nargs="?", help="Markdown file whose rows are measured")
    arguments = parser.parse_args(given)
    if arguments.page is None:
        print(renewed(arguments.scenes, qualities(arguments.scenes)), end="")
    else:
        lines = arguments.page.read_text("utf-8").splitlines()
        arguments.page.write_text(renewed(arguments.scenes, lines), "utf-8")


if __name__ == "__main__":
    main()
