"""What QGIS gets: two actions, a handler for dropped files, a map tool and a dock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qgis.core import (
    Qgis,
    QgsApplication,
    QgsCoordinateTransform,
    QgsCsException,
    QgsPointXY,
    QgsProject,
    QgsRasterLayer,
    QgsTask,
)
from qgis.gui import QgisInterface, QgsCustomDropHandler, QgsMapToolEmitPoint, QgsVertexMarker
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QAction, QFileDialog
from qgis.utils import OverrideCursor

from .dock import SpectrumDock
from .qgis_python import how_to_install

if TYPE_CHECKING:
    from .layer import Prepared

__all__ = ["Plugin"]

# Of a layer, kept in projects: the absolute path of its sidecar.
_SIDECAR_PROPERTY = "xhsinr/sidecar"

_MENU = "Hyperspectral"
_FOLDER = Path(__file__).parent


class DropHandler(QgsCustomDropHandler):
    """Takes sidecars that are dropped onto the window."""

    def __init__(self, open_file: Callable[[str], None]) -> None:
        super().__init__()
        self.open_file = open_file

    def handleFileDrop(self, file: str) -> bool:  # noqa: N802 (QGIS calls it)
        if not file.lower().endswith(".hsinr"):
            return False
        self.open_file(file)
        return True


class Plugin:
    """Opens sidecars as layers and shows the spectra of their pixels.

    xhsinr is imported when it is first needed, so that QGIS starts fast, and starts without it.
    """

    def __init__(self, iface: QgisInterface) -> None:
        self.iface = iface
        self.canvas = iface.mapCanvas()
        self.tasks: set[QgsTask] = set()

    def initGui(self) -> None:  # noqa: N802 (QGIS calls it)
        window = self.iface.mainWindow()
        self.add_action = QAction(_icon("icon"), "Add Hyperspectral Archive…", window)
        self.add_action.triggered.connect(self.choose_files)
        self.iface.insertAddLayerAction(self.add_action)
        self.spectrum_action = QAction(_icon("spectrum"), "Show Spectrum", window)
        self.spectrum_action.setCheckable(True)
        self.spectrum_action.triggered.connect(self.pick_pixels)
        for action in (self.add_action, self.spectrum_action):
            self.iface.addToolBarIcon(action)
            self.iface.addPluginToRasterMenu(_MENU, action)

        self.drop_handler = DropHandler(self.open_file)
        self.iface.registerCustomDropHandler(self.drop_handler)
        self.dock = SpectrumDock(window)
        self.iface.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, self.dock)
        self.dock.hide()
        self.tool = QgsMapToolEmitPoint(self.canvas)
        self.tool.setAction(self.spectrum_action)
        self.tool.canvasClicked.connect(self.show_spectrum)
        self.marker = QgsVertexMarker(self.canvas)
        self.marker.setPenWidth(2)
        self.marker.hide()
        self.tool.deactivated.connect(self.marker.hide)

    def unload(self) -> None:
        self.canvas.unsetMapTool(self.tool)
        self.canvas.scene().removeItem(self.marker)
        self.iface.removeDockWidget(self.dock)
        self.dock.deleteLater()
        self.iface.unregisterCustomDropHandler(self.drop_handler)
        self.iface.removeAddLayerAction(self.add_action)
        for action in (self.add_action, self.spectrum_action):
            self.iface.removeToolBarIcon(action)
            self.iface.removePluginRasterMenu(_MENU, action)

    def choose_files(self) -> None:
        """Ask for sidecars and open them."""
        chosen, _ = QFileDialog.getOpenFileNames(
            self.iface.mainWindow(),
            "Add hyperspectral archive",
            QgsProject.instance().homePath(),
            "Hyperspectral archives (*.hsinr)",
        )
        for path in chosen:
            self.open_file(path)

    def open_file(self, path: str) -> None:
        """Add a sidecar to the project, once a task in the background has prepared it."""

        def work(_: QgsTask) -> Prepared:
            from .layer import prepare

            return prepare(path)

        def finished(error: Exception | None, prepared: Prepared | None = None) -> None:
            self.tasks.discard(task)
            if error is not None:
                self.report(error)
            elif prepared is not None:
                self.add_layer(prepared)

        task = QgsTask.fromFunction(f"Open {Path(path).name}", work, on_finished=finished)
        # QGIS does not keep the Python side of it alive.
        self.tasks.add(task)
        QgsApplication.taskManager().addTask(task)

    def add_layer(self, prepared: Prepared) -> None:
        """Add what was prepared to the project."""
        from .layer import make_layer

        layer = make_layer(prepared)
        layer.setCustomProperty(_SIDECAR_PROPERTY, str(prepared.sidecar))
        QgsProject.instance().addMapLayer(layer)
        self.iface.setActiveLayer(layer)

    def report(self, error: Exception) -> None:
        """Say what went wrong, in the package's own words."""
        text = how_to_install(error) if isinstance(error, ImportError) else str(error)
        self.say(text or repr(error))

    def say(self, text: str) -> None:
        """Show an error until it is closed."""
        self.iface.messageBar().pushMessage("xhsinr", text, Qgis.MessageLevel.Critical, 0)

    def pick_pixels(self, checked: bool) -> None:
        """Show the dock and take clicks, or stop doing so."""
        if checked:
            self.dock.show()
            self.canvas.setMapTool(self.tool)
        else:
            self.canvas.unsetMapTool(self.tool)

    def show_spectrum(self, point: QgsPointXY) -> None:
        """Show the spectrum of the pixel at a place of the map, given in the map's CRS."""
        layer = self._hyperspectral_layer()
        if layer is None:
            self.dock.show_text("There is no hyperspectral layer on the map.")
            return
        try:
            from xhsinr.errors import HsinrError

            from .spectrum import read_spectrum
        except ImportError as error:
            self.report(error)
            return
        self.marker.setCenter(point)
        self.marker.show()
        crs = self.canvas.mapSettings().destinationCrs()
        to_layer = QgsCoordinateTransform(crs, layer.crs(), QgsProject.instance())
        sidecar = layer.customProperty(_SIDECAR_PROPERTY)
        try:
            with OverrideCursor(Qt.CursorShape.WaitCursor):
                place = to_layer.transform(point)
                spectrum = read_spectrum(sidecar, layer.source(), place.x(), place.y())
        except (HsinrError, OSError, QgsCsException) as error:
            self.dock.show_text(str(error))
        else:
            self.dock.show_spectrum(spectrum)

    def _hyperspectral_layer(self) -> QgsRasterLayer | None:
        """The active layer if it is of a sidecar, else the topmost on the map that is."""
        layers = [self.iface.activeLayer(), *self.canvas.layers()]
        ours = (layer for layer in layers if layer and layer.customProperty(_SIDECAR_PROPERTY))
        return next(ours, None)


def _icon(name: str) -> QIcon:
    return QIcon(str(_FOLDER / f"{name}.svg"))
