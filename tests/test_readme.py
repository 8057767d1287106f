"""What the README says works as it stands on the demo's files, and again."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from xhsinr.demo import synthetic_scene
from xhsinr.scene import read, write_geotiff

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"<!-- runs: (\w+) -->\n```(\w+)\n(.*?)```", re.DOTALL)


def blocks() -> list[tuple[str, str, str]]:
    return BLOCK.findall(README.read_text("utf-8"))


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "demo").mkdir()
    # The demo's scene, smaller.
    scene = synthetic_scene(96, 96, 24, nodata_corner=True)
    write_geotiff(read(scene), scene.values, tmp_path / "demo" / "scene.tif")
    monkeypatch.chdir(tmp_path)
    command = shutil.which("xhsinr", path=str(Path(sys.executable).parent))
    assert command is not None
    monkeypatch.setenv("PATH", str(Path(command).parent), prepend=":")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    return tmp_path


def test_there_are_blocks_to_run() -> None:
    assert {name for name, _, _ in blocks()} >= {"first", "jupyter", "shell", "cluster", "gdal"}


@pytest.mark.parametrize(
    ("language", "text"), [b[1:] for b in blocks()], ids=[b[0] for b in blocks()]
)
def test_a_block_runs_as_it_stands_twice(demo: Path, language: str, text: str) -> None:
    from_first = next(block for name, _, block in blocks() if name == "first")
    python = "import warnings; warnings.simplefilter('ignore')\n"
    code = text if language == "bash" else python + text
    program = ["bash", "-e", "-c"] if language == "bash" else [sys.executable, "-c"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        subprocess.run([sys.executable, "-c", python + from_first], check=True)
    for _ in range(2):
        done = subprocess.run([*program, code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
