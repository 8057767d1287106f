"""Clustered PCA and JPEG 2000: vector quantisation, a basis for each cluster, one codestream.

Báscones, González and Mozos, "Hyperspectral image compression using vector quantization, PCA and
JPEG2000", Remote Sensing 10(6), 2018, in the form that gave most here: k-means of the spectra, the
map of clusters stored without loss, and each pixel's scores in the basis of its own cluster, on
planes that keep the pixels' places.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, ClassVar

import imagecodecs
import numpy as np
import numpy.typing as npt

from xhsinr.bench.codecs import Cube, Kind, Target
from xhsinr.bench.codecs.common import check
from xhsinr.bench.codecs.pca import Axes, Basis
from xhsinr.bench.codecs.pca_jpeg2000 import Jpeg2000Planes
from xhsinr.bench.codecs.score_planes import ScorePlanes
from xhsinr.errors import TargetError

__all__ = ["ClusteredPcaJpeg2000"]

_HEAD = struct.Struct("<BI")
_CLUSTERS = (2, 3, 4, 6)
_SEED = 0

Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class _Clustered:
    """A basis for each cluster, and the cluster of each pixel, shape (rows, cols)."""

    labels: Labels
    bases: tuple[Basis, ...]

    def to_bytes(self) -> bytes:
        image = bytes(imagecodecs.jpegxl_encode(self.labels, lossless=True, effort=9))
        head = _HEAD.pack(len(self.bases), len(image))
        return head + image + b"".join(basis.to_bytes() for basis in self.bases)

    @classmethod
    def from_bytes(cls, payload: bytes, shape: tuple[int, int, int]) -> tuple[_Clustered, bytes]:
        count, size = _HEAD.unpack_from(payload)
        labels = imagecodecs.jpegxl_decode(payload[_HEAD.size : _HEAD.size + size])
        rest, bases = payload[_HEAD.size + size :], []
        for _ in range(count):
            basis, rest = Basis.from_bytes(rest, shape)
            bases.append(basis)
        return cls(labels, tuple(bases)), rest

    def scores(self, cube: Cube) -> npt.NDArray[np.float64]:
        planes = np.zeros((max(basis.n_planes for basis in self.bases), *cube.shape[:2]))
        for label, basis in enumerate(self.bases):
            inside = self.labels == label
            if inside.any():
                planes[: basis.n_planes, inside] = basis.scores(cube[inside][None])[:, 0]
        return planes

    def spectra(self, planes: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        bands = len(self.bases[0].mean)
        cube = np.zeros((*planes.shape[1:], bands), np.float32)
        for label, basis in enumerate(self.bases):
            inside = self.labels == label
            if inside.any():
                cube[inside] = basis.spectra(planes[: basis.n_planes, None, inside])[0]
        return cube


_PLANES = ScorePlanes(_Clustered.from_bytes, Jpeg2000Planes())


@dataclass(frozen=True)
class ClusteredPcaJpeg2000:
    """The codec."""

    name: ClassVar[str] = "clustered PCA + JPEG 2000"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"bpppb", "psnr"})
    settings: ClassVar[str] = "k-means of spectra, best of 2 to 6 clusters and of components"

    def encode(self, cube: Cube, target: Target) -> bytes:
        check(self, target)
        best: tuple[float, bytes] | None = None
        for clusters in _CLUSTERS:
            labels = _cluster(cube, clusters)
            axes = [Axes.of(cube[labels == label][None]) for label in range(clusters)]
            most = min(cube.shape[2], *(int((labels == label).sum()) for label in range(clusters)))

            def basis(count: int, labels: Labels = labels, axes: list[Axes] = axes) -> _Clustered:
                return _Clustered(labels, tuple(own.strongest(count) for own in axes))

            found = _PLANES.best(cube, target, basis, most)
            if best is not None and (found is None or found[0] <= best[0]):
                break
            best = found
        if best is None:
            raise TargetError(f"{self.name} cannot reach {target} with any number of clusters")
        return best[1]

    def decode(self, payload: bytes) -> Cube:
        return _PLANES.decode(payload)


def _cluster(cube: Cube, clusters: int) -> Labels:
    """Cluster of each pixel by k-means; every one has pixels."""
    try:
        from sklearn.cluster import KMeans
    except ImportError as error:
        raise TargetError("scikit-learn is not installed: pip install 'xhsinr[bench]'") from error
    pixels = cube.reshape(-1, cube.shape[2]).astype(np.float64)
    found = KMeans(clusters, n_init=3, random_state=_SEED).fit_predict(pixels)
    _, labels = np.unique(found, return_inverse=True)
    return labels.reshape(cube.shape[:2]).astype(np.uint8)
