"""How much memory is allowed, and whether it is kept."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import xhsinr
from xhsinr.errors import MemoryLimitError
from xhsinr.running.memory import parse_memory, share_of


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (None, None),
        (1000, 1000),
        (1.5e9, 1_500_000_000),
        ("1.5 GB", 1_500_000_000),
        ("512MiB", 512 << 20),
        ("1e9", 1_000_000_000),
    ],
)
def test_amounts_of_memory_are_understood(given: object, meant: int | None) -> None:
    assert parse_memory(given) == meant


@pytest.mark.parametrize("given", ["", "much", "1.5 Gx", 0, -5, "0 GB", True, float("nan"), []])
def test_what_is_no_amount_of_memory_is_refused(given: object, tmp_path: Path) -> None:
    with pytest.raises(MemoryLimitError, match="max_memory"):
        parse_memory(given)
    with pytest.raises(MemoryLimitError):
        xhsinr.compress(np.zeros((4, 4, 3), "u1"), tmp_path / "a.hsinr", max_memory=given)


def test_what_several_share_adds_up_to_the_limit_with_the_libraries_once() -> None:
    whole, third = parse_memory("1.5 GB"), share_of("1.5 GB", 3)
    assert share_of("1.5 GB", 1) == whole
    assert whole / 3 < third < whole / 2
    assert share_of(None, 3) is None


def test_a_scene_whose_tile_does_not_fit_leaves_no_file(tmp_path: Path) -> None:
    scene = np.zeros((256, 256, 40), "u2")
    with pytest.raises(MemoryLimitError, match="256 x 256 pixels"):
        xhsinr.compress(scene, tmp_path / "a.hsinr", max_memory="270 MB", progress=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the peak is not known")
@pytest.mark.parametrize(
    ("target", "side"),
    [({"psnr": 45}, 768), ({"max_error": 4}, 1024), ({"quality": "preview"}, 768)],
)
def test_the_least_that_an_error_names_is_enough_and_kept(
    tmp_path: Path, target: dict, side: int
) -> None:
    # On disk, and together with the libraries more than may be held.
    path = tmp_path / "scene.npy"
    scene = np.lib.format.open_memmap(path, "w+", np.uint16, (side, side, 96))
    rng = np.random.default_rng(0)
    part = rng.normal(size=(128, 128, 3)).cumsum(0).cumsum(1) @ rng.normal(size=(3, 96))
    part = np.clip(2000 + 30 * part + rng.normal(0, 3, part.shape), 0, 65535)
    for row in range(0, side, 128):
        for col in range(0, side, 128):
            scene[row : row + 128, col : col + 128] = part
    scene.flush()
    # What compiles is another process.
    compressed_in_a_process(part[:24, :24].astype(np.uint16), tmp_path, target, None)
    limit = 350
    while isinstance(peak := compressed_in_a_process(path, tmp_path, target, limit), str):
        limit = int(re.search(r"or allow (\d+) MB", peak)[1])
    assert peak <= 1e6 * limit
    assert limit < 700


def compressed_in_a_process(
    scene: Path | np.ndarray, folder: Path, target: dict, limit: int | None
) -> int | str:
    """The most memory that a process held, or the error that it ended with."""
    if isinstance(scene, np.ndarray):
        np.save(folder / "small.npy", scene)
        scene = folder / "small.npy"
    settings = {"tile": 128, "max_memory": limit and f"{limit} MB", **target}
    code = f"""
import sys, xhsinr
from xhsinr.running.memory import peak_memory
xhsinr.compress(*sys.argv[1:], overwrite=True, progress=False, **{settings})
print(peak_memory())
"""
    done = subprocess.run(
        [sys.executable, "-c", code, scene, folder / "a.hsinr"],
        capture_output=True,
        text=True,
        check=False,
    )
    return int(done.stdout) if done.returncode == 0 else done.stderr
