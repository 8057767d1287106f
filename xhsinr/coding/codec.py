"""The codec of one scene: samples of a tile <-> bytes of its layers.

Encoding a tile: scores in the spectral basis, latents of its patches, the residual's detail,
and where a bound was promised the integer residual. Decoding adds the layers up again, at full
resolution or coarsely.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from xhsinr.coding import bound, detail, mask
from xhsinr.coding.floats import decode_floats, encode_floats
from xhsinr.coding.latent_coding import LatentCoding
from xhsinr.coding.overview import block_means, coarse_side, valid_means
from xhsinr.errors import DamagedSidecarError
from xhsinr.spectral.basis import SpectralBasis

__all__ = ["BoundCoding", "Codec", "LatentCoding"]

_SEAL = struct.Struct("<I")

Samples = npt.NDArray[Any]
Planes = npt.NDArray[np.floating[Any]]
Bands = npt.NDArray[np.intp]


@dataclass(frozen=True)
class BoundCoding:
    """The ``bound`` layer of a scene.

    Attributes
    ----------
    max_error : int
        Largest error in units of ``2**exponent``; 0 is lossless.
    exponent : int
        Samples are rounded to integers in this unit first; 0 for integer samples.
    exact_floats : bool
        Samples are stored bit by bit by a library's codec instead, without other layers.
    """

    max_error: int
    exponent: int = 0
    exact_floats: bool = False


@dataclass(frozen=True)
class Codec:
    """Everything that the tiles of a scene share.

    Attributes
    ----------
    dtype : dtype
        Of the samples.
    states : ndarray of uint8, shape (bands,)
        State (see `xhsinr.coding.mask`) of the bands that are invalid throughout, 0 for the others.
    live : ndarray of bool, shape (bands,)
        Bands with at least one valid sample; only these are coded.
    low, high : int or float
        Range of the valid samples, which decoded samples keep.
    nodata : int, float or None
        Value of samples in the state ``mask.NODATA``.
    basis : SpectralBasis
        Of the live bands.
    latents : LatentCoding or None
    level : float or None
        Error variance per coefficient that the detail layer is coded with, the same in all
        tiles (only encoding needs it); None without that layer.
    bound : BoundCoding or None
    """

    dtype: np.dtype[Any]
    states: npt.NDArray[np.uint8]
    live: npt.NDArray[np.bool_]
    low: float
    high: float
    nodata: int | float | None
    basis: SpectralBasis
    latents: LatentCoding | None = None
    level: float | None = None
    bound: BoundCoding | None = None

    def encode(
        self, samples: Samples, states: npt.NDArray[np.uint8], device: str = "cpu"
    ) -> dict[str, bytes]:
        """Code one tile; a layer without bytes is left out.

        Parameters
        ----------
        samples : ndarray, shape (bands, rows, cols)
        states : ndarray of uint8, shape (bands, rows, cols)
            State of each sample, see `xhsinr.coding.mask`.
        device : str
            Where latents are fitted.
        """
        varying = np.where(self.states[:, None, None] > 0, 0, states).astype(np.uint8)
        payload = {"mask": mask.encode(varying)}
        valid = states[self.live] == mask.VALID
        if valid.any():
            payload |= self._encode_live(samples[self.live], valid, device)
        return {layer: content for layer, content in payload.items() if content}

    def scores(self, samples: Samples, states: npt.NDArray[np.uint8]) -> Planes:
        """Scores of a tile in the spectral basis, shape (components, rows, cols)."""
        return self.basis.scores(self._fill(samples[self.live], states[self.live] == mask.VALID))

    def _encode_live(
        self, live: Samples, valid: npt.NDArray[np.bool_], device: str
    ) -> dict[str, bytes]:
        filled = self._fill(live, valid)
        if self.bound is not None and self.bound.exact_floats:
            return {"bound": _sealed(encode_floats(filled), filled)}
        payload: dict[str, bytes] = {}
        if self.latents is not None and self.latents.network.head == "shared":
            return {"latents": self.latents.encode(filled.astype(np.float32), device)}
        scores = self.basis.scores(filled)
        if self.latents is not None:
            payload["latents"] = self.latents.encode(scores, device)
            decoded = self.latents.decode(payload["latents"], *scores.shape)
            scores[: len(decoded)] -= decoded
        if self.level is not None and len(scores):
            distortion = float(detail.expected_distortion(scores, self.level))
            if distortion > 0:
                payload["detail"] = detail.encode(scores, distortion, integer=bool(self.bound))
        if self.bound is not None:
            base = self._integer_base(payload.get("detail", b""), *live.shape[1:])
            integers = self._to_integers(filled)
            residual = np.where(valid, integers - base, 0)
            payload["bound"] = bound.encode(residual, base, self._step_error)
            decoded = self._decode_bound(payload, *live.shape[1:])
            payload["bound"] = _sealed(payload["bound"], decoded)
        return payload

    def _fill(self, live: Samples, valid: npt.NDArray[np.bool_]) -> Samples:
        """Live bands with the mean spectrum in place of what is not valid."""
        if valid.all():
            return live
        fill = np.clip(self.basis.mean, self.low, self.high)
        if self.dtype.kind != "f":
            fill = np.rint(fill)
        return np.where(valid, live, fill[:, None, None].astype(self.dtype))

    def decode(
        self, payload: Mapping[str, bytes], rows: int, cols: int, bands: Bands | None = None
    ) -> Samples:
        """Samples of one tile.

        Parameters
        ----------
        payload : mapping of str to bytes
            As `encode` returned it.
        rows, cols : int
            Shape of the tile.
        bands : ndarray of int, optional
            Bands wanted, in this order; without it all.

        Returns
        -------
        ndarray, shape (bands, rows, cols)

        Raises
        ------
        DamagedSidecarError
            If a layer does not decode to a tile of that shape.
        """
        wanted, live, chosen = self._choose(bands)
        states = self._decode_states(payload.get("mask", b""), rows, cols, wanted)
        if self.bound is None:
            samples = self._decode_lossy(payload, rows, cols, chosen)
        elif payload.get("bound"):
            content, seal = payload["bound"][_SEAL.size :], payload["bound"][: _SEAL.size]
            samples = self._decode_bound({**payload, "bound": content}, rows, cols)
            if _sealed(b"", samples) != seal:
                raise DamagedSidecarError(
                    "it decodes to other values than when it was written: the file is damaged, "
                    "or this machine's JPEG 2000 library reconstructs other integers"
                )
            samples = samples if bands is None else samples[chosen]
        else:
            samples = np.zeros((len(chosen), rows, cols), self.dtype)
            if states is None or (states[live] == mask.VALID).any():
                raise DamagedSidecarError("a tile with valid samples lacks its bound layer")
        return self._with_invalid(_spread(samples, live), states)

    def decode_coarse(
        self,
        payload: Mapping[str, bytes],
        rows: int,
        cols: int,
        factor: int,
        bands: Bands | None = None,
    ) -> Samples:
        """Means of the valid samples of one tile over blocks of ``factor`` x ``factor`` pixels.

        The scores are averaged, which is linear, and only their means become spectra, so what
        leaves the scene's range is clipped after it was averaged; the latents are sampled, see
        `LatentCoding.decode`. Tiles with a mask or a ``bound`` layer
        are decoded in full and averaged, so what was promised for the samples holds for means.

        Parameters and errors are those of `decode`.

        Returns
        -------
        ndarray, shape (bands, coarse rows, coarse cols)
            In the data type of the samples, integers rounded; nodata (or NaN) where no sample
            of a block is valid.
        """
        wanted, live, chosen = self._choose(bands)
        if payload.get("mask") or self.bound is not None:
            samples = self.decode(payload, rows, cols, bands)
            states = self._decode_states(payload.get("mask", b""), rows, cols, wanted)
            if states is None:
                means: Planes = block_means(samples, factor, np.float64)
            else:
                means, states = valid_means(samples, np.broadcast_to(states, samples.shape), factor)
            return self._with_invalid(self._in_range(means), states)
        coarse = coarse_side(rows, factor), coarse_side(cols, factor)
        states = self._decode_states(b"", *coarse, wanted)
        samples = self._decode_lossy(payload, rows, cols, chosen, factor)
        return self._with_invalid(_spread(samples, live), states)

    def _choose(self, bands: Bands | None) -> tuple[Bands, npt.NDArray[np.bool_], Bands]:
        """Bands wanted, which of them are live, and where these stand among the live ones."""
        wanted = np.arange(len(self.live)) if bands is None else np.asarray(bands)
        live = self.live[wanted]
        return wanted, live, (np.cumsum(self.live) - 1)[wanted][live]

    def _decode_states(
        self, coded: bytes, rows: int, cols: int, wanted: Bands
    ) -> npt.NDArray[np.uint8] | None:
        """State of each sample of a tile, None where all of them are valid."""
        throughout = self.states[wanted, None, None]
        if not coded and not throughout.any():
            return None
        return mask.decode(coded, len(self.live), rows, cols)[wanted] | throughout

    def _with_invalid(self, samples: Samples, states: npt.NDArray[np.uint8] | None) -> Samples:
        """Samples with nodata and NaN where they say so, and no nodata where they don't."""
        if self._nodata_within:
            taken = samples == self.nodata
            samples[taken if states is None else taken & (states == mask.VALID)] = (
                self._beside_nodata
            )
        if states is not None and self.nodata is not None:
            samples[states == mask.NODATA] = self.nodata
        if states is not None and self.dtype.kind == "f":
            samples[states == mask.NAN] = np.nan
        return samples

    @property
    def _nodata_within(self) -> bool:
        """Whether a valid sample may decode to what says that it is not valid."""
        return self.nodata is not None and self.low < self.nodata < self.high

    @property
    def _beside_nodata(self) -> Any:
        assert self.nodata is not None
        if self.dtype.kind == "f":
            return np.nextafter(self.dtype.type(self.nodata), self.dtype.type(self.high))
        return self.nodata + 1

    @property
    def _step_error(self) -> int:
        """Largest error of the ``bound`` layer: what is promised, less the step off nodata."""
        assert self.bound is not None
        return self.bound.max_error - (self._nodata_within and self.bound.max_error > 0)

    def _decode_lossy(
        self,
        payload: Mapping[str, bytes],
        rows: int,
        cols: int,
        chosen: Bands,
        factor: int = 1,
    ) -> Samples:
        coded = payload.get("latents", b"")
        if self.latents is not None and self.latents.network.head == "shared" and coded:
            spectra = self.latents.decode(coded, self.basis.bands, rows, cols, factor)[chosen]
        else:
            scores: Planes = detail.decode(
                payload.get("detail", b""), rows, cols, self.basis.components
            )
            if factor > 1:
                scores = block_means(scores, factor)
            if self.latents is not None and coded:
                first = self.latents.decode(coded, self.basis.components, rows, cols, factor)
                if len(first) > len(scores):
                    first, scores = scores, first
                scores[: len(first)] += first
            spectra = _of_bands(self.basis, chosen).reconstruct(scores)
        return self._in_range(spectra)

    def _in_range(self, values: Planes) -> Samples:
        """Samples of what was decoded: within the range of the valid ones, integers rounded."""
        # float64 for 32-bit integers, whose extremes float32 does not hold.
        wide = values.astype(np.result_type(self.dtype, values.dtype, np.float32), copy=False)
        clipped = np.clip(wide, self.low, self.high)
        samples: Samples = clipped if self.dtype.kind == "f" else np.rint(clipped)
        return samples.astype(self.dtype)

    def _decode_bound(self, payload: Mapping[str, bytes], rows: int, cols: int) -> Samples:
        assert self.bound is not None
        shape = (self.basis.bands, rows, cols)
        if self.bound.exact_floats:
            return decode_floats(payload["bound"], shape, self.dtype)
        base = self._integer_base(payload.get("detail", b""), rows, cols)
        residual = bound.decode(payload["bound"], base, self._step_error, shape)
        low, high = self._to_integers(np.array([self.low, self.high], self.dtype))
        integers = np.clip(base + residual, low, high)
        if self.dtype.kind == "f":
            # Exact: the exponent was chosen so that all integers fit the mantissa.
            samples = np.ldexp(integers.astype(np.float64), self.bound.exponent)
            return np.asarray(np.clip(samples, self.low, self.high), self.dtype)
        return np.asarray(integers, self.dtype)

    def _integer_base(self, coded: bytes, rows: int, cols: int) -> npt.NDArray[np.int64]:
        """What the layers before ``bound`` decode to, in integers on every machine."""
        assert self.bound is not None
        scores, exponent = detail.decode_integer(coded, rows, cols, self.basis.components)
        base = self.basis.reconstruct_integer(scores, exponent, self.bound.exponent)
        low, high = self._to_integers(np.array([self.low, self.high], self.dtype))
        return np.clip(base, low, high)

    def _to_integers(self, samples: Samples) -> npt.NDArray[np.int64]:
        if self.dtype.kind != "f":
            return samples.astype(np.int64)
        assert self.bound is not None
        scaled = np.ldexp(samples.astype(np.float64), -self.bound.exponent)
        return np.rint(scaled).astype(np.int64)


def _sealed(content: bytes, decoded: Samples) -> bytes:
    """Content behind a checksum of what it decodes to: a promise that can be checked."""
    little = np.ascontiguousarray(decoded, decoded.dtype.newbyteorder("<"))
    return _SEAL.pack(google_crc32c.value(little.tobytes())) + content


def _spread(samples: Samples, live: npt.NDArray[np.bool_]) -> Samples:
    """Samples of the live bands among all, zero in the others."""
    if live.all():
        return samples
    spread = np.zeros((len(live), *samples.shape[1:]), samples.dtype)
    spread[live] = samples
    return spread


def _of_bands(basis: SpectralBasis, chosen: Bands) -> SpectralBasis:
    return replace(
        basis,
        mean_integers=basis.mean_integers[chosen],
        vector_integers=basis.vector_integers[:, chosen],
    )
