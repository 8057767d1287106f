"""One case -> one row: bytes, what they decode to, and how long it took."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import dask
import numpy as np
from threadpoolctl import threadpool_limits

from xhsinr.bench.cases import Case
from xhsinr.bench.checkpoint import Row
from xhsinr.bench.codecs import Codec, Target, load
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

T = TypeVar("T")


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
    with peak_memory() as encode_mb:
        payload, encode, runs = _timed(lambda: codec.encode(cube, case.target))
    with peak_memory() as decode_mb:
        decoded, decode, _ = _timed(lambda: codec.decode(payload))
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
        "encode_s": f"{encode:.4f}",
        "decode_s": f"{decode:.4f}",
        "encode_mb": _megabytes(encode_mb),
        "decode_mb": _megabytes(decode_mb),
        "runs": str(runs),
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


def _timed(task: Callable[[], T]) -> tuple[T, float, int]:
    """The result, the median of the seconds, and the number of runs.

    Work that was taken over from another codec counts as if it had been done again.
    """
    taken = []
    while True:
        start = time.process_time() + seconds_saved()
        result = task()
        taken.append(time.process_time() + seconds_saved() - start)
        if taken[0] > _PATIENCE or len(taken) == _RUNS:
            return result, statistics.median(taken), len(taken)


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """A list that has the bytes by which the resident set grew at most, once the block is done.

    Empty where the kernel does not count them. What a library keeps from an earlier call does
    not count again.
    """
    grown: list[int] = []
    try:
        # Lowers the peak to what is resident now (Linux, proc(5)).
        Path("/proc/self/clear_refs").write_text("5")
        before = _resident("VmRSS")
    except OSError:
        yield grown
        return
    yield grown
    grown.append(_resident("VmHWM") - before)


def _resident(name: str) -> int:
    text = Path("/proc/self/status").read_text()
    return 1024 * int(text.partition(f"{name}:")[2].split()[0])


def _megabytes(grown: list[int]) -> str:
    return f"{grown[0] / 1e6:.1f}" if grown else ""


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
