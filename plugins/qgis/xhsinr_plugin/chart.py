"""A line chart of a spectrum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from qgis.PyQt.QtCore import QPointF, QRectF, QSize, Qt
from qgis.PyQt.QtGui import QColor, QPainter, QPaintEvent, QPalette, QPen, QPolygonF
from qgis.PyQt.QtWidgets import QWidget

if TYPE_CHECKING:
    from .spectrum import Spectrum

__all__ = ["SpectrumChart", "runs", "ticks"]

_LINE = QColor("#c2492f")
_GAP = 6
_LEAP = 5


class SpectrumChart(QWidget):
    """Values over wavelength; bands without a value leave a gap."""

    def __init__(self) -> None:
        super().__init__()
        self.spectrum: Spectrum | None = None
        self.setMinimumSize(200, 140)

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt calls it)
        return QSize(420, 180)

    def set_spectrum(self, spectrum: Spectrum | None) -> None:
        """Show another spectrum, or none."""
        self.spectrum = spectrum
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802 (Qt calls it)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), self.palette().color(QPalette.ColorRole.Base))
        if self.spectrum is not None:
            _draw(painter, self.spectrum, self.palette().color(QPalette.ColorRole.Text))
        painter.end()


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers from ``low`` to ``high``, a step of 1, 2 or 5 apart, at most one above most."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low]
    unit = 10.0 ** math.floor(math.log10(span / most))
    step = next(n * unit for n in (1, 2, 5, 10, 20) if span / (n * unit) <= most)
    return [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def runs(positions: Sequence[float], values: Sequence[float]) -> list[range]:
    """Which values to join by a line: no NaN, and no leap to another part of the spectrum.

    Bands that were left out, and detectors that overlap, make a step many times the usual one.
    """
    steps = [abs(after - before) for before, after in pairwise(positions)]
    widest = _LEAP * median(steps) if steps else 0.0
    found: list[range] = []
    for band, value in enumerate(values):
        if math.isnan(value):
            continue
        if found and found[-1].stop == band and steps[band - 1] <= widest:
            found[-1] = range(found[-1].start, band + 1)
        else:
            found.append(range(band, band + 1))
    return found


@dataclass(frozen=True)
class _Frame:
    """Where the chart is on the widget, and what it spans."""

    area: QRectF
    left: float
    right: float
    bottom: float
    top: float

    def point(self, x: float, y: float) -> QPointF:
        across = (x - self.left) / (self.right - self.left)
        up = (y - self.bottom) / (self.top - self.bottom)
        return QPointF(
            self.area.left() + across * self.area.width(),
            self.area.bottom() - up * self.area.height(),
        )


def _draw(painter: QPainter, spectrum: Spectrum, ink: QColor) -> None:
    known = [value for value in spectrum.values if not math.isnan(value)]
    left, right = _span(spectrum.positions, 0.0)
    bottom, top = _span(known, 0.05)
    text = painter.fontMetrics()
    whole = QRectF(painter.viewport())
    levels = ticks(bottom, top, max(int(whole.height()) // (3 * text.height()), 2))
    beside = max(text.horizontalAdvance(f"{level:.6g}") for level in levels) + 2 * _GAP
    above, below = text.height() + _GAP, 2 * text.height() + 2 * _GAP
    frame = _Frame(whole.adjusted(beside, above, -3 * _GAP, -below), left, right, bottom, top)
    _draw_axes(painter, frame, levels, ink)
    painter.setPen(ink)
    footer = QRectF(frame.area.left(), whole.bottom() - below / 2, frame.area.width(), below / 2)
    painter.drawText(footer, Qt.AlignmentFlag.AlignCenter, spectrum.axis)
    painter.drawText(QPointF(_GAP, text.ascent() + _GAP / 2), spectrum.unit)
    painter.setPen(QPen(_LINE, 1.6))
    for run in runs(spectrum.positions, spectrum.values):
        points = [frame.point(spectrum.positions[i], spectrum.values[i]) for i in run]
        painter.drawPoint(points[0])
        painter.drawPolyline(QPolygonF(points))


def _draw_axes(painter: QPainter, frame: _Frame, levels: list[float], ink: QColor) -> None:
    """Grid lines with their numbers."""
    text, area = painter.fontMetrics(), frame.area
    faint = QColor(ink)
    faint.setAlpha(45)
    room = int(area.width()) // text.horizontalAdvance("000000")
    columns = ticks(frame.left, frame.right, max(room, 2))
    painter.setPen(faint)
    for level in levels:
        y = frame.point(frame.left, level).y()
        painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
    for column in columns:
        x = frame.point(column, frame.bottom).x()
        painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
    painter.setPen(ink)
    right_of = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
    for level in levels:
        y = frame.point(frame.left, level).y()
        box = QRectF(0, y - text.height() / 2, area.left() - _GAP, text.height())
        painter.drawText(box, right_of, f"{level:.6g}")
    for column in columns:
        x = frame.point(column, frame.bottom).x()
        box = QRectF(x - 50, area.bottom() + 2, 100, text.height())
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, f"{column:.6g}")


def _span(numbers: Sequence[float], margin: float) -> tuple[float, float]:
    """From the least to the largest, with a margin; wider where they are all the same."""
    low, high = min(numbers), max(numbers)
    around = margin * (high - low) if high > low else abs(low) / 10 or 1.0
    return low - around, high + around
