"""Runs inside QGIS's own Python, see test_qgis.py: uses the plugin as a user does, and notes what
comes of it.

    python3 qgis_session.py             offscreen, with a window of its own
    qgis --code qgis_session.py         in the desktop program

The environment variable ``XHSINR_REQUEST`` names a JSON file that says what to do; the answer is
written beside it, as ``answer.json``.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from osgeo import gdal
from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsPointXY,
    QgsProject,
    QgsRasterLayer,
)
from qgis.gui import QgsMapCanvas, QgsMessageBar
from qgis.PyQt.QtCore import QMimeData, QPoint, QPointF, QSize, Qt, QTimer, QUrl
from qgis.PyQt.QtGui import QDragEnterEvent, QDropEvent
from qgis.PyQt.QtWidgets import QApplication, QMainWindow

PATIENCE = 60


class Window:
    """As much of QgisInterface as the plugin uses, around a real canvas and message bar."""

    def __init__(self) -> None:
        self.window = QMainWindow()
        self.canvas = QgsMapCanvas(self.window)
        self.canvas.resize(512, 256)
        self.bar = QgsMessageBar(self.window)
        self.active: Any = None
        self.actions: list[Any] = []
        self.handlers: list[Any] = []

    def mainWindow(self) -> QMainWindow:  # noqa: N802
        return self.window

    def mapCanvas(self) -> QgsMapCanvas:  # noqa: N802
        return self.canvas

    def messageBar(self) -> QgsMessageBar:  # noqa: N802
        return self.bar

    def activeLayer(self) -> Any:  # noqa: N802
        return self.active

    def setActiveLayer(self, layer: Any) -> None:  # noqa: N802
        self.active = layer

    def addDockWidget(self, area: Any, dock: Any) -> None:  # noqa: N802
        self.window.addDockWidget(area, dock)

    def removeDockWidget(self, dock: Any) -> None:  # noqa: N802
        self.window.removeDockWidget(dock)

    def registerCustomDropHandler(self, handler: Any) -> None:  # noqa: N802
        self.handlers.append(handler)

    def unregisterCustomDropHandler(self, handler: Any) -> None:  # noqa: N802
        self.handlers.remove(handler)

    def insertAddLayerAction(self, action: Any) -> None:  # noqa: N802
        self.actions.append(action)

    def removeAddLayerAction(self, action: Any) -> None:  # noqa: N802
        self.actions.remove(action)

    def addToolBarIcon(self, action: Any) -> None:  # noqa: N802
        self.actions.append(action)

    def removeToolBarIcon(self, action: Any) -> None:  # noqa: N802
        self.actions.remove(action)

    def addPluginToRasterMenu(self, menu: str, action: Any) -> None:  # noqa: N802
        self.actions.append(action)

    def removePluginRasterMenu(self, menu: str, action: Any) -> None:  # noqa: N802
        self.actions.remove(action)


def wait_for(condition: Callable[[], bool]) -> None:
    """Let QGIS work until something has happened."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("QGIS did not come to an end")
        QApplication.processEvents()
        time.sleep(0.01)


def drop(iface: Any, path: str) -> None:
    """Drop a file onto the window; our own window only knows its handlers."""
    if isinstance(iface, Window):
        assert any(handler.handleFileDrop(path) for handler in iface.handlers)
        return
    data, place = QMimeData(), QPoint(300, 300)
    data.setUrls([QUrl.fromLocalFile(path)])
    how = (Qt.CopyAction, data, Qt.LeftButton, Qt.NoModifier)
    QApplication.sendEvent(iface.mainWindow(), QDragEnterEvent(place, *how))
    QApplication.sendEvent(iface.mainWindow(), QDropEvent(QPointF(place), *how))


def messages(iface: Any) -> list[str]:
    """What the message bar says, and has it say no more."""
    found = [item.text() for item in iface.messageBar().items() if item.title() == "xhsinr"]
    iface.messageBar().clearWidgets()
    return found


def described(layer: QgsRasterLayer, picture: Path) -> dict[str, Any]:
    """A layer, and a picture of it, one pixel a pixel."""
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setDestinationCrs(layer.crs())
    settings.setExtent(layer.extent())
    settings.setOutputSize(QSize(layer.width(), layer.height()))
    settings.setBackgroundColor(Qt.black)
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    job.renderedImage().save(str(picture))
    renderer, extent = layer.renderer(), layer.extent()
    return {
        "valid": layer.isValid(),
        "crs": layer.crs().authid(),
        "extent": [extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum()],
        "bands": [renderer.redBand(), renderer.greenBand(), renderer.blueBand()],
        "count": layer.bandCount(),
        "source": layer.source(),
        "picture": str(picture),
    }


