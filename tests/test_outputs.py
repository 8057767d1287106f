"""Outputs: complete or not there, and never in place of what should stay."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from xhsinr.errors import OutputExistsError, SidecarError
from xhsinr.outputs import check_output, replacing, scratch, sweep


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that is there already."""
    path = tmp_path / "a.hsinr"
    path.write_text("before")
    return path


def test_a_file_takes_its_name_when_it_is_complete(path: Path) -> None:
    with replacing(path) as part:
        part.write_text("after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_named_with_the_output(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xhsinr.outputs.os.access", lambda *_: False)  # root may write anywhere
    with pytest.raises(SidecarError, match=r"a\.hsinr cannot be written: the folder .* read-only"):
        check_output(path, overwrite=True)


def test_nothing_changes_after_an_error(path: Path) -> None:
    def interrupted() -> None:
        with replacing(path) as part:
            part.write_text("half of it")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "before"
    assert list(path.parent.iterdir()) == [path]


def test_nothing_changes_where_the_disk_is_full(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("xhsinr.outputs.os.fsync", full)
    with pytest.raises(OSError, match="no space left"), replacing(path) as part:
        part.write_text("all of it")
    assert path.read_text() == "before"
    assert list(path.parent.iterdir()) == [path]


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with replacing(tmp_path / "a") as part:
            part.write_text("")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644


def test_two_writers_do_not_meet(path: Path) -> None:
    with replacing(path) as one, replacing(path) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"


def test_an_output_that_exists_is_kept_unless_told_otherwise(path: Path) -> None:
    with pytest.raises(OutputExistsError, match="exists: pass overwrite"):
        check_output(path, overwrite=False)
    check_output(path, overwrite=True)
    check_output(path.with_name("new.hsinr"), overwrite=False)


def test_an_output_is_never_its_own_source(path: Path) -> None:
    with pytest.raises(SidecarError, match="is the source itself"):
        check_output(path, overwrite=True, source=path)


def test_an_output_that_cannot_be_written_is_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(SidecarError, match="is no folder"):
        check_output(tmp_path / "none" / "a.hsinr", overwrite=False)
    with pytest.raises(SidecarError, match="is a folder"):
        check_output(tmp_path, overwrite=True)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SidecarError, match="no regular file"):
        check_output(tmp_path / "pipe", overwrite=True)


def test_a_folder_that_is_only_called_like_a_scratch_folder_stays(path: Path) -> None:
    with scratch(path.parent, "a") as made:
        copied = made.name
    mine = [path.parent / name for name in (".a.xhsinr-0123abcd", copied.replace(".a.", ".b."))]
    for folder in [*mine, path.parent / copied]:
        folder.mkdir()
        (folder / "kept").write_text("mine")
    sweep(path.parent)
    assert all((folder / "kept").read_text() == "mine" for folder in mine)
    assert not (path.parent / copied).exists()
