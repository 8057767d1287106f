"""rANS: what goes in comes out, in the space that its probability says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from xhsinr.entropy import rans

TOTAL = 1 << rans.BITS
SHARES = st.lists(st.tuples(st.integers(0, TOTAL - 1), st.integers(1, TOTAL)), max_size=300)


@njit
def _decode(state, words, count, firsts, frequencies):
    points = np.zeros(len(firsts), np.int64)
    for i in range(len(firsts)):
        points[i] = rans.peek(state)
        state, count = rans.get(state, words, count, firsts[i], frequencies[i])
    return state, count, points


def _arrays(shares):
    firsts = np.array([first for first, _ in shares], np.int64)
    sizes = np.array([size for _, size in shares], np.int64)
    return firsts, np.minimum(sizes, TOTAL - firsts)


@given(SHARES)
def test_symbols_come_back(shares):
    firsts, frequencies = _arrays(shares)
    content = rans.finish(*rans.take(firsts, frequencies))
    state, words = rans.start(content)
    state, count, points = _decode(state, words, len(words), firsts, frequencies)
    assert ((points >= firsts) & (points < firsts + frequencies)).all()
    assert (state, count) == (rans.EMPTY, 0)


def test_bytes_are_what_the_probabilities_say():
    frequencies = np.random.default_rng(0).integers(1, TOTAL, 20_000)
    content = rans.finish(*rans.take(np.zeros_like(frequencies), frequencies))
    bits = (rans.BITS - np.log2(frequencies)).sum()
    assert bits / 8 <= len(content) < 1.001 * bits / 8 + 12


def test_a_short_string_reads_as_zeros_past_its_end():
    firsts, frequencies = _arrays([(5, 100)] * 100)
    state, words = rans.start(rans.finish(*rans.take(firsts, frequencies))[-8:])
    state, count, _ = _decode(state, words, len(words), firsts, frequencies)
    assert count == 0
    assert state != rans.EMPTY


@pytest.mark.parametrize("content", [b"", b"1234567", b"123456789"])
def test_refuses_what_no_encoder_writes(content):
    with pytest.raises(ValueError, match="range coder"):
        rans.start(content)
