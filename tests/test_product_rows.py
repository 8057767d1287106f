"""Rows of the table of products: what each keeps, found where it keeps it; headers stay small."""

from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path

import h5py
import numpy as np
import product_files
import pytest
import rasterio
from affine import Affine

from xhsinr.errors import DamagedSidecarError
from xhsinr.scene import Scene, read
from xhsinr.scene.products import scene_files

pytestmark = pytest.mark.filterwarnings("ignore:.*stays in sensor geometry:UserWarning")
LOCATION = np.mgrid[:9, :8].astype("f4")


def put(path: Path, **datasets: np.ndarray) -> h5py.File:
    file = h5py.File(path, "w")
    for name, values in datasets.items():
        file.create_dataset(name.replace("__", "/"), data=values)
    return file


def cube(rng: np.random.Generator, *shape: int, dtype: str = "f4") -> np.ndarray:
    return rng.integers(0, 9000, shape).astype(dtype)


def test_pace_l1b_joins_its_detectors(tmp_path: Path, rng: np.random.Generator) -> None:
    parts = {name: cube(rng, n, 9, 8) for name, n in (("blue", 3), ("red", 4), ("SWIR", 2))}
    path = tmp_path / "PACE_OCI.20240601T123456.L1B.V3.nc"
    with put(
        path,
        **{f"observation_data__rhot_{name}": part for name, part in parts.items()},
        **{f"sensor_band_parameters__{name}_wavelength": np.arange(len(part)) + 400.0 + len(part)
           for name, part in parts.items()},
        geolocation_data__latitude=LOCATION[0], geolocation_data__longitude=LOCATION[1],
    ) as file:  # fmt: skip
        file.attrs["time_coverage_start"] = "2024-06-01T12:34:56.000Z"
    scene = read(path)
    np.testing.assert_array_equal(scene.data.compute(), np.concatenate(list(parts.values())))
    assert scene.wavelengths is not None
    assert scene.wavelengths.tolist() == [403, 404, 405, 404, 405, 406, 407, 402, 403]
    assert scene.gcps is not None
    assert scene.attrs["instrument"] == "OCI"


def test_pace_l2_has_bands_last(tmp_path: Path, rng: np.random.Generator) -> None:
    samples = cube(rng, 9, 8, 5, dtype="i2")
    path = tmp_path / "PACE_OCI.20240601T123456.L2.OC_AOP.V3.nc"
    with put(
        path, geophysical_data__Rrs=samples, navigation_data__latitude=LOCATION[0],
        navigation_data__longitude=LOCATION[1],
        sensor_band_parameters__wavelength_3d=np.arange(5) + 400.0,
    ) as file:  # fmt: skip
        file["geophysical_data/Rrs"].attrs.update(scale_factor=2e-6, _FillValue=np.int16(-32767))
    scene = read(path)
    np.testing.assert_array_equal(scene.data.compute(), samples.transpose(2, 0, 1))
    assert (scene.nodata, scene.attrs["scale_factor"]) == (-32767, 2e-6)


@pytest.mark.parametrize("kind", ["GRIDS", "SWATHS"])
def test_tanager(tmp_path: Path, rng: np.random.Generator, kind: str) -> None:
    samples = cube(rng, 4, 9, 8)
    path = tmp_path / "20241007_202455_90_4001.h5"
    name = f"HDFEOS/{kind}/HYP/Data Fields/toa_radiance"
    with put(path, **{name: samples}) as file:
        file[name].attrs.update(wavelengths=np.arange(4) + 400.0, fwhm=np.full(4, 5.5))
        framing = '{"epsg_code": 32611, "geotransform": [3e5, 30, 0, 5e6, 0, -30]}'
        file[f"HDFEOS/{kind}/HYP"].attrs["Planet_Ortho_Framing"] = framing
        for axis, values in zip(("Latitude", "Longitude"), LOCATION, strict=True):
            file[f"HDFEOS/SWATHS/HYP/Geolocation Fields/{axis}"] = values
    scene = read(path)
    np.testing.assert_array_equal(scene.data.compute(), samples)
    assert scene.fwhm is not None
    if kind == "GRIDS":
        assert scene.transform == Affine(30, 0, 3e5, 0, -30, 5e6)
        assert scene.crs.to_epsg() == 32611
    else:
        assert scene.gcps is not None


def test_aviris_3(tmp_path: Path, rng: np.random.Generator) -> None:
    samples = cube(rng, 4, 9, 8)
    path = tmp_path / "AV320231008t163056_015_L2A_OE_main_RFL_ORT.nc"
    with put(
        path, reflectance__reflectance=samples, reflectance__wavelength=np.arange(4) + 400.0,
        reflectance__fwhm=np.full(4, 7.4), transverse_mercator=np.zeros(()),
    ) as file:  # fmt: skip
        file["reflectance/reflectance"].attrs.update(
            grid_mapping="transverse_mercator", _FillValue=np.float32(-9999)
        )
        file["transverse_mercator"].attrs.update(
            GeoTransform="300000 30 0 5000000 0 -30", crs_wkt=read_wkt()
        )
    scene = read(path)
    np.testing.assert_array_equal(scene.data.compute(), samples)
    assert (scene.nodata, scene.crs.to_epsg()) == (-9999, 32611)
    assert scene.transform == Affine(30, 0, 3e5, 0, -30, 5e6)


