"""STAC items and catalogs: valid, true, and open in the usual readers."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pystac
import pytest
import rashid
import rasterio
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod
from pystac.validation.stac_validator import JsonSchemaSTACValidator
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.warp import transform as warp
from small_networks import siren_network

import xhsinr
from xhsinr import stac
from xhsinr.network.file import save_network
from xhsinr.pictures.preview import write_preview
from xhsinr.scene import Scene
from xhsinr.sidecar.file import Sidecar
from xhsinr.sidecar.report import report
from xhsinr.stac import Source
from xhsinr.stac.footprint import footprint

PUBLISHED = Path(rashid.__file__).parent / "_schemas" / "extensions"
OURS = Path(__file__).parent / "stac_schemas"
UTM33 = CRS.from_epsg(32633)


@pytest.fixture(scope="module")
def validator() -> JsonSchemaSTACValidator:
    """Validates with schemas on disk alone: the published ones where a package carries them."""
    validator = JsonSchemaSTACValidator()
    published = PUBLISHED.rglob("*schema.json")
    schemas = [json.loads(path.read_text()) for path in (*published, *OURS.glob("*.json"))]
    view = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "https://stac-extensions.github.io/view/v1.0.0/schema.json",
    }
    for schema in [*schemas, stac.schema(), view]:
        validator.schema_cache[schema["$id"].removesuffix("#")] = schema
    return validator


def cube(
    crs: str | None = "EPSG:32633",
    origin: tuple[float, float] = (365055.0, 5807085.0),
    size: tuple[int, int] = (24, 32),
    **attrs: object,
) -> xr.DataArray:
    """A small scene of five bands with a wedge of nodata at its upper left."""
    rows, cols = size
    y, x = np.mgrid[:rows, :cols]
    data = (1000 + 10 * x + 7 * y + 50 * np.arange(5)[:, None, None]).astype(np.int16)
    data[:, x + y < 12] = -1
    array = xr.DataArray(data, dims=("band", "y", "x"), attrs={"_FillValue": -1, **attrs})
    array = array.assign_coords(
        wavelength=("band", [450.0, 550.0, 650.0, 850.0, 1650.0], {"units": "nm"}),
        fwhm=("band", [6.0, 6.5, 7.0, 8.0, 10.0], {"units": "nm"}),
    )
    if crs is None:
        return array
    array = array.assign_coords(
        x=origin[0] + 30 * (np.arange(cols) + 0.5), y=origin[1] - 30 * (np.arange(rows) + 0.5)
    )
    return array.rio.write_crs(crs)


def add_scene(out: Path, source: Source, array: xr.DataArray, **quality: object) -> pystac.Item:
    """What an archive does for one scene."""
    folder = out / source.id
    folder.mkdir(parents=True)
    sidecar, preview = folder / f"{source.id}.hsinr", folder / f"{source.id}.tif"
    metadata = folder / f"{source.id}.metadata.json"
    xhsinr.compress(array, sidecar, **quality)
    write_preview(sidecar, preview)
    metadata.write_text(json.dumps(report(Sidecar.open(sidecar)).to_dict()))
    network = out / "networks" / "mine.safetensors"
    item = stac.scene_item(
        sidecar,
        source=source,
        preview=preview,
        metadata=metadata,
        network=network if network.is_file() else None,
    )
    stac.write_item(item, folder / f"{source.id}.json")
    stac.write_catalog(out)
    return item


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes, one coded with a network, and the network."""
    out = tmp_path_factory.mktemp("stac") / "archive"
    (out / "networks").mkdir(parents=True)
    network = out / "networks" / "mine.safetensors"
    save_network(siren_network(outputs=5), network)
    stac.write_item(stac.network_item(network), network.with_suffix(".json"))
    times = ("2022-07-24T10:32:10Z", "2023-07-24T10:32:10Z")
    coded = {"quality": "preview", "network": network}
    add_scene(out, Source("a", "a.tif"), cube(datetime=times[0]), **coded)
    add_scene(out, Source("b", "b.tif"), cube(datetime=times[1]), lossless=True)
    return out


@pytest.fixture
def item(archive: Path) -> pystac.Item:
    return pystac.Item.from_file(str(archive / "a" / "a.json"))


# Footprints


