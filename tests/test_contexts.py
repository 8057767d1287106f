"""Latents of linear patches, coded by what is expected of them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from linear_network import context_model, lowest_orders
from naive_contexts import features, ideal_bits, levels_of

from xhsinr.coding import contexts, entropy
from xhsinr.coding.contexts import (
    FEATURES,
    LARGEST_LEVEL,
    LEVELS,
    LOWEST_SPREAD,
    MOST_LOW_BITS,
    ContextModel,
)
from xhsinr.coding.entropy import frequencies
from xhsinr.coding.latent_coding import fit
from xhsinr.errors import DamagedSidecarError
from xhsinr.network.base import load_network
from xhsinr.tiling import Patching

PATCH = 6
MODEL = context_model(lowest_orders(PATCH, PATCH**2))
SQUARE = (PATCH, PATCH)
LARGEST = 2**30

sizes = st.integers(1, PATCH)
magnitudes = st.one_of(
    st.integers(-2, 2), st.integers(-12, 12), st.integers(-300, 300), st.integers(-LARGEST, LARGEST)
)


def _code(integers: np.ndarray, model: ContextModel, shape: tuple[int, int]) -> bytes:
    """Code integers as they are, past the encoder's choice of them."""
    return entropy.encode(contexts._tile_runs(integers, model, shape))


def _without_high_orders(
    integers: np.ndarray, model: ContextModel, shape: tuple[int, int]
) -> np.ndarray:
    u, v = model.orders.T
    return np.where(((u < shape[1]) & (v < shape[0]))[:, None, None], integers, 0)


@st.composite
def tiles(draw: st.DrawFn, atoms: int = PATCH**2) -> tuple[np.ndarray, tuple[int, int]]:
    """Integers of a tile and the shape of its patches, which may lack the higher orders."""
    outputs, *grid = draw(st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 3)))
    shape = draw(st.tuples(sizes, sizes))
    fill = st.just(0) if draw(st.booleans()) else None
    drawn = hnp.arrays(np.int32, (outputs, atoms, *grid), elements=magnitudes, fill=fill)
    return draw(drawn), shape


@given(tiles())
def test_any_integers_come_back(tile: tuple[np.ndarray, tuple[int, int]]) -> None:
    integers, shape = tile
    integers = _without_high_orders(integers, MODEL, shape)
    payload = _code(integers, MODEL, shape)
    decoded = contexts.decode(payload, len(integers), integers.shape[2:], MODEL, shape)
    assert decoded.dtype == np.int32
    np.testing.assert_array_equal(decoded, integers)


@given(
    hnp.arrays(np.float32, (2, PATCH**2, 2, 1), elements=st.floats(-(2.0**40), 2.0**40, width=32)),
    st.tuples(sizes, sizes),
)
def test_what_encode_says_it_coded_is_what_decodes(
    latents: np.ndarray, shape: tuple[int, int]
) -> None:
    latents = _without_high_orders(latents, MODEL, shape)
    payload, integers = contexts.encode(latents, MODEL, shape)
    decoded = contexts.decode(payload, 2, (2, 1), MODEL, shape)
    np.testing.assert_array_equal(decoded, integers)
    assert np.abs(integers.astype(np.int64)).max() <= LARGEST


def test_many_outputs_come_back(rng: np.random.Generator) -> None:
    integers = rng.integers(-3, 4, (200, PATCH**2, 1, 2)).astype(np.int32)
    payload = _code(integers, MODEL, SQUARE)
    decoded = contexts.decode(payload, 200, (1, 2), MODEL, SQUARE)
    np.testing.assert_array_equal(decoded, integers)


def test_zeros_cost_two_numbers_an_output() -> None:
    payload, integers = contexts.encode(np.zeros((16, PATCH**2, 9, 9)), MODEL, SQUARE)
    assert not integers.any()
    assert len(payload) <= 16 * 13 / 8 + 8
    assert not contexts.decode(b"", 16, (9, 9), MODEL, SQUARE).any()


def _laplacian(
    rng: np.random.Generator, outputs: int, grid: tuple[int, int], scale: float
) -> np.ndarray:
    """Latents that fall off with orders and outputs, and are busy here and quiet there."""
    rings = MODEL.orders.sum(1, dtype=int)
    fall = 2.0 ** (-rings[:, None, None] / 2 - np.arange(outputs)[:, None, None, None])
    busy = np.exp2(rng.normal(0, 2, grid))
    latents: np.ndarray = rng.laplace(0, scale, (outputs, len(rings), *grid)) * fall * busy
    return latents


