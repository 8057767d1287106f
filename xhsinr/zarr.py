"""A codec of Zarr 3: chunks that are scenes of their own, with a bound on the error or lossless.

Zarr finds it by its entry point, so whoever has this package installed reads such arrays with
`xarray.open_zarr` as any other.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from zarr.abc.codec import ArrayBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer

from xhsinr.compression.pipeline import compress_scene
from xhsinr.errors import DamagedSidecarError, SceneError
from xhsinr.reading.reader import Reader
from xhsinr.scene import Scene
from xhsinr.sidecar.file import Sidecar
from xhsinr.target import Settings

__all__ = ["HsinrCodec"]

Array = npt.NDArray[Any]

_SIDECAR, _PLAIN = b"\x01", b"\x00"


@dataclass(frozen=True)
class HsinrCodec(ArrayBytesCodec):
    """Chunks of a scene, each compressed by itself; it takes the place of Zarr's serializer.

    Chunks have three axes, bands, rows and columns in whatever order; those that are no scene,
    without a valid sample for example, are kept as they are.

    Parameters
    ----------
    max_error : float, optional
        No sample is off by more than this; without it, every bit is kept. It counts in what is
        stored: integers, where the encoding of a variable scales it.
    band_axis : int
        Which axis of a chunk is that of the bands.

    Examples
    --------
    >>> encoding = {"serializer": HsinrCodec(max_error=2), "compressors": None,
    ...             "chunks": (224, 128, 128)}  # doctest: +SKIP
    >>> ds.to_zarr("scene.zarr", encoding={"reflectance": encoding})  # doctest: +SKIP
    """

    max_error: float | None = None
    band_axis: int = 0

    is_fixed_size = False

    def __post_init__(self) -> None:
        self.settings.target(np.dtype(np.float64))  # what is no bound is refused at once

    @property
    def settings(self) -> Settings:
        """What a chunk is compressed to."""
        return Settings(max_error=self.max_error, lossless=self.max_error is None)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        return cls(**data.get("configuration", {}))

    def to_dict(self) -> dict[str, Any]:
        kept = {"max_error": self.max_error, "band_axis": self.band_axis}
        return {"name": "hsinr", "configuration": kept}

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        """Refuse arrays that are no scenes, before any chunk is written."""
        if len(shape) != 3 or not 0 <= self.band_axis < 3:
            raise SceneError(
                f"an array of shape {shape} with the codec hsinr: it should have three axes, one "
                f"of them, band_axis = {self.band_axis}, the bands"
            )
        self.settings.target(dtype.to_native_dtype())

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        raise NotImplementedError

    async def _encode_single(self, chunk_array: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        samples = np.moveaxis(chunk_array.as_numpy_array(), self.band_axis, 0)
        content = await asyncio.to_thread(self._encoded, samples)
        return chunk_spec.prototype.buffer.from_bytes(content)

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        dtype, shape = chunk_spec.dtype.to_native_dtype(), chunk_spec.shape
        moved = np.moveaxis(np.empty(shape, np.bool_), self.band_axis, 0).shape
        content = chunk_bytes.to_bytes()
        samples = await asyncio.to_thread(_decoded, content, moved, dtype)
        chunk = np.ascontiguousarray(np.moveaxis(samples, 0, self.band_axis))
        return chunk_spec.prototype.nd_buffer.from_numpy_array(chunk)

    def _encoded(self, samples: Array) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "chunk.hsinr"
            scene = Scene(np.ascontiguousarray(samples))
            try:
                compress_scene(scene, path, self.settings, threads=1, progress=False)
            except SceneError:
                return _PLAIN + bytes(samples.astype(samples.dtype.newbyteorder("<")).tobytes())
            return _SIDECAR + path.read_bytes()


def _decoded(content: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """The samples of a chunk, bands first."""
    if content[:1] == _PLAIN:
        if len(content) != 1 + int(np.prod(shape)) * dtype.itemsize:
            raise DamagedSidecarError(f"a chunk of {len(content)} bytes was cut off")
        samples = np.frombuffer(content, dtype.newbyteorder("<"), offset=1).reshape(shape)
        return samples.astype(dtype)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chunk.hsinr"
        path.write_bytes(content[1:])
        sidecar = Sidecar.open(path)
        if content[:1] != _SIDECAR or sidecar.shape != shape or sidecar.dtype != dtype:
            raise DamagedSidecarError(
                f"a chunk holds {sidecar.dtype} of shape {sidecar.shape}, the array is of {dtype} "
                f"in chunks of {shape}: it is damaged, or of another array"
            )
        reader = Reader(sidecar)
        out = np.empty(shape, dtype)
        for number in range(len(reader.tiling)):
            out[(slice(None), *reader.tiling.window(number))] = reader.tile(number)
    return out
