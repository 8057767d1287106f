"""Measure every row of docs/results.md anew, in place.

    python examples/renew_results.py SCENES [docs/results.md]

SCENES is a folder of ``.npy`` scenes (rows, cols, bands). The first two cells of a row are its
scene and what is asked for; the others are measured.
"""

from __future__ import annotations

import argparse
import math
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

import xhsinr

_ROW = re.compile(r"\| (\w+) \| `(\w+)=([\w.]+)` \|")


def measured(scenes: Path, name: str, key: str, value: str) -> str:
    """The row of a scene and a target."""
    number = True if value == "True" else value if value.isalpha() else float(value)
    scene = np.load(scenes / f"{name}.npy")
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        made = xhsinr.compress(scene, Path(folder) / "a.hsinr", progress=False, **{key: number})
        encoded = time.process_time()
        made.open().load()
        end = time.process_time()
        info = made.info
    decibels = math.inf if info["psnr_db"] is None else info["psnr_db"]
    return (
        f"| {name} | `{key}={value}` | {info['bytes']:,} | {info['bpppb']:.4f} "
        f"| {decibels:.2f} | {info['max_error']:.0f} | {info['mean_sam_deg']:.3f} "
        f"| {encoded - start:.1f} | {end - encoded:.2f} |"
    )


def main(given: Sequence[str] | None = None) -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("scenes", type=Path)
    parser.add_argument("page", type=Path, nargs="?", default=Path("docs/results.md"))
    arguments = parser.parse_args(given)
    lines = arguments.page.read_text("utf-8").splitlines()
    rows = [row.groups() for line in lines if (row := _ROW.match(line))]
    for first in {row[1]: row for row in rows}.values():
        measured(arguments.scenes, *first)  # what is compiled or loaded once counts for no row
    for number, line in enumerate(tqdm(lines, unit="row")):
        if row := _ROW.match(line):
            lines[number] = measured(arguments.scenes, *row.groups())
    arguments.page.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