def scene(
    crs: CRS | None, transform: Affine | None, rows: int = 100, cols: int = 200, **more: object
) -> Scene:
    data = np.zeros((1, rows, cols), np.uint8)
    return Scene(data, crs=crs, transform=transform, **more)


def area(geometry: dict) -> float:
    """In square degrees, each part counter-clockwise."""
    single = geometry["type"] == "Polygon"
    rings = [p[0] for p in ([geometry["coordinates"]] if single else geometry["coordinates"])]
    total = 0.0
    for ring in rings:
        assert ring[0] == ring[-1]
        x, y = np.array(ring).T
        part = np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2
        assert part > 0
        total += part
    return total


def test_a_footprint_is_the_frame_where_every_pixel_is_valid() -> None:
    found = footprint(scene(UTM33, Affine(30, 0, 365055, 0, -30, 5807085)))
    x = [365055, 365055, 365055 + 6000, 365055 + 6000]
    y = [5807085 - 3000, 5807085, 5807085, 5807085 - 3000]
    corners = np.array(warp(UTM33, "EPSG:4326", x, y)).T
    assert found is not None
    ring = np.array(found.geometry["coordinates"][0])
    assert len(ring) == 5
    assert {tuple(p) for p in np.round(corners, 7)} == {tuple(p) for p in ring}
    assert found.bbox == [*corners.min(0).round(7), *corners.max(0).round(7)]
    assert area(found.geometry) > 0


def test_a_footprint_leaves_nodata_out_at_the_resolution_of_the_mask() -> None:
    place = Affine(0.01, 0, 10, 0, -0.01, 50)
    frame = footprint(scene(CRS.from_epsg(4326), place, 64, 64))
    y, x = np.mgrid[:64, :64]
    fine = footprint(scene(CRS.from_epsg(4326), place, 64, 64), x >= y)
    coarse = footprint(scene(CRS.from_epsg(4326), place, 63, 63), (x >= y)[:16, :16], 4)
    assert frame is not None
    assert fine is not None
    assert coarse is not None
    # Half of it and the halves of 64 pixels on the diagonal, of which the hull cuts nothing.
    assert area(fine.geometry) / area(frame.geometry) == pytest.approx(0.5 + 63 / 4096, rel=0.01)
    assert coarse.bbox == [10.0, 49.37, 10.63, 50.0]


def test_edges_that_are_curved_in_wgs84_get_points() -> None:
    polar = CRS.from_epsg(3413)
    place = Affine(1000, 0, 500_000, 0, -1000, -500_000)
    found = footprint(scene(polar, place, 1000, 1000))
    assert found is not None
    ring = np.array(found.geometry["coordinates"][0])
    assert 20 < len(ring) < 200
    # The middle of every piece is less than a pixel off the true edge.
    middle = (ring[:-1] + ring[1:]) / 2
    x, y = np.array(warp("EPSG:4326", polar, *middle.T))
    cols, rows = (x - 500_000) / 1000, (-500_000 - y) / 1000
    off = np.minimum.reduce([abs(cols), abs(cols - 1000), abs(rows), abs(rows - 1000)])
    assert off.max() < 1


def test_a_footprint_across_the_antimeridian_is_cut_there() -> None:
    crs = CRS.from_epsg(32601)  # its central meridian is 177 west
    place = Affine(300, 0, 140_000, 0, -300, 1_000_000)
    crossing = footprint(scene(crs, place))
    beside = footprint(scene(CRS.from_epsg(32602), place))
    assert crossing is not None
    assert beside is not None
    assert beside.geometry["type"] == "Polygon"
    assert crossing.geometry["type"] == "MultiPolygon"
    assert area(crossing.geometry) == pytest.approx(area(beside.geometry), rel=1e-4)
    west, south, east, north = crossing.bbox
    assert west > 179
    assert east < -179
    assert beside.bbox == pytest.approx([west - 354, south, east + 6, north], abs=1e-6)
    points = np.array([p for part in crossing.geometry["coordinates"] for p in part[0]])
    assert abs(points[:, 0]).max() == 180


