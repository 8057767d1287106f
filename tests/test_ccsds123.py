"""CCSDS 123.0-B-2 as a baseline: bits that decode, and no weaker than it can be made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xhsinr.bench.codecs import Target, ccsds_entropy, load
from xhsinr.bench.codecs.ccsds_predictor import Predictor, restore, to_indices

KEYS = ("ccsds123_adaptive", "ccsds123_hybrid")


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9)),
    limit=st.integers(0, 40),
    full=st.booleans(),
    wide=st.booleans(),
)
def test_samples_come_back_within_the_error_limit(
    seed: int, shape: tuple[int, int, int], limit: int, full: bool, wide: bool
) -> None:
    rng = np.random.default_rng(seed)
    samples = rng.integers(-2048, 2048, shape).astype(np.int32)
    predictor = Predictor(full=full, wide=wide)
    indices = to_indices(samples, limit, -2048, 2047, 0, predictor)
    assert indices.max(initial=0) < 4096
    decoded = restore(indices, limit, -2048, 2047, 0, predictor)
    assert np.abs(decoded - samples).max() <= limit


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 300)),
    mean=st.floats(0.001, 2000),
)
def test_both_entropy_coders_give_the_indices_back(
    seed: int, shape: tuple[int, int], mean: float
) -> None:
    draws = np.random.default_rng(seed).exponential(mean, shape)
    indices = np.minimum(draws, 4095).astype(np.uint32)
    adaptive = ccsds_entropy.encode_adaptive(indices, 12)
    np.testing.assert_array_equal(ccsds_entropy.decode_adaptive(adaptive, shape, 12), indices)
    hybrid = ccsds_entropy.encode_hybrid(indices, 12)
    np.testing.assert_array_equal(ccsds_entropy.decode_hybrid(hybrid, shape, 12), indices)


def test_the_hybrid_coder_comes_near_the_entropy_where_a_bit_a_sample_is_too_much() -> None:
    for chance in (0.01, 0.05, 0.2):
        indices = (np.random.default_rng(1).random((1, 200_000)) < chance).astype(np.uint32)
        entropy = -chance * np.log2(chance) - (1 - chance) * np.log2(1 - chance)
        bits = 8 * len(ccsds_entropy.encode_hybrid(indices, 12)) / indices.size
        # Halving its counter costs the coder a bit every 32 samples.
        assert bits < 1.1 * entropy + 1 / 32
        assert 8 * len(ccsds_entropy.encode_adaptive(indices, 12)) / indices.size > 1


@pytest.mark.parametrize("key", KEYS)
def test_the_baseline_is_as_strong_as_a_tuned_one_on_jasper_ridge(key: str, scenes: Path) -> None:
    cube = np.load(scenes / "jasper_ridge_198_int16.npy")
    most = {0: 6.35, 4: 3.20, 16: 1.80} if key == KEYS[0] else {0: 6.36, 4: 3.15, 16: 1.62}
    for bound, bits in most.items():
        target = Target("max_error", bound) if bound else Target("lossless")
        payload = load(key).encode(cube, target)
        assert 8 * len(payload) / cube.size < bits
        decoded = load(key).decode(payload).astype(np.int64)
        assert np.abs(decoded - cube).max() <= bound
