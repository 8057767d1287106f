"""Sidecars behind a URL: range requests, counted at the server, and telling errors."""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner
from small_networks import siren_network

import xhsinr
from xhsinr import storage
from xhsinr.cli import main
from xhsinr.demo import synthetic_scene
from xhsinr.errors import (
    ChangedSidecarError,
    DamagedSidecarError,
    NetworkDigestError,
    NetworkNotFoundError,
    NotASidecarError,
    RemoteError,
    SidecarError,
)
from xhsinr.network import places
from xhsinr.network.file import save_network
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.file import Sidecar

TILES = 9


class Server(ThreadingHTTPServer):
    """Serves a folder, with ranges unless told not to, and remembers what it was asked for."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.requests: list[tuple[str, str, int]] = []
        self.ranges = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def sent(self) -> int:
        return sum(size for _, _, size in self.requests)


class Handler(SimpleHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.server.requests.append(("GET", self.path, 0))
            self.send_error(404)
            return
        content = path.read_bytes()
        size, wanted = len(content), self.headers.get("Range")
        if wanted and self.server.ranges:
            first, last = (int(part) for part in wanted.removeprefix("bytes=").split("-"))
            content = content[first : last + 1]
            self.send_response(206 if content else 416)
            self.send_header("Content-Range", f"bytes {first}-{first + len(content) - 1}/{size}")
        else:
            self.send_response(200)
        self.server.requests.append(("GET", self.path, len(content)))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(content)

    def do_HEAD(self) -> None:
        self.server.requests.append(("HEAD", self.path, 0))
        super().do_HEAD()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def scene() -> xr.DataArray:
    return synthetic_scene(60, 60, 20, nodata_corner=True)


@pytest.fixture(scope="module")
def files(scene: xr.DataArray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("remote")
    save_network(siren_network(outputs=20), folder / "own.safetensors")
    xhsinr.compress(scene, folder / "scene.hsinr", psnr=50, tile=20, progress=False)
    xhsinr.compress(
        scene,
        folder / "preview.hsinr",
        quality="preview",
        network=folder / "own.safetensors",
        tile=32,
        progress=False,
    )
    return folder


@pytest.fixture
def url(files: Path, tmp_path: Path, server: Server) -> str:
    shutil.copy(files / "scene.hsinr", tmp_path)
    return f"{server.url}/scene.hsinr"


def test_one_request_opens_and_one_reads_each_tile(
    url: str, server: Server, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar = Sidecar.open(files / "scene.hsinr")
    monkeypatch.setattr("xhsinr.sidecar.file._FIRST_READ", sidecar.tiles_start)
    lazy = xr.open_dataset(url, engine="hsinr")["reflectance"]
    assert [method for method, _, _ in server.requests] == ["GET"]
    server.requests.clear()
    spectrum = lazy.isel(y=25, x=50).values
    assert server.requests == [("GET", "/scene.hsinr", int(sidecar.index.sizes[5].sum()))]
    assert np.array_equal(spectrum, xhsinr.open(files / "scene.hsinr").open()[:, 25, 50])
    server.requests.clear()
    _ = lazy.isel(band=[1, 5]).values
    # All but the tile that the spectrum came from.
    assert len(server.requests) == TILES - 1
    assert server.sent == sidecar.index.sizes.sum() - sidecar.index.sizes[5].sum()


def test_tiles_that_came_with_the_first_request_are_not_asked_for(
    url: str, server: Server, files: Path
) -> None:
    read = xhsinr.open(url).open().values
    assert len(server.requests) == 1
    assert np.array_equal(read, xhsinr.open(files / "scene.hsinr").open().values)


def test_two_requests_open_a_file_with_a_long_index(
    files: Path, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(files / "scene.hsinr", tmp_path)
    whole = Sidecar.open(tmp_path / "scene.hsinr")
    length = int.from_bytes((tmp_path / "scene.hsinr").read_bytes()[:8], "little")
    monkeypatch.setattr("xhsinr.sidecar.file._FIRST_READ", 8 + length + 10)
    found = Sidecar.open(f"{server.url}/scene.hsinr")
    assert len(server.requests) == 2
    assert server.sent == whole.tiles_start
    assert repr(found.header) == repr(whole.header)
    assert repr(found.description) == repr(whole.description)


def test_what_is_read_through_a_url_is_what_the_file_holds(url: str, files: Path) -> None:
    here = xr.open_dataset(files / "scene.hsinr", engine="hsinr").load()
    xr.testing.assert_identical(xr.open_dataset(url, engine="hsinr").load(), here)
    xr.testing.assert_identical(xr.open_dataset(url, engine="hsinr", chunks={}).compute(), here)
    again = pickle.loads(pickle.dumps(xr.open_dataset(url, engine="hsinr")))
    xr.testing.assert_identical(again.load(), here)


@pytest.mark.parametrize("place", ["memory://folder/scene.hsinr", "file://{}/scene.hsinr"])
def test_other_file_systems_open_alike(files: Path, place: str) -> None:
    place = place.format(files)
    if place.startswith("memory"):
        fsspec.filesystem("memory").pipe(place, (files / "scene.hsinr").read_bytes())
    handle = xhsinr.open(place)
    xr.testing.assert_identical(handle.open().load(), xhsinr.open(files / "scene.hsinr").open())
    assert handle.info["path"] == place
    assert f"<xhsinr.Compressed {place}>" in repr(handle)
    assert place in handle._repr_html_()
    assert xhsinr.verify(place, progress=False).valid
    with pytest.raises(SidecarError, match="no file on this machine"):
        _ = handle.path
    with pytest.raises(FileNotFoundError, match=r"none\.hsinr: no such file"):
        xhsinr.open(place.replace("scene", "none"))


def test_the_shell_takes_urls(url: str, files: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    assert url in run(main, ["info", url], catch_exceptions=False).output
    assert "valid" in run(main, ["verify", url], catch_exceptions=False).output
    done = run(main, ["decompress", url, str(tmp_path / "a.tif")], catch_exceptions=False)
    assert done.exit_code == 0
    run(main, ["decompress", str(files / "scene.hsinr"), str(tmp_path / "b.tif")])
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    missing = run(main, ["info", f"{url}.other"])
    assert missing.exit_code == 1
    assert "no such file" in missing.output


def test_a_network_is_fetched_from_beside_the_sidecar(
    files: Path, tmp_path: Path, server: Server
) -> None:
    places._fetch.cache_clear()
    (tmp_path / "networks").mkdir()
    shutil.copy(files / "preview.hsinr", tmp_path)
    url = f"{server.url}/preview.hsinr"
    with pytest.raises(NetworkNotFoundError, match=r"(?s)preview\.hsinr needs it: .*/networks/own"):
        xhsinr.open(url).open().load()
    other = tmp_path / "networks" / "own.safetensors"
    other.write_bytes(b"another network")
    with pytest.raises(NetworkDigestError, match="other contents"):
        xhsinr.open(url).open().load()
    shutil.copy(files / "own.safetensors", other)
    here = xhsinr.open(files / "preview.hsinr").open().load()
    assert np.array_equal(xhsinr.open(url).open().values, here.values)
    server.requests.clear()
    _ = xhsinr.open(url).open().values
    assert not any("networks" in path for _, path, _ in server.requests)


def test_a_server_without_ranges_is_named(url: str, server: Server) -> None:
    server.ranges = False
    with pytest.raises(RemoteError, match="whole files only"):
        _ = xhsinr.open(url).open()[:, 50, 50].values


def test_what_is_missing_or_no_sidecar_gets_the_same_errors_as_a_file(
    url: str, server: Server, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.hsinr: no such file"):
        xhsinr.open(f"{server.url}/none.hsinr")
    (tmp_path / "text.hsinr").write_bytes(b"nothing of the kind" * 9)
    with pytest.raises(NotASidecarError, match=r"text\.hsinr"):
        xhsinr.open(f"{server.url}/text.hsinr")
    with pytest.raises(RemoteError, match=r"nowhere://.*cannot be opened"):
        xhsinr.open("nowhere://scene.hsinr")
    assert not xhsinr.verify(f"{server.url}/none.hsinr").valid


def test_a_server_that_is_not_there_is_reported(server: Server) -> None:
    with pytest.raises(RemoteError, match=r"127\.0\.0\.1:9/scene\.hsinr cannot be read"):
        xhsinr.open("http://127.0.0.1:9/scene.hsinr")


@pytest.mark.parametrize(("answers", "found"), [([503, 429, 0], True), ([503] * 4, False)])
def test_a_busy_server_is_asked_again(
    url: str, server: Server, monkeypatch: pytest.MonkeyPatch, answers: list[int], found: bool
) -> None:
    answer = Handler.do_GET
    monkeypatch.setattr(storage, "_PAUSES", (0, 0, 0))
    left = iter(answers)

    def busy(self: Handler) -> None:
        code = next(left, 0)
        self.server.requests.append(("BUSY", self.path, code))
        if code:
            self.send_error(code)
        else:
            answer(self)

    monkeypatch.setattr(Handler, "do_GET", busy)
    with contextlib.nullcontext() if found else pytest.raises(RemoteError, match="503"):
        assert Sidecar.open(url).shape == (20, 60, 60)
    assert [code for method, _, code in server.requests if method == "BUSY"] == answers


def test_a_truncated_file_keeps_the_tiles_it_has_and_fails_verification(
    files: Path, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (files / "scene.hsinr").read_bytes()
    start = Sidecar.open(files / "scene.hsinr").tiles_start
    (tmp_path / "cut.hsinr").write_bytes(content[:-10])
    (tmp_path / "short.hsinr").write_bytes(content[: start - 10])
    url = f"{server.url}/cut.hsinr"
    monkeypatch.setattr("xhsinr.sidecar.file._FIRST_READ", start - 100)
    reader = Reader(Sidecar.open(url))
    assert np.array_equal(reader.tile(0), Reader(Sidecar.open(files / "scene.hsinr")).tile(0))
    with pytest.raises(DamagedSidecarError, match=r"tile 8: checksum.*cut off"):
        reader.tile(8)
    assert "cut off" in xhsinr.verify(url, level="structure").errors[0]
    with pytest.raises(DamagedSidecarError, match="cut off"):
        Sidecar.open(f"{server.url}/short.hsinr")


def test_a_file_that_is_replaced_meanwhile_is_told_from_damage(
    url: str, tmp_path: Path, scene: xr.DataArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What came with the first request would be read as it was.
    monkeypatch.setattr("xhsinr.sidecar.file._FIRST_READ", 200)
    handle = xhsinr.open(url)
    assert handle.open()[:, 25, 25].values.any()
    xhsinr.compress(scene, tmp_path / "scene.hsinr", psnr=40, tile=20, overwrite=True)
    with pytest.raises(ChangedSidecarError, match="open it again"):
        handle.open().load()


def test_files_on_a_disk_need_no_fsspec(files: Path) -> None:
    code = """
import sys
sys.modules["fsspec"] = None
import xhsinr.sidecar.file
xhsinr.sidecar.file.Sidecar.open(sys.argv[1]).payload(0)
try:
    xhsinr.sidecar.file.Sidecar.open("http://127.0.0.1:9/a.hsinr")
except xhsinr.HsinrError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(files / "scene.hsinr")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "pip install 'xhsinr[remote]'" in done.stdout


def test_names_beside_a_url_keep_what_follows_the_question_mark() -> None:
    url = "https://host/folder/scene.hsinr?token=a/b"
    assert storage.sibling(url, "networks/n") == "https://host/folder/networks/n?token=a/b"
    assert storage.suffix_of(storage.locate(url)) == ".hsinr"
    assert storage.suffix_of(Path("a.b/scene.hsinr")) == ".hsinr"


def test_a_pipe_is_refused_before_it_blocks(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.hsinr")
    with pytest.raises(SidecarError, match="no regular file"):
        xhsinr.open(tmp_path / "a.hsinr")
