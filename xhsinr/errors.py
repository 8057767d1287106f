"""The package's own errors, and its warning: each names what is wrong, and what to do."""

from __future__ import annotations

__all__ = [
    "Caution",
    "ChangedSidecarError",
    "DamagedSidecarError",
    "HsinrError",
    "LimitError",
    "MemoryLimitError",
    "NetworkDigestError",
    "NetworkError",
    "NetworkNotFoundError",
    "NotASidecarError",
    "OutputExistsError",
    "RemoteError",
    "SceneError",
    "SidecarError",
    "SourceError",
    "TargetError",
    "UnknownSceneError",
    "UnsupportedVersionError",
    "VerificationError",
    "counted",
    "printable",
]


class HsinrError(Exception):
    """Base class of every error that xhsinr raises on purpose."""


class SceneError(HsinrError, ValueError):
    """The input is not a scene that can be compressed."""


class SourceError(HsinrError, ValueError):
    """A catalog, or a scene in it, is missing, unreadable, or not what it is declared to be."""


class UnknownSceneError(SourceError, KeyError):
    """A catalog has no scene of that id."""

    __str__ = Exception.__str__  # a KeyError's is its repr


class TargetError(HsinrError, ValueError):
    """The quality asked for is malformed, contradictory, or out of reach."""


class MemoryLimitError(HsinrError, ValueError):
    """``max_memory`` is malformed, or not enough for a tile."""


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


class ChangedSidecarError(SidecarError):
    """The file was replaced after it was opened."""


class LimitError(SidecarError):
    """The file declares more than the limits in force allow, see `xhsinr.set_limits`."""


class RemoteError(SidecarError):
    """A URL cannot be read."""


class VerificationError(HsinrError):
    """The decoded scene is not what the file's report says it is."""


class NetworkError(HsinrError):
    """Base class for what can be wrong with a base network."""


class NetworkNotFoundError(NetworkError, FileNotFoundError):
    """The base network is in none of the places where it is looked for."""


class NetworkDigestError(NetworkError):
    """A base network of the right name has other contents than the file needs."""


class Caution(UserWarning):
    """Something odd of a scene's samples, which the report on its file says as well."""


def printable(text: str) -> str:
    """Text as a terminal may show it: names and what libraries say may hold what would steer it."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def counted(number: int, noun: str) -> str:
    """So many of something, as people write it."""
    return f"{number} {noun}{'s' * (number != 1)}"
