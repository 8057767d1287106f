from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_networks import siren_network

from xhsinr.coding.contract import Frame
from xhsinr.coding.latents import LatentsCoding
from xhsinr.errors import DamagedSidecarError, HsinrError, NetworkError, NetworkNotFoundError
from xhsinr.network.file import save_network
from xhsinr.network.siren import forward, pixel_grid

FRAME = Frame(np.dtype(np.int16), 4, -50, 950)


def _samples(rng: np.random.Generator, rows: int, cols: int) -> np.ndarray:
    y, x = np.mgrid[:rows, :cols] / 9
    planes = np.stack([np.sin(x + i) * np.cos(y - i) for i in range(4)])
    return (450 + 300 * planes + rng.normal(0, 5, planes.shape)).astype(np.int16)


@pytest.mark.parametrize("patch", [8, None])
@pytest.mark.parametrize("shape", [(8, 8), (11, 21), (1, 3)])
def test_a_tile_comes_back_as_the_network_has_it(
    patch: int | None, shape: tuple[int, int], rng: np.random.Generator
) -> None:
    pytest.importorskip("torch")
    coding = LatentsCoding(FRAME, siren_network(patch=patch))
    samples = _samples(rng, *shape)
    parts = coding.encode(samples, None, "cpu")
    decoded = coding.decode(parts, *shape, None)
    assert decoded.dtype == np.int16
    assert decoded.shape == samples.shape
    assert FRAME.low <= decoded.min() <= decoded.max() <= FRAME.high
    wanted = np.array([2, 0])
    np.testing.assert_array_equal(coding.decode(parts, *shape, wanted), decoded[wanted])
    assert parts == coding.encode(samples, None, "cpu")


def test_fitting_lowers_the_error(rng: np.random.Generator) -> None:
    pytest.importorskip("torch")
    fine = np.full(6, 1e-3, np.float32)
    network = siren_network(patch=None, inner_rates=20 * fine, latent_steps=fine)
    coding = LatentsCoding(FRAME, network)
    samples = _samples(rng, 9, 7)
    decoded = coding.decode(coding.encode(samples, None, "cpu"), 9, 7, None)
    zeros = forward(
        network.siren, network.parameters, pixel_grid(9, 7), np.zeros((1, 6), np.float32)
    )[0].T.reshape(samples.shape)
    start = FRAME.to_samples(zeros * 1000 - 50)
    errors = [np.square(samples.astype(float) - found).mean() for found in (decoded, start)]
    assert errors[0] < errors[1]


def test_coarse_reads_are_near_the_means(rng: np.random.Generator) -> None:
    pytest.importorskip("torch")
    coding = LatentsCoding(FRAME, siren_network())
    parts = coding.encode(_samples(rng, 19, 22), None, "cpu")
    full = coding.decode_coarse(parts, 19, 22, 1, None)
    for factor in (2, 4, 5):
        coarse = coding.decode_coarse(parts, 19, 22, factor, None)
        assert coarse.shape == (4, -(-19 // factor), -(-22 // factor))
        means = full[:, : 19 // factor * factor, : 22 // factor * factor]
        means = means.reshape(4, 19 // factor, factor, 22 // factor, factor).mean(axis=(2, 4))
        inner = coarse[:, : 19 // factor, : 22 // factor]
        assert np.abs(inner - means).max() < 0.2 * full.std()


def test_parameters_come_back_with_the_network_beside_the_sidecar(tmp_path: Path) -> None:
    network = save_network(siren_network(), tmp_path / "networks" / "mine.safetensors")
    frame = Frame(FRAME.dtype, 4, 0, 9, tmp_path / "scene.hsinr")
    content = LatentsCoding(frame, network).to_bytes()
    assert len(content) == 32 + 2 + 4
    found = LatentsCoding.from_bytes(content, frame)
    assert (found.frame, found.network.digest) == (frame, network.digest)
    travelled = pickle.loads(pickle.dumps(found))
    assert travelled.network is found.network
    with pytest.raises(NetworkNotFoundError, match="mine"):
        LatentsCoding.from_bytes(content, FRAME)


@pytest.mark.parametrize("content", [b"", bytes(32), bytes(33) + b"\xff", bytes(33) + b"../a"])
def test_other_parameters_are_damage(content: bytes) -> None:
    with pytest.raises(DamagedSidecarError, match=r"network|ends"):
        LatentsCoding.from_bytes(content, FRAME)


def test_a_network_with_too_few_outputs_is_refused() -> None:
    with pytest.raises(NetworkError, match="outputs for 4 bands, the scene has 5"):
        LatentsCoding(Frame(np.dtype(np.int16), 5, 0, 9), siren_network())


@given(st.binary(max_size=60), st.integers(1, 20), st.integers(1, 20))
def test_any_bytes_decode_or_are_damage(content: bytes, rows: int, cols: int) -> None:
    coding = LatentsCoding(FRAME, siren_network())
    try:
        decoded = coding.decode({"latents": content}, rows, cols, None)
    except DamagedSidecarError:
        return
    assert decoded.shape == (4, rows, cols)


def test_a_patch_far_larger_than_its_tile_is_refused() -> None:
    coding = LatentsCoding(FRAME, siren_network(patch=4096))
    with pytest.raises(DamagedSidecarError, match="too large or too many"):
        coding.decode({"latents": bytes(8)}, 3, 3, None)


def test_without_torch_the_hint_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    coding = LatentsCoding(FRAME, siren_network())
    with pytest.raises(HsinrError, match=r"pip install 'xhsinr\[torch\]'"):
        coding.encode(np.zeros((4, 8, 8), np.int16), None, "cpu")
