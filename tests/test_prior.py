from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forged_network import changed

from xhsinr.errors import NetworkError
from xhsinr.network.file import read_network, save_network
from xhsinr.network.prior import HIDDEN, INPUTS, Prior, package_prior


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "prior.safetensors"
    save_network(package_prior(), path)
    return path


def test_the_prior_of_the_package_is_small_and_comes_back(path: Path) -> None:
    prior = package_prior()
    assert prior.file_bytes < 100 << 10
    again = read_network(path)
    assert again.digest == prior.digest
    assert isinstance(again, Prior)
    for name, value in prior.tensors().items():
        np.testing.assert_array_equal(again.tensors()[name], value)
    assert pickle.loads(pickle.dumps(again)) is again


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weights_1", np.zeros((INPUTS, HIDDEN), np.int16)),
        ("weights_2", np.full((HIDDEN, HIDDEN), 32767, np.int16)),
        ("weights_3", np.zeros((HIDDEN, HIDDEN), np.float32)),
        ("bias_1", np.full(HIDDEN, 1 << 25, np.int32)),
        ("bias_2", None),
        ("means", np.zeros((4, 32), np.uint16)),
    ],
)
def test_weights_with_inexact_sums_or_other_shapes_are_refused(
    path: Path, name: str, value: Any
) -> None:
    with pytest.raises(NetworkError, match=r"prior\.safetensors: "):
        read_network(changed(path, {name: value}))
