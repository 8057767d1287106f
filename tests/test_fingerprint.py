"""A source that changed has another fingerprint, whichever of its files changed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import product_files
import pytest

from xhsinr.archiving.fingerprint import fingerprint
from xhsinr.errors import SourceError
from xhsinr.stac import Source


@pytest.mark.parametrize("as_folder", [False, True])
def test_a_product_changes_with_its_metadata(
    tmp_path: Path, rng: np.random.Generator, as_folder: bool
) -> None:
    image, _ = product_files.enmap(tmp_path, rng)
    source = Source("scene", str(tmp_path if as_folder else image))
    before = fingerprint(source)
    (metadata,) = tmp_path.glob("*-METADATA*")
    assert {image.name, metadata.name} <= set(before["files"])
    times = metadata.stat()
    os.utime(metadata, ns=(times.st_atime_ns, times.st_mtime_ns + 1_000_000_000))
    assert fingerprint(source) != before


def test_a_source_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file any more"):
        fingerprint(Source("scene", str(tmp_path / "gone.tif")))
