"""Files made to do harm: refused before anything is allocated, with the package's own errors."""

from __future__ import annotations

import copy
import json
import struct
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from forgery import forge
from linear_network import linear_network
from small_network import small_network

import xhsinr
from xhsinr.coding.contexts import LARGEST_LEVEL
from xhsinr.demo import synthetic_scene
from xhsinr.errors import HsinrError, LimitError
from xhsinr.network.base import save_network
from xhsinr.network.siren import random_parameters
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.file import Sidecar
from xhsinr.spectral.basis import SpectralBasis

SIDE = 10**6
VALUES: list[Any] = [
    None, True, -1, 0, 3, 2**70, 1e308, float("nan"), float("-inf"), "", "x", "EPSG:0", "\ud800",
    10**400, "9" * 400, [], [[]], [None], [1, 2], [[0, 2**40]],
    {}, {"": []}, {"$float": []}, {"$like": {}},
]  # fmt: skip


@pytest.fixture
def huge(tmp_path: Path) -> Path:
    """Two kilobytes that declare two terabytes, in one tile."""
    path = tmp_path / "huge.hsinr"
    xhsinr.compress(np.ones((4, 4, 2), "u1"), path, progress=False)
    forge(path, lambda entries, header: header.update(shape=[2, SIDE, SIDE], tile=SIDE))
    assert path.stat().st_size < 2048
    return path


def test_a_small_file_that_declares_a_huge_scene_opens_lazily(huge: Path) -> None:
    tracemalloc.start()
    dataset = xr.open_dataset(huge, engine="hsinr", chunks={})
    assert dataset["scene"].shape == (SIDE, SIDE, 2)
    assert "scene" in repr(dataset)
    assert xhsinr.open(huge).info["shape"] == [2, SIDE, SIDE]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


@pytest.mark.parametrize("chunks", [None, {}])
def test_a_huge_scene_is_not_loaded_without_the_users_word(huge: Path, chunks: Any) -> None:
    scene = xr.open_dataset(huge, engine="hsinr", chunks=chunks)["scene"]
    tracemalloc.start()
    for part in (scene, scene[0, 0], scene[:, :, 0]):
        with pytest.raises(LimitError, match=r"huge\.hsinr.*set_limits\(load_bytes="):
            part.compute(scheduler="synchronous")
    assert not xhsinr.verify(huge, progress=False).valid
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


def test_the_users_word_is_taken_and_travels_with_the_open_file(tmp_path: Path) -> None:
    path = tmp_path / "a.hsinr"
    scene = synthetic_scene(30, 30, 8)
    xhsinr.compress(scene, path, lossless=True, tile=10, progress=False)
    with xhsinr.set_limits(load_bytes=8 * 10 * 10 * 2):
        narrow = xr.open_dataset(path, engine="hsinr", chunks={})
        whole = xr.open_dataset(path, engine="hsinr")
    assert np.array_equal(narrow["reflectance"].compute(scheduler="processes"), scene)
    with pytest.raises(LimitError, match=r"30 x 30 pixels.*limit is 1,600"):
        whole.load()
    assert np.array_equal(xhsinr.open(path).open(), scene)


def test_coarse_reads_keep_to_the_limit_of_what_they_decode(huge: Path) -> None:
    with pytest.raises(LimitError):
        xhsinr.open(huge).open(overview=1000).load()


@pytest.mark.parametrize(
    ("limit", "value", "what"),
    [
        ("header_bytes", 100, "a header of"),
        ("front_bytes", 200, "bytes before its tiles"),
        ("bands", 7, "8 bands"),
        ("side", 29, "30 x 30 pixels"),
        ("tiles", 8, "in 9 tiles"),
    ],
)
def test_every_limit_can_be_set(tmp_path: Path, limit: str, value: int, what: str) -> None:
    path = tmp_path / "a.hsinr"
    xhsinr.compress(synthetic_scene(30, 30, 8), path, tile=10, progress=False)
    with (
        xhsinr.set_limits(**{limit: value}),
        pytest.raises(LimitError, match=rf"a\.hsinr.*{what}.*set_limits\({limit}="),
    ):
        Sidecar.open(path)
    Sidecar.open(path)


@pytest.mark.parametrize("wrong", [{"memory": 3}, {"side": -1}, {"side": 2.5}, {"side": True}])
def test_limits_that_are_none_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(LimitError):
        xhsinr.set_limits(**wrong)


