"""Any header and any arrays come back from a file as they went in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from xhsinr.sidecar.file import NAMES, Sidecar
from xhsinr.sidecar.writer import SidecarWriter

texts = st.text(max_size=8)
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
dtypes = st.sampled_from(sorted(NAMES, key=str))
small_arrays = dtypes.flatmap(lambda dtype: arrays(dtype, array_shapes(min_dims=0, min_side=0)))
layers = st.dictionaries(
    st.sampled_from(("mask", "latents", "detail", "bound")), st.binary(max_size=9)
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(texts.map("own ".__add__), values, max_size=4),
    st.dictionaries(texts.map("scene.".__add__), small_arrays, max_size=3),
    st.lists(layers, min_size=4, max_size=4),
)
def test_any_header_arrays_and_tiles_come_back(
    tmp_path: Path,
    header: dict[str, Any],
    given_arrays: dict[str, np.ndarray],
    tiles: list[dict[str, bytes]],
) -> None:
    known = {"shape": [2, 6, 7], "dtype": "u2", "tile": 4}
    with SidecarWriter(tmp_path / "a.hsinr", len(tiles)) as writer:
        for number, payload in enumerate(tiles):
            writer.add(number, payload)
        writer.finish(header | known, given_arrays)
    found = Sidecar.open(tmp_path / "a.hsinr")
    assert {key: found.header[key] for key in header} == header
    for name, expected in given_arrays.items():
        assert found.arrays[name].shape == expected.shape
        assert found.arrays[name].tobytes() == expected.tobytes()
    for number, payload in enumerate(tiles):
        got = {name: content for name, content in found.payload(number).items() if content}
        assert got == {name: content for name, content in payload.items() if content}


def test_numbers_that_json_lacks_are_not_written(tmp_path: Path) -> None:
    with SidecarWriter(tmp_path / "a.hsinr", 1) as writer:
        writer.add(0, {})
        with pytest.raises(ValueError, match="not JSON compliant"):
            writer.finish({"shape": [1, 1, 1], "x": float("nan")}, {})
    assert not list(tmp_path.iterdir())
