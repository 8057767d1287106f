"""PCA and JPEG 2000: the strong classical codec for hyperspectral scenes.

Du and Fowler, "Hyperspectral image compression using JPEG2000 and principal component
analysis", IEEE GRSL 4(2), 2007, as strong as we can make it: all score planes are the 16-bit
components of one 9/7 codestream, truncated together so that every plane gets the distortion
that is best for the whole; the number of planes is searched for; basis and mean are float16.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

from xhsinr.baselines import Target
from xhsinr.errors import TargetError

__all__ = ["decode", "encode"]

Cube = npt.NDArray[Any]

_HEADER = struct.Struct("<IIHH2sff")
_PEAK = 32767
_LEVELS = (1.0, 130.0)


def encode(cube: Cube, target: Target) -> bytes:
    """Code a cube without gaps as well as the target allows.

    Parameters
    ----------
    cube : ndarray, shape (rows, cols, bands)
    target : Target

    Raises
    ------
    TargetError
        If no number of components reaches the target.
    """
    scene = _Scene.of(cube)
    attempt = scene.at_rate if target.kind == "bpppb" else scene.at_psnr
    best: tuple[float, bytes] | None = None
    misses = 0
    for components in range(1, scene.bands + 1):
        found = attempt(components, target.value)
        if found is not None and (best is None or found[0] > best[0]):
            best, misses = found, 0
        elif best is not None:
            misses += 1
            if misses == 4:
                break
    if best is None:
        raise TargetError(f"PCA and JPEG 2000 cannot reach {target.value} {target.kind}")
    return best[1]


def decode(payload: bytes) -> Cube:
    """The cube, shape (rows, cols, bands), in its data type."""
    rows, cols, bands, components, dtype, unit, scale = _HEADER.unpack_from(payload)
    end = _HEADER.size + 2 * bands * (components + 1)
    stored = np.frombuffer(payload[_HEADER.size : end], np.float16).astype(np.float32)
    mean, vectors = stored[:bands] * scale, stored[bands:].reshape(components, bands)
    planes = imagecodecs.jpeg2k_decode(payload[end:], planar=True)
    scores = planes.reshape(components, -1).T * np.float32(unit)
    return _as_type((scores @ vectors + mean).reshape(rows, cols, bands), np.dtype(dtype.decode()))


def _as_type(values: npt.NDArray[np.float32], dtype: np.dtype[Any]) -> Cube:
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.rint(values).astype(np.float64).clip(limits.min, limits.max).astype(dtype)


@dataclass(frozen=True)
class _Scene:
    """A cube with its principal components, strongest first."""

    cube: Cube
    mean: npt.NDArray[np.float64]
    vectors: npt.NDArray[np.float64]
    variances: npt.NDArray[np.float64]

    @classmethod
    def of(cls, cube: Cube) -> _Scene:
        pixels = cube.reshape(-1, cube.shape[2]).astype(np.float64)
        mean = pixels.mean(0)
        centred = pixels - mean
        variances, vectors = np.linalg.eigh(centred.T @ centred / len(pixels))
        return cls(cube, mean, vectors.T[::-1], np.maximum(variances[::-1], 0))

    @property
    def bands(self) -> int:
        return len(self.mean)

    def psnr(self, payload: bytes) -> float:
        difference = decode(payload).astype(np.float64) - self.cube
        peak = float(self.cube.max()) - float(self.cube.min())
        return float(10 * np.log10(peak**2 / max(np.square(difference).mean(), 1e-300)))

    def coder(self, components: int) -> Callable[[float], bytes]:
        """A function from the codestream's signal-to-noise ratio in dB to the whole payload."""
        rows, cols, bands = self.cube.shape
        scale = np.float32(np.abs(self.mean).max() or 1.0)
        mean = (self.mean / scale).astype(np.float16)
        vectors = self.vectors[:components].astype(np.float16)
        used = vectors.astype(np.float64)
        centred = self.cube.reshape(-1, bands) - mean.astype(np.float64) * scale
        scores = np.linalg.solve(used @ used.T, used @ centred.T)
        unit = np.float32((np.abs(scores).max() or 1.0) / _PEAK)
        planes = np.rint(scores / unit).clip(-_PEAK, _PEAK).astype(np.int16)
        planes = planes.reshape(components, rows, cols)
        head = _HEADER.pack(
            rows, cols, bands, components, self.cube.dtype.str[1:].encode(), unit, scale
        )
        head += mean.tobytes() + vectors.tobytes()

        def code(level: Any) -> bytes:
            return head + imagecodecs.jpeg2k_encode(
                planes, level=level, codecformat="J2K", planar=True, mct=False, reversible=False
            )

        return code

    def at_rate(self, components: int, bpppb: float) -> tuple[float, bytes] | None:
        """PSNR and payload of at most ``bpppb``; None where the basis alone is too large."""
        size = int(bpppb * self.cube.size / 8)
        if _HEADER.size + 2 * self.bands * (components + 1) >= size:
            return None
        code = self.coder(components)
        low, high = _LEVELS
        best = None
        for _ in range(14):
            level = 0.5 * (low + high)
            payload = code(level)
            if len(payload) > size:
                high = level
            else:
                low, best = level, payload
                if len(payload) >= 0.998 * size:
                    break
        return None if best is None else (self.psnr(best), best)

    def at_psnr(self, components: int, psnr: float) -> tuple[float, bytes] | None:
        """Minus the size and the payload of at least ``psnr`` dB; None where out of reach."""
        peak = float(self.cube.max()) - float(self.cube.min())
        if self.variances[components:].sum() >= self.bands * peak**2 * 10 ** (-psnr / 10):
            return None
        code = self.coder(components)
        low, high = _LEVELS
        level = 0.5 * (low + high)
        best = None
        for _ in range(14):
            payload = code(level)
            reached = self.psnr(payload)
            if reached < psnr:
                low = level
            else:
                high, best = level, payload
                if reached < psnr + 0.01:
                    break
            # A dB more in the codestream is about a dB more in the scene.
            level += psnr + 0.004 - reached
            if not low < level < high:
                level = 0.5 * (low + high)
        return None if best is None else (-float(len(best)), best)
