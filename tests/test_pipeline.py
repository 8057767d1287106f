"""Scene in, sidecar out: what was promised holds on what is read back, whatever the scene."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import dask.array
import numpy as np
import pytest
import rioxarray  # noqa: F401
import torch
import xarray as xr
from affine import Affine
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

import xhsinr
from xhsinr.compression import passes
from xhsinr.demo import synthetic_scene
from xhsinr.errors import (
    HsinrError,
    LimitError,
    NetworkError,
    NetworkNotFoundError,
    OutputExistsError,
    SceneError,
    SidecarError,
    TargetError,
)
from xhsinr.running import tasks
from xhsinr.sidecar import file as sidecar

DTYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8")
LAYOUTS = (("band", "y", "x"), ("y", "x", "band"), ("y", "band", "x"))
TARGETS = ("lossless", "max_error", "psnr", "bpppb", "preview", "analysis", "standard")


@dataclass(frozen=True)
class Case:
    """A random scene (rows, cols, bands), which of it is nodata and NaN, and how to code it."""

    samples: np.ndarray
    nodata: float | None
    empty: np.ndarray
    nan: np.ndarray
    layout: tuple[str, ...]
    tile: int
    target: dict[str, Any]

    @property
    def valid(self) -> np.ndarray:
        return ~(self.empty | self.nan)

    def array(self) -> xr.DataArray:
        rows, cols, bands = self.samples.shape
        attrs = {"sensor": "none"} if self.nodata is None else {"_FillValue": self.nodata}
        array = xr.DataArray(
            self.samples,
            dims=("y", "x", "band"),
            coords={
                "wavelength": ("band", np.linspace(400.1, 2499.7, bands), {"units": "nm"}),
                "x": 360_000 + 30 * (np.arange(cols) + 0.5),
                "y": 5_800_000 - 30 * (np.arange(rows) + 0.5),
            },
            name="radiance",
            attrs=attrs,
        ).transpose(*self.layout)
        array = array.rio.write_crs("EPSG:32633")
        return array.rio.write_transform(Affine(30, 0, 360_000, 0, -30, 5_800_000))


def values(rng: np.random.Generator, kind: str, shape: tuple[int, int, int], dtype: np.dtype):
    """Samples of a scene of some kind."""
    if kind == "extremes":
        # Floats near the limits of their type have a test of their own.
        info = np.iinfo(dtype) if dtype.kind != "f" else None
        ends = [-1e12, 1e12, 0, 1e-6] if info is None else [info.min, info.max, info.max // 2, 1]
        return rng.choice(np.array(ends, dtype), size=shape)
    rows, cols, bands = shape
    if kind == "smooth":
        abundances = rng.normal(size=(rows, cols, 3)).cumsum(0).cumsum(1)
        found = abundances @ rng.normal(size=(3, bands)) * 100 + 1000
    elif kind == "noise":
        found = rng.normal(60, 50, shape)
    elif kind == "sparse":
        found = 100.0 * (rng.random(shape) < 0.02)
    else:
        found = np.full(shape, 7.0)
        if kind == "constant bands":
            found[..., ::2] = rng.normal(50, 9, found[..., ::2].shape)
    if dtype.kind == "f":
        return (found * rng.choice([1e-6, 1, 1e6])).astype(dtype)
    return np.clip(np.rint(found), np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    bands = draw(st.one_of(st.integers(2, 12), st.sampled_from([60, 400])))
    most = 24 if bands <= 60 else 6
    shape = (draw(st.integers(1, most)), draw(st.integers(1, most)), bands)
    kinds = ("smooth", "noise", "sparse", "constant", "constant bands", "extremes")
    samples = values(rng, draw(st.sampled_from(kinds)), shape, dtype)
    empty, nan = np.zeros(shape, bool), np.zeros(shape, bool)
    marks = draw(st.sets(st.sampled_from(["pixels", "band", "samples", "mixed band"])))
    nodata = None
    if marks:
        least = -9999.0 if dtype.kind == "f" else int(np.iinfo(dtype).min)
        # Outside the range of the valid samples, or among them.
        nodata = draw(st.sampled_from([least, type(least)(60)]))
    if "pixels" in marks:
        empty |= rng.random((*shape[:2], 1)) < 0.3
    if "band" in marks:
        empty[..., rng.integers(bands)] = True
    if "samples" in marks:
        empty |= rng.random(shape) < 0.1
        nan |= rng.random(shape) < 0.1
    if "mixed band" in marks:
        nan[..., 0] = rng.random(shape[:2]) < 0.5
        empty[..., 0] = True
    empty[shape[0] // 2, shape[1] // 2, -1] = nan[shape[0] // 2, shape[1] // 2, -1] = False
    nan &= dtype.kind == "f"
    samples = samples.copy()
    if nodata is not None:
        # What is not marked must not look as if it were.
        samples[samples == nodata] += 1
        samples[empty] = nodata
    empty &= ~nan
    if dtype.kind == "f":
        samples[nan] = np.nan
    name = draw(st.sampled_from(TARGETS))
    unit = 1.0 if dtype.kind != "f" else float(np.ptp(samples[~(empty | nan)])) or 1.0
    target = {
        "lossless": {"lossless": True},
        "max_error": {"max_error": draw(st.sampled_from([1, 3.7, 1000, 0.01 * unit, 2 * unit]))},
        "psnr": {"psnr": draw(st.sampled_from([5, 30, 45, 70]))},
        "bpppb": {"bpppb": 8 * (6000 + 16 * samples.size + 40 * bands**2) / samples.size},
        "standard": {},
    }.get(name, {"quality": name})
    return Case(
        samples,
        nodata,
        empty,
        nan,
        draw(st.sampled_from(LAYOUTS)),
        draw(st.sampled_from([5, 16, 256])),
        target,
    )


def check(case: Case, path: Path) -> None:
    """What was promised, computed without the package."""
    source = case.array()
    note(f"{case.samples.dtype} {case.samples.shape} tile {case.tile} {case.target}")
    handle = xhsinr.compress(
        source, path, tile=case.tile, overwrite=True, progress=False, **case.target
    )
    opened = handle.open().load()
    assert opened.dtype == source.dtype
    xr.testing.assert_identical(opened, source.copy(data=opened.values))
    assert opened.rio.crs == source.rio.crs
    assert opened.rio.transform() == source.rio.transform()
    back = opened.transpose("y", "x", "band").values
    if back.dtype.kind == "f":
        assert np.array_equal(np.isnan(back), case.nan)
    if case.nodata is not None:
        assert np.array_equal(back == case.nodata, case.empty)
    one, other = case.samples[case.valid], back[case.valid]
    errors = np.abs(one.astype(np.longdouble) - other.astype(np.longdouble))
    if "lossless" in case.target or case.target.get("quality") == "archive":
        assert one.tobytes() == other.tobytes()
    if "max_error" in case.target:
        assert errors.max() <= case.target["max_error"]
    if case.target.get("quality") == "analysis":
        assert errors.max() <= handle.info["noise"]
    if "bpppb" in case.target:
        assert 8 * path.stat().st_size <= case.target["bpppb"] * case.samples.size
    if "psnr" in case.target or not case.target:
        spread = float(one.astype(np.longdouble).max() - one.astype(np.longdouble).min())
        mse = float(np.square(errors).mean())
        assert mse <= spread**2 / 10 ** (case.target.get("psnr", 45) / 10) * (1 + 1e-9)


@pytest.mark.filterwarnings("ignore:.* in all bands")
@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(case=cases())
def test_what_was_promised_holds_for_any_scene(case: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(case, Path(folder) / "scene.hsinr")


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=cases())
def test_what_was_promised_holds_for_very_many_scenes(case: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(case, Path(folder) / "scene.hsinr")


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("target", [{"lossless": True}, {"max_error": 1}, {"psnr": 45}])
@pytest.mark.parametrize("gaps", [False, True])
def test_floats_near_the_limits_of_their_type_keep_their_promise(
    tmp_path: Path, rng: np.random.Generator, dtype: str, target: dict, gaps: bool
) -> None:
    info = np.finfo(dtype)
    ends = np.array([info.min, info.max, 0, info.tiny, info.smallest_subnormal, -0.0, 1], dtype)
    samples = rng.choice(ends, size=(7, 9, 5))
    if gaps:
        samples[2:4, 3, 1:] = np.nan
    path = tmp_path / "scene.hsinr"
    back = xhsinr.compress(samples, path, progress=False, **target).open().values
    assert np.array_equal(np.isnan(back), np.isnan(samples))
    samples, back = samples[~np.isnan(samples)], back[~np.isnan(samples)]
    if target.get("lossless"):
        assert back.tobytes() == samples.tobytes()
    errors = np.abs(back.astype(np.longdouble) - samples)
    assert "max_error" not in target or errors.max() <= 1
    if "psnr" in target:
        spread = np.longdouble(samples.max()) - samples.min()
        assert np.square(errors / spread).mean() <= 10**-4.5


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1, 2), (1, 7, 3), (9, 1, 2)])
def test_the_smallest_scenes_are_lossless_where_asked(
    tmp_path: Path, rng: np.random.Generator, dtype: str, shape: tuple[int, ...]
) -> None:
    samples = rng.integers(0, 100, shape).astype(dtype)
    handle = xhsinr.compress(samples, tmp_path / "a.hsinr", lossless=True, progress=False)
    assert np.array_equal(handle.open().values, samples)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file that a failure must leave as it is."""
    (tmp_path / "kept.hsinr").write_bytes(b"precious")
    return tmp_path


