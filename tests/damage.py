"""Every way to damage a file that we could think of, and what reading must make of each.

    python tests/damage.py           all cases, counted: the table of docs/reliability.md

`test_damage.py` tries a sample of the same cases.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from small_networks import siren_network

import xhsinr
from xhsinr.demo import synthetic_scene
from xhsinr.errors import NetworkError, SidecarError
from xhsinr.network.file import parse_network, save_network
from xhsinr.network.places import load_network
from xhsinr.network.prior import package_prior
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.file import Sidecar

__all__ = ["PROFILES", "Case", "Specimen", "network_cases", "try_case", "try_network"]

PROFILES = ("preview", "standard", "analysis", "archive")
EVERY_LENGTH = 4096
PAGE = 512


@dataclass(frozen=True)
class Case:
    """A damaged file: what was done to it, its bytes, and the tiles that it touches.

    ``tiles`` is None where the whole file has to be refused.
    """

    kind: str
    content: bytes
    tiles: frozenset[int] | None = None


class Specimen:
    """A whole sidecar of several tiles, and what it decodes to.

    Parameters
    ----------
    profile : str
        Quality that it is compressed with.
    path : Path
        Where it is, and where its damaged copies are tried.
    """

    def __init__(self, profile: str, path: Path) -> None:
        self.path = path
        scene = synthetic_scene(20, 28, 6, seed=4, nodata_corner=True)
        xhsinr.compress(scene, path, quality=profile, tile=8, overwrite=True, progress=False)
        self.content = path.read_bytes()
        reader = Reader(Sidecar.open(path))
        self.tiles = [reader.tile(number) for number in range(len(reader.tiling))]
        self.payloads = [reader.sidecar.payload(number) for number in range(len(self.tiles))]
        sizes = reader.sidecar.index.sizes.sum(axis=1)
        self.front = reader.sidecar.tiles_start
        self.ends = self.front + np.cumsum(sizes)
        self.starts = self.ends - sizes

    @cached_property
    def other(self) -> bytes:
        """A file of the same layout and another scene."""
        path = self.path.with_name("other.hsinr")
        scene = synthetic_scene(20, 28, 6, seed=9, nodata_corner=True)
        xhsinr.compress(scene, path, tile=8, overwrite=True, progress=False)
        return path.read_bytes()

    def case(self, kind: str, content: bytes) -> Iterator[Case]:
        """The case of other contents, if they are others."""
        front = self.front
        if content == self.content:
            return
        if len(content) != len(self.content) or content[:front] != self.content[:front]:
            yield Case(kind, content)
            return
        pieces = [slice(*ends) for ends in zip(self.starts, self.ends, strict=True)]
        differing = (n for n, at in enumerate(pieces) if content[at] != self.content[at])
        yield Case(kind, content, frozenset(differing))

    def changed(self, kind: str, start: int, new: bytes) -> Iterator[Case]:
        """The case of other bytes at a place."""
        return self.case(kind, self.content[:start] + new + self.content[start + len(new) :])

    def cases(self, step: int, rng: np.random.Generator) -> Iterator[Case]:
        """All damages, of the many alike every ``step``-th."""
        content, front = self.content, self.front
        for at in range(int(rng.integers(step)), front, step):
            for bit in rng.choice(8, 2, replace=False):
                yield from self.changed("flip, header and index", at, self._flipped(at, bit))
        for at in range(front + int(rng.integers(step)), len(content), step):
            yield from self.changed("flip, payload", at, self._flipped(at, rng.integers(8)))
        long = len(content) - EVERY_LENGTH
        lengths = [*range(min(EVERY_LENGTH, len(content)))]
        lengths += (EVERY_LENGTH + rng.choice(max(long, 0), min(max(long, 0), 500), False)).tolist()
        for length in lengths[int(rng.integers(step)) :: step]:
            yield from self.case("truncate", content[:length])
        for more in (b"\0", b"\n", content, bytes(4096)):
            yield from self.case("append", content + more)
        for start in range(0, len(content), PAGE):
            size = min(PAGE, len(content) - start)
            for page in (bytes(size), b"\xff" * size):
                yield from self.changed("zero pages", start, page)
        yield from self._moved(step)
        cut = int.from_bytes(self.other[:8], "little")
        yield Case("swap headers", self.other[: 8 + cut] + content[8 + cut :])
        cut = Sidecar.open(self.path.with_name("other.hsinr")).tiles_start
        swapped = self.other[:cut] + content[front:]
        alike = len(swapped) == len(self.other)
        yield Case("swap headers", swapped, frozenset(range(len(self.tiles))) if alike else None)

    def _moved(self, step: int) -> Iterator[Case]:
        """Tiles that stand in each other's place, twice, or not at all."""
        tiles = [self.content[start:end] for start, end in zip(self.starts, self.ends, strict=True)]
        head = self.content[: self.front]
        pairs = [(i, j) for i in range(len(tiles)) for j in range(i) if tiles[i] != tiles[j]]
        for i, j in pairs[::step]:
            swapped = list(tiles)
            swapped[i], swapped[j] = tiles[j], tiles[i]
            yield from self.case("swap tiles", head + b"".join(swapped))
        for i in range(len(tiles)):
            doubled = head + b"".join(tiles[: i + 1] + tiles[i:])
            yield from self.case("duplicate a tile", doubled)
            yield from self.case("duplicate a tile", doubled[: len(self.content)])
            yield from self.case("drop a tile", head + b"".join(tiles[:i] + tiles[i + 1 :]))

    def _flipped(self, at: int, bit: int) -> bytes:
        return bytes([self.content[at] ^ 1 << int(bit)])


