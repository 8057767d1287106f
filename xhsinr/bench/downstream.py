"""What compression changes for the use of the data: classes and spectral indices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr import metrics
from xhsinr.bench.checkpoint import Row
from xhsinr.bench.codecs import Cube, Target, load
from xhsinr.bench.scenes import BenchScene
from xhsinr.bench.tables import markdown
from xhsinr.errors import HsinrError, TargetError

__all__ = [
    "CODECS",
    "COLUMNS",
    "IDENTITY",
    "RATES",
    "SCENES",
    "band_depth",
    "identify",
    "measure",
    "ndvi",
    "plan",
    "section",
]

RATES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
CODECS = ("xhsinr", "pca_jpeg2000", "speck3d", "jpeg2000_scene")
SCENES = ("indian_pines", "abu-airport-1", "jasper_ridge_198", "enmap_potsdam_B")
COLUMNS = (
    *("scene", "codec", "name", "target", "bpppb", "psnr_db", "classes", "accuracy_original"),
    *("accuracy_decoded", "agreement", "ndvi_rmse", "depth_rmse", "note"),
)
IDENTITY = ("scene", "codec", "target")

# Wavelengths in nm: red and near infrared; chlorophyll's band and its shoulders.
_RED, _NEAR_INFRARED = 660.0, 860.0
_SHOULDERS, _CENTRE = (550.0, 750.0), 670.0
_NEAR = 20.0
_CLUSTERS, _SEED = 8, 0
# Of pixels that nobody has classed.
_UNKNOWN = -1

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


def plan(scenes: Sequence[BenchScene]) -> Iterator[tuple[BenchScene, str, float]]:
    """Scene, codec and rate of every row."""
    return ((scene, key, rate) for scene in scenes for key in CODECS for rate in RATES)


def identify(scene: BenchScene, key: str, rate: float) -> Row:
    """The row of a case before it is measured."""
    row = dict.fromkeys(COLUMNS, "")
    name, target = load(key).name, str(Target("bpppb", rate))
    return row | {"scene": scene.name, "codec": key, "name": name, "target": target}


def measure(scene: BenchScene, folder: Path, key: str, rate: float) -> Row:
    """Compress a scene to a rate and use it.

    A support-vector classifier learns from half of the pixels of the original and is tried on
    the others, original and decoded. Where a scene has no labels, its classes are k-means
    clusters of the original, and are called so.
    """
    row = identify(scene, key, rate)
    codec = load(key)
    try:
        payload = codec.encode(scene.cube, Target("bpppb", rate))
    except TargetError as error:
        return row | {"note": str(error)}
    decoded = codec.decode(payload)
    row["bpppb"] = f"{metrics.bpppb(len(payload), scene.cube.size):.4f}"
    row["psnr_db"] = f"{metrics.psnr(scene.cube, decoded):.2f}"
    return row | _classified(scene, folder, decoded) | _indices(scene, decoded)


def ndvi(cube: Cube, wavelengths: Floats) -> Floats:
    """Normalised difference vegetation index of each pixel, shape (rows, cols).

    NaN where both bands are zero.
    """
    red, infrared = (_band(cube, wavelengths, at) for at in (_RED, _NEAR_INFRARED))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((infrared - red) / (infrared + red), np.float64)


def band_depth(cube: Cube, wavelengths: Floats) -> Floats:
    """Depth of chlorophyll's band at 670 nm below the line from 550 to 750 nm, (rows, cols).

    One less the quotient of band and continuum (Clark and Roush 1984); NaN where the continuum
    is not above zero.
    """
    left, right = _SHOULDERS
    share = (_CENTRE - left) / (right - left)
    line = (1 - share) * _band(cube, wavelengths, left) + share * _band(cube, wavelengths, right)
    centre = _band(cube, wavelengths, _CENTRE)
    return np.where(line > 0, 1 - centre / np.where(line > 0, line, 1), np.nan)


def section(rows: Sequence[Row]) -> str:
    """The table of all scenes."""
    header = [
        *("scene", "classes", "codec", "bpppb", "PSNR", "accuracy, original"),
        *("accuracy, decoded", "same class as original", "NDVI RMSE", "band depth RMSE"),
    ]
    columns = (
        *("scene", "classes", "name", "bpppb", "psnr_db", "accuracy_original"),
        *("accuracy_decoded", "agreement", "ndvi_rmse", "depth_rmse"),
    )
    body = [[row[column] or "–" for column in columns] for row in rows if not row["note"]]
    note = (
        "A support-vector classifier learns from half of the original's pixels; balanced accuracy "
        "on the other half, original and decoded, and how many of these pixels keep their class. "
        "*k-means*: no labels are at hand, the classes are clusters of the original. NDVI from 660 "
        "and 860 nm; depth of chlorophyll's band at 670 nm below the continuum from 550 to 750 nm; "
        "both over the pixels whose index lies within -1 and 1 in the original."
    )
    return f"## Downstream use\n\n{note}\n\n{markdown(header, body)}\n"


def _band(cube: Cube, wavelengths: Floats, at: float) -> Floats:
    return cube[..., int(np.abs(wavelengths - at).argmin())].astype(np.float64)


def _indices(scene: BenchScene, decoded: Cube) -> Row:
    wavelengths = scene.wavelengths
    wanted = (*_SHOULDERS, _CENTRE, _RED, _NEAR_INFRARED)
    if wavelengths is None or any(np.abs(wavelengths - at).min() > _NEAR for at in wanted):
        return {}
    return {
        "ndvi_rmse": _rmse(ndvi(scene.cube, wavelengths), ndvi(decoded, wavelengths)),
        "depth_rmse": _rmse(band_depth(scene.cube, wavelengths), band_depth(decoded, wavelengths)),
    }


def _rmse(before: Floats, after: Floats) -> str:
    # Dark pixels divide noise by noise: an index outside its range says nothing.
    usual = (np.abs(before) <= 1) & np.isfinite(after)
    return f"{np.sqrt(np.square(np.clip(after, -1, 1) - before)[usual].mean()):.4f}"


def _classified(scene: BenchScene, folder: Path, decoded: Cube) -> Row:
    try:
        from sklearn.metrics import balanced_accuracy_score
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC
    except ImportError as error:
        raise HsinrError("scikit-learn is not installed: pip install 'xhsinr[bench]'") from error
    pixels = scene.cube.reshape(-1, scene.cube.shape[2]).astype(np.float64)
    kind, labels = _labels(scene, folder, pixels)
    learn = np.random.default_rng(_SEED).random(len(pixels)) < 0.5
    known = labels != _UNKNOWN
    model: Any = make_pipeline(StandardScaler(), SVC(C=100, class_weight="balanced"))
    model.fit(pixels[learn & known], labels[learn & known])
    tried = ~learn & known
    before = model.predict(pixels[tried])
    after = model.predict(decoded.reshape(pixels.shape)[tried].astype(np.float64))
    truth = labels[tried]
    return {
        "classes": kind,
        "accuracy_original": f"{balanced_accuracy_score(truth, before):.3f}",
        "accuracy_decoded": f"{balanced_accuracy_score(truth, after):.3f}",
        "agreement": f"{(before == after).mean():.3f}",
    }


def _labels(scene: BenchScene, folder: Path, pixels: Floats) -> tuple[str, Labels]:
    """What the classes are, and the class of each pixel, `_UNKNOWN` for none."""
    from scipy.io import loadmat
    from sklearn.cluster import KMeans

    if scene.labels is not None:
        published = scene.labels.ravel().astype(np.int64)
        return "labels", np.where(published == 0, _UNKNOWN, published)
    path = folder / "files" / f"{scene.name}.mat"
    if path.is_file():
        found = loadmat(path).get("map")
        if found is not None and found.size == len(pixels):
            return "labels", found.ravel().astype(np.int64)
    clusters = KMeans(_CLUSTERS, n_init=3, random_state=_SEED).fit_predict(pixels)
    return "k-means", np.asarray(clusters, np.int64)