def open_files(iface: Any, plugin: Any, request: dict[str, Any], out: Path) -> dict[str, Any]:
    """Drop each file; its layer, or what the message bar says instead."""
    found: dict[str, Any] = {}
    for path in request["files"]:
        name = Path(path).stem
        started: list[str] = []
        plugin.drop_handler.open_file = lambda path, s=started: (
            s.append(path),
            plugin.open_file(path),
        )
        drop(iface, path)
        wait_for(lambda s=started: bool(s) and not plugin.tasks)
        layers = QgsProject.instance().mapLayersByName(name)
        found[name] = {"messages": messages(iface)}
        if layers:
            found[name] |= described(layers[0], out / f"{name}.png")
    return found


def click(iface: Any, plugin: Any, clicks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Click places of the map, each given in a CRS that the map is set to."""
    found = []
    plugin.spectrum_action.trigger()
    for place in clicks:
        layers = QgsProject.instance().mapLayersByName(place["layer"])
        iface.setActiveLayer(layers[0] if layers else None)
        iface.mapCanvas().setDestinationCrs(QgsCoordinateReferenceSystem(place["crs"]))
        plugin.tool.canvasClicked.emit(QgsPointXY(place["x"], place["y"]), Qt.LeftButton)
        spectrum = plugin.dock.chart.spectrum
        QApplication.clipboard().clear()
        plugin.dock.copy_button.click()
        answer = {"label": plugin.dock.label.text(), "copied": QApplication.clipboard().text()}
        if spectrum is not None:
            answer["inked"] = inked(plugin.dock.chart)
        found.append(answer)
    return found


def inked(chart: Any) -> int:
    """Pixels of a chart in the colour of its line."""
    image = chart.grab().toImage()
    pixels = ((x, y) for x in range(image.width()) for y in range(image.height()))
    return sum(image.pixelColor(x, y).name() == "#c2492f" for x, y in pixels)


def reopened(out: Path, name: str) -> dict[str, Any]:
    """Save the project, open it again, look at a layer."""
    project = QgsProject.instance()
    assert project.write(str(out / "project.qgs"))
    project.clear()
    assert project.read(str(out / "project.qgs"))
    (layer,) = project.mapLayersByName(name)
    return described(layer, out / f"{name}_reopened.png")


def session(iface: Any, request: dict[str, Any], out: Path) -> dict[str, Any]:
    """Everything, in the order in which a user would do it."""
    sys.path.insert(0, request["plugins"])
    import xhsinr_plugin

    plugin = xhsinr_plugin.classFactory(iface)
    plugin.initGui()
    answer: dict[str, Any] = {
        "trusted": gdal.GetConfigOption("GDAL_VRT_PYTHON_TRUSTED_MODULES"),
        "takes_geotiff": plugin.drop_handler.handleFileDrop("scene.tif"),
        "files": open_files(iface, plugin, request, out),
        "clicks": click(iface, plugin, request.get("clicks", [])),
    }
    if "screenshot" in request:
        iface.mainWindow().grab().save(request["screenshot"])
    if "reopen" in request:
        answer["reopened"] = reopened(out, request["reopen"])
    plugin.unload()
    if isinstance(iface, Window):
        answer["left_behind"] = len(iface.handlers) + len(iface.actions)
    answer["other_gdal"] = "rasterio" in sys.modules
    return answer


def write_answer(iface: Any) -> None:
    request_path = Path(os.environ["XHSINR_REQUEST"])
    try:
        request = json.loads(request_path.read_text())
        answer = session(iface, request, request_path.parent)
    except BaseException:
        answer = {"failure": traceback.format_exc()}
    request_path.with_name("answer.json").write_text(json.dumps(answer))
    # Without the questions that QGIS asks on leaving.
    os._exit(0)


if os.environ.get("XHSINR_DESKTOP"):
    from qgis.utils import iface as desktop

    QTimer.singleShot(0, lambda: write_answer(desktop))
else:
    application = QgsApplication([], True)
    application.initQgis()
    write_answer(Window())
