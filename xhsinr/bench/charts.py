"""The measured rows as figures: PSNR, bound and seconds against bytes, PSNR against time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from xhsinr.bench.checkpoint import Row
from xhsinr.bench.codecs import CODECS
from xhsinr.errors import HsinrError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

_TIMED_RATE = 0.1
_PARETO = (
    ("lossless", "lossless", "Size against time, lossless"),
    ("within4", "max_error=4", "Size against time, no sample off by more than 4"),
)
_RATE = "bits per pixel and band"
_BOUND = "largest error allowed (data units)"
INK, GREY = "#222222", "#9A9A9A"
# Colours told apart with any colour vision (Okabe and Ito); the rest share greys and markers.
_STRONG = {
    "xhsinr": "#D55E00",
    "meta_learning": "#CC79A7",
    "pca_jpeg2000": "#0072B2",
    "fpca_jpeg2000": "#56B4E9",
    "pca_dct": "#009E73",
    "speck3d": "#8C6D00",
    "inr": "#E69F00",
}
_OTHERS = ("#5B5B5B", "#8A8A8A", "#A8A8A8")
_MARKERS = "osD^vPX<>hp*d"
# Where the name of a point may stand, in points of type: beside it, and farther off.
_BESIDE = 16
_OFFSETS = sorted(
    product((10, -10, 0, 30, -30, 60, -60), (0, 12, -12, 24, -24, 36, -36, 48, -48, 60, -60)),
    key=lambda offset: (math.hypot(*offset), -offset[0]),
)[1:]
STYLE: Any = {
    "font.size": 11,
    "axes.titlesize": 14,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 14,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#ECECEC",
    "legend.frameon": False,
}


class Curve(NamedTuple):
    """The points of one codec, with how it is drawn."""

    label: str
    key: str
    nth: int
    """How many curves of the same codec come before."""
    points: list[tuple[float, float]]


def draw(name: str, rows: Sequence[Row], folder: Path) -> list[Path]:
    """Draw the figures of a scene, those that there are rows for, into a folder.

    Raises
    ------
    HsinrError
        If matplotlib is not installed.
    """
    good = [row for row in rows if row["bytes"]]
    rates = _curves(good, ("bpppb=", "native"), "bpppb", "psnr_db")
    times = _curves(good, (f"bpppb={_TIMED_RATE:g}", "native"), "encode_s", "psnr_db")
    bounds = _curves(good, ("max_error=",), "bpppb", "max_error", from_target=True)
    figures = (
        ("psnr_rate", rates, "PSNR against rate", _RATE, "PSNR (dB)"),
        (
            "psnr_time",
            times,
            f"PSNR against time, {_TIMED_RATE:g} bits per pixel and band",
            "seconds to encode",
            "PSNR (dB)",
        ),
        *(
            (
                f"{kind}_time",
                _curves(good, (target,), "encode_s", "bpppb"),
                title,
                "seconds to encode",
                _RATE,
            )
            for kind, target, title in _PARETO
        ),
        ("bound_rate", bounds, "Bounded error against rate", _RATE, _BOUND),
    )
    written = []
    for kind, curves, title, along, up in figures:
        # One rate alone is no curve: such a scene's codecs stand against time.
        if curves and (kind != "psnr_rate" or any(len(curve.points) > 1 for curve in curves)):
            path = folder / f"{name}_{kind}.png"
            _figure(curves, f"{name}: {title}", (along, up), path)
            written.append(path)
    return written


def _curves(
    rows: Sequence[Row], kinds: tuple[str, ...], x: str, y: str, *, from_target: bool = False
) -> list[Curve]:
    """One curve for each codec and protocol, in the order of the tables."""
    found: dict[tuple[str, str], Curve] = {}
    order = {key: number for number, key in enumerate(CODECS)}
    for row in sorted(rows, key=lambda row: order[row["codec"]]):
        if row["target"].startswith(kinds) and not (row["codec"] == "xhsinr" and _native(row)):
            sample = row["protocol"] == "in-sample"
            label = f"{row['name']} (in-sample)" if sample else row["name"]
            nth = sum(key == row["codec"] for key, other in found if other != label)
            curve = found.setdefault((row["codec"], label), Curve(label, row["codec"], nth, []))
            up = float(row["target"].split("=")[1]) if from_target else float(row[y])
            curve.points.append((float(row[x]), up))
    return [curve._replace(points=sorted(curve.points)) for curve in found.values()]


def _native(row: Row) -> bool:
    return row["target"] == "native"


def _figure(curves: Sequence[Curve], title: str, labels: tuple[str, str], path: Path) -> None:
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
        from matplotlib.ticker import LogLocator, NullLocator
    except ImportError as error:
        raise HsinrError("Figures need matplotlib: pip install 'xhsinr[bench]'") from error
    with rc_context(STYLE):
        figure = Figure(figsize=(11, 7), dpi=110, layout="constrained")
        axes = figure.subplots()
        axes.set_xscale("log")
        if labels[1] == _BOUND:
            axes.set_yscale("log", base=2)
            axes.set_yticks(sorted({up for curve in curves for _, up in curve.points}))
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        for curve in curves:
            _draw_curve(axes, curve)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_title(title)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        if all(len(curve.points) == 1 for curve in curves):
            if labels[1] == _RATE:
                axes.set_yscale("log")
                axes.yaxis.set_major_locator(LogLocator(subs=range(1, 10)))
                axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
                axes.yaxis.set_minor_locator(NullLocator())
                _draw_front(axes, curves)
            figure.draw_without_rendering()  # where things stand is known from here on
            _label_points(axes, curves)
        else:
            _label_curves(axes, curves)
        figure.savefig(path)


def _draw_curve(axes: Axes, curve: Curve) -> None:
    ours = curve.key == "xhsinr"
    sample = "in-sample" in curve.label
    marker = _MARKERS[(_place(curve) + curve.nth) % len(_MARKERS)]
    x, y = zip(*curve.points, strict=True)
    axes.plot(
        x, y, color=_colour(curve), marker=marker,
        lw=3 if ours else 1.5, ms=8 if ours else 5.5, zorder=4 if ours else 2, label=curve.label,
        ls="--" if sample else "-", mfc="white" if sample else None,
    )  # fmt: skip


def _place(curve: Curve) -> int:
    """Place in the tables, so that a codec looks the same in every figure."""
    return list(CODECS).index(curve.key)


def _colour(curve: Curve) -> str:
    return _STRONG.get(curve.key, _OTHERS[_place(curve) % len(_OTHERS)])


def _label_curves(axes: Axes, curves: Sequence[Curve]) -> None:
    """A legend beside the axes, from the best curve at a rate, or a bound, that nearly all have."""
    handles, labels = axes.get_legend_handles_labels()
    ranks = {curve.label: _rank(curve, bounded=axes.get_ylabel() == _BOUND) for curve in curves}
    ranked = sorted(zip(handles, labels, strict=True), key=lambda pair: ranks[pair[1]])
    axes.legend(
        *zip(*ranked, strict=True), loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=10
    )


def _rank(curve: Curve, *, bounded: bool) -> float:
    """Size at the middle bound, or what is lost where the rate is nearest to `_TIMED_RATE`."""
    if bounded:
        return curve.points[len(curve.points) // 2][0]
    return -min(curve.points, key=lambda point: abs(math.log(point[0] / _TIMED_RATE)))[1]


def _draw_front(axes: Axes, curves: Sequence[Curve]) -> None:
    """Steps through the points that no other one beats in both time and size."""
    front: list[tuple[float, float]] = []
    for point in sorted(curve.points[0] for curve in curves):
        if not front or point[1] < front[-1][1]:
            front.append(point)
    axes.step(*zip(*front, strict=True), where="post", color=GREY, lw=1, ls=":", zorder=1)


def _label_points(axes: Axes, curves: Sequence[Curve]) -> None:
    """The name of each point at the nearest place that is free, with a line where it is far."""
    from matplotlib.transforms import Bbox

    right = axes.figure.bbox.x1
    taken: list[Bbox] = []
    places = axes.transData.transform([curve.points[0] for curve in curves])
    marks = [Bbox([place - 6, place + 6]) for place in places]
    for nth in sorted(range(len(curves)), key=lambda nth: curves[nth].key != "xhsinr"):
        curve, others = curves[nth], [*marks[:nth], *marks[nth + 1 :], *taken]
        for across, up in _OFFSETS:
            far = math.hypot(across, up) > _BESIDE
            label = axes.annotate(
                curve.label, curve.points[0], (across, up), textcoords="offset points", size=10,
                color=_colour(curve) if curve.key in _STRONG else INK, va="center",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1}, zorder=1.5,
                ha="left" if across > 0 else "right" if across < 0 else "center",
                arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.7} if far else None,
            )  # fmt: skip
            box = label.get_window_extent()
            if not any(map(box.overlaps, others)) and axes.bbox.x0 < box.x0 and box.x1 < right:
                taken.append(box)
                break
            label.remove()
