"""The page on the format is enough: a reader written from it alone reads what the package wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import second_reader

import xhsinr
from xhsinr.demo import synthetic_scene
from xhsinr.sidecar.description import DICTIONARY
from xhsinr.sidecar.file import Sidecar

TARGETS: tuple[dict[str, Any], ...] = (
    {},
    {"psnr": 41.5},
    {"bpppb": 1 / 3},
    {"sam_deg": 2},
    {"quality": "analysis"},
)


def test_the_page_prints_the_dictionary() -> None:
    assert second_reader.dictionary() == DICTIONARY


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_the_second_reader_reads_the_frame(tmp_path: Path, target: dict[str, Any]) -> None:
    scene = synthetic_scene(40, 50, 12, nodata_corner=True)
    path = tmp_path / "a.hsinr"
    xhsinr.compress(scene, path, tile=24, progress=False, **target)
    sidecar, found = Sidecar.open(path), second_reader.read(path)
    header = sidecar.header
    assert found["shape"] == header.shape
    assert found["dtype"] == header.dtype
    assert found["tile"] == header.tile == 24
    assert found["target"] == header.target
    assert (found["rmse"], found["max_error"]) == (header.rmse, header.max_error)
    assert ".".join(map(str, found["software"])) == header.software
    description, arrays = sidecar.description
    assert found["description"] == description
    assert found["arrays"].keys() == arrays.keys()
    for name, values in arrays.items():
        assert found["arrays"][name].tobytes() == values.tobytes()
    assert found["codec"] == sidecar.codec_content
    np.testing.assert_allclose(np.array(found["errors"]).T, sidecar.index.errors)
    for number, parts in enumerate(found["tiles"]):
        assert list(parts.values()) == list(sidecar.payload(number).values())
