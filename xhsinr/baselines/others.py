"""General codecs at a bounded error, in the arrangement of the scene that suits each best.

`smallest` codes planes of integers in each way that we know to pay: bands as
one tall image, spectra as the lines of an image, or all bands as the components of one image;
the codec's own bound on the error, or rounding to steps of twice the bound plus one before a
lossless codec. Each result is decoded and held to the bound, and the smallest counts. The few
bytes that say shape, offset and step are not counted, to the advantage of these codecs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

__all__ = ["CODECS", "smallest"]

Planes = npt.NDArray[Any]
Encode = Callable[[Planes], bytes | bytearray]
Results = Iterator[tuple[int, Planes]]
"""Stored bytes and decoded planes of each attempt."""

# A real number within the bound and this of an integer rounds to one within the bound.
_ROUNDING = 0.49
_MOST_COMPONENTS = 256


def smallest(codec: str, planes: Planes, bound: int) -> int:
    """Bytes of the smallest result in which no sample is off by more than the bound.

    Parameters
    ----------
    codec : str
        One of `CODECS`.
    planes : ndarray of integers, shape (bands, rows, cols)
    bound : int
        In data units; 0 is lossless.

    Raises
    ------
    RuntimeError
        If the codec breaks the bound whichever way it is used.
    """
    planes = np.ascontiguousarray(planes, np.int64)
    kept = [
        size
        for size, decoded in CODECS[codec](planes, bound)
        if np.abs(decoded.astype(np.int64) - planes).max() <= bound
    ]
    if not kept:
        raise RuntimeError(f"{codec} breaks its bound of {bound} however it is used")
    return min(kept)


def _unsigned(values: Planes) -> tuple[Planes, int]:
    """Values from zero up, in the smallest type that holds them, and what was taken off."""
    low = int(values.min())
    values = values - low
    return values.astype(np.uint8 if values.max() < 256 else np.uint16), low


def _as_images(planes: Planes) -> Iterator[tuple[Planes, Callable[[Planes], Planes]]]:
    """Planes as a tall image, and their spectra as lines, with the way back from each."""
    bands, rows, cols = planes.shape
    yield planes.reshape(-1, cols), lambda image: image.reshape(planes.shape)
    spectra = np.ascontiguousarray(planes.transpose(1, 2, 0)).reshape(-1, bands)
    yield spectra, lambda image: image.reshape(rows, cols, bands).transpose(2, 0, 1)


def _images(encode: Encode, decode: Any, planes: Planes) -> Results:
    unsigned, low = _unsigned(planes)
    for image, back in _as_images(unsigned):
        payload = encode(image)
        yield len(payload), back(decode(payload)).astype(np.int64) + low


def _components(encode: Encode, decode: Any, planes: Planes) -> Results:
    if len(planes) <= _MOST_COMPONENTS:
        unsigned, low = _unsigned(planes)
        payload = encode(unsigned)
        yield len(payload), decode(payload).reshape(planes.shape).astype(np.int64) + low


def _jpeg_xl(planes: Planes) -> Results:
    encode = partial(imagecodecs.jpegxl_encode, lossless=True, effort=7, usecontainer=False)
    yield from _images(encode, imagecodecs.jpegxl_decode, planes)
    as_components = partial(encode, planar=True, photometric="gray")
    yield from _components(as_components, imagecodecs.jpegxl_decode, planes)


def _jpeg_2000(planes: Planes) -> Results:
    encode = partial(imagecodecs.jpeg2k_encode, level=0, reversible=True, codecformat="J2K")
    yield from _images(encode, imagecodecs.jpeg2k_decode, planes)
    as_components = partial(encode, planar=True, mct=False)
    yield from _components(as_components, partial(imagecodecs.jpeg2k_decode, planar=True), planes)


def _jpeg_ls(planes: Planes) -> Results:
    yield from _images(imagecodecs.jpegls_encode, imagecodecs.jpegls_decode, planes)


def _jpeg_ls_near(planes: Planes, bound: int) -> Results:
    near = partial(imagecodecs.jpegls_encode, level=bound)
    yield from _images(near, imagecodecs.jpegls_decode, planes)
    yield from _rounded(_jpeg_ls)(planes, bound)


def _geotiff_zstd(planes: Planes) -> Results:
    unsigned, low = _unsigned(planes)
    for interleave in ("band", "pixel"):
        profile = {
            **{"driver": "GTiff", "dtype": unsigned.dtype.name, "interleave": interleave},
            **dict(zip(("count", "height", "width"), planes.shape, strict=True)),
            **{"compress": "zstd", "zstd_level": 22, "predictor": 2, "blockysize": planes.shape[1]},
        }
        with warnings.catch_warnings(), MemoryFile() as file:
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with file.open(**profile) as raster:
                raster.write(unsigned)
            with file.open() as raster:
                yield len(file.getbuffer()), raster.read().astype(np.int64) + low


def _rounded(lossless: Callable[[Planes], Results]) -> Callable[[Planes, int], Results]:
    """A lossless codec on samples rounded to steps of twice the bound plus one."""

    def code(planes: Planes, bound: int) -> Results:
        step, low = 2 * bound + 1, planes.min()
        for size, decoded in lossless((planes - low + bound) // step):
            yield size, decoded * step + low

    return code


def _differences(lossless: Callable[[Planes], Results], planes: Planes) -> Results:
    """A lossless codec on each band less the one before."""
    for size, decoded in lossless(np.diff(planes, axis=0, prepend=0)):
        yield size, np.cumsum(decoded, axis=0)


def _sperr(planes: Planes, bound: int) -> Results:
    for cube, back in _as_cubes(planes):
        payload = imagecodecs.sperr_encode(cube, bound + _ROUNDING, "pwe")
        yield len(payload), back(np.rint(imagecodecs.sperr_decode(payload)))


def _sz3(planes: Planes, bound: int) -> Results:
    for cube, back in _as_cubes(planes):
        payload = imagecodecs.sz3_encode(cube, "abs", abs=bound + _ROUNDING)
        decoded = imagecodecs.sz3_decode(payload, cube.shape, cube.dtype)
        yield len(payload), back(np.rint(decoded))


def _as_cubes(planes: Planes) -> Iterator[tuple[Planes, Callable[[Planes], Planes]]]:
    """Planes one after another, and pixel by pixel, as float32, with the way back from each."""
    yield planes.astype(np.float32), lambda cube: cube
    pixels = np.ascontiguousarray(planes.transpose(1, 2, 0), np.float32)
    yield pixels, lambda cube: cube.transpose(2, 0, 1)


def _lerc(planes: Planes, bound: int) -> Results:
    integers, floats = planes.astype(np.int32), planes.astype(np.float32)
    for cube, level in (integers, bound), (floats, bound + _ROUNDING):
        for compression in (None, "zstd"):
            payload = imagecodecs.lerc_encode(
                cube, level=level, planar=True, compression=compression
            )
            yield len(payload), np.rint(imagecodecs.lerc_decode(payload))


CODECS: dict[str, Callable[[Planes, int], Results]] = {
    "difference to the previous band + JPEG XL": _rounded(partial(_differences, _jpeg_xl)),
    "difference to the previous band + JPEG-LS": _rounded(partial(_differences, _jpeg_ls)),
    "JPEG XL": _rounded(_jpeg_xl),
    "JPEG 2000 (reversible)": _rounded(_jpeg_2000),
    "JPEG-LS": _jpeg_ls_near,
    "GeoTIFF, ZSTD, horizontal predictor": _rounded(_geotiff_zstd),
    "SPERR": _sperr,
    "SZ3": _sz3,
    "LERC": _lerc,
}
"""Each yields the attempts at coding planes of int64 with a bound on the error."""
