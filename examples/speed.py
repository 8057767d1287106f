"""How fast latents are made and read: against PCA + JPEG 2000, against size, against the machine.

    python examples/speed.py SCENE.npy [--sides 512 1024] [--device cuda] [--out FILE.md]

SCENE is (rows, cols, bands); it is mirrored on and on to squares of the sides asked for. Times are
in seconds, the least of three, of one process that should have the machine to itself.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

import xhsinr
from xhsinr.bench.codecs.pca import Axes, Basis
from xhsinr.bench.tables import markdown

RATE, COMPONENTS, REPEATS = 0.1, 12, 3
# Squares up to this side are compared and timed more than once; larger ones tell how time grows.
COMPARED = 1024
# The paper's Cuprite, whose times on a GPU it states.
GPU_SCENE = 614, 512, 224

Cube = npt.NDArray[Any]


def seconds(function: Callable[[], Any], repeats: int = REPEATS) -> float:
    """The least time of a few runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def mirrored(cube: Cube, side: int) -> Cube:
    grow = [(0, max(0, side - size)) for size in cube.shape[:2]]
    return np.pad(cube, [*grow, (0, 0)], mode="symmetric")[:side, :side]


class PcaJpeg2000:
    """The baseline told all its settings: nothing is searched for, nothing tried twice."""

    def __init__(self, cube: Cube) -> None:
        self._cube = cube
        planes, basis = self._scores()
        budget = RATE * cube.size / 8
        low, high = 10.0, 120.0
        while high - low > 0.5:
            level = (low + high) / 2
            low, high = (low, level) if len(self._code(planes, level)) > budget else (level, high)
        self._level = low
        self.content = self._code(planes, low)
        self._basis = basis

    def _scores(self) -> tuple[Cube, Basis]:
        basis = Axes.of(self._cube).strongest(COMPONENTS)
        scores = basis.scores(self._cube)
        self._unit = np.float32(np.abs(scores).max() / 32767)
        return np.rint(scores / self._unit).astype(np.int16), basis

    def _code(self, planes: Cube, level: float) -> bytes:
        wanted: Any = level
        return bytes(
            imagecodecs.jpeg2k_encode(
                planes, level=wanted, codecformat="J2K", planar=True, mct=False, reversible=False
            )
        )

    def encode(self) -> bytes:
        return self._code(self._scores()[0], self._level)

    def decode(self) -> Cube:
        planes = imagecodecs.jpeg2k_decode(self.content, planar=True)
        spectra = self._basis.spectra(planes * self._unit)
        return np.clip(np.rint(spectra), 0, 65535).astype(np.uint16)


def compared(cube: Cube, sides: Sequence[int]) -> Iterator[dict[str, str]]:
    """Preview against PCA + JPEG 2000, the whole way from samples to a file and back."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.hsinr"
        for side in sides:
            large = mirrored(cube, side)

            def encode(large: Cube = large) -> None:
                xhsinr.compress(large, path, quality="preview", overwrite=True, progress=False)

            repeats = REPEATS if side <= COMPARED else 1
            encoding = seconds(encode, repeats)
            decoding = seconds(lambda: xhsinr.open(path).open().values, repeats)
            row = {
                "side": f"{side}",
                "latents, encode (s)": f"{encoding:.2f}",
                "decode (s)": f"{decoding:.2f}",
                "encode, MB/s": f"{large.nbytes / encoding / 1e6:.0f}",
            }
            other = dict.fromkeys(
                ("PCA + JPEG 2000, encode (s)", "decode (s) ", "encode, ratio", "decode, ratio"),
                "-",
            )
            if side <= COMPARED:
                rival = PcaJpeg2000(large)
                times = seconds(rival.encode), seconds(rival.decode)
                ratios = encoding / times[0], decoding / times[1]
                figures = (f"{value:.2f}" for value in (*times, *ratios))
                other = dict(zip(other, figures, strict=True))
            yield row | other


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("scene", type=Path)
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 512, 1024, 1536, 2048])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="Markdown file to write as well")
    arguments = parser.parse_args(words)
    cube = np.load(arguments.scene)
    rows = list(tqdm(compared(cube, arguments.sides), "sides", len(arguments.sides)))
    page = (
        f"## Previews against PCA + JPEG 2000\n\n{arguments.scene.stem}, {cube.shape[2]} bands, "
        f"mirrored. PCA + JPEG 2000: {COMPONENTS} components, {RATE:g} bpppb, told all its "
        "settings.\n\n" + markdown([*rows[0]], [[*found.values()] for found in rows]) + "\n"
    )
    print(page)
    if arguments.out:
        arguments.out.write_text(page)


if __name__ == "__main__":
    main()
