"""How far a decoded scene is from the original: MSE, PSNR, largest error, angle, rate.

Scenes are arrays (bands, rows, cols) of any real data type. Everything is measured in
float64, block by block, so integers don't overflow and memory doesn't double. A `valid`
mask, True where a sample counts, is (bands, rows, cols) or anything that broadcasts to it,
such as (rows, cols); without one every sample counts. A sample that counts and is NaN or
infinite, in either scene, makes the results NaN or infinite: nothing is left out silently.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = [
    "Quality",
    "bpppb",
    "bpppb_eq5",
    "max_error",
    "mean_sam_deg",
    "mse",
    "psnr",
    "psnr_fixed_peak",
    "psnr_per_band",
    "rmse",
]

Scene = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

# Pixels a block: what is summed of them takes little memory, however large a scene is.
BLOCK = 1 << 16
_ALL = np.ones((0, 0, 0), np.bool_)


@dataclass(frozen=True, slots=True)
class Quality:
    """What was measured on one part of a scene, in a form that adds up.

    `Quality()` is the measure of nothing. Parts are measured with `of` and put together
    with `merge`, whose result doesn't depend on the order of the parts, or with `+`.

    Attributes
    ----------
    samples : int
        Valid samples.
    squared_error : float
        Sum of the squared errors of the valid samples.
    max_error : float
        Largest absolute error of a valid sample; 0 where there is none.
    pixels : int
        Pixels whose spectral angle is defined: both spectra have a norm above zero.
    angle : float
        Sum of the spectral angles of these pixels, in radians.
    minimum, maximum : float
        Smallest and largest valid sample of the original; inf and -inf where there is none.
    """

    samples: int = 0
    squared_error: float = 0.0
    max_error: float = 0.0
    pixels: int = 0
    angle: float = 0.0
    minimum: float = math.inf
    maximum: float = -math.inf

    @classmethod
    def of(cls, original: Scene, decoded: Scene, valid: Mask | None = None) -> Quality:
        """Measure a decoded scene, or a tile of it, against the original.

        Parameters
        ----------
        original, decoded : ndarray, (bands, rows, cols)
            The two scenes in the same units. 64-bit integers are exact up to 2**53.
        valid : ndarray of bool, optional
            Where samples count; broadcasts to (bands, rows, cols). What the arrays hold
            elsewhere, NaN included, changes nothing. The spectral angle of a pixel is
            measured on its valid bands.

        Raises
        ------
        ValueError
            If the scenes are not (bands, rows, cols), differ in shape, or don't fit `valid`.
        """
        original, decoded, mask = _checked(original, decoded, valid)
        exact = _exact(original, decoded, mask)
        if exact is not None:
            return exact
        original, decoded = _known(original), _known(decoded)
        # Infinite samples give inf - inf = NaN, which is the answer, not an accident.
        with np.errstate(invalid="ignore", over="ignore"):
            return cls.merge(_blocks(original, decoded, mask))

    @classmethod
    def merge(cls, parts: Iterable[Quality]) -> Quality:
        """Put the measures of disjoint parts together, in any order.

        The sums are rounded once, at the end, so the same parts give the same result to the
        last bit whichever came first.
        """
        parts = list(parts)
        if not parts:
            return cls()
        return cls(
            samples=sum(part.samples for part in parts),
            squared_error=math.fsum(part.squared_error for part in parts),
            # np.max, unlike max, keeps a NaN wherever it stands.
            max_error=float(np.max([part.max_error for part in parts])),
            pixels=sum(part.pixels for part in parts),
            angle=math.fsum(part.angle for part in parts),
            minimum=float(np.min([part.minimum for part in parts])),
            maximum=float(np.max([part.maximum for part in parts])),
        )

    def __add__(self, other: Quality) -> Quality:
        return Quality.merge((self, other))

    @property
    def mse(self) -> float:
        """Mean squared error over the valid samples (eq. 3); NaN without any."""
        return self.squared_error / self.samples if self.samples else math.nan

    @property
    def rmse(self) -> float:
        """Root of the mean squared error, in data units."""
        return math.sqrt(self.mse)

    @property
    def range(self) -> float:
        """Largest less smallest valid sample of the original: R of eq. 4; NaN without any."""
        return self.maximum - self.minimum if self.samples else math.nan

    @property
    def psnr_db(self) -> float:
        """PSNR of eq. 4 in dB, with R the range of the original; inf when lossless."""
        return self.psnr(self.range)

    def psnr(self, peak: float) -> float:
        """PSNR in dB against a peak; inf when lossless."""
        return _decibels(peak, self.mse)

    @property
    def mean_sam_deg(self) -> float:
        """Mean spectral angle over pixels, in degrees; NaN where no pixel has one."""
        return math.degrees(self.angle / self.pixels) if self.pixels else math.nan


def mse(original: Scene, decoded: Scene, valid: Mask | None = None) -> float:
    """Mean squared error over all valid samples (eq. 3), in squared data units."""
    return Quality.of(original, decoded, valid).mse


def rmse(original: Scene, decoded: Scene, valid: Mask | None = None) -> float:
    """Root mean squared error over all valid samples, in data units."""
    return Quality.of(original, decoded, valid).rmse


def max_error(original: Scene, decoded: Scene, valid: Mask | None = None) -> float:
    """Largest absolute error of a valid sample, in data units; 0 where none is valid."""
    return Quality.of(original, decoded, valid).max_error


def mean_sam_deg(original: Scene, decoded: Scene, valid: Mask | None = None) -> float:
    """Mean spectral angle over pixels, in degrees.

    The angle of a pixel is that between its original and its decoded spectrum, each over
    the pixel's valid bands. Pixels where either spectrum has norm zero are left out.
    """
    return Quality.of(original, decoded, valid).mean_sam_deg


def psnr(original: Scene, decoded: Scene, valid: Mask | None = None) -> float:
    """PSNR in dB as in eq. 4: R is the largest less the smallest sample of the original.

    Infinite when the scenes are equal; NaN when no sample is valid.
    """
    return Quality.of(original, decoded, valid).psnr_db


def psnr_fixed_peak(
    original: Scene, decoded: Scene, valid: Mask | None = None, *, peak: float = 10_000.0
) -> float:
    """PSNR in dB against a fixed peak in place of R in eq. 4.

    The default peak is reflectance 1 in the usual scaling by 10,000. The values compare
    across scenes, but not with those of `psnr`.
    """
    return _decibels(peak, Quality.of(original, decoded, valid).mse)


def psnr_per_band(original: Scene, decoded: Scene, valid: Mask | None = None) -> float:
    """Mean over bands of each band's own PSNR in dB, R being that band's own range.

    Bands without valid samples and bands of one value have no PSNR and are left out; a
    band that is decoded exactly makes the mean infinite.
    """
    original, decoded, mask = _checked(original, decoded, valid)
    bands = (
        Quality.of(
            original[band : band + 1],
            decoded[band : band + 1],
            None if mask is None else mask[band : band + 1],
        )
        for band in range(len(original))
    )
    values = [band.psnr_db for band in bands if band.samples and band.range != 0]
    return sum(values) / len(values) if values else math.nan


def bpppb(n_bytes: int, n_samples: int) -> float:
    """Bits per pixel per band as stored: all bytes of a file over all samples of the scene.

    Parameters
    ----------
    n_bytes : int
        Everything that is written, side information and container included.
    n_samples : int
        rows x cols x bands.
    """
    return 8 * n_bytes / n_samples


def bpppb_eq5(parameters: int, bits: float, pixels: int, bands: int) -> float:
    """Bits per pixel per band as eq. 5 counts them: parameters, not bytes on disk.

    Parameters
    ----------
    parameters : int
        Numbers that describe the scene, such as latents.
    bits : float
        Bits per parameter.
    pixels : int
        Pixels per band.
    bands : int
        Bands of the scene.
    """
    return parameters * bits / (pixels * bands)


def _decibels(peak: float, error: float) -> float:
    if error == 0:
        return math.inf
    if peak == 0:
        return -math.inf
    return 20 * math.log10(peak) - 10 * math.log10(error)


def _checked(
    original: Scene, decoded: Scene, valid: Mask | None
) -> tuple[Scene, Scene, Mask | None]:
    """The arrays, once their shapes are known to fit, with the mask in full shape."""
    original, decoded = np.asarray(original), np.asarray(decoded)
    if original.ndim != 3 or original.shape != decoded.shape:
        raise ValueError(
            f"the original has shape {original.shape} and the decoded scene {decoded.shape}: "
            "pass two arrays of the same shape (bands, rows, cols)"
        )
    if valid is None:
        return original, decoded, None
    valid = np.asarray(valid)
    if valid.dtype != np.bool_:
        raise ValueError(f"valid has data type {valid.dtype}: pass booleans, True where valid")
    return original, decoded, np.broadcast_to(valid, original.shape)


def _exact(original: Scene, decoded: Scene, mask: Mask | None) -> Quality | None:
    """The measure of scenes that are the same bit for bit; None for others.

    None as well for what is not finite, and for float64, whose squares may be zero or infinite.
    """
    kind = original.dtype
    if kind != decoded.dtype or (kind.kind == "f" and kind.itemsize > 4) or not original.size:
        return None
    samples, low, high = 0, math.inf, -math.inf
    lit = np.zeros(original.shape[1:], np.bool_)
    for band, (a, b) in enumerate(zip(original, decoded, strict=True)):
        if not np.array_equal(a.view(f"u{kind.itemsize}"), b.view(f"u{kind.itemsize}")):
            return None
        known = a if mask is None else a[mask[band]]
        if known.size:
            least, most = float(known.min()), float(known.max())
            if not (math.isfinite(least) and math.isfinite(most)):
                return None
            samples, low, high = samples + known.size, min(low, least), max(high, most)
        if not lit.all():
            lit |= a != 0 if mask is None else (a != 0) & mask[band]
    pixels = int(np.count_nonzero(lit))
    return Quality(samples=samples, pixels=pixels, minimum=low, maximum=high)


def _known(array: Scene) -> Scene:
    """The array, as float64 if it is of a type that compiled loops don't take."""
    kind = array.dtype
    sizes = {"f": (4, 8), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8)}.get(kind.kind, ())
    return array if kind.isnative and kind.itemsize in sizes else array.astype(np.float64)