def try_case(specimen: Specimen, case: Case) -> None:
    """Read a damaged file.

    Raises
    ------
    AssertionError
        If damage is returned as data, what is whole is not, or an error does not name the file
        and the tile, or `verify` does not find all of it.
    """
    path = specimen.path
    rewrite(path, case.content)
    found = xhsinr.verify(path, level="checksum", progress=False)
    refused = refusal(lambda: Sidecar.open(path))
    assert (refused is not None) == (case.tiles is None), refused
    if refused is not None:
        assert path.name in refused
        assert len(found.errors) == 1
        return
    damaged = case.tiles or frozenset()
    assert len(found.errors) == len(damaged), found.errors
    reader = Reader(Sidecar.open(path))
    for number in damaged:
        refused = refusal(lambda number=number: reader.tile(number))
        assert refused is not None, f"damaged tile {number} was returned"
        assert f"{path.name}: tile {number}:" in refused
        assert refused in found.errors
    whole = [number for number in range(len(specimen.tiles)) if number not in damaged]
    for number in whole:
        assert reader.sidecar.payload(number) == specimen.payloads[number]
    if whole:
        # The same bytes decode to the same samples: one of them shows it.
        assert reader.tile(whole[0]).tobytes() == specimen.tiles[whole[0]].tobytes()


def refusal(action: Callable[[], Any]) -> str | None:
    """What the package's error says; None without one."""
    try:
        action()
    except (SidecarError, NetworkError) as error:
        return str(error)
    return None


def network_cases(content: bytes, step: int) -> Iterator[tuple[str, bytes]]:
    """All damages of a base network's file, of the many alike every ``step``-th."""
    for at in range(0, len(content), step):
        flipped = bytes([content[at] ^ 1 << at % 8])
        yield "flip", content[:at] + flipped + content[at + 1 :]
        yield "truncate", content[:at]
    for more in (b"\0", b" ", content):
        yield "append", content + more
    for start in range(0, len(content), PAGE):
        size = min(PAGE, len(content) - start)
        yield "zero pages", content[:start] + bytes(size) + content[start + size :]


def try_network(content: bytes, damaged: bytes, path: Path) -> None:
    """Load a damaged base network as a sidecar does, by name and digest."""
    digest = parse_network(content, path).digest
    path.unlink(missing_ok=True)
    path.write_bytes(damaged)
    refused = refusal(lambda: load_network(path, digest=digest))
    assert refused is not None, "a damaged base network was loaded"
    assert path.stem in refused


def rewrite(path: Path, content: bytes) -> None:
    """In place: file systems flush a file that is emptied and written anew, which takes long."""
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()


def main() -> None:
    parser = argparse.ArgumentParser(description="Try all damages, and count.")
    parser.add_argument("--step", type=int, default=1, help="of the many alike every so many")
    step = parser.parse_args().step
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        print("| file | damage | cases | caught |\n|---|---|---:|---:|")
        for profile in PROFILES:
            start = time.monotonic()
            specimen = Specimen(profile, Path(folder) / f"{profile}.hsinr")
            tried: Counter[str] = Counter()
            for case in specimen.cases(step, rng):
                try_case(specimen, case)
                tried[case.kind] += 1
            report(f"{profile} ({len(specimen.content):,} bytes)", tried, start)
        for name, network in (("siren", siren_network()), ("prior", package_prior())):
            path = Path(folder) / f"{name}.safetensors"
            save_network(network, path)
            content, start = path.read_bytes(), time.monotonic()
            tried = Counter()
            for number, (kind, damaged) in enumerate(network_cases(content, step)):
                try_network(content, damaged, path.with_stem(f"{name}-{number}"))
                path.with_stem(f"{name}-{number}").unlink()
                tried[kind] += 1
            report(f"{name} base network ({len(content):,} bytes)", tried, start)


def report(name: str, tried: Counter[str], start: float) -> None:
    for kind, cases in tried.items():
        print(f"| {name} | {kind} | {cases:,} | {cases:,} |")
    seconds = time.monotonic() - start
    print(f"| {name} | all, in {seconds:.0f} s | {tried.total():,} | {tried.total():,} |")


if __name__ == "__main__":
    main()
