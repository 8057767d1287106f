"""Is a sidecar whole, and is it what its report says? Three levels, each with the ones before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xhsinr import scene as scenes
from xhsinr.coding.voids import bits_of
from xhsinr.errors import HsinrError, VerificationError
from xhsinr.metrics import Quality
from xhsinr.progress import bar
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.file import Sidecar
from xhsinr.storage import Place, locate
from xhsinr.target import VERIFY_LEVELS

__all__ = ["Verification", "verify"]

# Where no bound was promised, decoding may differ in the last digits from machine to machine.
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes
    ----------
    path : Path or str
        Of the file, or its URL.
    level : str
        How deep it looked.
    tiles : int
        Tiles of the file; 0 where its header could not be read.
    errors : tuple of str
        What is wrong, each naming the file, and the tile where it is one tile's.
    quality : Quality or None
        Of the decoded samples against the original, where one was given.
    """

    path: Place
    level: str
    tiles: int
    errors: tuple[str, ...]
    quality: Quality | None = None

    @property
    def valid(self) -> bool:
        return not self.errors


def verify(
    path: str | Path, *, level: str = "decode", against: Any = None, progress: bool = True
) -> Verification:
    """Check a sidecar.

    Parameters
    ----------
    path : str or Path
        Of the sidecar, or a URL that fsspec knows.
    level : {"structure", "checksum", "decode"}
        ``structure`` reads the header and the index, ``checksum`` all bytes, ``decode`` decodes
        every tile.
    against : scene, optional
        The original, as `xhsinr.compress` takes it: the decoded samples are measured against it
        and compared with the file's own report, tile by tile. Needs the level ``decode``.
    progress : bool
        Show a bar for what takes more than two seconds.

    Returns
    -------
    Verification
        With all errors, not only the first.

    Raises
    ------
    VerificationError
        If the level is unknown, or too low for ``against``.
    """
    place = locate(path)
    if level not in VERIFY_LEVELS:
        raise VerificationError(f"level {level!r} is unknown: choose one of {VERIFY_LEVELS}")
    if against is not None and level != "decode":
        raise VerificationError(f"level {level!r} decodes nothing to compare: ask for 'decode'")
    errors: list[str] = []
    try:
        reader = Reader(Sidecar.open(place))
        reader.sidecar.check_size()
        scene = reader.scene()
        original = None if against is None else scenes.read(against)
    except (HsinrError, OSError) as error:
        return Verification(place, level, 0, (str(error),))
    tiling = reader.sidecar.tiling
    if level == "decode":
        try:
            _ = reader.codec
        except HsinrError as error:
            # Once, not for every tile.
            return Verification(place, level, len(tiling), (str(error),))
    if original is not None:
        errors += _differences(original, scene)
    if level == "structure" or errors:
        return Verification(place, level, len(tiling), tuple(errors))
    qualities: list[Quality] = []
    for number in bar(range(len(tiling)), "verify", unit="tile", progress=progress):
        try:
            if level == "checksum":
                reader.sidecar.payload(number)
                continue
            decoded = reader.tile(number)
            if original is not None:
                samples = original.window(*tiling.window(number))
                found, wrong = _check_tile(reader.sidecar, number, samples, decoded, original)
                qualities.append(found)
                errors += wrong
        except (HsinrError, OSError) as error:
            errors.append(str(error))
        except MemoryError:
            rows, cols = tiling.shape(number)
            errors.append(
                f"{reader.sidecar.name}: tile {number} of {reader.shape[0]} x {rows} x {cols} "
                "samples does not fit in this machine's memory"
            )
    quality = Quality.merge(qualities) if qualities else None
    return Verification(place, level, len(tiling), tuple(errors), quality)


def _differences(original: scenes.Scene, scene: scenes.Scene) -> list[str]:
    """Metadata that did not come back as it was."""
    if original.shape != scene.shape or original.dtype != scene.dtype:
        one, other = (
            f"{each.rows} x {each.cols} pixels, {each.bands} bands, {each.dtype}"
            for each in (original, scene)
        )
        return [f"the original is {one}, the file holds {other}"]
    names = ("crs", "transform", "nodata", "wavelength_units", "wavelengths", "fwhm")
    return [
        f"{name} of the original and of the file differ"
        for name in names
        if not _equal(getattr(original, name), getattr(scene, name))
    ]


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return one is not None and other is not None and bool(one.tobytes() == other.tobytes())
    return bool(one == other or (one != one and other != other))


def _check_tile(
    sidecar: Sidecar, number: int, samples: Any, decoded: Any, original: scenes.Scene
) -> tuple[Quality, list[str]]:
    invalid = original.invalid(samples)
    where = f"{sidecar.name}: tile {number}"
    differing = bits_of(samples) != bits_of(decoded)
    if (differing & (invalid | original.invalid(decoded))).any():
        return Quality(), [f"{where}: nodata or NaN samples are not those of the original"]
    found = Quality.of(samples, decoded, ~invalid)
    if not found.samples:
        return found, []
    rmse, largest = (float(value) for value in sidecar.index.errors[number])
    exact = sidecar.codec_bytes.kind.exact
    limit = largest * (1 + 1e-6) if exact else largest * (1 + _TOLERANCE) + _TOLERANCE * found.range
    errors = []
    if found.max_error > limit:
        errors.append(f"{where}: largest error {found.max_error:g}, reported {largest:g}")
    if found.rmse > rmse * (1 + _TOLERANCE) + 1e-9 * found.range:
        errors.append(f"{where}: RMSE {found.rmse:g}, reported {rmse:g}")
    target = sidecar.header.target
    lossless = "lossless" in target or target.get("quality") == "archive"
    if lossless and not errors and differing.any():
        errors.append(f"{where}: {int(differing.sum())} samples differ in some bit")
    return found, errors
