"""The benchmark's runner: what it measures, keeps, skips, writes and draws."""

from __future__ import annotations

import csv
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from xhsinr.bench import charts, downstream
from xhsinr.bench import codecs as baselines
from xhsinr.bench import measure as measuring
from xhsinr.bench.cases import Case, Plan, cases, quoted
from xhsinr.bench.checkpoint import Checkpoint
from xhsinr.bench.scenes import BenchScene, load_scene
from xhsinr.cli import main
from xhsinr.errors import HsinrError, SceneError, TargetError

pytest.importorskip("matplotlib")
from matplotlib.figure import Figure
from matplotlib.text import Text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two small scenes, the first with a band of nodata, and their listing."""
    rng = np.random.default_rng(3)
    path = tmp_path / "scenes"
    path.mkdir()
    for name in ("jasper_ridge_tiny", "other"):
        surface = np.cumsum(np.cumsum(rng.normal(size=(24, 24, 2)), axis=0), axis=1)
        cube = surface @ rng.normal(size=(2, 12))
        cube = 3000 * (cube - cube.min()) / np.ptp(cube) + rng.normal(scale=5, size=cube.shape)
        cube = cube.astype(np.int16)
        if name != "other":
            cube[..., 4] = -32768
        np.save(path / f"{name}.npy", cube)
    (path / "scenes.csv").write_text("scene,split\njasper_ridge_tiny,test\nother,train\n")
    np.savetxt(path / "jasper_ridge_tiny.wavelength_nm.txt", np.linspace(450, 950, 12))
    return path


def _bench(folder: Path, out: Path, *words: str) -> Any:
    arguments = ["bench", "--scenes", str(folder), "--scene", "jasper_ridge_tiny", "--quick"]
    return CliRunner().invoke(main, [*arguments, "--out", str(out), *words])


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_one_command_measures_writes_and_draws(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = _bench(folder, out, "--codecs", "pca_jpeg2000,sz3,meta_learning", "--rates", "1,2")
    assert result.exit_code == 0, result.output
    rows = _rows(out / "results.csv")
    good = [row for row in rows if not row["note"]]
    for row in good:
        assert float(row["bpppb"]) == pytest.approx(8 * int(row["bytes"]) / (24 * 24 * 11), 1e-4)
        assert float(row["encode_s"]) > 0
    assert {row["target"] for row in good if row["codec"] == "sz3"} == {
        *("bpppb=1", "bpppb=2", "max_error=16", "lossless")
    }
    (failed,) = (row for row in rows if row["note"] and row["codec"] == "meta_learning")
    assert failed["protocol"] == "in-sample"
    assert "--network" in failed["note"]
    page = (out / "tables.md").read_text()
    assert "quoted" in page
    for kind in ("psnr_rate", "psnr_time", "bound_rate"):
        figure = out / f"jasper_ridge_tiny_{kind}.png"
        assert figure.stat().st_size > 10_000
        assert figure.name in page


def test_the_next_run_measures_only_what_is_missing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The test before this one looks at the figures.
    monkeypatch.setattr(charts, "draw", lambda *_: [])
    out = tmp_path / "out"
    assert _bench(folder, out, "--codecs", "jpegls").exit_code == 0
    before = _rows(out / "results.csv")
    measured = []

    def counted(case: Case) -> dict[str, str]:
        measured.append(case.key)
        return measuring.measure(case)

    monkeypatch.setattr("xhsinr.bench.run.measure", counted)
    assert _bench(folder, out, "--codecs", "jpegls,sz3").exit_code == 0
    assert set(measured) == {"sz3"}
    assert _rows(out / "results.csv")[: len(before)] == before
    # A run of one codec leaves the others' rows in the tables.
    assert _bench(folder, out, "--codecs", "sz3").exit_code == 0
    assert "| JPEG-LS |" in (out / "tables.md").read_text()


def test_a_codec_that_fails_is_a_row_that_says_why(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = load_scene(folder, "other")
    case = Case(scene, "sz3", baselines.Target("lossless"), "held-out")

    def broken(*_: Any) -> bytes:
        raise MemoryError("no room\nleft")

    monkeypatch.setattr("xhsinr.bench.codecs.sz3.Sz3.encode", broken)
    row = measuring.measure(case)
    assert row["note"] == "MemoryError: no room left"
    assert row["bytes"] == ""


def test_a_codec_that_misses_its_target_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = load_scene(folder, "other")
    monkeypatch.setattr("xhsinr.bench.codecs.sz3.Sz3.decode", lambda self, payload: scene.cube + 5)
    monkeypatch.setattr("xhsinr.bench.codecs.sz3.Sz3.encode", lambda self, cube, target: b"123")
    row = measuring.measure(Case(scene, "sz3", baselines.Target("max_error", 4), "held-out"))
    assert row["note"] == "misses max_error=4"
    assert row["max_error"] == "5"


def test_memory_counts_however_much_was_freed_before() -> None:
    megabytes = []
    for _ in range(2):
        with measuring.peak_memory() as grown:
            pieces = [np.ones(1000) for _ in range(5000)]  # on the heap, which keeps what is freed
            del pieces
        megabytes += [size / 1e6 for size in grown]
    if not megabytes:
        pytest.skip("this system does not tell")
    assert all(38 < size < 60 for size in megabytes)


def test_a_plan_without_rates_has_curves_for_a_few_and_the_papers_rate_for_all() -> None:
    small, large = np.zeros((8, 8, 4), np.uint16), np.zeros((1024, 1024, 1), np.uint16)
    pines = BenchScene("indian_pines", small, None, frozenset())
    mosaic = BenchScene("indian_pines@1024", large, None, frozenset())
    found = {
        (scene.name, key): [case.target.value for case in cases(Plan(codecs=(key,)), [scene])]
        for scene in (pines, mosaic)
        for key in ("pca_jpeg2000", "pca_dct", "pcodec")
    }
    assert found["indian_pines", "pca_jpeg2000"] == [0.02, 0.05, 0.1, 0.2, 0.5]
    assert found["indian_pines", "pca_dct"] == [0.1, 0.2]
    assert found["indian_pines@1024", "pca_dct"] == []
    assert found["indian_pines@1024", "pcodec"] == [4, 16, 50, 0]


def test_names_of_points_do_not_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path: drawn.append(self))
    same = {"protocol": "held-out", "target": "lossless", "bytes": "9"}
    keys = list(baselines.CODECS)[:14]
    rows = [
        {**same, "codec": key, "name": key, "encode_s": f"{1 + n / 20}", "bpppb": f"{6 + n / 9}"}
        for n, key in enumerate(keys)
    ]
    charts.draw("crowded", rows, tmp_path)
    (figure,) = drawn
    figure.draw_without_rendering()
    boxes = {text.get_text(): Text.get_window_extent(text) for text in figure.axes[0].texts}
    assert set(boxes) == set(keys)
    assert not any(a.overlaps(b) for a, b in combinations(boxes.values(), 2))


def test_dead_bands_are_left_out_and_gaps_are_refused(folder: Path) -> None:
    scene = load_scene(folder, "jasper_ridge_tiny")
    assert scene.cube.shape == (24, 24, 11)
    assert scene.wavelengths is not None
    assert len(scene.wavelengths) == 11
    assert scene.benchmark == "jasper_ridge"
    assert scene.same_site == {"jasper_ridge_tiny"}
    cube = np.load(folder / "other.npy")
    cube[3, 3, 3] = -32768
    np.save(folder / "other.npy", cube)
    with pytest.raises(SceneError, match="gaps"):
        load_scene(folder, "other")
    with pytest.raises(SceneError, match="choose from jasper_ridge_tiny, other"):
        load_scene(folder, "nowhere")


def test_fitted_networks_get_the_papers_sizes(folder: Path) -> None:
    scene = load_scene(folder, "jasper_ridge_tiny")
    sizes = {
        case.key: (case.fields["layers"], case.fields["width"])
        for case in cases(Plan(codecs=("inr", "hp_inr_sampling")), [scene])
    }
    assert sizes == {"inr": (10, 20), "hp_inr_sampling": (15, 20)}


def test_protocols_are_told_apart(folder: Path) -> None:
    scene = load_scene(folder, "jasper_ridge_tiny")
    for protocol in ("held-out", "in-sample"):
        found = list(cases(Plan(codecs=("meta_learning", "jpeg"), protocol=protocol), [scene]))
        assert {case.protocol for case in found} == {protocol}
    with pytest.raises(TargetError, match="gzip"):
        Plan(codecs=("gzip",))


def test_a_crop_of_a_site_that_a_network_was_trained_on_is_in_sample(folder: Path) -> None:
    listing = "scene,split,site\njasper_ridge_tiny,test,here\nabu-urban-1,train,here\n"
    (folder / "scenes.csv").write_text(listing + "other,test,there\n")
    for name, protocol in (("jasper_ridge_tiny", "in-sample"), ("other", "held-out")):
        found = cases(Plan(codecs=("meta_learning", "wsrc", "xhsinr")), [load_scene(folder, name)])
        protocols = {(case.key, case.fields.get("network")): case.protocol for case in found}
        assert protocols["meta_learning", "paper"] == protocols["wsrc", None] == protocol
        assert protocols["xhsinr", None] == "held-out"


def test_a_fit_that_two_codecs_share_counts_for_both(folder: Path) -> None:
    scene = load_scene(folder, "other")
    fields = {"layers": 2, "width": 8, "steps": 30}
    target = baselines.Target("native")
    first, second = (
        measuring.measure(Case(scene, key, target, "held-out", fields)) for key in ("inr", "hp_inr")
    )
    assert int(second["bytes"]) < int(first["bytes"])
    assert float(second["encode_s"]) > 0.5 * float(first["encode_s"])


def test_the_papers_tables_are_quoted_whole() -> None:
    tables = quoted()
    assert len(tables) == 4
    for benchmark in tables.values():
        assert len(benchmark["compression"]) == 16
        assert len(benchmark["times"]) == 8
    ours = tables["jasper_ridge"]["times"][-1]
    assert (ours["method"], ours["psnr_db"], ours["bpppb"]) == ("Meta_learning", 36.67, 0.0085)


def test_a_checkpoint_of_other_columns_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(HsinrError, match="other columns"):
        Checkpoint(path, ("a", "c"), ("a",))
    assert path.read_text() == "a,b\n1,2\n"


def test_indices_are_those_of_their_definitions() -> None:
    wavelengths = np.array([550.0, 660, 670, 750, 860])
    cube = np.array([[[100, 200, 150, 300, 600]]], np.uint16)
    assert downstream.ndvi(cube, wavelengths).item() == pytest.approx(400 / 800)
    assert downstream.band_depth(cube, wavelengths).item() == pytest.approx(1 - 150 / 220)


def test_use_of_decoded_data_gets_better_with_the_rate(folder: Path) -> None:
    pytest.importorskip("sklearn")
    scene = load_scene(folder, "jasper_ridge_tiny")
    low, high = (downstream.measure(scene, folder, "pca_jpeg2000", rate) for rate in (0.5, 3))
    assert low["classes"] == high["classes"] == "k-means"
    assert float(low["agreement"]) <= float(high["agreement"]) <= 1
    assert float(high["ndvi_rmse"]) < float(low["ndvi_rmse"])
    assert "k-means" in downstream.section([low, high])
