from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from unittest.mock import Mock

import numpy as np
import pytest
import scipy.io

import xhsinr
from xhsinr.errors import SceneError
from xhsinr.training.trainer import Trainer

SCRIPT = Path(__file__).resolve().parents[1] / "examples" / "reproduce_paper.py"
TINY = {
    "patch": 0, "layers": 2, "width": 12, "latents": 6, "learn_rates": False, "batch": 1,
    "steps": 4, "pixels": 50, "rate": 0.01, "inner_rate": 0.01,
}  # fmt: skip


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The script, in a folder of its own, with a recipe of a few steps."""
    spec = importlib.util.spec_from_file_location("reproduce_paper", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name.
    monkeypatch.setitem(sys.modules, "reproduce_paper", module)
    spec.loader.exec_module(module)
    recipe = tmp_path / "tiny.json"
    recipe.write_text(json.dumps(TINY))
    monkeypatch.setattr(module, "RECIPE", recipe)
    monkeypatch.setattr("xhsinr.training.calibration._CALIBRATION_PATCHES", 4)
    monkeypatch.setattr(sys.modules["xhsinr.training.siren_training"], "_CHECKPOINT_EVERY", 1)
    monkeypatch.setattr(module, "load_scene", Mock(side_effect=SceneError("not installed")))
    monkeypatch.setenv("XHSINR_NETWORKS", "")
    monkeypatch.chdir(tmp_path)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Jasper Ridge as it is, crops of two more, and of each something that is not to be taken."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    np.save(folder / "jasper_ridge_224.npy", _cube(20, 20, 12))
    np.save(folder / "jasper_ridge_198.npy", _cube(20, 20, 9))
    pines = _cube(16, 18, 10)
    scipy.io.savemat(folder / "Indian_pines_corrected.mat", {"indian_pines_corrected": pines})
    scipy.io.savemat(folder / "Indian_pines_gt.mat", {"indian_pines_gt": pines[..., 0]})
    np.save(folder / "cuprite_of_another_sensor.npy", _cube(4, 4, 250))
    np.save(folder / "samson.npy", _cube(40, 40, 12))
    return folder


def _cube(rows: int, cols: int, bands: int) -> np.ndarray:
    rng = np.random.default_rng([rows, cols, bands])
    cube = np.cumsum(np.cumsum(rng.normal(size=(rows, cols, 2)), axis=0), axis=1)
    cube = cube @ np.cumsum(rng.normal(size=(2, bands)), axis=1)
    return (3000 * (cube - cube.min()) / np.ptp(cube)).astype(np.uint16)


def _rows(path: Path) -> list[dict[str, str]]:
    lines = [line[2:-2].split(" | ") for line in path.read_text().splitlines() if line[:1] == "|"]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def test_the_table_holds_what_the_files_hold(
    script: ModuleType, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "page.md"
    script.main([str(folder), "--out", str(out)])
    *scenes, total = _rows(out)
    network = tmp_path / "paper.safetensors"
    sources = (folder / "Indian_pines_corrected.mat", folder / "jasper_ridge_224.npy")
    cubes = (_cube(16, 18, 10).astype(float), _cube(20, 20, 12).astype(float))
    sizes, coded = [], []
    for source, cube, row in zip(sources, cubes, scenes[::2], strict=True):
        file = tmp_path / f"{source.stem}.hsinr"
        compressed = xhsinr.compress(source, file, quality="preview", network=network)
        error = np.square(compressed.open().values - cube).mean()
        sizes.append(file.stat().st_size)
        coded.append(compressed.info["parts"]["latents"])
        with_network = sizes[-1] + network.stat().st_size
        assert source.name in row["scene"]
        assert row["n_h, w_h"] == "2, 12"
        assert row["numbers"] == "6"
        assert row["PSNR (dB)"] == f"{10 * np.log10(np.ptp(cube) ** 2 / error):.2f}"
        assert row["size (KB)"] == f"{sizes[-1] / 1000:.1f}"
        assert row["bpppb by eq. 5"] == f"{6 * 32 / cube.size:.6f}"
        assert row["bits a number, stored"] == f"{8 * coded[-1] / 6:.2f}"
        assert row["bpppb, real bytes"] == f"{8 * sizes[-1] / cube.size:.6f}"
        assert row["bpppb with the network"] == f"{8 * with_network / cube.size:.4f}"
        assert float(row["encode (s)"]) > 0
    samples = sum(cube.size for cube in cubes)
    together = sum(sizes) + network.stat().st_size
    assert total["numbers"] == "12"
    assert total["bits a number, stored"] == f"{8 * sum(coded) / 12:.2f}"
    assert total["bpppb, real bytes"] == f"{8 * sum(sizes) / samples:.6f}"
    assert total["bpppb with the network"] == f"{8 * together / samples:.4f}"
    page = " ".join(out.read_text().split())
    assert "remembers them" in page
    assert "want of its file: Pavia University, Cuprite." in page
    assert f"{network.stat().st_size:,} bytes" in page
    assert "minutes of work on c" in page


def test_the_paper_is_quoted_for_its_whole_scenes(
    script: ModuleType, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "page.md"
    script.main([str(folder), "--out", str(out)])
    pines, paper, *_ = _rows(out)
    assert "16 x 18 x 10, a crop of 145 x 145 x 220" in pines["scene"]
    assert "145 x 145 x 220 (quoted)" in paper["scene"]
    assert [*paper.values()][1:] == [
        *("5, 20", "36.64", "0.014", "0.000518", "–", "2.4", "0.004151", "–", "–", "–")
    ]
    assert script.extent((100, 100, 224), [100, 100, 224]) == "100 x 100 x 224, whole"
    turned = script.extent((512, 614, 188), [614, 512, 224])
    assert turned == "512 x 614 x 188 of 614 x 512 x 224"


def test_the_whole_of_indian_pines_is_taken_where_it_is_installed(
    script: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Mock(cube=_cube(20, 18, 10))
    monkeypatch.setattr(script, "load_scene", lambda *_: whole)
    found = script.find_benchmarks(folder)["indian_pines"]
    assert np.array_equal(np.load(found), whole.cube)


def test_cuprite_has_a_network_of_its_own(script: ModuleType, tmp_path: Path) -> None:
    folder, out = tmp_path / "scenes", tmp_path / "page.md"
    folder.mkdir()
    np.save(folder / "paviau_140x80.npy", _cube(18, 14, 6))
    mat = folder / "Cuprite_f970619t01p02_r02_sc03.a.rfl.mat"
    scipy.io.savemat(mat, {"X": _cube(16, 12, 8)})
    script.main([str(folder), "--out", str(out)])
    pavia, _, cuprite, quoted, total = _rows(out)
    assert (pavia["numbers"], cuprite["numbers"], total["numbers"]) == ("6", "300", "306")
    assert cuprite["n_h, w_h"] == quoted["n_h, w_h"] == "5, 60"
    names = [tmp_path / name for name in ("paper.safetensors", "paper_cuprite.safetensors")]
    shared, own = (xhsinr.load_network(name) for name in names)
    assert [*own.recipe["training"]] == [mat.stem]
    assert [*shared.recipe["training"]] == ["paviau_140x80"]
    samples = 18 * 14 * 6 + 16 * 12 * 8
    networks = 8 * (shared.file_bytes + own.file_bytes) / samples
    files = float(total["bpppb, real bytes"])
    assert float(total["bpppb with the network"]) == pytest.approx(networks + files, abs=1e-3)
    assert "221 to 440" in out.read_text()

    # The networks are complete: the same command trains neither again.
    before = [name.stat().st_mtime_ns for name in names]
    script.main([str(folder)])
    assert [name.stat().st_mtime_ns for name in names] == before


def test_a_training_that_was_stopped_goes_on_to_the_same_network(
    script: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, out = tmp_path / "paper.safetensors", tmp_path / "page.md"
    script.main([str(folder)])
    unbroken = network.read_bytes()
    network.unlink()
    advance, steps = Trainer.advance, []

    def until_two(trainer):
        if trainer.step == 2:
            raise KeyboardInterrupt
        return advance(trainer)

    def counted(trainer):
        steps.append(trainer.step)
        return advance(trainer)

    monkeypatch.setattr(Trainer, "advance", until_two)
    with pytest.raises(KeyboardInterrupt):
        script.main([str(folder)])
    assert not network.exists()
    monkeypatch.setattr(Trainer, "advance", counted)
    script.main([str(folder), "--out", str(out)])
    assert steps == [2, 3]
    assert network.read_bytes() == unbroken
    assert "since it was resumed" in out.read_text()

    with pytest.raises(SystemExit, match="other settings or scenes"):
        script.main([str(folder), "--steps", "3"])


def test_a_network_that_is_there_is_measured_on_its_own_scenes_alone(
    script: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.main([str(folder), "--out", str(tmp_path / "first.md")])
    network = (tmp_path / "paper.safetensors").rename(tmp_path / "mine.safetensors")
    # A fuller file is there now, but it is not what the network was trained on.
    np.save(folder / "indian_pines_more.npy", _cube(20, 20, 10))
    monkeypatch.setattr(script, "train_siren", None)
    script.main([str(folder), "--network", str(network), "--out", str(tmp_path / "again.md")])
    first, again = (_rows(tmp_path / name) for name in ("first.md", "again.md"))
    for before, after in zip(first[:-1], again[:-1], strict=True):
        assert before["scene"] == after["scene"]
        assert before["PSNR (dB)"] == after["PSNR (dB)"]
    assert "in a time that its file does not hold" in (tmp_path / "again.md").read_text()

    np.save(folder / "jasper_ridge_224.npy", _cube(20, 20, 12) + 1)
    with pytest.raises(SystemExit, match="does not have the scene jasper_ridge_224"):
        script.main([str(folder), "--network", str(network)])
    for file in folder.iterdir():
        file.unlink()
    with pytest.raises(SystemExit, match="none of the paper's benchmarks"):
        script.main([str(folder)])
