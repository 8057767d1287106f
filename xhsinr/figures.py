"""A figure of what compression changed."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import xarray as xr

from xhsinr.errors import HsinrError, SceneError
from xhsinr.metrics import Quality
from xhsinr.picture import limits, nanometres, picture_bands, stretched

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["quality_figure"]

Scene = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Picture = npt.NDArray[np.uint8]

# Colours told apart with any colour vision (Okabe and Ito), and on a photograph.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
BAND_DIMS = ("band", "bands", "wavelength")
INK, GREY = "#222222", "#8A8A8A"


def quality_figure(
    original: xr.DataArray,
    decoded: xr.DataArray,
    path: str | os.PathLike[str] | None = None,
    title: str | None = None,
) -> Figure:
    """Figure of a scene before and after compression, and of the error between the two.

    It shows both scenes in the same stretch, the RMSE of each pixel and of each band, and
    the spectra of four pixels spread over the scene and its materials.

    Parameters
    ----------
    original, decoded : DataArray
        The scene before and after, with the same dims in the same order. The band dim is
        the one of the `wavelength` coordinate, or is named band, bands or wavelength.
        Samples that are not finite or equal `_FillValue` or `nodata` in the original's
        attributes or encoding are left out.
    path : path, optional
        Where to save the figure, in the format of its suffix: .png (1400 x 900 px), .pdf...
    title : str, optional
        Title; by default the name of the original.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    HsinrError
        If matplotlib is not installed.
    SceneError
        If the two are not scenes of the same shape with a band dim and two others, or no
        sample of the original is valid.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise HsinrError(
            "figures need matplotlib, which is not installed: pip install xhsinr[plot]"
        ) from error

    before, after = _bands_first(original), _bands_first(decoded)
    if before.shape != after.shape:
        raise SceneError(
            f"the original has (bands, rows, cols) {before.shape} and the decoded scene "
            f"{after.shape}: pass the same part of both"
        )
    pair = _Pair(before.values, after.values, _valid(before))
    if not pair.valid.any():
        raise SceneError("no sample of the original is valid: there is nothing to show")
    units = str(original.attrs.get("units", ""))
    wavelengths = _wavelengths(before)
    heading = str(original.name or "Scene") if title is None else title
    pixels = _varied_pixels(pair)
    by_pixel, by_band = _rmse_maps(pair)

    with rc_context(STYLE):
        figure = Figure(figsize=(14, 9), dpi=100, layout="constrained")
        cast(Any, figure.get_layout_engine()).set(w_pad=0.1, h_pad=0.1)
        halves: Any = figure.subfigures(2, 1, height_ratios=_heights(*by_pixel.shape))
        top, bottom = halves
        top.suptitle(heading, x=0.012, ha="left", weight="bold", size=16)
        summary = _summary(Quality.of(*pair), units)
        top.text(0.988, 0.982, summary, ha="right", va="top", size=12, color=INK)
        pictures = top.subplots(1, 3, sharex=True, sharey=True)
        _draw_pictures(
            pictures[:2],
            pair,
            picture_bands(np.asarray(pair.valid.any(axis=(1, 2))), wavelengths),
            pixels,
        )
        _draw_error_map(pictures[2], by_pixel, units)
        pictures[0].set_ylabel("Row")
        lines = bottom.subplots(1, 2, width_ratios=(1, 1.4))
        order, axis = _band_axis(len(by_band), wavelengths)
        _draw_band_error(lines[0], axis, by_band[order], units)
        _draw_spectra(lines[1], axis, order, pair, pixels, units)
        for axes in lines:
            axes.set_xlabel("Band" if wavelengths is None else "Wavelength (nm)")
            axes.margins(x=0.01)
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


class _Pair(NamedTuple):
    """A scene before and after, (bands, rows, cols), and where its samples count."""

    original: Scene
    decoded: Scene
    valid: Mask


def _bands_first(scene: xr.DataArray) -> xr.DataArray:
    names: list[Hashable] = [name for name in BAND_DIMS if name in scene.dims]
    if "wavelength" in scene.coords and scene["wavelength"].ndim == 1:
        names.insert(0, scene["wavelength"].dims[0])
    if not names or scene.ndim != 3:
        raise SceneError(
            f"dims {scene.dims} are not those of a scene: pass a band dim and two others, with "
            'a "wavelength" coordinate along the band dim, or the band dim named "band"'
        )
    return scene.transpose(names[0], ...)


def _wavelengths(scene: xr.DataArray) -> Floats | None:
    """Band centres in nanometres."""
    if "wavelength" not in scene.coords:
        return None
    values = scene["wavelength"].values.astype(np.float64)
    guess = "nm" if np.nanmax(values) > 100 else "um"
    return nanometres(values, str(scene["wavelength"].attrs.get("units", guess)))


def _band_axis(bands: int, wavelengths: Floats | None) -> tuple[npt.NDArray[np.intp], Floats]:
    """Bands in the order of the axis, and where they stand on it."""
    if wavelengths is None:
        return np.arange(bands), np.arange(1.0, bands + 1)
    order = np.argsort(wavelengths, kind="stable")
    return order, wavelengths[order]


def _valid(scene: xr.DataArray) -> Mask:
    data = scene.values
    valid: Mask = np.isfinite(data)
    for where in (scene.attrs, scene.encoding):
        for name in ("_FillValue", "nodata"):
            if where.get(name) is not None:
                valid &= data != where[name]
    return valid


