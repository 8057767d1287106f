"""A sample of all damages that tests/damage.py knows: each one is found, and no more is lost."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from damage import PROFILES, Specimen, network_cases, rewrite, try_case, try_network
from small_networks import siren_network

import xhsinr
from xhsinr.demo import synthetic_scene
from xhsinr.errors import NetworkError
from xhsinr.network.file import Network, save_network
from xhsinr.network.prior import package_prior
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.file import Sidecar

STEP = 12  # of damages that are much alike every so many


@pytest.mark.parametrize("profile", PROFILES)
def test_damage_is_reported_and_never_returned(
    profile: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    specimen = Specimen(profile, tmp_path / "a.hsinr")
    kinds = set()
    for case in specimen.cases(STEP, rng):
        try:
            try_case(specimen, case)
        except Exception as error:
            raise AssertionError(f"{case.kind}, tiles {case.tiles}") from error
        kinds.add(case.kind)
    assert len(kinds) == 9
    rewrite(specimen.path, specimen.content)
    assert xhsinr.verify(specimen.path, progress=False).valid


@pytest.mark.parametrize("profile", PROFILES)
def test_what_is_not_damaged_decodes_to_what_it_was(
    profile: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    specimen = Specimen(profile, tmp_path / "a.hsinr")
    for at in rng.integers(specimen.front, len(specimen.content), 8):
        (case,) = specimen.changed("flip", int(at), bytes([specimen.content[at] ^ 0x40]))
        rewrite(specimen.path, case.content)
        reader = Reader(Sidecar.open(specimen.path))
        found = xhsinr.verify(specimen.path, progress=False)
        assert len(found.errors) == 1
        for number, expected in enumerate(specimen.tiles):
            if case.tiles is not None and number not in case.tiles:
                assert reader.tile(number).tobytes() == expected.tobytes()


# One of each coding: to trace memory takes time.
@pytest.mark.parametrize("profile", ["standard", "archive"])
def test_damage_takes_no_memory(profile: str, tmp_path: Path, rng: np.random.Generator) -> None:
    specimen = Specimen(profile, tmp_path / "a.hsinr")
    tracemalloc.start()
    try:
        for case in specimen.cases(97, rng):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            try_case(specimen, case)
            assert tracemalloc.get_traced_memory()[1] - before < 64 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("made", [siren_network, package_prior], ids=["siren", "prior"])
def test_a_damaged_network_is_never_used(tmp_path: Path, made: Callable[[], Network]) -> None:
    path = tmp_path / "network.safetensors"
    save_network(made(), path)
    content = path.read_bytes()
    for number, (_, damaged) in enumerate(network_cases(content, STEP)):
        try_network(content, damaged, path.with_stem(f"network-{number}"))


def test_a_file_whose_network_is_damaged_says_so(tmp_path: Path) -> None:
    network = tmp_path / "small.safetensors"
    save_network(siren_network(outputs=5), network)
    specimen = tmp_path / "a.hsinr"
    scene = synthetic_scene(10, 12, 5)
    xhsinr.compress(scene, specimen, quality="preview", network=network, progress=False)
    content = bytearray(network.read_bytes())
    content[-100] ^= 4
    network.write_bytes(content)
    with pytest.raises(NetworkError, match=r"a\.hsinr.*small\.safetensors"):
        xhsinr.open(specimen).open().load()
    assert len(xhsinr.verify(specimen, progress=False).errors) == 1
