from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xhsinr.entropy.runs import TABLE_TOTAL, Decoder, Table, encode, frequencies, uniform

Runs = list[tuple[np.ndarray, Table]]


@st.composite
def runs(draw: st.DrawFn) -> Runs:
    out = []
    for _ in range(draw(st.integers(0, 5))):
        n = draw(st.integers(2, 300))
        counts = draw(hnp.arrays(np.float64, n, elements=st.floats(0, 1e6)))
        symbols = draw(hnp.arrays(np.int32, st.integers(0, 60), elements=st.integers(0, n - 1)))
        out.append((symbols, frequencies(counts)))
    return out


def _independent_decode(payload: bytes, runs: Runs) -> list[list[int]]:
    """Range asymmetric numeral systems as the format says, in Python's integers alone."""
    words = [int.from_bytes(payload[i : i + 4], "little") for i in range(0, len(payload), 4)]
    state = 0
    for _ in range(min(2, len(words))):
        state = state << 32 | words.pop()
    out = []
    for symbols, table in runs:
        n, total, cumulative = len(table), 0, []
        for i in range(n + 1):
            cumulative.append(i + total * (2**24 - n) // 2**15)
            total += int(table[i]) if i < n else 0
        assert cumulative[-1] == 2**24
        decoded = []
        for _ in range(symbols.size):
            quantile = state % 2**24
            symbol = max(i for i in range(n) if cumulative[i] <= quantile)
            width = cumulative[symbol + 1] - cumulative[symbol]
            state = (state >> 24) * width + quantile - cumulative[symbol]
            if state < 2**32 and words:
                state = state << 32 | words.pop()
            decoded.append(symbol)
        out.append(decoded)
    return out


@given(runs())
def test_runs_decode_to_what_was_encoded_in_the_same_order(runs: Runs) -> None:
    payload = encode(runs)
    assert len(payload) % 4 == 0
    decoder = Decoder(payload)
    for symbols, table in runs:
        np.testing.assert_array_equal(decoder.read(symbols.size, table), symbols)


@given(runs())
def test_a_decoder_that_shares_no_code_reads_the_same_symbols(runs: Runs) -> None:
    assert _independent_decode(encode(runs), runs) == [list(symbols) for symbols, _ in runs]


def test_the_independent_decoder_reads_a_long_skewed_run(rng: np.random.Generator) -> None:
    table = frequencies(0.8 ** np.arange(40))
    symbols = rng.choice(40, size=2000, p=table / TABLE_TOTAL)
    runs: Runs = [(symbols, table), (rng.integers(0, 256, 50), uniform(8))]
    assert _independent_decode(encode(runs), runs) == [list(symbols) for symbols, _ in runs]


def test_the_coded_bytes_are_fixed() -> None:
    table = frequencies([1, 2, 3, 4])
    payload = encode([(np.arange(16) % 4, table), (np.arange(4), uniform(2))])
    assert payload.hex() == "00561e9b6844019101000000"


@given(
    hnp.arrays(np.float64, hnp.array_shapes(max_dims=2, max_side=400), elements=st.floats(0, 1e9))
)
def test_tables_are_positive_and_sum_to_the_total(counts: np.ndarray) -> None:
    table = frequencies(counts)
    assert table.dtype == np.uint16
    assert table.shape == counts.shape
    assert (table > 0).all()
    assert (table.sum(-1, dtype=int) == TABLE_TOTAL).all()


def test_tables_follow_the_counts_and_zeros_give_a_uniform_one() -> None:
    np.testing.assert_allclose(frequencies([1, 3, 4]), [4096, 12288, 16384], atol=2)
    assert (frequencies(np.zeros((3, 4))) == TABLE_TOTAL // 4).all()
    assert frequencies([0, 1, 0]).tolist() == [1, TABLE_TOTAL - 2, 1]


@pytest.mark.parametrize("bits", [1, 4, 8, 12])
def test_raw_bits_cost_their_number(bits: int, rng: np.random.Generator) -> None:
    table = uniform(bits)
    assert len(table) == 2**bits
    assert table.sum(dtype=int) == TABLE_TOTAL
    payload = encode([(rng.integers(0, 2**bits, 8000), table)])
    assert len(payload) == pytest.approx(1000 * bits, rel=1e-3, abs=8)


@pytest.mark.parametrize("ratio", [0.2, 0.9, 0.99])
def test_the_code_length_is_within_a_thousandth_of_the_entropy(
    ratio: float, rng: np.random.Generator
) -> None:
    table = frequencies(ratio ** np.arange(256))
    symbols = rng.choice(256, size=50_000, p=table / TABLE_TOTAL)
    ideal = -np.log2(table / TABLE_TOTAL)[symbols].sum() / 8
    assert ideal - 8 <= len(encode([(symbols, table)])) <= 1.001 * ideal + 8


def test_empty_runs_cost_nothing() -> None:
    table = uniform(3)
    assert encode([]) == encode([(np.zeros(0, int), table)]) == b""
    decoder = Decoder(b"")
    assert decoder.read(0, table).shape == (0,)


@pytest.mark.parametrize("payload", [b"abc", b"\x00\x00\x00\x00", b"\x01\x00\x00\x00" + bytes(4)])
def test_bytes_that_no_encoder_wrote_are_a_value_error(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"buffer size|Invalid compressed data"):
        Decoder(payload).read(1, uniform(4))


@given(st.binary(max_size=64), st.integers(0, 200))
def test_any_bytes_decode_to_symbols_of_the_table_or_raise(payload: bytes, count: int) -> None:
    table = frequencies([5, 1, 1])
    try:
        symbols = Decoder(payload).read(count, table)
    except ValueError:
        return
    assert symbols.shape == (count,)
    assert ((symbols >= 0) & (symbols < 3)).all()
