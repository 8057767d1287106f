"""One file, whole or refused: what is written is read, and no damage goes unseen."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from anatomy import Anatomy

from xhsinr.coding.contract import Frame
from xhsinr.coding.floats import FloatsCoding
from xhsinr.coding.tile import TileCodec
from xhsinr.coding.voids import Voids
from xhsinr.errors import (
    ChangedSidecarError,
    DamagedSidecarError,
    NotASidecarError,
    UnsupportedVersionError,
)
from xhsinr.metrics import Quality
from xhsinr.sidecar.description import write_description
from xhsinr.sidecar.file import Sidecar
from xhsinr.sidecar.header import Header
from xhsinr.sidecar.report import report
from xhsinr.sidecar.writer import Contents, SidecarWriter

PARTS = ("mask", "listed", "steps", "digits")
PAYLOADS: list[dict[str, bytes]] = [
    {"mask": b"first mask", "steps": b"first floats"},
    {"mask": b"", "steps": b"second"},
    {},
    {"steps": b"last floats", "mask": b"last"},
]
ARRAYS = {"wavelengths": np.linspace(400, 900, 3)}


def header(**changes: Any) -> Header:
    fields: dict[str, Any] = {
        "dtype": np.dtype("f4"),
        "shape": (3, 10, 14),
        "tile": 8,
        "target": {"psnr": 40.5},
        "rmse": 0.5,
        "max_error": 2.0,
        "mean_sam_deg": float("nan"),
        "noise_by_band": (),
        "software": "0.1.0",
    }
    return Header(**(fields | changes))


def codec(bands: int = 3) -> bytes:
    coding = FloatsCoding(Frame(np.dtype("f4"), bands, 0.0, 1.0))
    live, states = np.ones(bands, np.bool_), np.zeros(bands, np.uint8)
    return TileCodec(Voids.none(np.dtype("f4"), bands), states, live, None, coding).to_bytes()


CONTENTS = Contents(header(), write_description({"name": "µ ✓"}, ARRAYS), codec())


def quality(tile: int) -> Quality:
    return Quality(10, 10 * (0.1 * tile) ** 2, 0.5 * tile)


def _write(path: Path, order: tuple[int, ...] = (0, 1, 2, 3)) -> Sidecar:
    with SidecarWriter(path, 4, PARTS) as writer:
        for tile in order:
            writer.add(tile, PAYLOADS[tile], quality(tile))
        return writer.finish(CONTENTS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    _write(tmp_path / "a.hsinr")
    return tmp_path / "a.hsinr"


def test_what_is_written_is_read(path: Path) -> None:
    sidecar = Sidecar.open(path)
    assert repr(sidecar.header) == repr(CONTENTS.header)
    assert sidecar.shape == (3, 10, 14)
    assert sidecar.samples == 420
    assert len(sidecar.tiling) == 4
    assert sidecar.file_bytes == path.stat().st_size
    description, arrays = sidecar.description
    assert description == {"name": "µ ✓"}
    np.testing.assert_array_equal(arrays["wavelengths"], ARRAYS["wavelengths"])
    for tile, payload in enumerate(PAYLOADS):
        assert sidecar.payload(tile) == {"mask": b"", "steps": b""} | payload


def test_errors_of_tiles_are_rounded_up_by_a_twelfth_or_less(path: Path) -> None:
    errors = Sidecar.open(path).index.errors
    for tile in range(4):
        exact = np.array([quality(tile).rmse, quality(tile).max_error])
        assert (errors[tile] >= exact * (1 - 1e-12)).all()
        assert (errors[tile] <= exact * 2**0.125).all()


@pytest.mark.parametrize(
    "target",
    [{"psnr": 40.5}, {"bpppb": 1 / 3}, {"max_error": 1e-30}, {"lossless": True}, {"sam_deg": 1.0}]
    + [{"quality": name} for name in ("preview", "standard", "analysis", "archive")],
    ids=str,
)
def test_targets_come_back_exactly(tmp_path: Path, target: dict[str, Any]) -> None:
    noise = (0.25, 0.0, 4.0) if target.get("quality") == "analysis" else ()
    with SidecarWriter(tmp_path / "a.hsinr", 4, PARTS) as writer:
        for tile in range(4):
            writer.add(tile, {}, Quality())
        told = header(target=target, noise_by_band=noise)
        found = writer.finish(Contents(told, b"", codec())).header
    assert found.target == target
    assert found.noise_by_band == noise


def test_bytes_add_up_to_the_file(path: Path) -> None:
    found = report(Sidecar.open(path))
    outside = found.codec_bytes + found.index_bytes + found.metadata_bytes
    assert outside + sum(found.parts.values()) == found.bytes == path.stat().st_size


def test_a_plain_scene_takes_110_bytes_besides_basis_index_and_tiles(tmp_path: Path) -> None:
    plain = header(shape=(224, 512, 614), tile=256, dtype=np.dtype("i2"))
    with SidecarWriter(tmp_path / "a.hsinr", 6, PARTS) as writer:
        for tile in range(6):
            writer.add(tile, {"steps": bytes(20_000)}, quality(1))
        sidecar = writer.finish(Contents(plain, b"", codec(224)))
    assert report(sidecar).metadata_bytes <= 105  # coding and range of int16: 5


def test_the_safetensors_library_reads_it(path: Path) -> None:
    ((name, array),) = safetensors.numpy.load_file(path).items()
    assert name == "h"
    assert path.read_bytes().endswith(array.tobytes())
    assert array.tobytes().endswith(b"first maskfirst floatssecondlastlast floats")


def test_the_order_of_the_tiles_does_not_matter(path: Path, tmp_path: Path) -> None:
    for number, order in enumerate([(3, 2, 1, 0), (2, 0, 3, 1)]):
        _write(tmp_path / f"{number}.hsinr", order)
        assert (tmp_path / f"{number}.hsinr").read_bytes() == path.read_bytes()


def test_the_size_is_known_before_the_file_is_written(tmp_path: Path) -> None:
    with SidecarWriter(tmp_path / "a.hsinr", 4, PARTS) as writer:
        for tile, payload in enumerate(PAYLOADS):
            writer.add(tile, payload, quality(tile))
        size = writer.size(CONTENTS)
        assert not (tmp_path / "a.hsinr").exists()
        assert writer.finish(CONTENTS).file_bytes == size


def test_tiles_without_any_bytes_are_a_file_without_parts(tmp_path: Path) -> None:
    with SidecarWriter(tmp_path / "a.hsinr", 4, PARTS) as writer:
        for tile in range(4):
            writer.add(tile, {}, Quality())
        sidecar = writer.finish(Contents(header(), b"", codec()))
    assert sidecar.parts == ()
    assert sidecar.payload(3) == {}


def test_a_sidecar_can_be_pickled(path: Path) -> None:
    sidecar = pickle.loads(pickle.dumps(Sidecar.open(path)))
    assert sidecar.payload(0) == PAYLOADS[0]


def test_nothing_stays_after_an_error(path: Path) -> None:
    before = path.read_bytes()

    def interrupted() -> None:
        with SidecarWriter(path, 4, PARTS) as writer:
            writer.add(0, PAYLOADS[0], quality(0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [file.name for file in path.parent.iterdir()] == ["a.hsinr"]
    assert path.read_bytes() == before


OPEN_ERRORS = (DamagedSidecarError, NotASidecarError, UnsupportedVersionError)


def test_every_damaged_byte_before_the_tiles_is_detected(path: Path) -> None:
    content = path.read_bytes()
    for at in range(Sidecar.open(path).tiles_start):
        damaged = bytearray(content)
        damaged[at] ^= 1 << (at % 8)
        path.write_bytes(damaged)
        with pytest.raises(OPEN_ERRORS):
            Sidecar.open(path)


def test_every_damaged_byte_of_the_tiles_is_reported_with_its_tile(path: Path) -> None:
    content = path.read_bytes()
    at = Sidecar.open(path).tiles_start
    for tile, payload in enumerate(PAYLOADS):
        for _ in b"".join(payload.values()):
            damaged = bytearray(content)
            damaged[at] ^= 0x10
            at += 1
            path.write_bytes(damaged)
            sidecar = Sidecar.open(path)
            with pytest.raises(DamagedSidecarError, match=f"tile {tile}: checksum"):
                sidecar.payload(tile)
            for other in {0, 1, 2, 3} - {tile}:
                sidecar.payload(other)
    assert at == len(content)


def test_a_file_that_was_cut_off_anywhere_is_detected(path: Path) -> None:
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(OPEN_ERRORS):
            Sidecar.open(path)


def test_the_tiles_that_are_there_can_be_read_from_a_file_that_was_cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])
    sidecar = Sidecar.open(path, whole=False)
    assert sidecar.payload(0)["steps"] == b"first floats"
    with pytest.raises(DamagedSidecarError, match=r"tile 3.*cut off"):
        sidecar.payload(3)


@pytest.mark.parametrize("more", [b"\0", b" ", b"x" * 1000])
def test_appended_bytes_are_detected(path: Path, more: bytes) -> None:
    path.write_bytes(path.read_bytes() + more)
    with pytest.raises(DamagedSidecarError, match="something was appended"):
        Sidecar.open(path)


@pytest.mark.parametrize("other", ["replaced", "overwritten", "removed"])
def test_a_file_that_is_replaced_after_it_was_opened_is_no_damage(path: Path, other: str) -> None:
    sidecar = Sidecar.open(path)
    if other == "replaced":
        with SidecarWriter(path, 4, PARTS) as writer:
            for tile in range(4):
                writer.add(tile, {"steps": b"of another scene, and longer"}, quality(tile))
            writer.finish(CONTENTS)
        with pytest.raises(ChangedSidecarError, match=r"a\.hsinr was replaced"):
            sidecar.check_size()
    elif other == "overwritten":
        path.write_bytes(path.read_bytes()[:50])
    else:
        path.unlink()
    error = FileNotFoundError if other == "removed" else ChangedSidecarError
    with pytest.raises(error, match=r"a\.hsinr"):
        sidecar.payload(0)


def test_a_file_that_grows_after_it_was_opened_is_damage(path: Path) -> None:
    sidecar = Sidecar.open(path)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(DamagedSidecarError, match="something was appended"):
        sidecar.check_size()


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Sidecar.open(tmp_path / "none.hsinr")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        b"Some text that is no sidecar, whatever the name of its file says.\n" * 9,
        bytes(100),
        safetensors.numpy.save({"weights": np.ones(9)}),
        safetensors.numpy.save({"h": np.ones(9)}),
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 200_000) + b"[" * 200_000,
    ],
)
def test_another_file_is_no_sidecar(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.hsinr"
    path.write_bytes(content)
    with pytest.raises(NotASidecarError, match=r"other\.hsinr"):
        Sidecar.open(path)


def test_a_newer_version_asks_for_a_newer_package(path: Path) -> None:
    path.write_bytes(Anatomy.of(path).with_(version=3).to_bytes())
    with pytest.raises(UnsupportedVersionError, match=r"format version 3.*install a newer xhsinr"):
        Sidecar.open(path)


def test_format_1_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "old.hsinr"
    raw = b'{"__metadata__":{"crc32c":"00000000","hsinr":"{}"}}'
    path.write_bytes(struct.pack("<Q", len(raw)) + raw)
    with pytest.raises(UnsupportedVersionError, match=r"old\.hsinr has format version 1"):
        Sidecar.open(path)


def test_taken_apart_and_put_together_it_is_the_same(path: Path) -> None:
    assert Anatomy.of(path).to_bytes() == path.read_bytes()
