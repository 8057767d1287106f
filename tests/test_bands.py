"""Bands by wavelength: nearest, also where detectors overlap and bands do not rise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xhsinr
from xhsinr.errors import SceneError

# Two detectors that overlap, and a band that has no centre.
CENTRES = [500.0, 600.0, 700.0, 650.0, 750.0, np.nan]


@pytest.fixture
def scene() -> xr.DataArray:
    samples = np.arange(6 * 4 * 5, dtype=np.int16).reshape(6, 4, 5)
    coords = {"wavelength": ("band", CENTRES, {"units": "nm"})}
    return xr.DataArray(samples, dims=("band", "y", "x"), coords=coords, name="scene")


def test_the_nearest_bands_are_taken_in_the_order_asked_for(scene: xr.DataArray) -> None:
    assert np.array_equal(scene.hsinr.sel_wavelength(660), scene[3])
    assert scene.hsinr.sel_wavelength(660).dims == ("y", "x")
    assert np.array_equal(scene.hsinr.sel_wavelength([760, 640, 490]), scene[[4, 3, 0]])
    assert np.array_equal(scene.hsinr.sel_wavelength(slice(600, 700)), scene[1:4])
    assert np.array_equal(scene.hsinr.sel_wavelength(slice(None, 550)), scene[:1])


@pytest.mark.parametrize(("units", "divisor"), [("um", 1e3), ("Micrometers", 1e3), ("", 1)])
def test_wavelengths_are_asked_for_in_nanometres(
    scene: xr.DataArray, units: str, divisor: float
) -> None:
    there = ("band", np.array(CENTRES) / divisor, {"units": units})
    scene = scene.assign_coords(wavelength=there)
    assert np.array_equal(scene.hsinr.sel_wavelength(660, tolerance=11), scene[3])


def test_a_dataset_and_a_spectrum_have_bands_as_well(scene: xr.DataArray) -> None:
    dataset = scene.to_dataset()
    assert dataset.hsinr.sel_wavelength(600)["scene"].equals(scene[1])
    assert scene[:, 2, 3].hsinr.sel_wavelength([600, 500]).values.tolist() == [33, 13]


def test_a_sidecar_stays_lazy(scene: xr.DataArray, tmp_path: Path, tiles: list[int]) -> None:
    xhsinr.compress(scene, tmp_path / "a.hsinr", lossless=True, progress=False)
    band = xr.open_dataset(tmp_path / "a.hsinr", engine="hsinr")["scene"].hsinr.sel_wavelength(660)
    assert tiles == []
    assert np.array_equal(band.values, scene.values[3])


def test_what_has_no_such_band_is_refused(scene: xr.DataArray) -> None:
    with pytest.raises(SceneError, match="within 5 of 660: the nearest is at 650"):
        scene.hsinr.sel_wavelength([500, 660], tolerance=5)
    with pytest.raises(SceneError, match=r"near 0\.66 nm: .* at 500 to 750 nm"):
        scene.hsinr.sel_wavelength([0.66, 0.55])
    with pytest.raises(SceneError, match="near 5000 nm: "):
        scene.hsinr.sel_wavelength(5000)
    wide = scene.assign_coords(fwhm=("band", [90.0] * 6, {"units": "nm"}))
    assert np.array_equal(wide.hsinr.sel_wavelength(830), scene[4])
    assert np.array_equal(scene.hsinr.sel_wavelength(830, tolerance=100), scene[4])
    with pytest.raises(SceneError, match="no coordinate of wavelengths"):
        scene.drop_vars("wavelength").hsinr.sel_wavelength(660)
    with pytest.raises(SceneError, match="none of its bands"):
        scene[5:].hsinr.sel_wavelength(660)
    for wrong in (np.nan, [[500.0]], slice(500, 600, 2)):
        with pytest.raises(SceneError):
            scene.hsinr.sel_wavelength(wrong)
