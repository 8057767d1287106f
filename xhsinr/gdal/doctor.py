"""Whether GDAL reads sidecars here: rasterio's own GDAL, and the one of the system's programs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
import xarray as xr
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

import xhsinr
from xhsinr.errors import DamagedSidecarError
from xhsinr.gdal import vrt

__all__ = ["Check", "examine", "needed_environment"]

_SHAPE = (4, 16, 24)
_TIMEOUT = 60
_TRUSTED_MODULES = "TRUSTED_MODULES"


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
    environment = dict(os.environ)  # before the pixel function is trusted here
    versions = f"Python {sys.version.split()[0]} at {sys.executable}"
    yield Check("xhsinr", True, f"{xhsinr.__version__}, {versions}")
    with tempfile.TemporaryDirectory(prefix="xhsinr-doctor-") as folder:
        path = Path(folder, "self-test.hsinr")
        samples = np.arange(np.prod(_SHAPE), dtype=np.uint16).reshape(_SHAPE)
        scene = xr.DataArray(samples, dims=("band", "y", "x"))
        xhsinr.compress(scene, path, lossless=True, progress=False)
        yield _rasterio_reads(path, samples)
        yield _rasterio_reports_damage(path)
        yield _programs_read(path, samples, environment)


def needed_environment() -> dict[str, str]:
    """What GDAL's programs need in their environment to find and trust the pixel function."""
    places = [Path(str(package.__file__)).parents[1] for package in (xhsinr, np)]
    return {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(map(str, places))),
        vrt.TRUSTED_MODULES_OPTION: vrt.TRUSTED_MODULE,
    }


def _rasterio_reads(path: Path, samples: npt.NDArray[np.uint16]) -> Check:
    what = f"rasterio {rasterio.__version__} with GDAL {rasterio.__gdal_version__}"
    try:
        same = np.array_equal(_read(path), samples)
    except RasterioIOError as error:
        return Check(what, False, f"{_reason(error)}{_hint()}", required=True)
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
    # From a file: GDAL's messages repeat the name of a dataset, which else is the whole VRT.
    file = vrt.write_vrt(path, path.with_suffix(".vrt"), overwrite=True)
    vrt.trust_pixel_function()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(file) as dataset:
            samples: npt.NDArray[np.uint16] = dataset.read()
    return samples


def _programs_read(
    path: Path, samples: npt.NDArray[np.uint16], environment: dict[str, str]
) -> Check:
    """Whether the system's GDAL reads it as it is set up, or would with what it needs."""
    program = shutil.which("gdal_translate")
    if program is None:
        return Check("GDAL's programs", False, "no gdal_translate on the PATH: nothing to check")
    found = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    what = f"{program} ({found.stdout.split(',')[0].strip()})"
    file = vrt.write_vrt(path, path.with_suffix(".vrt"), overwrite=True)
    if not _translate(program, file, samples, environment):
        return Check(what, True, "reads sidecars")
    needed = needed_environment()
    error = _translate(program, file, samples, environment | needed)
    settings = "\n".join(f"export {name}={value}" for name, value in needed.items())
    if not error:
        return Check(what, False, f"reads sidecars once this is set:\n{settings}")
    return Check(
        what,
        False,
        f"does not read sidecars, even with this set:\n{settings}\nIt says: {error}{_hint()}\n"
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


def _hint() -> str:
    allowed = os.environ.get("GDAL_VRT_ENABLE_PYTHON", _TRUSTED_MODULES)
    if allowed == _TRUSTED_MODULES:
        return ""
    return f"\nGDAL_VRT_ENABLE_PYTHON is {allowed}: unset it, or set it to {_TRUSTED_MODULES}"
