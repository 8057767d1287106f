"""Object stores as targets, against a real S3 server on this machine."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
import s3fs
from archives import ENDS, IDS, expected_files, make_sources
from click.testing import CliRunner
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile
from werkzeug.serving import make_server

import xhsinr
from xhsinr import stac
from xhsinr.archiving import bucket, restore, verify_archive
from xhsinr.archiving.folder import one_run
from xhsinr.cli import main
from xhsinr.demo import synthetic_scene
from xhsinr.errors import HsinrError, OutputExistsError, RemoteError, SourceError

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

BUCKET = "bucket"
SECRET = "never-in-a-file-0123"


class Faults:
    """What stands before the server: when on, each file is turned away, or cut off, once."""

    slow = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate</Message></Error>"

    def __init__(self) -> None:
        self.app = DomainDispatcherApplication(create_backend_app)
        self.on = False
        self.seen: dict[tuple[str, str], int] = {}

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        request = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        sent = request[0] == "PUT" and "/one/" in request[1]
        if not self.on or not sent:
            return self.app(environ, start)
        self.seen[request] = self.seen.get(request, 0) + 1
        if self.seen[request] > 1:
            return self.app(environ, start)
        if len(self.seen) % 3:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start("503 Slow Down", [("Content-Type", "application/xml")])
            return [self.slow]
        # Half of what is sent is taken.
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0) // 2)
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        return []


@pytest.fixture(scope="module")
def faults() -> Faults:
    return Faults()


@pytest.fixture(scope="module")
def server(faults: Faults) -> Iterator[str]:
    running = make_server("127.0.0.1", 0, faults, threaded=True)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    thread.join()


@pytest.fixture
def store(server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty bucket called ``b``, and a client that looks into it."""
    environment = {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "me",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    yield client
    for upload in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
        client.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
    for key in keys(client):
        client.delete_object(Bucket=BUCKET, Key=key)
    s3fs.S3FileSystem.clear_instance_cache()


def keys(client: Any, prefix: str = "") -> set[str]:
    found = client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    return {entry["Key"].removeprefix(prefix) for entry in found}


def test_a_scene_is_compressed_to_a_bucket_and_read_from_it(store: Any, tmp_path: Path) -> None:
    scene = synthetic_scene(30, 30, 8, nodata_corner=True)
    made = xhsinr.compress(
        scene, "s3://bucket/x/scene.hsinr", preview=True, tile=16, progress=False
    )
    assert keys(store) == {"x/scene.hsinr", "x/scene.preview.tif"}
    here = xhsinr.compress(scene, tmp_path / "scene.hsinr", tile=16, progress=False)
    assert store.get_object(Bucket=BUCKET, Key="x/scene.hsinr")["Body"].read() == (
        here.path.read_bytes()
    )
    assert np.array_equal(made.open().values, here.open().values)
    with pytest.raises(OutputExistsError, match=r"scene\.hsinr exists"):
        xhsinr.compress(scene, "s3://bucket/x/scene.hsinr", progress=False)
    assert xhsinr.verify("s3://bucket/x/scene.hsinr", progress=False).valid
    saved = xhsinr.salvage("s3://bucket/x/scene.hsinr", tmp_path / "saved.tif", progress=False)
    assert not saved.lost


def test_the_shell_compresses_to_a_bucket(store: Any, sources: Path) -> None:
    done = CliRunner().invoke(main, ["compress", str(sources / "one.npy"), "s3://bucket/one.hsinr"])
    assert done.exit_code == 0, done.output
    assert "s3://bucket/one.hsinr: " in done.output
    assert keys(store) == {"one.hsinr"}


def test_what_cannot_be_written_is_said(store: Any, sources: Path) -> None:
    with pytest.raises(RemoteError, match=r"s3://none/x\.hsinr"):
        xhsinr.compress(np.load(sources / "one.npy"), "s3://none/x.hsinr", progress=False)


def test_an_archive_in_a_bucket_is_looked_after_as_one_on_a_disk(
    store: Any, sources: Path, tmp_path: Path
) -> None:
    out = "s3://bucket/archives/first"
    report = xhsinr.archive(sources, out, lossless=True, progress=False)
    assert report.ok, report
    assert keys(store, "archives/first/") == expected_files(IDS)
    page = store.head_object(Bucket=BUCKET, Key="archives/first/index.html")
    assert page["ContentType"] == "text/html"
    before = store.list_objects_v2(Bucket=BUCKET, Prefix="archives/first/one/")["Contents"]
    again = xhsinr.archive(sources, out, progress=False)
    assert [row.status for row in again.rows] == ["skipped"] * 3
    assert store.list_objects_v2(Bucket=BUCKET, Prefix="archives/first/one/")["Contents"] == before

    scenes = xhsinr.open_catalog(out)
    original = np.load(sources / "two.npy")
    assert list(scenes) == list(IDS)
    assert np.array_equal(scenes["two"].transpose("y", "x", "band").values, original)
    assert scenes.paths[0] == f"{out}/one/one.hsinr"
    restored = restore(f"{out}/two", tmp_path / "two.tif")
    assert restored.stat().st_size > 0
    assert verify_archive(out, progress=False).valid
    found = CliRunner().invoke(main, ["archive", "--verify", out])
    assert "3 of 3 scenes checked, all valid" in found.output

    np.save(sources / "two.npy", original + original.dtype.type(1))
    third = xhsinr.archive(sources, out, progress=False)
    assert [row.status for row in third.rows] == ["skipped", "skipped", "done"]
    for key in keys(store):
        assert SECRET.encode() not in store.get_object(Bucket=BUCKET, Key=key)["Body"].read()


def test_a_folder_and_a_glob_of_a_bucket_are_sources(store: Any) -> None:
    for key in ("s/a.tif", "s/deep/b.tif", "s/a.preview.tif", "s/notes.txt", "c.tif"):
        store.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    found = {source.id: source.href for source in stac.sources("s3://bucket/s")}
    assert found == {"a": "s3://bucket/s/a.tif", "b": "s3://bucket/s/deep/b.tif"}
    assert [source.id for source in stac.sources("s3://bucket/*.tif")] == ["c"]
    assert [source.href for source in stac.sources("s3://bucket/c.tif")] == ["s3://bucket/c.tif"]
    with pytest.raises(SourceError, match="there is no scene in it"):
        list(stac.sources("s3://bucket/none/"))


def test_a_store_that_is_busy_or_cuts_off_gets_every_scene(
    store: Any, sources: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "on", True)
    monkeypatch.setattr(faults, "seen", {})
    report = xhsinr.archive(sources / "one.npy", "s3://bucket/a", retries=0, progress=False)
    monkeypatch.setattr(faults, "on", False)
    assert report.ok, report
    # Each of its files was sent twice.
    assert sorted(faults.seen.values()) == [2] * len(ENDS)
    assert keys(store, "a/") == expected_files(("one",))
    assert verify_archive("s3://bucket/a", progress=False).valid


def test_damage_in_a_bucket_is_found(store: Any, sources: Path) -> None:
    out = "s3://bucket/a"
    xhsinr.archive(sources, out, progress=False)
    content = bytearray(store.get_object(Bucket=BUCKET, Key="a/one/one.hsinr")["Body"].read())
    content[-3] ^= 1
    store.put_object(Bucket=BUCKET, Key="a/one/one.hsinr", Body=bytes(content))
    store.delete_object(Bucket=BUCKET, Key="a/two/two.json")
    store.put_object(Bucket=BUCKET, Key="a/three/three.preview.tif", Body=b"")
    errors = "\n".join(verify_archive(out, progress=False).errors)
    assert "one.hsinr: its checksum is not" in errors
    assert "three.preview.tif: 0 bytes" in errors
    assert "two.json: the catalog lists it, and it is gone" in errors
    again = xhsinr.archive(sources, out, progress=False)
    assert [row.status for row in again.rows] == ["skipped", "done", "done"]


def test_what_a_killed_run_left_goes_away_and_the_rest_is_done(store: Any, sources: Path) -> None:
    out = "s3://bucket/a"
    store.put_object(Bucket=BUCKET, Key="mine.txt", Body=b"mine")
    xhsinr.archive(sources, out, progress=False)
    for name in ("one/one.json", "three/three.json", "catalog.json"):
        store.delete_object(Bucket=BUCKET, Key=f"a/{name}")
    store.put_object(Bucket=BUCKET, Key="a/three/notes.txt", Body=b"mine")
    store.create_multipart_upload(Bucket=BUCKET, Key="a/one/one.hsinr")
    others = store.create_multipart_upload(Bucket=BUCKET, Key="others")
    gone = {"host": bucket.platform.node(), "pid": 2**22 + 1, "run": "x"}
    gone["alive"] = "2026-01-01T00:00:00+00:00"
    store.put_object(Bucket=BUCKET, Key="a/.xhsinr-run.json", Body=json.dumps(gone).encode())
    (sources / "three.npy").unlink()
    report = xhsinr.archive(sources, out, progress=False)
    assert [(row.id, row.status) for row in report.rows] == [("one", "done"), ("two", "skipped")]
    assert keys(store, "a/") == expected_files(("one", "two")) | {"three/notes.txt"}
    assert "mine.txt" in keys(store)
    uploads = store.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
    assert [upload["UploadId"] for upload in uploads] == [others["UploadId"]]


def test_an_archive_in_a_bucket_is_served_as_geotiff(store: Any, sources: Path) -> None:
    xhsinr.archive(sources / "one.npy", "s3://bucket/a", lossless=True, progress=False)
    store.put_object(Bucket=BUCKET, Key="secret.tif", Body=b"secret")
    expected = np.moveaxis(np.load(sources / "one.npy"), 2, 0)
    with xhsinr.serve("s3://bucket/a") as url:
        # GDAL itself would wait for the store of this process, and let it not run.
        with urllib.request.urlopen(f"{url}/one/one.tif") as answer:
            content = answer.read()
        with (
            pytest.warns(NotGeoreferencedWarning),
            MemoryFile(content) as file,
            file.open() as served,
        ):
            np.testing.assert_array_equal(served.read(), expected)
        with urllib.request.urlopen(f"{url}/one/one.json") as answer:
            assert json.load(answer)["assets"]["band8"]["href"] == "./one.band8.tif"
        for name in ("%2e%2e/secret.tif", "%252e%252e/secret.tif", "one/one.hsinr%3fx", "none.tif"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(f"{url}/{name}").close()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
def test_workers_without_a_shared_disk_are_killed_and_nothing_is_lost(
    store: Any, tmp_path: Path
) -> None:
    ids = tuple(f"crop{number:02}" for number in range(12))
    make_sources(tmp_path, ids)
    program = "from xhsinr.cli import main; main()"
    out = "s3://bucket/a"
    command = [sys.executable, "-c", program, "archive", str(tmp_path), out, "--workers", "2"]

    def items() -> int:
        return len({f"{name}/{name}.json" for name in ids} & keys(store, "a/"))

    for kill in (1, 2, 3):
        running = subprocess.Popen(command, start_new_session=True)
        while items() < 3 * kill and running.poll() is None:
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    assert items() < len(ids)
    subprocess.run(command, check=True, timeout=200)
    assert keys(store, "a/") == expected_files(ids)
    assert "Uploads" not in store.list_multipart_uploads(Bucket=BUCKET)
    assert len(verify_archive(out, progress=False).checked) == len(ids)


def test_one_run_at_a_time(store: Any, sources: Path) -> None:
    with one_run("s3://bucket/a"), pytest.raises(HsinrError, match="another run is writing to it"):
        xhsinr.archive(sources, "s3://bucket/a", progress=False)
    assert keys(store) == set()
    alive = json.loads(bucket._sign("x"))
    alive |= {"host": "elsewhere", "pid": 1}
    store.put_object(Bucket=BUCKET, Key="a/.xhsinr-run.json", Body=json.dumps(alive).encode())
    with pytest.raises(HsinrError, match="process 1 on elsewhere"):
        xhsinr.archive(sources, "s3://bucket/a", progress=False)
    alive["alive"] = "2026-01-01T00:00:00+00:00"
    store.put_object(Bucket=BUCKET, Key="a/.xhsinr-run.json", Body=json.dumps(alive).encode())
    with one_run("s3://bucket/a"):
        assert json.loads(bucket.read("s3://bucket/a/.xhsinr-run.json"))["pid"] == os.getpid()


def test_nothing_of_others_in_a_bucket_is_replaced(store: Any, sources: Path) -> None:
    for key in ("a/one/one.hsinr", "c/report.csv"):
        store.put_object(Bucket=BUCKET, Key=key, Body=b"precious")
        with pytest.raises(OutputExistsError, match="Nothing was done"):
            xhsinr.archive(sources, f"s3://bucket/{key[0]}", progress=False)
    assert keys(store) == {"a/one/one.hsinr", "c/report.csv"}
    with pytest.raises(HsinrError, match="no base network of your own"):
        xhsinr.archive(sources, "s3://bucket/d", network="default", progress=False)
