from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from linear_network import lowest_orders
from scipy.fft import idctn

from xhsinr.errors import NetworkError
from xhsinr.network.siren import (
    MODULATIONS,
    Siren,
    atom_values,
    cosine_atoms,
    cosine_width,
    dct_parameters,
    forward,
    pixel_grid,
    random_parameters,
)


def _siren(modulation: str, **sizes: int) -> Siren:
    latents = 10 if modulation == "output" else 7
    settings = {"layers": 3, "width": 24, "latents": latents, "outputs": 5} | sizes
    return Siren(**settings, modulation=modulation, w0=20.0)


def _case(
    siren: Siren, rng: np.random.Generator, *, shared: bool, patches: int = 6
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    parameters = random_parameters(siren, rng)
    for name in {"shift.bias", "output.bias", "first.bias"} & parameters.keys():
        parameters[name][:] = rng.normal(size=parameters[name].shape)
    coords = pixel_grid(8, 9)
    if not shared:
        coords = rng.uniform(-1, 1, (patches, 72, 2)).astype(np.float32)
    latents = rng.normal(size=(patches, siren.latents)).astype(np.float32)
    return parameters, coords, latents


def _naive(
    siren: Siren, parameters: dict[str, np.ndarray], coords: np.ndarray, latents: np.ndarray
) -> np.ndarray:
    """The paper's equations, patch by patch and layer by layer, in float64."""
    p = {name: value.astype(np.float64) for name, value in parameters.items()}
    out = []
    for number, phi in enumerate(latents.astype(np.float64)):
        xy = coords if coords.ndim == 2 else coords[number]
        beta = np.zeros((siren.layers, siren.width))
        if siren.modulation != "output":
            beta = (p["shift.weight"] @ phi + p["shift.bias"]).reshape(beta.shape)
        h = xy.astype(np.float64).T
        for i in range(siren.layers):
            W = p["first.weight"] if i == 0 else p["hidden.weight"][i - 1]
            b = p["first.bias"] if i == 0 else p["hidden.bias"][i - 1]
            w0 = siren.w0_first if i == 0 else siren.w0
            h = np.sin(w0 * (W @ h + b[:, None]) + beta[i][:, None])
        if siren.modulation == "output":
            rows = phi.reshape(siren.outputs, -1)
            out.append(np.stack([(row @ p["atoms.weight"]) @ h for row in rows], axis=1))
            continue
        W = p["output.weight"]
        if siren.modulation == "shift+output":
            W = W + (p["output_modulation.weight"] @ phi).reshape(W.shape)
        out.append((W @ h + p["output.bias"][:, None]).T)
    return np.stack(out)


def _relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("modulation", MODULATIONS)
def test_numpy_and_torch_agree_on_whole_batches(
    modulation: str, shared: bool, rng: np.random.Generator
) -> None:
    siren = _siren(modulation)
    parameters, coords, latents = _case(siren, rng, shared=shared)
    tensors = {name: torch.tensor(value) for name, value in parameters.items()}
    ours = forward(siren, parameters, coords, latents)
    theirs = forward(siren, tensors, torch.tensor(coords), torch.tensor(latents)).numpy()
    assert ours.shape == (6, 72, 5)
    assert ours.dtype == theirs.dtype == np.float32
    assert _relative(ours, theirs) < 1e-5


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("layers", [1, 2, 4])
@pytest.mark.parametrize("modulation", MODULATIONS)
def test_the_equations_hold_patch_by_patch_and_layer_by_layer(
    modulation: str, layers: int, shared: bool, rng: np.random.Generator
) -> None:
    siren = _siren(modulation, layers=layers)
    parameters, coords, latents = _case(siren, rng, shared=shared)
    wide = {name: value.astype(np.float64) for name, value in parameters.items()}
    expected = _naive(siren, parameters, coords, latents)
    exact = forward(siren, wide, coords.astype(np.float64), latents.astype(np.float64))
    np.testing.assert_allclose(exact, expected, rtol=1e-9, atol=1e-10)
    assert _relative(forward(siren, parameters, coords, latents), expected) < 1e-4


@pytest.mark.parametrize("modulation", MODULATIONS)
def test_a_patch_does_not_depend_on_its_batch(modulation: str, rng: np.random.Generator) -> None:
    siren = _siren(modulation)
    parameters, coords, latents = _case(siren, rng, shared=True)
    before = {name: value.copy() for name, value in parameters.items()}
    whole = forward(siren, parameters, coords, latents)
    alone = forward(siren, parameters, coords, latents[2:3])
    assert _relative(alone[0], whole[2]) < 1e-5
    assert forward(siren, parameters, coords, latents[:0]).shape == (0, 72, 5)
    assert all(np.array_equal(before[name], parameters[name]) for name in before)


def test_pixel_centres_are_x_then_y_row_by_row_and_symmetric() -> None:
    grid = pixel_grid(2, 4)
    assert grid.dtype == np.float32
    np.testing.assert_allclose(grid[:4], [[-0.75, -0.5], [-0.25, -0.5], [0.25, -0.5], [0.75, -0.5]])
    np.testing.assert_allclose(grid[4:, 1], 0.5)
    np.testing.assert_array_equal(pixel_grid(1, 1), [[0, 0]])


def test_the_random_start_is_siren_s(rng: np.random.Generator) -> None:
    siren = Siren(layers=3, width=64, latents=16, outputs=9, w0=20.0, modulation="shift+output")
    parameters = random_parameters(siren, rng)
    assert {name: value.shape for name, value in parameters.items()} == siren.shapes()
    limits = {
        "first.weight": 1 / 2,
        "hidden.weight": math.sqrt(6 / 64) / 20,
        "output.weight": math.sqrt(6 / 64) / 20,
        "shift.weight": 1 / math.sqrt(16),
    }
    for name, limit in limits.items():
        assert 0.95 * limit < np.abs(parameters[name]).max() <= limit * (1 + 1e-6)
    assert not parameters["shift.bias"].any()
    again = random_parameters(siren, np.random.default_rng(2024))
    assert all(np.array_equal(again[name], parameters[name]) for name in again)


def test_the_start_at_cosines_is_an_orthogonal_transform(rng: np.random.Generator) -> None:
    side, outputs = 8, 3
    zone = np.array([(c, u, v) for c in range(outputs) for u in range(4) for v in range(4)])
    zone = zone[rng.permutation(len(zone))[:40]]
    siren = Siren(layers=1, width=40, latents=40, outputs=outputs, modulation="shift+output")
    parameters = dct_parameters(siren, zone)
    assert {name: value.shape for name, value in parameters.items()} == siren.shapes()
    basis = forward(siren, parameters, pixel_grid(side, side), np.eye(40, dtype=np.float32))
    at = (2 * np.arange(side) + 1) / (2 * side)
    for picture, (c, u, v) in zip(basis, zone, strict=True):
        expected = np.outer(np.cos(math.pi * v * at), np.cos(math.pi * u * at)).ravel()
        expected /= math.sqrt(np.mean(expected**2))
        np.testing.assert_allclose(picture[:, c], expected, atol=2e-5)
        assert not np.delete(picture, c, axis=1).any()
    flat = basis.reshape(40, -1).astype(np.float64)
    np.testing.assert_allclose(flat @ flat.T / side**2, np.eye(40), atol=1e-5)


@pytest.mark.parametrize("layers", [1, 3])
def test_patches_are_linear_in_the_latents_of_output_modulation(
    layers: int, rng: np.random.Generator
) -> None:
    siren = _siren("output", layers=layers)
    parameters, coords, latents = _case(siren, rng, shared=True)
    atoms = atom_values(siren, parameters, coords)
    assert atoms.shape == (72, siren.atoms) == (72, 2)
    found = forward(siren, parameters, coords, latents)
    for patch, vector in zip(found, latents, strict=True):
        np.testing.assert_allclose(patch, atoms @ vector.reshape(5, 2).T, rtol=1e-5, atol=1e-6)
    both = forward(siren, parameters, coords, 2 * latents[:1] - 3 * latents[1:2])
    np.testing.assert_allclose(both[0], 2 * found[0] - 3 * found[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("patch", "atoms"), [(1, 1), (4, 16), (7, 49), (7, 20), (20, 400)])
def test_cosine_atoms_are_the_orthonormal_dct(patch: int, atoms: int) -> None:
    orders = lowest_orders(patch, atoms)
    siren = Siren(1, cosine_width(orders), 3 * atoms, 3, w0_first=math.pi / 2, modulation="output")
    parameters = cosine_atoms(siren, orders, patch)
    assert {name: value.shape for name, value in parameters.items()} == siren.shapes()
    # The DCT-II's basis: what single coefficients transform back to.
    coefficients = np.zeros((atoms, patch, patch))
    coefficients[np.arange(atoms), orders[:, 1], orders[:, 0]] = 1
    expected = idctn(coefficients, axes=(1, 2), norm="ortho").reshape(atoms, -1)
    found = atom_values(siren, parameters, pixel_grid(patch, patch))
    np.testing.assert_allclose(found.T, expected, atol=1e-5)


@pytest.mark.parametrize("patch", [8, 20])
def test_frequencies_of_cosine_atoms_are_exact_in_float16(patch: int) -> None:
    orders = lowest_orders(patch, patch**2)
    siren = Siren(1, cosine_width(orders), patch**2, 1, w0_first=math.pi / 2, modulation="output")
    parameters = cosine_atoms(siren, orders, patch)
    stored = {name: value.astype(np.float16) for name, value in parameters.items()}
    for name in ("first.weight", "first.bias"):
        np.testing.assert_array_equal(stored[name].astype(np.float32), parameters[name])
        assert (parameters[name] % 1 == 0).all()
    wide = {name: value.astype(np.float32) for name, value in stored.items()}
    atoms = atom_values(siren, wide, pixel_grid(patch, patch)).astype(np.float64)
    np.testing.assert_allclose(atoms.T @ atoms, np.eye(patch**2), atol=1e-3)
    # Only their length is rounded, alike for all but those of order zero.
    across = atoms.T @ atoms - np.diag((atoms**2).sum(0))
    assert np.abs(across).max() < 1e-5


def test_each_product_of_cosines_needs_two_sines_and_those_of_one_order_one() -> None:
    assert cosine_width(np.array([[0, 0]])) == 1
    assert cosine_width(np.array([[3, 0], [0, 2]])) == 3
    assert cosine_width(np.array([[3, 2]], np.uint8)) == 2
    assert cosine_width(lowest_orders(20, 400)) == 780


def test_the_start_at_cosines_refuses_a_network_that_cannot_hold_it() -> None:
    zone = np.array([(0, 1, 1), (0, 2, 1)])
    small = Siren(layers=1, width=3, latents=2, outputs=1, modulation="shift+output")
    with pytest.raises(NetworkError, match="width 3 is too small: this zone needs 4"):
        dct_parameters(small, zone)
    for layers, modulation in ((2, "shift+output"), (1, "shift")):
        deep = Siren(layers=layers, width=9, latents=2, outputs=1, modulation=modulation)
        with pytest.raises(NetworkError, match="one layer and shift"):
            dct_parameters(deep, zone)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layers": 0}, "layers = 0"),
        ({"width": 2**20}, "width = 1048576"),
        ({"latents": 1.5}, "latents = 1.5"),
        ({"outputs": "many"}, "outputs = 'many'"),
        ({"w0": -1.0}, "w0 = -1.0"),
        ({"w0_first": math.nan}, "w0_first = nan"),
        ({"w0": None}, "w0 = None"),
        ({"modulation": "scale"}, "modulation 'scale' is unknown"),
        ({"modulation": "output"}, "latents = 3: with output modulation each of the 4 outputs"),
        ({"modulation": "output", "latents": 6}, "latents = 6"),
    ],
)
def test_sizes_that_no_network_has_are_refused(changes: dict[str, object], words: str) -> None:
    sizes: dict[str, object] = {"layers": 1, "width": 2, "latents": 3, "outputs": 4}
    with pytest.raises(NetworkError, match=words):
        Siren(**(sizes | changes))  # type: ignore[arg-type]
