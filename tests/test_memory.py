"""How much memory is allowed, and whether it is kept."""

from __future__ import annotations

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


@pytest.mark.skipif(sys.platform == "win32", reason="the peak is not known")
@pytest.mark.parametrize(
    ("target", "limit", "side"),
    [
        pytest.param({"psnr": 45}, "500 MB", 768, marks=pytest.mark.slow),
        pytest.param({"max_error": 4}, "600 MB", 1024, marks=pytest.mark.slow),
        pytest.param({"quality": "preview"}, "500 MB", 768, marks=pytest.mark.slow),
    ],
)
def test_the_limit_is_kept(tmp_path: Path, target: dict, limit: str, side: int) -> None:
    # On disk, and together with the libraries, the compiler's among them, more than may be held.
    rows, cols, bands, tile = side, side, 96, 128
    path = tmp_path / "scene.npy"
    scene = np.lib.format.open_memmap(path, "w+", np.uint16, (rows, cols, bands))
    rng = np.random.default_rng(0)
    part = rng.normal(size=(tile, tile, 3)).cumsum(0).cumsum(1) @ rng.normal(size=(3, bands))
    part = 2000 + 30 * part + rng.normal(0, 3, part.shape)
    for row in range(0, rows, tile):
        for col in range(0, cols, tile):
            scene[row : row + tile, col : col + tile] = np.clip(part, 0, 65535)
    scene.flush()
    code = f"""
import sys, xhsinr
from xhsinr.running.memory import peak_memory
settings = dict(tile={tile}, max_memory={limit!r}, progress=False)
xhsinr.compress(sys.argv[1], sys.argv[2], **settings, **{target})
print(peak_memory())
"""
    done = subprocess.run(
        [sys.executable, "-c", code, path, tmp_path / "a.hsinr"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) <= parse_memory(limit)
