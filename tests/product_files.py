"""Small files laid out as their makers publish their products: EnMAP, DESIS, PRISMA, EMIT, ENVI.

Each function writes one product into a folder and returns its path and the stored samples as
(bands, rows, cols).
"""

from __future__ import annotations

from pathlib import Path

import h5py
import netCDF4
import numpy as np
import rasterio
from affine import Affine

ENMAP = "ENMAP01-____L2A-DT0000001867_20220724T104526Z_008_V010302_20230628T165614Z"
DESIS = "DESIS-HSI-L2A-DT0483531728_001-20200725T105015-V0213"
PRISMA = "PRS_L2D_STD_20201107101404_20201107101408_0001"
EMIT = "EMIT_L2A_RFL_001_20230316T045133_2307503_005"
AVIRIS_NG = "ang20190624t230039_rfl_v2v1_img"

UTM_GRID = Affine(30, 0, 384342, 0, -30, 5818392)

ENMAP_XML = """<?xml version="1.0" encoding="UTF-8"?>
<level_X xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <metadata><schema><processingLevel>L2A</processingLevel></schema>
    <name>{name}-METADATA.XML</name></metadata>
  <base><level>L2A</level><temporalCoverage>
    <startTime>2022-07-24T10:45:26.123456Z</startTime>
    <stopTime>2022-07-24T10:45:30.654321Z</stopTime></temporalCoverage></base>
  <specific><backgroundValue>-32768</backgroundValue>
    <bandCharacterisation>{bands}</bandCharacterisation>
    <vnirProductQuality><expectedChannelsList>1,2</expectedChannelsList></vnirProductQuality>
    <swirProductQuality><expectedChannelsList>3,4,5</expectedChannelsList></swirProductQuality>
  </specific>
  <product><image><merge><channels>6</channels></merge></image>
    <bandStatistics>{statistics}</bandStatistics></product>
</level_X>"""

DESIS_XML = """<?xml version="1.0" encoding="UTF-8"?>
<hsi_doc><metadata><name>{name}-METADATA.xml</name></metadata>
  <base><temporalCoverage><startTime>2020-07-25T10:50:15.500Z</startTime>
    <endTime>2020-07-25T10:50:19.750Z</endTime></temporalCoverage></base>
  <specific><bandCharacterisation>{bands}</bandCharacterisation>
    <interiorOrientation><band><bandNumber>1</bandNumber></band></interiorOrientation>
  </specific></hsi_doc>"""


def _geotiff(path: Path, cube: np.ndarray, interleave: str) -> None:
    bands, rows, cols = cube.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=bands, height=rows, width=cols, dtype=cube.dtype,
        crs="EPSG:32633", transform=UTM_GRID, nodata=-32768, interleave=interleave,
    ) as out:  # fmt: skip
        out.write(cube)


def enmap(folder: Path, rng: np.random.Generator) -> tuple[Path, np.ndarray]:
    """EnMAP L2A: six bands, the fourth without data, the sixth not expected to be good."""
    cube = rng.integers(-100, 6000, (6, 9, 8)).astype(np.int16)
    cube[3] = -32768
    cube[:, 0, :3] = -32768
    wavelengths = ["418.416", "424.043", "904.78", "1390.22", "2438.6", "2445.53"]
    # Out of order, as nothing promises the order of the elements.
    bands = [
        f'<bandID number="{i}"><wavelengthCenterOfBand>{w}</wavelengthCenterOfBand>'
        f"<FWHMOfBand>{6 + i / 10}</FWHMOfBand><GainOfBand>0.0001</GainOfBand>"
        "<OffsetOfBand>0</OffsetOfBand></bandID>"
        for i, w in enumerate(wavelengths, 1)
    ][::-1]
    statistics = [
        f'<bandID number="{i}"><mean>{-1000000 if i == 4 else 123.5}</mean>'
        f"<stdDeviation>{0 if i == 4 else 12.5}</stdDeviation></bandID>"
        for i in range(1, 7)
    ]
    _geotiff(folder / f"{ENMAP}-SPECTRAL_IMAGE.TIF", cube, "band")
    text = ENMAP_XML.format(name=ENMAP, bands="".join(bands), statistics="".join(statistics))
    (folder / f"{ENMAP}-METADATA.XML").write_text(text)
    (folder / f"{ENMAP}-QL_VNIR.TIF").write_bytes(b"a quicklook")
    return folder / f"{ENMAP}-SPECTRAL_IMAGE.TIF", cube


