"""``rio hsinr``: rasterio's shell compresses, decodes and describes scenes."""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner, Result
from rasterio.rio.main import main_group

from xhsinr.cli.rio import hsinr

SAMPLES = np.arange(4 * 20 * 30, dtype=np.uint16).reshape(4, 20, 30)


def rio(*arguments: object) -> Result:
    return CliRunner().invoke(main_group, ["hsinr", *(str(argument) for argument in arguments)])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "scene.tif"
    profile = {"driver": "GTiff", "count": 4, "height": 20, "width": 30, "dtype": "uint16"}
    place = rasterio.Affine(30, 0, 4e5, 0, -30, 5e6)
    with rasterio.open(path, "w", **profile, crs="EPSG:32633", transform=place) as out:
        out.write(SAMPLES)
    return path


@pytest.fixture
def sidecar(source: Path) -> Path:
    assert rio("compress", source, "--lossless").exit_code == 0
    return source.with_suffix(".hsinr")


def test_the_plugin_is_found_by_rasterio() -> None:
    (found,) = entry_points(group="rasterio.rio_plugins", name="hsinr")
    assert found.load() is hsinr
    assert set(hsinr.commands) == {"compress", "decompress", "info", "verify", "vrt"}


@pytest.mark.parametrize("option", [(), ("-o",), ("--output",)])
def test_the_output_is_an_argument_or_an_option(
    source: Path, tmp_path: Path, option: tuple[str, ...]
) -> None:
    out = tmp_path / "small.hsinr"
    assert rio("compress", source, *option, out, "--lossless").exit_code == 0
    again = tmp_path / "again.tif"
    assert rio("decompress", out, *option, again).exit_code == 0
    with rasterio.open(again) as dataset, rasterio.open(source) as original:
        np.testing.assert_array_equal(dataset.read(), SAMPLES)
        assert (dataset.crs, dataset.transform) == (original.crs, original.transform)


def test_info_and_verify_are_those_of_xhsinr(sidecar: Path, source: Path) -> None:
    assert json.loads(rio("info", sidecar, "--json").output)["shape"] == [4, 20, 30]
    found = rio("verify", sidecar, "--against", source)
    assert (found.exit_code, "valid" in found.output) == (0, True)


def test_vrt_is_written_beside_the_sidecar(sidecar: Path) -> None:
    assert rio("vrt", sidecar).exit_code == 0
    with rasterio.open(sidecar.with_suffix(".vrt")) as dataset:
        assert (dataset.count, dataset.crs.to_epsg()) == (4, 32633)


def test_existing_files_are_replaced_with_overwrite_only(sidecar: Path, source: Path) -> None:
    found = rio("compress", source, sidecar)
    assert found.exit_code == 1
    assert "--overwrite" in found.output
    assert rio("compress", source, sidecar, "--overwrite").exit_code == 0


def test_what_is_wrong_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "scene.hsinr"
    path.write_bytes(b"GIF89a" * 9)
    found = rio("info", path)
    assert found.exit_code == 1
    assert found.output.splitlines() == [
        f"Error: {path} is not an xhsinr sidecar: it does not begin like one"
    ]


def test_an_output_given_twice_or_never_is_refused(sidecar: Path, tmp_path: Path) -> None:
    assert rio("vrt", sidecar, tmp_path / "a.vrt", "-o", tmp_path / "b.vrt").exit_code == 2
    assert rio("decompress", sidecar).exit_code == 2
