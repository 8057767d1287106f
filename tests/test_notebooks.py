"""The notebooks run from top to bottom, and are kept as they ran, small."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.ipynb"))


def _read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)


def _run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Everything that the notebook prints."""
    # The commands in it are those of this environment; its files go into the test's folder.
    programs = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", os.pathsep.join([programs, os.environ["PATH"]]))
    monkeypatch.setenv("TMPDIR", str(folder))
    notebook = _read(name)
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}})
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    # Bars, which appear where compiling takes its time, overwrite their line.
    said = [one.text for one in outputs if one.get("name") == "stderr"]
    assert not [text for text in said if not text.startswith("\r")]
    return "".join(one.text for one in outputs if one.output_type == "stream")


def test_the_notebooks_are_there() -> None:
    assert NAMES == ["gdal", "quickstart"]


def test_the_quickstart_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XHSINR_SCENES", raising=False)
    printed = _run("quickstart", tmp_path, monkeypatch)
    assert "valid: True" in printed
    assert "scene.preview.tif" in printed


@pytest.mark.slow
def test_the_quickstart_runs_on_a_real_scene(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XHSINR_SCENES", str(scenes))
    printed = _run("quickstart", tmp_path, monkeypatch)
    assert "'band': 224" in printed
    assert "valid: True" in printed


def test_the_gdal_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = _run("gdal", tmp_path, monkeypatch)
    assert "scene.tif: EPSG:32633 (100, 120) 150 bands" in printed


@pytest.mark.parametrize("name", NAMES)
def test_they_are_kept_as_they_ran_and_small(name: str) -> None:
    assert (EXAMPLES / f"{name}.ipynb").stat().st_size < 500_000
    code = [cell for cell in _read(name).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [o for cell in code for o in cell.outputs if o.get("name") == "stderr"]
