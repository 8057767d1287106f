"""What the prior saves in whole files, on scenes that it was not trained on.

    python examples/measure_planes.py SCENES [--before FILE.json] [--out FILE.md]

SCENES is a folder of ``.npy`` scenes (rows, cols, bands). FILE.json has files of another version:
``{"scene psnr 45": {"bytes": ..., "psnr_db": ...}, ...}``. Files of this version are compared with
them at equal PSNR, and with PCA + JPEG 2000 at equal bytes, metadata left out on both sides; each
figure is interpolated between two files around it. Takes some minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import xhsinr
from xhsinr.bench.codecs import Target, load
from xhsinr.bench.tables import markdown
from xhsinr.metrics import psnr

SCENES = ("jasper_ridge_198_int16", "indian_pines_part", "paviau_140x80", "pavia_center_wu")
RATES = (0.05, 0.1, 0.2)
PREVIEWS = (0.005, 0.01)

Cube = npt.NDArray[Any]


class Point(NamedTuple):
    """A file: its bytes, without metadata if so asked, and its PSNR."""

    bytes: int
    psnr: float


def measured(cube: Cube, folder: Path, whole: bool, **target: float) -> Point:
    """A file of a scene, decoded again."""
    done = xhsinr.compress(cube, folder / "scene.hsinr", overwrite=True, progress=False, **target)
    decoded = done.open().transpose(*"yx", "band").values
    info = done.info
    size = info["bytes"] - (0 if whole else info["metadata_bytes"])
    return Point(size, psnr(cube, decoded))


def bytes_at(points: Sequence[Point], decibels: float) -> float:
    """Bytes at a PSNR, on the line between two files: log of the bytes against decibels."""
    first, second = points
    slope = math.log(second.bytes / first.bytes) / (second.psnr - first.psnr)
    return first.bytes * math.exp(slope * (decibels - first.psnr))


def psnr_at(points: Sequence[Point], size: float) -> float:
    """PSNR at a size, on that line."""
    first, second = points
    slope = (second.psnr - first.psnr) / math.log(second.bytes / first.bytes)
    return first.psnr + slope * math.log(size / first.bytes)


def against_files(
    cubes: dict[str, Cube], before: dict[str, Any], folder: Path
) -> Iterator[tuple[str, ...]]:
    """Rows of bytes at equal PSNR against files of another version."""
    logs = []
    for key, old in before.items():
        name, *target = key.split()
        if name not in cubes or target not in (["psnr", "40"], ["psnr", "45"], ["bpppb", "0.1"]):
            continue
        decibels = old["psnr_db"]
        around = decibels - 0.4, decibels + 0.1
        points = [measured(cubes[name], folder, True, psnr=value) for value in around]
        size = bytes_at(points, decibels)
        logs.append(math.log(size / old["bytes"]))
        row = (
            f"{decibels:.2f}",
            str(old["bytes"]),
            f"{size:.0f}",
            f"{100 * math.expm1(logs[-1]):+.1f} %",
        )
        yield name, " ".join(target), *row
    yield "mean", "", "", "", "", f"{100 * math.expm1(np.mean(logs)):+.1f} %"


def against_jpeg2000(cubes: dict[str, Cube], folder: Path) -> Iterator[tuple[str, ...]]:
    """Rows of PSNR at equal bytes against PCA + JPEG 2000, metadata left out."""
    codec = load("pca_jpeg2000")
    gains = []
    for name, cube in cubes.items():
        for rate in RATES:
            payload = codec.encode(cube, Target("bpppb", rate))
            theirs = psnr(cube, codec.decode(payload))
            points = [measured(cube, folder, False, bpppb=rate * f) for f in (0.94, 1.06)]
            ours = psnr_at(points, len(payload))
            gains.append(ours - theirs)
            yield name, f"{rate:g}", f"{theirs:.2f}", f"{ours:.2f}", f"{gains[-1]:+.2f} dB"
    yield "mean", "", "", "", f"{np.mean(gains):+.2f} dB"


def previews(cubes: dict[str, Cube], folder: Path) -> Iterator[tuple[str, ...]]:
    """Rows of the PSNR of the smallest files."""
    for name, cube in cubes.items():
        for rate in PREVIEWS:
            try:
                found = measured(cube, folder, True, bpppb=rate)
            except xhsinr.HsinrError as error:
                yield name, f"{rate:g}", "", str(error).split(":")[0]
                continue
            yield name, f"{rate:g}", str(found.bytes), f"{found.psnr:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("scenes", type=Path, help="folder of .npy scenes")
    parser.add_argument("--before", type=Path, help="bytes and PSNR of files of another version")
    parser.add_argument("--names", nargs="+", default=SCENES, help="scenes to measure")
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    options = parser.parse_args()
    cubes = {name: np.load(options.scenes / f"{name}.npy") for name in options.names}
    sections = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if options.before:
            before = json.loads(options.before.read_text())
            rows = list(against_files(cubes, before, folder))
            header = ["scene", "target", "dB", "bytes before", "bytes", "difference"]
            sections.append("Whole files at equal PSNR\n\n" + markdown(header, rows))
        header = ["scene", "bpppb", "PCA + JPEG 2000, dB", "xhsinr, dB", "gain"]
        rows = list(against_jpeg2000(cubes, folder))
        sections.append("PSNR at equal bytes, metadata left out\n\n" + markdown(header, rows))
        rows = list(previews(cubes, folder))
        header = ["scene", "bpppb", "bytes", "dB"]
        sections.append("The smallest files\n\n" + markdown(header, rows))
    text = "\n\n".join(sections) + "\n"
    print(text)
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
