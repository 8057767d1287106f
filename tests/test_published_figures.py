"""A cell of each published table, computed anew: text that the code has left behind fails."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xhsinr
from xhsinr.bench.codecs import Target, load
from xhsinr.metrics import bpppb, psnr

ROOT = Path(__file__).parents[1]
README, RESULTS = ROOT / "README.md", ROOT / "docs" / "results.md"
BENCH = ROOT / "docs" / "benchmarks" / "results.csv"
# Bytes may differ a little from machine to machine.
BYTES, DECIBELS = 0.005, 0.06


def cell(page: Path, row: str, column: int) -> str:
    """The first table row of a page that begins so, and the text in one of its columns."""
    for line in page.read_text("utf-8").splitlines():
        if line.startswith(f"| {row} |"):
            return line.split("|")[column + 1].strip()
    raise AssertionError(f"{page.name} has no row {row!r}")


def number(text: str) -> float:
    found = re.match(r"[\d,.]+", text)
    assert found, text
    return float(found[0].replace(",", ""))


def info(scenes: Path, name: str, out: Path, **target: Any) -> dict[str, Any]:
    source = np.load(scenes / f"{name}.npy")
    return xhsinr.compress(source, out / "scene.hsinr", progress=False, **target).info


def test_qualities(scenes: Path, tmp_path: Path) -> None:
    found = info(scenes, "indian_pines_part", tmp_path)
    shown = cell(README, "Indian Pines, 85x70x200", 2)
    rate, decibels, angle = re.findall(r"[\d.]+", shown)
    assert found["bpppb"] == pytest.approx(float(rate), rel=BYTES)
    assert found["psnr_db"] == pytest.approx(float(decibels), abs=DECIBELS)
    assert found["mean_sam_deg"] == pytest.approx(float(angle), abs=0.01)


def test_what_the_angle_costs(scenes: Path, tmp_path: Path) -> None:
    lines = [x for x in README.read_text("utf-8").splitlines() if x.startswith("| Pavia Univ")]
    (shown,) = [line.split("|")[3] for line in lines if "(1.9°) | " in line]
    found = info(scenes, "paviau_140x80", tmp_path, psnr=45)
    assert found["bytes"] == pytest.approx(number(shown.strip()), rel=BYTES)


def test_lossless_next_to_others(scenes: Path, tmp_path: Path) -> None:
    found = info(scenes, "jasper_ridge_224", tmp_path, lossless=True)
    assert found["bpppb"] == pytest.approx(number(cell(README, "xhsinr", 1)), abs=0.006)
    cube = np.load(scenes / "jasper_ridge_224.npy")
    size = len(load("jpegls").encode(cube, Target("lossless")))
    assert bpppb(size, cube.size) == pytest.approx(number(cell(README, "JPEG-LS", 1)), abs=0.006)


def test_rates_next_to_jpeg2000(scenes: Path, tmp_path: Path) -> None:
    lines = [x for x in README.read_text("utf-8").splitlines() if x.startswith("| Pavia Univ")]
    (shown,) = [line.split("|")[3] for line in lines if " / " in line]
    ours, theirs = (float(figure) for figure in shown.split("/"))
    found = info(scenes, "paviau_140x80", tmp_path, bpppb=0.1)
    assert found["psnr_db"] == pytest.approx(ours, abs=DECIBELS)
    cube = np.load(scenes / "paviau_140x80.npy")
    codec = load("pca_jpeg2000")
    decoded = codec.decode(codec.encode(cube, Target("bpppb", 0.1)))
    assert psnr(cube, decoded) == pytest.approx(theirs, abs=DECIBELS)


def test_results(scenes: Path, tmp_path: Path) -> None:
    found = info(scenes, "paviau_subimg", tmp_path, psnr=45)
    row = "paviau_subimg | `psnr=45`"
    assert found["bytes"] == pytest.approx(number(cell(RESULTS, row, 2)), rel=BYTES)


def test_the_benchmark(scenes: Path) -> None:
    with BENCH.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["scene"] == "paviau_140x80"]
    (shown,) = [r for r in rows if (r["codec"], r["target"]) == ("ccsds123_hybrid", "max_error=16")]
    cube = np.load(scenes / "paviau_140x80.npy")
    found = load("ccsds123_hybrid").encode(cube, Target("max_error", 16))
    assert len(found) == int(shown["bytes"])