@pytest.fixture(scope="module")
def real(scenes: Path) -> tuple[np.ndarray, ContextModel, tuple[int, int]]:
    """Latents of a part of a real scene, in steps, with the package's network."""
    network = load_network("default")
    assert network.contexts is not None
    samples = np.load(scenes / "indian_pines_part.npy")[:60, :68].transpose(2, 0, 1)
    flat = samples.reshape(len(samples), -1).astype(np.float64)
    flat -= flat.mean(1, keepdims=True)
    vectors = np.linalg.eigh(np.cov(flat))[1][:, ::-1]
    scores = (vectors[:, :8].T @ flat).reshape(8, 60, 68)
    patching = Patching(60, 68, network.patch, even=True)
    return fit(network, scores / 60, patching), network.contexts, patching.shape


@pytest.mark.parametrize("scale", [0.3, 3, 300, 1e6])
def test_bytes_are_close_to_the_ideal_code_length(scale: float, rng: np.random.Generator) -> None:
    latents = _laplacian(rng, 4, (5, 6), scale)
    payload, integers = contexts.encode(latents, MODEL, SQUARE)
    ideal = ideal_bits(integers, contexts._spreads(integers), MODEL, SQUARE) / 8
    assert contexts.code_length(integers, MODEL, SQUARE) / 8 == pytest.approx(ideal)
    assert ideal - 8 <= len(payload) <= 1.03 * ideal + 8


def test_bytes_of_a_real_scene_are_close_to_the_ideal_code_length(
    real: tuple[np.ndarray, ContextModel, tuple[int, int]],
) -> None:
    latents, model, shape = real
    payload, integers = contexts.encode(latents, model, shape)
    ideal = ideal_bits(integers, contexts._spreads(integers), model, shape) / 8
    assert np.mean(integers == 0) < 0.99
    assert ideal - 8 <= len(payload) <= 1.03 * ideal + 8


@given(tiles())
@settings(max_examples=30)
def test_the_decoder_s_contexts_are_those_of_the_format(
    tile: tuple[np.ndarray, tuple[int, int]],
) -> None:
    integers = _without_high_orders(tile[0], MODEL, tile[1])
    spreads = contexts._spreads(integers)
    expected = levels_of(integers, spreads, MODEL)
    field, all_rings = contexts._field_of(integers, MODEL, tile[1])
    for ring in all_rings:
        earlier = contexts._earlier(integers, ring)
        levels = contexts._levels(field, ring, slice(None), earlier, spreads, MODEL)
        # Indices come from 64-bit integers: no floating point has a say in which table serves.
        assert earlier.dtype == np.int64
        for feature in field.features(slice(None), ring, earlier):
            assert feature.dtype == np.int64
        for (o, n, i, j), level in np.ndenumerate(levels):
            assert level == expected[(o, *MODEL.orders[ring.atoms[n]].tolist(), i, j)]


def test_a_model_learns_from_the_features_that_it_codes_with(rng: np.random.Generator) -> None:
    integers = contexts.encode(_laplacian(rng, 3, (3, 2), 4), MODEL, SQUARE)[1]
    values, around, octaves, ring = contexts.examples(integers, MODEL, SQUARE)
    assert len(values) == len(octaves) == len(ring) == integers.size
    expected = features(integers, MODEL)
    assert around.shape == (integers.size, FEATURES)
    assert sorted(map(tuple, around.tolist())) == sorted(map(tuple, expected.values()))
    assert values.sum() == np.abs(integers).sum()
    np.testing.assert_array_equal(np.bincount(ring), 18 * np.bincount(MODEL.orders.sum(1)))
    spreads = contexts._spreads(integers)
    assert set(octaves.tolist()) == set(((spreads + LOWEST_SPREAD) / 2).tolist())


def test_a_histogram_counts_each_symbol_in_its_table(rng: np.random.Generator) -> None:
    integers = contexts.encode(_laplacian(rng, 3, (3, 2), 4), MODEL, SQUARE)[1]
    spreads = contexts._spreads(integers)
    expected = np.zeros(MODEL.tables.shape, int)
    escape = expected.shape[1] - 1
    places = {tuple(pair): a for a, pair in enumerate(MODEL.orders.tolist())}
    for (o, u, v, i, j), level in levels_of(integers, spreads, MODEL).items():
        symbol = int(integers[o, places[u, v], i, j]) + MODEL.centre
        if level >= len(expected):
            continue
        expected[level, symbol if 0 <= symbol < escape else escape] += 1
    np.testing.assert_array_equal(contexts.histogram(integers, MODEL, SQUARE), expected)