def desis(folder: Path, rng: np.random.Generator) -> tuple[Path, np.ndarray]:
    """DESIS: pixel-interleaved, a gain and an offset for each band."""
    cube = rng.integers(0, 9000, (4, 7, 5)).astype(np.int16)
    bands = [
        f"<band><bandNumber>{i}</bandNumber>"
        f"<wavelengthWidthOfBand>{3.1 + i / 100}</wavelengthWidthOfBand>"
        f"<wavelengthCenterOfBand>{400.295 + 2.551 * i}</wavelengthCenterOfBand>"
        f"<gainOfBand>{0.001 * i}</gainOfBand><offsetOfBand>{-0.5 * i}</offsetOfBand></band>"
        for i in range(1, 5)
    ]
    _geotiff(folder / f"{DESIS}-SPECTRAL_IMAGE.tif", cube, "pixel")
    (folder / f"{DESIS}-METADATA.xml").write_text(
        DESIS_XML.format(name=DESIS, bands="".join(bands))
    )
    return folder / f"{DESIS}-SPECTRAL_IMAGE.tif", cube


VNIR = np.array([0, 972.65137, 962.2815, 402.45462], np.float32)
SWIR = np.array([2496.877, 951.01624, 942.96277, 0, 0], np.float32)


def prisma(
    folder: Path, rng: np.random.Generator, swir_max: float = 1.25
) -> tuple[Path, np.ndarray]:
    """PRISMA L2D: the samples returned are those in use, by ascending wavelength in a detector."""
    rows, cols = 11, 13
    cubes = {
        name: rng.integers(1, 65536, (rows, len(bands), cols)).astype(np.uint16)
        for name, bands in (("VNIR", VNIR), ("SWIR", SWIR))
    }
    with h5py.File(folder / f"{PRISMA}.he5", "w") as file:
        group = file.create_group("HDFEOS/SWATHS/PRS_L2D_HCO/Data Fields")
        for name, cube in cubes.items():
            cube[:2, :, :2] = 0
            cube[:, (VNIR if name == "VNIR" else SWIR) == 0] = 0
            group.create_dataset(f"{name}_Cube", data=cube, chunks=(4, 2, 5), compression="gzip")
        file.attrs.update(
            {
                "Product_ID": np.bytes_(b"PRS_L2D_STD"),
                "Product_Name": np.bytes_(f"{PRISMA}.he5"),
                "Product_StartTime": np.bytes_(b"2020-11-07T10:14:04.123000"),
                "Product_StopTime": np.bytes_(b"2020-11-07T10:14:08.456000"),
                "Sun_zenith_angle": np.float32(61.5),
                "List_Cw_Vnir": VNIR,
                "List_Cw_Swir": SWIR,
                "List_Cw_Vnir_Flags": (VNIR > 0).astype(np.uint8),
                "List_Cw_Swir_Flags": (SWIR > 0).astype(np.uint8),
                "List_Fwhm_Vnir": np.where(VNIR > 0, VNIR / 64, 0),
                "List_Fwhm_Swir": np.where(SWIR > 0, SWIR / 128, 0),
                "L2ScaleVnirMin": np.float32(0.0),
                "L2ScaleVnirMax": np.float32(1.25),
                "L2ScaleSwirMin": np.float32(0.0),
                "L2ScaleSwirMax": np.float32(swir_max),
                "Epsg_Code": np.uint32(32633),
                "Product_ULcorner_easting": np.float32(352755),
                "Product_ULcorner_northing": np.float32(5987235),
                "Product_LRcorner_easting": np.float32(352755 + 30 * (cols - 1)),
                "Product_LRcorner_northing": np.float32(5987235 - 30 * (rows - 1)),
            }
        )
    used = np.concatenate([cubes["VNIR"][:, 3:0:-1], cubes["SWIR"][:, 2::-1]], axis=1)
    return folder / f"{PRISMA}.he5", used.transpose(1, 0, 2)


