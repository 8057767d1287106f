"""The shell: real scenes in and out, and one clear line for what goes wrong."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from anatomy import Anatomy
from click.testing import CliRunner, Result
from small_networks import siren_network

import xhsinr
from xhsinr import scene as scenes_module
from xhsinr.cli import main
from xhsinr.demo import synthetic_scene
from xhsinr.network.file import save_network
from xhsinr.scene import Scene

SCENES = (
    pytest.param("jasper_ridge_224.npy", marks=pytest.mark.slow),
    pytest.param("jasper_ridge_198_int16.npy", marks=pytest.mark.slow),
    pytest.param("paviau_140x80.npy", marks=pytest.mark.slow),
    "indian_pines_part.npy",
    "files/enmap_potsdam_B.tif",
    "files/samson_1.img",
    "files/salton_sea_roi.mat",
)
KEYS = {
    *("bytes", "bpppb", "bpppb_with_network", "psnr_db", "rmse", "max_error", "mean_sam_deg"),
    *("shape", "dtype", "coding", "parts", "network"),
}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def succeed(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def samples_of(scene: Scene) -> np.ndarray:
    return np.asarray(scene.data)


def assert_same_metadata(one: Scene, other: Scene) -> None:
    assert one.shape == other.shape
    assert one.dtype == other.dtype
    assert one.crs == other.crs
    assert one.transform == other.transform
    assert one.nodata == other.nodata
    for name in ("wavelengths", "fwhm"):
        first, second = getattr(one, name), getattr(other, name)
        assert (first is None) == (second is None)
        assert first is None or first.tobytes() == second.tobytes()


@pytest.mark.parametrize("name", SCENES)
def test_a_real_scene_goes_through_the_shell(scenes: Path, tmp_path: Path, name: str) -> None:
    source = scenes / name
    sidecar, tif = tmp_path / "a.hsinr", tmp_path / "back.tif"
    assert "bpppb" in succeed("compress", source, sidecar)
    info = json.loads(succeed("info", sidecar, "--json"))
    assert info.keys() >= KEYS
    verdict = succeed("verify", sidecar, "--against", source)
    assert "1 tiles)\nmeasured: " in verdict
    # Six digits of what was measured, and of what the file has in seven, may round apart.
    largest = float(verdict.rpartition("largest error ")[2])
    assert largest == pytest.approx(info["max_error"], rel=1e-5)
    succeed("decompress", sidecar, tif)

    original, back = scenes_module.read(source), scenes_module.read(tif)
    assert_same_metadata(original, back)
    one, other = samples_of(original), samples_of(back)
    invalid = original.invalid(one)
    assert np.array_equal(back.invalid(other), invalid)
    valid = ~invalid
    errors = one[valid].astype(float) - other[valid]
    spread = float(one[valid].max()) - float(one[valid].min())
    mse = np.square(errors).mean()
    assert info["psnr_db"] == pytest.approx(10 * np.log10(spread**2 / mse), abs=1e-3)
    assert info["psnr_db"] >= 45
    assert info["mean_sam_deg"] <= 1
    assert info["decided_by"] == "sam_deg" or info["psnr_db"] <= 45.3
    assert info["rmse"] == pytest.approx(np.sqrt(mse), rel=1e-5)
    assert info["max_error"] == pytest.approx(np.abs(errors).max(), rel=1e-5)
    size = sidecar.stat().st_size
    assert (info["bytes"], info["bpppb"]) == (size, 8 * size / one.size)
    assert (info["shape"], info["dtype"]) == (list(original.shape), original.dtype.name)

    opened = xhsinr.open(sidecar).open()
    assert_same_metadata(original, scenes_module.read(opened))
    assert np.array_equal(samples_of(scenes_module.read(opened)), other, equal_nan=True)


@pytest.mark.filterwarnings("default:.*fwhm")
def test_a_warning_is_a_line_and_what_the_report_says_is_said_once(tmp_path: Path) -> None:
    samples = synthetic_scene(40, 40, 8).transpose("y", "x", "band").values
    samples[:10, :12] = -9999
    path = tmp_path / "a.npy"
    np.save(path, samples)
    told = succeed("compress", path)
    assert told.count("are -9999 in all bands") == 1
    assert "UserWarning" not in told
    (tmp_path / "b.img").write_bytes(bytes(range(240)))
    (tmp_path / "b.hdr").write_text(
        "ENVI\nsamples = 5\nlines = 4\nbands = 6\ndata type = 2\ninterleave = bsq\nfwhm = {1, 2}\n"
    )
    told = succeed("compress", tmp_path / "b.img")
    assert "UserWarning" not in told
    assert f"Warning: {tmp_path / 'b.img'}: 'fwhm' lists 2 values" in told


@pytest.mark.parametrize("name", SCENES)
def test_a_real_scene_goes_through_the_accessor(scenes: Path, tmp_path: Path, name: str) -> None:
    scene = scenes_module.read(scenes / name)
    array = scene.to_xarray().load()
    back = array.hsinr.compress(tmp_path / "a.hsinr", psnr=38, progress=False).open().load()
    xr.testing.assert_identical(back, array.copy(data=back.values))
    assert back.rio.crs == array.rio.crs
    assert back.rio.transform() == array.rio.transform()
    assert back.rio.nodata == array.rio.nodata or np.isnan(array.rio.nodata)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene, bad scenes, and a sidecar that failures must leave alone."""
    files = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(5)
    scene = rng.integers(0, 900, (9, 8, 6)).astype("i2")
    infinite = scene.astype("f4")
    infinite[3, 3, 3] = np.inf
    bad = {
        "scene": scene,
        "one-band": scene[..., :1],
        "empty": scene[:0],
        "flat": scene[0],
        "nan": np.full((4, 4, 3), np.nan),
        "infinite": infinite,
        "long": scene.astype("i8"),
        "complex": scene.astype("c8"),
    }
    for name, samples in bad.items():
        np.save(files / f"{name}.npy", samples)
    (files / "text.tif").write_text("hello")
    xhsinr.compress(scene, files / "kept.hsinr", psnr=40, progress=False)
    content = (files / "kept.hsinr").read_bytes()
    (files / "cut.hsinr").write_bytes(content[:-5])
    newer = Anatomy.of(files / "kept.hsinr").with_(version=8).to_bytes()
    (files / "newer.hsinr").write_bytes(newer)
    (files / "broken.hsinr").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    save_network(siren_network(outputs=6), files / "own.safetensors")
    (files / "bad.safetensors").write_bytes(b"no network")
    return files


