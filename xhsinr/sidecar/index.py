"""The index of a sidecar: of each tile its parts' sizes, its CRC32C and its errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xhsinr.entropy.cursor import Cursor, varint
from xhsinr.errors import DamagedSidecarError

__all__ = ["Index"]

_OCTAVE = 8
"""Steps of an error for each factor of two below the scene's largest."""
_NONE = 255
_LONGEST = 5  # bytes of a size: a tile's part has less than 32 GiB

Sizes = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Index:
    """Where the tiles are, and how good each is.

    Attributes
    ----------
    used : tuple of bool
        Which of the coding's parts the file has.
    sizes : ndarray of int64, shape (tiles, used parts)
    crcs : ndarray of uint32, shape (tiles,)
        CRC32C of each tile's bytes.
    errors : ndarray of float64, shape (tiles, 2)
        RMSE and largest error of each tile, rounded up by a twelfth or less.
    """

    used: tuple[bool, ...]
    sizes: Sizes
    crcs: npt.NDArray[np.uint32]
    errors: npt.NDArray[np.float64]

    def to_bytes(self, rmse: float, max_error: float) -> bytes:
        """For `from_bytes`, with the scene's RMSE and largest error.

        A byte with a bit a part, lowest first; sizes as varints; the checksums; and of scenes of
        several tiles that have errors, how many eighths of an octave each lies below the scene's
        largest error, rounded down: of the tiles' RMSE first, then of their largest errors. 255
        stands for no error.
        """
        parts = [
            bytes([sum(1 << i for i, used in enumerate(self.used) if used)]),
            *map(varint, self.sizes.ravel().tolist()),
            self.crcs.astype("<u4").tobytes(),
        ]
        if len(self.sizes) > 1 and max_error > 0:
            with np.errstate(divide="ignore", invalid="ignore"):
                steps = np.floor(-_OCTAVE * np.log2(self.errors.T / max_error))
            small = np.clip(np.nan_to_num(steps, nan=0.0, posinf=_NONE), 0, _NONE)
            parts.append(np.where(self.errors.T > 0, small, _NONE).astype(np.uint8).tobytes())
        return b"".join(parts)

    @classmethod
    def from_bytes(
        cls, cursor: Cursor, tiles: int, parts: int, rmse: float, max_error: float
    ) -> Index:
        """The next index.

        Parameters
        ----------
        tiles, parts : int
            Of the scene, and of any coding at most.
        rmse, max_error : float
            Of the scene.

        Raises
        ------
        DamagedSidecarError
        """
        bits = cursor.byte()
        if bits >> parts:
            raise DamagedSidecarError(f"its index has parts that the coding has not: {bits:#x}")
        used = tuple(bool(bits >> i & 1) for i in range(parts))
        sizes = _read_varints(cursor, tiles * sum(used)).reshape(tiles, sum(used))
        crcs = np.frombuffer(cursor.take(4 * tiles), "<u4").astype(np.uint32)
        if tiles == 1:
            errors = np.array([[rmse, max_error]])
        elif max_error > 0:
            steps = (
                np.frombuffer(cursor.take(2 * tiles), np.uint8)
                .reshape(2, tiles)
                .T.astype(np.float64)
            )
            errors = np.where(steps < _NONE, max_error * np.exp2(-steps / _OCTAVE), 0.0)
        else:
            errors = np.zeros((tiles, 2))
        return cls(used, sizes, crcs, errors)

    def names(self, parts: Sequence[str]) -> tuple[str, ...]:
        """Names of the parts that the file has, of all that the coding may have.

        Raises
        ------
        DamagedSidecarError
            If the coding has fewer.
        """
        if any(self.used[len(parts) :]):
            raise DamagedSidecarError(f"its index has other parts than its coding: {parts}")
        return tuple(name for name, used in zip(parts, self.used, strict=False) if used)


def _read_varints(cursor: Cursor, count: int) -> Sizes:
    """Many numbers of `varint` at once."""
    ahead = np.frombuffer(cursor.peek(count * _LONGEST), np.uint8)
    ends = np.flatnonzero(ahead < 128)[:count]
    if len(ends) < count:
        raise DamagedSidecarError(f"its index has {len(ends)} sizes, its tiles need {count}")
    if not count:
        return np.zeros(0, np.int64)
    taken = np.frombuffer(cursor.take(int(ends[-1]) + 1), np.uint8).astype(np.int64)
    starts = np.append(0, ends[:-1] + 1)
    place = np.arange(len(taken)) - np.repeat(starts, ends - starts + 1)
    if int(place.max()) >= _LONGEST:
        raise DamagedSidecarError("its index has a size that no tile has")
    return np.asarray(np.add.reduceat((taken & 127) << (7 * place), starts))
