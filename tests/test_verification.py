"""`verify` finds what is wrong, names it, and finds all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xhsinr
from xhsinr.demo import synthetic_scene
from xhsinr.errors import VerificationError
from xhsinr.sidecar.file import Sidecar
from xhsinr.target import VERIFY_LEVELS

TARGETS: tuple[dict[str, Any], ...] = (
    {"quality": "standard"},
    {"max_error": 5},
    {"lossless": True},
    {"quality": "preview"},
)


@pytest.fixture(scope="module")
def scene() -> xr.DataArray:
    return synthetic_scene(30, 34, 10, nodata_corner=True)


@pytest.fixture(scope="module", params=TARGETS, ids=str)
def path(
    request: pytest.FixtureRequest, scene: xr.DataArray, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("verification") / "scene.hsinr"
    xhsinr.compress(scene, path, tile=16, progress=False, **request.param)
    return path


def damaged(path: Path, folder: Path, *tiles: int) -> Path:
    """A copy in which a byte of some tiles is another."""
    sidecar = Sidecar.open(path)
    content = bytearray(path.read_bytes())
    sizes = sidecar.index.sizes.sum(axis=1)
    for tile in tiles:
        content[int(sidecar.tiles_start + sizes[: tile + 1].sum()) - 1] ^= 1
    copy = folder / "damaged.hsinr"
    copy.write_bytes(content)
    return copy


@pytest.mark.parametrize("level", VERIFY_LEVELS)
def test_a_whole_file_is_valid_at_every_level(path: Path, level: str) -> None:
    found = xhsinr.verify(path, level=level, progress=False)
    assert found.valid
    assert (found.path, found.level, found.tiles, found.errors) == (path, level, 6, ())


def test_a_whole_file_is_what_it_says_of_the_original(path: Path, scene: xr.DataArray) -> None:
    assert xhsinr.verify(path, against=scene, progress=False).valid
    assert xhsinr.verify(path, against=scene.chunk(x=9), progress=False).valid


def test_all_damaged_tiles_are_named(path: Path, tmp_path: Path) -> None:
    copy = damaged(path, tmp_path, 1, 4)
    assert xhsinr.verify(copy, level="structure", progress=False).valid
    for level in ("checksum", "decode"):
        found = xhsinr.verify(copy, level=level, progress=False)
        assert not found.valid
        assert len(found.errors) == 2
        for error, tile in zip(found.errors, (1, 4), strict=True):
            assert f"damaged.hsinr: tile {tile}: checksum" in error


def test_every_damaged_byte_is_found(path: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    whole = path.read_bytes()
    copy = tmp_path / "damaged.hsinr"
    for position in rng.integers(0, len(whole), 60):
        content = bytearray(whole)
        content[position] ^= 1 << int(rng.integers(8))
        copy.write_bytes(content)
        found = xhsinr.verify(copy, level="checksum", progress=False)
        assert not found.valid, position
        assert "damaged.hsinr" in found.errors[0]


def test_what_is_no_sidecar_is_not_valid(tmp_path: Path) -> None:
    (tmp_path / "a.hsinr").write_bytes(b"nothing")
    found = xhsinr.verify(tmp_path / "a.hsinr")
    assert not found.valid
    assert found.tiles == 0
    assert "is not an xhsinr sidecar" in found.errors[0]
    assert "missing.hsinr" in xhsinr.verify(tmp_path / "missing.hsinr").errors[0]


def test_other_samples_than_the_original_are_found_in_their_tile(
    path: Path, scene: xr.DataArray
) -> None:
    other = scene.copy()
    other[3, 17, 20] = 32_000
    found = xhsinr.verify(path, against=other, progress=False)
    assert not found.valid
    assert all("scene.hsinr: tile 4: " in error for error in found.errors)
    assert "largest error" in found.errors[0]


def test_another_mask_than_the_originals_is_found(path: Path, scene: xr.DataArray) -> None:
    other = scene.copy()
    other[0, 20, 20] = -32768
    found = xhsinr.verify(path, against=other, progress=False)
    assert len(found.errors) == 1
    assert "tile 4: nodata or NaN samples are not those of the original" in found.errors[0]


def test_other_metadata_than_the_originals_are_named(path: Path, scene: xr.DataArray) -> None:
    other = scene.rio.write_crs("EPSG:32634")
    other = other.assign_coords(wavelength=("band", scene["wavelength"].values + 1e-9))
    found = xhsinr.verify(path, against=other, progress=False)
    assert any("crs" in error for error in found.errors)
    assert any("wavelengths" in error for error in found.errors)


@pytest.mark.parametrize("change", [{"x": slice(1, None)}, {"band": slice(0, 9)}])
def test_an_original_of_another_shape_is_refused(
    path: Path, scene: xr.DataArray, change: dict
) -> None:
    found = xhsinr.verify(path, against=scene.isel(change), progress=False)
    assert len(found.errors) == 1
    assert "the file holds 30 x 34 pixels, 10 bands, int16" in found.errors[0]


def test_an_original_that_is_no_scene_is_reported(path: Path) -> None:
    assert "no such file" in xhsinr.verify(path, against="nothing.tif").errors[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"level": "thorough"}, "unknown"),
        ({"level": "checksum", "against": np.ones((2, 2, 2))}, "decodes nothing"),
    ],
)
def test_what_cannot_be_verified_is_refused(path: Path, settings: dict, message: str) -> None:
    with pytest.raises(VerificationError, match=message):
        xhsinr.verify(path, **settings)
