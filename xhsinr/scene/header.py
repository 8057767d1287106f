"""Metadata of a scene as compact JSON and small arrays, exact in both directions.

Nothing here knows what a scene is: numbers, names, attributes, coordinates and georeferencing
each have a function that writes them down and one that reads them back. What is read back is
checked, for it comes out of a file that anyone may have written: text is never evaluated and
never taken for a path.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
import numpy.typing as npt
import rioxarray  # noqa: F401  (registers the rio accessor)
import xarray as xr
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import CRSError

from xhsinr.scene.numbers import expect

__all__ = [
    "crs_from_text",
    "crs_to_text",
    "from_json",
    "gcps_from_json",
    "gcps_to_json",
    "grid_attrs",
    "mapping_from_json",
    "names_from_template",
    "names_to_template",
    "plain",
    "reader",
    "to_json",
    "transform_from_json",
]

_MAX_DEPTH = 16
_MAX_ATTR_SIZE = 4096
# Characters of all band names together, and of a number in one.
_MOST_NAMES, _LONGEST_NUMBER = 1 << 24, 32
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)")
_EPSG = re.compile(r"EPSG:(\d{1,9})")


def plain(value: Any, depth: int = 0) -> Any:
    """An attribute's value in JSON's own types (NaN and infinities included).

    NumPy scalars and small arrays, dates, paths and UTF-8 bytes are converted.

    Raises
    ------
    TypeError
        If there is no such form.
    """
    if depth > _MAX_DEPTH:
        raise TypeError("nested too deeply")
    if isinstance(value, np.datetime64 | np.timedelta64):
        return str(value)
    if isinstance(value, np.generic):
        item = value.item()
        if isinstance(item, np.generic):
            raise TypeError(f"{type(item).__name__} has no JSON form")
        return plain(item, depth + 1)
    if value is None:
        return None
    for base in (bool, int, float):
        if isinstance(value, base):
            return base(value)
    if isinstance(value, str):
        if not value.isascii() and value.encode(errors="replace").decode() != value:
            raise TypeError("text with half of a surrogate pair")
        return str(value)
    if isinstance(value, np.ndarray):
        if value.size > _MAX_ATTR_SIZE:
            raise TypeError(f"array of {value.size} values, the limit is {_MAX_ATTR_SIZE}")
        timelike = value.dtype.kind in "mM"
        return plain((value.astype(str) if timelike else value).tolist(), depth + 1)
    if isinstance(value, list | tuple | Affine):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("mapping with keys that are not text")
        return {plain(key): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise TypeError("bytes that are not UTF-8 text") from None
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def to_json(value: Any, known: Mapping[str, list[Any]]) -> Any:
    """A `plain` value in strict JSON.

    Lists that are one of the ``known`` ones become references to it; non-finite floats become
    ``{"$float": "nan"}``.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}
    if isinstance(value, list):
        for name, numbers in known.items():
            # Their text tells 0.0 from -0.0, and 1 from 1.0.
            if len(value) == len(numbers) and repr(value) == repr(numbers):
                return {"$like": name}
        return [to_json(item, known) for item in value]
    if isinstance(value, dict):
        return {
            f"${key}" if key.startswith("$") else key: to_json(item, known)
            for key, item in value.items()
        }
    return value


def from_json(value: Any, known: Mapping[str, list[Any]], depth: int = 0) -> Any:
    """Inverse of `to_json`."""
    expect(depth <= 2 * _MAX_DEPTH, "attributes are nested too deeply")
    if isinstance(value, list):
        return [from_json(item, known, depth + 1) for item in value]
    if not isinstance(value, dict):
        expect(value is None or isinstance(value, bool | int | float | str), "odd attribute")
        return value
    if value.keys() == {"$float"}:
        expect(value["$float"] in ("nan", "inf", "-inf"), "an attribute is no number")
        return float(value["$float"])
    if value.keys() == {"$like"}:
        name = value["$like"]
        expect(isinstance(name, str) and name in known, "an attribute refers to nothing")
        # The one list for all that refer to it: a header must not grow by what it repeats.
        return known[name]
    expect(all(isinstance(key, str) for key in value), "an attribute's key is not text")
    return {
        key[1:] if key.startswith("$$") else key: from_json(item, known, depth + 1)
        for key, item in value.items()
    }


def names_to_template(
    names: Sequence[str], wavelengths: npt.NDArray[np.float64] | None
) -> list[Any] | None:
    """The rule that band names follow, or None where they follow none.

    The rule is a list of parts: text that all names share, an integer that counts up with the
    band (its first value), or ``["w", decimals]`` for the wavelength (-1 for its
    shortest text, -2 for that without a final ".0").
    """
    columns = list(zip(*(_NUMBER.split(name) for name in names), strict=False))
    if len({len(_NUMBER.split(name)) for name in names}) != 1:
        return None
    parts: list[Any] = []
    for column in columns:
        part = _template_part(column, wavelengths)
        if part is None:
            return None
        if isinstance(part, str) and parts and isinstance(parts[-1], str):
            parts[-1] += part
        else:
            parts.append(part)
    return parts


