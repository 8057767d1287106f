from __future__ import annotations

import hashlib
import pickle
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from forged_network import changed
from hypothesis import given
from hypothesis import strategies as st
from small_networks import siren_network

from xhsinr.errors import NetworkDigestError, NetworkError
from xhsinr.network import file
from xhsinr.network.file import network_content, parse_network, read_network, remember, save_network
from xhsinr.network.siren_network import SirenNetwork


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "net.safetensors"
    save_network(siren_network(), path)
    return path


@pytest.mark.parametrize("patch", [8, None])
def test_a_network_comes_back_with_its_digest(tmp_path: Path, patch: int | None) -> None:
    network = siren_network(patch=patch)
    path = tmp_path / "folder" / "mine.safetensors"
    saved = save_network(network, path)
    for one in (saved, read_network(path)):
        for field in fields(SirenNetwork):
            found, given_ = getattr(one, field.name), getattr(network, field.name)
            if field.name == "parameters":
                for name, value in given_.items():
                    np.testing.assert_array_equal(found[name], np.float32(np.float16(value)))
            elif isinstance(given_, np.ndarray):
                assert found.dtype == given_.dtype
                np.testing.assert_array_equal(found, given_)
            elif field.name not in ("name", "digest", "file_bytes", "path"):
                assert found == given_
        assert (one.name, one.path) == ("mine", path)
        assert one.digest == hashlib.sha256(path.read_bytes()).hexdigest()
        assert one.file_bytes == path.stat().st_size


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    one = save_network(siren_network(), tmp_path / "one.safetensors")
    again = save_network(one, tmp_path / "two.safetensors")
    other = save_network(siren_network(inner_steps=3), tmp_path / "three.safetensors")
    assert one.digest == again.digest != other.digest


def test_a_network_travels_as_its_digest_and_is_read_once(path: Path) -> None:
    network = read_network(path)
    content = pickle.dumps(network)
    assert len(content) < 300 < network.file_bytes
    assert pickle.loads(content) is network
    save_network(siren_network(inner_steps=3), path)
    with pytest.raises(NetworkDigestError, match=r"net\.safetensors has other contents"):
        pickle.loads(content)


def test_a_network_that_was_sent_needs_no_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "_SENT", {})
    content = pickle.dumps(read_network(path))
    remember(path.read_bytes(), path)
    path.unlink()
    assert pickle.loads(content).inner_steps == 2


def test_an_unsaved_network_travels_whole() -> None:
    assert pickle.loads(pickle.dumps(siren_network())).siren == siren_network().siren


@pytest.mark.parametrize("version", [1, 2, 4, None, "3", True])
def test_other_versions_are_refused_in_one_sentence(path: Path, version: Any) -> None:
    with pytest.raises(NetworkError, match=r"net\.safetensors is a base network of format .*reads"):
        read_network(changed(path, version=version))


@pytest.mark.parametrize("kind", ["other", None, 3, [], "away"])
def test_other_kinds_are_refused(path: Path, kind: Any) -> None:
    with pytest.raises(NetworkError, match=r"net\.safetensors: "):
        read_network(changed(path, kind=kind))


@pytest.mark.parametrize("part", ["settings", "recipe"])
@pytest.mark.parametrize("value", ["away", None, 3, "no", []])
def test_settings_and_recipe_have_to_be_there(path: Path, part: str, value: Any) -> None:
    if part == "recipe" and value == []:
        pytest.skip("a recipe without entries")
    with pytest.raises(NetworkError, match=r"net\.safetensors"):
        read_network(changed(path, **{part: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("layers", 0), ("width", 1.5), ("latents", 1 << 40), ("outputs", "4"), ("w0", -1),
        ("w0_first", float("inf")), ("patch", 0), ("patch", True), ("patch", 1 << 20),
        ("inner_steps", -1), ("inner_steps", 1 << 20), ("more", 1),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(path: Path, name: str, value: Any) -> None:
    settings = siren_network().settings() | {name: value}
    with pytest.raises(NetworkError, match=r"net\.safetensors: "):
        read_network(changed(path, settings=settings))


BAD = {
    "first.weight": np.zeros((5, 3), np.float16),
    "hidden.bias": np.full((1, 5), np.nan, np.float16),
    "shift.weight": None,
    "inner_rates": np.ones(5, np.float32),
    "latent_steps": np.zeros(6, np.float32),
    "latent_tables": np.full(6, 20, np.uint8),
    "tables": np.full((20, 64), 511, np.uint16),
}


@pytest.mark.parametrize("name", BAD)
def test_tensors_that_make_no_network_are_refused(path: Path, name: str) -> None:
    with pytest.raises(NetworkError, match=r"net\.safetensors: "):
        read_network(changed(path, {name: BAD[name]}))


@pytest.mark.parametrize(
    "tables",
    [
        np.zeros((0, 64), np.uint16), np.full((2, 2), 1 << 14, np.uint16),
        np.full((2, 64), 512, np.int32), np.full((1025, 64), 512, np.uint16),
        np.full((2, 8192), 4, np.uint16), np.full(64, 512, np.uint16),
    ],
)  # fmt: skip
def test_tables_that_code_nothing_are_refused(path: Path, tables: Any) -> None:
    with pytest.raises(NetworkError, match=r"net\.safetensors: .*(table|symbols)"):
        read_network(changed(path, {"tables": tables, "latent_tables": np.zeros(6, np.uint8)}))


def test_parameters_beyond_float16_are_not_saved(tmp_path: Path) -> None:
    network = siren_network()
    network.parameters["first.bias"][0] = 1e6
    with pytest.raises(NetworkError, match=r"first\.bias should be finite"):
        save_network(network, tmp_path / "net.safetensors")
    assert not (tmp_path / "net.safetensors").exists()


def test_other_files_are_no_networks(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    plain = safetensors.numpy.save({"a": np.zeros(3)})
    nested = safetensors.numpy.save({"a": np.zeros(3)}, {"hsinr": "[" * 100_000})
    for content in (b"", b"no network", plain, nested):
        path.write_bytes(content)
        with pytest.raises(NetworkError, match=r"net\.safetensors is not a base network"):
            parse_network(content, path)


@given(st.data())
def test_a_damaged_file_is_refused_or_read_as_what_it_then_is(data: st.DataObject) -> None:
    content = bytearray(network_content(siren_network()))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = parse_network(bytes(content), Path("net.safetensors"))
    except NetworkError:
        return
    assert found.digest == hashlib.sha256(content).hexdigest()
