from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xhsinr.baselines import Target, pca_jpeg2000
from xhsinr.errors import TargetError


def _psnr(cube: np.ndarray, decoded: np.ndarray) -> float:
    peak = float(cube.max()) - float(cube.min())
    return float(10 * np.log10(peak**2 / np.square(decoded.astype(float) - cube).mean()))


def _cube(rng: np.random.Generator, dtype: str, bands: int = 30) -> np.ndarray:
    sources = np.cumsum(np.cumsum(rng.normal(size=(48, 40, 4)), axis=0), axis=1)
    cube = sources @ np.cumsum(rng.normal(size=(4, bands)), axis=1)
    cube += rng.normal(size=cube.shape) * cube.std() / 50
    cube = (cube - cube.min()) / np.ptp(cube)
    return cube.astype(dtype) if dtype[0] == "f" else (cube * 4000).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_cubes_of_any_type_come_back(rng: np.random.Generator, dtype: str) -> None:
    cube = _cube(rng, dtype) if dtype != "uint8" else (_cube(rng, "int16") // 16).astype("uint8")
    decoded = pca_jpeg2000.decode(pca_jpeg2000.encode(cube, Target("psnr", 35)))
    assert decoded.dtype == cube.dtype
    assert decoded.shape == cube.shape
    assert 35 <= _psnr(cube, decoded) < 36


def test_a_rate_is_met_and_never_exceeded(rng: np.random.Generator) -> None:
    cube = _cube(rng, "uint16")
    for rate in (0.2, 0.6, 1.5):
        stored = 8 * len(pca_jpeg2000.encode(cube, Target("bpppb", rate))) / cube.size
        assert 0.97 * rate <= stored <= rate


def test_a_target_out_of_reach_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(TargetError, match="cannot reach"):
        pca_jpeg2000.encode(_cube(rng, "uint16"), Target("bpppb", 1e-4))
    with pytest.raises(TargetError, match="cannot reach"):
        pca_jpeg2000.encode(_cube(rng, "uint16"), Target("psnr", 200))


@pytest.mark.parametrize(("kind", "value"), [("bpppb", 0.0), ("psnr", float("nan")), ("ssim", 1)])
def test_a_malformed_target_is_refused(kind: str, value: float) -> None:
    with pytest.raises(TargetError):
        Target(kind, value)  # type: ignore[arg-type]


@pytest.mark.parametrize(("rate", "least"), [(0.02, 34.3), (0.05, 40.7), (0.1, 44.4)])
def test_the_baseline_is_strong_on_jasper_ridge(scenes: Path, rate: float, least: float) -> None:
    cube = np.load(scenes / "jasper_ridge_198.npy")
    payload = pca_jpeg2000.encode(cube, Target("bpppb", rate))
    assert 8 * len(payload) / cube.size <= rate
    assert _psnr(cube, pca_jpeg2000.decode(payload)) >= least


@pytest.mark.slow
def test_the_baseline_is_strong_on_jasper_ridge_at_a_high_rate(scenes: Path) -> None:
    cube = np.load(scenes / "jasper_ridge_198.npy")
    payload = pca_jpeg2000.encode(cube, Target("bpppb", 0.2))
    assert _psnr(cube, pca_jpeg2000.decode(payload)) >= 47.4
