from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from xhsinr.baselines import others


def _planes(rng: np.random.Generator) -> np.ndarray:
    surface = np.cumsum(np.cumsum(rng.normal(size=(20, 24)), axis=0), axis=1)
    spectrum = 100 + np.cumsum(rng.normal(size=7))
    planes = spectrum[:, None, None] * surface + rng.normal(scale=20, size=(7, 20, 24))
    return planes.astype(np.int16)


@pytest.mark.parametrize("codec", others.CODECS)
def test_each_codec_meets_every_bound_on_signed_data_and_pays_less_for_a_wider_one(
    rng: np.random.Generator, codec: str
) -> None:
    planes = _planes(rng)
    assert planes.min() < 0
    sizes = [others.smallest(codec, planes, bound) for bound in (0, 5, 60)]
    assert sizes == sorted(sizes, reverse=True)
    assert 0 < sizes[-1] < sizes[0] < 1.1 * planes.nbytes


def test_only_results_within_the_bound_count(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    planes = _planes(rng)

    def careless(planes: np.ndarray, bound: int) -> Iterator[tuple[int, np.ndarray]]:
        yield 10, planes + bound + 1
        yield 20, planes + bound

    monkeypatch.setitem(others.CODECS, "careless", careless)
    assert others.smallest("careless", planes, 3) == 20


def test_a_codec_that_breaks_its_bound_is_not_reported(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(others.CODECS, "broken", lambda planes, bound: [(1, planes + bound + 1)])
    with pytest.raises(RuntimeError, match="broken breaks its bound of 3"):
        others.smallest("broken", _planes(rng), 3)


def test_the_others_are_strong_on_jasper_ridge(scenes: Path) -> None:
    planes = np.load(scenes / "jasper_ridge_198_int16.npy").transpose(2, 0, 1)
    most = {"SPERR": 2.25, "SZ3": 2.79, "JPEG-LS": 2.16, "LERC": 4.92}
    for codec, bpppb in most.items():
        assert 8 * others.smallest(codec, planes, 16) / planes.size <= bpppb
