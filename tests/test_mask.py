from __future__ import annotations

import struct
import tracemalloc
import zlib

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
    assert decoded.max() <= mask.NAN


def _payload(count: int, content: bytes) -> bytes:
    return struct.pack("<H", count) + zlib.compress(content)


@pytest.mark.parametrize(
    "payload",
    [
        b"\x01",
        b"\x01\x00not zlib",
        _payload(0, bytes(4)),
        _payload(3, bytes(16)),
        _payload(1, bytes(5)),
        _payload(1, bytes(7)),
        _payload(1, b"\x05\x00\x00\x00" + bytes(2)),
        _payload(1, bytes(4) + b"\x80\x80"),
    ],
    ids=["short", "garbage", "none", "too many", "less", "more", "no such mask", "both states"],
)
def test_what_is_no_mask_of_the_tile_is_reported(payload: bytes) -> None:
    with pytest.raises(DamagedSidecarError, match="the mask does not decode"):
        mask.decode(payload, 2, 2, 3)


def test_a_bomb_is_not_inflated() -> None:
    bomb = _payload(0xFFFF, bytes(50_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(DamagedSidecarError):
            mask.decode(bomb, 2, 300, 300)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
