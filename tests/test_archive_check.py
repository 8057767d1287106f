"""An archive is checked against its catalog, and scenes come back from it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from archives import IDS
from click.testing import CliRunner

import xhsinr
from xhsinr.archiving import restore, verify_archive
from xhsinr.cli import main
from xhsinr.demo import synthetic_scene
from xhsinr.errors import SourceError, VerificationError
from xhsinr.scene import read


@pytest.mark.skipif(os.name != "posix", reason="devices and pipes")
def test_assets_that_are_no_files_of_the_archive_are_said_not_read(
    sources: Path, out: Path
) -> None:
    xhsinr.archive(sources, out, progress=False)
    (out / "one" / "one.preview.tif").unlink()
    os.mkfifo(out / "one" / "one.preview.tif")
    item = json.loads((out / "two" / "two.json").read_text())
    item["assets"]["data"]["href"] = "/dev/zero"
    (out / "two" / "two.json").write_text(json.dumps(item))
    errors = verify_archive(out, progress=False).errors
    assert "one.preview.tif: is no regular file" in errors[0]
    assert "'/dev/zero' is not beside it" in errors[1]
    with pytest.raises(SourceError, match="not beside it"):
        restore(out / "two", out / "two.tif")


def test_verify_names_the_damaged_file(sources: Path, out: Path) -> None:
    xhsinr.archive(sources, out, progress=False)
    sidecar = out / "two" / "two.hsinr"
    content = bytearray(sidecar.read_bytes())
    content[-3] ^= 1
    sidecar.write_bytes(content)
    found = verify_archive(out, progress=False)
    assert (found.scenes, found.checked) == (3, IDS)
    assert len(found.errors) == 1
    assert str(sidecar) in found.errors[0]
    done = CliRunner().invoke(main, ["archive", "--verify", str(out)])
    assert done.exit_code == 1
    with pytest.raises(VerificationError, match="checksum"):
        restore(out / "two", out / "two.tif")
    (out / "one" / "one.hsinr").unlink()
    assert len(verify_archive(out, progress=False).errors) == 2


def test_a_sample_is_verified(sources: Path, out: Path) -> None:
    xhsinr.archive(sources, out, progress=False)
    assert len(verify_archive(out, sample=0.5, progress=False).checked) == 2
    done = CliRunner().invoke(main, ["archive", "--verify", str(out), "--sample", "5%"])
    assert done.output.strip().endswith("1 of 3 scenes checked, all valid")
    for wrong in ("0%", "120%", "some"):
        done = CliRunner().invoke(main, ["archive", "--verify", str(out), "--sample", wrong])
        assert done.exit_code != 0
    with pytest.raises(SourceError, match="no archive"):
        verify_archive(sources)


def test_a_scene_comes_back_in_the_format_of_the_suffix(
    sources: Path, out: Path, tmp_path: Path
) -> None:
    import rioxarray

    xhsinr.archive(sources, out, lossless=True, progress=False)
    for number, scene in enumerate(("one", "one/one.json", "one/one.hsinr")):
        path = tmp_path / f"{number}.tif"
        done = CliRunner().invoke(main, ["archive", "--restore", str(out / scene), str(path)])
        assert done.exit_code == 0, done.output
        back = rioxarray.open_rasterio(path).transpose("y", "x", "band").values
        assert np.array_equal(back, np.load(sources / "one.npy"))
    done = CliRunner().invoke(
        main, ["archive", "--restore", str(out / "one"), str(tmp_path / "a.nc")]
    )
    assert done.exit_code == 0, done.output
    assert np.array_equal(read(tmp_path / "a.nc").data.compute(), back.transpose(2, 0, 1))
    done = CliRunner().invoke(
        main, ["archive", "--restore", str(out / "one"), str(tmp_path / "a.x")]
    )
    assert "no format that is written" in done.output
    assert not (tmp_path / "a.x").exists()


def test_an_archive_that_lost_files_is_not_valid(tmp_path: Path) -> None:
    scene = synthetic_scene(12, 14, 5).transpose("y", "x", "band").values
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", scene)
    out = tmp_path / "out"
    xhsinr.archive(str(tmp_path / "*.npy"), out, progress=False)
    assert verify_archive(out, progress=False).valid
    (out / "a" / "a.preview.tif").unlink()
    (out / "b" / "b.metadata.json").write_text("junk")
    errors = verify_archive(out, progress=False).errors
    assert len(errors) == 2
    assert any("a.preview.tif" in error for error in errors)
    assert any("b.metadata.json: 4 bytes" in error for error in errors)
    shutil.rmtree(out / "b")
    assert any("b.json: the catalog lists it" in e for e in verify_archive(out).errors)
