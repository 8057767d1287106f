"""Golden files: every version of the package reads them as the first one did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_golden import CASES, GOLDEN, digest, make, samples_of

from xhsinr.coding.contract import Coding
from xhsinr.sidecar.file import Sidecar
from xhsinr.sidecar.header import FORMAT_VERSION

DIGESTS: dict[str, str] = json.loads((GOLDEN / "digests.json").read_text())["samples"]
MOST_BYTES = 200_000


def coding_of(path: Path) -> type[Coding]:
    return Sidecar.open(path).codec_bytes.kind


def test_there_is_a_file_of_each_case_and_coding() -> None:
    assert json.loads((GOLDEN / "digests.json").read_text())["format"] == FORMAT_VERSION
    files = {path.stem: path for path in GOLDEN.glob("*.hsinr")}
    assert files.keys() == DIGESTS.keys() == CASES.keys()
    found = {coding_of(path).name for path in files.values()}
    assert found == {"planes", "bounded", "floats", "latents"}
    assert sum(path.stat().st_size for path in GOLDEN.iterdir()) < MOST_BYTES


@pytest.mark.parametrize("name", DIGESTS)
def test_a_golden_file_decodes_to_the_same_samples(name: str) -> None:
    path = GOLDEN / f"{name}.hsinr"
    samples = samples_of(path)
    if coding_of(path).exact:
        assert digest(samples) == DIGESTS[name]
    else:
        # A network in float32: the last digits are the machine's.
        expected = np.load(GOLDEN / f"{name}.npy")
        np.testing.assert_allclose(samples.astype(float), expected, atol=1)


@pytest.mark.parametrize("name", CASES)
def test_the_same_scene_written_today_is_as_good(name: str, tmp_path: Path) -> None:
    golden = Sidecar.open(GOLDEN / f"{name}.hsinr")
    if golden.codec_bytes.kind.name == "latents":
        pytest.importorskip("torch")
    path = make(name, tmp_path / "today.hsinr")
    today = Sidecar.open(path)
    samples = samples_of(path)
    assert today.codec_bytes.kind is golden.codec_bytes.kind
    assert today.header.target == golden.header.target
    assert today.header.rmse <= 1.1 * golden.header.rmse
    assert today.file_bytes <= 1.1 * golden.file_bytes
    original = _in_order(name)
    if "lossless" in golden.header.target:
        assert samples.tobytes() == original.tobytes()
    if "max_error" in golden.header.target:
        left = np.abs(samples.astype(float) - original.astype(float))
        assert np.nanmax(left) <= golden.header.target["max_error"]


def _in_order(name: str) -> Any:
    """The scene of a case, bands first."""
    scene = CASES[name][0]()
    bands = scene if scene.dims[0] == "band" else scene.transpose("band", "y", "x")
    return np.ascontiguousarray(bands.values)