# What it pays.


def _cost(latents: np.ndarray, integers: np.ndarray, payload: bytes) -> float:
    """Squared error plus code length, at the slope of a uniform quantiser at high rate."""
    return float(((latents - integers) ** 2).sum() + 2 * np.log(2) / 12 * 8 * len(payload))


def test_weighing_error_against_rate_pays(rng: np.random.Generator) -> None:
    latents = _laplacian(rng, 6, (8, 8), 1)
    payload, integers = contexts.encode(latents, MODEL, SQUARE)
    rounded = np.rint(latents).astype(np.int32)
    plain = _code(rounded, MODEL, SQUARE)
    assert len(payload) < 0.95 * len(plain)
    assert _cost(latents, integers, payload) < 0.99 * _cost(latents, rounded, plain)
    assert (np.abs(integers) <= np.abs(rounded)).all()


def test_contexts_beat_priors_alone_on_a_field_of_busy_and_quiet_places(
    rng: np.random.Generator,
) -> None:
    integers = contexts.encode(_laplacian(rng, 6, (8, 8), 6), MODEL, SQUARE)[1]
    alone = replace(MODEL, weights=np.zeros_like(MODEL.weights))
    assert len(_code(integers, MODEL, SQUARE)) < 0.95 * len(_code(integers, alone, SQUARE))


def test_learned_contexts_beat_priors_alone_on_a_real_scene(
    real: tuple[np.ndarray, ContextModel, tuple[int, int]],
) -> None:
    latents, model, shape = real
    payload, integers = contexts.encode(latents, model, shape)
    alone = replace(model, weights=np.zeros_like(model.weights))
    assert len(payload) < 0.9 * len(_code(integers, alone, shape))


def test_the_same_latents_give_the_same_bytes(rng: np.random.Generator) -> None:
    latents = _laplacian(rng, 3, (4, 5), 30)
    payload, integers = contexts.encode(latents, MODEL, SQUARE)
    again, _ = contexts.encode(np.asfortranarray(latents.copy()), MODEL, SQUARE)
    assert payload == again
    assert _code(integers, MODEL, SQUARE) == _code(integers.copy(order="F"), MODEL, SQUARE)


DECODE = """
import hashlib, sys
import numpy as np
from linear_network import context_model, lowest_orders
from xhsinr.coding import contexts

model = context_model(lowest_orders(6, 36))
integers = contexts.decode(bytes.fromhex(sys.stdin.read()), 4, (5, 6), model, (6, 6))
print(hashlib.sha256(integers.tobytes()).hexdigest())
"""


@pytest.mark.parametrize(
    "settings",
    [
        {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"},
        {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3"},
    ],
    ids=["one thread", "two threads", "without AVX2"],
)
def test_integers_are_the_same_in_every_process(
    settings: dict[str, str], rng: np.random.Generator
) -> None:
    payload, integers = contexts.encode(_laplacian(rng, 4, (5, 6), 1e4), MODEL, SQUARE)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DECODE],
        input=payload.hex(),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env=os.environ | settings | {"PYTHONPATH": str(Path(__file__).parent)},
    )
    assert done.stdout.strip() == hashlib.sha256(integers.tobytes()).hexdigest()


# What should not be.


@given(st.data())
def test_damaged_bytes_raise_or_decode_to_the_right_shape(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 20)))
    scale = data.draw(st.sampled_from([10, 100, 1e6]))
    payload = bytearray(contexts.encode(_laplacian(rng, 3, (2, 3), scale), MODEL, SQUARE)[0])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(payload) - 1))
        payload[at] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(payload)))
    try:
        decoded = contexts.decode(bytes(payload[:cut]), 3, (2, 3), MODEL, SQUARE)
    except DamagedSidecarError:
        return
    assert (decoded.shape, decoded.dtype) == ((3, PATCH**2, 2, 3), np.int32)
    assert np.abs(decoded.astype(np.int64)).max() <= LARGEST


def test_bytes_that_are_no_code_name_the_layer() -> None:
    for payload in (b"abc", bytes(8)):
        with pytest.raises(DamagedSidecarError, match="latents do not decode"):
            contexts.decode(payload, 3, (1, 1), MODEL, SQUARE)


