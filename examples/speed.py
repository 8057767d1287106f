"""How fast files are written and read, by size of the scene and by device.

    python examples/speed.py SCENE.npy [--sides 512 1024] [--devices cpu cuda] [--out FILE.md]

SCENE is (rows, cols, bands); it is mirrored on and on to squares of the sides asked for. Files are
of 45 dB. Seconds are the least of three runs after a first one that is not counted, of a process
that should have the machine to itself. That all devices write the same bytes is checked.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

import xhsinr
from xhsinr.bench.tables import markdown

PSNR, REPEATS = 45, 3
COLUMNS = ("side", "device", "encode (s)", "encode (MB/s)", "decode (s)", "decode (MB/s)", "bytes")

Cube = npt.NDArray[Any]


def seconds(function: Callable[[], Any]) -> float:
    """The least time of a few runs, the first left out."""
    times = []
    for _ in range(1 + REPEATS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def mirrored(cube: Cube, side: int) -> Cube:
    grow = [(0, max(0, side - size)) for size in cube.shape[:2]]
    return np.pad(cube, [*grow, (0, 0)], mode="symmetric")[:side, :side]


def measured(cube: Cube, devices: Sequence[str], folder: Path) -> Iterator[list[str]]:
    """A row for each device."""
    path = folder / "scene.hsinr"
    files = set()
    for device in devices:

        def encode(device: str = device) -> None:
            xhsinr.compress(cube, path, psnr=PSNR, device=device, overwrite=True, progress=False)

        encoding, decoding = seconds(encode), seconds(lambda: xhsinr.open(path).open().load())
        files.add(path.read_bytes())
        assert len(files) == 1, f"{device} writes other bytes than {devices[0]}"
        rates = [f"{cube.nbytes / spent / 1e6:.0f}" for spent in (encoding, decoding)]
        times = [f"{encoding:.2f}", rates[0], f"{decoding:.2f}", rates[1]]
        yield [f"{len(cube)}", device, *times, f"{path.stat().st_size:,}"]


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("scene", type=Path)
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--devices", nargs="+", default=["cpu"])
    parser.add_argument("--out", type=Path, help="Markdown file to write as well")
    arguments = parser.parse_args(words)
    cube = np.load(arguments.scene)
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            row
            for side in tqdm(arguments.sides, "sides")
            for row in measured(mirrored(cube, side), arguments.devices, Path(folder))
        ]
    page = f"{arguments.scene.stem}, {cube.shape[2]} bands, mirrored, {PSNR} dB.\n\n"
    page += markdown(list(COLUMNS), rows) + "\n"
    print(page)
    if arguments.out:
        arguments.out.write_text(page)


if __name__ == "__main__":
    main()