def emit(folder: Path, rng: np.random.Generator) -> tuple[Path, np.ndarray]:
    """EMIT L2A reflectance, in sensor geometry, with a GLT on a grid of its own."""
    samples = rng.random((12, 10, 5)).astype(np.float32)
    samples[0, :4] = -9999
    samples[:, :, 2] = -0.01
    with netCDF4.Dataset(folder / f"{EMIT}.nc", "w", format="NETCDF4") as file:
        sizes = {"downtrack": 12, "crosstrack": 10, "bands": 5, "ortho_y": 14, "ortho_x": 16}
        for name, size in sizes.items():
            file.createDimension(name, size)
        file.title = "EMIT L2A Estimated Surface Reflectance 60 m V001"
        file.platform, file.instrument = "ISS", "EMIT"
        file.flight_line = "emit20230316t045133_o07503_s000"
        file.time_coverage_start = "2023-03-16T04:51:33+0000"
        file.time_coverage_end = "2023-03-16T04:51:45+0000"
        file.spatial_ref = 'GEOGCS["WGS 84"]'
        file.geotransform = np.array([150.0, 0.00054, 0, -35.0, 0, -0.00054])

        def put(name: str, dims: tuple[str, ...], values: np.ndarray, **attrs: str) -> None:
            # netCDF4 makes the groups of a path.
            fill = {"f": -9999, "i": 0, "u": None}[values.dtype.kind]
            made = file.createVariable(name, values.dtype, dims, fill_value=fill, zlib=True)
            made[...] = values
            made.setncatts(attrs)

        put("reflectance", ("downtrack", "crosstrack", "bands"), samples,
            long_name="Surface Reflectance", units="unitless")  # fmt: skip
        centres = np.array([381.00558, 388.4092, 1380.26, 2485.3, 2492.9], np.float32)
        group = "sensor_band_parameters"
        put(f"{group}/wavelengths", ("bands",), centres, long_name="Wavelength Centers", units="nm")
        put(f"{group}/fwhm", ("bands",), (centres / 50).astype(np.float32), units="nm")
        put(f"{group}/good_wavelengths", ("bands",), np.array([1, 1, 0, 1, 1], np.uint8))
        rows, cols = np.mgrid[:12, :10]
        put("location/lon", ("downtrack", "crosstrack"), 150 + cols * 6e-4 + rows * 1e-4)
        put("location/lat", ("downtrack", "crosstrack"), -35 - rows * 6e-4)
        down, across = np.mgrid[:14, :16]
        rows, cols = down - 1, across - down // 4 - 1
        seen = (rows >= 0) & (rows < 12) & (cols >= 0) & (cols < 10)
        for name, places in (("glt_y", rows), ("glt_x", cols)):
            places = np.where(seen, places + 1, 0).astype(np.int32)
            put(f"location/{name}", ("ortho_y", "ortho_x"), places)
    return folder / f"{EMIT}.nc", samples.transpose(2, 0, 1)


ENVI_HEADER = """ENVI
description = {{ {name} }}
samples = 6
lines = 7
bands = 4
header offset = 0
file type = ENVI Standard
data type = {dtype}
interleave = {interleave}
byte order = 0
data ignore value = -9999
wavelength units = Nanometers
wavelength = {{ 376.719576 , 381.729576 ,
 1386.739575 , 2500.1 }}
fwhm = {{5.57, 5.58, 5.59, 6}}
bbl = {{0, 1, 1, 0}}
map info = {{ UTM , 1.000 , 1.000 , 532890.5 , 4154321.25 , 5.1 , 5.1 , 11 , North , WGS-84 ,
 units=Meters , rotation=-22.5 }}
{more}"""

_AXES = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}


def envi(
    folder: Path,
    rng: np.random.Generator,
    name: str = AVIRIS_NG,
    interleave: str = "bil",
    dtype: str = "f4",
    more: str = "",
) -> tuple[Path, np.ndarray]:
    """An airborne scene as ENVI: data file without a suffix, header with ``.hdr``."""
    cube = rng.integers(0, 9000, (4, 7, 6)).astype(dtype)
    cube[:, 0, 0] = -9999
    cube.transpose(_AXES[interleave]).tofile(folder / name)
    code = {"f4": 4, "i2": 2}[dtype]
    header = ENVI_HEADER.format(name=name, dtype=code, interleave=interleave, more=more)
    (folder / f"{name}.hdr").write_text(header)
    return folder / name, cube


def matlab73(path: Path, cube: np.ndarray, wavelengths: np.ndarray) -> Path:
    """A MATLAB v7.3 file: 512 bytes of MATLAB's, then HDF5 with the dimensions reversed."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("scene", data=cube.transpose(0, 2, 1)).attrs["MATLAB_class"] = (
            np.bytes_(b"single")
        )
        info = file.create_group("info")
        info.create_dataset("wavelength", data=wavelengths[:, None])
        units = np.array([[ord(letter)] for letter in "nm"], np.uint16)
        info.create_dataset("units", data=units).attrs["MATLAB_class"] = np.bytes_(b"char")
        file.create_group("#refs#").create_dataset("a", data=np.zeros(3))
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124))
    return path