@settings(max_examples=40, deadline=None)
@given(
    lon=st.floats(-180, 180),
    lat=st.floats(-90, 90),
    pixel=st.sampled_from([30, 1000, 5000]),
    turn=st.floats(0, 90),
)
def test_footprints_cover_as_much_ground_as_the_scene(
    lon: float, lat: float, pixel: int, turn: float
) -> None:
    equal_area = CRS.from_proj4(f"+proj=laea +lon_0={lon} +lat_0={lat} +datum=WGS84 +units=m")
    place = Affine.rotation(turn) @ Affine.scale(pixel, -pixel) @ Affine.translation(-50, -30)
    found = footprint(scene(equal_area, place, 60, 100))
    assert found is not None
    assert area(found.geometry) > 0
    west, south, east, north = found.bbox
    assert -180 <= west <= 180
    assert -180 <= east <= 180
    assert -90 <= south < north <= 90
    parts = found.geometry["coordinates"]
    rings = [part[0] for part in parts] if found.geometry["type"] == "MultiPolygon" else parts
    if (west, east) == (-180, 180):
        return  # round a pole: a cap that covers more
    assert (west > east) == (len(rings) == 2)
    ground = sum(Geod(ellps="WGS84").polygon_area_perimeter(*np.array(r).T)[0] for r in rings)
    assert ground == pytest.approx(6000 * pixel**2, rel=0.01)


def test_a_footprint_round_a_pole_reaches_it() -> None:
    found = footprint(
        scene(CRS.from_epsg(3031), Affine(1000, 0, -100_000, 0, -1000, 50_000), 100, 200)
    )
    assert found is not None
    assert found.bbox[:3] == [-180.0, -90.0, 180.0]
    assert -90 < found.bbox[3] < -88


def test_ground_control_points_place_a_scene() -> None:
    place = Affine(0.01, 0, 10, 0, -0.01, 50)
    corners = [(0, 0), (0, 200), (100, 200), (100, 0)]
    gcps = tuple(GroundControlPoint(r, c, *(place @ (c, r))) for r, c in corners)
    wgs84 = CRS.from_epsg(4326)
    assert footprint(scene(wgs84, None, gcps=gcps)) == footprint(scene(wgs84, place))


def test_a_scene_without_a_place_on_earth_has_no_footprint() -> None:
    place = Affine(30, 0, 365055, 0, -30, 5807085)
    mars = CRS.from_proj4("+proj=eqc +R=3396190 +units=m")
    assert footprint(scene(None, place)) is None
    assert footprint(scene(UTM33, None)) is None
    assert footprint(scene(mars, place)) is None
    assert footprint(scene(UTM33, place), np.zeros((100, 200), bool)) is None


# Items


def test_items_and_catalogs_are_valid(archive: Path, validator: JsonSchemaSTACValidator) -> None:
    catalog = pystac.Catalog.from_file(str(archive / "catalog.json"))
    found = [catalog, *catalog.get_children(), *catalog.get_items(recursive=True)]
    assert len(found) == 5
    for each in found:
        each.validate(validator)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("proj:shape", [24, 32, 5]),
        ("proj:code", 32633),
        ("raster:spatial_resolution", "30 m"),
        ("file:checksum", "sha256:12"),
    ],
)
def test_the_published_schemas_refuse_what_is_wrong(
    item: pystac.Item, validator: JsonSchemaSTACValidator, key: str, value: object
) -> None:
    item.assets["data"].extra_fields[key] = value
    with pytest.raises(pystac.errors.STACValidationError):
        item.validate(validator)


def test_the_schema_of_the_extension_refuses_what_is_wrong(
    item: pystac.Item, validator: JsonSchemaSTACValidator
) -> None:
    for key, value in [
        ("hsinr:bpppb", -1),
        ("hsinr:layers", ["wavelets"]),
        ("hsinr:network_checksum", "1220abc"),
        ("hsinr:target", {"psnr": 40, "bpppb": 1}),
        ("hsinr:unheard_of", 1),
    ]:
        wrong = copy.deepcopy(item)
        wrong.properties[key] = value
        with pytest.raises(pystac.errors.STACValidationError):
            wrong.validate(validator)


