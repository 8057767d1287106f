"""Reading a file does nothing but read it: no code, no process, no network, no other file.

Python reports what a program does to audit hooks; a hook cannot be removed, so each check runs in
a process of its own. The files are forged: every text in them is a path, a URL or code.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anatomy import Anatomy

import xhsinr
from xhsinr.demo import synthetic_scene
from xhsinr.errors import DamagedSidecarError, SidecarError
from xhsinr.gdal.pixel_function import read_band
from xhsinr.scene import Scene
from xhsinr.sidecar.description import read_description, write_description

BAIT = (
    "/etc/passwd",
    "../../etc/passwd",
    "http://127.0.0.1:9/x",
    "file:///etc/passwd",
    "/vsicurl/http://127.0.0.1:9/x",
    "__import__('os').system('touch caught')",
    "$(touch caught)",
    "PROJCS[/etc/passwd]",
    "urn:ogc:def:crs:EPSG::32633",
    "+proj=utm +zone=33 +nadgrids=@/etc/passwd",
)

# Reads files with all that the package offers; prints what it did besides.
READ = """
import json, os, sys, warnings
from pathlib import Path
import xarray as xr
import xhsinr
from xhsinr.errors import HsinrError
from xhsinr.reading.reader import Reader

warnings.simplefilter("ignore")
seen = []
watched = ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.spawn",
           "os.system", "pickle.", "urllib.", "ctypes.dlopen", "os.remove", "os.rename",
           "os.mkdir", "shutil.")

def hook(event, arguments):
    if not armed:
        return
    if event == "open":
        seen.append(["open", str(arguments[0])])
    elif event.startswith(watched):
        seen.append([event, str(arguments)[:200]])
    elif event == "exec" and not arguments[0].co_filename.startswith(("/", "<frozen")):
        seen.append([event, arguments[0].co_filename])

def read(path):
    try:
        handle = xhsinr.open(path)
        repr(handle), handle._repr_html_()
        xhsinr.verify(path, progress=False)
        dataset = xr.open_dataset(path, engine="hsinr")
        repr(dataset), dataset.load()
        Reader(handle.sidecar, 2).tile(0)
        xhsinr.gdal.vrt._with_functions(handle.sidecar, {})
    except HsinrError:
        return False
    return True

import xhsinr.gdal.vrt
armed = False
sys.addaudithook(hook)
whole, *paths = sys.argv[1:]
assert read(Path(whole))
armed = True
read_ = sum(read(Path(path)) for path in paths)
armed = False
print(json.dumps([read_, seen]))
"""


def with_bait(value: Any, bait: str) -> Any:
    """Every text in a value replaced."""
    if isinstance(value, dict):
        return {key: with_bait(part, bait) for key, part in value.items()}
    if isinstance(value, list):
        return [with_bait(part, bait) for part in value]
    return bait if isinstance(value, str) else value


def test_reading_forged_files_does_nothing_else(tmp_path: Path) -> None:
    scene = synthetic_scene(20, 20, 6, nodata_corner=True)
    scene.attrs |= {"history": "a", "source": "b", "notes": {"list": ["c"]}}
    whole = tmp_path / "whole.hsinr"
    xhsinr.compress(scene, whole, psnr=40, progress=False)
    anatomy = Anatomy.of(whole)
    description, arrays = read_description(anatomy.description, 1 << 20, 1 << 20)
    paths = []
    for number, bait in enumerate(BAIT):
        for part in description:
            path = tmp_path / f"{number}-{part}.hsinr"
            forged = description | {part: with_bait(description[part], bait)}
            path.write_bytes(
                anatomy.with_(description=write_description(forged, arrays)).to_bytes()
            )
            paths.append(str(path))
    before = set(tmp_path.iterdir())
    done = subprocess.run(
        [sys.executable, "-c", READ, str(whole), *paths],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PROJ_NETWORK": "OFF"},
    )
    assert done.returncode == 0, done.stderr
    read, seen = json.loads(done.stdout)
    assert read > len(BAIT), "hardly any of the files could be read: the test is void"
    networks = str(Path(xhsinr.__file__).parent / "networks")
    other = [
        line
        for line in seen
        if line[0] != "open" or not line[1].startswith((str(tmp_path), networks))
    ]
    assert other == []
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("kind", ["text", "folder", "device", "pipe", "url", "relative", "missing"])
def test_the_pixel_function_opens_nothing_but_sidecars(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.hsinr"
    if kind == "text":
        path.write_text("root:x:0:0\n" * 100)
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    text = {
        "device": "/dev/zero",
        "url": "memory://a.hsinr",
        "relative": "a.hsinr",
        "missing": str(path),
    }.get(kind, str(path))
    out = np.zeros((2, 2), np.int16)
    with pytest.raises(SidecarError):
        read_band([], out, 0, 0, 2, 2, 2, 2, 0, None, path=os.fsencode(text), band=b"0")
    assert not out.any()


def test_the_pixel_function_follows_no_url_in_a_path(tmp_path: Path) -> None:
    folder = tmp_path / "simplecache::memory:" / "a"
    folder.mkdir(parents=True)
    whole = folder / "b.hsinr"
    xhsinr.compress(synthetic_scene(4, 4, 3), whole, progress=False)
    text = str(whole).replace("memory:/", "memory://")
    out = np.zeros((4, 4), np.int16)
    read_band([], out, 0, 0, 4, 4, 4, 4, 0, None, path=os.fsencode(text), band=b"0")
    assert out.any()


def test_the_parts_put_together_again_are_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.hsinr"
    xhsinr.compress(synthetic_scene(9, 9, 4), path, progress=False)
    assert Anatomy.of(path).to_bytes() == path.read_bytes()


@pytest.mark.parametrize("part", [{"name": "\ud800"}, {"attrs": {"a": ["\udfff"]}}])
def test_half_of_a_surrogate_pair_is_damage(part: dict[str, Any]) -> None:
    with pytest.raises(DamagedSidecarError, match="surrogates not allowed"):
        read_description(write_description(part, {}), 1 << 20, 1 << 20)
    assert read_description(write_description({"name": "\U0001f6f0"}, {}), 1 << 20, 0)[0]


def test_arrays_have_a_limit_together() -> None:
    content = write_description({}, {str(n): np.zeros(1 << 18) for n in range(9)})
    assert len(content) < 1 << 16
    assert len(read_description(content, 1 << 20, 9 << 21)[1]) == 9
    with pytest.raises(DamagedSidecarError, match="array of shape"):
        read_description(content, 1 << 20, 8 << 21)


def test_very_many_coordinates_are_refused_before_any_is_made() -> None:
    entry = {"dims": ["x"], "steps": [0, 1]}
    content = write_description({"coords": {str(n): entry for n in range(5000)}}, {})
    with pytest.raises(DamagedSidecarError, match="5,000 coordinates"):
        Scene.from_description(*read_description(content, 1 << 20, 0), np.zeros((2, 3, 4)))
