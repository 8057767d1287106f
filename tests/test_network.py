from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from forged_network import changed

from xhsinr.errors import HsinrError, NetworkDigestError, NetworkError, NetworkNotFoundError
from xhsinr.network import base as networks
from xhsinr.network.base import (
    BaseNetwork,
    find_network,
    load_network,
    provide_network,
    save_network,
)
from xhsinr.network.siren import Siren, random_parameters


def _network(seed: int = 0, **changes: Any) -> BaseNetwork:
    siren = Siren(2, 5, 3, 4, w0=12.5, modulation="shift+output")
    network = BaseNetwork(
        siren=siren,
        head="scene",
        patch=16,
        parameters=random_parameters(siren, np.random.default_rng(seed)),
        inner_steps=2,
        inner_rates=np.float32([0.1, 0.2, 0.3]),
        latent_steps=np.float32([1, 0.5, 0.25]),
        latent_tables=np.uint8([0, 1, 1]),
        tables=np.full((2, 64), 512, np.uint16),
        recipe={"settings": {"seed": seed}, "curve": [[1, 0.25]]},
    )
    return replace(network, **changes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "net.safetensors"
    save_network(_network(), path)
    return path


def test_a_network_comes_back_with_its_digest(tmp_path: Path) -> None:
    network = _network()
    path = tmp_path / "folder" / "mine.safetensors"
    saved = save_network(network, path)
    loaded = load_network(path)
    for one in (saved, loaded):
        for field in fields(BaseNetwork):
            found, given = getattr(one, field.name), getattr(network, field.name)
            if field.name == "parameters":
                for name, value in given.items():
                    assert found[name].dtype == np.float32
                    np.testing.assert_array_equal(
                        found[name], value.astype(np.float16).astype(np.float32)
                    )
            elif isinstance(given, np.ndarray):
                assert found.dtype == given.dtype
                np.testing.assert_array_equal(found, given)
            elif field.name not in ("name", "digest", "file_bytes", "path"):
                assert found == given
        assert one.name == "mine"
        assert one.digest == hashlib.sha256(path.read_bytes()).hexdigest()
        assert one.file_bytes == path.stat().st_size
    assert [file.name for file in path.parent.iterdir()] == ["mine.safetensors"]


def test_a_whole_scene_network_has_no_patch(tmp_path: Path) -> None:
    save_network(_network(patch=None, head="shared"), tmp_path / "n.safetensors")
    loaded = load_network(tmp_path / "n.safetensors")
    assert (loaded.patch, loaded.head) == (None, "shared")


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    one = save_network(_network(), tmp_path / "one.safetensors")
    network = _network()
    shuffled = replace(network, parameters=dict(reversed(network.parameters.items())))
    two = save_network(shuffled, tmp_path / "two.safetensors")
    again = save_network(one, tmp_path / "three.safetensors")
    other = save_network(_network(1), tmp_path / "four.safetensors")
    assert one.digest == two.digest == again.digest != other.digest


def test_the_package_has_a_default_network() -> None:
    network = load_network("default")
    assert network.head == "scene"
    assert load_network("default", digest=network.digest) is network


def _places(tmp_path: Path) -> tuple[Path, list[Path]]:
    sidecar = tmp_path / "archive" / "scenes" / "a.hsinr"
    sidecar.parent.mkdir(parents=True)
    return sidecar, [
        sidecar.parent,
        sidecar.parent / "networks",
        sidecar.parent.parent / "networks",
        tmp_path / "named",
        tmp_path / "package",
    ]


def test_a_name_is_looked_for_near_the_sidecar_first_and_in_the_package_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar, places = _places(tmp_path)
    monkeypatch.setenv("XHSINR_NETWORKS", str(tmp_path / "named"))
    monkeypatch.setattr(networks, "PACKAGE_NETWORKS", tmp_path / "package")
    saved = [
        save_network(_network(seed), place / "net.safetensors") for seed, place in enumerate(places)
    ]
    assert list(find_network("net", sidecar)) == [place / "net.safetensors" for place in places]
    assert list(find_network("net")) == [place / "net.safetensors" for place in places[3:]]
    for place, network in zip(places, saved, strict=True):
        # A file of the right name and other contents does not hide the right one.
        assert load_network("net", digest=network.digest, near=sidecar).digest == network.digest
        assert load_network("net", near=sidecar).digest == network.digest
        if place is not places[-1]:
            assert load_network("net", digest=saved[-1].digest, near=sidecar) is not network
        (place / "net.safetensors").unlink()


def test_a_network_that_is_nowhere_is_reported_with_all_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar, places = _places(tmp_path)
    monkeypatch.setenv("XHSINR_NETWORKS", str(tmp_path / "named"))
    monkeypatch.setattr(networks, "PACKAGE_NETWORKS", tmp_path / "package")
    with pytest.raises(NetworkNotFoundError, match="'lost' was not found") as caught:
        load_network("lost", near=sidecar)
    for place in places:
        assert str(place / "lost.safetensors") in str(caught.value)
    assert isinstance(caught.value, FileNotFoundError)
    with pytest.raises(NetworkNotFoundError, match=r"nowhere\.safetensors"):
        load_network(tmp_path / "nowhere.safetensors")


def test_a_network_of_other_contents_is_reported(path: Path) -> None:
    with pytest.raises(NetworkDigestError, match="other contents") as caught:
        load_network(path, digest="0" * 64)
    assert str(path) in str(caught.value)
    assert "0" * 12 in str(caught.value)


def test_a_file_that_was_replaced_is_read_anew(path: Path) -> None:
    first = load_network(path)
    assert load_network(path) is first
    second = save_network(_network(1, recipe={"other": "size"}), path)
    assert load_network(path).digest == second.digest != first.digest


def test_a_truncated_file_is_no_network(path: Path) -> None:
    content = path.read_bytes()
    for size in [*range(0, len(content), 97), len(content) - 1]:
        path.write_bytes(content[:size])
        with pytest.raises(NetworkError, match="is not a base network"):
            load_network(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage" * 100,
        b"\xff" * 64,
        safetensors.numpy.save({"a": np.ones(3)}),
        safetensors.numpy.save({"a": np.ones(3)}, {"hsinr": "[]"}),
        safetensors.numpy.save({"a": np.ones(3)}, {"hsinr": "{no json"}),
        safetensors.numpy.save({"a": np.ones(3)}, {"hsinr": '{"format": "another"}'}),
        safetensors.numpy.save({"a": np.ones(3)}, {"hsinr": '{"format": "hsinr-network"}'}),
        safetensors.numpy.save({"a": np.ones(3)}, {"hsinr": "[" * 100_000}),
    ],
)
def test_any_other_file_is_no_network(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "n.safetensors"
    path.write_bytes(content)
    with pytest.raises(NetworkError, match=r"n\.safetensors is not a base network"):
        load_network(path)


@pytest.mark.parametrize("version", [0, 3, "2", None, [1]])
def test_a_newer_format_asks_for_a_newer_version(path: Path, version: Any) -> None:
    with pytest.raises(NetworkError, match=r"of format .*, .* install a newer xhsinr"):
        load_network(changed(path, version=version))


@pytest.mark.parametrize(
    "name",
    ["first.weight", "shift.bias", "inner_rates", "latent_steps", "latent_tables", "tables"],
)
def test_a_missing_tensor_is_named(path: Path, name: str) -> None:
    with pytest.raises(NetworkError, match=f"missing: '{name}'"):
        load_network(changed(path, {name: None}))


@pytest.mark.parametrize("name", ["layers", "modulation", "head", "patch", "inner_steps", "recipe"])
def test_a_missing_setting_is_named(path: Path, name: str) -> None:
    with pytest.raises(NetworkError, match=f"missing: '{name}'"):
        load_network(changed(path, **{name: "away"}))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("first.weight", np.full((5, 2), np.nan, np.float16), "first.weight should be finite"),
        ("output.bias", np.float16([0, 0, 0, np.inf]), "output.bias should be finite"),
        ("hidden.weight", np.zeros((2, 5, 5), np.float16), r"of shape \(1, 5, 5\)"),
        ("inner_rates", np.float32([1, 2, np.nan]), "inner_rates should be finite"),
        ("latent_steps", np.float32([1, 0, 1]), "steps or table numbers"),
        ("latent_steps", np.ones(4, np.float32), r"latent_steps should be .* \(3,\)"),
        ("latent_tables", np.uint8([0, 1, 2]), "steps or table numbers"),
        ("latent_tables", np.int8([0, 1, -1]), "steps or table numbers"),
        ("tables", np.full((2, 64), 511, np.uint16), "does not sum to 32768"),
        ("tables", np.full((2, 64), 512, np.int32), "positive 16-bit"),
        ("tables", np.uint16([[0, 1, 2**15 - 1]] * 2), "positive 16-bit"),
        ("tables", np.full((2, 2), 2**14, np.uint16), "positive 16-bit"),
        ("tables", np.zeros((0, 64), np.uint16), "steps or table numbers"),
        ("tables", np.full(64, 512, np.uint16), "positive 16-bit"),
    ],
)
def test_a_tensor_that_fits_no_network_is_refused(
    path: Path, name: str, value: np.ndarray, words: str
) -> None:
    with pytest.raises(NetworkError, match=words):
        load_network(changed(path, {name: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("head", "hydra"),
        ("patch", 0),
        ("patch", "16"),
        ("patch", 2**40),
        ("inner_steps", -1),
        ("inner_steps", 10**12),
        ("inner_steps", 1.5),
        ("layers", 0),
        ("width", 10**9),
        ("w0", -3),
        ("modulation", "none"),
    ],
)
def test_a_setting_that_no_network_has_is_refused(path: Path, name: str, value: Any) -> None:
    with pytest.raises(NetworkError, match=name):
        load_network(changed(path, **{name: value}))


def test_a_file_too_large_to_be_a_network_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as file:
        file.truncate((256 << 20) + 1)
    with pytest.raises(NetworkError, match="at most 268435456"):
        load_network(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e9])
def test_a_network_that_is_no_longer_finite_replaces_nothing(path: Path, value: float) -> None:
    before = path.read_bytes()
    network = _network()
    network.parameters["output.bias"][1] = value
    with pytest.raises(HsinrError, match=r"output\.bias should be finite"):
        save_network(network, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_network_from_elsewhere_is_put_beside_the_sidecar(tmp_path: Path):
    network = save_network(_network(), tmp_path / "elsewhere" / "mine.safetensors")
    other = replace(_network(), inner_steps=7)
    other = save_network(other, tmp_path / "other" / "mine.safetensors")
    (tmp_path / "archive").mkdir()
    sidecar = tmp_path / "archive" / "scene.hsinr"
    for each in (network, other):
        provide_network(each, sidecar)
    for each in (network, other):
        assert load_network("mine", digest=each.digest, near=sidecar).digest == each.digest


def test_a_network_that_is_found_already_is_not_copied(tmp_path: Path):
    network = save_network(_network(), tmp_path / "mine.safetensors")
    provide_network(network, tmp_path / "scene.hsinr")
    assert not (tmp_path / "networks").exists()
