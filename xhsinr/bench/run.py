"""The whole benchmark: measure what is missing, then write the tables and draw the figures."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from xhsinr import __version__
from xhsinr.bench import charts, downstream
from xhsinr.bench.cases import Plan, cases
from xhsinr.bench.checkpoint import Checkpoint, Row
from xhsinr.bench.measure import COLUMNS, IDENTITY, describe, measure, one_thread
from xhsinr.bench.scenes import DEFAULT_SCENES, BenchScene, load_scene
from xhsinr.bench.tables import scene_section

__all__ = ["bench"]


def bench(folder: Path, names: Sequence[str], plan: Plan, out: Path) -> Path:
    """Measure codecs on scenes and write results, tables and figures.

    Parameters
    ----------
    folder : Path
        Of the scenes, see `xhsinr.bench.scenes.load_scene`.
    names : sequence of str
        Scenes to measure.
    plan : Plan
        Codecs, rates and protocols.
    out : Path
        Folder for ``results.csv``, ``tables.md`` and the figures; where the scenes are all of
        the default ones and the plan isn't quick, for ``downstream.csv``, too. Rows that are
        there already are not measured again, and stand in the tables whatever the plan.

    Returns
    -------
    Path
        The Markdown file.
    """
    out.mkdir(parents=True, exist_ok=True)
    scenes = {name: load_scene(folder, name) for name in names}
    with one_thread():
        rows = _results(plan, list(scenes.values()), out / "results.csv")
        used = Checkpoint(out / "downstream.csv", downstream.COLUMNS, downstream.IDENTITY)
        if set(names) >= set(DEFAULT_SCENES) and not plan.quick:
            _downstream(folder, scenes, used)
    parts = [_heading()]
    for name in dict.fromkeys(row["scene"] for row in rows):
        scene = scenes.get(name) or load_scene(folder, name)
        of_scene = [row for row in rows if row["scene"] == scene.name]
        figures = charts.draw(scene.name, of_scene, out)
        pictures = [f"![{path.stem.replace('_', ' ')}]({path.name})\n" for path in figures]
        parts += [scene_section(scene, of_scene), *pictures]
    if used.rows():
        parts.append(downstream.section(used.rows()))
    page = out / "tables.md"
    page.write_text("\n".join(parts))
    return page


def _results(plan: Plan, scenes: Sequence[BenchScene], path: Path) -> list[Row]:
    checkpoint = Checkpoint(path, COLUMNS, IDENTITY)
    planned = list(cases(plan, scenes))
    rows = []
    with tqdm(planned, "bench", unit="case", disable=None) as bar:
        for case in bar:
            bar.set_postfix_str(f"{case.scene.name} {case.key} {case.target}")
            known = checkpoint.find(describe(case))
            if known is None:
                known = measure(case)
                checkpoint.add(known)
            rows.append(known)
    # A codec that was arranged otherwise has rows that this run's replace.
    here = {_place(row) for row in rows}
    return [*rows, *(row for row in checkpoint.rows() if _place(row) not in here)]


def _place(row: Row) -> tuple[str, ...]:
    return tuple(row[column] for column in ("scene", "codec", "protocol", "target"))


def _downstream(folder: Path, loaded: dict[str, BenchScene], checkpoint: Checkpoint) -> None:
    chosen = [
        loaded.get(name) or load_scene(folder, name)
        for name in downstream.SCENES
        if name in loaded or (folder / f"{name}.npy").is_file()
    ]
    for scene, key, rate in tqdm(
        list(downstream.plan(chosen)), "downstream", unit="case", disable=None
    ):
        if downstream.identify(scene, key, rate) not in checkpoint:
            checkpoint.add(downstream.measure(scene, folder, key, rate))


def _heading() -> str:
    machine = f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return (
        "# Every codec, measured\n\n"
        f"Made by `xhsinr bench` (xhsinr {__version__}) on {machine}. Every figure is of a "
        "bitstream that was decoded again, with all its bytes; only those marked *quoted* are "
        "not. The rows are in `results.csv`.\n\n"
        "`NAME@SIDE` is a mosaic of that size from one crop in its eight orientations, seams and "
        "all (`xhsinr.bench.scenes.mosaic`); what finds repeats finds them there, and would not in "
        "a scene. CCSDS-123.0-B-2 is our reading of the standard: no reference implementation "
        "could be had to check it against, and the low-entropy codes of its hybrid coder are built "
        "as the standard's are, not its tables.\n\n"
        "Not measured: the Gaussian-splatting codecs LoR-SGS and ATLAS, which need a CUDA GPU. "
        "ATLAS comes as atlas-hsi; its page says that it beats LoR-SGS by 1.20 dB on average, and "
        "has no figure of a scene to quote.\n"
    )


def _processor() -> str:
    """The processor's name, as Linux gives it."""
    listing = Path("/proc/cpuinfo")
    names = re.findall("model name\\s*: (.+)", listing.read_text()) if listing.is_file() else []
    return f"{platform.machine()} ({names[0]})" if names else platform.machine()
