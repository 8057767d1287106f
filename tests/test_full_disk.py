"""A disk that fills up at any byte: an error, and what was there stays; or a file that is whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xhsinr
from xhsinr.cli import main
from xhsinr.demo import synthetic_scene

pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits files by setrlimit")

_SIZES = 24
_CASES = (
    ("decompress", ".tif"),
    ("salvage", ".tif"),
    ("decompress", ".img"),
    ("decompress", ".nc"),
)
_COMMANDS = """
import json, resource, signal, sys
from pathlib import Path
from xhsinr.cli import main
from xhsinr.scene import read
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
for command, out, sizes in json.loads(sys.argv[2]):
    more = ["--nodata", "-1"] if command == "salvage" else []
    for size in sizes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            main([command, sys.argv[1], out, "--overwrite", *more], standalone_mode=False)
        except BaseException as error:
            code = type(error).__name__
        else:
            code = "done"
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        kept, total = Path(out).read_bytes() == b"before", None
        if code == "done":
            total = int(read(out).data.astype("i8").sum().compute())
            Path(out).write_bytes(b"before")
        print("RESULT", json.dumps([command + Path(out).suffix, size, code, kept, total]))
"""


@pytest.fixture(scope="module")
def cube() -> xr.DataArray:
    cube = synthetic_scene(70, 80, 6)
    samples = np.random.default_rng(0).integers(0, 30_000, cube.shape)
    return cube.copy(data=samples.astype(np.int16))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("full")


@pytest.fixture(scope="module")
def results(cube: xr.DataArray, folder: Path) -> list[list[Any]]:
    """Of each command at each size of disk, all in one process: programs are slow to start."""
    path = folder / "scene.hsinr"
    xhsinr.compress(cube, path, lossless=True, progress=False)
    asked = []
    for command, suffix in _CASES:
        out = folder / f"{command}{suffix}"
        main(["decompress", str(path), str(out)], standalone_mode=False)
        full = out.stat().st_size
        out.write_bytes(b"before")
        sizes = [*np.linspace(0, full, _SIZES), *(full - np.arange(0, 4000, 400)), full + 999]
        asked.append([command, str(out), np.unique(np.array(sizes, int)).tolist()])
    done = subprocess.run(
        [sys.executable, "-c", _COMMANDS, str(path), json.dumps(asked)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    found = [json.loads(line[7:]) for line in done.stdout.splitlines() if line[:6] == "RESULT"]
    assert len(found) == sum(len(sizes) for _, _, sizes in asked), done.stderr
    return found


@pytest.mark.parametrize(("command", "suffix"), _CASES)
def test_no_part_of_a_file_is_a_success(
    cube: xr.DataArray, folder: Path, results: list[list[Any]], command: str, suffix: str
) -> None:
    mine = [found[1:] for found in results if found[0] == command + suffix]
    for size, code, kept, total in mine:
        assert (code == "done") != kept, (size, code)
        assert total == (cube.values.sum(dtype=int) if code == "done" else None)
    codes = [code for _, code, _, _ in mine]
    assert set(codes) == {"done", "ClickException"}  # the latter of the shell's own lines
    assert codes[-1] == "done"
    assert sum(code != "done" for code in codes) > _SIZES - 2
    assert not [*folder.glob(".*")]
