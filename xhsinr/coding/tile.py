"""The codec of one scene: samples of a tile <-> bytes of its parts.

It is the frame around one coding (`xhsinr.coding.contract`): it leaves out bands without a valid
sample, fills what is not valid, keeps where that was in the part ``mask``, and puts it back. So
it does with single samples that are kept in the part ``listed``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.coding import mask
from xhsinr.coding.contract import Bands, Coding, Frame, NetworkUse, Samples, Valid
from xhsinr.coding.listed import decode_listed, encode_listed
from xhsinr.coding.overview import block_means, coarse_side, put_into_means, valid_means
from xhsinr.coding.registry import coding_number, coding_of_number
from xhsinr.coding.voids import Voids
from xhsinr.entropy.cursor import Cursor, varint
from xhsinr.errors import DamagedSidecarError
from xhsinr.spectral.filling import Filler
from xhsinr.storage import Place

__all__ = ["CodecBytes", "TileCodec"]

States = npt.NDArray[np.uint8]

_MIXED = 31
"""Code in a header of a band without a valid sample that is not of one state throughout."""
_CODE_BITS = 5
_LIVE = mask.VALID
_HAS_NODATA, _HAS_GAPS, _HAS_VOIDS, _CODING_SHIFT = 1, 2, 4, 3
# Copies of a tile's samples in their own type: original, filled, decoded.
_COPIES = 3


@dataclass(frozen=True, eq=False)
class TileCodec:
    """Everything that the tiles of a scene share.

    Attributes
    ----------
    voids : Voids
        What stands where samples are not valid.
    states : ndarray of uint8, shape (bands,)
        State (see `xhsinr.coding.voids`) of the bands that are one void throughout, 0 for the
        others.
    live : ndarray of bool, shape (bands,)
        Bands with at least one valid sample; only these are coded.
    nodata : int, float or None
        What no valid sample decodes to.
    coding : Coding
        Of the live bands.
    filler : Filler or None
        Of the live bands. Only encoding needs it, and only where samples are not valid.
    """

    voids: Voids
    states: States
    live: npt.NDArray[np.bool_]
    nodata: int | float | None
    coding: Coding
    filler: Filler | None = None

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
        return ("mask", "listed", *self.coding.parts)

    def encode(
        self,
        samples: Samples,
        states: States,
        device: str = "cpu",
        exceptions: Valid | None = None,
    ) -> dict[str, bytes]:
        """Code one tile; a part without bytes is left out.

        Parameters
        ----------
        samples : ndarray, shape (bands, rows, cols)
        states : ndarray of uint8, same shape
            Of `Voids.states`.
        device : str
            Where torch may work.
        exceptions : ndarray of bool, same shape, optional
            Valid samples that are kept as they are, beside the coding.
        """
        parts, valid, listed = {}, None, exceptions
        if states.any():
            valid = states == mask.VALID
            parts["mask"] = mask.encode(np.where(self.states[:, None, None] > 0, 0, states))
            unlike = self.voids.unlike(samples, states)
            listed = unlike if listed is None else listed | unlike
        if listed is not None:
            parts["listed"] = encode_listed(samples, listed)
            valid = ~listed if valid is None else valid & ~listed
        live, valid = self.filled(samples, valid)
        if valid is None or valid.any():
            parts |= self.coding.encode(live, valid, device)
        return {name: content for name, content in parts.items() if content}

    def filled(self, samples: Samples, valid: Valid | None) -> tuple[Samples, Valid | None]:
        """Live bands of a tile, with likely samples in place of what is not valid; what is.

        None stands for all of them.
        """
        live, valid = self._of_live(samples), None if valid is None else self._of_live(valid)
        if valid is None or valid.all():
            return live, None
        if valid.any():
            assert self.filler is not None
            live = self.filler.fill(live, valid, self.low, self.high)
        return live, valid

    def _of_live(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return values if self.live.all() else values[self.live]

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
        return self._decoded(parts, self._states(parts, rows, cols), rows, cols, bands)

    def _decoded(
        self,
        parts: Mapping[str, bytes],
        states: States | None,
        rows: int,
        cols: int,
        bands: Bands | None,
    ) -> Samples:
        """See `decode`; with the states of all bands, as the tile's mask has them."""
        wanted, live, chosen = self._choose(bands)
        size = len(self.live) * rows * cols
        listed = decode_listed(parts.get("listed", b""), size, self.dtype)
        coded = self._coded(parts)
        valid = self._valid(states, listed[0], rows, cols)
        if coded or valid.any():
            samples = self.coding.decode(
                coded,
                rows,
                cols,
                None if bands is None else chosen,
                None if valid.all() else valid,
            )
        else:
            samples = np.zeros((len(chosen), rows, cols), self.dtype)
        states = None if states is None else states[wanted]
        samples = self._with_invalid(_spread(samples, live), states, wanted)
        _put_listed(samples, *listed, wanted)
        return samples

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
            In the data type of the samples, integers rounded; a void, as nodata or NaN, where no
            sample of a block is valid.
        """
        wanted, live, chosen = self._choose(bands)
        coded, listed = self._coded(parts), parts.get("listed", b"")
        means = None
        if not parts.get("mask") and (coded or not listed):
            some = None if bands is None else chosen
            means = self.coding.decode_coarse(coded, rows, cols, factor, some)
        if means is None:
            return self._averaged(parts, rows, cols, factor, wanted)
        if listed:
            size = len(self.live) * rows * cols
            places, values = decode_listed(listed, size, self.dtype)
            put_into_means(means, wanted[live], places, values, (rows, cols), factor)
        shape = coarse_side(rows, factor), coarse_side(cols, factor)
        states = self._states({}, *shape)
        spread = _spread(self.coding.frame.to_samples(means), live)
        return self._with_invalid(spread, None if states is None else states[wanted], wanted)

    def _averaged(
        self, parts: Mapping[str, bytes], rows: int, cols: int, factor: int, bands: Bands
    ) -> Samples:
        """Means of what all of a tile decodes to."""
        states = self._states(parts, rows, cols)
        samples = self._decoded(parts, states, rows, cols, bands)
        if states is None:
            return self.coding.frame.to_samples(block_means(samples, factor, np.float64))
        means, states = valid_means(samples, states[bands], factor)
        return self._with_invalid(self.coding.frame.to_samples(means), states, bands)

    def to_bytes(self) -> bytes:
        """What a header keeps of it, without data type and number of bands; see `from_bytes`."""
        has_nodata = self.nodata is not None and self.nodata == self.nodata
        numbers = [self.low, self.high, *([self.nodata] if has_nodata else [])]
        flags = _HAS_NODATA * has_nodata | _HAS_GAPS * (not self.live.all())
        flags |= _HAS_VOIDS * (len(self.voids.spectra) > 0)
        codes = np.where(self.live, _LIVE, np.where(self.states > 0, self.states, _MIXED))
        starts = np.flatnonzero(np.diff(codes, prepend=-1))
        lengths = np.diff(np.append(starts, len(codes)))
        runs = [
            varint(int(n) << _CODE_BITS | int(c))
            for n, c in zip(lengths, codes[starts], strict=True)
        ]
        return b"".join(
            [
                bytes([coding_number(self.coding) << _CODING_SHIFT | flags]),
                np.array(numbers, self.dtype.newbyteorder("<")).tobytes(),
                self.voids.to_bytes() if len(self.voids.spectra) else b"",
                *([] if self.live.all() else runs),
                self.coding.to_bytes(),
            ]
        )

    @classmethod
    def from_bytes(
        cls, content: bytes, dtype: np.dtype[Any], bands: int, place: Place | None = None
    ) -> TileCodec:
        """The codec whose `to_bytes` that was, of a scene of a data type and so many bands.

        A byte (eight times the coding's number, plus one with nodata, plus two where bands lack
        valid samples, plus four with voids); smallest and largest valid sample and nodata, as
        samples; the voids; in the second case runs of bands of one kind (varints: 32 times the
        length, plus 0 for valid samples, the number of the void that the band is throughout, or
        31 for several); then the coding's own.

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
            voids=about.voids,
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

    def _valid(
        self, states: States | None, listed: npt.NDArray[np.int64], rows: int, cols: int
    ) -> Valid:
        """Which samples of the live bands the coding has to give."""
        valid = np.ones((len(self.live), rows, cols), np.bool_)
        if states is not None:
            valid &= states == mask.VALID
        valid.reshape(-1)[listed] = False
        return self._of_live(valid)

    def _with_invalid(self, samples: Samples, states: States | None, bands: Bands) -> Samples:
        """Samples with voids where they say so, and no nodata where they don't."""
        if self.nodata is not None and self.low < self.nodata < self.high:
            taken = samples == self.nodata
            taken = taken if states is None else taken & (states == mask.VALID)
            samples[taken] = self._beside_nodata
        if states is not None:
            self.voids.put(samples, states, bands)
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
    low, high, nodata, voids
        See `TileCodec`.
    codes : ndarray of uint8, shape (bands,)
    coding : bytes
        Of `Coding.to_bytes`.
    """

    kind: type[Coding]
    low: float
    high: float
    nodata: int | float | None
    voids: Voids
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
        kind = coding_of_number(first >> _CODING_SHIFT)
        little = dtype.newbyteorder("<")
        low, high = np.frombuffer(cursor.take(2 * dtype.itemsize), little).tolist()
        if not low <= high or not np.isfinite([low, high]).all():
            raise DamagedSidecarError(f"its header says that samples go from {low} to {high}")
        nodata = None
        if first & _HAS_NODATA:
            nodata = np.frombuffer(cursor.take(dtype.itemsize), little).item()
        voids = Voids.none(dtype, bands)
        if first & _HAS_VOIDS:
            voids = Voids.from_cursor(cursor, dtype, bands)
        codes = np.full(bands, _LIVE, np.uint8)
        if first & _HAS_GAPS:
            codes = _read_runs(cursor, bands)
        if (codes[codes != _MIXED] > len(voids.spectra)).any():
            raise DamagedSidecarError("its header has bands of a void that it does not have")
        if not (codes == _LIVE).any():
            raise DamagedSidecarError("its header says that no band has a valid sample")
        return cls(kind, low, high, nodata, voids, codes, cursor.rest())

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts of a tile, in the order in which they are decoded."""
        return ("mask", "listed", *self.kind.parts)

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
        length = run >> _CODE_BITS
        if not 1 <= length <= bands - start:
            raise DamagedSidecarError(f"its header has a run of {length} bands at band {start}")
        codes[start : start + length] = run & _MIXED
        start += length
    return codes


def _spread(samples: Samples, live: npt.NDArray[np.bool_]) -> Samples:
    """Samples of the live bands among all, zero in the others."""
    if live.all():
        return samples
    spread = np.zeros((len(live), *samples.shape[1:]), samples.dtype)
    spread[live] = samples
    return spread


def _put_listed(
    samples: Samples, places: npt.NDArray[np.int64], values: Samples, bands: Bands
) -> None:
    """Put listed samples of all bands into those wanted, in place."""
    if not len(places):
        return
    pixels = samples[0].size if len(samples) else 1
    flat = samples.reshape(len(samples), -1)
    band = places // pixels
    for row, wanted in enumerate(bands):
        chosen = band == wanted
        flat[row, places[chosen] % pixels] = values[chosen]