def assert_untouched(folder: Path) -> None:
    assert [path.name for path in folder.iterdir()] == ["kept.hsinr"]
    assert (folder / "kept.hsinr").read_bytes() == b"precious"


def cube(*dims: str, **sizes: int) -> xr.DataArray:
    shape = [sizes.get(dim, 4) for dim in dims]
    return xr.DataArray(np.arange(math.prod(shape), dtype="i2").reshape(shape), dims=dims)


INFINITE = np.ones((4, 5, 3), "f4")
INFINITE[2, 3, 1] = -np.inf
BAD_SCENES = {
    "no band dimension": (cube("time", "y", "x"), "band"),
    "two candidates": (cube("band", "channel", "x"), "could each be|none of the dimensions"),
    "two band dimensions": (cube("band", "wavelength", "y").rename(y="x"), "dimension"),
    "two variables": (
        xr.Dataset({"a": cube("band", "y", "x"), "b": cube("band", "y", "x")}),
        "'a' and 'b' could each be the scene",
    ),
    "one band": (cube("band", "y", "x", band=1), "one band"),
    "zero size": (cube("band", "y", "x", y=0), "empty"),
    "all nodata": (cube("band", "y", "x").where(False, np.int16(-1)).assign_attrs(
        _FillValue=-1), "no sample of the scene is valid"),
    "all NaN": (np.full((3, 4, 2), np.nan), "no sample of the scene is valid"),
    "infinite": (INFINITE, "band 1 has infinite values"),
    "64-bit integers": (np.ones((3, 4, 2), "i8"), "int64"),
    "complex": (np.ones((3, 4, 2), "c8"), "complex64"),
    "two axes": (np.ones((3, 4)), "2 dimensions"),
    "no scene at all": ([[1, 2]], "list is not a scene"),
    "no file": ("nothing here.tif", "no such file"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_SCENES)
def test_what_is_no_scene_is_refused_and_nothing_is_written(name: str, folder: Path) -> None:
    source, message = BAD_SCENES[name]
    for path in (folder / "new.hsinr", folder / "kept.hsinr"):
        with pytest.raises(SceneError, match=message):
            xhsinr.compress(source, path, overwrite=True, progress=False)
        assert_untouched(folder)


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"psnr": -3}, TargetError, "psnr = -3"),
        ({"psnr": math.nan}, TargetError, "finite"),
        ({"max_error": True}, TargetError, "number"),
        ({"psnr": 40, "lossless": True}, TargetError, "together"),
        ({"quality": "best"}, TargetError, "unknown"),
        ({"bpppb": 1e-3}, TargetError, "metadata"),
        ({"tile": 0}, SceneError, "tile = 0"),
        ({"tile": 1 << 40}, SceneError, "tile"),
        ({"tile": 64.0}, SceneError, "tile = 64.0"),
        ({"tile": True}, SceneError, "tile = True"),
        ({"network": "nowhere"}, NetworkNotFoundError, "Looked for"),
        ({"quality": "preview", "device": "gpu7"}, HsinrError, "device 'gpu7'"),
        pytest.param(
            {"quality": "preview", "device": "cuda"},
            HsinrError,
            "device 'cuda'",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
    ],
)
def test_bad_settings_are_refused_before_a_sample_is_read(
    folder: Path, asked: dict, error: type[Exception], message: str
) -> None:
    def never(block: Any) -> Any:
        raise AssertionError("a sample was read")

    lazy = dask.array.ones((20, 21, 4), dtype="i2", chunks=7).map_blocks(never, dtype="i2")
    with pytest.raises(error, match=message):
        xhsinr.compress(lazy, folder / "new.hsinr", progress=False, **asked)
    assert_untouched(folder)


