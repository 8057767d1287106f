"""What reads cost from a cold start: by coding, through xarray and through GDAL.

    python examples/measure_reading.py SCENE.npy [--side 768] [--out FILE.md]

SCENE is mirrored to a square of ``--side``. Every column is a process of its own that has read a
small file before, so that nothing is compiled; every read is of a file opened anew with nothing
decoded, but for the next band and the same once more, which follow the first. Seconds of processor
time, one run each, and the most memory that the process held. The last columns are GeoTIFFs in
tiles of single bands with LERC and zstd, and with overviews, as a COG has them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

import xhsinr
from xhsinr.bench.scenes import mosaic
from xhsinr.bench.tables import markdown
from xhsinr.reading.store import forget_tiles
from xhsinr.running.memory import peak_memory
from xhsinr.running.threads import cores

FILES: dict[str, dict[str, Any]] = {
    "standard": {"quality": "standard"},
    "psnr=45": {"psnr": 45},
    "max_error=16": {"max_error": 16},
    "lossless": {"lossless": True},
}
TIFFS = {"GeoTIFF within 16": 16, "GeoTIFF, lossless": 0}
SMALL, BAND = 64, 30

Read = Callable[[], Any]


def xarray_reads(path: Path) -> Iterator[tuple[str, Read]]:
    """Reads of a sidecar through xarray, each of a file that is opened anew."""
    scene = xhsinr.open(path).open
    first = scene()
    yield "one band", lambda: first.isel(band=BAND).values
    yield "the next band", lambda: first.isel(band=BAND + 1).values
    yield "the same again", lambda: first.isel(band=BAND).values
    yield "three bands", lambda: scene().isel(band=[10, 40, 90]).values
    yield "all bands", lambda: scene().values
    yield "one pixel", lambda: scene().isel(y=5, x=7).values
    yield "overview=4", lambda: scene(4).isel(band=[10, 40, 90]).values
    yield "overview=16", lambda: scene(16).isel(band=[10, 40, 90]).values


def gdal_reads(path: Path) -> Iterator[tuple[str, Read]]:
    """The same through rasterio, that is, through GDAL."""
    opened = xhsinr.open_rasterio_dataset if path.suffix == ".hsinr" else rasterio.open
    first, colours = opened(path), [11, 41, 91]

    def shrunk(factor: int) -> Any:
        shape = len(colours), first.height // factor, first.width // factor
        return opened(path).read(colours, out_shape=shape)

    yield "one band", lambda: first.read(BAND + 1)
    yield "the next band", lambda: first.read(BAND + 2)
    yield "the same again", lambda: first.read(BAND + 1)
    yield "three bands", lambda: opened(path).read(colours)
    yield "all bands", lambda: opened(path).read()
    yield "one pixel", lambda: opened(path).read(window=Window(7, 5, 1, 1))
    yield "overview=4", lambda: shrunk(4)
    yield "overview=16", lambda: shrunk(16)


def measured(path: Path, small: Path, door: Callable[[Path], Any]) -> dict[str, str]:
    """A column: seconds of each read, and the most memory."""
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    for _, read in door(small):
        read()
    column = {}
    for name, read in door(path):
        if name not in ("the next band", "the same again"):
            forget_tiles()
        start = time.process_time()
        read()
        column[name] = f"{time.process_time() - start:.3f}"
    return column | {"memory, MB": f"{(peak_memory() or 0) / 1e6:.0f}"}


def made(cube: Any, name: str, folder: Path) -> Path:
    """The file of a column."""
    if name in FILES:
        path = folder / f"{name}-{len(cube)}.hsinr"
        xhsinr.compress(cube, path, progress=False, **FILES[name])
        return path
    path = folder / f"{name}-{len(cube)}.tif"
    rows, cols, bands = cube.shape
    profile = {"height": rows, "width": cols, "count": bands, "dtype": cube.dtype}
    profile |= {"tiled": True, "blockxsize": 256, "blockysize": 256, "interleave": "band"}
    with rasterio.open(
        path, "w", driver="GTiff", compress="LERC_ZSTD", max_z_error=TIFFS[name], **profile
    ) as out:
        out.write(np.moveaxis(cube, 2, 0))
        out.build_overviews([2, 4, 8, 16], Resampling.average)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("scene", type=Path, help=".npy, (rows, cols, bands)")
    parser.add_argument("--side", type=int, default=768)
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    options = parser.parse_args()
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    cube = mosaic(np.load(options.scene), options.side)
    columns: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in [*FILES, *TIFFS]:
            path = made(cube, name, Path(scratch))
            small = made(cube[:SMALL, :SMALL], name, Path(scratch))
            doors = (
                {"xarray": xarray_reads, "GDAL": gdal_reads} if name in FILES else {"": gdal_reads}
            )
            for door, reads in doors.items():
                with ProcessPoolExecutor(1, get_context("spawn")) as process:
                    column = process.submit(measured, path, small, reads).result()
                size = {"file, MB": f"{path.stat().st_size / 1e6:.2f}"}
                columns[f"{name}, {door}".rstrip(", ")] = column | size
            path.unlink()
    rows = next(iter(columns.values()))
    text = markdown(["", *columns], [[row, *(c[row] for c in columns.values())] for row in rows])
    shape = " x ".join(map(str, cube.shape))
    print(text := f"{shape} samples of {cube.dtype}, {cores()} cores\n\n{text}\n")
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
