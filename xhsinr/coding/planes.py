"""Coding ``planes``: scores in a spectral basis, as planes of wavelet coefficients.

The one lossy coding. What a coefficient is likely to be says the prior (`xhsinr.network.prior`),
the package's or one of the user's own; decoding gives the same bits on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from xhsinr.coding.contract import Bands, Frame, NetworkUse, Planes, Samples, Valid
from xhsinr.coding.overview import block_means
from xhsinr.coding.planes_forecast import blocks_of_details, expected_errors
from xhsinr.coding.planes_tile import PlaneDecoder, PlaneEncoder
from xhsinr.coding.spectra import means_of_scores, samples_of_scores
from xhsinr.devices import asks_for_gpu
from xhsinr.entropy.cursor import Cursor, varint
from xhsinr.errors import DamagedSidecarError, NetworkError, UnsupportedVersionError
from xhsinr.network.places import network_of
from xhsinr.network.prior import NEWEST_PRIOR, Prior, package_prior
from xhsinr.spectral.basis import SpectralBasis
from xhsinr.transform.wavelet import band_shape, smooth_columns

__all__ = ["PlanesCoding"]

# In place of the number of a package's prior where a file needs one of the user's own.
_NAMED = 0
_STEP = np.dtype("<f4")
# Copies of a sample as numbers; bytes of a component's score, and of the regressions of a pixel.
_COPIES, _PER_SCORE, _PER_PIXEL = 3, 70, 300
# Finest levels that blocks of 1, 2, 4, 8, 16, 32 and more pixels do without: what is then missing
# of large blocks is less, as leaving out more of them would save little.
_LEFT_OUT = (0, 1, 2, 2, 3, 4)


@dataclass(frozen=True, eq=False)
class PlanesCoding:
    """A lossy coding; see `xhsinr.coding.contract.Coding`.

    Attributes
    ----------
    frame : Frame
    basis : SpectralBasis
    step : float
        Of the quantiser, in the unit of scores, the same in all tiles and bands; a float32.
        Zero if nothing is coded but the mean spectrum.
    network : Prior or None
        A prior of the user's own; None for one of the package's.
    number : int
        Which of the package's, see `package_prior`.
    """

    name: ClassVar[str] = "planes"
    parts: ClassVar[tuple[str, ...]] = ("planes",)
    exact: ClassVar[bool] = True

    frame: Frame
    basis: SpectralBasis
    step: float = 0.0
    network: Prior | None = None
    number: int = NEWEST_PRIOR

    @staticmethod
    def gains_by_gpu(device: str) -> bool:
        return asks_for_gpu(device)

    def encode(self, samples: Samples, valid: Valid | None, device: str) -> dict[str, bytes]:
        content, _ = self._coded(samples, device)
        return {"planes": content} if content else {}

    def encode_decoded(self, samples: Samples) -> tuple[bytes, Samples | None]:
        """The part ``planes`` of a tile, and what it decodes to: without bytes nothing."""
        content, planes = self._coded(samples)
        if not content:
            return content, None
        return content, samples_of_scores(self._in_units(planes), self.basis, self.frame, None)

    def _coded(
        self, samples: Samples, device: str = "cpu"
    ) -> tuple[bytes, list[npt.NDArray[np.float64]]]:
        """Bytes of a tile, and the planes that they decode to, in steps, where the device is."""
        if not self.basis.components or not self.step:
            return b"", []
        encoder = self._encoder(self._planes(samples), device)
        planes = encoder.planes()
        return (encoder.content(), planes) if encoder.components else (b"", [])

    def expected_errors(
        self, samples: Samples, steps: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """Mean squared error of a tile's scores at each step."""
        return expected_errors(self.basis.scores(samples).astype(np.float64), steps)

    def blocks_of_details(self, samples: Samples) -> npt.NDArray[np.float64]:
        """Wavelet coefficients of a tile's scores, shape (components, blocks, 4)."""
        return blocks_of_details(self.basis.scores(samples).astype(np.float64))

    def decode(
        self,
        parts: Mapping[str, bytes],
        rows: int,
        cols: int,
        bands: Bands | None,
        valid: Valid | None = None,
    ) -> Samples:
        scores = self._scores(parts, rows, cols)
        return samples_of_scores(scores, self.basis, self.frame, bands)

    def decode_coarse(
        self, parts: Mapping[str, bytes], rows: int, cols: int, factor: int, bands: Bands | None
    ) -> Planes:
        left_out = _LEFT_OUT[min(factor.bit_length(), len(_LEFT_OUT)) - 1]
        planes = self._scores(parts, rows, cols, left_out)
        down, across = (_block_means(side, left_out, factor) for side in (rows, cols))
        return means_of_scores(down @ planes @ across.T, self.basis, self.frame, bands)

    def to_bytes(self) -> bytes:
        prior = bytes([self.number])
        if self.network is not None:
            use = NetworkUse.of(self.network).to_bytes()
            prior = bytes([_NAMED]) + varint(len(use)) + use
        return prior + np.array(self.step, _STEP).tobytes() + self.basis.to_bytes()

    @classmethod
    def network_use(cls, content: bytes) -> NetworkUse | None:
        """See `xhsinr.coding.contract.NetworkCoding`."""
        return _take_prior(_cursor(content))[1]

    @classmethod
    def from_bytes(cls, content: bytes, frame: Frame) -> Self:
        """See `Coding.from_bytes`.

        Raises
        ------
        NetworkNotFoundError, NetworkDigestError, NetworkError
            If a prior is named that isn't found, or is none.
        DamagedSidecarError, UnsupportedVersionError
        """
        cursor = _cursor(content)
        number, use = _take_prior(cursor)
        step = float(np.frombuffer(cursor.take(_STEP.itemsize), _STEP)[0])
        if not 0 <= step < np.inf:
            raise DamagedSidecarError(f"its header has a quantiser's step of {step}")
        basis = SpectralBasis.from_bytes(cursor.rest(), frame.bands)
        network = None if use is None else network_of(use.name, use.digest, frame.sidecar)
        if not isinstance(network, Prior | None):
            raise NetworkError(
                f"network {network.name!r} is a {network.kind}, and planes need a prior"
            )
        return cls(frame, basis, step, network, number)

    def memory(self, pixels: int) -> int:
        per_sample = _COPIES * max(self.frame.dtype.itemsize, 4)
        per_pixel = per_sample * self.frame.bands + _PER_SCORE * self.basis.components
        return pixels * (per_pixel + _PER_PIXEL)

    def _encoder(self, planes: npt.NDArray[np.float64], device: str) -> PlaneEncoder:
        if not asks_for_gpu(device):
            return PlaneEncoder(planes, self._prior)
        from xhsinr.coding.planes_torch import TorchPlaneEncoder

        return TorchPlaneEncoder(planes, self._prior, device)

    @property
    def _prior(self) -> Prior:
        return package_prior(self.number) if self.network is None else self.network

    def _planes(self, samples: Samples) -> npt.NDArray[np.float64]:
        """Scores of samples, in steps."""
        scores = self.basis.scores(samples).astype(np.float64)
        scores /= self.step
        return scores

    def _scores(
        self, parts: Mapping[str, bytes], rows: int, cols: int, left_out: int = 0
    ) -> npt.NDArray[np.float64]:
        """Scores of a tile, or what is left of them without the finest levels."""
        content = parts.get("planes", b"")
        nothing = np.zeros((0, *band_shape(rows, cols, left_out, 0)))
        if not content:
            return nothing
        decoder = PlaneDecoder(content, self.basis.components, rows, cols, self._prior)
        planes = decoder.planes(left_out)
        if not left_out:
            decoder.check()
        return self._in_units(planes) if planes else nothing

    def _in_units(self, planes: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
        """Scores of planes in steps."""
        scores = np.empty((len(planes), *planes[0].shape))
        for plane, score in zip(planes, scores, strict=True):
            np.multiply(plane, self.step, out=score)
        return scores


@lru_cache(64)
def _block_means(side: int, levels: int, factor: int) -> npt.NDArray[np.float64]:
    """What gives a side's means over blocks, of what stands there without the finest levels."""
    columns = smooth_columns(side, levels)[:, :, None]
    return np.ascontiguousarray(block_means(columns, factor, np.float64)[:, :, 0].T)


def _cursor(content: bytes) -> Cursor:
    return Cursor(content, "the coding 'planes' in its header")


def _take_prior(cursor: Cursor) -> tuple[int, NetworkUse | None]:
    """The number of the package's prior, or the prior that is named."""
    number = cursor.byte()
    if number == _NAMED:
        return number, NetworkUse.from_bytes(cursor.take(cursor.varint()))
    if number > NEWEST_PRIOR:
        raise UnsupportedVersionError(
            f"it needs prior number {number}, this version has numbers up to {NEWEST_PRIOR}: "
            "install a newer xhsinr"
        )
    return number, None
