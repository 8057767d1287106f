"""Base networks with contexts, which are of version 2: read whole, or refused."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forged_network import changed
from linear_network import context_model, linear_network, lowest_orders
from small_network import small_network

from xhsinr.coding.contexts import FEATURES, LARGEST_LEVEL, ContextModel
from xhsinr.errors import NetworkError
from xhsinr.network.base import load_network, save_network


def _version(path: Path) -> int:
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    version: int = json.loads(header["__metadata__"]["hsinr"])["version"]
    return version


@pytest.fixture
def linear(tmp_path: Path) -> Path:
    path = tmp_path / "linear.safetensors"
    save_network(linear_network(), path)
    return path


def test_a_network_with_contexts_comes_back(linear: Path) -> None:
    given, found = linear_network(), load_network(linear)
    assert (found.siren, found.patch, found.head) == (given.siren, given.patch, "scene")
    assert found.recipe == given.recipe
    assert given.contexts is not None
    assert found.contexts is not None
    for field in fields(ContextModel):
        one, other = getattr(found.contexts, field.name), getattr(given.contexts, field.name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    for name, value in given.parameters.items():
        np.testing.assert_array_equal(found.parameters[name], np.float32(np.float16(value)))
    again = linear.with_stem("again")
    assert save_network(found, again).digest == found.digest
    assert again.read_bytes() == linear.read_bytes()


def test_only_networks_with_contexts_are_of_version_2(linear: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_network(small_network(), other)
    assert (_version(linear), _version(other)) == (2, 1)


def test_output_modulation_and_contexts_go_together() -> None:
    with pytest.raises(NetworkError, match="output modulation and contexts go together"):
        replace(linear_network(), contexts=None)
    with pytest.raises(NetworkError, match="output modulation and contexts go together"):
        replace(small_network(), contexts=linear_network().contexts)


MODEL = context_model(lowest_orders(6, 36))
RINGS, LEVELS = len(MODEL.priors), len(MODEL.levels)
EQUAL, WRAPPED = MODEL.levels.copy(), MODEL.levels.copy()
EQUAL[5] = EQUAL[4]
# Differences of 64-bit numbers wrap: each of these is larger than the one before by that account.
WRAPPED[1:] = np.iinfo(np.int64).min + np.arange(LEVELS - 1)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("orders", None, "missing: 'contexts.orders'"),
        ("tables", None, "missing: 'contexts.tables'"),
        ("orders", MODEL.orders.astype(np.int8), "contexts.orders is int8, it should be uint8"),
        ("priors", MODEL.priors.astype(np.int32), "contexts.priors is int32"),
        ("weights", MODEL.weights.astype(np.float32), "contexts.weights is float32"),
        ("levels", MODEL.levels.astype(np.uint64), "contexts.levels is uint64"),
        ("tables", MODEL.tables.astype(np.int32), "contexts.tables is int32"),
        ("orders", MODEL.orders[:-1], r"contexts.orders should be .* \(36, 2\)"),
        ("orders", MODEL.orders.T.copy(), r"contexts.orders should be .* \(36, 2\)"),
        ("orders", np.array(3, np.uint8), r"contexts.orders should be .* \(36, 2\)"),
        ("priors", MODEL.priors[:0], r"contexts.priors should be .* \(1,\)"),
        ("priors", MODEL.priors[:-1], rf"contexts.weights should be .* \({RINGS - 1}, 6\)"),
        ("priors", MODEL.priors[None], r"contexts.priors should be"),
        ("priors", np.array(3, np.int16), r"contexts.priors should be .* \(1,\)"),
        ("weights", MODEL.weights[:, 1:].copy(), rf"contexts.weights .* \({RINGS}, {FEATURES}\)"),
        ("levels", MODEL.levels[:9], r"contexts.levels should be .* \(28,\)"),
        ("levels", np.array(3, np.int64), r"contexts.levels should be .* \(28,\)"),
        ("levels", MODEL.levels[:0], r"contexts.levels should be .* \(28,\)"),
        ("levels", MODEL.levels[::-1].copy(), "its levels should increase from above 0"),
        ("levels", MODEL.levels - MODEL.levels[0], "its levels should increase from above 0"),
        ("levels", EQUAL, "its levels should increase from above 0"),
        ("levels", WRAPPED, "its levels should increase from above 0"),
        ("levels", MODEL.levels + LARGEST_LEVEL, f"levels should increase .* {LARGEST_LEVEL}"),
        ("levels", np.arange(1, 150), "149 levels, 148 is the most with its tables"),
        ("tables", MODEL.tables - np.uint16(1), "frequency table"),
        ("tables", MODEL.tables[:3], "contexts need 4 tables"),
        ("tables", MODEL.tables[:0], "contexts need 4 tables"),
        ("tables", np.full((28, 2), 1 << 14, np.uint16), "frequency tables are not positive"),
        ("tables", np.full((28, 1 << 13), 4, np.uint16), "8192 symbols, 4096 is the most"),
        ("tables", np.full(18, 1 << 12, np.uint16), "frequency tables are not positive"),
        ("orders", MODEL.orders + np.uint8(1), "orders of its atoms are too high for 6 pixels"),
        ("orders", MODEL.orders // 2, "two of its atoms have the same orders"),
    ],
)
def test_an_array_of_contexts_that_fits_no_network_is_refused(
    linear: Path, name: str, value: np.ndarray | None, words: str
) -> None:
    with pytest.raises(NetworkError, match=words) as caught:
        load_network(changed(linear, {f"contexts.{name}": value}))
    assert str(linear) in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"patch": None}, "patches of as many pixels a side"),
        ({"patch": 3}, "patches of as many pixels a side"),
        ({"patch": 5}, "orders of its atoms are too high for 5 pixels"),
        ({"head": "shared"}, "the scene head"),
        ({"outputs": 7}, "latents = 108: with output modulation each of the 7 outputs"),
        ({"outputs": 4}, r"atoms.weight should be .* \(27, .*\)"),
        ({"modulation": "shift"}, "missing: 'output.weight'"),
        ({"patch": 4096}, "have more than 2097152 values in a patch of 4096 pixels"),
    ],
)
def test_a_setting_that_contradicts_contexts_is_refused(
    linear: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(NetworkError, match=words):
        load_network(changed(linear, **changes))


def test_rings_of_too_many_outputs_are_refused(tmp_path: Path) -> None:
    orders = np.array([[126, 0]], np.uint8)
    network = linear_network(patch=127, atoms=1, outputs=130)
    contexts = replace(context_model(orders), orders=orders)
    path = tmp_path / "deep.safetensors"
    with pytest.raises(NetworkError, match="130 outputs with 127 rings each are too many"):
        save_network(replace(network, contexts=contexts), path)
    with pytest.raises(NetworkError, match="orders of its atoms are too high"):
        save_network(replace(network, contexts=replace(contexts, orders=orders + 1)), path)
    assert not path.exists()


def test_the_package_s_network_is_linear_in_its_latents() -> None:
    network = load_network("default")
    assert network.contexts is not None
    assert network.siren.modulation == "output"
