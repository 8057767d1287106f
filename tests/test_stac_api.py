"""A STAC API as the source of an archive: what it finds is done, links that fail are rows."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

import xhsinr
from xhsinr import stac
from xhsinr.cli import main
from xhsinr.demo import synthetic_scene
from xhsinr.errors import SourceError

# A process of its own: GDAL keeps Python's lock while it waits for an answer.
SERVER = """
import http.server, json, pathlib, sys
root, page = pathlib.Path(sys.argv[1]), 2

class Api(http.server.BaseHTTPRequestHandler):
    def send(self, content, kind="application/json", code=200, **headers):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        for name, value in {"Content-Type": kind, "Content-Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with (root / "asked").open("a") as file:
            file.write(json.dumps(asked) + "\\n")
        state = root / "busy"
        if state.exists():
            state.unlink()
            return self.send({}, code=503)
        items, start = json.loads((root / "items.json").read_text()), asked.get("token", 0)
        links = []
        if start + page < len(items):
            body = {**asked, "token": start + page}
            links = [{"rel": "next", "href": self.url + "/search", "method": "POST", "body": body}]
        text = json.dumps(items[start:start + page]).replace("URL", self.url)
        found = {"type": "FeatureCollection", "features": json.loads(text), "links": links}
        return self.send(found, "application/geo+json")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == "/":
            core = "https://api.stacspec.org/v1.0.0/"
            links = [{"rel": "self", "href": self.url}, {"rel": "root", "href": self.url},
                     {"rel": "search", "href": self.url + "/search", "method": "POST",
                      "type": "application/geo+json"}]
            return self.send({"type": "Catalog", "stac_version": "1.0.0", "id": "api",
                "description": "d", "links": links,
                "conformsTo": [core + "core", core + "item-search"]})
        file = root / path[1:]
        if not file.is_file():
            return self.send({}, code=404)
        content = file.read_bytes()
        if "Range" not in self.headers:
            return self.send(content, "image/tiff", Accept_Ranges="bytes")
        first, last = self.headers["Range"].removeprefix("bytes=").split("-")
        part = content[int(first):int(last) + 1]
        where = f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}"
        return self.send(part, "image/tiff", 206, Content_Range=where)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("api")
    scene = synthetic_scene(20, 20, 6).values
    profile = {"driver": "GTiff", "count": 6, "height": 20, "width": 20, "dtype": scene.dtype}
    with rasterio.open(made / "a.tif", "w", **profile) as file:
        file.write(scene)
    hrefs = {"a": "URL/a.tif?sig=SECRET", "b": "URL/gone.tif?sig=SECRET", "c": "file:///etc/x.tif"}
    items = [
        {
            "type": "Feature", "stac_version": "1.0.0", "id": name, "geometry": None,
            "properties": {"datetime": "2024-05-01T10:00:00Z"}, "links": [],
            "assets": {"data": {"href": href, "roles": ["data"]}},
        }
        for name, href in hrefs.items()
    ]  # fmt: skip
    (made / "items.json").write_text(json.dumps(items))
    return made


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[str]:
    running = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    with contextlib.closing(running.stdout):
        yield f"http://127.0.0.1:{running.stdout.readline().strip()}"
        running.kill()
        running.wait()


def test_what_an_api_finds_becomes_an_archive_without_what_its_links_were_signed_with(
    api: str, folder: Path, tmp_path: Path
) -> None:
    (folder / "busy").touch()
    out = tmp_path / "archive"
    search = ["--collection", "hyper", "--bbox", "-10", "40", "15", "53", "--datetime", "2024"]
    done = CliRunner().invoke(main, ["archive", api, str(out), *search, "--retries", "0"])
    assert done.exit_code == 1, done.output
    assert "1 done" in done.output
    asked = json.loads((folder / "asked").read_text().splitlines()[-1])
    assert asked["collections"] == ["hyper"]
    assert asked["bbox"] == [-10, 40, 15, 53]
    assert asked["datetime"].startswith("2024-01-01T00:00:00Z/2024-12-31T23:59:59")
    rows = {row.id: row for row in xhsinr.archive(api, out, collection="hyper", retries=0).rows}
    assert [rows[name].status for name in "abc"] == ["skipped", "failed", "failed"]
    assert "gone.tif" in rows["b"].error
    assert "404" in rows["b"].error
    assert "no file of this machine" in rows["c"].error
    found = xhsinr.open(out / "a" / "a.hsinr").open().values
    with rasterio.open(folder / "a.tif") as file:
        assert np.abs(found - file.read().astype(float)).max() <= rows["a"].max_error
    for path in out.rglob("*"):
        assert path.is_dir() or b"SECRET" not in path.read_bytes()


def test_a_search_needs_an_api(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="for the URL of a STAC API"):
        list(stac.sources(tmp_path, stac.Search(("x",))))
    with pytest.raises(SourceError, match="cannot be searched"):
        list(stac.sources("http://127.0.0.1:9/", stac.Search(("x",))))


def test_the_url_of_a_scene_is_that_scene() -> None:
    (found,) = stac.sources("https://me:pass@host.org/x/scene.tif?X-Amz-Signature=1&a=2")
    assert found.id == "scene"
    assert found.identity == "https://host.org/x/scene.tif"
    (other,) = stac.sources("https://host.org/get.tif?id=5")
    assert other.identity == other.href