def everything(path: Path) -> None:
    """All that reading a file does; the package's errors are fine, others are not."""
    try:
        dataset = xr.open_dataset(path, engine="hsinr", mask_and_scale=True)
        repr(dataset)
        handle = xhsinr.open(path)
        repr(handle)
        handle.open().load()
        Reader(handle.sidecar, 2).tile(0)
    except (HsinrError, FileNotFoundError):
        pass


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Keys that lead to every part of a header."""
    yield at
    items: Any = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        items = list(enumerate(value))[:3]
    for key, part in items:
        yield from places(part, (*at, key))


def replaced(header: Any, at: tuple[Any, ...], value: Any) -> Any:
    if not at:
        return value
    changed = copy.deepcopy(header)
    part = changed
    for key in at[:-1]:
        part = part[key]
    part[at[-1]] = value
    return changed


@pytest.mark.filterwarnings("ignore:variable:xarray.SerializationWarning")
@pytest.mark.parametrize("target", [{"psnr": 40}, {"lossless": True}, {"quality": "preview"}])
def test_wrong_values_anywhere_in_the_header_give_the_packages_errors(
    tmp_path: Path, target: dict[str, Any], rng: np.random.Generator
) -> None:
    path = tmp_path / "a.hsinr"
    scene = synthetic_scene(8, 8, 6, nodata_corner=True)
    scene.attrs["notes"] = {"list": [1, 2], "text": "x"}
    xhsinr.compress(scene, path, progress=False, **target)
    content = path.read_bytes()
    header = Sidecar.open(path).header
    for at in places(header):
        for number in rng.choice(len(VALUES), 4, replace=False):
            forged = json.dumps(replaced(header, at, VALUES[number]))
            path.write_bytes(content)
            forge(path, lambda _, __, text=forged: text)
            try:
                everything(path)
            except Exception as error:
                raise AssertionError(f"{at} = {VALUES[number]!r}") from error


@pytest.mark.parametrize("depth", [100, 5_000, 200_000])
@pytest.mark.parametrize("key", ["scene", "note", "shape", "range"])
def test_deeply_nested_headers_give_the_packages_errors(
    tmp_path: Path, depth: int, key: str
) -> None:
    path = tmp_path / "a.hsinr"
    xhsinr.compress(synthetic_scene(8, 8, 6), path, progress=False)

    def change(_: Any, header: dict[str, Any]) -> str:
        header[key] = "HERE" if key != "scene" else header["scene"] | {"attrs": {"a": "HERE"}}
        return json.dumps(header).replace('"HERE"', "[" * depth + "]" * depth)

    forge(path, change)
    everything(path)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/b", "n.safetensors", ".."])
def test_a_network_that_is_a_path_is_not_followed(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.hsinr"
    xhsinr.compress(synthetic_scene(8, 8, 6), path, quality="preview", progress=False)
    forge(path, lambda _, header: header["latents"].update(network=name))
    with pytest.raises(HsinrError, match=r"a\.hsinr"):
        xhsinr.open(path).open().load()


@pytest.mark.parametrize("change", [{"patch": 4096}, {"patch": 1, "latents": 8192}], ids=str)
def test_a_network_that_asks_for_far_more_than_the_tile_is_refused(
    tmp_path: Path, change: dict[str, int]
) -> None:
    path = tmp_path / "a.hsinr"
    xhsinr.compress(synthetic_scene(64, 64, 6), path, quality="preview", progress=False)
    network = small_network()
    latents = change.get("latents", network.siren.latents)
    siren = replace(network.siren, latents=latents)
    large = replace(
        network,
        siren=siren,
        patch=change["patch"],
        parameters=random_parameters(siren, np.random.default_rng(1)),
        inner_rates=np.ones(latents, np.float32),
        latent_steps=np.ones(latents, np.float32),
        latent_tables=np.zeros(latents, np.uint8),
    )
    saved = save_network(large, tmp_path / "large.safetensors")
    forge(path, lambda _, header: header["latents"].update(network="large", sha256=saved.digest))
    tracemalloc.start()
    with pytest.raises(HsinrError, match=r"a\.hsinr: tile 0: patches"):
        xhsinr.open(path).open().load()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


EXTREMES: list[dict[str, Any]] = [
    {"weights": 2**16 - 1, "priors": 2**15 - 1},
    {"weights": 2**16 - 1, "priors": -(2**15)},
    {"weights": 0, "priors": -(2**15)},
]


@pytest.mark.parametrize("extremes", EXTREMES, ids=str)
def test_a_network_of_extreme_contexts_does_no_harm(
    tmp_path: Path, extremes: dict[str, int]
) -> None:
    path = tmp_path / "a.hsinr"
    xhsinr.compress(synthetic_scene(64, 64, 6), path, quality="preview", progress=False)
    network = linear_network(patch=16, atoms=256, outputs=256)
    assert network.contexts is not None
    arrays = {
        name: np.full_like(getattr(network.contexts, name), value)
        for name, value in extremes.items()
    }
    levels = network.contexts.levels.copy()
    levels[-1] = LARGEST_LEVEL
    hostile = replace(network, contexts=replace(network.contexts, levels=levels, **arrays))
    saved = save_network(hostile, tmp_path / "hostile.safetensors")
    forge(path, lambda _, header: header["latents"].update(network="hostile", sha256=saved.digest))
    tracemalloc.start()
    with np.errstate(all="ignore"):
        everything(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


def test_a_basis_that_declares_more_than_its_bytes_hold_is_refused() -> None:
    with pytest.raises(HsinrError, match="declares 60000 components of 65535 bands in 25 bytes"):
        SpectralBasis.from_bytes(struct.pack("<HHb", 65535, 60000, 0) + bytes(20), 65535)
