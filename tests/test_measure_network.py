"""The scripts that measure base networks measure what they say."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import xhsinr
from xhsinr.demo import synthetic_scene

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

import measure_network
import speed


def test_the_default_holds_what_a_zonal_dct_holds_and_its_largest_latents_more(
    scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = [scenes / "jasper_ridge_198.npy", scenes / "paviau_140x80.npy"]
    monkeypatch.setattr(measure_network, "split", lambda folder, name: some)
    rows = list(measure_network.unexplained(xhsinr.load_network("default"), scenes))
    assert [row["scene"] for row in rows] == [path.stem for path in some]
    for row in rows:
        zonal, same, largest = (float(value) for value in list(row.values())[1:])
        assert same == pytest.approx(zonal, abs=0.001)
        assert largest < 0.75 * zonal


def test_latents_take_the_bytes_that_their_tables_say(
    scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = [scenes / "indian_pines_part.npy"]
    monkeypatch.setattr(measure_network, "split", lambda folder, name: some)
    (row,) = measure_network.quantised(xhsinr.load_network("default"), scenes)
    coded, ideal = (float(row[name].replace(",", "")) for name in ("bytes", "code length (bytes)"))
    assert ideal <= coded <= 1.03 * ideal


def test_times_are_of_the_same_scene_at_the_rate_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cube = synthetic_scene(40, 40, 30).transpose("y", "x", "band").values.astype(np.uint16)
    np.save(tmp_path / "scene.npy", cube)
    speed.main([str(tmp_path / "scene.npy"), "--sides", "48", "--out", str(tmp_path / "out.md")])
    page = (tmp_path / "out.md").read_text()
    assert page.strip() in capsys.readouterr().out
    assert "| 48 |" in page
    rival = speed.PcaJpeg2000(speed.mirrored(cube, 64))
    assert rival.encode() == rival.content
    assert len(rival.content) <= speed.RATE * 64 * 64 * 30 / 8 * 1.1
    assert np.abs(rival.decode().astype(int) - speed.mirrored(cube, 64)).mean() < cube.std()


def test_the_fit_is_measured_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    row = speed.fitted(xhsinr.load_network("default"), "cuda")
    assert float(row["fit (s)"]) > 0
