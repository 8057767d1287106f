"""Lossless image coders on cubes, in the arrangement that suits each scene best.

Bands one below another, spectra as the lines of an image, or bands as the components of one;
samples, or the differences of each band to the one before. The head of the code says which.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.bench.codecs import Cube, Target
from xhsinr.bench.codecs.common import pack_shape, unpack_shape
from xhsinr.bench.codecs.rounding import Rounding

__all__ = ["decode", "encode"]

Image = npt.NDArray[Any]

_HEAD = struct.Struct("<?Bi")
_LARGEST = 2**16 - 1
_STACKED, _SPECTRA, _COMPONENTS = range(3)


def encode(
    cube: Cube,
    target: Target,
    encode_image: Callable[[Image], bytes | bytearray],
    components: int = 0,
) -> bytes:
    """The smallest arrangement of a cube, within a bound or lossless.

    Parameters
    ----------
    cube : ndarray, shape (rows, cols, bands)
    target : Target
        Of kind ``max_error`` or ``lossless``.
    encode_image : callable
        Codes an image of uint8 or uint16 without loss.
    components : int
        The most components that it takes, in images of shape (components, rows, cols).
    """
    rounding = Rounding.of(cube, target)
    indices = rounding.indices(cube).astype(np.int64)
    codes = []
    for differences, values in enumerate((indices, np.diff(indices, axis=2, prepend=0))):
        low, high = int(values.min()), int(values.max())
        if high - low > _LARGEST:
            continue
        unsigned = (values - low).astype(np.uint8 if high - low < 256 else np.uint16)
        planes = np.ascontiguousarray(unsigned.transpose(2, 0, 1))
        images = {_STACKED: planes.reshape(-1, cube.shape[1])}
        images[_SPECTRA] = unsigned.reshape(-1, cube.shape[2])
        if 1 < len(planes) <= components:
            images[_COMPONENTS] = planes
        for arrangement, image in images.items():
            stream = encode_image(np.ascontiguousarray(image))
            codes.append(_HEAD.pack(differences, arrangement, low) + bytes(stream))
    return pack_shape(cube) + rounding.to_bytes() + min(codes, key=len)


def decode(payload: bytes, decode_image: Callable[[bytes], Image]) -> Cube:
    """The cube that `encode` coded."""
    (rows, cols, bands), dtype, rest = unpack_shape(payload)
    rounding, code = Rounding.from_bytes(rest)
    differences, arrangement, low = _HEAD.unpack_from(code)
    image = decode_image(code[_HEAD.size :]).astype(np.int64) + low
    if arrangement == _SPECTRA:
        values = image.reshape(rows, cols, bands)
    else:
        values = image.reshape(bands, rows, cols).transpose(1, 2, 0)
    indices = np.cumsum(values, axis=2) if differences else values
    return rounding.samples(indices, dtype)
