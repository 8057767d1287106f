"""A figure of what compression changed."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from xhsinr.errors import HsinrError
from xhsinr.folders import name_of
from xhsinr.metrics import Quality
from xhsinr.pictures.comparison import Comparison, compare, scene_of
from xhsinr.pictures.picture import limits, picture_bands, stretched
from xhsinr.scene import Scene
from xhsinr.scene.origin import file_of
from xhsinr.storage import locate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["quality_figure"]

Floats = npt.NDArray[np.float64]

# Colours told apart with any colour vision (Okabe and Ito), and on a photograph.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
INK, GREY = "#222222", "#8A8A8A"
# A scene is shown in pictures of at most this many pixels a side.
SIDE = 1024


def quality_figure(
    original: Any,
    decoded: Any,
    path: str | os.PathLike[str] | None = None,
    title: str | None = None,
    *,
    progress: bool = True,
) -> Figure:
    """Figure of a scene before and after compression, and of the error between the two.

    It shows both scenes in the same stretch, the RMSE of each pixel and of each band, and
    the spectra of four pixels spread over the scene and its materials. Both are read tile by
    tile, so neither need fit in memory.

    Parameters
    ----------
    original, decoded : DataArray, Dataset, ndarray (rows, cols, bands), path or Compressed
        The scene before and after: whatever `xhsinr.compress` takes or returns, or the path of
        a sidecar. Samples of the original that are not finite, or nodata, are left out.
    path : path, optional
        Where to save the figure, in the format of its suffix: .png (1400 x 900 px), .pdf...
    title : str, optional
        Title; by default the name of the original's file, or its own.
    progress : bool
        Show a bar for what takes more than two seconds.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    HsinrError
        If matplotlib is not installed.
    SceneError
        If the two are not scenes of the same shape, or no sample of the original is valid.
    """
    try:
        from matplotlib import rc_context

        from xhsinr.pictures.notebook_figure import NotebookFigure
    except ImportError as error:
        raise HsinrError(
            "figures need matplotlib, which is not installed: pip install 'xhsinr[plot]'"
        ) from error

    found = compare(scene_of(original), scene_of(decoded), progress=progress)
    scene = found.original
    units = _units(scene)
    heading = _name_of(original, scene) if title is None else title
    pixels = _varied_pixels(found)
    along = _along(scene)

    with rc_context(STYLE):
        figure = NotebookFigure(figsize=(14, 9), dpi=100, layout="constrained")
        cast(Any, figure.get_layout_engine()).set(w_pad=0.1, h_pad=0.1)
        heights = _heights(scene.rows, scene.cols)
        halves: Any = figure.subfigures(2, 1, height_ratios=heights)
        top, bottom = halves
        top.suptitle(heading, x=0.012, ha="left", weight="bold", size=16)
        summary = _summary(found.quality, units)
        top.text(0.988, 0.982, summary, ha="right", va="top", size=12, color=INK)
        pictures = top.subplots(1, 3, sharex=True, sharey=True)
        _draw_pictures(pictures[:2], found)
        for axes in pictures[:2]:
            _mark(axes, found, pixels)
        _draw_error_map(pictures[2], found.by_pixel, units)
        pictures[0].set_ylabel("Row")
        lines = bottom.subplots(1, 2, width_ratios=(1, 1.4))
        _draw_band_error(lines[0], along, found.by_band, units)
        _draw_spectra(lines[1], along, found, pixels, units)
        for axes in lines:
            axes.set_xlabel(along.label)
            axes.margins(x=0.01)
            axes.grid(axis="y", color="#E6E6E6", lw=0.8)
            axes.set_axisbelow(True)
        if path is not None:
            figure.savefig(path)
    return figure


STYLE: Any = {  # matplotlib's type for it lists every setting by name
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}


class _Along(NamedTuple):
    """The horizontal axis of spectra: where each band is, and the bands from left to right."""

    values: Floats
    order: npt.NDArray[np.intp]
    label: str

    def line(self, values: Floats) -> tuple[Floats, Floats]:
        """Points of a line, with a NaN in each gap, so that it bridges no bands left out."""
        x, y = self.values[self.order], values[self.order]
        if x.size < 2:
            return x, y
        steps = np.diff(x)
        gaps = np.flatnonzero(steps > 4 * np.median(steps)) + 1
        return np.insert(x, gaps, np.nan), np.insert(y, gaps, np.nan)


def _units(scene: Scene) -> str:
    """What the samples are in; nothing where bands differ."""
    found = scene.attrs.get("units", "")
    each = set(found) if isinstance(found, list) else {found}
    return str(each.pop() or "") if len(each) == 1 else ""


def _name_of(original: Any, scene: Scene) -> str:
    """The name of the file that a scene is from; its own where it is from none."""
    found = file_of(original)
    return (scene.name if found is None else name_of(locate(found))) or "Scene"


def _along(scene: Scene) -> _Along:
    """Wavelengths in nanometres where they are known, the numbers of the bands otherwise."""
    micrometres = scene.wavelengths_um
    if micrometres is not None:
        order = np.argsort(micrometres, kind="stable")
        return _Along(1000 * micrometres, order, "Wavelength (nm)")
    if scene.wavelengths is not None:
        order = np.argsort(scene.wavelengths, kind="stable")
        return _Along(scene.wavelengths, order, "Wavelength")
    return _Along(np.arange(1.0, scene.bands + 1), np.arange(scene.bands), "Band")


def _varied_pixels(found: Comparison) -> list[int]:
    """Up to four pixels of the grid that differ in spectrum and place.

    The first is the one of middling brightness; each next one is the farthest from those
    before it, in the product of both distances. On a coarse grid, few single bad pixels are
    among the candidates.
    """
    counts = np.count_nonzero(np.isfinite(found.before), axis=0)
    full = np.flatnonzero(counts == counts.max())
    spectra = np.nan_to_num(found.before[:, full])
    row, col = found.rows[full] / found.original.rows, found.cols[full] / found.original.cols
    brightness = spectra.mean(axis=0)
    chosen = [int(np.argsort(brightness)[brightness.size // 2])]
    away = np.full(brightness.size, np.inf)
    while True:
        last = chosen[-1]
        # Square roots, so that bright pixels alone don't win.
        unlike = np.sqrt(np.abs(spectra)) - np.sqrt(np.abs(spectra[:, [last]]))
        apart = np.hypot(row - row[last], col - col[last])
        away = np.minimum(away, np.linalg.norm(unlike, axis=0) * apart)
        if len(chosen) == len(COLOURS) or not away.max() > 0:
            return [int(index) for index in full[chosen]]
        chosen.append(int(away.argmax()))


def _heights(rows: int, cols: int) -> tuple[float, float]:
    """Heights of the pictures and of the plots below: wide scenes need less above."""
    pictures = float(np.clip(3.9 * rows / cols + 1.4, 3.4, 4.9))
    return pictures, 9 - pictures


def _draw_pictures(places: Sequence[Axes], found: Comparison) -> None:
    scene = found.original
    bands = picture_bands(np.isfinite(found.by_band), scene.wavelengths_um)
    step = math.ceil(max(scene.rows, scene.cols) / SIDE)
    before, after = (np.asarray(one.data[bands, ::step, ::step]) for one in (scene, found.decoded))
    valid = np.isfinite(before) & ~scene.invalid(before)
    between = limits(before, valid)
    for axes, planes, name in zip(places, (before, after), ("Original", "Decoded"), strict=True):
        # Rows and columns are counted from 0, as in indexing.
        axes.imshow(
            stretched(planes, valid, between),
            interpolation="nearest",
            extent=(-0.5, scene.cols - 0.5, scene.rows - 0.5, -0.5),
        )
        axes.set_title(name)
        axes.set_xlabel("Column")


def _mark(axes: Axes, found: Comparison, pixels: list[int]) -> None:
    """Number the pixels whose spectra are shown."""
    for number, (pixel, colour) in enumerate(zip(pixels, COLOURS, strict=False), 1):
        place = (int(found.cols[pixel]), int(found.rows[pixel]))
        box = {"boxstyle": "circle,pad=0.22", "fc": colour, "ec": "white", "lw": 1.2}
        axes.plot(*place, "s", ms=6, mfc="none", mec="white", mew=1.4)
        axes.annotate(
            str(number), place, (9, 9), textcoords="offset points", bbox=box,
            color="white", weight="bold", size=9, ha="center", va="center",
        )  # fmt: skip


def _draw_error_map(axes: Axes, rmse: Floats, units: str) -> None:
    shown = rmse[np.isfinite(rmse)]
    top = float(np.percentile(shown, 99)) if shown.size and shown.max() > 0 else 1.0
    axes.set_facecolor("#DDDDDD")
    image = axes.imshow(rmse, cmap="magma", vmin=0, vmax=top, interpolation="nearest")
    axes.set_title("Error of each pixel")
    axes.set_xlabel("Column")
    bar = axes.figure.colorbar(
        image,
        cax=axes.inset_axes((1.03, 0, 0.045, 1)),
        extend="max" if shown.size and shown.max() > top else "neither",
    )
    bar.set_label(_with_units("RMSE over bands", units))
    bar.outline.set_linewidth(0)


def _draw_band_error(axes: Axes, along: _Along, rmse: Floats, units: str) -> None:
    axes.plot(*along.line(rmse), color=INK, lw=1.5)
    largest = float(np.max(rmse, initial=0, where=np.isfinite(rmse)))
    axes.set_ylim(0, 1.08 * largest if largest > 0 else 1)
    axes.set_title("Error of each band")
    axes.set_ylabel(_with_units("RMSE over pixels", units))


def _draw_spectra(
    axes: Axes, along: _Along, found: Comparison, pixels: list[int], units: str
) -> None:
    for number, (pixel, colour) in enumerate(zip(pixels, COLOURS, strict=False), 1):
        axes.plot(*along.line(found.before[:, pixel]), color=colour, lw=4.5, alpha=0.35)
        label = f"{number}: row {found.rows[pixel]}, column {found.cols[pixel]}"
        axes.plot(*along.line(found.after[:, pixel]), color=colour, lw=1.3, label=label)
    axes.plot([], [], color=GREY, lw=4.5, alpha=0.45, label="original")
    axes.plot([], [], color=GREY, lw=1.3, label="decoded")
    axes.set_title("Spectra of the marked pixels")
    axes.set_ylabel(_with_units("Value", units))
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _with_units(label: str, units: str) -> str:
    return f"{label} ({units})" if units not in ("", "1") else label


def _summary(quality: Quality, units: str) -> str:
    unit = f" {units}" if units not in ("", "1") else ""
    if quality.max_error == 0:
        return "lossless: all samples equal"
    return "      ".join(
        (
            f"PSNR {quality.psnr_db:.1f} dB",
            f"RMSE {quality.rmse:.3g}{unit}",
            f"largest error {quality.max_error:.4g}{unit}",
            f"mean spectral angle {quality.mean_sam_deg:.2f}\N{DEGREE SIGN}",
        )
    )
