from __future__ import annotations

import csv
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import xhsinr
from xhsinr.bench.scenes import mosaic

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


def _cells(text: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line[:1] == "|"]


def test_the_benchmark_of_a_folder_reports_what_the_files_of_its_test_scenes_hold(
    folder: Path, benchmark: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark.main([str(folder)])
    head, _, *rows = _cells(capsys.readouterr().out)
    cube = np.load(folder / "tiny.npy").astype(float)
    path = folder / "a.hsinr"
    for cells, quality in zip(rows, ("preview", "standard", "analysis", "archive"), strict=True):
        row = dict(zip(head, cells, strict=True))
        assert (row["scene"], row["target"]) == ("tiny", f"`quality={quality}`")
        made = xhsinr.compress(folder / "tiny.npy", path, quality=quality, overwrite=True)
        size = path.stat().st_size
        assert row["bytes"] == f"{size:,}"
        assert row["bpppb"] == f"{8 * size / cube.size:.4f}"
        assert float(row["largest error"]) == np.abs(made.open().values - cube).max()
    assert row["PSNR (dB)"] == "inf"


def test_the_rows_of_a_page_are_measured_anew_and_its_text_stays(
    folder: Path, benchmark: ModuleType
) -> None:
    page = folder / "page.md"
    rows = [
        "| tiny | `lossless=True` | 1 | 9 |",
        "| tiny | `psnr=45` | 1 | 9 |",
        "| tiny@48 | `psnr=45, tile=16` | 1 | 9 |",
    ]
    page.write_text("\n".join(["# Measured", "| scene | target | bytes |", *rows, "The end."]))
    benchmark.main([str(folder), str(page)])
    text = page.read_text()
    assert text.startswith("# Measured\n| scene | target | bytes |\n| tiny | `lossless=True` | ")
    assert text.endswith(" |\nThe end.\n")
    cube, path = np.load(folder / "tiny.npy"), folder / "a.hsinr"
    _, lossless, lossy, tiles = _cells(text)
    for row, scene, target in (
        (lossless, cube, {"lossless": True}),
        (lossy, cube, {"psnr": 45.0}),
        (tiles, mosaic(cube, 48), {"psnr": 45, "tile": 16}),
    ):
        xhsinr.compress(scene, path, overwrite=True, **target)
        assert row[2] == f"{path.stat().st_size:,}"
    assert lossless[4:6] == ["inf", "0"]
