"""The dock with the spectrum of the clicked pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import (
    QApplication,
    QDockWidget,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from .chart import SpectrumChart

if TYPE_CHECKING:
    from .spectrum import Spectrum

__all__ = ["SpectrumDock"]


class SpectrumDock(QDockWidget):
    """A chart, what it shows, and a button that copies the numbers."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__("Spectrum", parent)
        self.setObjectName("xhsinrSpectrum")
        self.chart = SpectrumChart()
        self.label = QLabel()
        self.label.setWordWrap(True)
        self.label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.copy_button = QPushButton("Copy")
        self.copy_button.setToolTip("Copy the spectrum as a table of wavelength and value")
        self.copy_button.clicked.connect(self.copy)
        row = QHBoxLayout()
        row.addWidget(self.label, stretch=1)
        row.addWidget(self.copy_button)
        column = QVBoxLayout()
        column.addLayout(row)
        column.addWidget(self.chart, stretch=1)
        body = QWidget()
        body.setLayout(column)
        self.setWidget(body)
        self.show_text("Click a pixel of a hyperspectral layer.")

    def show_spectrum(self, spectrum: Spectrum) -> None:
        self.chart.set_spectrum(spectrum)
        self.label.setText(spectrum.title)
        self.copy_button.setEnabled(True)

    def show_text(self, text: str) -> None:
        """Say something in place of a spectrum."""
        self.chart.set_spectrum(None)
        self.label.setText(text)
        self.copy_button.setEnabled(False)

    def copy(self) -> None:
        """Put the spectrum on the clipboard, as text."""
        if self.chart.spectrum is not None:
            QApplication.clipboard().setText(self.chart.spectrum.to_text())
