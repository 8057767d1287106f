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


def test_importing_the_package_takes_less_than_half_a_second_beyond_xarray() -> None:
    code = (
        "import time, xarray; t = time.process_time(); import xhsinr; print(time.process_time()-t)"
    )
    assert any(float(run(code)) < 0.5 for _ in range(3))


def test_the_shell_and_figures_are_imported_without_what_they_need_later() -> None:
    code = """
import sys
import xhsinr.cli
print([name for name in ("numba", "rasterio", "scipy.optimize") if name in sys.modules])
import xhsinr.pictures.figures
print("matplotlib" in sys.modules)
"""
    assert run(code).splitlines() == ["[]", "False"]


def test_importing_and_reading_import_no_torch(tmp_path: Path) -> None:
    scene = synthetic_scene(20, 24, 8)
    for quality in PROFILES:
        xhsinr.compress(scene, tmp_path / f"{quality}.hsinr", quality=quality, progress=False)
    code = """
import sys
from pathlib import Path
import xarray as xr
import xhsinr, xhsinr.cli
for path in Path(sys.argv[1]).glob("*.hsinr"):
    xr.open_dataset(path, engine="hsinr", chunks={}).load()
    handle = xhsinr.open(path)
    repr(handle), handle._repr_html_(), handle.info, handle.open().values
    assert xhsinr.verify(path, progress=False).valid
print("torch" in sys.modules)
"""
    assert run(code, str(tmp_path)) == "False"


def test_public_names_are_there_and_others_are_not() -> None:
    for name in xhsinr.__all__:
        assert getattr(xhsinr, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = xhsinr.nothing


def test_what_ships_reads_and_writes_where_torch_cannot_be_imported(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["torch"] = None
import xhsinr
from xhsinr.demo import synthetic_scene
from xhsinr.errors import HsinrError
scene = synthetic_scene(24, 20, 6)
for number, asked in enumerate(({"quality": "preview"}, {"psnr": 45}, {"max_error": 3},
                                {"lossless": True})):
    path = f"{sys.argv[1]}{number}.hsinr"
    xhsinr.compress(scene, path, progress=False, **asked)
    assert xhsinr.open(path).open().shape == scene.shape
try:
    import xhsinr.training
except HsinrError as error:
    print(error)
"""
    expected = "torch is needed to train base networks: pip install 'xhsinr[torch]'"
    assert run(code, str(tmp_path / "a")) == expected
