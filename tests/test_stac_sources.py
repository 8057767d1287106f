"""What a batch is made of: catalogs, folders and globs, and what is wrong with them."""

from __future__ import annotations

import functools
import http.server
import json
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pystac
import pytest

from xhsinr import stac
from xhsinr.errors import SourceError
from xhsinr.scene import Scene
from xhsinr.stac import Source


def make_item(
    name: str, href: str = "", bands: list[float] | None = None, **asset: object
) -> pystac.Item:
    item = pystac.Item(name, None, None, pystac.utils.str_to_datetime("2022-01-01T00:00:00Z"), {})
    fields = {} if bands is None else {"bands": [{"eo:center_wavelength": b} for b in bands]}
    roles = asset.pop("roles", ["data"])
    item.add_asset("data", pystac.Asset(href or f"./{name}.tif", roles=roles, extra_fields=fields))
    return item


def make_collection(**more: object) -> pystac.Collection:
    extent = pystac.Extent(
        pystac.SpatialExtent([[-180.0, -90.0, 180.0, 90.0]]), pystac.TemporalExtent([[None, None]])
    )
    return pystac.Collection("c", "a collection", extent, license="CC-BY-4.0", **more)


def save(catalog: pystac.Catalog, folder: Path) -> Path:
    """Write a catalog and, beside its items, the files of their local assets."""
    catalog.normalize_hrefs(str(folder))
    for item in catalog.get_items(recursive=True):
        path = Path(item.assets["data"].get_absolute_href())
        if "://" not in str(item.assets["data"].href):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    catalog.save(pystac.CatalogType.SELF_CONTAINED)
    return Path(catalog.get_self_href())


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    """Two items in a collection, one beside it."""
    root, collection = pystac.Catalog("root", "a catalog"), make_collection()
    collection.add_items([make_item("a"), make_item("b")])
    root.add_child(collection)
    root.add_item(make_item("z"))
    return save(root, tmp_path / "catalog")


def test_catalogs_collections_and_items_give_their_scenes(catalog: Path) -> None:
    assert [s.id for s in stac.sources(catalog)] == ["z", "a", "b"]
    assert [s.id for s in stac.sources(catalog.parent / "c" / "collection.json")] == ["a", "b"]
    (alone,) = stac.sources(catalog.parent / "z" / "z.json")
    assert alone.href == str(catalog.parent / "z" / "z.tif")
    assert not alone.error
    assert alone.item is not None
    assert alone.item["id"] == "z"
    assert all(Path(link["href"]).is_absolute() for link in alone.item["links"])
    assert pickle.loads(pickle.dumps(alone)) == alone


def test_an_item_collection_gives_its_scenes(tmp_path: Path) -> None:
    (tmp_path / "a.tif").touch()
    items = [make_item("a", str(tmp_path / "a.tif")), make_item("b", str(tmp_path / "b.tif"))]
    content = pystac.ItemCollection(items).to_dict()
    content["features"].append({"type": "Feature", "id": "no item"})
    path = tmp_path / "found.geojson"
    path.write_text(json.dumps(content))
    good, missing, broken = stac.sources(path)
    assert (good.id, good.href, good.error) == ("a", str(tmp_path / "a.tif"), "")
    assert str(tmp_path / "b.tif") in missing.error
    assert "found.geojson#2" in broken.error


def test_a_collection_gives_its_licence_and_providers(tmp_path: Path) -> None:
    collection = make_collection(providers=[pystac.Provider("DLR")])
    collection.add_item(make_item("a"))
    (found,) = stac.sources(save(collection, tmp_path))
    assert found.item is not None
    assert found.item["properties"]["license"] == "CC-BY-4.0"
    assert found.item["properties"]["providers"] == [{"name": "DLR"}]


def test_what_is_broken_is_a_source_with_an_error(catalog: Path) -> None:
    (catalog.parent / "c" / "a" / "a.json").write_text("{")
    (catalog.parent / "c" / "b" / "b.tif").unlink()
    (catalog.parent / "z" / "z.json").unlink()
    found = list(stac.sources(catalog))
    assert [s.id for s in found] == ["z", "a", "b"]
    assert [bool(s.error) for s in found] == [True, True, True]
    assert "z.json" in found[0].error
    assert "a.json" in found[1].error
    assert "b.tif" in found[2].error


