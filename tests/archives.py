"""Sources to make archives of, and what an archive is to have."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pystac

from xhsinr.demo import synthetic_scene

IDS = ("one", "three", "two")
ENDS = (".hsinr", ".preview.tif", ".thumbnail.jpg", ".spectra.svg", ".metadata.json", ".json")


def make_sources(folder: Path, ids: tuple[str, ...] = IDS, side: int = 24) -> Path:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(ids):
        samples = synthetic_scene(side, side + number, 8).transpose("y", "x", "band").values
        np.save(folder / f"{name}.npy", samples)
    return folder


def files_of(out: Path) -> set[str]:
    return {str(path.relative_to(out)) for path in out.rglob("*") if not path.is_dir()}


def expected_files(ids: Iterable[str]) -> set[str]:
    """All files of an archive of scenes."""
    root = {"archive.json", "catalog.json", "collection.json", "index.html", "report.csv"}
    return root | {f"{name}/{name}{end}" for name in ids for end in ENDS}


def ids_in_catalog(out: Path) -> list[str]:
    items = pystac.Catalog.from_file(str(out / "catalog.json")).get_items(recursive=True)
    return sorted(item.id for item in items)


def rows_of(out: Path) -> dict[str, dict[str, str]]:
    with (out / "report.csv").open(newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def run_archive(*given: object, before: str = "") -> subprocess.Popen[str]:
    """`xhsinr archive` in a process of its own, and group; what it says is on its stdout."""
    code = f"{before}\nfrom xhsinr.cli import main\nmain(['archive', *__import__('sys').argv[1:]])"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, given)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