def test_the_data_asset_says_what_the_file_is(archive: Path, item: pystac.Item) -> None:
    asset, path = item.assets["data"], archive / "a" / "a.hsinr"
    fields = asset.extra_fields
    assert asset.href == "./a.hsinr"
    assert asset.media_type == "application/vnd.hsinr+safetensors"
    assert asset.roles == ["data"]
    assert fields["file:size"] == path.stat().st_size
    assert fields["file:checksum"] == "1220" + hashlib.sha256(path.read_bytes()).hexdigest()
    assert stac.file_assets_of(archive / "a" / "a.json")[0] == (
        path,
        fields["file:size"],
        stac.multihash(path),
    )
    assert fields["data_type"] == "int16"
    assert fields["nodata"] == -1
    assert fields["raster:spatial_resolution"] == 30
    assert fields["proj:code"] == item.properties["proj:code"] == "EPSG:32633"
    assert fields["proj:shape"] == [24, 32]
    assert fields["proj:transform"] == [30, 0, 365055, 0, -30, 5807085]
    bands = fields["bands"]
    assert [b["name"] for b in bands] == ["B001", "B002", "B003", "B004", "B005"]
    assert [b["eo:center_wavelength"] for b in bands] == [0.45, 0.55, 0.65, 0.85, 1.65]
    assert [b["eo:full_width_half_max"] for b in bands] == [0.006, 0.0065, 0.007, 0.008, 0.01]


def test_the_preview_asset_opens_and_says_where_it_lies(item: pystac.Item) -> None:
    asset = item.assets["preview"]
    with rasterio.open(asset.get_absolute_href()) as picture:
        assert asset.extra_fields["proj:shape"] == list(picture.shape)
        assert asset.extra_fields["proj:transform"] == list(picture.transform)[:6]
    assert asset.media_type == pystac.MediaType.COG


def test_the_extension_repeats_the_report(archive: Path, item: pystac.Item) -> None:
    report = json.loads((archive / "a" / "a.metadata.json").read_text())
    said = {key.removeprefix("hsinr:"): v for key, v in item.properties.items() if "hsinr" in key}
    for key in ("psnr_db", "rmse", "max_error", "mean_sam_deg", "bpppb", "tile", "target"):
        assert said[key] == report[key]
    assert said["coding"] == report["coding"] == "latents"
    assert said["lossless"] is False
    exact = pystac.Item.from_file(str(archive / "b" / "b.json")).properties
    assert exact["hsinr:lossless"] is True
    assert "hsinr:psnr_db" not in exact
    assert "hsinr:network" not in exact


def test_a_scene_and_its_network_are_linked_by_digest(archive: Path, item: pystac.Item) -> None:
    (link,) = item.get_links("hsinr:network")
    network = pystac.Item.from_file(link.get_absolute_href())
    asset = network.assets["model"]
    assert item.properties["hsinr:network_checksum"] == asset.extra_fields["file:checksum"]
    path = Path(asset.get_absolute_href())
    assert path == archive / "networks" / "mine.safetensors"
    assert stac.multihash(path) == asset.extra_fields["file:checksum"]


def test_the_footprint_leaves_the_wedge_of_nodata_out(item: pystac.Item) -> None:
    ring = item.geometry["coordinates"][0]
    corner = np.array(warp(UTM33, "EPSG:4326", [365055], [5807085]))[:, 0]
    assert len(ring) == 6
    assert np.abs(np.array(ring) - corner).sum(axis=1).min() > 1e-3


def test_time_comes_from_the_product(item: pystac.Item) -> None:
    assert item.properties["datetime"] == "2022-07-24T10:32:10Z"
    assert "start_datetime" not in item.properties


def test_a_product_names_itself_its_platform_and_its_time_range(tmp_path: Path) -> None:
    array = cube(
        start_datetime="2022-07-24T10:32:10.125Z",
        end_datetime="2022-07-24T10:32:15Z",
        platform="EnMAP",
        instrument="HSI",
        product_id="ENMAP01-____L2A",
    )
    said = add_scene(tmp_path, Source("a", "a.tif"), array).properties
    assert said["datetime"] is None
    assert said["start_datetime"] == "2022-07-24T10:32:10.125000Z"
    assert said["end_datetime"] == "2022-07-24T10:32:15Z"
    assert (said["platform"], said["instruments"]) == ("enmap", ["hsi"])
    assert said["title"] == "ENMAP01-____L2A"


@pytest.mark.parametrize("said", [{}, {"datetime": "last Tuesday"}, {"start_datetime": "2022"}])
def test_an_unknown_time_is_no_more_than_an_interval_that_holds_it(
    tmp_path: Path, said: dict[str, str], validator: JsonSchemaSTACValidator
) -> None:
    found = add_scene(tmp_path, Source("a", "a.tif"), cube(None, **said))
    written = pystac.Item.from_file(str(tmp_path / "a" / "a.json"))
    written.validate(validator)
    assert found.geometry is None
    assert found.datetime is None
    assert written.properties["start_datetime"] == "1970-01-01T00:00:00Z"
    assert written.properties["end_datetime"] >= "2024"


