"""The codec of a file is the codec that wrote it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xhsinr
from xhsinr.demo import synthetic_scene
from xhsinr.errors import DamagedSidecarError, NetworkDigestError, NetworkNotFoundError
from xhsinr.network.base import PACKAGE_NETWORKS, load_network, save_network
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.codec_header import codec_of, describe_codec
from xhsinr.sidecar.file import Sidecar

TARGETS: tuple[dict[str, Any], ...] = (
    {"quality": "standard"},
    {"max_error": 3},
    {"lossless": True},
    {"quality": "preview"},
)


def scene_with_gaps(dtype: str) -> xr.DataArray:
    scene = synthetic_scene(20, 22, 12).astype(dtype)
    scene.attrs["_FillValue"] = -9999
    scene[2:4] = -9999
    scene[9] = -9999
    scene[5, :3] = -9999
    if dtype != "i2":
        scene[7] = np.nan
        scene[9, :5] = np.nan
    return scene


@pytest.mark.parametrize("dtype", ["i2", "f4", "f8"])
@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_what_is_described_is_read_back(tmp_path: Path, dtype: str, target: dict) -> None:
    path = tmp_path / "a.hsinr"
    sidecar = xhsinr.compress(scene_with_gaps(dtype), path, progress=False, **target).sidecar
    codec = codec_of(sidecar)
    header, arrays = describe_codec(codec)
    assert json.loads(json.dumps(header, allow_nan=False)) == {
        key: sidecar.header[key] for key in header
    }
    assert np.array_equal(arrays["basis"], sidecar.arrays["basis"])
    assert codec.dtype == np.dtype(dtype)
    assert codec.nodata == -9999
    assert np.flatnonzero(codec.states == 1).tolist() == ([2, 3, 9] if dtype == "i2" else [2, 3])
    assert np.flatnonzero(codec.states == 2).tolist() == ([] if dtype == "i2" else [7])
    assert np.flatnonzero(~codec.live).tolist() == ([2, 3, 9] if dtype == "i2" else [2, 3, 7, 9])
    assert (codec.bound is not None) == ("max_error" in target or "lossless" in target)
    assert (codec.latents is not None) == (target == {"quality": "preview"})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("range", [1]),
        ("range", None),
        ("invalid_bands", {"nodata": [[3, 99]]}),
        ("invalid_bands", {"nodata": [[4, 2]]}),
        ("invalid_bands", {"nan": 3}),
        ("bound", {"max_error": -1, "exponent": 0, "exact_floats": False}),
        ("bound", {"max_error": 1, "exponent": 5000, "exact_floats": False}),
        ("bound", {"max_error": 1}),
        ("bound", 3),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(
    tmp_path: Path, key: str, value: object
) -> None:
    path = tmp_path / "a.hsinr"
    sidecar = xhsinr.compress(scene_with_gaps("i2"), path, max_error=2, progress=False).sidecar
    damaged = replace(sidecar, header=sidecar.header | {key: value})
    with pytest.raises(DamagedSidecarError, match=r"a\.hsinr"):
        codec_of(damaged)


@pytest.fixture
def with_own_network(tmp_path: Path) -> Path:
    """A preview whose base network is beside it and nowhere else."""
    network = load_network("default")
    save_network(replace(network, recipe={"of": "this test"}), tmp_path / "own.safetensors")
    path = tmp_path / "a.hsinr"
    scene = synthetic_scene(20, 22, 12)
    xhsinr.compress(scene, path, quality="preview", network="own", progress=False)
    return path


def test_the_base_network_is_found_beside_the_file(with_own_network: Path) -> None:
    whole = Reader(Sidecar.open(with_own_network))[:, :, :]
    folder = with_own_network.parent / "elsewhere"
    (folder / "networks").mkdir(parents=True)
    shutil.move(with_own_network, folder)
    shutil.move(with_own_network.parent / "own.safetensors", folder / "networks")
    moved = Reader(Sidecar.open(folder / "a.hsinr"))
    assert np.array_equal(moved[:, :, :], whole)


def test_a_missing_base_network_is_named_with_the_file_that_needs_it(
    with_own_network: Path,
) -> None:
    (with_own_network.parent / "own.safetensors").unlink()
    reader = Reader(Sidecar.open(with_own_network))
    with pytest.raises(NetworkNotFoundError, match=r"a\.hsinr needs it: .*'own'") as caught:
        reader.tile(0)
    assert str(with_own_network.parent / "own.safetensors") in str(caught.value)


def test_a_base_network_with_another_digest_is_refused(with_own_network: Path) -> None:
    source = PACKAGE_NETWORKS / "default.safetensors"
    shutil.copy(source, with_own_network.parent / "own.safetensors")
    reader = Reader(Sidecar.open(with_own_network))
    with pytest.raises(NetworkDigestError, match=r"a\.hsinr needs it: .*other contents"):
        reader.tile(0)
    found = xhsinr.verify(with_own_network, progress=False)
    assert len(found.errors) == 1
    assert "other contents" in found.errors[0]
    assert xhsinr.verify(with_own_network, level="checksum", progress=False).valid
