"""Linear sidecars without Python: GDAL's own arithmetic gives the decoded samples."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
import xarray as xr
from click.testing import CliRunner

import xhsinr
from xhsinr.cli import main
from xhsinr.demo import synthetic_scene
from xhsinr.errors import OutputExistsError, SceneError
from xhsinr.gdal.native import export_gdal_native
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.file import Sidecar

BANDS, ROWS, COLS = 12, 150, 140
GDAL = tuple(int(part) for part in rasterio.__gdal_version__.split(".")[:2])


def scene_of(dtype: str, nodata: float | None = None, dead: tuple[int, ...] = ()) -> xr.DataArray:
    scene = synthetic_scene(ROWS, COLS, BANDS)
    samples = np.maximum(scene.values, 1).astype(dtype)
    if nodata is not None:
        samples[:, :40, :70] = nodata
        samples[list(dead)] = nodata
        scene.attrs["_FillValue"] = nodata
    return scene.copy(data=samples)


SCENES = {
    "integers": scene_of("int16"),
    "nodata in some pixels": scene_of("uint16", 0),
    "nodata in some pixels and bands": scene_of("int16", -32768, dead=(3, 11)),
    "NaN in some pixels": scene_of("float32", np.nan),
}


def exported(scene: xr.DataArray, folder: Path) -> tuple[Path, np.ndarray]:
    """The VRT of a scene, and what the sidecar decodes to."""
    xhsinr.compress(scene, folder / "scene.hsinr", quality="standard", tile=64, progress=False)
    file, _ = export_gdal_native(folder / "scene.hsinr", folder / "scene.vrt", progress=False)
    return file, Reader(Sidecar.open(folder / "scene.hsinr"))[:, :, :]


def assert_as_decoded(found: np.ndarray, decoded: np.ndarray, nodata: float | None) -> None:
    assert found.dtype == decoded.dtype
    np.testing.assert_array_equal(np.isnan(found), np.isnan(decoded))
    np.testing.assert_array_equal(found == nodata, decoded == nodata)
    # Integers: GDAL rounds halves up, NumPy to the even neighbour.
    close = {"rtol": 2e-7} if decoded.dtype.kind == "f" else {"rtol": 0, "atol": 1}
    np.testing.assert_allclose(found.astype(float), decoded.astype(float), **close)
    assert (found == decoded).mean() > 0.95 or np.isnan(decoded).any()


@pytest.mark.parametrize("name", SCENES)
def test_a_gdal_without_python_reads_what_is_decoded(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if GDAL < (3, 9):
        pytest.skip(f"rasterio has GDAL {rasterio.__gdal_version__}, processed VRTs need 3.9")
    monkeypatch.setenv("GDAL_VRT_ENABLE_PYTHON", "NO")
    file, decoded = exported(SCENES[name], tmp_path)
    with rasterio.open(file) as dataset:
        assert_as_decoded(dataset.read(), decoded, dataset.nodata)


@pytest.mark.parametrize("name", ["integers", "nodata in some pixels"])
def test_the_coefficients_in_the_file_combine_the_scores_to_what_is_decoded(
    name: str, tmp_path: Path
) -> None:
    """Whatever the GDAL at hand: the arithmetic, from the two files alone."""
    file, decoded = exported(SCENES[name], tmp_path)
    root = ElementTree.parse(file).getroot()
    arguments = {found.get("name"): str(found.text) for found in root.iter("Argument")}
    lines = [arguments[f"coefficients_{band + 1}"].split(",") for band in range(BANDS)]
    coefficients = np.array(lines, np.float64)
    with rasterio.open(file.parent / str(root.findtext("Input/SourceFilename"))) as dataset:
        scores = dataset.read().astype(np.float64)
        empty = scores[0] == dataset.nodata
    spectra = np.tensordot(coefficients[:, 1:], scores, 1) + coefficients[:, :1, None]
    clamped = np.clip(spectra, float(arguments["min"]), float(arguments["max"]))
    if "dst_nodata" in arguments:
        clamped[:, empty] = float(arguments["dst_nodata"])
    found = np.floor(clamped + 0.5).astype(decoded.dtype)
    assert_as_decoded(found, decoded, 0 if empty.any() else None)


def test_metadata_goes_with_it(tmp_path: Path) -> None:
    scene = SCENES["nodata in some pixels"]
    file, _ = exported(scene, tmp_path)
    expected = Reader(Sidecar.open(tmp_path / "scene.hsinr")).scene()
    with rasterio.open(file) as dataset:
        assert (dataset.crs, dataset.transform) == (expected.crs, expected.transform)
        assert (dataset.nodata, dataset.count) == (0, BANDS)
        wavelengths = [
            float(dataset.tags(band, ns="IMAGERY")["CENTRAL_WAVELENGTH_UM"])
            for band in dataset.indexes
        ]
    np.testing.assert_allclose(wavelengths, expected.wavelengths_um)


def test_the_two_files_can_be_moved_together(tmp_path: Path) -> None:
    if GDAL < (3, 9):
        pytest.skip(f"rasterio has GDAL {rasterio.__gdal_version__}, processed VRTs need 3.9")
    file, decoded = exported(SCENES["integers"], tmp_path)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for path in (file, file.with_suffix(".scores.tif")):
        path.rename(moved / path.name)
    with rasterio.open(moved / file.name) as dataset:
        assert_as_decoded(dataset.read(), decoded, None)


@pytest.mark.parametrize(("setting", "layer"), [("max_error", "bound"), ("quality", "latents")])
def test_files_that_are_not_linear_are_refused(setting: str, layer: str, tmp_path: Path) -> None:
    settings = {"max_error": 4} if setting == "max_error" else {"quality": "preview"}
    path = tmp_path / "scene.hsinr"
    xhsinr.compress(synthetic_scene(32, 32, 8), path, progress=False, **settings)
    with pytest.raises(SceneError, match=f"has the layer .*'{layer}'"):
        export_gdal_native(path, tmp_path / "out.vrt")
    assert list(tmp_path.iterdir()) == [path]


def test_pixels_with_data_in_some_bands_only_are_refused(tmp_path: Path) -> None:
    scene = scene_of("uint16", 0)
    scene.values[2, 100, 100] = 0
    with pytest.raises(SceneError, match="tile 4 has pixels with data in some bands only"):
        exported(scene, tmp_path)
    assert not list(tmp_path.glob("scene.[!h]*"))


def test_bands_of_nan_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="band 5 is NaN"):
        exported(scene_of("float32", np.nan, dead=(5,)), tmp_path)


def test_existing_files_are_not_replaced_without_being_asked_to(tmp_path: Path) -> None:
    xhsinr.compress(SCENES["integers"], tmp_path / "scene.hsinr", progress=False)
    (tmp_path / "scene.scores.tif").write_text("precious")
    with pytest.raises(OutputExistsError, match=r"scene\.scores\.tif"):
        export_gdal_native(tmp_path / "scene.hsinr", tmp_path / "scene.vrt")
    assert (tmp_path / "scene.scores.tif").read_text() == "precious"


def test_the_command_names_what_it_wrote(tmp_path: Path) -> None:
    path, out = tmp_path / "scene.hsinr", tmp_path / "scene.vrt"
    xhsinr.compress(SCENES["integers"], path, progress=False)
    assert CliRunner().invoke(main, ["export", str(path), str(out)]).exit_code == 2
    found = CliRunner().invoke(main, ["export", "--gdal-native", str(path), str(out)])
    assert found.exit_code == 0
    assert [line.split(":")[0] for line in found.output.splitlines()] == [
        str(out),
        str(tmp_path / "scene.scores.tif"),
    ]