def test_a_catalog_on_disk_never_leads_to_the_network(catalog: Path) -> None:
    content = json.loads(catalog.read_text())
    link = {"rel": "item", "href": "https://example.invalid/x.json"}
    content["links"].append(link)
    catalog.write_text(json.dumps(content))
    path = catalog.parent / "z" / "z.json"
    path.write_text(path.read_text().replace("./z.tif", "https://example.invalid/z.tif"))
    errors = {s.id: s.error for s in stac.sources(catalog)}
    assert "network" in errors["x"]
    assert "https://example.invalid/z.tif" in errors["z"]
    assert not errors["a"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def test_the_url_of_a_catalog_gives_urls(catalog: Path, server: str) -> None:
    found = list(stac.sources(f"{server}/catalog/catalog.json"))
    assert [s.href for s in found] == [
        f"{server}/catalog/z/z.tif",
        f"{server}/catalog/c/a/a.tif",
        f"{server}/catalog/c/b/b.tif",
    ]
    assert not any(s.error for s in found)


@pytest.mark.parametrize(
    ("assets", "chosen"),
    [
        ({"B": ("b.tif", ["data"], 3), "A": ("a.tif", ["data"], 9)}, "a.tif"),
        ({"x": ("x.tif", [], 0), "thumb": ("t.tif", ["thumbnail"], 3)}, "x.tif"),
        ({"data": ("d.tif", ["data"], 0), "more": ("m.tif", ["data"], 0)}, "d.tif"),
        ({"xml": ("m.xml", ["metadata"], 0), "nc": ("n.nc", ["data"], 0)}, "n.nc"),
        ({"x": ("x.tif", ["data"], 0), "y": ("y.tif", ["data"], 0)}, None),
        ({"xml": ("m.xml", ["metadata"], 0)}, None),
        ({}, None),
    ],
)
def test_the_scene_among_the_assets(
    tmp_path: Path, assets: dict[str, tuple[str, list[str], int]], chosen: str | None
) -> None:
    item = make_item("a")
    item.assets.clear()
    for key, (href, roles, bands) in assets.items():
        fields = {"bands": [{"name": str(n)} for n in range(bands)]} if bands else {}
        item.add_asset(key, pystac.Asset(href, roles=roles, extra_fields=fields))
        (tmp_path / href).touch()
    item.save_object(dest_href=str(tmp_path / "a.json"), include_self_link=False)
    (found,) = stac.sources(tmp_path / "a.json")
    assert found.href == (str(tmp_path / chosen) if chosen else "")
    assert bool(found.error) == (chosen is None)


def test_ids_are_unique_and_fit_for_files(tmp_path: Path) -> None:
    names = ["S/1 ü", "same", "SAME", "Same", "../up", "networks", ".", "x" * 300]
    for name in dict.fromkeys(names):
        (tmp_path / f"{abs(hash(name))}.tif").touch()
    items = [make_item(n, str(tmp_path / f"{abs(hash(n))}.tif")).to_dict() for n in names]
    path = tmp_path / "all.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    ids = [s.id for s in stac.sources(path)]
    assert ids == [s.id for s in stac.sources(path)]
    assert len({name.lower() for name in ids}) == len(names)
    assert "networks" not in ids
    assert ids[:2] == ["S_1_", "same"]
    for name in ids:
        assert len(name) < 150
        (tmp_path / name).mkdir()
        assert (tmp_path / name).parent == tmp_path


def test_a_scene_that_is_listed_often_is_one_scene(tmp_path: Path) -> None:
    for name in ("a.tif", "b.tif"):
        (tmp_path / name).touch()
    listed = [make_item("a", str(tmp_path / name)) for name in ("a.tif", "b.tif") * 3]
    path = tmp_path / "all.json"
    path.write_text(json.dumps(pystac.ItemCollection(listed).to_dict()))
    assert [Path(s.href).name for s in stac.sources(path)] == ["a.tif", "b.tif"]


def test_a_folder_gives_every_scene_below_it_once(tmp_path: Path) -> None:
    names = ["b.tif", "sub/a.img", "sub/a.hdr", "c.mat", "raw", "raw.hdr", "notes.txt", ".x.tif"]
    for name in [*names, "b.preview.tif", "b.hsinr", "sub/b.tif"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = list(stac.sources(tmp_path))
    scenes = ["b.tif", "c.mat", "raw", "sub/a.img", "sub/b.tif"]
    assert [s.href for s in found] == [str(tmp_path / name) for name in scenes]
    assert [s.id for s in found][:4] == ["b", "c", "raw", "a"]
    assert len({s.id for s in found}) == 5


def test_zarr_stores_are_scenes(tmp_path: Path) -> None:
    (tmp_path / "b" / "c.zarr" / "cube").mkdir(parents=True)
    (tmp_path / "b" / "c.zarr" / "cube" / "0.0.0").touch()
    for source in (tmp_path, tmp_path / "b" / "c.zarr", tmp_path / "*" / "*.zarr"):
        assert [found.href for found in stac.sources(source)] == [str(tmp_path / "b" / "c.zarr")]


def test_a_product_in_a_folder_is_one_scene(tmp_path: Path) -> None:
    for name in ("ENMAP-1", "ENMAP-2"):
        (tmp_path / name).mkdir()
        for kind in ("SPECTRAL_IMAGE.TIF", "QL_VNIR.TIF", "QL_PIXELMASK.TIF", "METADATA.XML"):
            (tmp_path / name / f"{name}-{kind}").touch()
    (tmp_path / "ENMAP-1" / "other-scene.tif").touch()
    assert [s.id for s in stac.sources(tmp_path)] == ["ENMAP-1", "other-scene", "ENMAP-2"]


def test_globs_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.tif", "b.npy", "sub/c.tif"):
        (tmp_path / name).touch()
    assert [s.id for s in stac.sources(tmp_path / "*.tif")] == ["a"]
    assert [s.id for s in stac.sources(str(tmp_path / "**" / "*.tif"))] == ["a", "c"]
    monkeypatch.chdir(tmp_path)
    assert [s.href for s in stac.sources("sub/*.tif")] == [str(tmp_path / "sub" / "c.tif")]
    assert [s.href for s in stac.sources("b.npy")] == [str(tmp_path / "b.npy")]


@pytest.mark.parametrize("name", ["missing.json", "missing", "*.tif", "empty", "broken.json"])
def test_where_there_is_no_scene_it_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.json").write_text("[1, 2]")
    with pytest.raises(SourceError, match=name.replace("*", r"\*")):
        list(stac.sources(tmp_path / name))


def test_a_scene_whose_bands_differ_from_the_collections_is_refused(tmp_path: Path) -> None:
    bands = [{"name": str(n), "eo:center_wavelength": 0.4 + 0.1 * n} for n in range(4)]
    collection = make_collection(summaries=pystac.Summaries({"bands": bands}))
    collection.add_item(make_item("a", bands=[1.0]))
    (source,) = stac.sources(save(collection, tmp_path))
    assert source.wavelengths == pytest.approx((0.4, 0.5, 0.6, 0.7))

    def scene(*nanometres: float) -> Scene:
        data = np.zeros((len(nanometres), 2, 2), np.uint8)
        return Scene(data, wavelengths=np.array(nanometres, float), wavelength_units="nm")

    source.check(scene(400, 502, 600, 700))
    source.check(Scene(np.zeros((4, 2, 2), np.uint8)))
    with pytest.raises(SourceError, match=r"3 bands.*declares 4"):
        source.check(scene(400, 500, 600))
    with pytest.raises(SourceError, match=r"band 2 is at 0\.5700.*declares 0\.5000"):
        source.check(scene(400, 570, 600, 700))


def test_without_declared_bands_any_scene_will_do(tmp_path: Path) -> None:
    Source("a", "a.tif").check(Scene(np.zeros((4, 2, 2), np.uint8)))
    (found,) = stac.sources(save(_with_item(make_item("a", bands=[0.5])), tmp_path))
    assert found.wavelengths == (0.5,)


def _with_item(item: pystac.Item) -> pystac.Catalog:
    catalog = pystac.Catalog("c", "c")
    catalog.add_item(item)
    return catalog
