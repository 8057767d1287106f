"""Scenes to train on, as the network sees them."""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr import scene as scenes
from xhsinr.errors import SceneError
from xhsinr.spectral.basis import SpectralBasis, SpectralStatistics
from xhsinr.training.settings import TrainingSettings

__all__ = ["TrainingScene", "check_sizes", "find_scenes", "load_scene"]

_SUFFIXES = {".npy", ".mat", ".tif", ".tiff", ".img", ".dat"}

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TrainingScene:
    """A scene as the network sees it.

    Attributes
    ----------
    name, digest : str
        For the recipe; the digest is the file's SHA-256.
    planes : ndarray of float32, shape (outputs, rows, cols)
        Scores over the scene's score scale, or bands scaled to [0, 1].
    unit, bands, span : float, int, float
        Data units of one unit of `planes`, bands of the scene, its max - min.
    left_out : float
        Mean over bands of the variance that is not in `planes`, in data units.
    """

    name: str
    digest: str
    planes: FloatArray
    unit: float
    bands: int
    span: float
    left_out: float

    def psnr(self, losses: npt.NDArray[np.floating[Any]]) -> float:
        """PSNR (equation 4) where patches have these losses, as `meta.batch_loss` has them."""
        mse = float(np.mean(losses)) * self.unit**2 / self.bands + self.left_out
        return 10 * math.log10(self.span**2 / mse)


def find_scenes(folder: Path, only: Sequence[str] = ()) -> list[Path]:
    """Scene files to train on, sorted by name.

    Where the folder has a ``scenes.csv`` with a ``split`` column, only its ``train`` scenes;
    or the scenes named in ``only``, in that order, whichever split they are of.
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


def load_scene(path: Path, settings: TrainingSettings) -> TrainingScene:
    """Read a scene whole and bring it to what the head wants; it has to fit in memory."""
    scene = scenes.read(path)
    values = np.asarray(scene.window(slice(None), slice(None)))
    invalid = scene.invalid(values)
    values = values[~invalid.all(axis=(1, 2))].astype(np.float64)
    pixels = ~invalid[~invalid.all(axis=(1, 2))].any(axis=0)
    if len(values) < 2 or not pixels.any():
        raise SceneError(f"{path}: no pixel is valid in two bands or more; leave the scene out")
    statistics = SpectralStatistics(len(values))
    statistics.update(values[:, pixels])
    values[:, ~pixels] = statistics.mean[:, None]
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise SceneError(f"{path}: all samples are {low:g}; leave the scene out")
    if settings.head == "shared":
        unit, left_out = high - low, 0.0
        planes = ((values - low) / unit).astype(np.float32)
    else:
        variances = np.linalg.eigvalsh(statistics.covariance)[::-1]
        if not 0 < variances[0] < np.inf or not np.square(variances[0]):
            raise SceneError(
                f"{path}: samples from {low:g} to {high:g} cannot be trained on: rescale"
            )
        basis = SpectralBasis.from_statistics(
            statistics.mean,
            statistics.covariance,
            components=settings.outputs,
            distortion=1e-4 * float(variances.mean()),
            pixels=int(pixels.sum()),
        )
        unit = math.sqrt(variances[0])
        planes = (basis.scores(values) / unit).astype(np.float32)
        left_out = float(variances[settings.outputs :].sum()) / len(values)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return TrainingScene(path.stem, digest, planes, unit, len(values), high - low, left_out)


def check_sizes(
    training: Sequence[TrainingScene],
    validation: Sequence[TrainingScene],
    settings: TrainingSettings,
) -> None:
    outputs = settings.outputs
    if settings.head == "shared":
        outputs = max(len(scene.planes) for scene in training)
    for scene in [*training, *validation]:
        planes, rows, cols = scene.planes.shape
        if min(rows, cols) < settings.patch:
            raise SceneError(
                f"{scene.name} has {rows} x {cols} pixels, fewer than a patch of "
                f"{settings.patch} x {settings.patch}: leave it out"
            )
        if planes > outputs:
            raise SceneError(
                f"{scene.name} has {planes} planes, the network {outputs} outputs: leave it out"
            )
