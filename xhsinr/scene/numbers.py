"""Vectors of numbers and names in their smallest exact form: wavelengths, coordinates.

What is read back is checked, for it comes out of a file that anyone may have written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from xhsinr.errors import DamagedSidecarError

__all__ = ["checked", "expect", "holds", "number_of", "vector_from_json", "vector_to_json"]

_DTYPE = re.compile(r"[<>|][biufmM]\d{1,2}(\[[a-zA-Z]{1,2}\])?")


def expect(condition: bool, what: str) -> None:
    """Raise `DamagedSidecarError` with ``what`` is wrong unless ``condition`` holds."""
    if not condition:
        raise DamagedSidecarError(
            f"the description of the scene is damaged: {what}; get the file again, "
            "or compress the scene again"
        )


def holds(dtype: np.dtype[Any], number: int | float) -> bool:
    """Whether a number is a value of a data type."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return number != number or bool(dtype.type(number) == number)
    limits = np.iinfo(dtype)
    return bool(limits.min <= number <= limits.max) and float(number).is_integer()


def number_of(text: str) -> int | float | None:
    """The number that a text is, as Python reads it; None if it is none."""
    for kind in (int, float):
        try:
            number: int | float = kind(text.strip())
        except ValueError:
            continue
        return number
    return None


def checked(array: Any, shape: tuple[int, ...], what: str) -> npt.NDArray[Any]:
    """An array of numbers out of a file, in float64, or in int64 where it holds integers."""
    expect(isinstance(array, np.ndarray), f"{what} have no array")
    expect(array.shape == shape, f"{what} have the shape {array.shape} and not {shape}")
    expect(array.dtype.kind in "iuf", f"{what} are of type {array.dtype}")
    return np.array(array, np.float64 if array.dtype.kind == "f" else np.int64)


def vector_to_json(
    values: npt.NDArray[Any], derivable: Mapping[str, npt.NDArray[np.float64]]
) -> tuple[dict[str, Any], npt.NDArray[Any] | None]:
    """A coordinate's values as a JSON object, and an array where they need one.

    Parameters
    ----------
    values : ndarray
        Numbers, times or text.
    derivable : dict of str to ndarray
        Vectors that the reader has anyway: what equals one of them is written as its name.
    """
    out: dict[str, Any] = {}
    if values.dtype != np.float64:
        out["dtype"] = _dtype_text(values.dtype)
    for name, made in derivable.items():
        if _same_numbers(values, made):
            return out | {"like": name}, None
    if values.dtype.kind in "mM":
        values = values.astype(np.int64)
    if values.ndim == 0 and values.dtype.kind == "f" and not np.isfinite(values):
        return out | {"text": str(values.item())}, None
    if values.ndim == 0 or values.dtype.kind in "OU":
        return out | {"value": values.tolist()}, None
    steps = _steps(values)
    if steps is not None:
        return out | {"steps": steps}, None
    return out, values.astype(np.float64 if values.dtype.kind == "f" else np.int64)


def vector_from_json(
    entry: Mapping[str, Any],
    array: Any,
    shape: tuple[int, ...],
    derivable: Mapping[str, npt.NDArray[np.float64]],
    what: str,
) -> npt.NDArray[Any]:
    """Inverse of `vector_to_json`; ``what`` names the vector in errors."""
    dtype = _dtype_from_text(entry.get("dtype", "<f8"))
    if "like" in entry:
        name = entry["like"]
        expect(isinstance(name, str) and name in derivable, f"{what} is like nothing here")
        return derivable[name].astype(dtype)
    if "text" in entry:
        expect(entry["text"] in ("nan", "inf", "-inf"), f"{what} is no number")
        values: npt.NDArray[Any] = np.array(float(entry["text"]))
    elif "value" in entry:
        values = _literal(entry["value"], dtype, what)
    elif "steps" in entry:
        expect(len(shape) == 1, f"{what} is not on one dimension")
        values = _stepped(entry["steps"], shape[0], what)
    else:
        values = checked(array, shape, what)
    expect(values.shape == shape, f"{what} has the shape {values.shape} and not {shape}")
    whole = dtype.kind in "biumM"
    expect(not whole or values.dtype.kind in "iub", f"{what} is not of type {dtype}")
    return values.astype(dtype)


def _same_numbers(values: npt.NDArray[Any], made: npt.NDArray[np.float64]) -> bool:
    if values.dtype.kind not in "iuf" or values.shape != made.shape:
        return False
    if values.dtype.kind != "f" and not np.isfinite(made).all():
        return False
    # What comes back is cast to the coordinate's own type: the cast has to be exact.
    same = np.array_equal(values.astype(np.float64), made, equal_nan=True)
    return same and _same_bits(made.astype(values.dtype), values)


def _same_bits(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    """Whether -0.0 is no 0.0, either."""
    return one.tobytes() == other.tobytes()


def _steps(values: npt.NDArray[Any]) -> list[Any] | None:
    if values.ndim != 1 or values.size < 2 or values.dtype.kind not in "if":
        return None
    first, second, last = (values[i].item() for i in (0, 1, -1))
    steps = [second - first]
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            return None
        steps.append((last - first) / (values.size - 1))
    for step in steps:
        if abs(step) < 2**62 and abs(first) < 2**62:
            made = _stepped([first, step], values.size, "")
            if _same_bits(made.astype(values.dtype), values):
                return [first, step]
    return None


def _stepped(steps: Any, size: int, what: str) -> npt.NDArray[Any]:
    expect(
        isinstance(steps, list)
        and len(steps) == 2
        and all(type(n) in (int, float) and abs(n) < 2**62 for n in steps),
        f"{what} has bad steps",
    )
    made: npt.NDArray[Any] = steps[0] + steps[1] * np.arange(size)
    return made


def _literal(value: Any, dtype: np.dtype[Any], what: str) -> npt.NDArray[Any]:
    items = value if isinstance(value, list) else [value]
    kinds = (str,) if dtype.kind in "OU" else (bool, int, float)
    expect(all(type(item) in kinds for item in items), f"{what} has odd values")
    expect(
        dtype.kind in "OU" or all(abs(item) < 2**63 for item in items if type(item) is int),
        f"{what} has values that are too large",
    )
    return np.array(value, dtype=object if dtype.kind in "OU" else None)


def _dtype_text(dtype: np.dtype[Any]) -> str:
    return dtype.str if dtype.kind in "biufmM" else {"U": "str"}.get(dtype.kind, "object")


def _dtype_from_text(text: Any) -> np.dtype[Any]:
    if text in ("str", "object"):
        return np.dtype(str if text == "str" else object)
    expect(isinstance(text, str) and bool(_DTYPE.fullmatch(text)), "a data type is not one")
    try:
        dtype: np.dtype[Any] = np.dtype(text)
    except TypeError:
        dtype = np.dtype("V")
    expect(dtype.kind != "V", f"there is no data type {text!r}")
    return dtype