def test_nobody_is_told_to_install_torch_for_a_gpu_that_is_not_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("find_spec", "find_library"):
        monkeypatch.setattr(f"xhsinr.devices.{name}", lambda _: None)
    scene, path = np.ones((4, 5, 6), "i2"), folder / "new.hsinr"
    with pytest.raises(HsinrError, match="no driver of an NVIDIA GPU"):
        xhsinr.compress(scene, path, device="cuda", progress=False)
    monkeypatch.setattr("xhsinr.devices.find_library", lambda _: "libcuda.so.1")
    with pytest.raises(HsinrError, match="pip install"):
        xhsinr.compress(scene, path, device="cuda", progress=False)


def test_a_file_that_is_no_network_is_refused(folder: Path, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("networks") / "bad.safetensors"
    path.write_bytes(b"not a network")
    with pytest.raises(NetworkError, match="is not a base network"):
        xhsinr.compress(cube("band", "y", "x"), folder / "new.hsinr", network=path)
    assert_untouched(folder)


def test_outputs_that_cannot_be_written_are_refused(folder: Path) -> None:
    scene = cube("band", "y", "x")
    with pytest.raises(OutputExistsError, match="overwrite"):
        xhsinr.compress(scene, folder / "kept.hsinr")
    with pytest.raises(SidecarError, match="is a folder"):
        xhsinr.compress(scene, folder, overwrite=True)
    with pytest.raises(SidecarError, match="no folder"):
        xhsinr.compress(scene, folder / "missing" / "a.hsinr")
    assert_untouched(folder)


def test_a_rate_that_only_the_encoded_scene_exceeds_says_what_it_needs(folder: Path) -> None:
    scene = synthetic_scene(16, 16, 8)
    with pytest.raises(TargetError, match=r"allows 200 bytes, this scene needs \d+ at least"):
        xhsinr.compress(scene, folder / "new.hsinr", bpppb=8 * 200 / scene.size, progress=False)
    assert_untouched(folder)


@pytest.mark.parametrize("failure", [RuntimeError("broken"), KeyboardInterrupt()])
def test_a_failure_while_encoding_leaves_nothing_behind(
    folder: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    encode = passes.encode_tile

    def fails(tile: Any, window: Any, codec: Any, device: str) -> Any:
        if window[1].start == 8:
            raise failure
        return encode(tile, window, codec, device)

    monkeypatch.setattr(passes, "encode_tile", fails)
    with dask.config.set(scheduler="synchronous"):
        for name in ("new.hsinr", "kept.hsinr"):
            with pytest.raises(type(failure)):
                xhsinr.compress(
                    synthetic_scene(24, 24, 4),
                    folder / name,
                    tile=8,
                    overwrite=True,
                    progress=False,
                )
            assert_untouched(folder)


def test_a_failure_while_writing_leaves_nothing_behind(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sidecar.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        xhsinr.compress(synthetic_scene(8, 8, 4), folder / "kept.hsinr", overwrite=True)
    assert_untouched(folder)


@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
def test_a_kill_in_the_middle_leaves_nothing_behind(folder: Path) -> None:
    code = """
import sys, time
import xhsinr
from xhsinr.compression import passes
from xhsinr.demo import synthetic_scene
encode = passes.encode_tile
def slow(tile, window, codec, device):
    if window[1].start == window[0].start == 16:
        print("now", flush=True)
        time.sleep(60)
    return encode(tile, window, codec, device)
passes.encode_tile = slow
xhsinr.compress(synthetic_scene(24, 24, 4), sys.argv[1], tile=8, overwrite=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder / "kept.hsinr")], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"now\n"
        process.send_signal(signal.SIGKILL)
    assert_untouched(folder)


@pytest.mark.parametrize(
    "target", [{"psnr": 42}, {"max_error": 5}, {"quality": "preview"}, {"bpppb": 4}]
)
def test_the_same_input_gives_the_same_bytes_in_whatever_order_tiles_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: dict
) -> None:
    scene = synthetic_scene(40, 44, 10, nodata_corner=True)
    made = []
    for number, scheduler in enumerate(("synchronous", "threads", "threads")):
        path = tmp_path / f"{number}.hsinr"
        with dask.config.set(scheduler=scheduler, num_workers=7):
            xhsinr.compress(scene, path, tile=16, progress=False, **target)
        made.append(path.read_bytes())

    def backwards(do: Any, numbers: Any, threads: int) -> Iterator[Any]:
        done = {number: do(number) for number in reversed(numbers)}
        return (done[number] for number in numbers)

    monkeypatch.setattr(tasks, "by_threads", backwards)
    xhsinr.compress(scene, tmp_path / "4.hsinr", tile=16, progress=False, **target)
    made.append((tmp_path / "4.hsinr").read_bytes())
    assert len(set(made)) == 1


def test_a_lazy_scene_gives_the_same_bytes_and_is_read_a_few_tiles_at_a_time(
    tmp_path: Path,
) -> None:
    scene = synthetic_scene(40, 44, 10)
    xhsinr.compress(scene, tmp_path / "a.hsinr", tile=16, psnr=40, progress=False)
    lazy = scene.chunk(x=11, y=9, band=4)
    xhsinr.compress(lazy, tmp_path / "b.hsinr", tile=16, psnr=40, progress=False)
    assert (tmp_path / "a.hsinr").read_bytes() == (tmp_path / "b.hsinr").read_bytes()
    assert dask.is_dask_collection(lazy.data)


def test_the_encoded_tile_is_measured_on_what_a_reader_gets(tmp_path: Path) -> None:
    scene = synthetic_scene(20, 22, 8)
    handle = xhsinr.compress(scene, tmp_path / "a.hsinr", tile=8, psnr=38, progress=False)
    reported = handle.sidecar.index.errors
    back = handle.open().values.astype(float)
    difference = back - scene.values
    for number, (rows, cols) in enumerate(
        (slice(i, i + 8), slice(j, j + 8)) for i in range(0, 20, 8) for j in range(0, 22, 8)
    ):
        part = difference[:, rows, cols]
        measured = np.array([np.sqrt(np.square(part).mean()), np.abs(part).max()])
        # Two bytes a tile hold them, rounded up by a twelfth or less.
        assert (reported[number] >= measured * (1 - 1e-6)).all()
        assert (reported[number] <= measured * 1.091).all()


def test_a_scene_is_not_replaced_by_what_is_made_of_it(tmp_path: Path) -> None:
    source = tmp_path / "scene.npy"
    np.save(source, np.arange(60, dtype=np.uint8).reshape(4, 5, 3))
    before = source.read_bytes()
    with pytest.raises(SidecarError, match="source itself"):
        xhsinr.compress(source, source, overwrite=True)
    assert source.read_bytes() == before


def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(SidecarError, match="no regular file"):
        xhsinr.compress(np.zeros((4, 5, 3), np.uint8), pipe, overwrite=True)
    assert pipe.is_fifo()


def test_a_scene_whose_nodata_is_infinite_comes_back(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).random((4, 6, 5)).astype(np.float32)
    samples[:, 2, 1:3] = np.inf
    scene = xr.DataArray(samples, dims=("band", "y", "x"), attrs={"_FillValue": np.inf})
    handle = xhsinr.compress(scene, tmp_path / "a.hsinr", max_error=0.01, progress=False)
    back = handle.open().values
    np.testing.assert_array_equal(np.isinf(back), np.isinf(samples))
    finite = np.isfinite(samples)
    assert np.abs(back[finite] - samples[finite]).max() <= 0.01


def test_masks_of_many_bands_cost_little_time(tmp_path: Path) -> None:
    taken = {}
    for masked in (True, False, True):  # the first one may compile
        scene = synthetic_scene(100, 110, 60, nodata_corner=masked)
        start = time.process_time()
        xhsinr.compress(scene, tmp_path / "a.hsinr", overwrite=True, progress=False)
        taken[masked] = time.process_time() - start
    assert taken[True] < 3 * taken[False]


def test_a_scene_that_no_reader_would_open_is_not_written(tmp_path: Path) -> None:
    with (
        xhsinr.set_limits(bands=5),
        pytest.raises(LimitError, match=r"6 bands: the limit is 5.*set_limits\(bands=6\)"),
    ):
        xhsinr.compress(np.zeros((4, 4, 6), np.int16), tmp_path / "a.hsinr", lossless=True)
    assert not any(tmp_path.iterdir())


def test_a_sidecar_gets_no_name_of_another_format(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="call it"):
        xhsinr.compress(np.zeros((4, 4, 3), np.int16), tmp_path / "a.TIF", lossless=True)
    assert not any(tmp_path.iterdir())
