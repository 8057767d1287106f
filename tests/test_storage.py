"""Ranges over HTTP: what was asked for and no more, whatever the server sends."""

from __future__ import annotations

import gzip
import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import xhsinr
from xhsinr import storage
from xhsinr.errors import RemoteError

CONTENT = bytes(range(256)) * 40


class Server(http.server.BaseHTTPRequestHandler):
    """Answers as the path says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        kind = self.path.strip("/")
        if kind == "silent":
            self.close_connection = True
            self.server.silence.wait(20)  # type: ignore[attr-defined]
            return None
        first, last = map(int, re.findall(r"\d+", self.headers["Range"]))
        part = CONTENT[first : last + 1]
        if kind == "whole":
            return self.answer(200, CONTENT)
        if kind == "missing":
            return self.answer(404, b"")
        if not part:
            return self.answer(416, b"")
        where = {"Content-Range": f"bytes {first}-{last}/{len(CONTENT)}"}
        if kind == "gzip":
            return self.answer(206, gzip.compress(part), **where, **{"Content-Encoding": "gzip"})
        if kind == "other":
            return self.answer(206, part, **{"Content-Range": f"bytes 0-{last}/{len(CONTENT)}"})
        if kind == "endless":
            self.send_response(206)
            self.send_header("Content-Range", where["Content-Range"])
            self.send_header("Connection", "close")
            self.end_headers()
            try:
                for _ in range(1 << 14):
                    self.wfile.write(b"\0" * (1 << 16))
            except OSError:
                pass
            self.close_connection = True
            return None
        return self.answer(206, part, **where)

    def do_HEAD(self) -> None:
        self.do_GET()

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    pytest.importorskip("aiohttp")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        server.silence = threading.Event()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.silence.set()
        server.shutdown()


def test_a_range_is_what_lies_there(address: str) -> None:
    assert storage.read_range(f"{address}/plain", 300, 900) == CONTENT[300:900]
    assert storage.read_range(f"{address}/plain", 10_000, 20_000) == CONTENT[10_000:]
    assert storage.read_range(f"{address}/plain", 20_000, 20_001) == b""


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("whole", "whole files only"),
        ("other", "whole files only"),
        ("gzip", "ranges in gzip"),
        ("endless", "more than the range"),
    ],
)
def test_other_answers_are_errors(address: str, kind: str, message: str) -> None:
    with pytest.raises(RemoteError, match=message):
        storage.read_range(f"{address}/{kind}", 300, 900)


def test_what_is_missing_is_no_such_file(address: str) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        storage.read_range(f"{address}/missing", 0, 9)


def test_a_silent_server_is_given_up_at_its_first_silence(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_SILENCE", 0.3)
    monkeypatch.setattr(storage, "_PAUSES", (100.0,))
    with pytest.raises(RemoteError, match=r"no answer in [01] s"):
        storage.read_range(f"{address}/silent", 0, 9)
    with pytest.raises(RemoteError, match=r"no answer in [01] s"):
        xhsinr.compress(f"{address}/silent", tmp_path / "a.hsinr", progress=False)
