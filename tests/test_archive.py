"""Scenes become an archive; what goes wrong is a row, and a rerun does only the rest."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pystac
import pytest
from archives import (
    IDS,
    expected_files,
    files_of,
    ids_in_catalog,
    make_sources,
    rows_of,
    run_archive,
)
from click.testing import CliRunner

import xhsinr
from xhsinr.archiving import verify_archive
from xhsinr.archiving.executors import executor
from xhsinr.archiving.folder import one_run
from xhsinr.archiving.retrain import retrain
from xhsinr.cli import main
from xhsinr.errors import HsinrError, SourceError, TargetError
from xhsinr.network.prior import package_prior
from xhsinr.outputs import scratch
from xhsinr.training import PriorSettings


def test_every_scene_is_compressed_described_and_in_the_catalog_once(
    sources: Path, out: Path
) -> None:
    report = xhsinr.archive(sources, out, progress=False)
    assert report.ok
    assert files_of(out) == expected_files(IDS)
    assert ids_in_catalog(out) == list(IDS)
    assert verify_archive(out, progress=False).valid
    for row in report.rows:
        sidecar = out / row.id / f"{row.id}.hsinr"
        info = xhsinr.open(sidecar).info
        assert row.status == "done"
        assert row.bytes == sidecar.stat().st_size == info["bytes"]
        assert row.original_bytes == np.load(sources / f"{row.id}.npy").nbytes
        assert (row.bpppb, row.psnr, row.rmse) == (info["bpppb"], info["psnr_db"], info["rmse"])
        assert row.seconds > 0
        assert row.peak_memory > 50e6
        assert str(os.getpid()) in row.worker
    written = rows_of(out)
    assert list(written) == list(IDS)
    assert float(written["one"]["psnr"]) == report.rows[0].psnr


def test_a_rerun_does_only_what_changed(sources: Path, out: Path) -> None:
    xhsinr.archive(sources, out, progress=False)

    def statuses(**settings: object) -> list[str]:
        return [row.status for row in xhsinr.archive(sources, out, progress=False, **settings).rows]

    assert statuses() == ["skipped"] * 3
    assert statuses(quality="standard", device="cpu", max_memory="4 GB") == ["skipped"] * 3
    samples = np.load(sources / "two.npy")
    np.save(sources / "two.npy", samples + samples.dtype.type(1))
    assert statuses() == ["skipped", "skipped", "done"]
    content = bytearray((out / "one" / "one.hsinr").read_bytes())
    content[-3] ^= 1
    (out / "one" / "one.hsinr").write_bytes(content)
    (out / "three" / "three.preview.tif").write_bytes(b"")
    (out / "two" / "two.metadata.json").unlink()
    assert statuses() == ["done"] * 3
    assert verify_archive(out, progress=False).valid
    assert files_of(out) == expected_files(IDS)
    assert ids_in_catalog(out) == list(IDS)


def test_an_archive_remembers_what_it_was_asked_for(sources: Path, out: Path) -> None:
    xhsinr.archive(sources, out, lossless=True, tile=16, progress=False)
    before = (out / "one" / "one.hsinr").read_bytes()
    again = xhsinr.archive(sources, out, progress=False)
    assert [row.status for row in again.rows] == ["skipped"] * 3
    np.save(sources / "two.npy", np.load(sources / "two.npy") + 1)
    xhsinr.archive(sources, out, progress=False)
    found = xhsinr.open(out / "two" / "two.hsinr")
    assert np.array_equal(
        found.open().transpose("y", "x", "band").values, np.load(sources / "two.npy")
    )
    assert found.info["tile"] == 16
    for asked, message in (
        ({"psnr": 45}, r"psnr=45.0 in place of lossless=True \(the scenes lose quality\)"),
        ({"tile": 24}, "tile=24 in place of 16"),
    ):
        with pytest.raises(TargetError, match=message):
            xhsinr.archive(sources, out, progress=False, **asked)
    assert (out / "one" / "one.hsinr").read_bytes() == before
    with pytest.warns(UserWarning, match="the scenes lose quality"):
        changed = xhsinr.archive(sources, out, psnr=45, overwrite=True, progress=False)
    assert [row.status for row in changed.rows] == ["done"] * 3
    assert xhsinr.open(out / "one" / "one.hsinr").info["max_error"] != 0
    assert [row.status for row in xhsinr.archive(sources, out, progress=False).rows] == (
        ["skipped"] * 3
    )


def test_the_report_keeps_what_scenes_took_that_are_skipped(sources: Path, out: Path) -> None:
    first = xhsinr.archive(sources, out, progress=False)
    (out / "report.csv").unlink()
    again = xhsinr.archive(sources, out, progress=False)
    for row, before in zip(again.rows, first.rows, strict=True):
        assert row.status == "skipped"
        assert 0 < row.seconds <= before.seconds
        assert (row.worker, row.bytes) == (before.worker, before.bytes)
        assert row.peak_memory > 50e6


def test_cautions_are_told_everywhere(
    sources: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xhsinr.handle import Compressed

    monkeypatch.setattr(Compressed, "caution", property(lambda self: "odd\x1b[31m"))
    arguments = ["archive", str(sources), str(out)]
    for _ in range(2):
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0
        assert done.output.count("caution: odd") == 3
        assert "\x1b" not in done.output
    assert CliRunner().invoke(main, [*arguments, "--strict"]).exit_code == 1
    assert {row["caution"] for row in rows_of(out).values()} == {"odd\x1b[31m"}
    item = json.loads((out / "one" / "one.json").read_text())
    assert item["properties"]["hsinr:caution"] == "odd\x1b[31m"


def test_a_scene_is_known_by_its_source(sources: Path, out: Path, tmp_path: Path) -> None:
    xhsinr.archive(sources, out, lossless=True, progress=False)
    before = (out / "one" / "one.hsinr").read_bytes()
    others = make_sources(tmp_path / "others", ("one",), side=30)
    report = xhsinr.archive(others, out, progress=False)
    assert [row.status for row in report.rows] == ["done"]
    assert report.rows[0].id.startswith("one-")
    assert (out / "one" / "one.hsinr").read_bytes() == before
    (sources / "one.npy").unlink()
    shutil.copy(others / "one.npy", sources / "three.npy")
    again = xhsinr.archive(str(tmp_path / "*" / "*.npy"), out, progress=False)
    assert {row.id: row.status for row in again.rows} == {
        report.rows[0].id: "skipped", "three": "done", "two": "skipped",
    }  # fmt: skip
    assert (out / "one" / "one.hsinr").read_bytes() == before


@pytest.mark.parametrize(
    "name", ["report.csv", "catalog.json", "one/one.json", "two/two.preview.tif", "two/notes.txt"]
)
def test_nothing_of_others_is_replaced(sources: Path, out: Path, name: str) -> None:
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text("precious")
    with pytest.raises(HsinrError, match="Nothing was done"):
        xhsinr.archive(sources, out, progress=False)
    assert files_of(out) == {name}
    assert (out / name).read_text() == "precious"


def test_no_scene_is_written_through_a_link(sources: Path, out: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    out.mkdir()
    (out / "one").symlink_to(elsewhere)
    with pytest.raises(HsinrError, match="Nothing was done"):
        xhsinr.archive(sources, out, progress=False)
    assert not list(elsewhere.iterdir())


def test_a_scene_that_lost_its_item_is_replaced_when_told(sources: Path, out: Path) -> None:
    xhsinr.archive(sources, out, progress=False)
    (out / "three" / "three.json").unlink()
    with pytest.raises(HsinrError, match=r"three: there already.*pass overwrite"):
        xhsinr.archive(sources, out, progress=False)
    report = xhsinr.archive(sources, out, overwrite=True, progress=False)
    assert [row.status for row in report.rows] == ["skipped", "done", "skipped"]


def test_what_lies_beside_a_scene_s_files_stays(sources: Path, out: Path) -> None:
    xhsinr.archive(sources, out, progress=False)
    (out / "one" / "notes.txt").write_text("mine")
    np.save(sources / "one.npy", np.load(sources / "one.npy") + 1)
    assert xhsinr.archive(sources, out, progress=False).rows[0].status == "done"
    assert (out / "one" / "notes.txt").read_text() == "mine"
    assert files_of(out) == expected_files(IDS) | {"one/notes.txt"}


def test_a_replacement_that_was_cut_short_is_ended(sources: Path, out: Path) -> None:
    xhsinr.archive(sources, out, progress=False)
    (out / "one").rename(out / ".one.xhsinr-replaced")
    shutil.copytree(out / "two", out / ".two.xhsinr-replaced")
    report = xhsinr.archive(sources, out, progress=False)
    assert [row.status for row in report.rows] == ["skipped"] * 3
    assert files_of(out) == expected_files(IDS)


def test_a_source_that_changes_meanwhile_is_a_row(
    sources: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xhsinr.archiving import job

    write = job.write_preview

    def meanwhile(*given: Any, **more: Any) -> Any:
        np.save(sources / "two.npy", np.load(sources / "two.npy") + 1)
        return write(*given, **more)

    monkeypatch.setattr(job, "write_preview", meanwhile)
    report = xhsinr.archive(sources, out, retries=0, progress=False)
    assert [row.status for row in report.rows] == ["done", "done", "failed"]
    assert "two.npy was changed while it was read" in report.rows[2].error
    assert not (out / "two").exists()


def test_a_world_file_or_an_older_image_is_a_change(tmp_path: Path, out: Path) -> None:
    import rasterio

    image = tmp_path / "a.img"
    profile = {"driver": "ENVI", "count": 3, "height": 8, "width": 9, "dtype": "int16"}
    for value in (1, 2):
        with rasterio.open(image, "w", **profile) as file:
            file.write(np.arange(216, dtype=np.int16).reshape(3, 8, 9) * value)
        os.utime(image, (1_000_000 + value, 1_000_000 + value))
        report = xhsinr.archive(image, out, progress=False)
        assert report.rows[0].status == "done"
    (tmp_path / "a.wld").write_text("30\n0\n0\n-30\n300000\n5000000\n")
    assert xhsinr.archive(image, out, progress=False).rows[0].status == "done"


def test_an_archive_that_is_not_here_is_not_done(
    sources: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xhsinr.archiving import batch, job

    real = job.do

    def elsewhere(work: job.Job, threads: int, share: int) -> Any:
        row = real(work, threads, share)
        shutil.move(out / work.source.id, out.with_name(f"{work.source.id}-of-the-worker"))
        return row

    monkeypatch.setattr(batch, "do", elsewhere)
    monkeypatch.setattr(batch.time, "sleep", lambda _: None)
    report = xhsinr.archive(sources, out, retries=0, progress=False)
    assert [row.status for row in report.rows] == ["failed"] * 3
    assert "share" in report.rows[0].error


def test_a_worker_that_sees_another_folder_does_nothing(sources: Path, out: Path) -> None:
    from dataclasses import replace

    from xhsinr.archiving import job
    from xhsinr.stac import Source
    from xhsinr.target import Settings

    xhsinr.archive(sources, out, progress=False)
    work = job.Job(Source("x", str(sources / "one.npy")), out, "other", Settings(), {}, None)
    assert "does not see the archive" in job.do(work, 1, 1).error
    assert "does not see" in job.do(replace(work, out=out.with_name("none")), 1, 1).error


def test_what_is_wrong_with_a_scene_is_its_row_and_the_others_go_on(
    sources: Path, out: Path
) -> None:
    (sources / "broken.tif").write_bytes(b"no image")
    np.save(sources / "empty.npy", np.full((4, 5, 3), np.nan))
    done = CliRunner().invoke(main, ["archive", str(sources), str(out), "--retries", "0"])
    assert done.exit_code == 1
    assert "2 failed, 3 done" in done.output or "3 done, 2 failed" in done.output
    rows = rows_of(out)
    assert "broken.tif" in rows["broken"]["error"]
    assert "no sample of the scene is valid" in rows["empty"]["error"]
    assert {name for name in rows if rows[name]["status"] == "done"} == set(IDS)
    assert files_of(out) == expected_files(IDS)
    (sources / "broken.tif").unlink()
    (sources / "empty.npy").unlink()
    assert CliRunner().invoke(main, ["archive", str(sources), str(out)]).exit_code == 0


def test_a_scene_that_disappears_meanwhile_is_a_row(
    sources: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xhsinr.archiving import job

    make = job._make

    def remove_two(work: job.Job, *rest: object) -> dict:
        (sources / "two.npy").unlink(missing_ok=True)
        return make(work, *rest)

    monkeypatch.setattr(job, "_make", remove_two)
    report = xhsinr.archive(sources, out, progress=False)
    assert [row.status for row in report.rows] == ["done", "done", "failed"]
    assert "two.npy" in report.failed[0].error
    assert "no such file" in report.failed[0].error


def make_catalog(sources: Path, bands: int) -> Path:
    """A catalog whose collection says how many bands its scenes have."""
    item_assets = {"data": {"roles": ["data"], "bands": [{"name": f"{i}"} for i in range(bands)]}}
    extent = pystac.Extent(
        pystac.SpatialExtent([[-180, -90, 180, 90]]), pystac.TemporalExtent([[None, None]])
    )
    collection = pystac.Collection("flights", "Flights", extent)
    collection.extra_fields["item_assets"] = item_assets
    catalog = pystac.Catalog("campaign", "Campaign")
    catalog.add_child(collection)
    for path in sorted(sources.glob("*.npy")):
        item = pystac.Item(
            path.stem, None, None, pystac.utils.str_to_datetime("2024-05-01T10:00:00Z"), {}
        )
        item.add_asset("data", pystac.Asset(str(path), roles=["data"]))
        collection.add_item(item)
    catalog.normalize_and_save(str(sources / "stac"), pystac.CatalogType.SELF_CONTAINED)
    return sources / "stac" / "catalog.json"


def test_a_scene_with_other_bands_than_its_collection_s_is_a_row(sources: Path, out: Path) -> None:
    np.save(sources / "four.npy", np.ones((6, 7, 5), np.uint8))
    report = xhsinr.archive(make_catalog(sources, 8), out, progress=False)
    assert [row.id for row in report.failed] == ["four"]
    assert "5 bands" in report.failed[0].error
    assert files_of(out) == expected_files(IDS)
    item = pystac.Item.from_file(str(out / "one" / "one.json"))
    assert item.datetime == pystac.utils.str_to_datetime("2024-05-01T10:00:00Z")


def test_a_failed_scene_is_tried_again_after_the_others(
    sources: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xhsinr.archiving import job

    make, tried = job._make, []

    def flaky(work: job.Job, *rest: object) -> dict:
        tried.append(work.source.id)
        if work.source.id == "one" and tried.count("one") < 3:
            raise OSError(5, "Input/output error")
        return make(work, *rest)

    monkeypatch.setattr(job, "_make", flaky)
    assert not xhsinr.archive(sources, out, retries=1, progress=False).ok
    assert tried == ["one", "three", "two", "one"]
    assert xhsinr.archive(sources, out, retries=1, progress=False).ok


@pytest.mark.parametrize("asked", [{"quality": "preview"}, {"bpppb": 8}])
def test_an_archive_keeps_no_network_of_the_package_s_own(
    sources: Path, out: Path, asked: dict[str, Any]
) -> None:
    assert xhsinr.archive(sources, out, progress=False, **asked).ok
    assert files_of(out) == expected_files(IDS)
    for name in IDS:
        assert xhsinr.open(out / name / f"{name}.hsinr").info["network"] is None
    assert verify_archive(out, progress=False).valid


def test_nothing_is_written_for_settings_that_make_no_sense(sources: Path, out: Path) -> None:
    with pytest.raises(TargetError):
        xhsinr.archive(sources, out, psnr=-1)
    with pytest.raises(SourceError):
        xhsinr.archive(sources / "nowhere", out)
    with pytest.raises(HsinrError, match="not both"):
        xhsinr.archive(sources, out, scheduler="tcp://127.0.0.1:1", workers=2)
    assert not list(out.glob("*")) or files_of(out) <= {"catalog.json", "collection.json"}


def test_two_runs_do_not_write_to_one_archive(sources: Path, out: Path) -> None:
    with one_run(out), pytest.raises(HsinrError, match="another run"):
        xhsinr.archive(sources, out, progress=False)


def test_what_a_killed_run_left_is_swept_and_nothing_else(
    sources: Path, out: Path, tmp_path: Path
) -> None:
    out.mkdir()
    with scratch(out, "one") as folder:
        left = folder.name  # as a process that is killed leaves it
    (out / left).mkdir()
    (out / left / "one.hsinr").write_bytes(b"half")
    mine = {".partial-abc/one.hsinr", ".report.csv.xyz.part", "notes.part", "one.xhsinr-01234567/a"}
    mine |= {".b.xhsinr-0123abcd/b", f"{left.replace('.one.', '.two.')}/a", f"{left[:-1]}/a"}
    for name in mine:
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(b"mine")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a").write_bytes(b"mine")
    (out / left.replace("one", "run")).symlink_to(elsewhere)
    xhsinr.archive(sources, out, progress=False)
    (out / left.replace("one", "run")).unlink()
    assert files_of(out) == expected_files(IDS) | mine
    assert (elsewhere / "a").exists()


def test_a_prior_is_tuned_to_the_archive_and_counted_once(tmp_path: Path) -> None:
    sources = make_sources(tmp_path / "sources", side=32)
    out = tmp_path / "archive"
    xhsinr.archive(sources, out, progress=False)
    (sources / "two.npy").unlink()
    found = retrain(out, PriorSettings(steps=(5,)), progress=False)
    figures = json.loads((out / "in-sample.json").read_text())
    assert figures["network_bytes"] == found.network.stat().st_size
    total = figures["bytes"] + found.network.stat().st_size
    assert figures["gain"] == pytest.approx(1 - total / figures["bytes_before"])
    assert set(figures["scenes"]) == set(IDS)
    recipe = xhsinr.load_network(found.network).recipe
    assert set(recipe["training"]) == set(IDS)
    assert recipe["start"] == package_prior().digest
    names = {
        "in-sample.json",
        *(f"networks/{found.network.stem}{e}" for e in (".json", ".safetensors")),
    }
    assert files_of(out) == expected_files(IDS) | names
    assert found.network.stem in ids_in_catalog(out)
    report = xhsinr.archive(sources, out, network=found.network, overwrite=True, progress=False)
    assert {row.status for row in report.rows if row.id != "two"} == {"done"}
    named = xhsinr.open(out / "one" / "one.hsinr").info["network"]
    assert named["sha256"] == xhsinr.load_network(found.network).digest


def test_commands_say_what_they_need() -> None:
    for given in ([], ["a"], ["--verify"], ["--restore", "a"], ["--retrain", "a", "b"]):
        assert CliRunner().invoke(main, ["archive", *given]).exit_code == 2


def test_distributed_is_asked_for_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(HsinrError, match=r"xhsinr\[cluster\]"), executor(None, 2):
        pass


@pytest.mark.skipif(os.name != "posix", reason="limits files by setrlimit")
def test_a_disk_that_fills_up_fails_the_scenes_that_do_not_fit(tmp_path: Path) -> None:
    sources, out = make_sources(tmp_path / "sources"), tmp_path / "archive"
    np.save(sources / "large.npy", np.random.default_rng(0).integers(0, 60_000, (80, 80, 20), "u2"))
    limit = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))"
    )
    process = run_archive(sources, out, "--lossless", "--retries", "0", before=limit)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1, output
    rows = rows_of(out)
    assert {name: row["status"] for name, row in rows.items()} == dict.fromkeys(IDS, "done") | {
        "large": "failed"
    }
    assert "File too large" in rows["large"]["error"]
    assert files_of(out) == expected_files(IDS)


@pytest.mark.skipif(os.name != "posix", reason="needs permissions")
def test_an_output_that_cannot_be_written_is_said_once(sources: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_bytes(b"a file, not a folder")
    done = CliRunner().invoke(main, ["archive", str(sources), str(blocked / "archive")])
    assert done.exit_code == 1
    assert str(blocked) in done.output
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    readonly = tmp_path / "readonly"
    readonly.mkdir(mode=0o555)
    done = CliRunner().invoke(main, ["archive", str(sources), str(readonly)])
    assert done.exit_code == 1
    assert "Permission denied" in done.output


@pytest.mark.parametrize("wrong", [{"retries": -1}, {"scheduler": "junk"}])
def test_a_run_that_cannot_be_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 4, 3), np.int16))
    with pytest.raises(HsinrError, match=f"{next(iter(wrong.values()))}"):
        xhsinr.archive(tmp_path / "a.npy", tmp_path / "out", progress=False, **wrong)


def test_a_malformed_address_is_told_at_once_and_without_a_traceback(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 4, 3), np.int16))
    addresses = ("junk", "http://x:1")
    command = f"""
