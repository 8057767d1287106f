"""STAC items of strangers: a bad one is one row, the others go on, and nothing leads astray."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest

import xhsinr
from xhsinr.demo import synthetic_scene
from xhsinr.errors import SourceError
from xhsinr.stac import sources
from xhsinr.stac.extension import MEDIA_TYPE

BAD: dict[str, Any] = {
    "bands that are text": {"assets": {"data": {"href": "{}", "roles": ["data"], "bands": "many"}}},
    "bands that are numbers": {"assets": {"data": {"href": "{}", "bands": [1, 2]}}},
    "an id that is a number": {"id": 7},
    "no id": {"id": None},
    "roles that are a number": {"assets": {"data": {"href": "{}", "roles": 7}}},
    "a long href": {"assets": {"data": {"href": "a" * 4000 + ".npy"}}},
    "an href that is none": {"assets": {"data": {"href": 5}}},
    "a wavelength that is text": {
        "assets": {"data": {"href": "{}", "bands": [{"eo:center_wavelength": "red"}]}}
    },
    "assets that are a list": {"assets": []},
    "properties that are text": {"properties": "none"},
    "links that are none": {"links": None},
    "a geometry that is a number": {"geometry": 5},
    "a box of text": {"bbox": ["w", "s", "e", "n"]},
    "a licence that is a list": {"properties": {"datetime": "2024-05-01T00:00:00Z", "license": []}},
    "the id of a file": {"id": "catalog.json"},
    "no time": {"properties": {"datetime": "yesterday"}},
}


def feature(name: str, scene: Path) -> dict[str, Any]:
    return {
        "type": "Feature", "stac_version": "1.1.0", "id": name, "geometry": None,
        "properties": {"datetime": "2024-05-01T00:00:00Z"}, "links": [],
        "assets": {"data": {"href": str(scene), "roles": ["data"]}},
    }  # fmt: skip


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "scene.npy"
    np.save(path, synthetic_scene(12, 14, 4).transpose("y", "x", "band").values)
    return path


@pytest.mark.filterwarnings("ignore")
def test_one_bad_item_is_one_row(scene: Path, tmp_path: Path) -> None:
    features = [feature("good", scene), feature("fine", scene)]
    for number, changed in enumerate(BAD.values()):
        text = json.dumps(feature(f"bad{number}", scene) | changed).replace("{}", str(scene))
        features.insert(1, json.loads(text))
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    for _ in range(2):
        report = xhsinr.archive(path, tmp_path / "out", lossless=True, retries=0, progress=False)
        assert len(report.rows) == len({row.id for row in report.rows}) == len(BAD) + 2
        finished = {row.id for row in report.rows if row.status in ("done", "skipped")}
        assert {"good", "fine"} <= finished
        assert all(row.error for row in report.rows if row.id not in finished)
        catalog = pystac.Catalog.from_file(str(tmp_path / "out" / "catalog.json"))
        assert {item.id for item in catalog.get_items(recursive=True)} == finished
    assert {"good", "fine"} <= set(xhsinr.open_catalog(tmp_path / "out"))


def test_ids_that_are_alike_are_rows_of_their_own(scene: Path, tmp_path: Path) -> None:
    path = tmp_path / "items.json"
    first = feature("a/b", scene)
    (other := tmp_path / "other.npy").write_bytes(scene.read_bytes())
    second = feature("a_b", other)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [first, second]}))
    crafted = [source.id for source in sources(path)][1]
    (third := tmp_path / "third.npy").write_bytes(scene.read_bytes())
    features = [feature(crafted, third), first, second]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    assert len({source.id for source in sources(path)}) == 3


def test_a_malformed_scene_item_does_not_close_an_archive(scene: Path, tmp_path: Path) -> None:
    (other := tmp_path / "other.npy").write_bytes(scene.read_bytes())
    out = tmp_path / "out"
    xhsinr.archive(str(tmp_path / "*.npy"), out, progress=False)
    item = out / "other" / "other.json"
    good = json.loads(item.read_text())
    for changed in ({"bbox": "here"}, {"assets": 5}, {"properties": []}):
        item.write_text(json.dumps(good | changed))
        with pytest.warns(UserWarning, match="is left out"):
            assert list(xhsinr.open_catalog(out)) == ["scene"]
    assert other.exists()


def test_a_notebook_shows_what_items_say_as_text(scene: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    xhsinr.archive(scene, out, progress=False)
    path = out / "scene" / "scene.json"
    item = json.loads(path.read_text())
    script = "<script>alert(1)</script>"
    item["assets"]["data"]["data_type"] = script
    item["assets"]["data"]["file:size"] = script
    for name in ("hsinr:psnr_db", "hsinr:bpppb", "hsinr:max_error", "hsinr:mean_sam_deg"):
        item["properties"][name] = script
    path.write_text(json.dumps(item))
    page = xhsinr.open_catalog(out)._repr_html_()
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 6
    assert "<img" in page


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


@pytest.mark.parametrize(
    "scheme", ["file://", "FILE://", "local://", "simplecache::file://", "zip://a.tif::file://"]
)
def test_what_comes_from_the_network_leads_to_no_file_here(
    scene: Path, tmp_path: Path, server: str, scheme: str
) -> None:
    pytest.importorskip("aiohttp")
    sidecar, local = tmp_path / "secret.hsinr", tmp_path / "local.json"
    xhsinr.compress(scene, sidecar, lossless=True, progress=False)
    local.write_text(json.dumps(feature("secret", scene)))
    items = [feature("scene", scene), feature("sidecar", sidecar)]
    items[1]["assets"]["data"]["type"] = MEDIA_TYPE
    for item in items:
        item["assets"]["data"]["href"] = scheme + item["assets"]["data"]["href"]
    links = [{"rel": "item", "href": f"{scheme}{local}"}]
    catalog = {"type": "Catalog", "stac_version": "1.1.0", "id": "c", "description": "c"}
    for name, content in (
        ("items", {"type": "FeatureCollection", "features": items}),
        ("catalog", catalog | {"links": links}),
    ):
        (tmp_path / "served" / f"{name}.json").write_text(json.dumps(content))
        report = xhsinr.archive(f"{server}/{name}.json", tmp_path / name, retries=0, progress=False)
        assert {row.status for row in report.rows} == {"failed"}
    with pytest.warns(UserWarning, match="is left out"), pytest.raises(SourceError):
        xhsinr.open_catalog(f"{server}/items.json")
