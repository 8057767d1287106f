"""Coding ``planes``: scores in a spectral basis, as planes of a lossy picture coder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from xhsinr.coding import detail
from xhsinr.coding.contract import Bands, Frame, Planes, Samples, Valid
from xhsinr.coding.overview import block_means
from xhsinr.spectral.basis import SpectralBasis

__all__ = ["PlanesCoding"]

# Bytes of a sample as numbers, and of a component's score.
_PER_SAMPLE, _PER_SCORE = 24, 40


@dataclass(frozen=True, eq=False)
class PlanesCoding:
    """A lossy coding; see `xhsinr.coding.contract.Coding`.

    Attributes
    ----------
    frame : Frame
    basis : SpectralBasis
    level : float
        Error variance per coefficient, the same in all tiles; only encoding needs it.
    """

    name: ClassVar[str] = "planes"
    parts: ClassVar[tuple[str, ...]] = ("planes",)
    exact: ClassVar[bool] = False

    frame: Frame
    basis: SpectralBasis
    level: float = 0.0

    def encode(self, samples: Samples, valid: Valid | None, device: str) -> dict[str, bytes]:
        scores = self.basis.scores(samples)
        if not len(scores) or not self.level:
            return {}
        distortion = float(detail.expected_distortion(scores, self.level))
        return {"planes": detail.encode(scores, distortion)} if distortion > 0 else {}

    def expected_errors(
        self, samples: Samples, levels: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """Mean squared error of a tile's scores at each level."""
        return detail.expected_distortion(self.basis.scores(samples), levels)

    def decode(
        self, parts: Mapping[str, bytes], rows: int, cols: int, bands: Bands | None
    ) -> Samples:
        scores = self._scores(parts, rows, cols)
        return self.frame.to_samples(self._of(bands).reconstruct(scores))

    def decode_coarse(
        self, parts: Mapping[str, bytes], rows: int, cols: int, factor: int, bands: Bands | None
    ) -> Planes:
        scores = block_means(self._scores(parts, rows, cols), factor)
        return self._of(bands).reconstruct(scores)

    def to_bytes(self) -> bytes:
        return self.basis.to_bytes()

    @classmethod
    def from_bytes(cls, content: bytes, frame: Frame) -> Self:
        return cls(frame, SpectralBasis.from_bytes(content, frame.bands))

    def memory(self, pixels: int) -> int:
        return pixels * (_PER_SAMPLE * self.frame.bands + _PER_SCORE * self.basis.components)

    def _scores(self, parts: Mapping[str, bytes], rows: int, cols: int) -> Planes:
        return detail.decode(parts.get("planes", b""), rows, cols, self.basis.components)

    def _of(self, bands: Bands | None) -> SpectralBasis:
        if bands is None:
            return self.basis
        means, vectors = self.basis.mean_integers[bands], self.basis.vector_integers[:, bands]
        return replace(self.basis, mean_integers=means, vector_integers=vectors)
