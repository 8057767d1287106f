"""What the README says works as it stands on the demo's files, and again."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from xhsinr.cli import main
from xhsinr.demo import synthetic_scene
from xhsinr.scene import read, write_geotiff
from xhsinr.sidecar.file import Sidecar

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"<!-- runs: (\w+) -->\n```(\w+)\n(.*?)```", re.DOTALL)


def blocks() -> list[tuple[str, str, str]]:
    return BLOCK.findall(README.read_text("utf-8"))


def run_python(text: str, folder: Path, times: int) -> None:
    code = f"import warnings; warnings.simplefilter('ignore')\nfor _ in range({times}):\n"
    run([sys.executable, "-c", f"{code}    exec({text!r}, {{}})"], folder)


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def after_the_first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the demo's scene, smaller, in which the first block ran, twice."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "demo").mkdir()
    scene = synthetic_scene(96, 96, 24, nodata_corner=True)
    write_geotiff(read(scene), scene.values, folder / "demo" / "scene.tif")
    run_python(next(block for name, _, block in blocks() if name == "first"), folder, 2)
    return folder


@pytest.fixture
def demo(after_the_first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(after_the_first, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    return tmp_path


def test_there_are_blocks_to_run() -> None:
    assert {name for name, _, _ in blocks()} >= {"first", "jupyter", "shell", "cluster", "gdal"}


def test_the_first_block_runs_as_it_stands_twice(demo: Path) -> None:
    assert Sidecar.open(demo / "demo" / "scene.hsinr").header.shape == (24, 96, 96)


@pytest.mark.parametrize(
    ("language", "text"),
    [block[1:] for block in blocks() if block[0] != "first"],
    ids=[block[0] for block in blocks() if block[0] != "first"],
)
def test_a_block_runs_as_it_stands_twice(demo: Path, language: str, text: str) -> None:
    if language == "python":
        run_python(text, demo, 2)
        return
    # The shell says what it would start, and this process does it: programs are slow to start.
    asked = run(["bash", "-e", "-c", f"xhsinr() {{ printf '%s\\0' \"$@\"; echo; }}\n{text}"], demo)
    commands = [line.split("\0")[:-1] for line in asked.splitlines()]
    assert len(commands) == text.count("xhsinr ")
    for command in 2 * commands:
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