def _blocks(original: Scene, decoded: Scene, mask: Mask | None) -> Iterator[Quality]:
    """The measures of blocks of whole rows, about `BLOCK` pixels each."""
    bands, rows, cols = original.shape
    if 0 in (bands, cols):
        return
    height = max(1, BLOCK // cols)
    for top in range(0, rows, height):
        part = np.s_[:, top : top + height]
        valid = _ALL if mask is None else np.ascontiguousarray(mask[part])
        norms = np.zeros((3, min(height, rows - top), cols))
        samples, low, high, largest = _measure(original, decoded, valid, top, norms)
        aa, bb, ee = norms
        error = float(ee.sum())
        # Comparisons lose a NaN, sums of squares keep it.
        known = not math.isnan(float(aa.sum()))
        angles = _angles(np.sqrt(aa), np.sqrt(bb), np.sqrt(ee))
        yield Quality(
            samples=samples,
            squared_error=error,
            max_error=math.nan if math.isnan(error) else largest,
            pixels=angles.size,
            angle=float(angles.sum()),
            minimum=low if known else math.nan,
            maximum=high if known else math.nan,
        )


@njit(cache=True, nogil=True)
def _measure(a: Any, b: Any, valid: Any, top: int, norms: Any) -> tuple[int, float, float, float]:
    """Samples, their range and largest error, and squared norms of spectra and of errors.

    Parameters
    ----------
    valid : ndarray of bool, shape (bands, rows, cols)
        Of the rows from ``top`` on; empty where all samples count.
    norms : ndarray of float64, shape (3, rows, cols)
        Added to.
    """
    rows, cols = norms.shape[1:]
    every = valid.size == 0
    samples = 0
    # One for each column: several columns are worked on at a time.
    low, high, largest = np.full(cols, np.inf), np.full(cols, -np.inf), np.zeros(cols)
    for row in range(rows):
        aa, bb, ee = norms[0, row], norms[1, row], norms[2, row]
        for band in range(len(a)):
            first, second = a[band, top + row], b[band, top + row]
            if every:
                samples += cols
                for col in range(cols):
                    x, y = np.float64(first[col]), np.float64(second[col])
                    error = x - y
                    aa[col] += x * x
                    bb[col] += y * y
                    ee[col] += error * error
                    low[col] = x if x < low[col] else low[col]
                    high[col] = x if x > high[col] else high[col]
                    largest[col] = abs(error) if abs(error) > largest[col] else largest[col]
                continue
            for col in range(cols):
                if valid[band, row, col]:
                    x, y = np.float64(first[col]), np.float64(second[col])
                    error = x - y
                    samples += 1
                    aa[col] += x * x
                    bb[col] += y * y
                    ee[col] += error * error
                    low[col] = min(low[col], x)
                    high[col] = max(high[col], x)
                    largest[col] = max(largest[col], abs(error))
    return samples, low.min(), high.max(), largest.max()


def _angles(a: Floats, b: Floats, c: Floats) -> Floats:
    """Angles in radians at the corner between sides a and b, c opposite, where defined.

    The cosine of a small angle rounds to 1: of nearly equal spectra it tells nothing below
    1e-8 rad. The half-angle formula on the sides of the triangle (Kahan, Miscalculating
    Area and Angles of a Needle-like Triangle) keeps it, and is zero exactly for equal spectra.
    """
    defined = (a != 0) & (b != 0)
    a, b, c = a[defined], b[defined], c[defined]
    # Rounding may leave a needle's product just below zero, where it is zero.
    near = np.maximum((c - (a - b)) * (c + (a - b)), 0)
    far = np.maximum((a + b - c) * (a + b + c), 0)
    angles: Floats = 2 * np.arctan2(np.sqrt(near), np.sqrt(far))
    return angles
