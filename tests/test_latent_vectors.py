from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from small_networks import SYMBOLS, siren_network

from xhsinr.coding import latent_vectors as latents
from xhsinr.errors import DamagedSidecarError

CENTRE = (SYMBOLS - 2) // 2


NETWORK = siren_network()


def _encode(values: np.ndarray) -> tuple[bytes, np.ndarray]:
    return latents.encode(values.astype(np.float32), NETWORK)


def _code_exactly(integers: np.ndarray) -> bytes:
    """Code integers as they are, past the encoder's choice of them."""
    lengths = -np.log2(NETWORK.tables / (1 << 15))
    classes = latents._cheapest_classes(integers, NETWORK, lengths)
    tables = latents._table_numbers(classes, NETWORK)
    return latents._code(integers, classes, tables, NETWORK)


integer_latents = hnp.arrays(
    np.int32,
    st.tuples(st.integers(0, 9), st.just(6)),
    elements=st.one_of(
        st.integers(-3, 3), st.integers(-CENTRE - 3, CENTRE + 3), st.integers(-(2**30), 2**30)
    ),
)


@given(integer_latents)
def test_any_integers_come_back(integers: np.ndarray) -> None:
    payload = _code_exactly(integers)
    decoded = latents.decode(payload, len(integers), NETWORK)
    assert decoded.dtype == np.int32
    np.testing.assert_array_equal(decoded, integers)


@given(hnp.arrays(np.float32, (5, 6), elements=st.floats(-(2.0**40), 2.0**40, width=32)))
def test_what_encode_says_it_coded_is_what_decodes(values: np.ndarray) -> None:
    payload, integers = latents.encode(values, NETWORK)
    np.testing.assert_array_equal(latents.decode(payload, 5, NETWORK), integers)
    assert np.abs(integers.astype(np.int64)).max() <= 2**30


def test_no_patches_cost_no_bytes() -> None:
    payload, integers = _encode(np.zeros((0, 6)))
    assert (len(payload), integers.shape) == (8, (0, 6))
    assert latents.decode(payload, 0, NETWORK).shape == (0, 6)


def test_zeros_cost_little_more_than_their_classes() -> None:
    payload, integers = _encode(np.zeros((200, 6)))
    assert not integers.any()
    assert len(payload) < 250


def test_dequantised_latents_are_within_a_step_and_mostly_half_a_step(
    rng: np.random.Generator,
) -> None:
    values = rng.normal(scale=4, size=(300, 6)).astype(np.float32)
    _, integers = latents.encode(values, NETWORK)
    decoded = latents.dequantise(integers, NETWORK)
    steps = NETWORK.latent_steps
    error = np.abs(decoded - values) / steps
    assert decoded.dtype == np.float32
    # The weighing may take the next smaller integer, never another one.
    assert error.max() <= 1.5
    assert np.mean(error > 0.501) < 0.2
    assert (np.abs(integers) <= np.abs(np.rint(values / steps)) + 1e-6).all()


def test_weighing_error_against_rate_pays(rng: np.random.Generator) -> None:
    values = (rng.laplace(size=(500, 6)) * NETWORK.latent_steps * 0.5).astype(np.float32)
    payload, integers = _encode(values)
    rounded = np.rint(values / NETWORK.latent_steps).astype(np.int32)
    plain = _code_exactly(rounded)

    def cost(q: np.ndarray, coded: bytes) -> float:
        error = ((values / NETWORK.latent_steps - q) ** 2).sum()
        return float(error + 2 * np.log(2) / 12 * 8 * len(coded))

    assert len(payload) < len(plain)
    assert cost(integers, payload) < cost(rounded, plain)


def test_bytes_are_close_to_the_ideal_code_length(rng: np.random.Generator) -> None:
    scale = rng.uniform(0.2, 5, (400, 1)) * NETWORK.latent_steps
    payload, integers = _encode(rng.laplace(size=(400, 6)) * scale)
    symbols = np.where(np.abs(integers) <= CENTRE, integers + CENTRE, SYMBOLS - 1)
    lengths = -np.log2(NETWORK.tables / (1 << 15))
    moved = np.arange(16)[:, None] - 8 + NETWORK.latent_tables.astype(int)
    of_class = np.clip(moved, 0, len(NETWORK.tables) - 1)
    costs = np.stack([lengths[tables, symbols].sum(1) for tables in of_class])
    escapes = int((symbols == SYMBOLS - 1).sum())
    ideal = (costs.min(0).sum() + 4 * 400 + 32 * escapes) / 8
    assert ideal - 8 <= len(payload) <= 1.001 * ideal + 8


def test_busy_and_quiet_patches_get_classes_of_their_own(rng: np.random.Generator) -> None:
    mixed = rng.laplace(size=(400, 6)) * NETWORK.latent_steps
    mixed[::2] *= 8
    mixed[1::2] /= 8
    together = len(_encode(mixed)[0])
    apart = len(_encode(mixed[::2])[0]) + len(_encode(mixed[1::2])[0])
    assert together < 1.02 * apart + 16


@settings(max_examples=200)
@given(st.data())
def test_damaged_bytes_raise_or_decode_to_the_right_shape(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 20)))
    values = rng.laplace(size=(12, 6)) * 10 * NETWORK.latent_steps
    payload = bytearray(_encode(values)[0])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(payload) - 1))
        payload[at] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(payload)))
    try:
        decoded = latents.decode(bytes(payload[:cut]), 12, NETWORK)
    except DamagedSidecarError:
        return
    assert decoded.shape == (12, 6)
    assert decoded.dtype == np.int32


def test_bytes_that_are_no_code_name_the_layer() -> None:
    for payload in (b"abc", bytes(8)):
        with pytest.raises(DamagedSidecarError, match="latents do not decode"):
            latents.decode(payload, 3, NETWORK)


def test_the_same_latents_give_the_same_bytes(rng: np.random.Generator) -> None:
    values = rng.normal(scale=9, size=(40, 6))
    assert _encode(values)[0] == _encode(values.copy())[0]
    wider = replace(NETWORK, latent_steps=NETWORK.latent_steps * 2)
    assert len(latents.encode(values.astype(np.float32), wider)[0]) < len(_encode(values)[0])
