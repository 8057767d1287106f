"""Scenes to train on."""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xhsinr import scene as scenes
from xhsinr.errors import SceneError

__all__ = ["SceneSamples", "find_scenes", "load_samples"]

_SUFFIXES = {".npy", ".mat", ".tif", ".tiff", ".img", ".dat"}
# Squares of what is larger overflow in float32.
_LARGEST_SAMPLE = 1e15


@dataclass(frozen=True)
class SceneSamples:
    """A scene to train on.

    Attributes
    ----------
    name, digest : str
        For the recipe; the digest is the file's SHA-256.
    samples : ndarray of float32, shape (bands, rows, cols)
        Of the bands with valid samples; pixels that are not valid in all of them have the mean
        spectrum of those that are.
    """

    name: str
    digest: str
    samples: npt.NDArray[np.float32]

    @cached_property
    def scaled(self) -> npt.NDArray[np.float32]:
        """Samples from 0 to 1."""
        low, high = self.samples.min(), self.samples.max()
        return np.asarray((self.samples - low) / (high - low))

    def psnr(self, squared_errors: npt.NDArray[np.floating]) -> float:
        """PSNR where spectra of `scaled` have these squared errors, summed over the bands."""
        return -10 * math.log10(float(np.mean(squared_errors)) / len(self.samples))


def find_scenes(folder: Path, only: Sequence[str] = ()) -> list[Path]:
    """Scene files to train on, sorted by name.

    Where the folder has a ``scenes.csv`` with a ``split`` column, only its ``train`` scenes;
    or the scenes named in ``only``, whichever split they are of.
    """
    found = [path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES]
    wanted = set(only) or _training_split(folder / "scenes.csv")
    missing = set(only) - {path.stem for path in found}
    if missing:
        raise SceneError(f"{folder} has no scene called {', '.join(sorted(missing))}")
    if wanted is not None:
        found = [path for path in found if path.stem in wanted]
    if not found:
        raise SceneError(f"{folder} has no scenes to train on (.npy, .mat, .tif, .img)")
    order = {name: place for place, name in enumerate(only)}
    return sorted(found, key=lambda path: (order.get(path.stem, 0), path.name))


def _training_split(listing: Path) -> set[str] | None:
    if not listing.is_file():
        return None
    with listing.open(newline="") as file:
        try:
            rows = csv.DictReader(file)
            if not {"scene", "split"} <= set(rows.fieldnames or ()):
                return None
            return {row["scene"] for row in rows if row["split"] == "train"}
        except (UnicodeDecodeError, csv.Error) as error:
            raise SceneError(f"{listing} cannot be read as a table: {error}") from error


def load_samples(path: Path) -> SceneSamples:
    """Read a scene whole; it has to fit in memory.

    Raises
    ------
    SceneError
        If there is nothing in it to learn from.
    """
    scene = scenes.read(path)
    values = np.asarray(scene.window(slice(None), slice(None)))
    invalid = scene.invalid(values)
    live = ~invalid.all(axis=(1, 2))
    samples = values[live].astype(np.float32)
    valid = ~invalid[live].any(axis=0)
    if len(samples) < 2 or not valid.any():
        raise SceneError(f"{path}: no pixel is valid in two bands or more; leave the scene out")
    samples[:, ~valid] = samples[:, valid].mean(axis=1, dtype=np.float64)[:, None]
    low, high = float(samples.min()), float(samples.max())
    if low == high or not max(abs(low), abs(high)) < _LARGEST_SAMPLE:
        raise SceneError(f"{path}: its samples go from {low:g} to {high:g}; leave the scene out")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return SceneSamples(path.stem, digest, samples)
