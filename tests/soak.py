"""Use the package for a long time, as hard as it gets, and count.

    python tests/soak.py --minutes 60

Two processes share a folder of sidecars. Both compress, read windows, verify, damage copies and
salvage them, in random order; one is killed and started again all the time. Nothing may be wrong,
half written or lost, and the memory of the other may not grow once it is warm: after ten minutes,
or half of a shorter time.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

NAMES = ("a", "b", "c", "d", "e", "f")
TARGETS: tuple[dict[str, Any], ...] = (
    {"quality": "preview"},
    {"psnr": 40.0},
    {"max_error": 3},
    {"lossless": True},
)
WARM_SECONDS = 600
GROWTH = 32 << 20
SECONDS_TO_LIVE = (2.0, 12.0)


class Worker:
    """Does one thing after another with the files of a folder; says what, and its memory."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.rng = random.Random(seed)

    def run(self) -> None:
        actions = [self.compress, self.read, self.read, self.verify, self.salvage]
        first = [*actions, *[self.compress] * 10]
        while True:
            action = first.pop() if first else self.rng.choice(actions)
            path = self.folder / f"{self.rng.choice(NAMES)}.hsinr"
            if action == self.compress or path.exists():
                print(json.dumps([action(path), resident_bytes()]), flush=True)

    def compress(self, path: Path) -> str:
        import xhsinr

        target = self.rng.choice(TARGETS)
        shape = [self.rng.randint(12, 70), self.rng.randint(12, 70), self.rng.randint(2, 20)]
        scene = original(shape, self.rng.randrange(1000))
        tile = self.rng.choice((16, 32, 64))
        xhsinr.compress(scene, path, tile=tile, overwrite=True, progress=False, **target)
        return "compressed"

    def read(self, path: Path) -> str:
        import numpy as np

        import xhsinr
        from xhsinr.errors import ChangedSidecarError

        handle = xhsinr.open(path)
        lazy = handle.open()
        bands, rows, cols = (self._run(size) for size in lazy.shape)
        try:
            found = lazy[bands, rows, cols].values
        except (ChangedSidecarError, FileNotFoundError):
            return "replaced while it was read"
        expected = original(*lazy.attrs["made_from"]).values[bands, rows, cols]
        apart = np.abs(found.astype(np.int64) - expected)
        assert ((found == NODATA) == (expected == NODATA)).all(), f"{path}: nodata moved"
        allowed = handle.info["max_error"]
        assert apart.max() <= allowed, f"{path}: off by {apart.max()}, {allowed} at most"
        return "window read"

    def verify(self, path: Path) -> str:
        import xhsinr

        errors = xhsinr.verify(path, progress=False).errors
        if errors and all("was replaced" in error for error in errors):
            return "replaced while it was verified"
        assert not errors, errors
        return "verified"

    def salvage(self, path: Path) -> str:
        import xhsinr
        from xhsinr.errors import DamagedSidecarError, SidecarError

        name = f"{self.rng.randrange(1 << 30):x}"
        copy, out = self.folder / f"{name}.damaged", self.folder / f"{name}.tif"
        content = bytearray(path.read_bytes())
        content[self.rng.randrange(len(content))] ^= 1 << self.rng.randrange(8)
        copy.write_bytes(content)
        try:
            assert xhsinr.verify(copy, progress=False).errors, f"{copy}: damage was not found"
            lost = xhsinr.salvage(copy, out, progress=False).lost
            assert len(lost) == 1, f"{copy}: {lost}"
        except DamagedSidecarError:
            return "damaged and given up"
        except SidecarError:
            return "damaged and refused"
        finally:
            copy.unlink()
            out.unlink(missing_ok=True)
        return "damaged and salvaged"

    def _run(self, size: int) -> slice:
        start = self.rng.randrange(size)
        return slice(start, self.rng.randint(start + 1, size))


NODATA = -32768


