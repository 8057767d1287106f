from __future__ import annotations

import csv
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import xhsinr

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    return _load("benchmark")


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    sources = np.cumsum(np.cumsum(rng.normal(size=(32, 32, 3)), axis=0), axis=1)
    cube = sources @ np.cumsum(rng.normal(size=(3, 12)), axis=1)
    cube = 3000 * (cube - cube.min()) / np.ptp(cube) + rng.normal(scale=8, size=cube.shape)
    np.save(tmp_path / "tiny.npy", cube.astype(np.int16))
    with (tmp_path / "scenes.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("scene", "split"), ("tiny", "test"), ("gone", "train")])
    return tmp_path


def _rows(markdown: str, title: str) -> list[dict[str, str]]:
    section = markdown.split(f"## {title}")[1].split("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:1] == "|"]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def test_the_benchmark_reports_what_the_files_hold(folder: Path, benchmark: ModuleType) -> None:
    out = folder / "results.md"
    benchmark.main([str(folder), "--out", str(out)])
    markdown = out.read_text()
    cube = np.load(folder / "tiny.npy").astype(float)

    held_out = _rows(markdown, "Held-out")
    assert [row["quality"] for row in held_out] == ["preview", "standard", "analysis", "archive"]
    for row in held_out:
        compressed = xhsinr.compress(
            folder / "tiny.npy", folder / "a.hsinr", quality=row["quality"], overwrite=True
        )
        size = (folder / "a.hsinr").stat().st_size
        error = compressed.open().values - cube
        assert row["bytes"] == f"{size:,}"
        assert row["bpppb"] == f"{8 * size / cube.size:.4f}"
        assert float(row["bpppb of samples"]) < float(row["bpppb"])
        assert float(row["RMSE"]) == pytest.approx(np.sqrt(np.square(error).mean()), rel=1e-3)
        assert float(row["largest error"]) == pytest.approx(np.abs(error).max())
    assert float(held_out[-1]["PSNR (dB)"]) == np.inf


def test_the_rows_of_a_page_are_measured_anew_and_its_text_stays(folder: Path) -> None:
    page = folder / "page.md"
    rows = ["| tiny | `lossless=True` | 1 | 9 |", "| tiny | `psnr=45` | 1 | 9 |"]
    page.write_text("\n".join(["# Measured", "| scene | target | bytes |", *rows, "The end."]))
    _load("renew_results").main([str(folder), str(page)])
    first, head, lossless, lossy, last = page.read_text().splitlines()
    assert (first, head, last) == ("# Measured", "| scene | target | bytes |", "The end.")
    path = folder / "a.hsinr"
    for row, target in ((lossless, {"lossless": True}), (lossy, {"psnr": 45.0})):
        xhsinr.compress(np.load(folder / "tiny.npy"), path, overwrite=True, **target)
        assert row.split(" | ")[2] == f"{path.stat().st_size:,}"
    assert lossless.split(" | ")[4:6] == ["inf", "0"]


def test_no_tile_edge_lies_on_a_seam_of_the_mosaic(benchmark: ModuleType) -> None:
    mirrored = benchmark.mirrored(np.arange(6).reshape(2, 3, 1), 5, 4)
    assert mirrored[..., 0].tolist() == [
        [0, 1, 2, 2],
        [3, 4, 5, 5],
        [3, 4, 5, 5],
        [0, 1, 2, 2],
        [0, 1, 2, 2],
    ]
    seams = np.linspace(0, benchmark.SIDE, len(benchmark.MOSAIC) + 1).astype(int)[1:-1]
    assert (seams % benchmark.TILE != 0).all()
