"""The preview: a small picture that other programs open, in the right place and colours."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
import xarray as xr
from affine import Affine
from click.testing import CliRunner
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.warp import transform_bounds
from rio_cogeo import cog_validate

import xhsinr
from xhsinr.cli import main
from xhsinr.demo import synthetic_scene
from xhsinr.errors import DamagedSidecarError, OutputExistsError, SidecarError
from xhsinr.pictures import picture, preview
from xhsinr.pictures.preview import preview_path, quicklook, write_preview


@pytest.fixture(scope="module")
def original() -> xr.DataArray:
    return synthetic_scene(110, 140, 24, nodata_corner=True)


@pytest.fixture(scope="module")
def compressed(
    original: xr.DataArray, tmp_path_factory: pytest.TempPathFactory
) -> xhsinr.Compressed:
    path = tmp_path_factory.mktemp("preview") / "scene.hsinr"
    return xhsinr.compress(original, path, psnr=45, tile=64, preview=True, progress=False)


@pytest.fixture(scope="module")
def item(compressed: xhsinr.Compressed) -> pystac.Item:
    """A STAC item with the preview as an asset, and its bands as three more for stackstac.

    stackstac loads assets of one band only; GDAL's ``vrt://`` paths pick one of a file.
    """
    path = preview_path(compressed.path)
    with rasterio.open(path) as file:
        west, south, east, north = transform_bounds(file.crs, "EPSG:4326", *file.bounds)
        projection: dict[str, Any] = {
            "proj:code": "EPSG:32633",
            "proj:shape": list(file.shape),
            "proj:transform": list(file.transform)[:6],
        }
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    item = pystac.Item(
        id="scene",
        geometry={"type": "Polygon", "coordinates": [ring]},
        bbox=[west, south, east, north],
        datetime=datetime(2024, 6, 1, tzinfo=UTC),
        properties=projection,
        stac_extensions=["https://stac-extensions.github.io/projection/v2.0.0/schema.json"],
    )
    kind: dict[str, Any] = {"media_type": pystac.MediaType.COG, "roles": ["visual"]}
    bands = [{"name": name, "data_type": "uint8"} for name in ("red", "green", "blue")]
    item.add_asset("preview", pystac.Asset(str(path), extra_fields={"bands": bands}, **kind))
    for number, band in enumerate(bands, 1):
        item.add_asset(band["name"], pystac.Asset(f"vrt://{path}?bands={number}", **kind))
    return item


def test_it_is_a_cloud_optimized_geotiff_in_the_scenes_place(
    compressed: xhsinr.Compressed, original: xr.DataArray
) -> None:
    path = preview_path(compressed.path)
    assert path == compressed.path.parent / "scene.preview.tif"
    assert cog_validate(path, strict=True) == (True, [], [])
    with rasterio.open(path) as file:
        assert (file.count, file.dtypes[0], file.shape) == (3, "uint8", (110, 140))
        assert file.crs == original.rio.crs
        assert file.transform == original.rio.transform()
        assert file.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        assert file.descriptions[0].startswith("band 4, ")
        assert file.descriptions[0].endswith(" nm")


def test_it_shows_the_decoded_scene_and_masks_nodata(
    compressed: xhsinr.Compressed, original: xr.DataArray
) -> None:
    bands = picture.picture_bands(np.ones(24, bool), original["wavelength"].values / 1000)
    planes = compressed.open().values[bands]
    valid = planes != -32768
    expected = picture.stretched(planes, valid, picture.limits(planes, valid))
    with rasterio.open(preview_path(compressed.path)) as file:
        assert file.mask_flag_enums[0] == [MaskFlags.per_dataset]
        assert np.array_equal(file.dataset_mask() > 0, valid[0])
        shown = np.moveaxis(file.read(), 0, -1).astype(int)
    # JPEG keeps colours roughly, at half the resolution.
    assert np.abs(shown - expected)[valid[0]].mean() < 10
    for channel in range(3):
        pair = shown[valid[0]][:, channel], expected[valid[0]][:, channel]
        assert np.corrcoef(*pair)[0, 1] > 0.95


def test_a_program_without_gdal_opens_it(compressed: xhsinr.Compressed) -> None:
    with Image.open(preview_path(compressed.path)) as image:
        assert image.mode == "RGB"
        assert image.size == (140, 110)
        assert np.asarray(image).std() > 20


def test_a_large_scene_is_made_smaller_and_stays_in_place(
    compressed: xhsinr.Compressed,
    original: xr.DataArray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(preview, "_SIDE", 50)  # blocks of 3 would do, of 4 fit the tiles of 64
    path = write_preview(compressed.path, tmp_path / "small.tif")
    transform = original.rio.transform()
    with rasterio.open(path) as file:
        assert file.shape == (28, 35)
        assert file.transform.a == 4 * transform.a
        assert file.transform.e == 4 * transform.e
        assert (file.transform.c, file.transform.f) == (transform.c, transform.f)
        small = file.read(1, masked=True).astype(float)
    with rasterio.open(preview_path(compressed.path)) as file:
        large = file.read(1, masked=True).astype(float)[:108]
    means = large.reshape(27, 4, 35, 4).mean(axis=(1, 3))
    small = small[:27]
    both = ~(np.ma.getmaskarray(means) | np.ma.getmaskarray(small))
    assert np.corrcoef(means[both], small[both])[0, 1] > 0.9


def test_only_the_three_bands_shown_are_decoded_each_tile_once(
    compressed: xhsinr.Compressed, tiles: list[int]
) -> None:
    look = quicklook(compressed.sidecar, 40)
    assert max(look.valid.shape) <= 40
    assert look.colours.shape == (*look.valid.shape, 3)
    assert sorted(tiles) == list(range(6))


def test_tiles_that_no_factor_divides_are_thinned_instead(
    original: xr.DataArray, tmp_path: Path
) -> None:
    compressed = xhsinr.compress(original, tmp_path / "a.hsinr", psnr=35, tile=61, progress=False)
    look = quicklook(compressed.sidecar, 50)
    assert look.step == 3
    assert look.valid.shape == (37, 47)


def test_rotated_and_point_georeferencing_are_scaled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "_SIDE", 10)
    samples = np.random.default_rng(0).integers(0, 1000, (6, 20, 16), np.uint16)
    rotated = Affine(20, 5, 1000, 5, -20, 2000)
    points = [GroundControlPoint(r, c, 10 + c, 50 - r) for r, c in ((0, 0), (20, 0), (20, 16))]
    for name, place in (("rotated", {"transform": rotated}), ("points", {"gcps": points})):
        source = tmp_path / f"{name}.tif"
        with rasterio.open(
            source, "w", width=16, height=20, count=6, dtype="uint16", crs="EPSG:32633", **place
        ) as file:
            file.write(samples)
        sidecar = tmp_path / f"{name}.hsinr"
        xhsinr.compress(source, sidecar, psnr=30, preview=True, progress=False)
    with rasterio.open(tmp_path / "rotated.preview.tif") as file:
        assert file.transform.almost_equals(Affine(40, 10, 1000, 10, -40, 2000))
    with rasterio.open(tmp_path / "points.preview.tif") as file:
        found, crs = file.gcps
        assert crs == rasterio.CRS.from_epsg(32633)
        assert [(p.row, p.col, p.x, p.y) for p in found] == [
            (p.row / 2, p.col / 2, p.x, p.y) for p in points
        ]


def test_a_scene_without_wavelengths_or_place_still_opens(tmp_path: Path) -> None:
    cube = np.random.default_rng(1).normal(size=(30, 600, 7)).astype("f4")
    cube[:5] = np.nan
    compressed = xhsinr.compress(cube, tmp_path / "a.hsinr", psnr=20, preview=True, progress=False)
    with rasterio.open(preview_path(compressed.path)) as file:
        assert file.crs is None
        assert file.shape == (30, 600)
        assert not file.dataset_mask()[:5].any()
        assert file.dataset_mask()[5:].all()
        assert file.descriptions == ("band 5", "band 4", "band 2")
        assert file.overviews(1) == [2]


def test_an_existing_file_is_kept_unless_overwrite_is_asked(
    original: xr.DataArray, tmp_path: Path
) -> None:
    path = tmp_path / "b.preview.tif"
    path.write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match=r"b\.preview\.tif exists"):
        xhsinr.compress(original, tmp_path / "b.hsinr", psnr=35, preview=True, progress=False)
    # Refused before the work, not after it.
    assert not (tmp_path / "b.hsinr").exists()
    assert path.read_bytes() == b"mine"
    compressed = original.hsinr.compress(
        tmp_path / "b.hsinr", psnr=35, preview=True, overwrite=True, progress=False
    )
    assert cog_validate(path)[0]
    with pytest.raises(OutputExistsError):
        write_preview(compressed.path)
    with pytest.raises(SidecarError, match="is the source itself"):
        write_preview(compressed.path, compressed.path, overwrite=True)


def test_a_damaged_sidecar_leaves_no_file(compressed: xhsinr.Compressed, tmp_path: Path) -> None:
    data = bytearray(compressed.path.read_bytes())
    data[-20] ^= 255
    (tmp_path / "broken.hsinr").write_bytes(data)
    with pytest.raises(DamagedSidecarError, match="tile 5"):
        write_preview(tmp_path / "broken.hsinr")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.hsinr"]


def test_the_shell_writes_it(original: xr.DataArray, tmp_path: Path) -> None:
    original.rio.to_raster(tmp_path / "c.tif")
    found = CliRunner().invoke(main, ["compress", str(tmp_path / "c.tif"), "--preview"])
    assert found.exit_code == 0, found.output
    assert cog_validate(tmp_path / "c.preview.tif")[0]


def test_rio_tiler_reads_a_tile(compressed: xhsinr.Compressed) -> None:
    from rio_tiler.io import Reader

    with Reader(str(preview_path(compressed.path))) as tiler:
        west, south, east, north = tiler.get_geographic_bounds("EPSG:4326")
        tile = tiler.tms.tile((west + east) / 2, (south + north) / 2, 13)
        image = tiler.tile(tile.x, tile.y, tile.z)
        assert image.data.shape == (3, 256, 256)
        assert image.mask.any()
        assert image.data[:, image.mask > 0].std() > 20
        assert tiler.preview().data.shape == (3, 110, 140)


def test_stackstac_loads_it(item: pystac.Item, compressed: xhsinr.Compressed) -> None:
    import stackstac

    colours = ["red", "green", "blue"]
    with rasterio.open(preview_path(compressed.path)) as file:
        expected, bounds = file.read(masked=True), file.bounds
    stack = stackstac.stack(
        [item], colours, epsg=32633, resolution=30, bounds=bounds, snap_bounds=False
    )
    loaded = stack.isel(time=0).compute()
    assert loaded["band"].values.tolist() == colours
    np.testing.assert_array_equal(loaded.values, expected.astype(float).filled(np.nan))


def test_odc_stac_loads_it(item: pystac.Item, compressed: xhsinr.Compressed) -> None:
    import odc.stac

    bands = ["preview.1", "preview.2", "preview.3"]
    loaded = odc.stac.load([item], bands=bands)
    with rasterio.open(preview_path(compressed.path)) as file:
        np.testing.assert_array_equal(loaded.isel(time=0).to_dataarray().values, file.read())
