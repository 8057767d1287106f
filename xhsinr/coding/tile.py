"""The codec of one scene: samples of a tile <-> bytes of its parts.

It is the frame around one coding (`xhsinr.coding.contract`): it leaves out bands without a valid
sample, fills what is not valid, keeps where that was in the part ``mask``, and puts it back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.coding import mask
from xhsinr.coding.contract import Bands, Coding, Frame, NetworkUse, Samples
from xhsinr.coding.overview import coarse_side, valid_means
from xhsinr.coding.registry import coding_number, coding_of_number
from xhsinr.entropy.cursor import Cursor, varint
from xhsinr.errors import DamagedSidecarError
from xhsinr.storage import Place

__all__ = ["CodecBytes", "TileCodec"]

States = npt.NDArray[np.uint8]

_MIXED = 3
"""Code in a header of a band without a valid sample that is not of one state throughout."""
_LIVE, _HAS_NODATA = mask.VALID, 1
# Copies of a tile's samples in their own type: original, filled, decoded.
_COPIES = 3


@dataclass(frozen=True, eq=False)
class TileCodec:
    """Everything that the tiles of a scene share.

    Attributes
    ----------
    states : ndarray of uint8, shape (bands,)
        State (see `xhsinr.coding.mask`) of the bands that are invalid throughout, 0 for the others.
    live : ndarray of bool, shape (bands,)
        Bands with at least one valid sample; only these are coded.
    nodata : int, float or None
        Value of samples in the state ``mask.NODATA``.
    coding : Coding
        Of the live bands.
    fill : ndarray, shape (live bands,), or None
        Stands in for what is not valid, in the data type of the samples. Only encoding needs it.
    """

    states: States
    live: npt.NDArray[np.bool_]
    nodata: int | float | None
    coding: Coding
    fill: Samples | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the samples."""
        return self.coding.frame.dtype

    @property
    def low(self) -> float:
        """Smallest valid sample, which decoded samples keep to."""
        return self.coding.frame.low

    @property
    def high(self) -> float:
        """Largest valid sample, which decoded samples keep to."""
        return self.coding.frame.high

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts of a tile, in the order in which they are decoded."""
        return ("mask", *self.coding.parts)

    def encode(self, samples: Samples, states: States, device: str = "cpu") -> dict[str, bytes]:
        """Code one tile; a part without bytes is left out.

        Parameters
        ----------
        samples : ndarray, shape (bands, rows, cols)
        states : ndarray of uint8, shape (bands, rows, cols)
            State of each sample, see `xhsinr.coding.mask`.
        device : str
            Where torch may work.
        """
        varying = np.where(self.states[:, None, None] > 0, 0, states).astype(np.uint8)
        parts = {"mask": mask.encode(varying)}
        valid = states[self.live] == mask.VALID
        if valid.any():
            filled = self.filled(samples, states)
            parts |= self.coding.encode(filled, None if valid.all() else valid, device)
        return {name: content for name, content in parts.items() if content}

    def filled(self, samples: Samples, states: States) -> Samples:
        """Live bands of a tile, with `fill` in place of what is not valid."""
        live, valid = samples[self.live], states[self.live] == mask.VALID
        if valid.all():
            return live
        assert self.fill is not None
        return np.where(valid, live, self.fill[:, None, None])

    def decode(
        self, parts: Mapping[str, bytes], rows: int, cols: int, bands: Bands | None = None
    ) -> Samples:
        """Samples of one tile.

        Parameters
        ----------
        parts : mapping of str to bytes
            As `encode` returned them.
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
            If a part does not decode to a tile of that shape.
        """
        wanted, live, chosen = self._choose(bands)
        states = self._states(parts, rows, cols)
        if states is None or (states[self.live] == mask.VALID).any():
            coded = self._coded(parts)
            samples = self.coding.decode(coded, rows, cols, None if bands is None else chosen)
        else:
            samples = np.zeros((len(chosen), rows, cols), self.dtype)
        states = None if states is None else states[wanted]
        return self._with_invalid(_spread(samples, live), states)

    def decode_coarse(
        self,
        parts: Mapping[str, bytes],
        rows: int,
        cols: int,
        factor: int,
        bands: Bands | None = None,
    ) -> Samples:
        """Means of the valid samples of one tile over blocks of ``factor`` x ``factor`` pixels.

        A tile with a mask is decoded in full and averaged, others as their coding does it best.
        Parameters and errors are those of `decode`.

        Returns
        -------
        ndarray, shape (bands, coarse rows, coarse cols)
            In the data type of the samples, integers rounded; nodata (or NaN) where no sample
            of a block is valid.
        """
        wanted, live, chosen = self._choose(bands)
        frame = self.coding.frame
        if parts.get("mask"):
            samples = self.decode(parts, rows, cols, bands)
            states = self._states(parts, rows, cols)
            assert states is not None
            averaged, states = valid_means(samples, states[wanted], factor)
            return self._with_invalid(frame.to_samples(averaged), states)
        coded = self._coded(parts)
        means = self.coding.decode_coarse(
            coded, rows, cols, factor, None if bands is None else chosen
        )
        shape = coarse_side(rows, factor), coarse_side(cols, factor)
        states = self._states({}, *shape)
        spread = _spread(frame.to_samples(means), live)
        return self._with_invalid(spread, None if states is None else states[wanted])

    def to_bytes(self) -> bytes:
        """What a header keeps of it, without data type and number of bands; see `from_bytes`."""
        has_nodata = self.nodata is not None and self.nodata == self.nodata
        numbers = [self.low, self.high, *([self.nodata] if has_nodata else [])]
        codes = np.where(self.live, _LIVE, np.where(self.states > 0, self.states, _MIXED))
        starts = np.flatnonzero(np.diff(codes, prepend=-1))
        lengths = np.diff(np.append(starts, len(codes)))
        runs = [varint(int(n) << 2 | int(c)) for n, c in zip(lengths, codes[starts], strict=True)]
        return b"".join(
            [
                bytes([coding_number(self.coding) << 1 | _HAS_NODATA * has_nodata]),
                np.array(numbers, self.dtype.newbyteorder("<")).tobytes(),
                *([b"\0"] if self.live.all() else runs),
                self.coding.to_bytes(),
            ]
        )

    @classmethod
    def from_bytes(
        cls, content: bytes, dtype: np.dtype[Any], bands: int, place: Place | None = None
    ) -> TileCodec:
        """The codec whose `to_bytes` that was, of a scene of a data type and so many bands.

        A byte (twice the coding's number, plus one with nodata); smallest and largest valid
        sample and nodata, as samples; runs of bands of one kind (varints: four times the length,
        plus 0 for valid samples, 1 for nodata throughout, 2 for NaN, 3 for both), or a zero where
        all bands have valid samples; then the coding's own.

        Parameters
        ----------
        place : Path or str, optional
            Of the sidecar, from which a network is looked for.

        Raises
        ------
        DamagedSidecarError, UnsupportedVersionError, NetworkError
        """
        about = CodecBytes.split(content, dtype, bands)
        live = about.codes == _LIVE
        frame = Frame(dtype, int(live.sum()), about.low, about.high, place)
        return cls(
            states=np.where(about.codes == _MIXED, 0, about.codes).astype(np.uint8),
            live=live,
            nodata=about.nodata,
            coding=about.kind.from_bytes(about.coding, frame),
        )

    def memory(self, pixels: int) -> int:
        """Most bytes that encoding, decoding and measuring a tile of so many pixels takes."""
        copies = _COPIES * self.dtype.itemsize * pixels * len(self.live)
        return copies + self.coding.memory(pixels)

    def _choose(self, bands: Bands | None) -> tuple[Bands, npt.NDArray[np.bool_], Bands]:
        """Bands wanted, which of them are live, and where these stand among the live ones."""
        wanted = np.arange(len(self.live)) if bands is None else np.asarray(bands)
        live = self.live[wanted]
        return wanted, live, (np.cumsum(self.live) - 1)[wanted][live]

    def _coded(self, parts: Mapping[str, bytes]) -> dict[str, bytes]:
        return {name: parts[name] for name in self.coding.parts if parts.get(name)}

    def _states(self, parts: Mapping[str, bytes], rows: int, cols: int) -> States | None:
        """State of each sample of a tile, None where all of them are valid."""
        coded = parts.get("mask", b"")
        if not coded and not self.states.any():
            return None
        throughout = self.states[:, None, None]
        return mask.decode(coded, len(self.live), rows, cols) | throughout

    def _with_invalid(self, samples: Samples, states: States | None) -> Samples:
        """Samples with nodata and NaN where they say so, and no nodata where they don't."""
        if self.nodata is not None and self.low < self.nodata < self.high:
            taken = samples == self.nodata
            taken = taken if states is None else taken & (states == mask.VALID)
            samples[taken] = self._beside_nodata
        if states is not None and self.nodata is not None:
            samples[states == mask.NODATA] = self.nodata
        if states is not None and self.dtype.kind == "f":
            samples[states == mask.NAN] = np.nan
        return samples

    @property
    def _beside_nodata(self) -> Any:
        assert self.nodata is not None
        if self.dtype.kind == "f":
            return np.nextafter(self.dtype.type(self.nodata), self.dtype.type(self.high))
        return self.nodata + 1


@dataclass(frozen=True, eq=False)
class CodecBytes:
    """The bytes of a codec taken apart, before a coding is made of its own.

    Attributes
    ----------
    kind : type
        Class of the coding.
    low, high, nodata
        See `TileCodec`.
    codes : ndarray of uint8, shape (bands,)
    coding : bytes
        Of `Coding.to_bytes`.
    """

    kind: type[Coding]
    low: float
    high: float
    nodata: int | float | None
    codes: npt.NDArray[np.uint8]
    coding: bytes

    @classmethod
    def split(cls, content: bytes, dtype: np.dtype[Any], bands: int) -> CodecBytes:
        """Take apart what `TileCodec.to_bytes` wrote.

        Raises
        ------
        DamagedSidecarError, UnsupportedVersionError
        """
        cursor = Cursor(content, "the codec in its header")
        first = cursor.byte()
        kind = coding_of_number(first >> 1)
        little = dtype.newbyteorder("<")
        low, high = np.frombuffer(cursor.take(2 * dtype.itemsize), little).tolist()
        if not low <= high or not np.isfinite([low, high]).all():
            raise DamagedSidecarError(f"its header says that samples go from {low} to {high}")
        nodata = None
        if first & _HAS_NODATA:
            nodata = np.frombuffer(cursor.take(dtype.itemsize), little).item()
        codes = _read_runs(cursor, bands)
        if not (codes == _LIVE).any():
            raise DamagedSidecarError("its header says that no band has a valid sample")
        return cls(kind, low, high, nodata, codes, cursor.rest())

    @property
    def network_use(self) -> NetworkUse | None:
        """The network that it needs, if it is not the package's own."""
        named = getattr(self.kind, "network_use", None)
        use: NetworkUse | None = named(self.coding) if named else None
        return use


def _read_runs(cursor: Cursor, bands: int) -> npt.NDArray[np.uint8]:
    """What kind each band is of."""
    codes = np.full(bands, _LIVE, np.uint8)
    start = 0
    while start < bands:
        run = cursor.varint()
        if run == 0 and start == 0:
            return codes
        length = run >> 2
        if not 1 <= length <= bands - start:
            raise DamagedSidecarError(f"its header has a run of {length} bands at band {start}")
        codes[start : start + length] = run & 3
        start += length
    return codes


def _spread(samples: Samples, live: npt.NDArray[np.bool_]) -> Samples:
    """Samples of the live bands among all, zero in the others."""
    if live.all():
        return samples
    spread = np.zeros((len(live), *samples.shape[1:]), samples.dtype)
    spread[live] = samples
    return spread