def test_a_crs_without_a_code_is_written_out(
    tmp_path: Path, validator: JsonSchemaSTACValidator
) -> None:
    own = "+proj=laea +lat_0=48 +lon_0=11 +datum=WGS84 +units=m"
    found = add_scene(tmp_path, Source("a", "a.tif"), cube(own, (0, 0)))
    pystac.Item.from_file(str(tmp_path / "a" / "a.json")).validate(validator)
    fields = found.assets["data"].extra_fields
    assert fields["proj:code"] is None
    assert CRS.from_wkt(fields["proj:wkt2"]) == CRS.from_proj4(own)
    assert found.bbox == pytest.approx([11, 47.99, 11.01, 48], abs=0.01)


def test_scales_stand_at_the_asset_or_at_the_bands(tmp_path: Path) -> None:
    one = add_scene(tmp_path, Source("a", "a.tif"), cube(scale_factor=1e-4, add_offset=0.0))
    fields = one.assets["data"].extra_fields
    assert fields["raster:scale"] == 1e-4
    assert "raster:offset" not in fields
    many = add_scene(tmp_path, Source("b", "b.tif"), cube(scales=[1.0, 2.0, 3.0, 4.0, 5.0]))
    bands = many.assets["data"].extra_fields["bands"]
    assert [band["raster:scale"] for band in bands] == [1, 2, 3, 4, 5]


@pytest.fixture
def agency_item(tmp_path: Path) -> pystac.Item:
    """An item as agencies write them, with statements about its files."""
    base = "https://stac-extensions.github.io"
    item = pystac.Item(
        "S1/2022",
        {"type": "Point", "coordinates": [13.0, 52.0]},
        [13.0, 52.0, 13.0, 52.0],
        pystac.utils.str_to_datetime("2022-01-02T03:04:05Z"),
        {
            "created": "2022-02-02T00:00:00Z",
            "platform": "enmap",
            "gsd": 30,
            "eo:cloud_cover": 12.5,
            "view:off_nadir": 3.0,
            "proj:epsg": 4326,
            "processing:software": {"L2A": "1.4"},
            "processing:lineage": "Atmospheric correction.",
            "agency:orbit": 7,
        },
        stac_extensions=[
            f"{base}/eo/v1.1.0/schema.json",
            f"{base}/view/v1.0.0/schema.json",
            f"{base}/projection/v1.1.0/schema.json",
            f"{base}/file/v2.0.0/schema.json",
            f"{base}/sar/v1.0.0/schema.json",
        ],
    )
    item.add_asset(
        "data",
        pystac.Asset("./a.tif", roles=["data"], extra_fields={"file:size": 9, "sar:x": 1}),
    )
    item.add_link(pystac.Link("license", "https://example.org/licence"))
    item.add_link(pystac.Link("latest-version", "https://example.org/latest"))
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.tif").touch()
    item.save_object(dest_href=str(tmp_path / "source" / "item.json"), include_self_link=False)
    return item


def test_what_stays_true_of_the_source_item_is_kept(
    tmp_path: Path, agency_item: pystac.Item, validator: JsonSchemaSTACValidator
) -> None:
    (source,) = stac.sources(tmp_path / "source" / "item.json")
    add_scene(tmp_path / "out", source, cube(None, datetime="1999-01-01T00:00:00Z"))
    found = pystac.Item.from_file(str(tmp_path / "out" / source.id / f"{source.id}.json"))
    found.validate(validator)
    said = found.properties
    kept = ("platform", "gsd", "eo:cloud_cover", "view:off_nadir", "agency:orbit", "datetime")
    for key in kept:
        assert said[key] == agency_item.properties[key]
    assert said["processing:software"] == {"L2A": "1.4", "xhsinr": xhsinr.__version__}
    assert said["processing:lineage"].startswith("Atmospheric correction. a.tif compressed")
    assert not {"created", "proj:epsg"} & said.keys()
    # Scenes without a place of their own are where the source's item says.
    assert found.geometry == agency_item.geometry
    (origin,) = found.get_links("derived_from")
    assert origin.href == str(tmp_path / "source" / "item.json")
    assert found.get_links("license")
    assert not found.get_links("latest-version")
    names = [uri.split("/")[3] for uri in found.stac_extensions if uri.startswith("https")]
    assert sorted(names) == ["eo", "file", "processing", "projection", "view"]


