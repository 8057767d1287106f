"""Where the real scenes are, and what the tests share."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from archives import make_sources

from xhsinr import storage
from xhsinr.reading.reader import Reader
from xhsinr.reading.store import forget_tiles
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
