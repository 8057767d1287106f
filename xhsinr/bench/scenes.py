"""The scenes of the benchmark: a folder of ``NAME.npy`` cubes with a ``scenes.csv``.

Two more kinds need no file of their own: ``indian_pines``, the whole scene that tensorly ships,
and ``NAME@SIDE``, a mosaic of a scene at a user's size.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xhsinr.bench.codecs import Cube
from xhsinr.errors import SceneError

__all__ = ["DEFAULT_SCENES", "BenchScene", "load_scene", "mosaic"]

DEFAULT_SCENES = (
    *("jasper_ridge_224", "indian_pines", "paviau_140x80", "enmap_potsdam_B"),
    "jasper_ridge_198_int16@512",
)
_NODATA = -32768
_WHOLE, _LARGEST_SIDE = "indian_pines", 4096
# Beginnings of the names of the benchmarks that the paper's tables are about.
_BENCHMARKS = {
    "jasper_ridge": "jasper_ridge",
    "indian_pines": "indian_pines",
    "paviau": "pavia_university",
}


@dataclass(frozen=True)
class BenchScene:
    """A scene without gaps.

    Attributes
    ----------
    name : str
    cube : ndarray, shape (rows, cols, bands)
        Without the bands that are NaN or nodata throughout.
    wavelengths : ndarray of float, shape (bands,), or None
        Band centres in nanometres.
    same_site : frozenset of str
        Names of the scenes of the same site, its own among them.
    labels : ndarray of uint8, shape (rows, cols), or None
        Published classes, 0 where a pixel has none.
    """

    name: str
    cube: Cube
    wavelengths: npt.NDArray[np.float64] | None
    same_site: frozenset[str]
    labels: npt.NDArray[np.uint8] | None = None

    @property
    def benchmark(self) -> str:
        """Key of the paper's benchmark that it is, or is a crop of; empty for none, and mosaics."""
        found = (key for start, key in _BENCHMARKS.items() if self.name.startswith(start))
        return "" if "@" in self.name else next(found, "")


def load_scene(folder: Path, name: str) -> BenchScene:
    """Load a scene: ``NAME.npy``, ``indian_pines``, or a mosaic ``NAME@SIDE``.

    With its wavelengths where there are some, and what scenes.csv says of it.

    Raises
    ------
    SceneError
        If there is no such scene, or some bands of it have gaps.
    """
    if "@" in name:
        crop, _, side = name.partition("@")
        if not (side.isdecimal() and 1 <= int(side) <= _LARGEST_SIDE):
            raise SceneError(f"{name}: a mosaic is NAME@SIDE, with a side up to {_LARGEST_SIDE}")
        small = load_scene(folder, crop)
        return replace(small, name=name, cube=mosaic(small.cube, int(side)), labels=None)
    if name == _WHOLE and not (folder / f"{name}.npy").is_file():
        return _indian_pines(folder)
    path = folder / f"{name}.npy"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.npy")))
        raise SceneError(f"{folder} has no scene {name!r}: choose from {known}")
    cube = np.load(path)
    gaps = np.isnan(cube) if cube.dtype.kind == "f" else cube == _NODATA
    share = gaps.mean(axis=(0, 1))
    if ((share > 0) & (share < 1)).any():
        raise SceneError(f"{path}: bands with gaps in part cannot be compared, only whole ones")
    live = share == 0
    centres = path.with_suffix("").with_name(f"{name}.wavelength_nm.txt")
    wavelengths = np.loadtxt(centres)[live] if centres.is_file() else None
    return BenchScene(
        name, np.ascontiguousarray(cube[..., live]), wavelengths, _same_site(folder, name)
    )


def mosaic(cube: Cube, side: int) -> Cube:
    """A square scene of a crop in its eight orientations, one beside another, seams and all.

    The copy in row i and column j of the mosaic is turned by a quarter i + j times, and
    mirrored where j is odd, after the crop was cut to a square.

    Parameters
    ----------
    cube : ndarray, shape (rows, cols, bands)
    side : int
        Rows and columns of the mosaic.
    """
    own = min(cube.shape[:2])
    square = cube[:own, :own]
    count = -(-side // own)
    rows = [
        np.concatenate([_turned(square, i + j, j % 2 == 1) for j in range(count)], axis=1)
        for i in range(count)
    ]
    return np.ascontiguousarray(np.concatenate(rows, axis=0)[:side, :side])


def _turned(square: Cube, quarters: int, mirrored: bool) -> Cube:
    return np.rot90(square[:, ::-1] if mirrored else square, quarters)


def _indian_pines(folder: Path) -> BenchScene:
    """The whole benchmark, corrected to 200 bands, with its classes, as tensorly ships it."""
    try:
        from tensorly.datasets import load_indian_pines
    except ImportError as error:
        raise SceneError(
            "the whole of Indian Pines comes with tensorly: pip install 'xhsinr[bench]'"
        ) from error
    found = load_indian_pines()
    labels, wavelengths = found.ticks
    return BenchScene(
        _WHOLE,
        np.ascontiguousarray(found.tensor).astype(np.uint16),
        np.asarray(wavelengths, np.float64),
        _same_site(folder, "indian_pines_part") | {_WHOLE},
        np.asarray(labels, np.uint8),
    )


def _same_site(folder: Path, name: str) -> frozenset[str]:
    listing = folder / "scenes.csv"
    if not listing.is_file():
        return frozenset({name})
    with listing.open(newline="") as file:
        sites = {row["scene"]: row.get("site", row["scene"]) for row in csv.DictReader(file)}
    site = sites.get(name)
    return frozenset({name, *(other for other, where in sites.items() if where == site)})
