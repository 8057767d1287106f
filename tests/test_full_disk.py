"""A disk that fills up at any byte: an error, and what was there stays; or a file that is whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import xhsinr
from xhsinr.demo import synthetic_scene

pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits files by setrlimit")

_SIZES = 24
_COMMANDS = """
import resource, signal, sys
import xhsinr
from xhsinr.cli import main
from xhsinr.scene import read
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
command, path, out, *sizes = sys.argv[1:]
given = {
    "decompress": ["decompress", path, out, "--overwrite"],
    "salvage": ["salvage", path, out, "--overwrite", "--nodata", "-1"],
}[command]
for size in map(int, sizes):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        main(given, standalone_mode=False)
    except BaseException as error:
        code = type(error).__name__
    else:
        code = "done"
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    with open(out, "rb") as file:
        print("RESULT", size, code, file.read() == b"before", flush=True)
    if code == "done":
        print("SUM", read(out).data.astype("i8").sum().compute(), flush=True)
        open(out, "wb").write(b"before")
"""


@pytest.mark.parametrize(
    ("command", "suffix"),
    [("decompress", ".tif"), ("salvage", ".tif"), ("decompress", ".img"), ("decompress", ".nc")],
)
def test_no_part_of_a_file_is_a_success(command: str, suffix: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    cube = synthetic_scene(70, 80, 6)
    cube = cube.copy(data=rng.integers(0, 30_000, cube.shape).astype(np.int16))
    path, out = tmp_path / "scene.hsinr", tmp_path / f"scene{suffix}"
    xhsinr.compress(cube, path, lossless=True, progress=False)
    from xhsinr.cli import main

    main(["decompress", str(path), str(out)], standalone_mode=False)
    full = out.stat().st_size
    out.write_bytes(b"before")
    sizes = np.unique(
        np.concatenate([np.linspace(0, full, _SIZES), full - np.arange(0, 4000, 400), [full + 999]])
    ).astype(int)
    done = subprocess.run(
        [sys.executable, "-c", _COMMANDS, command, str(path), str(out), *map(str, sizes)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    results = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("RESULT")]
    sums = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("SUM")}
    assert len(results) == len(sizes), done.stderr
    assert sums == {str(cube.values.astype("i8").sum())}
    for size, code, kept in results:
        assert (code == "done") != (kept == "True"), (size, code, kept)
    assert [code for _, code, _ in results][-1] == "done"
    assert sum(code != "done" for _, code, _ in results) > _SIZES - 2
    assert not [*tmp_path.glob(".*")]
