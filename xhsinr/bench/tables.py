"""The measured rows as Markdown, laid out like the paper's Tables 1 and 2."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from xhsinr.bench.cases import METHODS, paper_rate, quoted
from xhsinr.bench.checkpoint import Row
from xhsinr.bench.codecs import CODECS
from xhsinr.bench.scenes import BenchScene

__all__ = ["markdown", "scene_section"]

_NONE = "–"
# The rate of the paper's Table 2.
_TIMED_RATE = 0.1


def scene_section(scene: BenchScene, rows: Sequence[Row]) -> str:
    """All tables of one scene."""
    shape = " x ".join(map(str, scene.cube.shape))
    title = f"## {scene.name} ({shape}, {scene.cube.dtype})"
    kilobytes = scene.cube.size * 16 / 8 / 1000
    good = [row for row in rows if row["bytes"]]
    paper = quoted().get(scene.benchmark)
    rate = paper_rate(scene.benchmark)
    parts = [title, f"The scene at 16 bits a sample: {kilobytes:,.0f} KB."]
    at_rate = [row for row in good if row["target"] in (f"bpppb={rate:g}", "native")]
    if at_rate:
        note = _note(paper)
        parts += [f"### Compression at {rate:g} bpppb", note, _compression(at_rate, paper, scene)]
    timed = [row for row in good if row["target"] in (f"bpppb={_TIMED_RATE:g}", "native")]
    if timed:
        parts += [f"### Time at {_TIMED_RATE:g} bpppb", _TIME_NOTE, _times(timed, paper)]
    parts += _matrix(good, "bpppb=", "PSNR (dB) at rates in bpppb", lambda row: _psnr(row))
    parts += _matrix(
        good, "bpppb=", "Spectral angle (degrees), mean and 95th percentile, at rates in bpppb",
        lambda row: f"{float(row['mean_sam_deg']):.2f} / {float(row['sam95_deg']):.2f}",
    )  # fmt: skip
    parts += _matrix(
        good, "bpppb=", "RMSE in units of each band's noise, median over bands, at rates in bpppb",
        lambda row: f"{float(row['noise_ratio']):.2f}",
    )  # fmt: skip
    parts += _matrix(
        good,
        "bpppb=",
        "Largest error at rates in bpppb",
        lambda row: f"{float(row['max_error']):.4g}",
    )
    parts += _matrix(
        good, "max_error=", "bpppb with no sample off by more than", lambda row: row["bpppb"][:6]
    )
    exact = [row for row in good if row["target"] == "lossless"]
    if exact:
        body = [
            [_label(row), f"{float(row['bpppb']):.3f}", *_seconds(row), *_memory(row)]
            for row in exact
        ]
        header = ["codec", "bpppb", "encode (s)", "decode (s)", "encode (MB)", "decode (MB)"]
        parts += ["### Lossless", markdown(header, sorted(body, key=lambda line: float(line[1])))]
    failed = [row for row in rows if row["note"]]
    if failed:
        body = [[_label(row), row["target"], row["note"]] for row in failed]
        parts += ["### Out of reach", markdown(["codec", "target", "why"], body)]
    return "\n\n".join(parts) + "\n"


_TIME_NOTE = (
    "Seconds that one core was at work, search for the target included: median of three runs, a "
    "single run above two seconds. Megabytes are by how much the resident set grew at most in the "
    "first of them, what came out included. What a codec imports and compiles it has done before, "
    "on a corner of the scene. The paper's seconds are on its own machine."
)


def markdown(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _note(paper: dict[str, Any] | None) -> str:
    text = (
        "Protocol: held-out, nothing was trained on this scene's site beforehand; in-sample, the "
        "network was. PSNR has the scene's max - min as peak."
    )
    if paper is not None:
        shape = " x ".join(map(str, paper["shape"]))
        text += f" Columns marked *quoted* are the paper's, for its scene of {shape}."
    return text


def _compression(rows: Sequence[Row], paper: dict[str, Any] | None, scene: BenchScene) -> str:
    header = ["method", "protocol", "size (KB)", "PSNR", "bpppb", "n_h, w_h", "RMSE", "SAM (deg)"]
    if paper:
        header += ["PSNR, *quoted*", "bpppb, *quoted*", "n_h, w_h, *quoted*"]
    body = []
    for row in _ordered(rows):
        entry = _entry(paper, "compression", row)
        line = [
            _name(row),
            row["protocol"],
            f"{int(row['bytes']) / 1000:.1f}",
            _psnr(row),
            f"{float(row['bpppb']):.4f}",
            _size_in(row["settings"]),
            f"{float(row['rmse']):.4g}",
            f"{float(row['mean_sam_deg']):.2f}",
        ]
        if paper:
            size = entry.get("size")
            line += [
                _number(entry.get("psnr_db")),
                _number(entry.get("bpppb")),
                _NONE if not size else f"{size[0]}, {size[1]}",
            ]
        body.append(line)
    return markdown(header, body)


def _times(rows: Sequence[Row], paper: dict[str, Any] | None) -> str:
    header = ["method", "protocol", "bpppb", "encode (s)", "decode (s)", "encode (MB)"]
    header += ["decode (MB)", "PSNR"]
    if paper:
        header += [f"{name}, *quoted*" for name in ("bpppb", "encode (s)", "decode (s)", "PSNR")]
    body = []
    for row in _ordered(rows):
        entry = _entry(paper, "times", row)
        line = [_name(row), row["protocol"], f"{float(row['bpppb']):.4f}", *_seconds(row)]
        line += [*_memory(row), _psnr(row)]
        if paper:
            columns = ("bpppb", "encode_s", "decode_s", "psnr_db")
            line += [_number(entry.get(column)) for column in columns]
        body.append(line)
    return markdown(header, body)


def _matrix(
    rows: Sequence[Row], kind: str, title: str, value: Callable[[Row], str]
) -> Iterator[str]:
    """A heading and a table with a codec in each row and a target in each column."""
    chosen = [row for row in rows if row["target"].startswith(kind)]
    targets = sorted({row["target"] for row in chosen}, key=lambda name: float(name[len(kind) :]))
    if targets:
        cells: dict[str, dict[str, str]] = {}
        for row in _ordered(chosen):
            cells.setdefault(_label(row), {})[row["target"]] = value(row)
        header = ["codec", *(target[len(kind) :] for target in targets)]
        body = [
            [label, *(found.get(target, _NONE) for target in targets)]
            for label, found in cells.items()
        ]
        yield f"### {title}"
        yield markdown(header, body)


def _ordered(rows: Sequence[Row]) -> list[Row]:
    order = {key: number for number, key in enumerate(CODECS)}
    return sorted(rows, key=lambda row: order[row["codec"]])


def _name(row: Row) -> str:
    default = row["codec"] == "xhsinr" and row["target"] == "native"
    return f"{row['name']}, default quality" if default else row["name"]


def _label(row: Row) -> str:
    return f"{row['name']} (in-sample)" if row["protocol"] == "in-sample" else row["name"]


def _psnr(row: Row) -> str:
    return f"{float(row['psnr_db']):.2f}"


def _seconds(row: Row) -> list[str]:
    return [f"{float(row[column]):.3f}" for column in ("encode_s", "decode_s")]


def _memory(row: Row) -> list[str]:
    return [row[column] or _NONE for column in ("encode_mb", "decode_mb")]


def _entry(paper: dict[str, Any] | None, table: str, row: Row) -> dict[str, Any]:
    """What the paper says of a codec on this benchmark; held-out Meta_learning is not in it."""
    if paper is None or (row["codec"] == "meta_learning" and row["protocol"] == "held-out"):
        return {}
    method = METHODS.get(row["codec"])
    return next((entry for entry in paper[table] if entry["method"] == method), {})


def _size_in(settings: str) -> str:
    """Layers and width from the settings of a fitted network."""
    if not settings.startswith("K="):
        return _NONE
    layers, width = settings.split(", ")[:2]
    return f"{layers[2:]}, {width[2:]}"


def _number(value: float | None) -> str:
    return _NONE if value is None else f"{value:g}"
