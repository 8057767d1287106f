"""Every codec of the benchmark through one round trip, and the baselines' strength."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xhsinr import metrics
from xhsinr.bench.codecs import CODECS, Target, coefficients, load
from xhsinr.bench.codecs.blocks import DctBlocks
from xhsinr.bench.codecs.pca import Axes
from xhsinr.bench.codecs.rounding import Rounding
from xhsinr.errors import TargetError

# What makes the fits of a test short.
SHORT = {"layers": 2, "width": 8, "steps": 20}
FIELDS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("inr", "hp_inr", "inr_sampling", "hp_inr_sampling"), SHORT),
    "meta_learning": {"network": "paper"},
}
TARGETS = {
    "bpppb": Target("bpppb", 1.0),
    "psnr": Target("psnr", 25.0),
    "max_error": Target("max_error", 40.0),
    "lossless": Target("lossless"),
    "native": Target("native"),
}
# One codestream a band has headers above this rate on so small a cube.
BEYOND = {("jpeg2000", "bpppb")}
INTEGERS_ONLY = (
    "speck3d", "sz3", "jpegxl", "jpegls", "ccsds123_adaptive", "ccsds123_hybrid",
)  # fmt: skip
FLOATS_EXACT = ("float32", "lossless")
DTYPES = ("uint16", "int16", "float32")


def _load(key: str) -> Any:
    try:
        return load(key, **FIELDS.get(key, {}))
    except ImportError as error:
        pytest.skip(f"{key}: {error}")


def _cube(dtype: str, shape: tuple[int, int, int] = (18, 16, 20)) -> np.ndarray:
    rng = np.random.default_rng(7)
    rows, cols, bands = shape
    sources = np.cumsum(np.cumsum(rng.normal(size=(rows, cols, 3)), axis=0), axis=1)
    cube = sources @ np.cumsum(rng.normal(size=(3, bands)), axis=1)
    cube = 4000 * (cube - cube.min()) / np.ptp(cube) + rng.normal(scale=8, size=cube.shape)
    cube -= cube.min()
    return (cube - 300 if dtype == "int16" else cube).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("key", CODECS)
def test_each_codec_decodes_to_what_its_target_says(key: str, dtype: str) -> None:
    codec, cube = _load(key), _cube(dtype)
    assert codec.kinds
    # Searches for a rate and for a quality share all that depends on the data type.
    same = {"psnr"} if dtype != "uint16" and "bpppb" in codec.kinds else set()
    for kind in codec.kinds - same:
        target = TARGETS[kind]
        if (key, kind) in BEYOND or (key in INTEGERS_ONLY and (dtype, kind) == FLOATS_EXACT):
            with pytest.raises(TargetError):
                codec.encode(cube, target)
            continue
        payload = codec.encode(cube, target)
        decoded = _load(key).decode(payload)
        assert isinstance(payload, bytes)
        assert (decoded.shape, decoded.dtype) == (cube.shape, cube.dtype)
        if kind == "bpppb":
            assert metrics.bpppb(len(payload), cube.size) <= target.value
        elif kind == "psnr":
            assert metrics.psnr(cube, decoded) >= target.value
        elif kind == "max_error":
            assert metrics.max_error(cube, decoded) <= target.value
        elif kind == "lossless":
            np.testing.assert_array_equal(decoded, cube)


@pytest.mark.parametrize("key", CODECS)
def test_a_codec_refuses_the_kinds_that_it_does_not_take(key: str) -> None:
    codec = _load(key)
    for kind in TARGETS.keys() - codec.kinds:
        with pytest.raises(TargetError, match=f"not {kind}"):
            codec.encode(_cube("uint16"), TARGETS[kind])


@pytest.mark.parametrize("key", ["jpeg", "jpeg2000", "jpeg2000_scene", "pca_jpeg2000", "dct3d"])
def test_a_rate_that_headers_alone_exceed_is_refused_with_what_was_reached(key: str) -> None:
    with pytest.raises(TargetError, match=r"cannot reach bpppb=0\.001"):
        _load(key).encode(_cube("uint16"), Target("bpppb", 0.001))


@pytest.mark.parametrize("key", ["pca_dct", "pca_jpeg2000", "dct3d", "speck3d", "jpeg2000_scene"])
def test_rates_are_used_up(key: str) -> None:
    codec, cube = _load(key), _cube("uint16", (64, 48, 20))
    rate = metrics.bpppb(len(codec.encode(cube, Target("bpppb", 1.0))), cube.size)
    assert 0.95 < rate <= 1


@pytest.mark.parametrize(("kind", "value"), [("bpppb", 0), ("psnr", np.nan), ("ssim", 1)])
def test_a_malformed_target_is_refused(kind: Any, value: float) -> None:
    with pytest.raises(TargetError):
        Target(kind, value)


def test_an_unknown_codec_is_refused_with_the_known_ones() -> None:
    with pytest.raises(TargetError, match="pca_jpeg2000"):
        load("gzip")


@pytest.mark.parametrize("kind", ["zeros", "small", "large", "sparse"])
def test_coefficients_come_back_exactly(rng: np.random.Generator, kind: str) -> None:
    shape = (12, 3, 5, 4)
    scale = {"zeros": 0, "small": 0.7, "large": 5000, "sparse": 3}[kind]
    planes = np.rint(rng.laplace(scale=1, size=shape) * scale).astype(np.int32)
    if kind == "sparse":
        planes[3:] = 0
        planes[7, 1, 2, 3] = -1
    payload = coefficients.encode(planes)
    np.testing.assert_array_equal(coefficients.decode(payload), planes)
    if kind == "zeros":
        assert len(payload) < 32


def test_blocks_of_any_shape_come_back(rng: np.random.Generator) -> None:
    values = rng.normal(size=(9, 17, 30))
    blocks = DctBlocks(values.shape, (4, 8, 8))
    planes = blocks.forward(values)
    assert planes.shape == (256, 3, 3, 4)
    np.testing.assert_allclose(blocks.inverse(planes), values, atol=1e-12)


@pytest.mark.parametrize("folds", [1, 2, 7])
def test_all_axes_together_give_the_cube_back(folds: int) -> None:
    cube = _cube("uint16")
    axes = Axes.of(cube, folds)
    basis = axes.strongest(len(axes.vectors))
    again, rest = type(basis).from_bytes(basis.to_bytes() + b"rest", cube.shape)
    assert rest == b"rest"
    np.testing.assert_allclose(again.spectra(basis.scores(cube)), cube, atol=0.05)


def test_rounding_keeps_to_its_bound_and_uses_it(rng: np.random.Generator) -> None:
    for cube, bound in ((_cube("int16"), 7.9), (_cube("float32"), 0.25)):
        rounding = Rounding.of(cube, Target("max_error", bound))
        decoded = rounding.samples(rounding.indices(cube), cube.dtype)
        assert 0.8 * bound < metrics.max_error(cube, decoded) <= bound


@pytest.mark.parametrize(("rate", "least"), [(0.02, 34.3), (0.1, 44.4)])
def test_pca_and_jpeg_2000_are_strong_on_jasper_ridge(
    scenes: Path, rate: float, least: float
) -> None:
    cube = np.load(scenes / "jasper_ridge_198.npy")
    codec = load("pca_jpeg2000")
    payload = codec.encode(cube, Target("bpppb", rate))
    assert metrics.bpppb(len(payload), cube.size) <= rate
    assert metrics.psnr(cube, codec.decode(payload)) >= least


@pytest.mark.parametrize(
    ("key", "most"), [("speck3d", 2.25), ("sz3", 2.79), ("jpegls", 1.91), ("geotiff_deflate", 3.1)]
)
def test_bounded_codecs_are_strong_on_jasper_ridge(scenes: Path, key: str, most: float) -> None:
    cube = np.load(scenes / "jasper_ridge_198_int16.npy")
    payload = load(key).encode(cube, Target("max_error", 16))
    assert metrics.bpppb(len(payload), cube.size) <= most
