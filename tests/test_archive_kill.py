"""Stopped or killed at any moment and run again, an archive ends up whole."""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pystac
import pytest
from archives import (
    expected_files,
    files_of,
    ids_in_catalog,
    make_sources,
    rows_of,
    run_archive,
)
from click.testing import CliRunner

from xhsinr.archiving import verify_archive
from xhsinr.cli import main

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kills by signal")

SIDE = 20


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
    assert files_of(out) == expected_files(names)
    assert {path.name for path in out.iterdir() if path.is_dir()} == set(names)
    assert ids_in_catalog(out) == names
    found = verify_archive(out, progress=False)
    assert found.errors == ()
    assert len(found.checked) == count


def kill_and_finish(catalog: Path, out: Path, kills: int, count: int, *options: str) -> None:
    dice = random.Random()
    for _ in range(kills):
        process = run_archive(catalog, out, *options)
        wait_until_at_work(process, out)
        time.sleep(dice.uniform(0, 0.5))
        process.kill()
        process.communicate(timeout=60)
    before = finished(out)
    process = run_archive(catalog, out, *options)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert_whole(out, count)
    statuses = [row["status"] for row in rows_of(out).values()]
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
    process = run_archive(catalog, out, "--workers", "2")
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


@pytest.mark.parametrize(
    ("number", "code", "workers"),
    [(signal.SIGTERM, 143, ()), (signal.SIGINT, 1, ("--workers", "2"))],
)
def test_stopped_by_a_signal_it_drops_the_scene_in_hand_and_reports(
    tmp_path: Path, number: int, code: int, workers: tuple[str, ...]
) -> None:
    # So many that some are left when the signal comes, on a machine with other work, too.
    ids = tuple(f"scene{i:02}" for i in range(30))
    sources, out = make_sources(tmp_path / "sources", ids), tmp_path / "archive"
    process = run_archive(sources, out, *workers)
    end = time.monotonic() + 60
    while process.poll() is None and not any(out.glob("scene*/*.json")):
        assert time.monotonic() < end, "no scene gets done"
        time.sleep(0.005)
    # As a terminal does: to the whole group.
    os.killpg(process.pid, number)
    output, _ = process.communicate(timeout=60)
    rows = rows_of(out)
    pending = [name for name in rows if rows[name]["status"] == "pending"]
    finished = tuple(name for name in rows if rows[name]["status"] == "done")
    assert pending, output
    assert set(ids_in_catalog(out)) >= set(finished)
    assert not [name for name in files_of(out) if "/." in f"/{name}"]
    assert process.returncode in (code, -number)
    again = CliRunner().invoke(main, ["archive", str(sources), str(out)])
    assert again.exit_code == 0, again.output
    assert files_of(out) == expected_files(ids)
    assert ids_in_catalog(out) == list(ids)
