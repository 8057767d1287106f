"""The page on the format is enough: a reader written from it alone reads what the package wrote."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import second_reader
from make_golden import CASES, GOLDEN, samples_of
from second_reader.networks import PACKAGE_PRIORS

from xhsinr.sidecar.description import DICTIONARY
from xhsinr.sidecar.file import Sidecar

PAGE = (Path(__file__).parents[1] / "docs" / "format.md").read_text("utf-8")


def test_the_page_prints_the_dictionary() -> None:
    assert second_reader.dictionary() == DICTIONARY


def test_the_page_names_the_packages_priors() -> None:
    for path in PACKAGE_PRIORS.values():
        assert hashlib.sha256(path.read_bytes()).hexdigest() in PAGE


@pytest.mark.parametrize("name", CASES)
def test_the_second_reader_reads_what_stands_before_the_tiles(name: str) -> None:
    path = GOLDEN / f"{name}.hsinr"
    sidecar, found = Sidecar.open(path), second_reader.read(path)
    header = sidecar.header
    assert found["shape"] == header.shape
    assert found["dtype"] == header.dtype
    assert found["tile"] == header.tile
    assert found["target"] == header.target
    assert (found["rmse"], found["max_error"]) == (header.rmse, header.max_error)
    assert ".".join(map(str, found["software"])) == header.software
    description, arrays = sidecar.description
    assert found["description"] == description
    assert found["arrays"].keys() == arrays.keys()
    for key, values in arrays.items():
        assert found["arrays"][key].tobytes() == values.tobytes()
    assert found["codec"] == sidecar.codec_content
    np.testing.assert_allclose(np.array(found["errors"]).T, sidecar.index.errors)
    for number, parts in enumerate(found["tiles"]):
        assert list(parts.values()) == list(sidecar.payload(number).values())


def _marked(name: str) -> Any:
    slow = name == "bounded_segments"  # 670,000 samples in plain Python
    return pytest.param(name, marks=pytest.mark.slow if slow else ())


@pytest.mark.parametrize("name", [_marked(case) for case in CASES])
def test_the_second_reader_decodes_the_same_samples(name: str) -> None:
    path = GOLDEN / f"{name}.hsinr"
    expected, found = samples_of(path), second_reader.decode(path, GOLDEN)
    assert found.dtype == expected.dtype
    if Sidecar.open(path).codec_bytes.kind.exact:
        assert found.tobytes() == expected.tobytes()
    else:
        np.testing.assert_allclose(found.astype(float), expected.astype(float), atol=1)
