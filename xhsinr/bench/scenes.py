"""The scenes of the benchmark: a folder of ``NAME.npy`` cubes with a ``scenes.csv``."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xhsinr.bench.codecs import Cube
from xhsinr.errors import SceneError

__all__ = ["DEFAULT_SCENES", "BenchScene", "load_scene"]

DEFAULT_SCENES = ("jasper_ridge_224", "indian_pines_part", "paviau_140x80", "enmap_potsdam_B")
_NODATA = -32768
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
    """

    name: str
    cube: Cube
    wavelengths: npt.NDArray[np.float64] | None
    same_site: frozenset[str]

    @property
    def benchmark(self) -> str:
        """Key of the paper's benchmark that it is, or is a crop of; empty for none."""
        found = (key for start, key in _BENCHMARKS.items() if self.name.startswith(start))
        return next(found, "")


def load_scene(folder: Path, name: str) -> BenchScene:
    """Load ``NAME.npy``, its wavelengths where there are some, and what scenes.csv says of it.

    Raises
    ------
    SceneError
        If there is no such scene, or some bands of it have gaps.
    """
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


def _same_site(folder: Path, name: str) -> frozenset[str]:
    listing = folder / "scenes.csv"
    if not listing.is_file():
        return frozenset({name})
    with listing.open(newline="") as file:
        sites = {row["scene"]: row.get("site", row["scene"]) for row in csv.DictReader(file)}
    site = sites.get(name)
    return frozenset({name, *(other for other, where in sites.items() if where == site)})