def _template_part(
    column: Sequence[str], wavelengths: npt.NDArray[np.float64] | None
) -> str | int | list[Any] | None:
    first = column[0]
    if len(set(column)) == 1:
        return first
    if first.isascii() and first.isdigit() and len(first) < 10:
        start = int(first)
        if list(column) == [str(start + band) for band in range(len(column))]:
            return start
    for decimals in (-1, -2, len(first.partition(".")[2])):
        if wavelengths is not None and list(column) == _formatted(wavelengths, decimals):
            return ["w", decimals]
    return None


def _formatted(wavelengths: npt.NDArray[np.float64], decimals: int) -> list[str]:
    if decimals < 0:
        cut = ".0" if decimals == -2 else ""
        return [repr(value).removesuffix(cut) for value in wavelengths.tolist()]
    return [f"{value:.{decimals}f}" for value in wavelengths.tolist()]


def names_from_template(
    parts: Any, bands: int, wavelengths: npt.NDArray[np.float64] | None
) -> list[str]:
    """Inverse of `names_to_template`."""
    expect(isinstance(parts, list) and len(parts) < 1000, "band names follow no rule")
    length = sum(len(part) if isinstance(part, str) else _LONGEST_NUMBER for part in parts)
    expect(length * bands <= _MOST_NAMES, "its band names are longer than any")
    columns: list[Iterable[str]] = []
    for part in parts:
        if isinstance(part, str):
            columns.append([part] * bands)
        elif type(part) is int:
            columns.append([str(part + band) for band in range(bands)])
        else:
            known = isinstance(part, list) and len(part) == 2 and part[0] == "w"
            decimals = part[1] if known else None
            expect(type(decimals) is int and -2 <= decimals <= 20, "band names follow no rule")
            expect(wavelengths is not None, "band names need wavelengths and there are none")
            assert wavelengths is not None
            columns.append(_formatted(wavelengths, part[1]))
    return ["".join(pieces) for pieces in zip(*columns, strict=True)]


def crs_to_text(crs: CRS) -> str:
    """``EPSG:n`` where that gives exactly this CRS back, its WKT elsewhere."""
    wkt: str = crs.to_wkt()
    code = crs.to_epsg()
    if code is not None:
        twin = CRS.from_epsg(code)
        if twin == crs and twin.to_wkt() == wkt:
            return f"EPSG:{code}"
    return wkt


def crs_from_text(text: Any) -> CRS:
    """Inverse of `crs_to_text`: takes ``EPSG:n`` and WKT, nothing else."""
    expect(isinstance(text, str), "the CRS is not text")
    code = _EPSG.fullmatch(text)
    try:
        return CRS.from_epsg(int(code[1])) if code else CRS.from_wkt(text)
    except CRSError:
        expect(False, f"the CRS {text[:60]!r} is not one that PROJ knows")


def transform_from_json(numbers: Any) -> Affine:
    """The affine transform of six finite numbers, in the order a to f."""
    expect(_finite(numbers) and len(numbers) == 6, "the transform is not six numbers")
    return Affine(*map(float, numbers))


def gcps_to_json(gcps: Iterable[GroundControlPoint]) -> list[list[Any]]:
    """Ground control points as lists of row, col, x, y, z, id, info."""
    return [[p.row, p.col, p.x, p.y, p.z, p.id, p.info] for p in gcps]


def gcps_from_json(points: Any) -> tuple[GroundControlPoint, ...]:
    """Inverse of `gcps_to_json`."""
    expect(isinstance(points, list) and len(points) > 0, "there are no ground control points")
    for point in points:
        expect(isinstance(point, list) and len(point) == 7, "a ground control point is cut short")
        expect(_finite(point[:4]), "a ground control point has no position")
        expect(point[4] is None or _finite(point[4:5]), "a ground control point has no height")
        expect(
            all(text is None or isinstance(text, str) for text in point[5:]),
            "a ground control point has a bad name",
        )
    return tuple(
        GroundControlPoint(row=row, col=col, x=x, y=y, z=z, id=name, info=info)
        for row, col, x, y, z, name, info in points
    )


def _finite(numbers: Any) -> bool:
    return isinstance(numbers, list) and all(
        type(n) in (int, float) and abs(n) < 1e300 for n in numbers
    )


def grid_attrs(
    crs: CRS | None, transform: Affine | None, gcps: Iterable[GroundControlPoint] | None
) -> dict[str, Any]:
    """Attributes of the grid mapping coordinate as rioxarray writes them."""
    array = xr.DataArray(np.zeros((1, 1)), dims=("y", "x"))
    if transform is not None:
        array = array.rio.write_transform(transform)
    if crs is not None:
        array = array.rio.write_crs(crs)
    if gcps:
        array = array.rio.write_gcps(list(gcps), crs)
    return dict(array.coords["spatial_ref"].attrs) if "spatial_ref" in array.coords else {}


def mapping_from_json(value: Any, known: Mapping[str, list[Any]]) -> dict[str, Any]:
    """A mapping that went through `to_json`."""
    decoded = from_json(value, known)
    expect(isinstance(decoded, dict), "attributes are no JSON object")
    return dict(decoded)


def reader(description: Mapping[str, Any]) -> Callable[..., Any]:
    """Looks keys up, checking their types; without a default a key has to be there."""

    def look_up(key: str, kind: type, *default: Any) -> Any:
        if key not in description and default:
            return default[0]
        expect(isinstance(description.get(key), kind), f"{key!r} is missing or malformed")
        return description[key]

    return look_up
