"""The shell: sources of every kind in, the format of the suffix out, hints for what goes wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner, Result

import xhsinr
from xhsinr.cli import main
from xhsinr.demo import synthetic_scene
from xhsinr.scene import read


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    scene = synthetic_scene(40, 50, 8, nodata_corner=True)
    scene.rio.to_raster("scene.tif")
    scene.to_netcdf("scene.nc")
    xr.Dataset({"one": scene, "two": synthetic_scene(40, 50, 8)}).to_netcdf("both.nc")
    return tmp_path


def run(command: str) -> Result:
    return CliRunner().invoke(main, command.split())


@pytest.mark.parametrize("name", ["a.tif", "a.nc", "a.zarr", "a.img"])
def test_a_scene_comes_out_in_the_format_of_the_suffix(folder: Path, name: str) -> None:
    assert run("compress scene.nc a.hsinr --lossless").exit_code == 0
    result = run(f"decompress a.hsinr {name}")
    assert result.exit_code == 0, result.output
    one, other = read(folder / "scene.nc"), read(folder / name)
    np.testing.assert_array_equal(one.window(slice(None), slice(None)), other.data.compute())
    assert (one.crs, one.transform, one.nodata) == (other.crs, other.transform, other.nodata)
    np.testing.assert_array_equal(one.wavelengths, other.wavelengths)
    np.testing.assert_array_equal(one.fwhm, other.fwhm)
    assert run(f"decompress a.hsinr {name}").exit_code == 1
    if name == "a.img":
        assert "description" not in (folder / "a.hdr").read_text()
    if name == "a.nc":
        opened = xr.open_dataset(folder / name, decode_coords="all")
        assert opened["reflectance"].rio.crs == one.crs


def test_no_other_format_is_written_under_a_foreign_name(folder: Path) -> None:
    run("compress scene.tif a.hsinr")
    result = run("decompress a.hsinr a.jp2")
    assert result.exit_code == 1
    assert ".jp2 is no format that is written; give one of .tif" in result.output
    assert not (folder / "a.jp2").exists()
    result = run("salvage a.hsinr a.nc")
    assert result.exit_code == 1
    assert "give a name with .tif" in result.output


def test_without_netcdf_both_ways_say_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("compress scene.tif a.hsinr")
    for name in ("netCDF4", "h5netcdf", "h5py"):
        monkeypatch.setitem(sys.modules, name, None)
    for command in ("compress scene.nc", "decompress a.hsinr a.nc"):
        assert "pip install 'xhsinr[products]'" in run(command).output


def test_the_shell_asks_which_variable(folder: Path) -> None:
    result = run("compress both.nc")
    assert result.exit_code == 1
    assert "'one' and 'two' could each be the scene" in result.output
    assert run("compress both.nc --variable two --lossless").exit_code == 0
    assert int(xhsinr.open("both.hsinr").open().max()) == int(
        xr.open_dataset("both.nc", mask_and_scale=False)["two"].max()
    )


def test_what_is_printed_is_for_people(folder: Path) -> None:
    result = run("compress scene.tif")
    size, before = (Path(name).stat().st_size for name in ("scene.hsinr", "scene.tif"))
    first = result.output.splitlines()[0]
    assert first == (
        f"scene.hsinr: {size:,} bytes, {before / size:.1f} times smaller than scene.tif"
    )
    for output in (result.output, run("info scene.hsinr").output):
        assert "<xhsinr" not in output
    assert "mean spectral angle" in run("verify scene.hsinr --against scene.tif").output


def test_an_unquoted_glob_is_told(folder: Path) -> None:
    (folder / "other.tif").write_bytes(b"kept")
    for command in ("compress scene.tif other.tif --overwrite", "compress a.tif b.tif c.tif"):
        result = run(command)
        assert result.exit_code == 2
    assert (folder / "other.tif").read_bytes() == b"kept"
    assert "A glob needs quotes" in run("compress scene.tif other.tif scene.nc").output
    assert "a glob needs quotes" in run("archive scene.tif scene.nc out").output


@pytest.mark.parametrize("command", ["compress . a.hsinr", "compress .", "compress / a.hsinr"])
def test_a_folder_without_a_name_is_refused_in_a_line(folder: Path, command: str) -> None:
    result = run(command)
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert result.output.startswith("Error: ")


@pytest.mark.parametrize("tile", [32, 64])
def test_damage_says_how_to_salvage_where_there_are_other_tiles(folder: Path, tile: int) -> None:
    run(f"compress scene.tif --lossless --tile {tile}")
    np.save("other.npy", np.ones((4, 5, 6), np.int16))
    result = run("verify scene.hsinr --against other.npy")
    assert result.exit_code == 1
    assert "the original is 4 x 5 pixels, 6 bands, int16, the file holds" in result.output
    assert "xhsinr salvage" not in result.output
    content = bytearray(Path("scene.hsinr").read_bytes())
    content[-1] ^= 1
    Path("scene.hsinr").write_bytes(content)
    for command in ("decompress scene.hsinr b.tif", "verify scene.hsinr"):
        result = run(command)
        assert result.exit_code == 1
        assert ("xhsinr salvage" in result.output) == (tile < 50)


def test_a_file_needs_no_path_for_its_sidecar(folder: Path) -> None:
    (folder / "below").mkdir()
    (folder / "scene.tif").rename("below/scene.tif")
    assert xhsinr.compress("below/scene.tif", progress=False).path == Path("below/scene.hsinr")
    array = xr.open_dataset("scene.nc", mask_and_scale=False, decode_coords="all")["reflectance"]
    assert xhsinr.compress(array, progress=False).path == Path("scene.hsinr")
    named = synthetic_scene(20, 20, 6)
    assert xhsinr.compress(named, progress=False).path == Path("reflectance.hsinr")
