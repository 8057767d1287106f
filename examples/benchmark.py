"""Measure the package alone: every named quality on every test scene, and tiles against one.

    python examples/benchmark.py SCENES [--out results.md] [--mosaic]

SCENES is a folder of ``.npy`` scenes (rows, cols, bands) with a ``scenes.csv``; its ``test``
scenes are measured. Sizes are those of the files. For networks that were trained on the scenes
see ``reproduce_paper.py``, for other codecs on the same scenes ``xhsinr bench``.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

import xhsinr
from xhsinr.bench.tables import markdown
from xhsinr.metrics import Quality, bpppb
from xhsinr.network.prior import package_prior

Cube = npt.NDArray[Any]

PROFILES = ("preview", "standard", "analysis", "archive")
MOSAIC = ("paviau_140x80", "paviau_subimg", "pavia_center_wu")
SIDE, TILE = 1024, 256


@dataclass(frozen=True)
class Table:
    """Rows of one protocol, with a title and what a reader has to know."""

    title: str
    note: str
    rows: Sequence[dict[str, str]]

    def __str__(self) -> str:
        body = markdown([*self.rows[0]], [[*row.values()] for row in self.rows])
        return f"## {self.title}\n\n{self.note}\n\n{body}\n"


@dataclass(frozen=True)
class Result:
    """A file, and its decoded samples against the original."""

    info: dict[str, Any]
    quality: Quality
    samples: int

    @property
    def sample_bytes(self) -> int:
        """What the samples need: the file less its metadata."""
        return int(self.info["bytes"] - self.info["metadata_bytes"])

    def rate(self, n_bytes: int) -> float:
        return bpppb(n_bytes, self.samples)


def measure(source: Path | Cube, **target: Any) -> Result:
    """Compress a scene (rows, cols, bands) to a file, decode that file, and compare."""
    cube = np.load(source) if isinstance(source, Path) else source
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scene.hsinr"
        compressed = xhsinr.compress(source, file, progress=False, **target)
        decoded = xhsinr.open(file).open().values
        quality = Quality.of(cube.transpose(2, 0, 1), decoded.transpose(2, 0, 1))
        return Result(compressed.info, quality, cube.size)


def held_out(scenes: dict[str, Path]) -> Table:
    rows = [
        {
            "scene": name,
            "quality": profile,
            "bytes": f"{result.info['bytes']:,}",
            "bpppb": f"{result.info['bpppb']:.4f}",
            "bpppb of samples": f"{result.rate(result.sample_bytes):.4f}",
            "PSNR (dB)": f"{result.quality.psnr_db:.2f}",
            "RMSE": f"{result.quality.rmse:.4g}",
            "largest error": f"{result.quality.max_error:g}",
            "mean SAM (deg)": f"{result.quality.mean_sam_deg:.4f}",
        }
        for name, path in tqdm(scenes.items(), "held-out")
        for profile in PROFILES
        for result in [measure(path, quality=profile)]
    ]
    network = package_prior()
    note = (
        f"Prior `{network.name}` ({network.file_bytes:,} bytes, in the package), which has seen "
        "none of these scenes. bpppb counts the whole file; bpppb of samples leaves out the "
        "metadata: JSON, wavelengths, container and report."
    )
    return Table("Held-out: the network has not seen the scenes", note, rows)


def mosaic(scenes: dict[str, Path]) -> Table:
    """Bytes in tiles against one tile; no seam or mirror line falls on an edge of a tile."""
    cubes = [np.load(scenes[name]) for name in MOSAIC]
    bands = min(cube.shape[2] for cube in cubes)
    widths = np.diff(np.linspace(0, SIDE, len(MOSAIC) + 1).astype(int))
    strips = [
        mirrored(cube[..., :bands], SIDE, int(width))
        for cube, width in zip(cubes, widths, strict=True)
    ]
    whole_scene = np.concatenate(strips, axis=1)
    rows = []
    for psnr in tqdm((45, 40), "mosaic"):
        tiled, whole = (measure(whole_scene, psnr=psnr, tile=tile) for tile in (TILE, SIDE))
        rows.append(
            {
                "target": "quality=standard" if psnr == 45 else f"psnr={psnr}",
                f"bytes, tile={TILE}": f"{tiled.info['bytes']:,}",
                "PSNR (dB)": f"{tiled.quality.psnr_db:.3f}",
                f"bytes, tile={SIDE}": f"{whole.info['bytes']:,}",
                "PSNR (dB), one tile": f"{whole.quality.psnr_db:.3f}",
                "ratio": f"{tiled.info['bytes'] / whole.info['bytes']:.4f}",
            }
        )
    note = f"{SIDE} x {SIDE} x {bands}: {', '.join(MOSAIC)} side by side, each mirrored on and on."
    return Table("Tiles against one tile", note, rows)


def mirrored(cube: Cube, rows: int, cols: int) -> Cube:
    grow = ((0, max(0, rows - cube.shape[0])), (0, max(0, cols - cube.shape[1])), (0, 0))
    return np.pad(cube, grow, mode="symmetric")[:rows, :cols]


def held_out_scenes(folder: Path) -> dict[str, Path]:
    with (folder / "scenes.csv").open(newline="") as file:
        names = [row["scene"] for row in csv.DictReader(file) if row["split"] == "test"]
    return {name: folder / f"{name}.npy" for name in names}


def tables(arguments: argparse.Namespace) -> Iterator[Table]:
    scenes = held_out_scenes(arguments.scenes)
    yield held_out(scenes)
    if arguments.mosaic:
        yield mosaic(scenes)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--out", type=Path, help="Markdown file to write as well")
    parser.add_argument("--mosaic", action="store_true", help="tiles against one tile, too")
    arguments = parser.parse_args(words)
    done = []
    for table in tables(arguments):
        done.append(str(table))
        print(table)
        if arguments.out:
            arguments.out.write_text("\n".join(done))


if __name__ == "__main__":
    main()
