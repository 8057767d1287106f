"""Voids: what stands where a scene has no data, bit for bit.

A nodata value, NaN with some sign and payload, -0.0 where nodata is 0, or one spectrum that is
repeated all along a border. Each is a spectrum; a sample's state is 0 where it is valid, else the
number of its void from 1 up.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from xhsinr.coding.mask import VALID
from xhsinr.entropy.cursor import Cursor, varint
from xhsinr.errors import DamagedSidecarError

__all__ = ["MOST_VOIDS", "Voids", "bits_of"]

MOST_VOIDS = 15

Samples = npt.NDArray[Any]
States = npt.NDArray[np.uint8]

_CONSTANT, _SPECTRUM = 0, 1


def bits_of(samples: Samples) -> npt.NDArray[Any]:
    """Samples as unsigned integers of the same bits."""
    return np.ascontiguousarray(samples).view(f"u{samples.dtype.itemsize}")


@dataclass(frozen=True, eq=False)
class Voids:
    """The voids of a scene.

    Attributes
    ----------
    spectra : ndarray, shape (voids, bands), in the data type of the samples
    """

    spectra: Samples

    @classmethod
    def none(cls, dtype: np.dtype[Any], bands: int) -> Self:
        """No voids at all."""
        return cls(np.zeros((0, bands), dtype))

    def states(self, samples: Samples, invalid: npt.NDArray[np.bool_]) -> States:
        """States of samples, shape (bands, rows, cols).

        Parameters
        ----------
        samples : ndarray, shape (bands, rows, cols)
        invalid : ndarray of bool, same shape
            Which of them the scene itself says are not valid. They have the state of a void like
            them, or of the first one if no void is.
        """
        states = np.zeros(samples.shape, np.uint8)
        held = bits_of(samples)
        for number in range(len(self.spectra), 0, -1):
            spectrum = bits_of(self.spectra[number - 1])[:, None, None]
            if (spectrum == spectrum[0]).all() and invalid.any():
                states[invalid & (held == spectrum)] = number
            pixels = self._pixels(held, spectrum)
            if pixels.any():
                states[:, pixels] = number
        if invalid.any():
            states[invalid & (states == VALID)] = 1
        return states

    @staticmethod
    def _pixels(held: npt.NDArray[Any], spectrum: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Which pixels have a spectrum in all bands."""
        found = np.asarray(held[0] == spectrum[0])
        for plane, value in zip(held[1:], spectrum[1:], strict=True):
            if not found.any():
                break
            found &= plane == value
        return found

    def put(self, samples: Samples, states: States, bands: npt.NDArray[np.intp]) -> None:
        """Put voids into samples of some bands, in place, where the states name one.

        Raises
        ------
        DamagedSidecarError
            If a state is none of these voids'.
        """
        most = int(states.max(initial=0))
        if most > len(self.spectra):
            raise DamagedSidecarError(f"the mask names void {most} of {len(self.spectra)}")
        held = samples.view(f"u{samples.dtype.itemsize}")
        for number in range(1, most + 1):
            where = states == number
            if where.any():
                spectrum = bits_of(self.spectra[number - 1])[bands][:, None, None]
                np.copyto(held, spectrum, where=where)

    def unlike(self, samples: Samples, states: States) -> npt.NDArray[np.bool_]:
        """Which samples are not valid and not their void, bit for bit."""
        again = samples.copy()
        self.put(again, states, np.arange(len(samples)))
        return np.asarray((bits_of(again) != bits_of(samples)) & (states != VALID))

    def to_bytes(self) -> bytes:
        """For a header: how many; of each a kind, and one sample or a deflated spectrum."""
        content = varint(len(self.spectra))
        for spectrum in self.spectra:
            little = spectrum.astype(spectrum.dtype.newbyteorder("<"))
            if (bits_of(spectrum) == bits_of(spectrum)[0]).all():
                content += varint(_CONSTANT) + little[:1].tobytes()
            else:
                packed = zlib.compress(little.tobytes(), 9)
                content += varint(_SPECTRUM) + varint(len(packed)) + packed
        return content

    @classmethod
    def from_cursor(cls, cursor: Cursor, dtype: np.dtype[Any], bands: int) -> Self:
        """The voids whose `to_bytes` comes next.

        Raises
        ------
        DamagedSidecarError
        """
        little = dtype.newbyteorder("<")
        count = cursor.varint()
        if count > MOST_VOIDS:
            raise DamagedSidecarError(f"its header has {count} voids, at most {MOST_VOIDS} may be")
        spectra = np.zeros((count, bands), dtype)
        for spectrum in spectra:
            kind = cursor.varint()
            if kind == _CONSTANT:
                spectrum[:] = np.frombuffer(cursor.take(dtype.itemsize), little)
                continue
            if kind != _SPECTRUM:
                raise DamagedSidecarError(f"its header has a void of kind {kind}")
            content = cursor.inflated(bands * dtype.itemsize)
            spectrum[:] = np.frombuffer(content, little)
        return cls(spectra)
