"""Tiles to bytes and back: what rests on a promise decodes in integers alone."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xhsinr
from xhsinr.coding import codec as codecs
from xhsinr.coding import detail, latent_coding, mask
from xhsinr.demo import synthetic_scene
from xhsinr.errors import DamagedSidecarError
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.file import Sidecar
from xhsinr.spectral.basis import SpectralBasis

BOUND = {
    "lossless": ("i2", {"lossless": True}),
    "max_error": ("i2", {"max_error": 7}),
    "analysis": ("i2", {"quality": "analysis"}),
    "lossless floats": ("f4", {"lossless": True}),
    "max_error of floats": ("f4", {"max_error": 2.5}),
    "max_error of doubles": ("f8", {"max_error": 0.125}),
}
LOSSY: dict[str, dict[str, Any]] = {
    "standard": {"quality": "standard"},
    "preview": {"quality": "preview"},
}


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    return synthetic_scene(36, 41, 24).transpose("y", "x", "band").values


@pytest.fixture(params=BOUND)
def bound(request: pytest.FixtureRequest, scene: np.ndarray, tmp_path: Path) -> Path:
    dtype, target = BOUND[request.param]
    path = tmp_path / "scene.hsinr"
    xhsinr.compress(scene.astype(dtype), path, tile=20, progress=False, **target)
    return path


def decoded(path: Path) -> np.ndarray:
    return Reader(Sidecar.open(path))[:, :, :]


def test_what_is_promised_is_decoded_without_any_float_path(
    bound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = decoded(bound)

    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("a bound rests on a float path")

    for owner, name in (
        (SpectralBasis, "reconstruct"),
        (SpectralBasis, "mean"),
        (SpectralBasis, "vectors"),
        (latent_coding, "forward"),
        (detail, "decode"),
    ):
        monkeypatch.setattr(owner, name, forbidden)
    assert decoded(bound).tobytes() == before.tobytes()


def test_what_is_promised_is_decoded_alike_by_other_linear_algebra(
    scene: np.ndarray, tmp_path: Path
) -> None:
    expected = []
    for name, (dtype, target) in BOUND.items():
        path = tmp_path / f"{name}.hsinr"
        xhsinr.compress(scene.astype(dtype), path, tile=20, progress=False, **target)
        expected.append(hashlib.sha256(decoded(path).tobytes()).hexdigest())
    code = """
import hashlib, sys
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.file import Sidecar
for path in sys.argv[1:]:
    print(hashlib.sha256(Reader(Sidecar.open(path))[:, :, :].tobytes()).hexdigest())
