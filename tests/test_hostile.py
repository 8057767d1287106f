"""Files made to do harm: refused, or decoded, in the memory that a tile takes."""

from __future__ import annotations

import random
import shutil
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anatomy import Anatomy

import xhsinr
from xhsinr.coding.tile import TileCodec
from xhsinr.demo import synthetic_scene
from xhsinr.entropy.cursor import varint
from xhsinr.errors import HsinrError, LimitError
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.description import DICTIONARY
from xhsinr.sidecar.file import Sidecar

TARGETS: dict[str, dict[str, Any]] = {
    "standard": {},
    "lossless": {"lossless": True},
    "bounded": {"max_error": 4},
}
TRIES = 100


@pytest.fixture(scope="module", params=TARGETS)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile") / "a.hsinr"
    scene = synthetic_scene(20, 28, 6, nodata_corner=True)
    xhsinr.compress(scene, path, tile=16, progress=False, **TARGETS[request.param])
    return path


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(whole, tmp_path))


def read_all(path: Path) -> None:
    """Everything that reading does with a file."""
    reader = Reader(Sidecar.open(path))
    xhsinr.open(path).info  # noqa: B018
    reader.scene()
    for number in range(min(len(reader.tiling), 4)):
        reader.tile(number)
    Reader(reader.sidecar, 2).tile(0)


def refused_or_read(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    refusal = path.name
    tracemalloc.start()
    try:
        read_all(path)
    except HsinrError as error:
        refusal = str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert path.name in refusal
    assert peak < 64 << 20


def changed(content: bytes, rng: random.Random) -> bytes:
    """Bytes with a few of them changed, removed or put in."""
    out = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(out) + 1)
        choice = rng.randrange(4)
        if choice == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif choice == 1 and at < len(out):
            out[at] = rng.choice((0, 1, 127, 128, 255))
        elif choice == 2:
            out[at:at] = rng.randbytes(rng.randint(1, 4))
        else:
            del out[at : at + rng.randint(1, 4)]
    return bytes(out)


@pytest.mark.parametrize("part", ["header", "description", "index", "codec"])
def test_forged_fronts_are_refused_or_read(path: Path, part: str) -> None:
    whole, rng = Anatomy.of(path), random.Random(part)
    for _ in range(TRIES):
        forged = whole.with_(**{part: changed(getattr(whole, part), rng)})
        refused_or_read(path, forged.to_bytes())


def test_forged_tiles_are_refused_or_read(path: Path) -> None:
    codec, rng = Sidecar.open(path).codec(), random.Random(1)
    payload = Sidecar.open(path).payload(0)
    for _ in range(TRIES):
        name = rng.choice([name for name, content in payload.items() if content])
        forged = payload | {name: changed(payload[name], rng)}
        for decode in (codec.decode, lambda *a: codec.decode_coarse(*a, 2)):
            try:
                with np.errstate(all="ignore"):
                    decode(forged, 16, 16)
            except HsinrError:
                pass


def bombs(whole: Anatomy) -> Iterator[Anatomy]:
    """Small files that declare large things."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=DICTIONARY)
    spaces = packer.compress(bytes([32]) * (64 << 20)) + packer.flush()
    yield whole.with_(description=varint(len(spaces)) + spaces)
    head = whole.header
    yield whole.with_(header=head[:1] + varint(6) + varint(1 << 30) * 2 + varint(1) + head[5:])
    yield whole.with_(header=head[:1] + varint(1 << 40) + head[2:])
    yield whole.with_(index=b"\xff" + b"\xff" * 40)
    yield whole.with_(codec=whole.codec[:1] + b"\xff" * (len(whole.codec) - 1))


def test_bombs_are_refused(path: Path) -> None:
    for bomb in bombs(Anatomy.of(path)):
        refused_or_read(path, bomb.to_bytes())


def test_a_scene_beyond_the_limits_is_refused_with_a_hint(path: Path) -> None:
    with (
        xhsinr.set_limits(bands=5),
        pytest.raises(LimitError, match=r"a\.hsinr declares 6 bands.*set_limits\(bands=6\)"),
    ):
        Sidecar.open(path)


def test_the_codec_of_other_bands_is_damage(path: Path) -> None:
    content = Sidecar.open(path).codec_content
    for bands in (1, 5, 7, 10_000):
        with pytest.raises(HsinrError):
            TileCodec.from_bytes(content, np.dtype("i2"), bands).decode({}, 16, 16)
