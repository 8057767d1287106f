"""On a dask.distributed cluster: two processes here, and a GPU where workers declare it."""

from __future__ import annotations

import os
import pickle
import runpy
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr
from distributed import Client, LocalCluster, Worker, get_worker
from small_networks import siren_network

import xhsinr
from xhsinr.archiving import executors, verify_archive
from xhsinr.compression import passes
from xhsinr.demo import synthetic_scene
from xhsinr.errors import MemoryLimitError, SceneError
from xhsinr.network.file import save_network
from xhsinr.network.places import load_network
from xhsinr.running import tasks
from xhsinr.running.cluster import gpu_resources, send_network
from xhsinr.running.tasks import client_in_scope

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, memory_limit=0, dashboard_address=":0"
    ) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    with Client(cluster) as client:
        yield client


@pytest.fixture(autouse=True)
def _small_scenes_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "SMALL_SCENE", 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A scene in a file."""
    path = tmp_path / "scene.tif"
    synthetic_scene(40, 44, 10, nodata_corner=True).rio.to_raster(path)
    return path


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("path", {"psnr": 42}),
        ("path", {"max_error": 5}),
        ("array", {"quality": "preview"}),
        ("lazy", {"psnr": 42}),
    ],
)
def test_two_processes_give_the_bytes_of_one_thread(
    client: Client, path: Path, tmp_path: Path, kind: str, target: dict
) -> None:
    scene = synthetic_scene(40, 44, 10, nodata_corner=True)
    source = {"path": path, "array": scene, "lazy": scene.chunk(x=11, y=9, band=4)}[kind]
    made = []
    for number, scheduler in enumerate((client, "synchronous", "threads")):
        name = tmp_path / f"{number}.hsinr"
        with dask.config.set(scheduler=scheduler, num_workers=2):
            xhsinr.compress(source, name, tile=16, progress=False, **target)
        made.append(name.read_bytes())
    assert len(set(made)) == 1


def test_the_client_in_scope_is_used(client: Client, path: Path, tmp_path: Path) -> None:
    assert client_in_scope() is client
    made = xhsinr.compress(path, tmp_path / "a.hsinr", tile=16, progress=False)
    # A pass to see what it is, and one for each time that it was encoded.
    assert made.passes >= 2
    prefixes = client.run_on_scheduler(lambda dask_scheduler: set(dask_scheduler.task_prefixes))
    assert "on_worker" in prefixes
    with dask.config.set(scheduler="threads"):
        assert client_in_scope() is None


def test_a_small_scene_stays_in_the_process(
    client: Client, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    before = client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.task_prefixes))
    xhsinr.compress(path, tmp_path / "a.hsinr", tile=16, progress=False)
    after = client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.task_prefixes))
    assert before == after


def test_an_error_in_a_tile_comes_back_as_it_is(client: Client, tmp_path: Path) -> None:
    samples = np.ones((20, 24, 3), "f4")
    samples[17, 19, 1] = np.inf
    with pytest.raises(SceneError, match="band 1 has infinite values in rows 16 to 19"):
        xhsinr.compress(samples, tmp_path / "a.hsinr", tile=8, progress=False)
    assert not list(tmp_path.iterdir())


def test_memory_is_for_all_threads_of_a_worker(client: Client, tmp_path: Path) -> None:
    scene = np.zeros((256, 256, 40), "u2")
    with pytest.raises(MemoryLimitError, match="256 x 256"):
        xhsinr.compress(scene, tmp_path / "a.hsinr", max_memory="270 MB", progress=False)


def unpickled(content: bytes) -> tuple[int, str]:
    network = pickle.loads(content)
    return id(network), network.digest


def test_a_network_travels_as_its_digest_and_is_loaded_once_in_each_process(
    client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "mine.safetensors"
    shutil.copyfile(load_network("prior-1").path, path)
    network = load_network(path)
    send_network(client, network)
    content = pickle.dumps(network)
    assert len(content) < 1000
    # The workers never see the file.
    path.unlink()
    for worker in client.nthreads():
        found = {
            client.submit(unpickled, content, pure=False, workers=[worker]).result()
            for _ in range(3)
        }
        assert len(found) == 1
        assert found.pop()[1] == network.digest
    # A worker that comes later has it as well.
    before = set(client.nthreads())
    client.restart_workers([min(before)])
    client.wait_for_workers(2)
    (new,) = set(client.nthreads()) - before
    found = client.submit(unpickled, content, pure=False, workers=[new]).result()
    assert found[1] == network.digest


def test_tiles_are_encoded_where_a_gpu_is_declared_if_that_gains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
        ) as cluster,
        Client(cluster) as client,
    ):
        assert gpu_resources(client) == {}

        async def add() -> Worker:
            return await Worker(
                cluster.scheduler_address, nthreads=1, resources={"GPU": 1}, name="gpu"
            )

        worker = cluster.sync(add)
        client.wait_for_workers(2)
        assert gpu_resources(client) == {"GPU": 1}
        encode = passes.encode_tile

        def noted(*given: object, **rest: object) -> object:
            get_worker().log_event(topic[0], get_worker().name)
            return encode(*given, **rest)

        monkeypatch.setattr(passes, "encode_tile", noted)
        scene = synthetic_scene(40, 44, 10)
        own = tmp_path / "own.safetensors"
        save_network(siren_network(outputs=10), own)
        # "cpu:0" stands for a GPU: torch's name of the processor.
        for device, network, names in (
            ("auto", own, {"gpu"}),
            ("auto", None, {0, "gpu"}),
            ("cpu:0", None, {"gpu"}),
        ):
            topic = [f"{device} {network}"]
            xhsinr.compress(
                scene, tmp_path / "a.hsinr", quality="preview", network=network, tile=8,
                overwrite=True, progress=False, device=device,
            )  # fmt: skip
            assert {name for _, name in client.get_events(topic[0])} == names
        cluster.sync(worker.close)


def test_the_workers_read_what_this_process_reads(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "scene.hsinr"
    xhsinr.compress(synthetic_scene(23, 30, 7), path, tile=10, psnr=40, progress=False)
    lazy = xr.open_dataset(path, engine="hsinr", chunks={})
    xr.testing.assert_identical(lazy.compute(), xr.open_dataset(path, engine="hsinr").load())
    assert len(client.scheduler_info()["workers"]) == 2


def test_scenes_are_archived_by_the_workers(client: Client, tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    for number in range(6):
        np.save(sources / f"{number}.npy", np.full((9, 8, 4), number, "u2"))
    report = xhsinr.archive(sources, tmp_path / "out", progress=False)
    assert report.ok
    processes = {row.worker.rpartition(":")[2] for row in report.rows}
    assert str(os.getpid()) not in processes
    address = client.scheduler_info()["address"]
    again = xhsinr.archive(sources, tmp_path / "out", scheduler=address, progress=False)
    assert [row.status for row in again.rows] == ["skipped"] * 6
    found = verify_archive(tmp_path / "out", scheduler=address, progress=False)
    assert found.valid
    assert len(found.checked) == 6


def test_the_examples_for_clusters_can_be_imported_without_their_packages() -> None:
    for name in ("cuda_cluster", "slurm_cluster", "scaling"):
        assert callable(runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"])


def test_a_small_scene_on_the_workers_is_fetched_from_them(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    scene = synthetic_scene(40, 44, 10)
    there = scene.chunk(x=11, y=9).persist()
    made = xhsinr.compress(there, tmp_path / "a.hsinr", lossless=True, progress=False)
    assert made.passes == 1
    assert np.array_equal(made.open().values, scene.values)


def small_scenes(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        np.save(folder / f"{number}.npy", np.full((9, 8, 4), number, "u2"))
    return folder


def test_workers_too_small_for_the_libraries_end_the_run(tmp_path: Path) -> None:
    sources = small_scenes(tmp_path / "sources", 12)
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(
            n_workers=1, threads_per_worker=1, memory_limit="150 MiB", dashboard_address=None
        ) as cluster,
        Client(cluster),
    ):
        report = xhsinr.archive(sources, tmp_path / "out", progress=False)
    assert [row.status for row in report.rows] == ["failed"] * 12
    *others, last = {row.error.split(":")[1]: row.error for row in report.rows}.values()
    assert "given up: 3 scenes killed" in last
    for error in (*others, last):
        assert "memory limit of 150.00 MiB" in error
        assert "dask worker --memory-limit" in error


def test_a_run_whose_workers_are_gone_ends_and_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "_PATIENCE", "1 s")
    sources, out = small_scenes(tmp_path / "sources", 16), tmp_path / "out"
    with (
        LocalCluster(n_workers=0, dashboard_address=None, protocol="tcp") as cluster,
        subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address,
             "--no-nanny", "--no-dashboard", "--memory-limit", "2 GB"],
            stderr=subprocess.DEVNULL,
        ) as worker,
        Client(cluster),
    ):  # fmt: skip

        def kill_once_some_are_done() -> None:
            while len(list(out.glob("[0-9]*/*.hsinr"))) < 3:
                time.sleep(0.02)
            worker.kill()

        threading.Thread(target=kill_once_some_are_done, daemon=True).start()
        try:
            report = xhsinr.archive(sources, out, progress=False)
        finally:
            worker.kill()
    done = [row for row in report.rows if row.status == "done"]
    failed = [row.error for row in report.rows if row.status == "failed"]
    assert done
    assert failed
    assert len(done) + len(failed) == 16
    for error in failed:
        assert "for 1 s no worker took a scene" in error
        assert "memory limit of 1.86 GiB" in error
    again = xhsinr.archive(sources, out, progress=False)
    assert again.ok
    assert sum(row.status == "skipped" for row in again.rows) >= len(done)
