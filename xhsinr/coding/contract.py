"""What a coding has to offer: one way of turning a tile into bytes and back.

A file holds one coding, and nobody outside asks which. A coding sees the live bands of a tile
(those with valid samples anywhere in the scene) with something sensible in place of what is not
valid; the tile around it (`xhsinr.coding.tile`) keeps masks, nodata and bands without samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from xhsinr.storage import Place

__all__ = ["Bands", "Coding", "Frame", "Samples", "Valid"]

Samples = npt.NDArray[Any]
"""Samples of a tile, shape (bands, rows, cols), in the data type of the scene."""

Planes = npt.NDArray[np.floating[Any]]
"""Numbers of a tile before they are samples, shape (bands or components, rows, cols)."""

Valid = npt.NDArray[np.bool_]
"""Which samples of a tile are valid, shape (bands, rows, cols)."""

Bands = npt.NDArray[np.intp]
"""Indices of live bands, in the order wanted."""


@dataclass(frozen=True)
class Frame:
    """What every coding is told of the scene.

    Attributes
    ----------
    dtype : dtype
        Of the samples.
    bands : int
        Live bands.
    low, high : int or float
        Range of the valid samples, which decoded samples keep.
    sidecar : Path, str or None
        Where the scene's file is, beside which a coding looks for its network.
    """

    dtype: np.dtype[Any]
    bands: int
    low: float
    high: float
    sidecar: Place | None = None

    def to_samples(self, values: Planes) -> Samples:
        """Samples of what was decoded: within the range of the valid ones, integers rounded."""
        # float64 for 32-bit integers, whose extremes float32 does not hold.
        wide = values.astype(np.result_type(self.dtype, values.dtype, np.float32), copy=False)
        clipped = np.clip(wide, self.low, self.high)
        samples: Samples = clipped if self.dtype.kind == "f" else np.rint(clipped)
        return samples.astype(self.dtype)


class Coding(Protocol):
    """A coding with the parameters of one scene; immutable, and can be pickled.

    Attributes
    ----------
    name : str
        By which a header names it.
    parts : tuple of str
        Pieces that a tile's bytes are in, in the order in which they are decoded. The index has
        the size of each, so that a reader may fetch some.
    frame : Frame
    """

    name: ClassVar[str]
    parts: ClassVar[tuple[str, ...]]
    frame: Frame

    def encode(self, samples: Samples, valid: Valid | None, device: str) -> dict[str, bytes]:
        """Parts of a tile; one without bytes may be left out.

        Parameters
        ----------
        samples : ndarray, shape (live bands, rows, cols)
        valid : ndarray of bool, same shape, or None
            False where a sample is a filler, whose value need not come back; None for none.
        device : str
            Where torch may work, ``"cpu"`` or ``"cuda"``. It makes no difference to the bytes.
        """

    def decode(
        self, parts: Mapping[str, bytes], rows: int, cols: int, bands: Bands | None
    ) -> Samples:
        """Samples of a tile within the frame's range, of all live bands or of those wanted.

        Raises
        ------
        DamagedSidecarError
            If the parts do not decode to a tile of that shape. Content of any kind raises
            nothing else and allocates no more than a tile needs.
        """

    def decode_coarse(
        self, parts: Mapping[str, bytes], rows: int, cols: int, factor: int, bands: Bands | None
    ) -> npt.NDArray[np.floating[Any]]:
        """Means over blocks of ``factor`` x ``factor`` pixels, cut at the edges, not rounded.

        Decodes no more than that size needs.
        """

    def to_bytes(self) -> bytes:
        """Parameters as a header keeps them, without the frame."""

    @classmethod
    def from_bytes(cls, content: bytes, frame: Frame) -> Self:
        """The coding whose `to_bytes` that was.

        Raises
        ------
        DamagedSidecarError
            If no coding writes such bytes for such a frame.
        """

    def memory(self, pixels: int) -> int:
        """Most bytes that encoding and decoding a tile of so many pixels takes."""
