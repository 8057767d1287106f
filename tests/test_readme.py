"""What the README says works as it stands on the demo's files, and again."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from xhsinr.cli import main
from xhsinr.demo import synthetic_scene
from xhsinr.scene import read, write_geotiff

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"<!-- runs: (\w+) -->\n```(\w+)\n(.*?)```", re.DOTALL)


def blocks() -> list[tuple[str, str, str]]:
    return BLOCK.findall(README.read_text("utf-8"))


def run_python(text: str, folder: Path, times: int) -> None:
    code = f"import warnings; warnings.simplefilter('ignore')\nfor _ in range({times}):\n"
    run([sys.executable, "-c", f"{code}    exec({text!r}, {{}})"], folder)


def run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def after_the_first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the demo's scene, smaller, in which the first block ran."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "demo").mkdir()
    scene = synthetic_scene(96, 96, 24, nodata_corner=True)
    write_geotiff(read(scene), scene.values, folder / "demo" / "scene.tif")
    run_python(next(block for name, _, block in blocks() if name == "first"), folder, 1)
    return folder


@pytest.fixture
def demo(after_the_first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(after_the_first, tmp_path, dirs_exist_ok=True)
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
    if language == "python":
        run_python(text, demo, 2)
        return
    run(["bash", "-e", "-c", text], demo)
    # The second time in this process: programs are slow to start.
    for line in text.splitlines():
        program, *arguments = shlex.split(line, comments=True)
        assert program == "xhsinr"
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0, done.output
