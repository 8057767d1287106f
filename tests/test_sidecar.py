from __future__ import annotations

import json
import pickle
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from forgery import forge

from xhsinr.errors import (
    ChangedSidecarError,
    DamagedSidecarError,
    LimitError,
    NotASidecarError,
    SidecarError,
    UnsupportedVersionError,
)
from xhsinr.sidecar.file import Sidecar
from xhsinr.sidecar.writer import SidecarWriter, front

HEADER = {"shape": [3, 10, 14], "tile": 8, "dtype": "u2", "scene": {"name": "µ ✓"}}
ARRAYS = {
    "basis": np.arange(7, dtype=np.uint8),
    "quality": np.arange(8, dtype=np.float32).reshape(4, 2),
    "scene.wavelengths": np.linspace(400, 900, 3),
    "flags": np.array([True, False]),
}
PAYLOADS: list[dict[str, bytes]] = [
    {"latents": b"first latents", "detail": b"first detail"},
    {"latents": b"", "detail": b"second"},
    {},
    {"detail": b"last detail", "latents": b"last"},
]


def _write(path: Path, order: tuple[int, ...] = (0, 1, 2, 3)) -> Sidecar:
    with SidecarWriter(path, 4) as writer:
        for tile in order:
            writer.add(tile, PAYLOADS[tile])
        return writer.finish(HEADER, ARRAYS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    _write(tmp_path / "a.hsinr")
    return tmp_path / "a.hsinr"


def test_what_is_written_is_read(path: Path) -> None:
    sidecar = Sidecar.open(path)
    assert sidecar.header == HEADER | {"version": 1, "layers": ["latents", "detail"]}
    assert sidecar.shape == (3, 10, 14)
    assert sidecar.samples == 420
    assert sidecar.dtype == np.uint16
    assert len(sidecar.tiling) == 4
    assert sidecar.file_bytes == path.stat().st_size
    for name, value in ARRAYS.items():
        assert sidecar.arrays[name].dtype == value.dtype
        np.testing.assert_array_equal(sidecar.arrays[name], value)
    for tile, payload in enumerate(PAYLOADS):
        assert sidecar.payload(tile) == {"latents": b"", "detail": b""} | payload
    assert sidecar.sizes.tolist() == [[13, 12], [0, 6], [0, 0], [4, 11]]


def test_bytes_that_samples_need_and_metadata_add_up_to_the_file(path: Path) -> None:
    sidecar = Sidecar.open(path)
    index = sidecar.arrays["index"].nbytes
    assert sidecar.metadata_bytes + sidecar.sizes.sum() + index + 7 == path.stat().st_size


def test_the_safetensors_library_reads_it(path: Path) -> None:
    with safetensors.safe_open(path, framework="numpy") as file:
        names = set(file.keys())
        assert names == {"index", "tiles", *ARRAYS}
        for name, value in ARRAYS.items():
            np.testing.assert_array_equal(file.get_tensor(name), value)
        tiles = file.get_tensor("tiles").tobytes()
        assert json.loads(file.metadata()["hsinr"])["shape"] == [3, 10, 14]
    assert tiles == b"first latentsfirst detailsecondlastlast detail"


def test_the_order_of_the_tiles_does_not_matter(path: Path, tmp_path: Path) -> None:
    for number, order in enumerate([(3, 2, 1, 0), (2, 0, 3, 1)]):
        _write(tmp_path / f"{number}.hsinr", order)
        assert (tmp_path / f"{number}.hsinr").read_bytes() == path.read_bytes()


def test_the_size_is_known_before_the_file_is_written(tmp_path: Path) -> None:
    with SidecarWriter(tmp_path / "a.hsinr", 4) as writer:
        for tile, payload in enumerate(PAYLOADS):
            writer.add(tile, payload)
        size = writer.size(HEADER, ARRAYS)
        assert not (tmp_path / "a.hsinr").exists()
        assert writer.finish(HEADER, ARRAYS).file_bytes == size


def test_tiles_without_any_bytes_are_a_file_without_layers(tmp_path: Path) -> None:
    with SidecarWriter(tmp_path / "a.hsinr", 4) as writer:
        for tile in range(4):
            writer.add(tile, {})
        sidecar = writer.finish(HEADER, {})
    assert sidecar.layers == ()
    assert sidecar.payload(3) == {}
    with safetensors.safe_open(sidecar.path, framework="numpy") as file:
        assert file.get_tensor("tiles").shape == (0,)


def test_a_sidecar_can_be_pickled(path: Path) -> None:
    sidecar = pickle.loads(pickle.dumps(Sidecar.open(path)))
    assert sidecar.payload(0) == PAYLOADS[0]


def test_a_file_is_replaced_whole(path: Path) -> None:
    with SidecarWriter(path, 1) as writer:
        writer.add(0, {"mask": b"m"})
        writer.finish(HEADER | {"tile": 14}, {})
    assert Sidecar.open(path).payload(0) == {"mask": b"m"}


def test_nothing_stays_after_an_error(path: Path) -> None:
    before = path.read_bytes()

    def interrupted() -> None:
        with SidecarWriter(path, 4) as writer:
            writer.add(0, PAYLOADS[0])
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


def test_every_damaged_byte_of_the_tiles_is_reported_with_its_tile_and_layer(path: Path) -> None:
    content = path.read_bytes()
    at = Sidecar.open(path).tiles_start
    for tile, payload in enumerate(PAYLOADS):
        for layer in ("latents", "detail"):
            for _ in payload.get(layer, b""):
                damaged = bytearray(content)
                damaged[at] ^= 0x10
                at += 1
                path.write_bytes(damaged)
                sidecar = Sidecar.open(path)
                with pytest.raises(DamagedSidecarError, match=f"tile {tile}, layer '{layer}'"):
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
    assert sidecar.payload(0)["detail"] == b"first detail"
    with pytest.raises(DamagedSidecarError, match=r"tile 3, layer 'detail'.*cut off"):
        sidecar.payload(3)


@pytest.mark.parametrize("more", [b"\0", b" ", b"x" * 1000])
def test_appended_bytes_are_detected(path: Path, more: bytes) -> None:
    path.write_bytes(path.read_bytes() + more)
    with pytest.raises(DamagedSidecarError, match="something was appended"):
        Sidecar.open(path)


def test_a_file_that_shrinks_after_it_was_opened_is_detected(path: Path) -> None:
    sidecar = Sidecar.open(path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DamagedSidecarError, match="tile 3, layer 'detail'"):
        sidecar.payload(3)


@pytest.mark.parametrize("other", ["replaced", "overwritten", "removed"])
def test_a_file_that_is_replaced_after_it_was_opened_is_no_damage(path: Path, other: str) -> None:
    sidecar = Sidecar.open(path)
    if other == "replaced":
        with SidecarWriter(path, 4) as writer:
            for tile in range(4):
                writer.add(tile, {"detail": b"of another scene"})
            writer.finish(HEADER, ARRAYS)
    elif other == "overwritten":
        path.write_bytes(path.read_bytes()[:50])
    else:
        path.unlink()
    error = FileNotFoundError if other == "removed" else ChangedSidecarError
    with pytest.raises(error, match=r"a\.hsinr"):
        sidecar.payload(0)


def test_a_file_that_was_replaced_by_the_same_is_read_on(path: Path) -> None:
    sidecar = Sidecar.open(path)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    assert sidecar.payload(1)["detail"] == b"second"


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
        safetensors.numpy.save({"weights": np.ones(9)}, {"hsinr-network": "{}"}),
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
    forge(path, lambda entries, header: header.update(version=2))
    with pytest.raises(UnsupportedVersionError, match=r"format version 2.*install a newer xhsinr"):
        Sidecar.open(path)


def test_a_header_that_is_signed_anew_is_read(path: Path) -> None:
    forge(path, lambda entries, header: header.update(note="harmless"))
    assert Sidecar.open(path).header["note"] == "harmless"


HEADER_CHANGES: dict[str, dict[str, Any]] = {
    "huge shape": {"shape": [3, 2**40, 2**40]},
    "many tiles": {"shape": [3, 2**31, 2**31], "tile": 1},
    "many bands": {"shape": [2**20, 10, 14]},
    "no rows": {"shape": [3, 0, 14]},
    "negative rows": {"shape": [3, -10, 14]},
    "fractional shape": {"shape": [3.0, 10.0, 14.0]},
    "flags as shape": {"shape": [True, True, True]},
    "texts as shape": {"shape": ["3", "10", "14"]},
    "two sizes": {"shape": [10, 14]},
    "four sizes": {"shape": [3, 10, 14, 1]},
    "shape of nothing": {"shape": None},
    "other tiles": {"tile": 4},
    "no tile": {"tile": 0},
    "huge tile": {"tile": 2**40},
    "fractional tile": {"tile": 8.0},
    "tile of nothing": {"tile": None},
    "other layers": {"layers": ["mask", "detail", "bound"]},
    "turned layers": {"layers": ["detail", "latents"]},
    "unknown layers": {"layers": ["latents", "virus"]},
    "doubled layers": {"layers": ["latents", "latents"]},
    "layers as text": {"layers": "latents"},
    "layers as object": {"layers": {"latents": 1, "detail": 1}},
    "layers as number": {"layers": 2},
    "objects": {"dtype": "O"},
    "complex": {"dtype": "c8"},
    "records": {"dtype": "u2,u2"},
    "texts": {"dtype": "S1000000000"},
    "dtype of nothing": {"dtype": None},
    "list of dtypes": {"dtype": [["a", "u2"]]},
    "version zero": {"version": 0},
    "version text": {"version": "1"},
    "version fraction": {"version": 1.0},
    "version flag": {"version": True},
}


@pytest.mark.parametrize("name", HEADER_CHANGES)
def test_a_header_that_no_writer_wrote_is_damage(path: Path, name: str) -> None:
    forge(path, lambda entries, header: header.update(HEADER_CHANGES[name]))
    _check_refused(path, LimitError if name in TOO_LARGE else DamagedSidecarError)


@pytest.mark.parametrize("key", ["shape", "tile", "layers", "dtype"])
def test_a_header_that_lacks_a_key_is_damage(path: Path, key: str) -> None:
    forge(path, lambda entries, header: header.pop(key))
    _check_refused(path)


TOO_LARGE = {"huge shape", "many tiles", "many bands"}


def _check_refused(path: Path, error: type[SidecarError] = DamagedSidecarError) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(error, match=r"a\.hsinr"):
            Sidecar.open(path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


ENTRY_CHANGES: dict[str, dict[str, Any]] = {
    "huge shape": {"shape": [2**62, 2**62]},
    "huge shape of nothing": {"shape": [0, 2**62, 2**62], "data_offsets": [0, 0]},
    "many axes": {"shape": [1] * 100 + [4, 2]},
    "negative": {"shape": [-4, -2]},
    "fractional": {"shape": [4.0, 2.0]},
    "shape as text": {"shape": "42"},
    "shape of nothing": {"shape": None},
    "overlap": {"data_offsets": [0, 32]},
    "gap": {"data_offsets": [40, 72]},
    "backwards": {"data_offsets": [32, 0]},
    "negative offsets": {"data_offsets": [-32, 0]},
    "fractional offsets": {"data_offsets": [24.0, 56.0]},
    "one offset": {"data_offsets": [24]},
    "beyond the file": {"data_offsets": [24, 2**60], "shape": [2**60]},
    "wrong dtype": {"dtype": "F64"},
    "unknown dtype": {"dtype": "F8_E4M3"},
    "dtype of nothing": {"dtype": None},
    "dtype as list": {"dtype": ["F32"]},
}


@pytest.mark.parametrize("name", ENTRY_CHANGES)
def test_an_array_that_does_not_fit_the_file_is_damage(path: Path, name: str) -> None:
    forge(path, lambda entries, header: entries["quality"].update(ENTRY_CHANGES[name]))
    _check_refused(path)


@pytest.mark.parametrize("name", ["index", "tiles", "quality"])
def test_an_array_that_is_missing_is_damage(path: Path, name: str) -> None:
    forge(path, lambda entries, header: entries.pop(name))
    _check_refused(path)


@pytest.mark.parametrize("key", ["shape", "dtype", "data_offsets"])
def test_an_array_that_lacks_a_key_is_damage(path: Path, key: str) -> None:
    forge(path, lambda entries, header: entries["index"].pop(key))
    _check_refused(path)


@pytest.mark.parametrize("entry", [None, 7, "F32", []])
def test_an_entry_that_is_no_object_is_damage(path: Path, entry: Any) -> None:
    forge(path, lambda entries, header: entries.update(index=entry))
    _check_refused(path)


def test_zero_sized_arrays_with_absurd_shapes_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.hsinr"
    with SidecarWriter(path, 4) as writer:
        for tile in range(4):
            writer.add(tile, {})
        writer.finish(HEADER, {"empty": np.zeros(0, np.uint8)})
    for shape in ([0, 2**62, 8], [0, 2**70], [0] * 65):
        forge(path, lambda entries, header, s=shape: entries["empty"].update(shape=s))
        _check_refused(path)


def test_an_index_that_does_not_add_up_to_the_tiles_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.hsinr"
    index = np.array([[[5, 0]]] * 4, np.uint32)
    header = HEADER | {"version": 1, "layers": ["mask"]}
    path.write_bytes(front(header, {"index": index}, 19) + bytes(19))
    with pytest.raises(DamagedSidecarError, match="adds up to 20 bytes of tiles, the file has 19"):
        Sidecar.open(path)
    path.write_bytes(front(header, {"index": index.astype(np.int64)}, 20) + bytes(20))
    with pytest.raises(DamagedSidecarError, match="its index has"):
        Sidecar.open(path)


@pytest.mark.parametrize("crc", ["", "ffffffff", "\ud800\udfff", 7, None, ["00000000"]])
def test_a_checksum_that_is_none_is_damage(path: Path, crc: Any) -> None:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    entries = json.loads(content[8 : 8 + length])
    entries["__metadata__"]["crc32c"] = crc
    raw = json.dumps(entries).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + content[8 + length :])
    _check_refused(path)


def test_a_file_that_was_replaced_by_a_longer_one_is_no_damage(path: Path) -> None:
    sidecar = Sidecar.open(path)
    with SidecarWriter(path, 4) as writer:
        for tile in range(4):
            writer.add(tile, {"detail": b"of another scene, and longer"})
        writer.finish(HEADER, ARRAYS)
    with pytest.raises(ChangedSidecarError, match=r"a\.hsinr was replaced"):
        sidecar.check_size()


def test_a_file_that_grows_after_it_was_opened_is_damage(path: Path) -> None:
    sidecar = Sidecar.open(path)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(DamagedSidecarError, match="something was appended"):
        sidecar.check_size()


def test_a_file_that_is_replaced_while_it_is_opened_is_no_damage(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replaced(place: Path) -> int:
        content = path.read_bytes()
        path.write_bytes(content[:40] + content[50:])
        return place.stat().st_size

    monkeypatch.setattr("xhsinr.sidecar.file._FIRST_READ", 64)
    monkeypatch.setattr("xhsinr.sidecar.file.size_of", replaced)
    with pytest.raises(ChangedSidecarError, match=r"a\.hsinr was replaced while it was opened"):
        Sidecar.open(path)