@pytest.fixture
def folder(files: Path, tmp_path: Path) -> Path:
    """A folder with these."""
    return Path(shutil.copytree(files, tmp_path, dirs_exist_ok=True))


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("compress one-band.npy new.hsinr", "one band"),
        ("compress empty.npy new.hsinr", "the scene is empty"),
        ("compress flat.npy new.hsinr", "2 dimensions"),
        ("compress nan.npy new.hsinr", "no sample of the scene is valid"),
        ("compress infinite.npy new.hsinr", "band 3 has infinite values"),
        ("compress infinite.npy kept.hsinr --overwrite", "band 3 has infinite values"),
        ("compress long.npy new.hsinr", "int64 are not supported"),
        ("compress complex.npy new.hsinr", "complex64 are not supported"),
        ("compress text.tif new.hsinr", "it is no image by itself"),
        ("compress scene.npy kept.hsinr", "pass overwrite (--overwrite) to replace it"),
        ("compress scene.npy missing/new.hsinr", "make it first"),
        ("compress scene.npy .", "is a folder"),
        ("compress scene.npy new.hsinr --network nowhere", "was not found. Looked for"),
        ("compress scene.npy new.hsinr --network bad.safetensors", "is not a base network"),
        ("compress scene.npy new.hsinr --psnr 0", "psnr = 0: it should be above zero"),
        ("compress scene.npy new.hsinr --psnr -4", "psnr = -4"),
        ("compress scene.npy new.hsinr --psnr nan", "finite"),
        ("compress scene.npy new.hsinr --bpppb 0.001", "ask for more"),
        ("compress scene.npy new.hsinr --max-error -1", "max_error = -1"),
        ("compress scene.npy new.hsinr --psnr 40 --lossless", "psnr and lossless are given"),
        ("compress scene.npy new.hsinr --tile 0", "tile = 0"),
        ("compress scene.npy a.hsinr --network own.safetensors --psnr 9 --device x", "device 'x'"),
        ("decompress scene.npy new.tif", "scene.npy is not an xhsinr sidecar"),
        ("decompress cut.hsinr new.tif", "it was cut off"),
        ("decompress newer.hsinr new.tif", "install a newer xhsinr"),
        ("decompress broken.hsinr new.tif", "tile 0: checksum"),
        ("decompress kept.hsinr text.tif", "text.tif exists"),
        ("decompress kept.hsinr new.npy", ".npy is no format that is written"),
        ("decompress kept.hsinr missing/new.tif", "make it first"),
        ("info scene.npy", "is not an xhsinr sidecar"),
        ("info newer.hsinr", "format version 8, this xhsinr reads 2"),
        ("info .", "is no regular file"),
        ("verify scene.npy", "is not an xhsinr sidecar"),
        ("verify broken.hsinr", "tile 0: checksum"),
        ("verify cut.hsinr --level structure", "it was cut off"),
        ("verify kept.hsinr --against long.npy", "int64 are not supported"),
        ("verify kept.hsinr --against infinite.npy", "float32, the file holds"),
        ("verify kept.hsinr --level structure --against scene.npy", "decodes nothing to compare"),
    ],
)
def test_what_goes_wrong_is_said_and_changes_no_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, message: str
) -> None:
    monkeypatch.chdir(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    result = run(*command.split())
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code == 1
    assert message in result.output
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_usage_errors_have_clicks_own_exit_code(folder: Path) -> None:
    assert run("compress", folder / "missing.npy").exit_code == 2
    assert run("compress", folder / "scene.npy", "--quality", "best").exit_code == 2


def test_the_sidecar_is_named_after_the_scene(folder: Path) -> None:
    succeed("compress", folder / "scene.npy")
    assert xhsinr.verify(folder / "scene.hsinr", against=folder / "scene.npy").valid
    assert run("compress", folder / "scene.npy").exit_code == 1
    succeed("compress", folder / "scene.npy", "--overwrite", "--lossless")
    assert "lossless" in succeed("info", folder / "scene.hsinr")


@pytest.mark.parametrize(
    ("options", "target"),
    [
        ("--psnr 41", {"psnr": 41}),
        ("--max-error 3", {"max_error": 3}),
        ("--bpppb 30.5", {"bpppb": 30.5}),
        ("--lossless", {"lossless": True}),
        ("--quality preview", {"quality": "preview"}),
        ("--quality archive --tile 4 --device cpu", {"quality": "archive"}),
    ],
)
def test_every_target_has_its_option(folder: Path, options: str, target: dict) -> None:
    path = folder / "new.hsinr"
    succeed("compress", folder / "scene.npy", path, *options.split())
    assert xhsinr.open(path).info["target"] == target
    assert "valid" in succeed("verify", path, "--against", folder / "scene.npy")


def test_decompress_replaces_only_where_asked(folder: Path) -> None:
    tif = folder / "back.tif"
    assert "bytes" in succeed("decompress", folder / "kept.hsinr", tif)
    before = tif.read_bytes()
    assert run("decompress", folder / "kept.hsinr", tif).exit_code == 1
    assert tif.read_bytes() == before
    succeed("decompress", folder / "kept.hsinr", tif, "--overwrite")


def test_georeferencing_survives_tiff_sidecar_and_tiff(tmp_path: Path) -> None:
    scene = synthetic_scene(40, 50, 8, nodata_corner=True)
    scene.rio.to_raster(tmp_path / "a.tif")
    succeed("compress", tmp_path / "a.tif", tmp_path / "a.hsinr", "--lossless", "--tile", "16")
    succeed("decompress", tmp_path / "a.hsinr", tmp_path / "b.tif")
    one, other = (scenes_module.read(tmp_path / f"{name}.tif") for name in "ab")
    assert_same_metadata(one, other)
    assert np.array_equal(samples_of(one), samples_of(other))
    assert np.array_equal(samples_of(other), scene.values)


def test_the_installed_command_works(folder: Path) -> None:
    command = shutil.which("xhsinr", path=str(Path(sys.executable).parent))
    assert command is not None
    done = subprocess.run(
        [command, "info", "kept.hsinr", "--json"], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert json.loads(done.stdout).keys() >= KEYS
    failed = subprocess.run(
        [command, "info", "cut.hsinr"], cwd=folder, capture_output=True, text=True
    )
    assert failed.returncode == 1
    assert "it was cut off" in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize("delay", [0.1, 0.3])
def test_a_stop_while_it_starts_prints_no_traceback(delay: float) -> None:
    command = [sys.executable, "-c", "import xhsinr_shell; print(flush=True); xhsinr_shell.main()"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as started:
        started.stdout.readline()
        time.sleep(delay)
        started.send_signal(signal.SIGINT)
        _, said = started.communicate()
    assert "Traceback" not in said


def test_what_would_steer_a_terminal_is_shown_and_not_sent(tmp_path: Path) -> None:
    path = tmp_path / "\x1b[31mred\x07.npy"
    np.save(path, synthetic_scene(16, 16, 6).transpose("y", "x", "band").values)
    for command in (["compress", path], ["verify", path.with_suffix(".hsinr")]):
        result = CliRunner().invoke(main, [str(word) for word in command], color=True)
        assert result.exit_code == 0
        assert "\x1b" not in result.output
        assert "\x07" not in result.output
    result = CliRunner().invoke(main, ["info", str(path)], color=True)
    assert result.exit_code == 1
    assert "\\x1b[31mred\\x07" in result.output


def test_a_name_that_is_not_utf_8_is_an_error_in_words(tmp_path: Path) -> None:
    sidecar = tmp_path / "a.hsinr"
    xhsinr.compress(synthetic_scene(16, 16, 6), sidecar, progress=False)
    result = CliRunner().invoke(main, ["decompress", str(sidecar), str(tmp_path / "b\udcff.tif")])
    assert result.exit_code == 1
    assert "not UTF-8" in result.output
