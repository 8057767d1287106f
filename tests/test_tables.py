"""The residual's frequency tables: fixed, and near the distributions that they stand for."""

from __future__ import annotations

import zlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xhsinr.coding import tables
from xhsinr.coding.tables import Tables
from xhsinr.entropy import runs as entropy


def test_tables_are_well_formed_and_never_change() -> None:
    digest = 0
    for shape in range(tables.SHAPES):
        for scale in range(1, tables.SCALES):
            table = tables._table(shape, scale)
            assert table.min() >= 1
            assert int(table.sum()) == entropy.TABLE_TOTAL
            assert np.array_equal(table, table[::-1])
            digest = zlib.crc32(table.astype("<u2").tobytes(), digest)
    assert digest == 2520162126


def test_tables_follow_the_distributions_that_they_are_named_after() -> None:
    deviation = 2 ** ((40 - 25) / 6)
    edges = (np.arange(tables._half_width(40) + 1) - 0.5)[1:] / deviation
    laplacian = np.exp(-np.sqrt(2) * edges) / 2
    table = tables._table(2, 40)[tables._half_width(40) + 1 :] / entropy.TABLE_TOTAL
    expected = laplacian - np.append(laplacian[1:], 0)
    assert np.allclose(table, expected, atol=2e-3 * expected.max() + 1e-4)


@given(
    st.lists(
        st.lists(st.integers(-(2**36), 2**36) | st.integers(-3, 3), min_size=1, max_size=30),
        min_size=1,
        max_size=4,
    )
)
def test_any_values_come_back_by_the_tables_chosen_for_them(classes: list[list[int]]) -> None:
    values = np.array([value for part in classes for value in part], np.int64)
    cuts = np.cumsum([0, *map(len, classes)]).tolist()
    chosen = Tables.best(values, cuts)
    decoder = entropy.Decoder(entropy.encode(chosen.runs(values, cuts)))
    assert np.array_equal(chosen.read(decoder, cuts), values)
