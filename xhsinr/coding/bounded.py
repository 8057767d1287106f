"""Coding ``bounded``: integers, none off by more than was promised, or none at all.

Samples become integers by a `xhsinr.coding.lattice.Lattice`. They are predicted from the bands
before, at the pixel and around it, and from what this missed at the neighbours; what is left is
quantised so finely that no integer is off by more than the bound (near-lossless coding as in
JPEG-LS, ITU-T T.87, A.4.4), and coded with a range coder (see `xhsinr.coding.bounded_tile`).

Where the bound lies far above the noise, predictions from samples that are off by so much are
poor, and a *base* comes first: the same integers in few planes, by `xhsinr.coding.planes`. What
that misses is then coded as above.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from xhsinr.coding import bounded_tile
from xhsinr.coding.bounded_tile import LARGEST, decode_integers, encode_integers
from xhsinr.coding.contract import Bands, Frame, NetworkUse, Planes, Samples, Valid
from xhsinr.coding.lattice import Lattice
from xhsinr.coding.planes import PlanesCoding
from xhsinr.entropy.cursor import Cursor, varint
from xhsinr.errors import DamagedSidecarError
from xhsinr.network.prior import Prior

__all__ = ["BoundedCoding", "base_frame"]

Ints = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class BoundedCoding:
    """A coding with a largest error; see `xhsinr.coding.contract.Coding`.

    Attributes
    ----------
    frame : Frame
    lattice : Lattice
        What integers the samples are.
    units : ndarray of int64, shape (1,) or (bands,)
        Largest errors of the integers of all bands, or of each; 0 is lossless.
    base : PlanesCoding or None
        Of the integers, roughly; see `base_frame`.
    limit : float
        Largest error of a sample that is no integer of the lattice; only encoding needs it.
    """

    name: ClassVar[str] = "bounded"
    parts: ClassVar[tuple[str, ...]] = ("base", "bound", "rest")
    exact: ClassVar[bool] = True

    frame: Frame
    lattice: Lattice
    units: npt.NDArray[np.int64]
    base: PlanesCoding | None = None
    limit: float = 0.0

    @staticmethod
    def gains_by_gpu(device: str) -> bool:
        return False

    def encode(self, samples: Samples, valid: Valid | None, device: str) -> dict[str, bytes]:
        parts: dict[str, bytes] = {}
        low, high = self._limits
        least, greatest = int(low.min()), int(high.max())
        if max(-least, greatest, greatest - least) > LARGEST:
            raise ValueError(
                f"integers may be up to {LARGEST}, and so far apart; the step of the lattice is "
                "too fine"
            )
        integers, base, decoded = self._integers(samples), None, None
        if self.base is not None or integers.itemsize > 2:
            integers = integers.astype(low.dtype, copy=False)
        if self.base is not None:
            parts["base"], base = self.base.encode_decoded(integers)
        if not self.lattice.trivial and self.units.any():
            decoded = np.empty_like(integers)
        parts["bound"] = encode_integers(integers, base, self._units, valid, decoded)
        if not self.lattice.trivial:
            # Without errors the integers that are valid decode to themselves.
            found = self._samples(integers if decoded is None else decoded, None)
            parts["rest"] = self.lattice.rest(samples, found, valid, self.limit)
        return parts

    def decode(
        self,
        parts: Mapping[str, bytes],
        rows: int,
        cols: int,
        bands: Bands | None,
        valid: Valid | None = None,
    ) -> Samples:
        content = parts.get("bound", b"")
        if not content:
            raise DamagedSidecarError("a tile with valid samples lacks its part 'bound'")
        base = self._base(parts, rows, cols)
        kind = self.frame.dtype if self.lattice.trivial else self._limits[0].dtype
        integers = np.empty((self.frame.bands, rows, cols), kind)
        decode_integers(content, base, self._units, self._limits, valid, integers)
        samples = self._samples(integers if bands is None else integers[bands], bands)
        return self.lattice.correct(samples, parts.get("rest", b""), bands, self.frame.bands)

    def blocks_of_details(self, samples: Samples) -> npt.NDArray[np.float64]:
        """Wavelet coefficients of the base's scores, see `PlanesCoding.blocks_of_details`."""
        assert self.base is not None
        return self.base.blocks_of_details(self._integers(samples))

    def decode_coarse(
        self, parts: Mapping[str, bytes], rows: int, cols: int, factor: int, bands: Bands | None
    ) -> Planes | None:
        coded = parts.get("base", b"")
        if self.base is None or not coded:
            return None
        means = self.base.decode_coarse({"planes": coded}, rows, cols, factor, bands)
        return self.lattice.means(means, bands)

    def to_bytes(self) -> bytes:
        lattice = self.lattice.to_bytes()
        numbers = b"".join(varint(int(unit)) for unit in self.units)
        base = b"" if self.base is None else self.base.to_bytes()
        return varint(len(self.units)) + numbers + varint(len(lattice)) + lattice + base

    @property
    def network(self) -> Prior | None:
        """See `xhsinr.coding.contract.NetworkCoding`."""
        return None if self.base is None else self.base.network

    @classmethod
    def network_use(cls, content: bytes) -> NetworkUse | None:
        """See `xhsinr.coding.contract.NetworkCoding`."""
        _, _, base = _split(content)
        return PlanesCoding.network_use(base) if base else None

    @classmethod
    def from_bytes(cls, content: bytes, frame: Frame) -> Self:
        units, grid, rest = _split(content)
        if len(units) not in (1, frame.bands):
            raise DamagedSidecarError(f"its header has {len(units)} bounds for {frame.bands} bands")
        if max(units) > LARGEST:
            raise DamagedSidecarError(
                f"its header promises errors up to {max(units)}, which no file is written with: "
                "it is damaged"
            )
        lattice = Lattice.from_bytes(grid, frame.dtype, frame.bands)
        base = PlanesCoding.from_bytes(rest, base_frame(lattice, frame)) if rest else None
        return cls(frame, lattice, np.array(units, np.int64), base)

    def memory(self, pixels: int) -> int:
        based = 0 if self.base is None else self.base.memory(pixels)
        return bounded_tile.memory(self.frame.bands, pixels) + based

    @property
    def _units(self) -> npt.NDArray[np.int64]:
        return np.broadcast_to(self.units, self.frame.bands)

    @property
    def _limits(self) -> tuple[Ints, Ints]:
        return _limits(self.lattice, self.frame)

    def _base(self, parts: Mapping[str, bytes], rows: int, cols: int) -> Ints | None:
        """What the part before decodes to: the same on every machine."""
        coded = parts.get("base", b"")
        if self.base is None or not coded:
            return None
        return self.base.decode({"planes": coded}, rows, cols, None)

    def _integers(self, samples: Samples) -> Ints:
        if self.lattice.trivial:
            return samples
        return self.lattice.to_integers(samples, dtype=self._limits[0].dtype)

    def _samples(self, integers: Ints, bands: Bands | None) -> Samples:
        """Samples of integers that nobody needs any more: they take their place if they fit."""
        dtype = self.frame.dtype
        if self.lattice.trivial:
            return integers
        fits = integers.dtype.itemsize == dtype.itemsize
        samples = self.lattice.to_samples(integers, bands, integers.view(dtype) if fits else None)
        return samples if self._in_range else self.frame.clip(samples)

    @property
    def _in_range(self) -> bool:
        """Whether the integers' limits are samples within the range, and no zero gets a sign."""
        least, greatest = self.frame.low, self.frame.high
        if greatest == 0 or (least == 0 and math.copysign(1, least) < 0):
            return False
        low, high = map(self.lattice.to_samples, self._limits)
        return bool((low >= least).all() and (high <= greatest).all())


def _split(content: bytes) -> tuple[list[int], bytes, bytes]:
    """Bounds, and the bytes of lattice and base."""
    cursor = Cursor(content, "the coding 'bounded' in the header")
    units = [cursor.varint() for _ in range(cursor.varint())]
    return units, cursor.take(cursor.varint()), cursor.rest()


def base_frame(lattice: Lattice, frame: Frame) -> Frame:
    """Frame of the integers of a lattice, for a base."""
    low, high = _limits(lattice, frame)
    ends = int(low.min()), int(high.max())
    return Frame(low.dtype, frame.bands, *ends, frame.sidecar)


def _limits(lattice: Lattice, frame: Frame) -> tuple[Ints, Ints]:
    """Least and greatest integer of each band, of 32 bits if these are enough."""
    ends = np.array([[frame.low, frame.high]], frame.dtype)
    integers = lattice.to_integers(np.repeat(ends, frame.bands, axis=0))
    # Differences between samples have to fit too.
    fits = np.abs(integers).max() < 1 << 30
    low, high = integers.astype(np.int32 if fits else np.int64).T
    return np.ascontiguousarray(low), np.ascontiguousarray(high)
