"""What compression changed, on a few tiles: spectra of marked pixels, and the error of each band.

A few numbers, drawn as a small SVG picture. Spectra are of one tile and errors of some more, a
quarter of the scene at most, so that of the source no more than that has to be read once more.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dask.array
import numpy as np
import numpy.typing as npt

from xhsinr.reading.reader import Reader
from xhsinr.scene import Scene
from xhsinr.sidecar.file import Sidecar
from xhsinr.tiling import Tiling, Window

__all__ = ["Samples", "drawn", "sampled"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_MARKED = (0.1, 0.5, 0.9)
_COLOURS = ("#0b6e4f", "#b3541e", "#4a4e9e")
_MOST_TRIES = 16
_MOST_MEASURED, _MEASURED_SHARE = 9, 4  # tiles, and one in so many
_GOLDEN = (5**0.5 - 1) / 2
_GAP = 4  # usual steps from band to band
_WIDTH, _LEFT, _RIGHT = 720, 76, 612
_SKETCH = 96  # longer side of the sketch of the scene
_SPECTRA, _ERRORS = (44, 250), (300, 390)  # top and bottom of the two charts


@dataclass(frozen=True)
class Samples:
    """Samples of a scene before and after, on some of its tiles.

    Attributes
    ----------
    windows : list of (slice, slice)
        Rows and columns of the tiles; the pixels are in the first one.
    tiles : int
        How many the scene has.
    pixels : list of (int, int)
        Row and column in the scene of the marked ones: a dark, a usual and a bright one.
    before, after : ndarray, shape (pixels, bands)
        Their spectra; NaN where a band is not valid.
    rmse : ndarray, shape (bands,)
        Of each band over the tiles; NaN where nothing is valid.
    """

    windows: list[Window]
    tiles: int
    pixels: list[tuple[int, int]]
    before: Floats
    after: Floats
    rmse: Floats


def sampled(scene: Scene, sidecar: Sidecar) -> Samples | None:
    """Compare a scene with what it was compressed to, on a tile near its middle and a spread.

    None where no tile that was looked at near the middle has enough valid pixels.
    """
    reader = Reader(sidecar)
    for number in _from_the_middle(reader):
        after = reader.tile(number)
        valid = ~scene.invalid(after)
        marked = _marked(after, valid)
        if marked:
            break
    else:
        return None
    others = [other for other in _spread(reader.tiling) if other != number]
    windows = [reader.tiling.window(measured) for measured in (number, *others)]
    before = _read(scene, windows[0])
    errors, counts = _errors(before, after, valid)
    for other, window in zip(others, windows[1:], strict=True):
        held = reader.tile(other)
        found = _errors(_read(scene, window), held, ~scene.invalid(held))
        errors, counts = errors + found[0], counts + found[1]
    down, across = np.array(marked).T
    spectra = [
        np.where(valid[:, down, across], found[:, down, across], np.nan).T.astype(np.float64)
        for found in (before, after)
    ]
    top, left = (side.start for side in windows[0])
    pixels = [(top + row, left + col) for row, col in marked]
    rmse = np.sqrt(np.where(counts, errors, np.nan) / np.maximum(counts, 1))
    return Samples(windows, len(reader.tiling), pixels, spectra[0], spectra[1], rmse)


def _spread(tiling: Tiling) -> list[int]:
    """Tiles of all parts of a scene, one less than are measured: the one in its middle is too."""
    down, across = tiling.grid
    most = min(_MOST_MEASURED, len(tiling) // _MEASURED_SHARE) - 1
    # Down in equal steps, across by the golden ratio: no two in a line.
    steps = np.arange(max(most, 0))
    rows = ((steps + 0.5) / max(most, 1) * down).astype(int)
    cols = (steps * _GOLDEN % 1 * across).astype(int)
    return sorted({int(number) for number in rows * across + cols})


def _read(scene: Scene, window: Window) -> npt.NDArray[Any]:
    samples = scene.data[(slice(None), *window)]
    if isinstance(samples, dask.array.Array):
        samples = samples.compute(scheduler="synchronous")
    return np.asarray(samples)


def _from_the_middle(reader: Reader) -> Iterator[int]:
    tiling = reader.tiling
    middle = np.array((tiling.rows, tiling.cols)) / 2

    def away(number: int) -> float:
        rows, cols = tiling.window(number)
        centre = np.array((rows.start + rows.stop, cols.start + cols.stop)) / 2
        return float(np.hypot(*(centre - middle)))

    yield from sorted(range(len(tiling)), key=away)[:_MOST_TRIES]


def _marked(samples: npt.NDArray[Any], valid: Mask) -> list[tuple[int, int]]:
    """A dark, a usual and a bright pixel of those that are valid in all bands that hold any."""
    live = valid.any(axis=(1, 2))
    places = np.argwhere(valid[live].all(axis=0)) if live.any() else np.empty((0, 2), int)
    if len(places) < len(_MARKED):
        return []
    brightness = np.zeros(len(places))
    for plane in samples[live]:
        brightness += plane[places[:, 0], places[:, 1]]
    order = np.argsort(brightness, kind="stable")
    chosen = places[order[[int(share * (len(order) - 1)) for share in _MARKED]]]
    return [(int(row), int(col)) for row, col in chosen]


def _errors(
    before: npt.NDArray[Any], after: npt.NDArray[Any], valid: Mask
) -> tuple[Floats, Floats]:
    """Of each band, the sum of the squared errors, and how many samples it is of."""
    errors = np.zeros(len(before))
    for band, counted in enumerate(valid):
        off = before[band][counted].astype(np.float64) - after[band][counted]
        errors[band] = float(off @ off)
    return errors, np.count_nonzero(valid, axis=(1, 2)).astype(np.float64)


def drawn(samples: Samples, scene: Scene) -> str:
    """The samples as an SVG picture: spectra above, the error of each band below."""
    micrometres = scene.wavelengths_um
    known = micrometres is not None and bool(np.isfinite(micrometres).all())
    x = micrometres * 1000 if micrometres is not None and known else np.arange(1.0, scene.bands + 1)
    order = np.argsort(x, kind="stable")
    some = f"in {len(samples.windows)} of {samples.tiles} tiles, framed on the right"
    where = "in the whole scene" if samples.tiles == 1 else some
    chart = _Chart(x[order], "wavelength in nm" if known else "band")
    parts = [*chart.frame(_SPECTRA, (samples.before, samples.after))]
    for number, (row, col) in enumerate(samples.pixels):
        colour = _COLOURS[number]
        parts.append(_text(_LEFT + 130 * number, 16, f"pixel ({row}, {col})", colour))
        parts.append(chart.line(samples.before[number][order], colour, "before"))
        parts.append(chart.line(samples.after[number][order], colour, "after"))
    parts.append(_text(_LEFT + 400, 16, "pale: before, dark: after"))
    parts += _sketch(samples, scene)
    parts += chart.frame(_ERRORS, (np.append(samples.rmse, 0.0),))
    parts.append(_text(_LEFT, _ERRORS[0] - 8, f"RMSE of each band, {where}"))
    parts.append(chart.line(samples.rmse[order], "#333", "after"))
    parts.append(_text(_RIGHT, _ERRORS[1] + 34, chart.label, anchor="end"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_ERRORS[1] + 44}" '
        'font-family="sans-serif" font-size="12"><style>'
        "path{fill:none;stroke-linejoin:round;stroke-linecap:round}"
        ".before{stroke-width:5;opacity:.3}.after{stroke-width:1.3}</style>"
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


class _Chart:
    """Charts over the same x, one below the other."""

    def __init__(self, x: Floats, label: str) -> None:
        self.label = label
        self._x, self._span = x, (float(x[0]), float(x[-1]))
        self._gap = _GAP * float(np.median(np.diff(x))) if x.size > 1 else 0.0
        self._y = self._range = 0.0, 1.0

    def frame(self, between: tuple[int, int], values: tuple[Floats, ...]) -> Iterator[str]:
        """Begin a chart between two heights, with room for some values."""
        finite = np.concatenate([v[np.isfinite(v)] for v in values])
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        self._range = low, high if high > low else low + 1
        self._y = between
        top, bottom = between
        yield f'<path d="M{_LEFT} {top}V{bottom}H{_RIGHT}" stroke="#999"/>'
        for height, value in ((top + 4, self._range[1]), (bottom, self._range[0])):
            yield _text(_LEFT - 6, height, f"{value:.4g}", anchor="end")
        yield _text(_LEFT, bottom + 16, f"{self._span[0]:.4g}")
        yield _text(_RIGHT, bottom + 16, f"{self._span[1]:.4g}", anchor="end")

    def line(self, values: Floats, colour: str, kind: str) -> str:
        known = np.isfinite(values)
        left, right = self._span
        low, high = self._range
        across = _LEFT + (self._x[known] - left) / (right - left or 1) * (_RIGHT - _LEFT)
        height = self._y[1] - (values[known] - low) / (high - low) * (self._y[1] - self._y[0])
        # Whole numbers, each from the one before: a third of the bytes.
        points = np.rint((across, height)).astype(int).T
        steps = np.diff(points, axis=0, prepend=points[:1] * 0).tolist()
        # A line anew behind a gap: it bridges no bands that were left out.
        anew = np.diff(self._x[known], prepend=-np.inf) > self._gap
        letters = np.where(anew, "m", "l")
        path = "".join(f"{to}{x},{y}" for to, (x, y) in zip(letters, steps, strict=True))
        return f'<path class="{kind}" stroke="{colour}" d="{path}"/>'


def _sketch(samples: Samples, scene: Scene) -> Iterator[str]:
    """Where in the scene the tiles and the marked pixels are."""
    scale = _SKETCH / max(scene.rows, scene.cols)
    left, top = _RIGHT + 12, _SPECTRA[0]
    for rows, cols in (np.s_[0 : scene.rows, 0 : scene.cols], *samples.windows):
        height, width = (max((side.stop - side.start) * scale, 1) for side in (rows, cols))
        place = f'x="{left + cols.start * scale:.0f}" y="{top + rows.start * scale:.0f}"'
        size = f'width="{width:.0f}" height="{height:.0f}"'
        yield f'<rect {place} {size} fill="none" stroke="#999"/>'
    for (row, col), colour in zip(samples.pixels, _COLOURS, strict=True):
        place = f'cx="{left + (col + 0.5) * scale:.0f}" cy="{top + (row + 0.5) * scale:.0f}"'
        yield f'<circle {place} r="3.5" fill="{colour}"/>'


def _text(x: float, y: float, text: str, colour: str = "#333", *, anchor: str = "start") -> str:
    return (
        f'<text x="{x}" y="{y}" fill="{colour}" text-anchor="{anchor}">{html.escape(text)}</text>'
    )
