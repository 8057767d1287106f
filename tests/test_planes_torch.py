"""Planes coded with torch, on a GPU where there is one: the bytes of the compiled code."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

import xhsinr  # noqa: E402
from xhsinr.coding.planes_tile import PlaneEncoder  # noqa: E402
from xhsinr.coding.planes_torch import TorchPlaneEncoder  # noqa: E402
from xhsinr.demo import synthetic_scene  # noqa: E402
from xhsinr.network.prior import package_prior  # noqa: E402

# torch's own name of the processor: "cpu" is the compiled code.
DEVICES = [
    "cpu:0",
    pytest.param(
        "cuda",
        marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU"),
    ),
]


@pytest.mark.parametrize("device", DEVICES)
@settings(max_examples=12, deadline=None)
@given(
    st.integers(1, 10),
    st.integers(1, 28),
    st.integers(1, 28),
    st.integers(0, 99),
    st.sampled_from([0.4, 6.0, 300.0, 1e9]),
)
def test_a_device_codes_the_bytes_of_the_processor(device, components, rows, cols, seed, largest):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :cols]
    shared = np.sin(y / 5) * np.cos(x / 7)
    strength = largest / (1 + np.arange(components))[:, None, None]
    planes = strength * (shared + rng.laplace(0, 0.1, (components, rows, cols)))
    compiled = PlaneEncoder(planes, package_prior())
    on_device = TorchPlaneEncoder(planes, package_prior(), device)
    for ours, theirs in zip(compiled.planes(), on_device.planes(), strict=True):
        np.testing.assert_array_equal(ours, theirs.cpu().numpy())
    assert on_device.content() == compiled.content()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("target", [{"quality": "preview"}, {"psnr": 50}, {"bpppb": 0.4}])
def test_a_file_is_the_same_from_every_device(device, target, tmp_path: Path) -> None:
    scene = synthetic_scene(37, 41, 12)
    files = [
        xhsinr.compress(
            scene, tmp_path / f"{number}.hsinr", tile=24, device=name, progress=False, **target
        ).path.read_bytes()
        for number, name in enumerate(("cpu", device))
    ]
    assert files[0] == files[1]


@pytest.mark.parametrize("device", DEVICES)
def test_a_real_scene_is_the_same_from_every_device(device, scenes: Path, tmp_path: Path) -> None:
    cube = np.load(scenes / "paviau_140x80.npy")[:60, :50]
    files = [
        xhsinr.compress(
            cube, tmp_path / f"{number}.hsinr", psnr=45, device=name, progress=False
        ).path.read_bytes()
        for number, name in enumerate(("cpu", device))
    ]
    assert files[0] == files[1]