"""
    settings = {"OPENBLAS_NUM_THREADS": "3", "OMP_NUM_THREADS": "3", "OPENBLAS_CORETYPE": "Nehalem"}
    done = subprocess.run(
        [sys.executable, "-c", code, *(str(tmp_path / f"{name}.hsinr") for name in BOUND)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | settings,
    )
    assert done.stdout.split() == expected


@pytest.mark.parametrize("name", LOSSY)
def test_without_a_promise_float_paths_are_used(
    scene: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / "scene.hsinr"
    xhsinr.compress(scene, path, progress=False, **LOSSY[name])
    before = decoded(path)
    reconstruct = SpectralBasis.reconstruct

    def perturbed(self: SpectralBasis, scores: Any) -> Any:
        return reconstruct(self, scores) * (1 + 1e-7)

    monkeypatch.setattr(SpectralBasis, "reconstruct", perturbed)
    # Rounding hides almost all of it.
    assert np.abs(decoded(path).astype(int) - before).max() <= 1
    monkeypatch.setattr(SpectralBasis, "reconstruct", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        decoded(path)


def test_other_integers_than_were_written_are_refused(
    bound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(Sidecar.open(bound))
    decode = codecs.Codec._decode_bound

    def off_by_one(self: Any, *arguments: Any) -> Any:
        found = decode(self, *arguments).copy()
        found.flat[17] += 1
        return found

    monkeypatch.setattr(codecs.Codec, "_decode_bound", off_by_one)
    with pytest.raises(DamagedSidecarError, match=r"scene\.hsinr: tile 0: it decodes to other"):
        reader.tile(0)


def test_a_tile_without_its_bound_layer_is_refused(bound: Path) -> None:
    reader = Reader(Sidecar.open(bound))
    payload = reader.sidecar.payload(0) | {"bound": b""}
    with pytest.raises(DamagedSidecarError, match="lacks its bound layer"):
        reader.codec.decode(payload, 20, 20)


def test_some_bands_decode_to_the_same_as_all(bound: Path) -> None:
    reader = Reader(Sidecar.open(bound))
    payload = reader.sidecar.payload(1)
    whole = reader.codec.decode(payload, 20, 20)
    for chosen in ([0], [23, 5, 5], list(range(24))):
        assert np.array_equal(reader.codec.decode(payload, 20, 20, np.array(chosen)), whole[chosen])


def test_a_tile_without_a_valid_sample_takes_its_mask_alone(
    scene: np.ndarray, tmp_path: Path
) -> None:
    samples = scene.astype("f4")
    samples[:20, :20] = np.nan
    for target in ({"psnr": 40}, {"max_error": 1}, {"lossless": True}, {"quality": "preview"}):
        path = tmp_path / "a.hsinr"
        handle = xhsinr.compress(samples, path, tile=20, overwrite=True, progress=False, **target)
        assert set(handle.sidecar.payload(0)) <= set(handle.sidecar.layers)
        assert [name for name, part in handle.sidecar.payload(0).items() if part] == ["mask"]
        assert len(handle.sidecar.payload(0)["mask"]) < 80
        back = handle.open().values
        assert np.array_equal(np.isnan(back), np.isnan(samples))


def test_masks_cost_bytes_only_where_they_vary(scene: np.ndarray, tmp_path: Path) -> None:
    samples = scene.copy()
    samples[..., [3, 7, 8]] = -1
    array = xhsinr.compress(
        _with_nodata(samples, -1), tmp_path / "a.hsinr", psnr=40, progress=False
    )
    assert "mask" not in array.info["layers"]
    assert np.array_equal(array.open().values == -1, samples == -1)
    samples[4:9, 4:9] = -1
    array = xhsinr.compress(
        _with_nodata(samples, -1), tmp_path / "b.hsinr", psnr=40, progress=False
    )
    assert 0 < array.info["layers"]["mask"] < 150
    assert np.array_equal(array.open().values == -1, samples == -1)


def _with_nodata(samples: np.ndarray, nodata: int) -> xr.DataArray:
    return xr.DataArray(samples, dims=("y", "x", "band"), attrs={"_FillValue": nodata})


@pytest.mark.parametrize("dtype", ["i2", "f4"])
def test_no_valid_sample_decodes_to_a_nodata_value_inside_the_range(
    tmp_path: Path, rng: np.random.Generator, dtype: str
) -> None:
    samples = rng.integers(-3, 4, (30, 31, 6)).astype(dtype)
    for target in (
        {"psnr": 10},
        {"max_error": 1},
        {"max_error": 2},
        {"quality": "analysis"},
        {"quality": "preview"},
        {"lossless": True},
    ):
        path = tmp_path / "a.hsinr"
        handle = xhsinr.compress(
            _with_nodata(samples, 0), path, overwrite=True, progress=False, **target
        )
        back = handle.open().values
        assert np.array_equal(back == 0, samples == 0), target
        errors = np.abs(back.astype(float) - samples)
        assert errors.max() <= target.get("max_error", 6)
        # Floats of a preview are rounded as the threads of BLAS share the work.
        assert handle.info["max_error"] == pytest.approx(errors.max(), rel=1e-5)


def test_decoded_samples_stay_in_the_range_of_the_valid_ones(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    samples = np.where(rng.random((30, 30, 8)) < 0.5, 0, 255).astype("u1")
    samples[..., 2] = 128
    handle = xhsinr.compress(samples, tmp_path / "a.hsinr", psnr=12, progress=False)
    assert handle.open().values.dtype == np.uint8
    mean = handle.open().values.astype(float).mean()
    assert abs(mean - samples.mean()) < 10


def test_states_are_those_of_the_mask_module(scene: np.ndarray, tmp_path: Path) -> None:
    samples = scene.astype("f8")
    samples[0, :, 0] = np.nan
    reader = Reader(xhsinr.compress(samples, tmp_path / "a.hsinr", psnr=40, progress=False).sidecar)
    states = mask.decode(reader.sidecar.payload(0)["mask"], 24, 36, 41)
    assert np.array_equal(states == mask.NAN, np.isnan(np.moveaxis(samples, -1, 0)))
