from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from xhsinr.errors import NetworkError
from xhsinr.network.siren import Siren, forward, pixel_grid, random_parameters


def _siren(**sizes: int) -> Siren:
    return Siren(**({"layers": 3, "width": 24, "latents": 7, "outputs": 5} | sizes), w0=20.0)


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
        beta = (p["shift.weight"] @ phi + p["shift.bias"]).reshape(siren.layers, siren.width)
        h = xy.astype(np.float64).T
        for i in range(siren.layers):
            W = p["first.weight"] if i == 0 else p["hidden.weight"][i - 1]
            b = p["first.bias"] if i == 0 else p["hidden.bias"][i - 1]
            w0 = siren.w0_first if i == 0 else siren.w0
            h = np.sin(w0 * (W @ h + b[:, None]) + beta[i][:, None])
        out.append((p["output.weight"] @ h + p["output.bias"][:, None]).T)
    return np.stack(out)


def _relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("shared", [True, False])
def test_numpy_and_torch_agree_on_whole_batches(shared: bool, rng: np.random.Generator) -> None:
    siren = _siren()
    parameters, coords, latents = _case(siren, rng, shared=shared)
    tensors = {name: torch.tensor(value) for name, value in parameters.items()}
    ours = forward(siren, parameters, coords, latents)
    theirs = forward(siren, tensors, torch.tensor(coords), torch.tensor(latents)).numpy()
    assert ours.shape == (6, 72, 5)
    assert ours.dtype == theirs.dtype == np.float32
    assert _relative(ours, theirs) < 1e-5


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("layers", [1, 2, 4])
def test_the_equations_hold_patch_by_patch_and_layer_by_layer(
    layers: int, shared: bool, rng: np.random.Generator
) -> None:
    siren = _siren(layers=layers)
    parameters, coords, latents = _case(siren, rng, shared=shared)
    wide = {name: value.astype(np.float64) for name, value in parameters.items()}
    expected = _naive(siren, parameters, coords, latents)
    exact = forward(siren, wide, coords.astype(np.float64), latents.astype(np.float64))
    np.testing.assert_allclose(exact, expected, rtol=1e-9, atol=1e-10)
    assert _relative(forward(siren, parameters, coords, latents), expected) < 1e-4


def test_a_patch_does_not_depend_on_its_batch(rng: np.random.Generator) -> None:
    siren = _siren()
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
    siren = Siren(layers=3, width=64, latents=16, outputs=9, w0=20.0)
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
    ],
)
def test_sizes_that_no_network_has_are_refused(changes: dict[str, object], words: str) -> None:
    sizes: dict[str, object] = {"layers": 1, "width": 2, "latents": 3, "outputs": 4}
    with pytest.raises(NetworkError, match=words):
        Siren(**(sizes | changes))  # type: ignore[arg-type]