def read_wkt() -> str:
    return str(rasterio.CRS.from_epsg(32611).to_wkt())


def test_neon(tmp_path: Path, rng: np.random.Generator) -> None:
    samples = cube(rng, 9, 8, 5, dtype="i2")
    path = tmp_path / "NEON_D17_SJER_DP3_257000_4112000_reflectance.h5"
    metadata = "SJER/Reflectance/Metadata"
    with put(path, SJER__Reflectance__Reflectance_Data=samples) as file:
        attrs = {"Scale_Factor": 10000.0, "Data_Ignore_Value": -9999.0}
        file["SJER/Reflectance/Reflectance_Data"].attrs.update(attrs)
        file[f"{metadata}/Spectral_Data/Wavelength"] = np.arange(5) + 400.0
        file[f"{metadata}/Spectral_Data/FWHM"] = np.full(5, 5.8)
        file[f"{metadata}/Coordinate_System/Map_Info"] = np.bytes_(
            b"UTM, 1.000, 1.000, 257000.00, 4113000.0, 1.0, 1.0, 11, North, WGS-84, units=Meters"
        )
        file[f"{metadata}/Coordinate_System/EPSG Code"] = np.bytes_(b"32611")
    scene = read(path)
    np.testing.assert_array_equal(scene.data.compute(), samples.transpose(2, 0, 1))
    assert (scene.nodata, scene.attrs["scale_factor"]) == (-9999, 1e-4)
    assert scene.transform == Affine(1, 0, 257000, 0, -1, 4113000)
    assert scene.crs.to_epsg() == 32611


def test_enmap_comes_as_cog_with_a_doubled_suffix_and_in_a_zip(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    image, samples = product_files.enmap(tmp_path, rng)
    metadata = tmp_path / f"{product_files.ENMAP}-METADATA.XML"
    cog = image.rename(tmp_path / image.name.replace(".TIF", "_COG.TIF"))
    doubled = metadata.rename(f"{metadata}.XML")
    zips = (tmp_path / "enmap.zip", tmp_path / "UPPER.ZIP")
    for path, folder in zip(zips, ("dims/", ""), strict=True):
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(cog, f"{folder}{cog.name}")
            archive.write(doubled, f"{folder}{doubled.name}")
    for path in (cog, doubled, *zips):
        scene = read(path)
        np.testing.assert_array_equal(scene.data.compute(), samples)
        assert scene.wavelengths is not None
        assert scene.attrs["product_id"] == product_files.ENMAP
    assert (product_files.ENMAP, cog) in scene_files(tmp_path.glob("*.TIF"))
    assert len(scene_files(tmp_path.glob("*.TIF"))) == 1


def test_enmap_l1b_has_an_image_of_each_detector(tmp_path: Path, rng: np.random.Generator) -> None:
    image, samples = product_files.enmap(tmp_path, rng)
    for part, bands in (("VNIR", [1, 2]), ("SWIR", [3, 4, 5, 6])):
        with rasterio.open(image) as source:
            profile = source.profile | {"count": len(bands)}
            path = tmp_path / image.name.replace("IMAGE", f"IMAGE_{part}")
            with rasterio.open(path, "w", **profile) as out:
                out.write(source.read(bands))
        scene = read(path)
        assert scene.wavelengths is not None
        assert len(scene.wavelengths) == len(bands)
        np.testing.assert_array_equal(scene.data.compute(), samples[np.array(bands) - 1])
    assert scene.wavelengths[0] == 904.78


@pytest.mark.parametrize(
    "extra",
    [
        {"coords": {f"c{i}": {"dims": ["x"], "steps": [0, 1]} for i in range(100)}},
        {"band_names": ["a" * 1000] * 900},
    ],
)
def test_a_small_header_makes_nothing_large(extra: dict[str, object]) -> None:
    data = np.broadcast_to(np.int16(0), (1 << 16, 4, 1 << 22))
    tracemalloc.start()
    with pytest.raises(DamagedSidecarError):
        Scene.from_description(extra, {}, data)
    assert tracemalloc.get_traced_memory()[1] < 300 << 20
    tracemalloc.stop()


def test_a_rotated_grid_takes_no_memory_until_it_is_read() -> None:
    data = np.broadcast_to(np.int16(0), (2, 1 << 21, 1 << 21))
    coords = {f"{axis}c": {"dims": ["y", "x"], "like": axis} for axis in ("x", "y")}
    transform = [26.0, 15.0, 3e5, 15.0, -26.0, 5e6]
    tracemalloc.start()
    scene = Scene.from_description({"transform": transform, "coords": coords}, {}, data)
    array = scene.to_xarray()
    assert float(array.xc[5, 7]) == 26 * 7.5 + 15 * 5.5 + 3e5
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()
    assert scene.describe()[0]["coords"] == coords
