"""The codec that a sidecar's tiles decode with."""

from __future__ import annotations

from xhsinr.coding.tile import CodecBytes, TileCodec
from xhsinr.errors import DamagedSidecarError, NetworkError, UnsupportedVersionError
from xhsinr.sidecar.file import Sidecar

__all__ = ["codec_bytes_of", "codec_of"]


def codec_bytes_of(sidecar: Sidecar) -> CodecBytes:
    """The codec in a header, whose network may be missing.

    Raises
    ------
    DamagedSidecarError, UnsupportedVersionError
    """
    content = sidecar.arrays["codec"].tobytes()
    try:
        return CodecBytes.split(content, sidecar.dtype, sidecar.shape[0])
    except (DamagedSidecarError, UnsupportedVersionError) as error:
        raise type(error)(f"{sidecar.name}: {error}") from error


def codec_of(sidecar: Sidecar) -> TileCodec:
    """The codec that a sidecar's tiles decode with; finds and loads its base network.

    Raises
    ------
    DamagedSidecarError, UnsupportedVersionError, NetworkNotFoundError, NetworkDigestError,
    NetworkError
    """
    content = sidecar.arrays["codec"].tobytes()
    try:
        return TileCodec.from_bytes(content, sidecar.dtype, sidecar.shape[0], sidecar.place)
    except NetworkError as error:
        raise type(error)(f"{sidecar.name} needs it: {error}") from error
    except (DamagedSidecarError, UnsupportedVersionError) as error:
        raise type(error)(f"{sidecar.name}: {error}") from error
