from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_networks import siren_network

from xhsinr.errors import NetworkDigestError, NetworkError, NetworkNotFoundError
from xhsinr.network import places
from xhsinr.network.file import Network, save_network
from xhsinr.network.places import load_network, network_file, network_of, provide_network


def _saved(path: Path, steps: int = 2) -> Network:
    return save_network(siren_network(inner_steps=steps), path)


def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[Path]]:
    sidecar = tmp_path / "archive" / "scenes" / "a.hsinr"
    sidecar.parent.mkdir(parents=True)
    monkeypatch.setenv("XHSINR_NETWORKS", str(tmp_path / "named"))
    monkeypatch.setattr(places, "PACKAGE_NETWORKS", tmp_path / "package")
    near = sidecar.parent
    folders = [near, near / "networks", near.parent / "networks"]
    return sidecar, [*folders, tmp_path / "named", tmp_path / "package"]


def test_a_name_is_looked_for_near_the_sidecar_first_and_in_the_package_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar, folders = _folders(tmp_path, monkeypatch)
    saved = [_saved(folder / "net.safetensors", i) for i, folder in enumerate(folders)]
    assert load_network("net").digest == saved[3].digest
    for folder, network in zip(folders, saved, strict=True):
        assert load_network("net", near=sidecar).digest == network.digest
        # A file of the right name and other contents does not hide the right one.
        assert load_network("net", digest=saved[-1].digest, near=sidecar).path == (
            folders[-1] / "net.safetensors"
        )
        (folder / "net.safetensors").unlink()
    with pytest.raises(NetworkNotFoundError) as error:
        load_network("net", near=sidecar)
    assert all(str(folder / "net.safetensors") in str(error.value) for folder in folders)


def test_a_path_is_itself(tmp_path: Path) -> None:
    network = _saved(tmp_path / "net.safetensors")
    assert load_network(tmp_path / "net.safetensors").digest == network.digest
    with pytest.raises(NetworkDigestError, match="other contents"):
        load_network(tmp_path / "net.safetensors", digest="0" * 64)
    with pytest.raises(NetworkNotFoundError, match=r"nowhere\.safetensors"):
        load_network(tmp_path / "nowhere.safetensors")


def test_a_network_is_provided_once_and_found_by_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar, _ = _folders(tmp_path, monkeypatch)
    networks = [_saved(tmp_path / f"{i}" / "net.safetensors", i) for i in range(2)]
    for _ in range(2):
        for network in networks:
            provide_network(network, sidecar)
    held = sorted(path.name for path in (sidecar.parent / "networks").iterdir())
    assert held == sorted(network_file("net", network.digest) for network in networks)
    for network in networks:
        assert network_of("net", network.digest, sidecar).digest == network.digest


def test_what_cannot_be_a_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sidecar, _ = _folders(tmp_path, monkeypatch)
    (sidecar.parent / "networks").write_text("in the way")
    with pytest.raises(NetworkError, match="cannot be a folder"):
        provide_network(_saved(tmp_path / "x" / "net.safetensors"), sidecar)


def test_a_url_s_network_is_beside_it_where_this_machine_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fsspec")
    sidecar, folders = _folders(tmp_path, monkeypatch)
    url = f"file://{sidecar}"
    network = _saved(tmp_path / "own" / "net.safetensors")
    with pytest.raises(NetworkNotFoundError, match=r"networks/net\.safetensors"):
        network_of("net", network.digest, url)
    other = _saved(folders[1] / "net.safetensors", 7)
    with pytest.raises(NetworkDigestError, match="other contents"):
        network_of("net", network.digest, url)
    provide_network(network, sidecar)
    assert network_of("net", network.digest, url).digest == network.digest
    shutil.rmtree(folders[1])
    _saved(folders[3] / "net.safetensors", 7)
    assert network_of("net", other.digest, url).path == folders[3] / "net.safetensors"
