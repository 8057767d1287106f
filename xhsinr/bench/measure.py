"""One case -> one row: bytes, what they decode to, and how long it took."""

from __future__ import annotations

import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import dask
import numpy as np
from threadpoolctl import threadpool_limits

from xhsinr.bench.cases import FITTED, Case
from xhsinr.bench.checkpoint import Row
from xhsinr.bench.codecs import Codec, Cube, Target, load
from xhsinr.bench.codecs.sharing import seconds_saved
from xhsinr.bench.spectra import angles, noise_ratio
from xhsinr.metrics import Quality, bpppb

__all__ = ["COLUMNS", "IDENTITY", "describe", "measure", "one_thread"]

COLUMNS = (
    "scene",
    "codec",
    "name",
    "protocol",
    "target",
    "bytes",
    "bpppb",
    "psnr_db",
    "rmse",
    "max_error",
    "mean_sam_deg",
    "sam95_deg",
    "noise_ratio",
    "encode_s",
    "decode_s",
    "encode_mb",
    "decode_mb",
    "runs",
    "settings",
    "note",
)
IDENTITY = ("scene", "codec", "protocol", "target", "settings")

# What takes longer than this many seconds is timed once, the rest three times.
_PATIENCE, _RUNS = 2.0, 3
# Rows, columns and bands of a scene's corner that are enough for a codec to load all that it needs.
_CORNER = 32, 32, 16

T = TypeVar("T")


class Timed(NamedTuple, Generic[T]):
    """What a task gave, and what it took."""

    result: T
    seconds: float
    runs: int
    megabytes: str


def describe(case: Case) -> Row:
    """The row of a case before it is measured."""
    row = dict.fromkeys(COLUMNS, "")
    row |= {
        "scene": case.scene.name,
        "codec": case.key,
        "name": case.key,
        "protocol": case.protocol,
        "target": str(case.target),
    }
    try:
        codec = load(case.key, **case.fields)
    except Exception as error:
        return row | {"note": _reason(error)}
    return row | {"name": codec.name, "settings": codec.settings}


def measure(case: Case) -> Row:
    """Encode, decode and compare; a codec that fails gives a row that says why."""
    row = describe(case)
    if row["note"]:
        return row
    codec = load(case.key, **case.fields)
    try:
        return row | _measured(codec, case)
    except Exception as error:  # one bad codec must not cost the others' results
        return row | {"note": _reason(error)}


def _measured(codec: Codec, case: Case) -> Row:
    cube = case.scene.cube
    if case.key not in FITTED:  # a fit is kept for the codec that shares it, and of one scene only
        _warm(codec, cube, case.target)
    encoded = _timed(lambda: codec.encode(cube, case.target))
    payload = encoded.result
    decoding = _timed(lambda: codec.decode(payload))
    decoded = decoding.result
    if decoded.shape != cube.shape or decoded.dtype != cube.dtype:
        return {"note": f"decodes to {decoded.dtype} {decoded.shape}"}
    quality = Quality.of(cube.transpose(2, 0, 1), decoded.transpose(2, 0, 1))
    rate = bpppb(len(payload), cube.size)
    return {
        "bytes": str(len(payload)),
        "bpppb": f"{rate:.6f}",
        "psnr_db": f"{quality.psnr_db:.3f}",
        "rmse": f"{quality.rmse:.6g}",
        "max_error": f"{quality.max_error:.6g}",
        "mean_sam_deg": f"{quality.mean_sam_deg:.4f}",
        "sam95_deg": f"{np.percentile(angles(cube, decoded), 95):.4f}",
        "noise_ratio": f"{noise_ratio(cube, decoded):.3f}",
        "encode_s": f"{encoded.seconds:.4f}",
        "decode_s": f"{decoding.seconds:.4f}",
        "encode_mb": encoded.megabytes,
        "decode_mb": decoding.megabytes,
        "runs": str(encoded.runs),
        "note": "" if _met(case.target, rate, quality) else f"misses {case.target}",
    }


def _met(target: Target, rate: float, quality: Quality) -> bool:
    reached = {
        "bpppb": rate <= target.value,
        "psnr": quality.psnr_db >= target.value,
        "max_error": quality.max_error <= target.value,
        "lossless": quality.max_error == 0,
        "native": True,
    }
    return reached[target.kind]


def _warm(codec: Codec, cube: Cube, target: Target) -> None:
    """Let a codec import and compile what it needs, which is no part of its time or memory."""
    corner = np.ascontiguousarray(cube[tuple(slice(size) for size in _CORNER)])
    with suppress(Exception):  # a rate may be out of reach of so few samples
        codec.decode(codec.encode(corner, target))


def _timed(task: Callable[[], T]) -> Timed[T]:
    """The result of a task, the median of its seconds, and the memory of the first run."""
    with peak_memory() as grown:
        result, seconds = _seconds(task)
    taken = [seconds]
    while taken[0] <= _PATIENCE and len(taken) < _RUNS:
        taken.append(_seconds(task)[1])
    megabytes = f"{grown[0] / 1e6:.1f}" if grown else ""
    return Timed(result, statistics.median(taken), len(taken), megabytes)


def _seconds(task: Callable[[], T]) -> tuple[T, float]:
    """Work that was taken over from another codec counts as if it had been done again."""
    start = time.process_time() + seconds_saved()
    result = task()
    return result, time.process_time() + seconds_saved() - start


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """A list that has the bytes by which the resident set grew at most, once the block is done.

    Empty where the kernel or the C library does not tell. What earlier blocks freed is given
    back to the system first: an allocator that keeps it would hide what this one needs.
    """
    grown: list[int] = []
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        # Lowers the peak to what is resident now (Linux, proc(5)).
        Path("/proc/self/clear_refs").write_text("5")
        before = _resident("VmRSS")
    except (AttributeError, OSError, TypeError):
        yield grown
        return
    yield grown
    grown.append(_resident("VmHWM") - before)


def _resident(name: str) -> int:
    text = Path("/proc/self/status").read_text()
    return 1024 * int(text.partition(f"{name}:")[2].split()[0])


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or "no reason given"
    return f"{type(error).__name__}: {text}"[:300]


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS, OpenMP, torch and dask to one thread each, so that timings compare."""
    import torch  # loaded before the limit is set, so that its threads are among the limited

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1), dask.config.set(scheduler="synchronous"):
            yield
    finally:
        torch.set_num_threads(threads)
