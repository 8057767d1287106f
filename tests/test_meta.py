from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_networks import siren_network

from xhsinr.network.meta import Batch, adapt, batch_loss, fit, outer_loss, to_tensors
from xhsinr.network.siren import Siren, forward, pixel_grid, random_parameters
from xhsinr.network.siren_network import SirenNetwork

Tensors = dict[str, torch.Tensor]


def _problem(
    patches: int = 3,
) -> tuple[Siren, Tensors, torch.Tensor, Batch]:
    """A small network and batch in float64, for comparisons that have to be sharp."""
    rng = np.random.default_rng(7)
    siren = Siren(2, 6, 4, 3, w0_first=5.0, w0=4.0)
    parameters = {n: t.double() for n, t in to_tensors(random_parameters(siren, rng)).items()}
    coords = torch.tensor(pixel_grid(4, 5)).double()
    targets = torch.tensor(rng.normal(size=(patches, 20, 3)))
    rates = torch.tensor(rng.uniform(0.01, 0.1, 4))
    return siren, parameters, rates, Batch(coords, targets)


@pytest.mark.parametrize("second_order", [True, False])
def test_the_inner_loop_is_gradient_descent_on_each_latent_vector(
    second_order: bool,
) -> None:
    siren, parameters, rates, batch = _problem()
    found = adapt(siren, parameters, rates, batch, 3, second_order=second_order)
    for patch in range(3):
        phi = torch.zeros(1, siren.latents, dtype=torch.float64, requires_grad=True)
        for _ in range(3):
            output = forward(siren, parameters, batch.coords, phi)
            loss = ((output[0] - batch.targets[patch]) ** 2).sum() / 20
            loss.backward()
            assert phi.grad is not None
            phi = (phi.detach() - rates * phi.grad).requires_grad_()
        torch.testing.assert_close(found[patch], phi.detach()[0], rtol=1e-12, atol=1e-14)


def test_the_inner_loop_starts_at_zero_and_lowers_the_loss_of_every_patch() -> None:
    siren, parameters, rates, batch = _problem()
    assert not adapt(siren, parameters, rates, batch, 0).any()
    losses = [
        batch_loss(
            forward(siren, parameters, batch.coords, adapt(siren, parameters, rates, batch, n)),
            batch,
        )
        for n in range(4)
    ]
    for before, after in itertools.pairwise(losses):
        assert (after < before).all()


def test_one_rate_for_all_latents_is_the_same_as_equal_rates() -> None:
    siren, parameters, _, batch = _problem()
    one = adapt(siren, parameters, torch.tensor(0.05), batch, 2)
    each = adapt(siren, parameters, torch.full((4,), 0.05), batch, 2)
    torch.testing.assert_close(one, each)


def _gradients(second_order: bool, steps: int = 2) -> Tensors:
    siren, parameters, rates, batch = _problem()
    learned = {n: t.clone().requires_grad_() for n, t in (parameters | {"rates": rates}).items()}
    shared = {n: t for n, t in learned.items() if n != "rates"}
    outer_loss(siren, shared, learned["rates"], batch, steps, second_order=second_order).backward()  # type: ignore[no-untyped-call]
    return {n: t.grad for n, t in learned.items() if t.grad is not None}


def test_outer_gradients_agree_with_finite_differences_through_the_inner_loop() -> None:
    siren, parameters, rates, batch = _problem()
    gradients = _gradients(second_order=True)
    assert gradients.keys() == parameters.keys() | {"rates"}
    rng = np.random.default_rng(3)
    for name, gradient in gradients.items():
        direction = torch.tensor(rng.normal(size=tuple(gradient.shape)))
        values = []
        for sign in (1, -1):
            moved = {n: t.clone() for n, t in (parameters | {"rates": rates}).items()}
            moved[name] += sign * 1e-5 * direction
            new_rates = moved.pop("rates")
            values.append(float(outer_loss(siren, moved, new_rates, batch, 2).detach()))
        difference = (values[0] - values[1]) / 2e-5
        assert float((gradient * direction).sum()) == pytest.approx(difference, rel=1e-6, abs=1e-9)


