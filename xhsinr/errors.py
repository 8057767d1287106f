"""The package's own errors: each names the file, tile, value or limit, and what to do."""

from __future__ import annotations

__all__ = [
    "DamagedSidecarError",
    "HsinrError",
    "NetworkDigestError",
    "NetworkError",
    "NetworkNotFoundError",
    "NotASidecarError",
    "OutputExistsError",
    "SceneError",
    "SidecarError",
    "TargetError",
    "UnsupportedVersionError",
    "VerificationError",
]


class HsinrError(Exception):
    """Base class of every error that xhsinr raises on purpose."""


class SceneError(HsinrError, ValueError):
    """The input is not a scene that can be compressed."""


class TargetError(HsinrError, ValueError):
    """The quality asked for is malformed, contradictory, or out of reach."""


class OutputExistsError(HsinrError, FileExistsError):
    """The output path exists and ``overwrite`` was not given."""


class SidecarError(HsinrError, OSError):
    """Base class for what can be wrong with a ``.hsinr`` file."""


class NotASidecarError(SidecarError):
    """The file is not an xhsinr sidecar."""


class UnsupportedVersionError(SidecarError):
    """The file was written in a format newer than this version reads."""


class DamagedSidecarError(SidecarError):
    """A part of the file does not match its checksum or its declared layout."""


class VerificationError(HsinrError):
    """The decoded scene is not what the file's report says it is."""


class NetworkError(HsinrError):
    """Base class for what can be wrong with a base network."""


class NetworkNotFoundError(NetworkError, FileNotFoundError):
    """The base network is in none of the places where it is looked for."""


class NetworkDigestError(NetworkError):
    """A base network of the right name has other contents than the file needs."""