def _varied_pixels(pair: _Pair) -> list[tuple[int, int]]:
    """Up to four pixels (row, col) of a coarse grid that differ in spectrum and place.

    The first is the one of middling brightness; each next one is the farthest from those
    before it, in the product of both distances. On a grid of 10 x 10, few single bad pixels
    are among the candidates.
    """
    rows, cols = pair.original.shape[1:]
    row, col = (
        grid.ravel()
        for grid in np.meshgrid(*(_centres(length) for length in (rows, cols)), indexing="ij")
    )
    counts = pair.valid[:, row, col]
    full = counts.sum(axis=0) == counts.sum(axis=0).max()
    row, col = row[full], col[full]
    spectra = np.where(pair.valid[:, row, col], pair.original[:, row, col], 0).astype(np.float64)
    brightness = spectra.mean(axis=0)
    chosen = [int(np.argsort(brightness)[brightness.size // 2])]
    away = np.full(brightness.size, np.inf)
    while True:
        # Square roots, so that bright pixels alone don't win.
        unlike = np.sqrt(np.abs(spectra)) - np.sqrt(np.abs(spectra[:, chosen[-1:]]))
        apart = np.hypot((row - row[chosen[-1]]) / rows, (col - col[chosen[-1]]) / cols)
        away = np.minimum(away, np.linalg.norm(unlike, axis=0) * apart)
        if len(chosen) == len(COLOURS) or not away.max() > 0:
            return [(int(row[index]), int(col[index])) for index in chosen]
        chosen.append(int(away.argmax()))


def _centres(length: int) -> npt.NDArray[np.intp]:
    """Up to ten places spread over a length."""
    count = min(10, length)
    return ((np.arange(count) + 0.5) * length / count).astype(np.intp)


def _rmse_maps(pair: _Pair) -> tuple[Floats, Floats]:
    """RMSE of each pixel (rows, cols) and of each band (bands,); NaN without a valid sample."""
    squares = np.zeros(pair.valid.shape[1:])
    by_band = np.full(len(pair.valid), np.nan)
    for band, (a, b, valid) in enumerate(zip(*pair, strict=True)):
        errors = np.where(valid, a.astype(np.float64) - b.astype(np.float64), 0)
        squares += np.square(errors)
        if valid.any():
            by_band[band] = np.sqrt(np.square(errors).sum() / np.count_nonzero(valid))
    counts = np.count_nonzero(pair.valid, axis=0)
    by_pixel = np.full(squares.shape, np.nan)
    np.divide(squares, counts, out=by_pixel, where=counts > 0)
    return np.sqrt(by_pixel), by_band


def _heights(rows: int, cols: int) -> tuple[float, float]:
    """Heights of the pictures and of the plots below: wide scenes need less above."""
    pictures = float(np.clip(3.9 * rows / cols + 1.4, 3.4, 4.9))
    return pictures, 9 - pictures


def _draw_pictures(
    places: Sequence[Axes], pair: _Pair, bands: list[int], pixels: list[tuple[int, int]]
) -> None:
    valid = pair.valid[bands]
    between = limits(pair.original[bands], valid)
    for axes, scene, name in zip(places, pair[:2], ("Original", "Decoded"), strict=True):
        # Rows and columns are counted from 0, as in indexing.
        axes.imshow(stretched(scene[bands], valid, between), interpolation="nearest")
        axes.set_title(name)
        axes.set_xlabel("Column")
        for number, ((row, col), colour) in enumerate(zip(pixels, COLOURS, strict=False), 1):
            box = {"boxstyle": "circle,pad=0.22", "fc": colour, "ec": "white", "lw": 1.2}
            axes.plot(col, row, "s", ms=6, mfc="none", mec="white", mew=1.4)
            axes.annotate(
                str(number), (col, row), (9, 9), textcoords="offset points", bbox=box,
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


def _draw_band_error(axes: Axes, along: Floats, rmse: Floats, units: str) -> None:
    axes.plot(*_with_gaps(along, rmse), color=INK, lw=1.5)
    largest = float(np.max(rmse, initial=0, where=np.isfinite(rmse)))
    axes.set_ylim(0, 1.08 * largest if largest > 0 else 1)
    axes.set_title("Error of each band")
    axes.set_ylabel(_with_units("RMSE over pixels", units))
    axes.grid(axis="y", color="#E6E6E6", lw=0.8)
    axes.set_axisbelow(True)


def _draw_spectra(
    axes: Axes,
    along: Floats,
    order: npt.NDArray[np.intp],
    pair: _Pair,
    pixels: list[tuple[int, int]],
    units: str,
) -> None:
    for number, ((row, col), colour) in enumerate(zip(pixels, COLOURS, strict=False), 1):
        counts = pair.valid[order, row, col]
        before, after = (
            np.where(counts, scene[order, row, col].astype(np.float64), np.nan)
            for scene in pair[:2]
        )
        axes.plot(*_with_gaps(along, before), color=colour, lw=4.5, alpha=0.35)
        label = f"{number}: row {row}, column {col}"
        axes.plot(*_with_gaps(along, after), color=colour, lw=1.3, label=label)
    axes.plot([], [], color=GREY, lw=4.5, alpha=0.45, label="original")
    axes.plot([], [], color=GREY, lw=1.3, label="decoded")
    axes.set_title("Spectra of the marked pixels")
    axes.set_ylabel(_with_units("Value", units))
    axes.grid(axis="y", color="#E6E6E6", lw=0.8)
    axes.set_axisbelow(True)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _with_gaps(along: Floats, values: Floats) -> tuple[Floats, Floats]:
    """The same points with a NaN in each gap, so that no line bridges bands left out."""
    if along.size < 2:
        return along, values
    steps = np.diff(along)
    gaps = np.flatnonzero(steps > 4 * np.median(steps)) + 1
    return np.insert(along, gaps, np.nan), np.insert(values, gaps, np.nan)


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
