"""Sidecars behind a local web server: GeoTIFF to whatever reads them, nothing else to anybody."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pystac
import pytest
import rasterio
import xarray as xr
from click.testing import CliRunner
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from rasterio.windows import Window

import xhsinr
from xhsinr.cli import main
from xhsinr.demo import synthetic_scene
from xhsinr.errors import SourceError
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.file import Sidecar

BANDS, ROWS, COLS, TILE, NODATA = 5, 300, 600, 128, -32768
ODD = "two words #1 ä.band2"


def scene_with(**attrs: Any) -> xr.DataArray:
    scene = synthetic_scene(ROWS, COLS, BANDS, nodata_corner=True)
    return scene.assign_attrs(attrs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    compress = {"tile": TILE, "progress": False}
    scene = scene_with(note="ä & <b>")
    xhsinr.compress(scene, folder / "scene.hsinr", max_error=2, **compress)
    scaled = scene.astype("float64").where(scene != scene.attrs["_FillValue"]) / 3
    scaled.attrs = {"units": "1", "long_name": [f"band {n}" for n in range(BANDS)]}
    xhsinr.compress(scaled.isel(x=slice(0, 40)), folder / "floats.hsinr", psnr=60, **compress)
    points = [
        GroundControlPoint(0, 0, 10.0, 50.0, 7.0),
        GroundControlPoint(0, 150, 10.2, 50.0, 8.0),
        GroundControlPoint(100, 0, 10.0, 49.9, 9.0),
    ]
    with rasterio.open(
        folder / "points.source.tif", "w", "GTiff", 200, 100, 2, dtype="uint8"
    ) as out:
        out.write(np.arange(40000, dtype="uint8").reshape(2, 100, 200))
        out.gcps = (points, "EPSG:4326")
        out.scales, out.offsets = (0.5, 0.5), (1.0, 1.0)
    xhsinr.compress(folder / "points.source.tif", folder / "points.hsinr", lossless=True)
    place = dict.fromkeys(
        (f"{a}_{b}" for a in ("line", "samp", "lat", "long", "height") for b in ("off", "scale")),
        1.0,
    )
    place |= {f"{a}_{b}_coeff": [1.0] * 20 for a in ("line", "samp") for b in ("num", "den")}
    odd = folder / f"{ODD}.tif"
    with rasterio.open(odd, "w", "GTiff", 130, 210, 2, dtype="uint32", rpcs=RPC(**place)) as out:
        out.write(np.arange(2 * 130 * 210, dtype="uint32").reshape(2, 210, 130))
    xhsinr.compress(odd, lossless=True, tile=100, progress=False)
    odd.unlink()
    (folder / ".hidden.txt").write_text("hidden")
    (folder / "note.txt").write_text("0123456789")
    return folder


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with xhsinr.serve(folder) as url:
        yield url


def asked(address: str, **headers: str | bytes) -> tuple[int, bytes, Any]:
    request = urllib.request.Request(address, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


@pytest.mark.parametrize("name", ["scene", "floats", "points", ODD])
def test_it_is_the_geotiff_that_decompress_writes(
    name: str, folder: Path, url: str, tmp_path: Path
) -> None:
    command = ["decompress", str(folder / f"{name}.hsinr"), str(tmp_path / "copy.tif")]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    with (
        rasterio.open(tmp_path / "copy.tif") as copy,
        rasterio.open(f"{url}/{quote(name)}.tif") as served,
    ):
        np.testing.assert_array_equal(served.read(), copy.read())
        for what in ("crs", "transform", "nodata", "dtypes", "descriptions", "units", "scales"):
            assert repr(getattr(served, what)) == repr(getattr(copy, what)), what
        assert served.offsets == copy.offsets
        assert [p.asdict() for p in served.gcps[0]] == [p.asdict() for p in copy.gcps[0]]
        assert served.gcps[1] == copy.gcps[1]
        assert (served.rpcs and served.rpcs.to_dict()) == (copy.rpcs and copy.rpcs.to_dict())
        assert served.tags() == copy.tags()
        for band in served.indexes:
            assert served.tags(band) == copy.tags(band)
            assert served.tags(band, ns="IMAGERY") == copy.tags(band, ns="IMAGERY")
        window = Window(17, 5, 20, 60)
        np.testing.assert_array_equal(served.read(2, window=window), copy.read(2, window=window))


def test_a_band_alone_is_a_file_of_its_own(folder: Path, url: str) -> None:
    reader = Reader(Sidecar.open(folder / "scene.hsinr"))
    with rasterio.open(f"{url}/scene.tif") as whole, rasterio.open(f"{url}/scene.band3.tif") as one:
        assert (one.count, one.dtypes, one.nodata) == (1, ("int16",), whole.nodata)
        np.testing.assert_array_equal(one.read(1), reader[2:3, :, :][0])
        assert one.tags(1) == whole.tags(3)
        assert one.tags(1, ns="IMAGERY") == whole.tags(3, ns="IMAGERY")
        assert one.overviews(1) == whole.overviews(3) == [2, 4]
    assert asked(f"{url}/scene.band{BANDS + 1}.tif")[0] == 404
    assert asked(f"{url}/scene.band0.tif")[0] == 404
    with rasterio.open(f"{url}/{quote(ODD)}.band2.tif") as one:
        assert one.read(1)[0, 0] == 130 * 210


def test_overviews_are_those_of_the_sidecar(folder: Path, url: str) -> None:
    with rasterio.open(f"{url}/scene.tif") as served:
        small = served.read(out_shape=(BANDS, ROWS // 4, COLS // 4))
    coarse = Reader(Sidecar.open(folder / "scene.hsinr"), overview=4)
    np.testing.assert_array_equal(small, coarse[:, :, :])


@pytest.mark.skipif(not shutil.which("gdalinfo"), reason="GDAL's programs are not installed")
def test_gdals_own_programs_need_no_trust(url: str, folder: Path, tmp_path: Path) -> None:
    command = ["gdal_translate", "-q", f"/vsicurl/{url}/scene.tif", str(tmp_path / "copy.tif")]
    subprocess.run(command, check=True, timeout=60)
    with rasterio.open(tmp_path / "copy.tif") as copy:
        np.testing.assert_array_equal(
            copy.read(), Reader(Sidecar.open(folder / "scene.hsinr"))[:, :, :]
        )


def test_ranges_are_parts_of_the_whole(url: str) -> None:
    _, whole, headers = asked(f"{url}/points.tif")
    assert int(headers["Content-Length"]) == len(whole)
    size = len(whole)
    for text, part in (
        ("0-9", whole[:10]),
        ("100-", whole[100:]),
        ("-7", whole[-7:]),
        (f"{size - 3}-{size + 50}", whole[-3:]),
        ("1000-70000", whole[1000:70001]),
    ):
        status, content, headers = asked(f"{url}/points.tif", Range=f"bytes={text}")
        assert (status, content) == (206, part), text
        assert headers["Content-Range"].endswith(f"/{size}")
    assert asked(f"{url}/note.txt", Range="bytes=2-3")[1] == b"23"


def test_what_is_no_range_asks_for_all_and_one_beyond_the_file_for_nothing(url: str) -> None:
    for text in ("-", "a-b", "0-0,2-3", "9" * 5000 + "-", "-" + "9" * 5000, "٣-٤"):
        status, content, _ = asked(f"{url}/note.txt", Range=f"bytes={text}".encode())
        assert (status, content) == (200, b"0123456789"), text
    for text in ("10-", "9-2", "-0"):
        status, content, headers = asked(f"{url}/note.txt", Range=f"bytes={text}")
        assert (status, headers["Content-Range"]) == (416, "bytes */10"), text
        assert content == b"note.txt has 10 bytes, and none of them was asked for\n"


def test_names_that_lead_out_of_the_folder_are_no_files(folder: Path, url: str) -> None:
    outside = folder.parent / "outside.txt"
    outside.write_text("secret")
    (folder / "link.txt").symlink_to(outside)
    names = ["../outside.txt", "%2e%2e/outside.txt", "..%5coutside.txt", "link.txt", ".hidden.txt"]
    names += ["/etc/passwd", "a%00b.tif", "a" * 300 + ".tif", "a/" * 9000, "note.txt/x"]
    names += ["scene.band" + "9" * 5000 + ".tif", "scene.band%D9%A3.tif", "%ff.tif", "scene.tif%0A"]
    for name in names:
        status, text, _ = asked(f"{url}/{name}")
        assert (status, text.endswith(b": no such file\n")) == (404, True), name
    (folder / "link.txt").unlink()


def sent(url: str, request: bytes) -> bytes:
    """All that is answered to some bytes."""
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 30) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(1 << 16), b""))


def test_requests_that_are_none_get_a_sentence(url: str) -> None:
    host = b"Host: localhost\r\n"
    for request, status, text in (
        (b"GET http://pages.example/note.txt HTTP/1.1\r\n" + host, b"404", b"no such file"),
        (b"GET http://[/note.txt HTTP/1.1\r\n" + host, b"404", b"no such file"),
        (b"POST /note.txt HTTP/1.1\r\n" + host, b"501", b"Unsupported method"),
        (b"GET /note.txt HTTP/1.1\r\n" + b"x" * 70000, b"431", b"Line too long"),
    ):
        head, _, body = sent(url, request + b"\r\n").partition(b"\r\n\r\n")
        assert head.split()[1] == status, head
        assert body.startswith(text) or body.endswith(text + b"\n"), body
    # What is sent along is no request.
    request = b"GET /note.txt HTTP/1.1\r\nContent-Length: 9\r\n" + host
    assert sent(url, request + b"\r\nGET /note.txt HTTP/1.1\r\n" + host).count(b"HTTP/1.1") == 1


def test_a_page_that_calls_this_machine_by_another_name_gets_nothing(url: str) -> None:
    for host in ("pages.example", "127.0.0.1@pages.example", "[", "[::1", "", "0.0.0.0"):
        assert asked(f"{url}/note.txt", Host=host)[0] == 403, host


def test_pages_of_elsewhere_get_no_part_and_nothing_is_taken_for_a_page(
    folder: Path, url: str
) -> None:
    (folder / "page").write_text("<script>alert()</script>")
    for name, kind in (("page", "application/octet-stream"), ("", "text/plain")):
        headers = asked(f"{url}/{name}")[2]
        assert headers["Content-Type"] == kind
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize(
    "changes",
    [
        {"href": "../outside.hsinr"},
        {"href": "https://pages.example/scene.hsinr"},
        {"href": "//pages.example/scene.hsinr"},
        {"href": 3},
        {"bands": "abc"},
        {"bands": 7},
        {"bands": [{}] * 1_000_000},
        {"title_of_mine": "x" * 1_000_000, "bands": [{}] * 1000},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_items_that_are_none_stay_as_they_are(
    changes: dict[str, Any], folder: Path, url: str
) -> None:
    data = {"href": "./scene.hsinr", "bands": [{"name": "a"}]}
    for assets, more in (
        ({"data": data}, True),
        ({"data": data | changes}, False),
        ([data], False),
    ):
        text = json.dumps({"assets": assets})
        (folder / "item.json").write_text(text)
        served = asked(f"{url}/item.json")[1].decode()
        assert (served != text) == more
    (folder / "item.json").write_text("[" * 100_000)
    assert asked(f"{url}/item.json")[0] == 200


def test_clients_that_hang_up_and_many_at_once_are_served(folder: Path, url: str) -> None:
    place = ("127.0.0.1", int(url.rpartition(":")[2]))
    for _ in range(150):
        with socket.create_connection(place) as client:
            client.sendall(b"GET /scene.tif HTTP/1.1\r\nHost: localhost\r\n\r\n")
            # A reset, and no orderly end.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    command = [
        sys.executable,
        "-c",
        "import sys, urllib.request as u, zlib\nprint(zlib.crc32(u.urlopen(sys.argv[1]).read()))",
        f"{url}/scene.tif",
    ]
    clients = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(8)]
    assert len({client.communicate(timeout=60)[0] for client in clients}) == 1
    assert all(client.returncode == 0 for client in clients)


def test_an_error_amid_a_file_ends_the_connection(folder: Path, url: str) -> None:
    large = folder / "large.bin"
    with large.open("wb") as file:
        file.truncate(64 << 20)
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    with contextlib.closing(connection) as client:
        client.request("GET", "/large.bin")
        answer = client.getresponse()
        begin = answer.read(1000)
        large.unlink()
        with pytest.raises(http.client.IncompleteRead) as caught:
            answer.read()
        answer.close()
    assert not any(begin + caught.value.partial)


def test_one_sidecar_is_served_alone(folder: Path) -> None:
    link = folder / "of mine"
    link.mkdir()
    (link / "points.hsinr").symlink_to(folder / "points.hsinr")
    with xhsinr.serve(link / "points.hsinr") as url:
        assert asked(url)[1] == b"points.tif"
        assert asked(f"{url}/points.tif", Range="bytes=0-1")[1] == b"II"
        assert asked(f"{url}/scene.tif")[0] == 404
        assert asked(f"{url}/note.txt")[0] == 404


def test_a_damaged_tile_is_an_error_and_a_replaced_file_another_image(tmp_path: Path) -> None:
    path = tmp_path / "scene.hsinr"
    scene = synthetic_scene(60, 60, 4)
    xhsinr.compress(scene, path, lossless=True, progress=False)
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with xhsinr.serve(tmp_path) as url:
        status, text, _ = asked(f"{url}/scene.tif")
        assert status == 500
        assert b"scene.hsinr: tile 0" in text
        xhsinr.compress(scene + 1, path, lossless=True, overwrite=True, progress=False)
        with rasterio.open(f"{url}/scene.tif") as served:
            np.testing.assert_array_equal(served.read(), scene.values + 1)


def test_what_cannot_be_served_is_said_at_once(
    tmp_path: Path, folder: Path, url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SourceError, match="no sidecar"), xhsinr.serve(tmp_path):
        pass
    assert "Fatal" not in capfd.readouterr().err
    with pytest.raises(SourceError, match="no such file"), xhsinr.serve(tmp_path / "a.hsinr"):
        pass
    taken = int(url.rpartition(":")[2])
    with pytest.raises(SourceError, match=f"port {taken}"), xhsinr.serve(folder, taken):
        pass


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
def test_the_server_ends_with_the_process_that_began_it(folder: Path) -> None:
    program = "import sys, time, xhsinr\nwith xhsinr.serve(sys.argv[1]) as url:\n"
    program += "    print(url, flush=True)\n    time.sleep(100)"
    command = [sys.executable, "-c", program, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert asked(f"{url}/note.txt")[0] == 200
        process.send_signal(signal.SIGKILL)
    end = time.monotonic() + 20
    with contextlib.suppress(OSError):
        while time.monotonic() < end:
            asked(f"{url}/note.txt")
            time.sleep(0.05)
        pytest.fail("the server is still there")


# An archive, for tools that know nothing of sidecars


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[pystac.Item]]:
    folder = tmp_path_factory.mktemp("archive")
    for year in (2022, 2023):
        scene = scene_with(datetime=f"{year}-07-24T10:32:10Z").isel(y=slice(0, 96), x=slice(0, 96))
        scene.values[scene.values > 0] += year - 2022
        scene.to_netcdf(folder / f"scene{year}.nc")
    xhsinr.archive(str(folder / "*.nc"), folder / "out", lossless=True, progress=False)
    with xhsinr.serve(folder / "out") as url:
        catalog = pystac.Catalog.from_file(f"{url}/catalog.json")
        yield sorted(catalog.get_items(recursive=True), key=lambda item: item.id)


def values_of(items: list[pystac.Item], band: int) -> list[np.ndarray]:
    found = []
    for item in items:
        with rasterio.open(item.assets["image"].get_absolute_href()) as image:
            found.append(image.read(band))
    return found


def test_items_have_the_images_and_stay_valid(items: list[pystac.Item]) -> None:
    for item in items:
        assert {"data", "image", "band1", f"band{BANDS}"} <= set(item.assets)
        assert item.assets["band2"].extra_fields["bands"] == [
            item.assets["data"].extra_fields["bands"][1]
        ]
        assert json.loads(json.dumps(item.to_dict())) == item.to_dict()
    assert (values_of(items, 1)[1] != values_of(items, 1)[0]).any()


def test_odc_stac_loads_bands_of_an_archive(items: list[pystac.Item]) -> None:
    odc_stac = pytest.importorskip("odc.stac")
    cube = odc_stac.load(items, bands=["band2", "band4"], dtype="int16", nodata=NODATA)
    assert dict(cube.sizes) == {"y": 96, "x": 96, "time": 2}
    for band in (2, 4):
        np.testing.assert_array_equal(cube[f"band{band}"].values, values_of(items, band))


def test_stackstac_loads_bands_of_an_archive(items: list[pystac.Item]) -> None:
    stackstac = pytest.importorskip("stackstac")
    with rasterio.open(items[0].assets["image"].get_absolute_href()) as image:
        place = {"epsg": image.crs.to_epsg(), "resolution": image.res[0], "bounds": image.bounds}
    cube = stackstac.stack(
        [item.make_asset_hrefs_absolute() for item in items],
        assets=["band2", "band4"],
        rescale=False,
        snap_bounds=False,
        dtype="int16",
        fill_value=np.int16(NODATA),
        **place,
    )
    expected = np.stack([values_of(items, 2), values_of(items, 4)], axis=1)
    np.testing.assert_array_equal(cube.compute().values, expected)
