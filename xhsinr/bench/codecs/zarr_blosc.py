"""Zarr with Blosc, the usual store of data cubes in the cloud: lossless, or rounded to a bound."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from xhsinr.bench.codecs import Cube, Kind, Target
from xhsinr.bench.codecs.common import check, join, pack_shape, split, unpack_shape
from xhsinr.bench.codecs.rounding import Rounding
from xhsinr.errors import HsinrError

__all__ = ["ZarrBlosc"]

_METADATA, _CHUNK = "zarr.json", "c/0/0/0"


@dataclass(frozen=True)
class ZarrBlosc:
    """The codec."""

    name: ClassVar[str] = "Zarr, Blosc"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"max_error", "lossless"})
    settings: ClassVar[str] = (
        "Blosc ZSTD level 9, one chunk, best shuffle and order of axes; bounds by rounding first"
    )

    def encode(self, cube: Cube, target: Target) -> bytes:
        check(self, target)
        # Floats without a bound stay as they are.
        if cube.dtype.kind == "f" and target.kind == "lossless":
            rounding, stored = Rounding(0, 0), cube
        else:
            rounding = Rounding.of(cube, target)
            stored = rounding.indices(cube)
        orders = ((0, 1, 2), (2, 0, 1))
        stores = [
            bytes([order[0]]) + _write(stored.transpose(order), shuffle)
            for order, shuffle in product(orders, ("shuffle", "bitshuffle"))
        ]
        return pack_shape(cube) + rounding.to_bytes() + min(stores, key=len)

    def decode(self, payload: bytes) -> Cube:
        _, dtype, rest = unpack_shape(payload)
        rounding, store = Rounding.from_bytes(rest)
        values = _read(store[1:])
        stored = values.transpose(1, 2, 0) if store[0] else values
        return stored if rounding.step == 0 else rounding.samples(stored, dtype)


def _zarr() -> Any:
    try:
        import zarr
    except ImportError as error:
        raise HsinrError("Zarr is not installed: pip install 'xhsinr[bench]'") from error
    return zarr


def _write(values: npt.NDArray[Any], shuffle: str) -> bytes:
    """Both objects of a Zarr array of one chunk: its metadata and the chunk."""
    zarr = _zarr()
    objects: dict[str, Any] = {}
    array = zarr.create_array(
        zarr.storage.MemoryStore(objects),
        shape=values.shape,
        dtype=values.dtype,
        chunks=values.shape,
        compressors=zarr.codecs.BloscCodec(cname="zstd", clevel=9, shuffle=shuffle),
    )
    array[...] = np.ascontiguousarray(values)
    # A chunk of zeros is not written at all.
    chunk = objects[_CHUNK].to_bytes() if _CHUNK in objects else b""
    return join(objects[_METADATA].to_bytes(), chunk)


def _read(payload: bytes) -> npt.NDArray[Any]:
    zarr = _zarr()
    metadata, chunk = split(payload, 2)
    buffers = {_METADATA: metadata, _CHUNK: chunk} if chunk else {_METADATA: metadata}
    from_bytes = zarr.core.buffer.cpu.Buffer.from_bytes
    store = zarr.storage.MemoryStore({name: from_bytes(part) for name, part in buffers.items()})
    return np.asarray(zarr.open_array(store, mode="r")[...])
