"""The latents layer of a scene, whatever the shape of its tiles."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from linear_network import linear_network
from small_network import small_network

from xhsinr.coding import contexts, latent_coding
from xhsinr.coding import old_latents as latents
from xhsinr.coding.latent_coding import LatentCoding, fit, quantiser_step
from xhsinr.coding.overview import block_means
from xhsinr.errors import DamagedSidecarError
from xhsinr.network.base import load_network
from xhsinr.network.siren import Siren
from xhsinr.tiling import Patching

SHAPES = [(24, 24), (23, 31), (7, 1), (1, 3), (1, 1), (5, 13)]


def _smooth(shape: tuple[int, int], outputs: int, rng: np.random.Generator) -> np.ndarray:
    """Planes with waves and noise, each weaker than the one before."""
    y, x = np.indices(shape)
    waves = np.sin(x / 5 + np.arange(outputs)[:, None, None]) + np.cos(y / 3)
    noise = rng.normal(scale=0.1, size=(outputs, *shape))
    return (waves + noise) * 50 / 2.0 ** np.arange(outputs)[:, None, None]


@pytest.mark.parametrize("planes", [1, 2, 8])
@pytest.mark.parametrize("shape", [(1000, 1000), (1, 3), (2049, 33)])
def test_a_tile_of_any_shape_and_few_planes_decodes(planes: int, shape: tuple[int, int]) -> None:
    network = small_network()
    coding = LatentCoding(network, 0, 1.0)
    patches = len(Patching(*shape, network.patch))
    payload = latents.encode(np.zeros((patches, network.siren.latents), np.float32), network, 0)[0]
    decoded = coding.decode(payload, planes, *shape, 4)
    planes = min(planes, network.siren.outputs)
    assert decoded.shape == (planes, -(-shape[0] // 4), -(-shape[1] // 4))


@pytest.mark.parametrize(("layers", "width", "patch"), [(64, 1, 1), (1, 4096, 32), (8, 64, None)])
def test_no_network_takes_much_memory(layers: int, width: int, patch: int | None) -> None:
    siren = Siren(layers=layers, width=width, latents=2, outputs=3)
    parameters = {name: np.zeros(shape, np.float32) for name, shape in siren.shapes().items()}
    steps = np.ones(2, np.float32)
    network = replace(
        small_network(),
        siren=siren,
        patch=patch,
        parameters=parameters,
        latent_steps=steps,
        latent_tables=np.zeros(2, np.uint8),
    )
    coding = LatentCoding(network, 0, 1.0)
    tracemalloc.start()
    planes = coding.decode(b"", 3, 600, 500)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - planes.nbytes < 64 << 20


@pytest.mark.parametrize(
    ("planes", "shape"), [(1, (1000, 1000)), (2, (1, 3)), (2, (2049, 33)), (80, (61, 7))]
)
def test_a_tile_of_zeros_is_a_few_bytes_of_the_default_network(
    planes: int, shape: tuple[int, int]
) -> None:
    network = load_network("default")
    coding = LatentCoding(network, 0, 1.0, offset=3.0)
    payload = coding.encode(np.full((planes, *shape), 3.0), "cpu")
    assert len(payload) <= 13 * min(planes, 64) / 8 + 8
    decoded = coding.decode(payload, planes, *shape, 4)
    assert decoded.shape == (min(planes, 64), -(-shape[0] // 4), -(-shape[1] // 4))
    assert (decoded == 3).all()


@pytest.mark.parametrize("atoms", [36, 11])
@pytest.mark.parametrize("shape", SHAPES)
def test_fitting_is_least_squares_for_every_patch(
    shape: tuple[int, int], atoms: int, rng: np.random.Generator
) -> None:
    network = linear_network(patch=6, atoms=atoms)
    patching = Patching(*shape, network.patch, even=True)
    planes = rng.normal(size=(3, *shape))
    found = fit(network, planes, patching)
    assert (found.shape, found.dtype) == ((3, atoms, *patching.grid), np.float32)
    assert network.contexts is not None
    u, v = network.contexts.orders.T
    there = (u < patching.shape[1]) & (v < patching.shape[0])
    # The cosines, from their definition.
    y, x = (np.arange(size) * 2 + 1 for size in patching.shape)
    rows = np.cos(np.pi * np.outer(y, v[there]) / (2 * len(y)))
    cols = np.cos(np.pi * np.outer(x, u[there]) / (2 * len(x)))
    basis = np.einsum("ya,xa->yxa", rows, cols).reshape(-1, there.sum())
    basis /= np.linalg.norm(basis, axis=0)
    for number, patch in enumerate(patching.split(planes)):
        at = np.unravel_index(number, patching.grid)
        expected = np.linalg.lstsq(basis, patch, rcond=None)[0].T
        np.testing.assert_allclose(found[:, there, *at], expected, atol=2e-3)
    np.testing.assert_allclose(found[:, ~there], 0, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_all_the_cosines_of_a_patch_give_it_back(
    shape: tuple[int, int], rng: np.random.Generator
) -> None:
    planes = _smooth(shape, 3, rng)
    fine = LatentCoding(linear_network(), 0, unit=1e-3)
    decoded = fine.decode(fine.encode(planes, "cpu"), 3, *shape)
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, planes, atol=0.05)


@pytest.mark.parametrize("level", [0, -8, 8])
@pytest.mark.parametrize("shape", [(24, 24), (23, 31)])
def test_most_latents_are_within_half_a_step(
    shape: tuple[int, int], level: int, rng: np.random.Generator
) -> None:
    network = linear_network()
    coding = LatentCoding(network, level, unit=0.1)
    planes = _smooth(shape, 3, rng)
    patching = Patching(*shape, network.patch, even=True)
    decoded = coding.decode(coding.encode(planes, "cpu"), 3, *shape)
    step = 0.1 * latents.scene_step(level)
    fitted = fit(network, planes / step, patching)
    assert network.contexts is not None
    _, integers = contexts.encode(fitted, network.contexts, patching.shape)
    error = np.abs(fitted - integers)
    assert np.mean(error <= 0.5) > 0.8
    assert error.max() <= 1.5
    # Atoms are orthonormal: the errors of latents are those of pixels.
    missed = patching.split((decoded - planes) / step)
    if patching.rows == patching.grid[0] * patching.shape[0]:
        assert np.sum(missed**2) == pytest.approx(np.sum(error**2), rel=0.01)


@pytest.mark.parametrize("factor", [2, 4, 5, 64])
@pytest.mark.parametrize("shape", [(24, 24), (23, 31), (1, 3)])
def test_coarse_reads_are_block_means_of_the_full_decode(
    shape: tuple[int, int], factor: int, rng: np.random.Generator
) -> None:
    coding = LatentCoding(linear_network(), 0, unit=0.5)
    payload = coding.encode(_smooth(shape, 3, rng), "cpu")
    full = coding.decode(payload, 3, *shape)
    np.testing.assert_array_equal(
        coding.decode(payload, 3, *shape, factor), block_means(full, factor)
    )


def test_there_may_be_fewer_planes_than_outputs_and_more(rng: np.random.Generator) -> None:
    coding = LatentCoding(linear_network(outputs=3), 0, unit=0.5)
    planes = _smooth((20, 22), 5, rng)
    for count in (1, 2, 3, 5):
        decoded = coding.decode(coding.encode(planes[:count], "cpu"), count, 20, 22)
        assert decoded.shape == (min(count, 3), 20, 22)
        np.testing.assert_allclose(decoded, planes[: min(count, 3)], atol=3)


def test_the_step_for_an_error_leaves_about_that_error(rng: np.random.Generator) -> None:
    planes = _smooth((60, 66), 1, rng)
    for error in (0.01, 0.1):
        coding = LatentCoding(linear_network(outputs=1), 0, unit=quantiser_step(error))
        decoded = coding.decode(coding.encode(planes, "cpu"), 1, 60, 66)
        assert np.mean((decoded - planes) ** 2) == pytest.approx(error, rel=0.5)


def test_damaged_latents_name_the_layer() -> None:
    with pytest.raises(DamagedSidecarError, match="latents do not decode"):
        LatentCoding(linear_network(), 0, 1.0).decode(b"abc", 3, 20, 20)


def test_the_atoms_of_few_shapes_are_kept(rng: np.random.Generator) -> None:
    coding = LatentCoding(linear_network(), 0, 1.0)
    for rows in range(1, 60):
        coding.decode(b"", 3, rows, 1 + rows // 3)
    kept = latent_coding._atoms.cache_info()
    assert kept.currsize <= kept.maxsize == 16


def test_a_tile_takes_little_more_memory_than_its_planes(rng: np.random.Generator) -> None:
    coding = LatentCoding(linear_network(outputs=16), 0, 1.0)
    payload = coding.encode(_smooth((256, 256), 16, rng), "cpu")
    tracemalloc.start()
    planes = coding.decode(payload, 16, 256, 256)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * planes.nbytes
