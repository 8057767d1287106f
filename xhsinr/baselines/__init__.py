"""The codecs that xhsinr is compared with.

Each is a module with ``encode(cube, target) -> bytes`` and ``decode(payload) -> cube`` for cubes
of shape (rows, cols, bands); the bytes hold all that decoding needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from xhsinr.errors import TargetError

__all__ = ["Target"]


@dataclass(frozen=True)
class Target:
    """What a baseline is to reach.

    Attributes
    ----------
    kind : {"bpppb", "psnr"}
        ``"bpppb"``: at most ``value`` stored bits per pixel and band, at the best quality.
        ``"psnr"``: at least ``value`` dB with the scene's max - min as peak, in the fewest bytes.
    value : float
        Above zero.
    """

    kind: Literal["bpppb", "psnr"]
    value: float

    def __post_init__(self) -> None:
        if self.kind not in ("bpppb", "psnr") or not self.value > 0:
            raise TargetError(
                f"a baseline's target is a positive 'bpppb' or 'psnr', got {self.kind!r} and "
                f"{self.value!r}"
            )
