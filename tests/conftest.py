"""Where the real scenes are, and what the tests share."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import xarray as xr
from archives import make_sources
from small_scenes import GRID, UTM, WAVELENGTHS

from xhsinr import storage
from xhsinr.reading.reader import Reader
from xhsinr.reading.store import forget_tiles
from xhsinr.scene.grid import pixel_centres
from xhsinr.sidecar import file as sidecar

# Where a failure has to be the change's and not chance's, the same examples every time.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None)
# The first example of a test may be what compiles the code.
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.load_profile("local")
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")


def _scenes_folder() -> Path | None:
    named = os.environ.get("XHSINR_SCENES")
    beside = Path(__file__).resolve().parents[2] / "shared" / "scenes"
    for folder in (Path(named) if named else None, beside):
        if folder is not None and (folder / "scenes.csv").is_file():
            return folder
    return None


@pytest.fixture(scope="session")
def scenes() -> Path:
    """Folder of real scenes (see its scenes.csv)."""
    folder = _scenes_folder()
    if folder is None:
        pytest.skip("no real scenes: set XHSINR_SCENES to a folder with scenes.csv")
    return folder


@pytest.fixture(autouse=True)
def _empty_store() -> None:
    """No test finds what another one decoded."""
    forget_tiles()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(2024)


@pytest.fixture
def bytes_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each read of a sidecar took."""
    sizes: list[int] = []
    read_range = storage.read_range

    def counted(place, start, stop):
        content = read_range(place, start, stop)
        sizes.append(len(content))
        return content

    monkeypatch.setattr(sidecar, "read_range", counted)
    return sizes


@pytest.fixture
def tiles(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the tiles as they are decoded."""
    decoded: list[int] = []
    tile = Reader.tile

    def counted(self, number, bands=None):
        decoded.append(number)
        return tile(self, number, bands)

    monkeypatch.setattr(Reader, "tile", counted)
    return decoded


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A folder of three scenes to archive."""
    return make_sources(tmp_path / "sources")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where an archive is to be."""
    return tmp_path / "archive"


@pytest.fixture
def cube(rng: np.random.Generator) -> np.ndarray:
    """Samples of five bands, bands first."""
    return rng.integers(0, 5000, (5, 6, 7)).astype(np.int16)


@pytest.fixture
def georeferenced(cube: np.ndarray) -> xr.DataArray:
    """These with a place, wavelengths, scale and nodata."""
    y, x = pixel_centres(GRID, 6, 7)
    array = xr.DataArray(
        cube,
        dims=("band", "y", "x"),
        coords={
            "band": np.arange(1, 6),
            "y": y,
            "x": x,
            "wavelength": ("band", WAVELENGTHS, {"units": "nm"}),
            "fwhm": ("band", np.array([9.53, 9.5, 9.48, 10.0, 10.12])),
        },
        attrs={"_FillValue": np.int16(-9999), "scale_factor": 1e-4, "long_name": "reflectance"},
        name="scene",
    )
    return array.rio.write_crs(UTM).rio.write_transform(GRID)
