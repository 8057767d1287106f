from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xhsinr.coding import mask
from xhsinr.errors import DamagedSidecarError

states_of_a_tile = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, max_side=9), elements=st.integers(0, 2)
)


@given(states_of_a_tile)
def test_states_come_back(states: np.ndarray) -> None:
    decoded = mask.decode(mask.encode(states), *states.shape)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, states)


def test_a_tile_that_is_valid_throughout_costs_nothing() -> None:
    states = np.zeros((4, 5, 6), np.uint8)
    assert mask.encode(states) == b""
    np.testing.assert_array_equal(mask.decode(b"", 4, 5, 6), states)


def test_bands_that_share_a_mask_share_its_bytes(rng: np.random.Generator) -> None:
    plane = rng.integers(0, 3, (1, 64, 64)).astype(np.uint8)
    one, many = len(mask.encode(plane)), len(mask.encode(np.repeat(plane, 200, axis=0)))
    assert many < one + 60
    different = rng.integers(0, 3, (20, 64, 64)).astype(np.uint8)
    assert len(mask.encode(different)) > 10 * one


def test_the_same_states_give_the_same_bytes(rng: np.random.Generator) -> None:
    states = rng.integers(0, 3, (7, 9, 11)).astype(np.uint8)
    assert mask.encode(states) == mask.encode(np.asfortranarray(states))


@settings(max_examples=200)
@given(st.integers(0, 10**6), st.integers(0, 255), st.integers(0, 10**6))
def test_damaged_bytes_raise_or_decode_to_the_right_shape(at: int, value: int, cut: int) -> None:
    states = np.random.default_rng(0).integers(0, 3, (3, 8, 9)).astype(np.uint8)
    payload = bytearray(mask.encode(states))
    payload[at % len(payload)] = value
    try:
        decoded = mask.decode(bytes(payload[: 1 + cut % len(payload)]), 3, 8, 9)
    except DamagedSidecarError:
        return
    assert decoded.shape == (3, 8, 9)


@pytest.mark.parametrize(
    "payload",
    [b"\x01", b"\x00\x00\x00\x00", b"\xff\xff\xff\xff" + bytes(40), bytes(4) + b"\xff" * 7],
    ids=["short", "nothing", "segments", "odd"],
)
def test_what_is_no_mask_of_the_tile_is_reported(payload: bytes) -> None:
    with pytest.raises(DamagedSidecarError, match="the mask does not decode"):
        mask.decode(payload, 2, 2, 3)


def test_scattered_samples_cost_about_what_their_positions_cost(rng: np.random.Generator) -> None:
    for share in (0.008, 0.3):
        states = (rng.random((40, 64, 64)) < share).astype(np.uint8)
        entropy = -(share * np.log2(share) + (1 - share) * np.log2(1 - share))
        assert 8 * len(mask.encode(states)) < 1.1 * entropy * states.size


def test_more_than_a_plane_for_each_band_is_not_decoded() -> None:
    payload = mask.encode(np.random.default_rng(0).integers(0, 2, (9, 8, 8)).astype(np.uint8))
    with pytest.raises(DamagedSidecarError):
        mask.decode(payload, 5, 8, 8)