def test_a_latent_beyond_all_limits_is_refused() -> None:
    counts, spreads = np.ones(1, int), np.full(1, 63)
    flat = replace(MODEL, priors=np.full_like(MODEL.priors, -(2**15)))
    escape = np.full(1, flat.tables.shape[1] - 1)
    for value in (2**31 - 1, 2**31, LARGEST + 1):
        runs = [
            (counts, entropy.uniform(7)),
            (spreads, entropy.uniform(6)),
            (escape, flat.tables[0]),
            *entropy.raw_runs(np.full(1, value), 32),
        ]
        with pytest.raises(DamagedSidecarError, match="too large"):
            contexts.decode(entropy.encode(runs), 1, (1, 1), flat, SQUARE)


def test_noise_takes_little_memory_and_time(rng: np.random.Generator) -> None:
    start, before = time.monotonic(), tracemalloc.start()
    assert before is None
    for size in (0, 4, 400, 40_000):
        for _ in range(5):
            try:
                contexts.decode(rng.bytes(size), 8, (12, 12), MODEL, SQUARE)
            except DamagedSidecarError:
                continue
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20  # the latents are a megabyte
    assert time.monotonic() - start < 20


@st.composite
def hostile_models(draw: st.DrawFn) -> ContextModel:
    """The worst that `parse_network` lets through."""
    orders = lowest_orders(PATCH, PATCH**2)
    rings = draw(st.integers(1, 13))
    symbols = draw(st.integers(3, 9))
    tables = draw(st.integers(LEVELS, LEVELS + 3))
    levels = draw(st.integers(tables, tables + LEVELS * MOST_LOW_BITS))
    numbers = st.one_of(st.integers(1, 200), st.integers(1, LARGEST_LEVEL))
    increasing = draw(st.lists(numbers, min_size=levels, max_size=levels, unique=True))
    counts = draw(hnp.arrays(np.float64, (tables, symbols), elements=st.floats(0, 1e6)))
    return ContextModel(
        orders=orders,
        priors=draw(
            hnp.arrays(np.int16, rings, elements=st.sampled_from([-(2**15), -9, 0, 9, 2**15 - 1]))
        ),
        weights=draw(
            hnp.arrays(np.uint16, (rings, FEATURES), elements=st.sampled_from([0, 1, 999, 65535]))
        ),
        levels=np.sort(np.array(increasing, np.int64)),
        tables=frequencies(counts),
    )


@given(hostile_models(), tiles())
@settings(max_examples=60, deadline=None)
def test_any_model_gives_any_integers_back(
    model: ContextModel, tile: tuple[np.ndarray, tuple[int, int]]
) -> None:
    integers = _without_high_orders(tile[0], model, tile[1])
    payload = _code(integers, model, tile[1])
    decoded = contexts.decode(payload, len(integers), integers.shape[2:], model, tile[1])
    np.testing.assert_array_equal(decoded, integers)
    coded, chosen = contexts.encode(integers.astype(np.float32), model, tile[1])
    decoded = contexts.decode(coded, len(integers), integers.shape[2:], model, tile[1])
    np.testing.assert_array_equal(decoded, chosen)


@given(hostile_models(), st.binary(max_size=200))
@settings(max_examples=60, deadline=None)
def test_any_model_survives_any_bytes(model: ContextModel, payload: bytes) -> None:
    try:
        decoded = contexts.decode(payload, 3, (2, 1), model, SQUARE)
    except DamagedSidecarError:
        return
    assert decoded.shape == (3, PATCH**2, 2, 1)


def test_orders_far_apart_take_no_more_memory_than_their_patch(rng: np.random.Generator) -> None:
    corners = np.array([(126, 0), (0, 126), (63, 63), (0, 0)], np.uint8)
    model = replace(context_model(lowest_orders(16, 256)), orders=corners)
    integers = rng.integers(-9, 10, (8, 4, 2, 2)).astype(np.int32)
    payload = _code(integers, model, (127, 127))
    tracemalloc.start()
    decoded = contexts.decode(payload, 8, (2, 2), model, (127, 127))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(decoded, integers)
    assert peak < 8 * (8 + 2) * 130 * 130 * 4
    small = contexts.decode(b"", 8, (1, 1), model, (1, 1))
    assert small.shape == (8, 4, 1, 1)
