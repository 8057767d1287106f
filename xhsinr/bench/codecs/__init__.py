"""The codecs that xhsinr is compared with, all behind one protocol.

A codec is a small frozen dataclass, one file each. Its bytes are complete: whatever decoding
needs beyond the code (shape, data type, means, bases, scales) is inside and counted. `CODECS`
names them all; `load` imports the one that is asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, Protocol, get_args

import numpy.typing as npt

from xhsinr.errors import TargetError

__all__ = ["CODECS", "Codec", "Cube", "Kind", "Target", "load"]

Cube = npt.NDArray[Any]
"""A scene of shape (rows, cols, bands), integers or floats, without gaps."""

Kind = Literal["bpppb", "psnr", "max_error", "lossless", "native"]


@dataclass(frozen=True)
class Target:
    """What a codec is to reach.

    Attributes
    ----------
    kind : {"bpppb", "psnr", "max_error", "lossless", "native"}
        ``"bpppb"``: at most ``value`` stored bits per pixel and band, at the best quality.
        ``"psnr"``: at least ``value`` dB with the scene's max - min as peak, in the fewest bytes.
        ``"max_error"``: no sample off by more than ``value``, in the fewest bytes.
        ``"lossless"``: every bit, in the fewest bytes.
        ``"native"``: the one operating point that the codec has, such as a network's size.
    value : float
        Above zero; 0 where the kind says all.
    """

    kind: Kind
    value: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise TargetError(f"target {self.kind!r} is none of {get_args(Kind)}")
        valued = self.kind in ("bpppb", "psnr", "max_error")
        if valued and not (self.value > 0 and math.isfinite(self.value)):
            raise TargetError(f"{self.kind} = {self.value!r}: it should be a number above zero")

    def __str__(self) -> str:
        return self.kind if self.value == 0 else f"{self.kind}={self.value:g}"

    def size(self, cube: Cube) -> int:
        """Bytes that a rate in bpppb allows for this cube."""
        return int(self.value * cube.size / 8)


class Codec(Protocol):
    """What every codec offers.

    `encode` raises `TargetError`, saying why, where a target is out of reach or of a kind
    that the codec doesn't take; `decode` gives the cube in its own shape and data type.
    """

    @property
    def name(self) -> str:
        """As in the tables."""

    @property
    def kinds(self) -> frozenset[Kind]:
        """Kinds of target that it takes."""

    @property
    def settings(self) -> str:
        """How it is arranged, in one line for the tables."""

    def encode(self, cube: Cube, target: Target) -> bytes: ...

    def decode(self, payload: bytes) -> Cube: ...


CODECS = {
    "jpeg": "jpeg:Jpeg",
    "jpeg2000": "jpeg2000:Jpeg2000PerBand",
    "jpeg2000_scene": "jpeg2000:Jpeg2000Scene",
    "pca_dct": "pca_dct:PcaDct",
    "pca_jpeg2000": "pca_jpeg2000:PcaJpeg2000",
    "fpca_jpeg2000": "fpca_jpeg2000:FoldedPcaJpeg2000",
    "clustered_pca_jpeg2000": "clustered_pca_jpeg2000:ClusteredPcaJpeg2000",
    "pca_jpegxl": "pca_jpegxl:PcaJpegXl",
    "hevc": "hevc:Hevc",
    "rpm": "rpm:Rpm",
    "speck3d": "speck3d:Speck3d",
    "dct3d": "dct3d:Dct3d",
    "dwt_svr": "dwt_svr:DwtSvr",
    "wsrc": "wsrc:Wsrc",
    "inr": "inr:Inr",
    "hp_inr": "inr:HalfInr",
    "inr_sampling": "inr:SampledInr",
    "hp_inr_sampling": "inr:HalfSampledInr",
    "meta_learning": "hsinr:MetaLearning",
    "xhsinr": "hsinr:Xhsinr",
    "geotiff_deflate": "geotiff:GeotiffDeflate",
    "geotiff_zstd": "geotiff:GeotiffZstd",
    "geotiff_lerc_zstd": "geotiff:GeotiffLerc",
    "ccsds123_adaptive": "ccsds123:AdaptiveCcsds123",
    "ccsds123_hybrid": "ccsds123:HybridCcsds123",
    "jpegxl": "jpegxl:JpegXl",
    "jpegls": "jpegls:JpegLs",
    "sz3": "sz3:Sz3",
    "zfp": "zfp:Zfp",
    "pcodec": "pcodec:Pcodec",
    "fpzip": "fpzip:Fpzip",
    "zarr_blosc": "zarr_blosc:ZarrBlosc",
}
"""Key of each codec -> module in this package and class in it, in the order of the tables."""


def load(key: str, **settings: Any) -> Codec:
    """Import a codec and make it.

    Parameters
    ----------
    key : str
        One of `CODECS`.
    **settings
        Fields of the codec's dataclass, such as the size of a network.

    Raises
    ------
    TargetError
        If there is no codec of this name.
    """
    if key not in CODECS:
        raise TargetError(f"no codec is named {key!r}: choose from {', '.join(CODECS)}")
    module, name = CODECS[key].split(":")
    codec: Codec = getattr(import_module(f"{__name__}.{module}"), name)(**settings)
    return codec
