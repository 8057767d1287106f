"""What a coding has to offer: one way of turning a tile into bytes and back.

A file holds one coding, and nobody outside asks which. A coding sees the live bands of a tile
(those with valid samples anywhere in the scene) with something sensible in place of what is not
valid; the tile around it (`xhsinr.coding.tile`) keeps masks, nodata and bands without samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from xhsinr.entropy.cursor import Cursor, varint
from xhsinr.errors import DamagedSidecarError
from xhsinr.storage import Place

if TYPE_CHECKING:
    from xhsinr.network.file import Network

__all__ = [
    "Bands",
    "Coding",
    "Frame",
    "NetworkCoding",
    "NetworkUse",
    "Planes",
    "Samples",
    "Valid",
]

_DIGEST = 32
# File systems take 255 bytes for a name, and the digest and the suffix come on top.
_LONGEST_NAME = 200
_NO_PATH = frozenset("/\\\0")

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
        clipped = self.clip(wide)
        samples: Samples = clipped if self.dtype.kind == "f" else np.rint(clipped)
        return samples.astype(self.dtype)

    def clip(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values within the range of the valid samples; of two zeros, the same everywhere."""
        low, high = np.array([self.low, self.high], values.dtype)
        above = np.where(values > low, values, low)
        return np.where(above < high, above, high)


class Coding(Protocol):
    """A coding with the parameters of one scene; immutable, and can be pickled.

    Attributes
    ----------
    name : str
        By which a header names it, see `xhsinr.coding.registry`.
    parts : tuple of str
        Pieces that a tile's bytes are in, in the order in which they are decoded. The index has
        the size of each, so that a reader may fetch some.
    exact : bool
        Whether the same bytes decode to the same samples on every machine, to the last bit.
    frame : Frame
    """

    name: ClassVar[str]
    parts: ClassVar[tuple[str, ...]]
    exact: ClassVar[bool]

    @property
    def frame(self) -> Frame: ...

    def encode(self, samples: Samples, valid: Valid | None, device: str) -> dict[str, bytes]:
        """Parts of a tile; one without bytes may be left out.

        Parameters
        ----------
        samples : ndarray, shape (live bands, rows, cols)
        valid : ndarray of bool, same shape, or None
            False where a sample is a filler, whose value need not come back; None for none.
        device : str
            ``"cpu"``, ``"auto"``, or what torch calls a GPU, as ``"cuda"``.
        """

    @staticmethod
    def gains_by_gpu(device: str) -> bool:
        """Whether `encode` works on a GPU, where there is one, if told so."""

    def decode(
        self,
        parts: Mapping[str, bytes],
        rows: int,
        cols: int,
        bands: Bands | None,
        valid: Valid | None = None,
    ) -> Samples:
        """Samples of a tile within the frame's range, of all live bands or of those wanted.

        Parameters
        ----------
        parts : mapping of str to bytes
            As `encode` returned them.
        rows, cols : int
            Shape of the tile.
        bands : ndarray of int or None
            Bands wanted, in this order; None for all.
        valid : ndarray of bool, shape (live bands, rows, cols), or None
            What `encode` got. Where it is False, any sample will do.

        Raises
        ------
        DamagedSidecarError
            If the parts do not decode to a tile of that shape. Content of any kind raises
            nothing else and allocates no more than a tile needs.
        """

    def decode_coarse(
        self, parts: Mapping[str, bytes], rows: int, cols: int, factor: int, bands: Bands | None
    ) -> Planes | None:
        """Means over blocks of ``factor`` x ``factor`` pixels, cut at the edges, not rounded.

        Decodes no more than that size needs, and may leave out what hardly shows at that size.
        None where only all of the tile tells: its samples are then to be averaged.
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


@dataclass(frozen=True)
class NetworkUse:
    """A base network as a header names it.

    Attributes
    ----------
    name : str
        Of its file, without a suffix.
    digest : str
        SHA-256 of the file, hexadecimal.
    file_bytes : int
        Size of the file.
    """

    name: str
    digest: str
    file_bytes: int

    @classmethod
    def of(cls, network: Network) -> Self:
        """How a header names a network that has a file."""
        return cls(network.name, network.digest, network.file_bytes)

    def to_bytes(self) -> bytes:
        """Digest, size of the file as a varint, name."""
        return bytes.fromhex(self.digest) + varint(self.file_bytes) + self.name.encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """The network that `to_bytes` named.

        Raises
        ------
        DamagedSidecarError
        """
        cursor = Cursor(content, "the name of its network in its header")
        digest, file_bytes, raw = cursor.take(_DIGEST).hex(), cursor.varint(), cursor.rest()
        try:
            name = raw.decode()
        except UnicodeDecodeError as error:
            raise DamagedSidecarError(f"its network has no name: {error}") from error
        # A name from a file is a name: no path, which would be followed.
        if not 0 < len(raw) <= _LONGEST_NAME or not _NO_PATH.isdisjoint(name):
            raise DamagedSidecarError(f"its network cannot be called {name[:60]!r}")
        return cls(name, digest, file_bytes)


@runtime_checkable
class NetworkCoding(Protocol):
    """What a coding offers besides where it may need a network that is not the package's own.

    Attributes
    ----------
    network : Network or None
        Found by `Coding.from_bytes`, which raises NetworkError where it is not; None where the
        package's own is enough.
    """

    @property
    def network(self) -> Network | None: ...

    @classmethod
    def network_use(cls, content: bytes) -> NetworkUse | None:
        """The network that the coding needs whose `Coding.to_bytes` that was, if any.

        Raises
        ------
        DamagedSidecarError
        """