def original(shape: list[int], seed: int) -> Any:
    """The scene of which a file was made; says so in its attributes."""
    from xhsinr.demo import synthetic_scene

    scene = synthetic_scene(*shape, seed=seed, nodata_corner=True)
    scene.attrs["made_from"] = [shape, seed]
    return scene


def resident_bytes() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


class Soak:
    """Keeps the two processes at work, and their books."""

    def __init__(self, folder: Path, minutes: float, seed: int) -> None:
        self.folder, self.seconds, self.seed = folder, 60 * minutes, seed
        self.done: Counter[str] = Counter()
        self.memory: list[tuple[float, int]] = []
        self.errors: list[str] = []
        self.start = time.monotonic()

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.start

    def run(self) -> None:
        steady = threading.Thread(target=self._steady)
        steady.start()
        rng, number = random.Random(self.seed), 0
        while self.elapsed < self.seconds and not self.errors:
            number += 1
            self._mortal(number, rng.uniform(*SECONDS_TO_LIVE))
            self._check_folder()
        steady.join()

    def _steady(self) -> None:
        process = self._worker(0)
        end = threading.Timer(max(self.seconds - self.elapsed, 1), process.terminate)
        end.start()
        assert process.stdout is not None
        for line in process.stdout:
            what, resident = json.loads(line)
            self.done[what] += 1
            self.memory.append((self.elapsed, resident))
        end.cancel()
        self._end(process, expected=-15)

    def _mortal(self, number: int, seconds: float) -> None:
        process = self._worker(number)
        end = threading.Timer(seconds, process.kill)
        end.start()
        assert process.stdout is not None
        for line in process.stdout:
            if line.endswith("\n"):
                self.done[json.loads(line)[0]] += 1
        end.cancel()
        self._end(process, expected=-9)
        self.done["killed"] += 1

    def _worker(self, number: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, __file__, "--worker", self.folder, "--seed", str(self.seed + number)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _end(self, process: subprocess.Popen[str], expected: int) -> None:
        _, text = process.communicate()
        if process.returncode != expected:
            self.errors.append(f"a process ended with {process.returncode}: {text[-2000:]}")

    def _check_folder(self) -> None:
        """No file lost or half written; what a killed process left has another name."""
        import xhsinr

        for name in NAMES:
            path = self.folder / f"{name}.hsinr"
            if path.exists():
                found = xhsinr.verify(path, level="checksum", progress=False).errors
                self.errors += [error for error in found if "was replaced" not in error]
                (self.folder / f"{name}.seen").touch()
            elif (self.folder / f"{name}.seen").exists():
                self.errors.append(f"{path} was lost")
        self.done["files checked after a kill"] += len(NAMES)

    def report(self) -> bool:
        """Print the counts; whether all is well."""
        cold = min(WARM_SECONDS, self.seconds / 2)
        warm = [resident for at, resident in self.memory if at < cold]
        after = [resident for at, resident in self.memory if at >= cold]
        for what, count in sorted(self.done.items()):
            print(f"{what:32} {count:9,}")
        if not warm or not after:
            self.errors.append("the time was too short to measure memory")
        else:
            print(f"{'largest memory while warming up':32} {max(warm) >> 20:6,} MB")
            print(f"{'largest memory after':32} {max(after) >> 20:6,} MB")
            print(f"{'memory at the end':32} {after[-1] >> 20:6,} MB")
            if max(after) > max(warm) + GROWTH:
                self.errors.append("memory grew")
        print(f"{'errors':32} {len(self.errors):9,}", *self.errors, sep="\n")
        return not self.errors


def main() -> None:
    parser = argparse.ArgumentParser(description="Use the package for a long time, and count.")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        Worker(arguments.worker, arguments.seed).run()
    folder = Path(tempfile.mkdtemp(prefix="xhsinr-soak-"))
    try:
        soak = Soak(folder, arguments.minutes, arguments.seed)
        soak.run()
        sys.exit(not soak.report())
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
