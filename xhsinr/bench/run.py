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
        there already are not measured again.

    Returns
    -------
    Path
        The Markdown file.
    """
    out.mkdir(parents=True, exist_ok=True)
    scenes = [load_scene(folder, name) for name in names]
    with one_thread():
        rows = _results(plan, scenes, out / "results.csv")
        whole = set(names) >= set(DEFAULT_SCENES) and not plan.quick
        used = _downstream(folder, scenes, out / "downstream.csv") if whole else []
    parts = [_heading()]
    for scene in scenes:
        of_scene = [row for row in rows if row["scene"] == scene.name]
        figures = charts.draw(scene.name, of_scene, out)
        pictures = [f"![{path.stem.replace('_', ' ')}]({path.name})\n" for path in figures]
        parts += [scene_section(scene, of_scene), *pictures]
    if used:
        parts.append(downstream.section(used))
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
    return rows


def _downstream(folder: Path, scenes: Sequence[BenchScene], path: Path) -> list[Row]:
    checkpoint = Checkpoint(path, downstream.COLUMNS, downstream.IDENTITY)
    loaded = {scene.name: scene for scene in scenes}
    chosen = [
        loaded.get(name) or load_scene(folder, name)
        for name in downstream.SCENES
        if name in loaded or (folder / f"{name}.npy").is_file()
    ]
    rows = []
    for scene, key, rate in tqdm(
        list(downstream.plan(chosen)), "downstream", unit="case", disable=None
    ):
        known = checkpoint.find(downstream.identify(scene, key, rate))
        if known is None:
            known = downstream.measure(scene, folder, key, rate)
            checkpoint.add(known)
        rows.append(known)
    return rows


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