# Catalogs


def test_an_archive_that_was_moved_still_opens(archive: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(archive, tmp_path / "elsewhere")
    for path in moved.rglob("*.json"):
        links = json.loads(path.read_text()).get("links", [])
        assert all(link["href"].startswith(".") for link in links)
    catalog = pystac.Catalog.from_file(str(moved / "catalog.json"))
    items = list(catalog.get_items(recursive=True))
    assert [item.id for item in items] == ["mine", "a", "b"]
    for item in items:
        for asset in item.assets.values():
            assert Path(asset.get_absolute_href()).is_relative_to(moved)
            assert Path(asset.get_absolute_href()).is_file()


def test_writing_a_catalog_again_changes_nothing(archive: Path) -> None:
    before = {path: path.read_bytes() for path in archive.rglob("*") if path.is_file()}
    stac.write_catalog(archive)
    assert before == {path: path.read_bytes() for path in archive.rglob("*") if path.is_file()}


def test_a_catalog_has_what_is_on_disk(archive: Path, tmp_path: Path) -> None:
    out = shutil.copytree(archive, tmp_path / "out")
    shutil.rmtree(out / "a")
    (out / "unfinished").mkdir()
    (collection,) = stac.write_catalog(out).get_children()
    assert [item.id for item in collection.get_items()] == ["b"]
    assert [path.parent.name for path in stac.scene_items(out)] == ["b"]


def test_a_failed_write_leaves_the_old_item(
    archive: Path, tmp_path: Path, item: pystac.Item
) -> None:
    path = tmp_path / "a.json"
    stac.write_item(item, path)
    before = path.read_bytes()
    item.properties["wrong"] = float("nan")
    with pytest.raises(ValueError, match="JSON"):
        stac.write_item(item, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_collection_covers_its_scenes(archive: Path, item: pystac.Item) -> None:
    (collection,) = pystac.Catalog.from_file(str(archive / "catalog.json")).get_children()
    assert collection.extent.spatial.bboxes == [item.bbox]
    start, end = collection.extent.temporal.intervals[0]
    assert (start.year, end.year) == (2022, 2023)


@pytest.mark.filterwarnings("ignore:Server does not advertise", "ignore:Falling back to pystac")
def test_pystac_client_opens_the_catalog(archive: Path) -> None:
    client = pytest.importorskip("pystac_client").Client.open(str(archive / "catalog.json"))
    assert [item.id for item in client.get_items(recursive=True)] == ["mine", "a", "b"]


def test_stackstac_lays_the_previews_out(archive: Path) -> None:
    stackstac = pytest.importorskip("stackstac")
    (collection,) = pystac.Catalog.from_file(str(archive / "catalog.json")).get_children()
    items = [item.make_asset_hrefs_absolute() for item in collection.get_items()]
    # stackstac 0.5 reads projection v1, so it has to be told CRS and bounds; and of files with
    # more than one band it reads no samples.
    with rasterio.open(archive / "a" / "a.tif") as picture:
        place = {"epsg": 32633, "resolution": 30, "bounds": picture.bounds, "snap_bounds": False}
    stack = stackstac.stack(items, assets=["preview"], rescale=False, **place)
    assert stack.shape == (2, 1, 24, 32)
    assert stack.time.dt.year.values.tolist() == [2022, 2023]
    assert (stack.x[0], stack.y[0]) == (365055, 5807085)


def test_odc_stac_loads_the_previews(archive: Path) -> None:
    odc_stac = pytest.importorskip("odc.stac")
    (collection,) = pystac.Catalog.from_file(str(archive / "catalog.json")).get_children()
    loaded = odc_stac.load(list(collection.get_items()), bands=["preview"])
    assert dict(loaded.sizes) == {"y": 24, "x": 32, "time": 2}
    assert loaded.rio.crs == UTM33
    with rasterio.open(archive / "b" / "b.tif") as picture:
        assert np.array_equal(loaded["preview"][1].values, picture.read(1))
