"""ENVI headers as people write them: what can be read is kept, what cannot is named."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr

import xhsinr
from xhsinr.errors import SceneError
from xhsinr.scene import Scene, read
from xhsinr.scene.envi import fields_of
from xhsinr.scene.spectrum import micrometres

B, R, C = 6, 20, 16
WAVELENGTHS = "wavelength = {450, 500, 550, 600, 650, 700}\n"
FIELDS = (
    "wavelength units = Nanometers\n"
    + WAVELENGTHS
    + "fwhm = {5, 5, 5, 5, 6, 6}\nbbl = {1, 0, 1, 1, 1, 0}\nreflectance scale factor = 10000\n"
    "acquisition time = 2020-01-02T03:04:05Z\nsensor type = HyMap\ndata ignore value = 7\n"
)


@pytest.fixture
def samples(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(1, 900, (B, R, C)).astype("<u2")


def envi(folder: Path, content: bytes, fields: str, offset: int = 0) -> Path:
    (folder / "scene.img").write_bytes(content)
    (folder / "scene.hdr").write_text(
        f"ENVI\nsamples = {C}\nlines = {R}\nbands = {B}\nheader offset = {offset}\n"
        f"file type = ENVI Standard\ndata type = 12\ninterleave = bsq\nbyte order = 0\n{fields}"
    )
    return folder / "scene.img"


def said(scene: Scene) -> dict[str, object]:
    coords = {name: scene.coords[name].values.tolist() for name in ("wavelength", "fwhm", "bbl")}
    keys = ("scale_factor", "datetime", "instrument", "_FillValue")
    return coords | {key: scene.attrs.get(key) for key in keys} | {"nodata": scene.nodata}


@pytest.mark.parametrize("change", [str.title, str.upper])
def test_keys_may_be_in_capitals(tmp_path: Path, samples: np.ndarray, change: object) -> None:
    low = said(read(envi(tmp_path, samples.tobytes(), FIELDS)))
    assert low["wavelength"] == [450, 500, 550, 600, 650, 700]
    assert (low["scale_factor"], low["instrument"], low["nodata"]) == (1e-4, "HyMap", 7)
    lines = [line.partition(" = ") for line in FIELDS.splitlines()]
    fields = "\n".join(f"{change(key)} = {value}" for key, _, value in lines)
    assert said(read(envi(tmp_path, samples.tobytes(), fields))) == low
    small = xhsinr.compress(
        tmp_path / "scene.img", tmp_path / "a.hsinr", lossless=True, progress=False
    )
    opened = xr.open_dataset(small.path, engine="hsinr", mask_and_scale=True)["scene"]
    assert float(opened[0, 5, 5]) == pytest.approx(samples[0, 5, 5] / 10000)


@pytest.mark.parametrize(
    ("fields", "kept", "left_out"),
    [
        (WAVELENGTHS + "bbl = {1, 0, 1, 1, 1, 0,}", {"wavelength", "bbl"}, None),
        (WAVELENGTHS + "bbl = {True, False, True, 1, 1, 0}", {"wavelength", "bbl"}, None),
        (WAVELENGTHS.replace("}", " , }"), {"wavelength"}, None),
        (WAVELENGTHS + "fwhm = {5, 5, 5, 5, 6}", {"wavelength"}, "'fwhm' lists 5 values"),
        ("wavelength = {450, 500, 550, 600, 650}", set(), "'wavelength' lists 5 values"),
        (WAVELENGTHS.replace("}", ", 750}"), set(), "'wavelength' lists 7 values"),
        (WAVELENGTHS.replace("650", "NA") + "bbl = {1,1,1,1,1,0}", {"bbl"}, "has 'NA' for band 5,"),
        (WAVELENGTHS.replace("wavelength", "wavelengths"), {"wavelength"}, None),
    ],
)
def test_lists_that_can_be_read_are_kept_and_others_are_named(
    tmp_path: Path, samples: np.ndarray, fields: str, kept: set[str], left_out: str | None
) -> None:
    path = envi(tmp_path, samples.tobytes(), fields)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scene = read(path)
    told = [str(warning.message) for warning in caught if warning.category is UserWarning]
    assert {"wavelength", "fwhm", "bbl"} & scene.coords.keys() == kept
    assert bool(told) == bool(left_out)
    assert left_out is None or left_out in told[0]
    np.testing.assert_array_equal(scene.window(slice(None), slice(None)), samples)


@pytest.mark.parametrize(
    ("extra", "fields", "offset", "message"),
    [
        (b"", "minor frame offsets = {4, 0}", 0, "minor frame offsets"),
        (b"", "Major Frame Offsets = {0, 8}", 0, "major frame offsets"),
        (b"", "", 8, "cut short"),
        (b"12345678", "", 0, "longer than that"),
    ],
)
def test_samples_that_are_not_where_the_header_says_are_refused(
    tmp_path: Path, samples: np.ndarray, extra: bytes, fields: str, offset: int, message: str
) -> None:
    with pytest.raises(SceneError, match=message):
        read(envi(tmp_path, samples.tobytes() + extra, fields, offset))


def test_a_header_offset_that_fits_is_followed(tmp_path: Path, samples: np.ndarray) -> None:
    path = envi(tmp_path, b"abcdefgh" + samples.tobytes(), "minor frame offsets = {0, 0}", 8)
    np.testing.assert_array_equal(read(path).window(slice(None), slice(None)), samples)


def test_an_envi_header_beside_another_image_tells_its_bands(
    tmp_path: Path, samples: np.ndarray
) -> None:
    envi(tmp_path, samples.tobytes(), FIELDS).unlink()
    with rasterio.open(
        tmp_path / "scene.tif", "w", driver="GTiff", count=B, height=R, width=C, dtype="uint16",
        crs="EPSG:32633", transform=rasterio.Affine(30, 0, 3e5, 0, -30, 5e6),
    ) as out:  # fmt: skip
        out.write(samples)
    scene = read(tmp_path / "scene.tif")
    assert scene.wavelengths is not None
    assert scene.wavelengths.tolist() == [450, 500, 550, 600, 650, 700]
    assert scene.coords["bbl"].values.tolist() == [1, 0, 1, 1, 1, 0]
    assert (scene.wavelength_units, scene.fwhm.tolist()) == ("Nanometers", [5, 5, 5, 5, 6, 6])


def test_a_text_that_is_no_header_has_no_fields() -> None:
    assert fields_of("wavelength = 5") is None
    assert fields_of("ENVI\r\nBand  Names = {a,\r\n b }\r\nx = 1") == {
        "band_names": "{a, b }",
        "x": "1",
    }


@pytest.mark.parametrize(
    ("units", "per_micrometre"),
    [
        ("nm", 1e3), ("Nanometers", 1e3), ("um", 1), ("micrometer", 1), ("m", 1e-6),
        ("Angstrom", 1e4), ("Å", 1e4), ("1e-9 m", 1e3), ("1E-6 m", 1), ("10^-9 m", 1e3),
        ("10**(-9) m", 1e3), ("Nanometers (nm)", 1e3), ("[um]", 1), ("nm.", 1e3),
        ("mm", 1e-3), ("Index", None), ("", None), (None, None),
    ],
)  # fmt: skip
def test_units_of_wavelengths(units: str | None, per_micrometre: float | None) -> None:
    assert micrometres(units) == per_micrometre
