"""Killed at any moment and run again, an archive ends up whole."""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pystac
import pytest

from xhsinr.archiving import verify_archive

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kills by signal")

SIDE = 20
_RUN = "from xhsinr.cli import main; main()"


def make_catalog(scenes: Path, folder: Path, count: int) -> Path:
    """A STAC catalog of crops of real scenes."""
    with (scenes / "scenes.csv").open(newline="") as file:
        names = [row["scene"] for row in csv.DictReader(file)]
    catalog = pystac.Catalog("crops", "Crops of real scenes")
    (folder / "data").mkdir(parents=True)
    for number in range(count):
        cube = np.load(scenes / f"{names[number % len(names)]}.npy", mmap_mode="r")
        corner = number // len(names) * SIDE
        path = folder / "data" / f"crop{number:02}.npy"
        np.save(path, cube[corner : corner + SIDE, corner : corner + SIDE])
        taken = pystac.utils.str_to_datetime("2024-05-01T10:00:00Z")
        item = pystac.Item(path.stem, None, None, taken, {})
        item.add_asset("data", pystac.Asset(str(path), roles=["data"]))
        catalog.add_item(item)
    catalog.normalize_and_save(str(folder / "stac"), pystac.CatalogType.SELF_CONTAINED)
    return folder / "stac" / "catalog.json"


def start(catalog: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _RUN, "archive", str(catalog), str(out), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(out: Path) -> int:
    return len(list(out.glob("crop*/crop*.hsinr")))


def wait_until_at_work(process: subprocess.Popen[str], out: Path) -> None:
    """Until the run has a scene in hand, or is over."""
    end = time.monotonic() + 60
    while process.poll() is None and not list(out.glob(".crop*.xhsinr-*/*")):
        assert time.monotonic() < end, "the run does not get to work"
        time.sleep(0.002)


def assert_whole(out: Path, count: int) -> None:
    """Every scene is there, verified, catalogued once, and nothing else is."""
    names = [f"crop{number:02}" for number in range(count)]
    ends = (".hsinr", ".preview.tif", ".thumbnail.jpg", ".spectra.svg", ".metadata.json", ".json")
    expected = {f"{name}/{name}{end}" for name in names for end in ends}
    expected |= {"archive.json", "catalog.json", "collection.json", "index.html", "report.csv"}
    assert {str(p.relative_to(out)) for p in out.rglob("*") if not p.is_dir()} == expected
    assert {path.name for path in out.iterdir() if path.is_dir()} == set(names)
    items = pystac.Catalog.from_file(str(out / "catalog.json")).get_items(recursive=True)
    assert sorted(item.id for item in items) == names
    found = verify_archive(out, progress=False)
    assert found.errors == ()
    assert len(found.checked) == count


def kill_and_finish(catalog: Path, out: Path, kills: int, count: int, *options: str) -> None:
    dice = random.Random()
    for _ in range(kills):
        process = start(catalog, out, *options)
        wait_until_at_work(process, out)
        time.sleep(dice.uniform(0, 0.5))
        process.kill()
        process.communicate(timeout=60)
    before = finished(out)
    process = start(catalog, out, *options)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert_whole(out, count)
    with (out / "report.csv").open(newline="") as file:
        statuses = [row["status"] for row in csv.DictReader(file)]
    # The last kill may have come between a sidecar and its item.
    assert before - 1 <= statuses.count("skipped") <= before


def test_killed_twice_nothing_is_lost(scenes: Path, tmp_path: Path) -> None:
    catalog = make_catalog(scenes, tmp_path, 12)
    kill_and_finish(catalog, tmp_path / "out", 2, 12)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
def test_killed_ten_times_nothing_is_lost(
    scenes: Path, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    catalog = make_catalog(scenes, tmp_path, 40)
    kill_and_finish(catalog, tmp_path / "out", 10, 40, *workers)


def test_a_worker_that_is_killed_does_not_stop_the_batch(scenes: Path, tmp_path: Path) -> None:
    catalog, out = make_catalog(scenes, tmp_path, 8), tmp_path / "out"
    process = start(catalog, out, "--workers", "2")
    wait_until_at_work(process, out)
    # A run of two workers has three more processes: theirs, and Python's resource tracker.
    victim = _working(process.pid)
    os.kill(victim, signal.SIGKILL)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    assert_whole(out, 8)


def _working(parent: int) -> int:
    """The child of a process that has used the most time."""
    psutil = pytest.importorskip("psutil")
    children = psutil.Process(parent).children(recursive=True)
    return int(max(children, key=lambda child: child.cpu_times().user).pid)
