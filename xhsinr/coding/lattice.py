"""Samples that are integers times a step: the integers, and how samples are made of them.

Products ship digital numbers as multiples of some step, shifted to the left, or as floats, scaled
by a factor of the scene or of each band. A `Lattice` says how, so that a coding works on the
integers. Where a sample is no point of the lattice, or a float's last digit was rounded
otherwise, what is left of it is kept beside the integers, and every bit comes back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from xhsinr.coding.rest import decode_rest, encode_rest, from_order, in_order
from xhsinr.errors import DamagedSidecarError

__all__ = ["PRODUCT", "QUOTIENT", "ROUNDED", "Lattice"]

PRODUCT, QUOTIENT, ROUNDED = 0, 1, 2

# Bits of the first byte of `Lattice.to_bytes`, above the rule.
_BY_BAND, _COARSE, _SINGLE = 4, 8, 16
_LARGEST_STEP = 1 << 32
_BINARY = 1, 1 << 10
"""Parts of one that steps may be."""

Samples = npt.NDArray[Any]
Integers = npt.NDArray[np.integer[Any]]
Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Lattice:
    """How samples are made of integers, for all bands or for each.

    Attributes
    ----------
    dtype : dtype
        Of the samples.
    steps, offsets : ndarray of int64 (integer samples) or float64, shape (1,) or (bands,)
        The sample of an integer n is ``n * step + offset``.
    rule : int
        How floats are computed, in float64, each operation rounded once: `PRODUCT` as above;
        `QUOTIENT`, ``n / step + offset``; `ROUNDED`, as `PRODUCT` with the product rounded to
        the samples' type before the offset is added. The result is rounded to that type.
    coarse : bool
        The samples are no points of the lattice: it stands for a rounding below a bound.
    single : bool
        Samples of float64 are rounded to float32 first, as computed.
    """

    dtype: np.dtype[Any]
    steps: npt.NDArray[Any]
    offsets: npt.NDArray[Any]
    rule: int = PRODUCT
    coarse: bool = False
    single: bool = False

    @classmethod
    def plain(cls, dtype: np.dtype[Any]) -> Self:
        """Of integers that are what they are."""
        return cls(dtype, np.ones(1, np.int64), np.zeros(1, np.int64))

    @classmethod
    def rounding(cls, dtype: np.dtype[Any], max_error: float) -> Self:
        """Of floats that need not come back closer than ``max_error``, above zero.

        Thirty-two to sixty-four steps a bound: rounding costs little of it.
        """
        exponent = int(np.frexp(max_error)[1]) - 6
        return cls(dtype, np.ldexp(np.ones(1), exponent), np.zeros(1), coarse=True)

    @property
    def trivial(self) -> bool:
        """Whether the integers are the samples."""
        return self.dtype.kind != "f" and bool((self.steps == 1).all()) and not self.offsets.any()

    def to_integers(
        self,
        samples: Samples,
        bands: npt.NDArray[np.intp] | None = None,
        dtype: npt.DTypeLike = np.int64,
    ) -> Integers:
        """The integers nearest to samples, shape (bands, ...); finite where samples are finite.

        Parameters
        ----------
        bands : ndarray of int, optional
            Which bands these are, without it all.
        dtype : dtype
            That holds them.
        """
        return self._by_band(self._integers, samples, bands, np.dtype(dtype))

    def _integers(self, samples: Samples, steps: Any, offsets: Any, work: Any) -> Any:
        if self.dtype.kind != "f":
            shifted = samples.astype(np.int64) - offsets
            return shifted if (steps == 1).all() else (shifted + steps // 2) // steps
        np.subtract(samples, offsets, out=work)
        (np.multiply if self.rule == QUOTIENT else np.divide)(work, steps, out=work)
        return np.rint(work, out=work)

    def to_samples(
        self,
        integers: Integers,
        bands: npt.NDArray[np.intp] | None = None,
        out: Samples | None = None,
    ) -> Samples:
        """Samples of integers, shape (bands, ...): the same bits on every machine.

        Parameters
        ----------
        bands : ndarray of int, optional
            Which bands these are, without it all.
        out : ndarray, same shape, optional
            To put them into; it may be where the integers are.
        """
        return self._by_band(self._made, integers, bands, self.dtype, out)

    def _made(self, integers: Integers, steps: Any, offsets: Any, work: Any) -> Any:
        if self.dtype.kind != "f":
            return integers * steps + offsets
        (np.divide if self.rule == QUOTIENT else np.multiply)(integers, steps, out=work)
        if self.rule == ROUNDED:
            work[...] = work.astype(self._computed)
        work += offsets
        return work.astype(self._computed) if self.single else work

    def _by_band(
        self,
        function: Callable[[npt.NDArray[Any], Any, Any, Any], Any],
        values: npt.NDArray[Any],
        bands: npt.NDArray[np.intp] | None,
        dtype: np.dtype[Any],
        out: npt.NDArray[Any] | None = None,
    ) -> npt.NDArray[Any]:
        """A function of values, steps and offsets, as a type; of a tile in little memory.

        Room for a band's numbers is given to it, too: to get it anew takes longer than to fill it.
        """
        steps, offsets = self._for(bands, values.ndim)
        out = np.empty(values.shape, dtype) if out is None else out
        with np.errstate(over="ignore", invalid="ignore"):
            if values.ndim < 3:
                out[...] = function(values, steps, offsets, np.empty(values.shape))
                return out
            work = np.empty(values.shape[1:])
            steps, offsets = (np.broadcast_to(n, (len(values), 1, 1)) for n in (steps, offsets))
            for band in range(len(values)):
                out[band] = function(values[band], steps[band], offsets[band], work)
            return out

    def means(
        self, integers: npt.NDArray[Any], bands: npt.NDArray[np.intp] | None = None
    ) -> npt.NDArray[np.float64]:
        """What means of integers, shape (bands, ...), are as means of samples."""
        steps, offsets = self._for(bands, integers.ndim)
        values = integers.astype(np.float64)
        return np.asarray((values / steps if self.rule == QUOTIENT else values * steps) + offsets)

    @property
    def _computed(self) -> npt.DTypeLike:
        return np.float32 if self.single else self.dtype

    def _for(
        self, bands: npt.NDArray[np.intp] | None, axes: int
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        shape = (-1, *[1] * (axes - 1))
        chosen = slice(None) if bands is None or len(self.steps) == 1 else bands
        return self.steps[chosen].reshape(shape), self.offsets[chosen].reshape(shape)

    def units(self, max_error: float, largest: float) -> Int64Array:
        """How far integers may be off, shape (1,) or (bands,), so that no sample errs by more.

        Parameters
        ----------
        max_error : float
            In the units of the samples.
        largest : float
            Magnitude of the largest sample: how its float is rounded counts.
        """
        if self.dtype.kind != "f":
            return np.asarray(np.minimum(max_error, _LARGEST_STEP) // self.steps, np.int64)
        steps = 1 / self.steps if self.rule == QUOTIENT else self.steps
        digit = float(np.spacing(np.asarray(largest, self._computed)))
        room = max_error if self._rounds_nothing(largest) else max_error - 2 * digit
        units = np.clip(np.floor(room / steps - 0.5 * self.coarse), 0, _LARGEST_STEP)
        return np.asarray(units.astype(np.int64))

    def _rounds_nothing(self, largest: float) -> bool:
        """Whether no product or sum has more digits than a sample: whole steps, or binary ones."""
        numbers = np.concatenate([self.steps, self.offsets])
        most = 2.0 ** (np.finfo(self._computed).nmant + 1)
        with np.errstate(over="ignore", invalid="ignore"):
            whole = [bool((numbers * part % 1 == 0).all()) for part in _BINARY]
        fits = any(fit and largest * part < most for fit, part in zip(whole, _BINARY, strict=True))
        return self.rule != QUOTIENT and fits

    def rest(
        self,
        samples: Samples,
        decoded: Samples,
        valid: npt.NDArray[np.bool_] | None,
        max_error: float = 0.0,
    ) -> bytes:
        """What is left of samples that integers brought back as ``decoded``: empty as a rule.

        Parameters
        ----------
        samples, decoded : ndarray, shape (bands, rows, cols)
        valid : ndarray of bool, same shape, or None
            False where nothing need come back.
        max_error : float
            Samples that are no further off stay as they are; 0 for every bit.
        """
        if max_error > 0:
            wide = np.result_type(self.dtype, np.float64)
            amiss = ~(np.abs(samples.astype(wide) - decoded.astype(wide)) <= max_error)
        else:
            unsigned = f"u{self.dtype.itemsize}"
            amiss = np.ascontiguousarray(samples).view(unsigned) != decoded.view(unsigned)
        if valid is not None:
            amiss &= valid
        if not amiss.any():
            return b""
        return encode_rest(np.where(amiss, in_order(samples) - in_order(decoded), 0))

    def correct(
        self, decoded: Samples, rest: bytes, bands: npt.NDArray[np.intp] | None, count: int
    ) -> Samples:
        """The samples, of what `rest` was called with.

        Parameters
        ----------
        decoded : ndarray, shape (bands, rows, cols)
            Of all bands or of those wanted.
        rest : bytes
        bands : ndarray of int, optional
            Which bands these are, without it all.
        count : int
            How many bands there are.

        Raises
        ------
        DamagedSidecarError
        """
        if not rest:
            return decoded
        left = decode_rest(rest, count, *decoded.shape[1:])
        with np.errstate(over="ignore"):
            ordered = in_order(decoded) + (left if bands is None else left[bands])
        return from_order(ordered, self.dtype)

    def to_bytes(self) -> bytes:
        """Compact bytes for a header; none for integers that are the samples."""
        if self.trivial:
            return b""
        first = self.rule | _BY_BAND * (len(self.steps) > 1) | _COARSE * self.coarse
        first |= _SINGLE * self.single
        numbers = np.concatenate([self.steps, self.offsets]).tolist()
        if self.dtype.kind != "f":
            return bytes([first]) + b"".join(_varint(_folded(number)) for number in numbers)
        digits = (Decimal(repr(number)).normalize().as_tuple() for number in numbers)
        content = bytes([first])
        for sign, decimals, exponent in digits:
            assert isinstance(exponent, int)
            mantissa = int("".join(map(str, decimals)))
            content += _varint(_folded(-mantissa if sign else mantissa))
            content += _varint(_folded(exponent)) if mantissa else b""
        return content

    @classmethod
    def from_bytes(cls, content: bytes, dtype: np.dtype[Any], bands: int) -> Self:
        """The lattice whose `to_bytes` that was.

        Raises
        ------
        DamagedSidecarError
            If no lattice of so many bands writes such bytes.
        """
        if not content and dtype.kind != "f":
            return cls.plain(dtype)
        try:
            first, place = content[0], 1
            count = bands if first & _BY_BAND else 1
            rule, coarse, single = first & 3, bool(first & _COARSE), bool(first & _SINGLE)
            if first >> 5 or rule > ROUNDED or (single and dtype != np.float64):
                raise ValueError(f"kind {first} is unknown")
            numbers: list[int | float] = []
            for _ in range(2 * count):
                number, place = _read_varint(content, place)
                mantissa = _unfolded(number)
                exponent = 0
                if dtype.kind == "f" and mantissa:
                    number, place = _read_varint(content, place)
                    exponent = _unfolded(number)
                numbers.append(float(f"{mantissa}e{exponent}") if dtype.kind == "f" else mantissa)
            if place != len(content):
                raise ValueError("bytes are left over")
            held = np.array(numbers, np.float64 if dtype.kind == "f" else np.int64)
            steps, offsets = held[:count], held[count:]
            largest = np.inf if dtype.kind == "f" else _LARGEST_STEP
            if not ((steps > 0) & (steps < largest) & (np.abs(offsets) < largest)).all():
                raise ValueError("a step or an offset is out of range")
        except (ValueError, IndexError, OverflowError) as error:
            raise DamagedSidecarError(
                f"the step of the samples is damaged in the header: {error}"
            ) from error
        return cls(dtype, steps, offsets, rule, coarse, single)


def _folded(number: int) -> int:
    return 2 * number if number >= 0 else -2 * number - 1


def _unfolded(number: int) -> int:
    return -(number + 1) // 2 if number & 1 else number // 2


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first, as in protocol buffers."""
    out = bytearray()
    while number >= 0x80:
        out.append(0x80 | number & 0x7F)
        number >>= 7
    return bytes([*out, number])


def _read_varint(content: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = content[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")
