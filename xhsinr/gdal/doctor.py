"""Whether GDAL reads sidecars here: rasterio's own GDAL, and the one of the system's programs."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
import xarray as xr
from rasterio.errors import RasterioIOError

import xhsinr
from xhsinr.errors import DamagedSidecarError
from xhsinr.gdal import vrt
from xhsinr.scene.images import placeless

__all__ = ["Check", "before_a_command", "examine", "needed_environment"]

_SHAPE = (4, 16, 24)
_TIMEOUT = 60
_WARNING = (
    f" {vrt.TRUSTED_MODULES_OPTION} is set for all that runs here: any VRT may run code then; "
    "unset it, and name it before single commands"
)


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes
    ----------
    what : str
        What was looked at.
    passed : bool
    text : str
        What was found, and what to do where it failed.
    required : bool
        Whether ``xhsinr`` itself depends on it.
    """

    what: str
    passed: bool
    text: str
    required: bool = False


def examine() -> Iterator[Check]:
    """Compress a tiny scene and read it back through every GDAL that is here."""
    versions = f"Python {sys.version.split()[0]} at {sys.executable}"
    yield Check("xhsinr", True, f"{xhsinr.__version__}, {versions}")
    with tempfile.TemporaryDirectory(prefix="xhsinr-doctor-") as folder:
        path = Path(folder, "self-test.hsinr")
        samples = np.arange(np.prod(_SHAPE), dtype=np.uint16).reshape(_SHAPE)
        scene = xr.DataArray(samples, dims=("band", "y", "x"))
        xhsinr.compress(scene, path, lossless=True, progress=False)
        yield _rasterio_reads(path, samples)
        yield _rasterio_reports_damage(path)
        yield _programs_read(path, samples)


def needed_environment() -> dict[str, str]:
    """What GDAL's programs need in their environment to find and trust the pixel function.

    For commands on VRTs of one's own, never to be exported: a VRT that names a trusted module may
    run Python code of its own.
    """
    places = [Path(str(package.__file__)).parents[1] for package in (xhsinr, np)]
    return {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(map(str, places))),
        vrt.TRUSTED_MODULES_OPTION: vrt.TRUSTED_MODULE,
    }


def before_a_command() -> str:
    """`needed_environment` as the shell takes it before the name of a program."""
    return " ".join(f"{name}={shlex.quote(value)}" for name, value in needed_environment().items())


def _rasterio_reads(path: Path, samples: npt.NDArray[np.uint16]) -> Check:
    what = f"rasterio {rasterio.__version__} with GDAL {rasterio.__gdal_version__}"
    try:
        same = np.array_equal(_read(path), samples)
    except RasterioIOError as error:
        return Check(what, False, _reason(error), required=True)
    text = "reads sidecars" if same else "reads other values than were compressed: please report it"
    return Check(what, same, text, required=True)


def _rasterio_reports_damage(path: Path) -> Check:
    what = "a damaged file"
    damaged = path.with_name("damaged.hsinr")
    content = bytearray(path.read_bytes())
    content[-1] ^= 0xFF
    damaged.write_bytes(content)
    try:
        _read(damaged)
    except RasterioIOError as error:
        if DamagedSidecarError.__name__ in _reason(error):
            return Check(what, True, "is reported, not read", required=True)
        return Check(what, False, f"fails with another error: {_reason(error)}", required=True)
    return Check(what, False, "is read without an error: please report it", required=True)


def _read(path: Path) -> npt.NDArray[np.uint16]:
    with placeless(), vrt.open_rasterio_dataset(path) as dataset:
        samples: npt.NDArray[np.uint16] = dataset.read()
    return samples


def _programs_read(path: Path, samples: npt.NDArray[np.uint16]) -> Check:
    """Whether the system's GDAL reads it as it is set up, or would with what it needs."""
    program = shutil.which("gdal_translate")
    if program is None:
        return Check("GDAL's programs", False, "no gdal_translate on the PATH: nothing to check")
    found = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    what = f"{program} ({found.stdout.split(',')[0].strip()})"
    file = vrt.write_vrt(path, path.with_suffix(".vrt"), overwrite=True)
    environment = dict(os.environ)
    if not _translate(program, file, samples, environment):
        return Check(what, True, f"reads sidecars.{_WARNING}")
    error = _translate(program, file, samples, environment | needed_environment())
    line = before_a_command()
    if not error:
        return Check(what, True, f"reads sidecars where this stands before a command:\n{line}")
    return Check(
        what,
        False,
        f"does not read sidecars, even with this before a command:\n{line}\nIt says: {error}\n"
        f"It needs a Python {sys.version_info[0]}.{sys.version_info[1]} with NumPy: name its "
        "library in PYTHONSO, or install xhsinr into the Python that this GDAL loads",
    )


def _translate(
    program: str, file: Path, samples: npt.NDArray[np.uint16], environment: dict[str, str]
) -> str:
    """Convert the VRT to plain numbers; returns what went wrong, nothing if nothing did."""
    out = file.with_suffix(".bsq")
    command = [program, "-q", "-of", "ENVI", str(file), str(out)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        return f"nothing within {_TIMEOUT} s"
    if done.returncode:
        return done.stderr.strip() or f"exit code {done.returncode}"
    same = np.array_equal(np.fromfile(out, samples.dtype).reshape(samples.shape), samples)
    return "" if same else "it reads other values than were compressed"


def _reason(error: RasterioIOError) -> str:
    return str(error.__cause__ or error).strip()
