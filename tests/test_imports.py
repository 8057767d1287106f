"""What importing costs: no torch for reading, little time for the package itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import xhsinr
from xhsinr.demo import synthetic_scene
from xhsinr.target import PROFILES


def run(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_importing_the_package_imports_no_torch() -> None:
    assert run("import sys, xhsinr, xhsinr.cli; print('torch' in sys.modules)") == "False"


def test_importing_the_package_takes_less_than_half_a_second_beyond_xarray() -> None:
    code = (
        "import time, xarray; t = time.perf_counter(); import xhsinr; print(time.perf_counter()-t)"
    )
    assert min(float(run(code)) for _ in range(3)) < 0.5


def test_reading_imports_no_torch(tmp_path: Path) -> None:
    scene = synthetic_scene(20, 24, 8)
    for quality in PROFILES:
        xhsinr.compress(scene, tmp_path / f"{quality}.hsinr", quality=quality, progress=False)
    code = """
import sys
from pathlib import Path
import xarray as xr
import xhsinr
for path in Path(sys.argv[1]).glob("*.hsinr"):
    xr.open_dataset(path, engine="hsinr", chunks={}).load()
    handle = xhsinr.open(path)
    repr(handle), handle._repr_html_(), handle.info, handle.open().values
    assert xhsinr.verify(path, progress=False).valid
print("torch" in sys.modules)
"""
    assert run(code, str(tmp_path)) == "False"


def test_compressing_with_the_package_s_network_imports_no_torch(tmp_path: Path) -> None:
    code = """
import sys
import xhsinr
from xhsinr.demo import synthetic_scene
found = set()
for asked in ({"quality": "preview"}, {"psnr": 25, "device": "cpu"}, {"quality": "archive"}):
    handle = xhsinr.compress(
        synthetic_scene(40, 44, 12), sys.argv[1], overwrite=True, progress=False, **asked
    )
    found |= set(handle.info["layers"])
print("latents" in found, "torch" in sys.modules)
"""
    assert run(code, str(tmp_path / "a.hsinr")) == "True False"


def test_public_names_are_there_and_others_are_not() -> None:
    for name in xhsinr.__all__:
        assert getattr(xhsinr, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = xhsinr.nothing