import contextlib, sys
from xhsinr.cli import main
for address in {addresses}:
    with contextlib.suppress(SystemExit):
        main(["archive", *sys.argv[1:], "--scheduler", address])
"""
    done = subprocess.run(
        [sys.executable, "-c", command, str(tmp_path), str(tmp_path / "out")],
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert [line[:7] for line in done.stderr.splitlines()] == ["Error: "] * len(addresses)


def test_a_scheduler_that_goes_ends_the_run_with_rows(sources: Path, out: Path) -> None:
    pytest.importorskip("distributed")
    program = (
        "from distributed import LocalCluster\n"
        "options = dict(protocol='tcp', host='127.0.0.1', dashboard_address=None)\n"
        "with LocalCluster(n_workers=0, **options) as cluster:\n"
        "    print(cluster.scheduler_address, flush=True); input()"
    )
    with (
        subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as scheduler,
        dask.config.set({"distributed.comm.timeouts.connect": "2s"}),
    ):
        assert scheduler.stdout is not None
        address = scheduler.stdout.readline().strip()
        timer = threading.Timer(3, scheduler.kill)
        timer.start()
        report = xhsinr.archive(sources, out, scheduler=address, progress=False)
    assert [row.status for row in report.rows] == ["failed"] * 3
    assert {row.error for row in report.rows} == {
        "HsinrError: the dask scheduler is gone: start it, and run this again"
    }