def test_the_first_order_switch_takes_the_adapted_latents_as_constants() -> None:
    siren, parameters, rates, batch = _problem()
    latents = adapt(siren, parameters, rates, batch, 2)
    learned = {n: t.clone().requires_grad_() for n, t in parameters.items()}
    loss = batch_loss(forward(siren, learned, batch.coords, latents), batch).mean()
    loss.backward()  # type: ignore[no-untyped-call]
    first, second = _gradients(second_order=False), _gradients(second_order=True)
    for name, tensor in learned.items():
        assert tensor.grad is not None
        torch.testing.assert_close(first[name], tensor.grad)
    assert not torch.allclose(first["first.weight"], second["first.weight"], rtol=1e-3)


@pytest.mark.parametrize("second_order", [True, False])
def test_both_orders_have_the_same_loss_and_learn_the_rates(second_order: bool) -> None:
    siren, parameters, rates, batch = _problem()
    expected = batch_loss(
        forward(siren, parameters, batch.coords, adapt(siren, parameters, rates, batch, 1)), batch
    ).mean()
    found = outer_loss(siren, parameters, rates, batch, 1, second_order=second_order)
    torch.testing.assert_close(found.detach(), expected)
    # With a single inner step both orders see all of the rates' influence.
    torch.testing.assert_close(
        _gradients(second_order, steps=1)["rates"], _gradients(True, steps=1)["rates"]
    )


def test_outputs_that_a_scene_lacks_do_not_matter() -> None:
    siren, parameters, rates, batch = _problem()
    used = torch.ones(3, 1, 3, dtype=torch.float64)
    used[1, :, 2] = 0
    masked = replace(batch, used=used)
    changed = batch.targets.clone()
    changed[1, :, 2] += 100
    other = replace(masked, targets=changed)
    latents = adapt(siren, parameters, rates, masked, 2)
    torch.testing.assert_close(latents, adapt(siren, parameters, rates, other, 2), rtol=0, atol=0)
    output = forward(siren, parameters, batch.coords, latents)
    losses = batch_loss(output, masked)
    torch.testing.assert_close(losses, batch_loss(output, other), rtol=0, atol=0)
    error = (output - batch.targets)[1, :, :2]
    torch.testing.assert_close(losses[1], error.square().sum() / 20)
    unmasked = adapt(siren, parameters, rates, batch, 2)
    torch.testing.assert_close(latents[0], unmasked[0])
    assert not torch.allclose(latents[1], unmasked[1])


def _network() -> SirenNetwork:
    rates = np.float32([0.02, 0.05, 0.01, 0.1])
    return siren_network(4, 3, patch=4, inner_rates=rates)


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_fitting_is_the_inner_loop_of_the_network(device: str, rng: np.random.Generator) -> None:
    network = _network()
    patches = rng.normal(size=(5, 16, 3)).astype(np.float32)
    found = fit(network, patches, (4, 4), device)
    batch = Batch(torch.tensor(pixel_grid(4, 4)), torch.tensor(patches))
    expected = adapt(
        network.siren,
        to_tensors(network.parameters),
        torch.tensor(network.inner_rates),
        batch,
        network.inner_steps,
    )
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-6)


def test_fitting_fewer_planes_leaves_the_other_outputs_free(rng: np.random.Generator) -> None:
    network = _network()
    patches = rng.normal(size=(5, 16, 2)).astype(np.float32)
    found = fit(network, patches, (4, 4), "cpu")
    padded = np.pad(patches, ((0, 0), (0, 0), (0, 1)))
    assert found.shape == (5, 4)
    assert not np.allclose(found, fit(network, padded, (4, 4), "cpu"))
    used = torch.ones(1, 1, 3)
    used[..., 2] = 0
    batch = Batch(
        torch.tensor(pixel_grid(4, 4)), torch.tensor(padded + 9 * (1 - used.numpy())), used
    )
    rates, parameters = torch.tensor(network.inner_rates), to_tensors(network.parameters)
    expected = adapt(network.siren, parameters, rates, batch, 2)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-6)
