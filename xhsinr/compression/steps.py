"""The step and the offset that a scene's samples are multiples of, found from some of them.

The gaps between the values seen give a first step, a fit over ever wider ranges makes it precise,
and the plainest numbers that explain the samples bit for bit (decimals, reciprocals of integers,
single precision) are taken in its place. A lattice need not hold for all samples: see
`xhsinr.coding.lattice`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog

from xhsinr.coding.lattice import PRODUCT, QUOTIENT, ROUNDED, Lattice
from xhsinr.coding.rest import in_order

__all__ = ["find_lattice"]

_MOST = 1 << 14  # values that one fit looks at
_ENOUGH = 0.99  # share of the samples that a step of integers holds for
_WORTH = 0.5  # bits a sample that a lattice of floats saves at least
_LARGEST = 1 << 30  # of a lattice's integers
_DIGITS = 6  # of an offset that is looked for
_SMALL_GAPS = 0.75  # share of the gaps that rounding may explain

_PLAIN = [s * m * 10.0**e for e in range(3, -4, -1) for m in (1, 2, 5) for s in (-1, 1)]
_MULTIPLE = 1e-6  # of a step, that a multiple of it may be off

_SIZES = 1e-30, 1e30  # of floats that count anything
_EPSILON = float(np.finfo(np.float64).eps)

Float64Array = npt.NDArray[np.float64]
Hints = Sequence[tuple[float, float]]
Bands = Sequence[npt.NDArray[Any]]


def find_lattice(bands: Bands, dtype: np.dtype[Any], hints: Hints = ()) -> Lattice | None:
    """The lattice of a scene; plain for integers without one, None for such floats.

    Parameters
    ----------
    bands : sequence of ndarray
        Some valid samples of each band.
    dtype : dtype
        Of the samples.
    hints : sequence of (float, float)
        Scale and offset that the scene's metadata mention.
    """
    if dtype.kind != "f":
        return _integer_lattice(bands, dtype)
    if dtype.itemsize == 8 and all(map(_are_single, bands)):
        single = np.dtype(np.float32)
        lattice = find_lattice([band.astype(single) for band in bands], single, hints)
        return None if lattice is None else replace(lattice, dtype=dtype, single=True)
    pooled = _some(np.concatenate([_some(band, _MOST // 16) for band in bands]))
    whole = _float_lattice(pooled, dtype, hints)
    if whole is not None and _holds(whole, bands):
        return whole
    spread = bands[:: max(1, len(bands) // 8)]
    if (
        sum(_float_lattice(_some(band), dtype, hints) is not None for band in spread)
        < len(spread) / 2
    ):
        return None
    found = [_float_lattice(_some(band), dtype, hints) for band in bands]
    usual = [lattice for lattice in found if lattice is not None]
    if len(usual) < 0.9 * len(found) or not usual:
        return None
    # Each band has steps of its own; where it has none, they are so small that it needs none.
    rule = max({lattice.rule for lattice in usual}, key=[o.rule for o in usual].count)
    each = [
        lattice if lattice is not None and lattice.rule == rule else _fine(band, dtype, rule)
        for lattice, band in zip(found, bands, strict=True)
    ]
    return Lattice(
        dtype,
        np.concatenate([lattice.steps for lattice in each]),
        np.concatenate([lattice.offsets for lattice in each]),
        rule,
    )


def _are_single(values: npt.NDArray[Any]) -> bool:
    with np.errstate(over="ignore"):
        return bool((values.astype(np.float32) == values).all())


def _some(values: npt.NDArray[Any], most: int = _MOST) -> npt.NDArray[Any]:
    return values[:: max(1, len(values) // most)]


def _holds(lattice: Lattice, bands: Bands) -> bool:
    """Whether a scene's lattice explains every band about as well as the pool."""
    for band in bands:
        some = _some(band, 1024)
        if len(some) and _exact(lattice, some) < 0.25:
            return False
    return True


def _exact(lattice: Lattice, values: npt.NDArray[Any]) -> float:
    """Share of the values that come back bit for bit."""
    again = lattice.to_samples(lattice.to_integers(values))
    return float((again.view(f"u{again.itemsize}") == values.view(f"u{values.itemsize}")).mean())


def _integer_lattice(bands: Bands, dtype: np.dtype[Any]) -> Lattice:
    pairs = [_integer_step(band) for band in bands]
    varying = {pair for pair in pairs if pair[0] > 0}
    if len(varying) <= 1:
        step, offset = next(iter(varying), (1, 0))
        constant = [value for gap, value in pairs if gap == 0]
        if all((value - offset) % step == 0 for value in constant):
            return Lattice(dtype, np.array([step]), np.array([offset]))
    common = math.gcd(*(step for step, _ in varying))
    offsets = {value % common for _, value in pairs}
    if len(offsets) == 1 and all(step == common for step, _ in varying):
        return Lattice(dtype, np.array([common]), np.array([offsets.pop()]))
    steps = np.array([step or 1 for step, _ in pairs])
    return Lattice(dtype, steps, np.array([offset % (step or 1) for step, offset in pairs]))


def _integer_step(values: npt.NDArray[Any]) -> tuple[int, int]:
    """Step and offset that hold for most values of a band; 0 and the value where there is one."""
    if not len(values):
        return 0, 0
    levels, counts = np.unique(values, return_counts=True)
    levels = levels.astype(np.int64)
    if len(levels) == 1:
        return 0, int(levels[0])
    # The commonest values are hardly those that a defect made.
    order = np.argsort(-counts, kind="stable")
    first = int(levels[order[0]])
    gaps = np.abs(levels[order] - first)
    few, half = 8, len(gaps) // 2
    if np.gcd.reduce(gaps[: max(min(few, half), 2)]) == 1:
        return 1, 0  # and so with more of them
    for used in (len(gaps), half, few):
        step = int(np.gcd.reduce(gaps[: max(used, 2)]))
        if step > 1 and counts[(levels - first) % step == 0].sum() / len(values) >= _ENOUGH:
            return step, first % step
    return 1, 0


def _float_lattice(values: npt.NDArray[Any], dtype: np.dtype[Any], hints: Hints) -> Lattice | None:
    """The lattice that explains values best, None where none is worth it."""
    if not len(values) or not _SIZES[0] <= np.abs(values).max() < _SIZES[1]:
        return None
    if (values == values[0]).all():
        return _of(dtype, 1.0, float(values[0]))
    best, most = None, _WORTH
    for lattice in _plausible(values, dtype, hints):
        saving = _saving(lattice, values)
        # What comes first is plainer.
        if saving > most + 0.01:
            best, most = lattice, saving
            if _exact(lattice, values) == 1.0:
                break
    return best


def _of(dtype: np.dtype[Any], step: float, offset: float, rule: int = PRODUCT) -> Lattice:
    return Lattice(dtype, np.array([step]), np.array([offset + 0.0]), rule)


def _saving(lattice: Lattice, values: npt.NDArray[Any]) -> float:
    """Bits a sample that integers and what is left save against all digits of the floats."""
    integers = lattice.to_integers(values)
    if np.abs(integers).max() > _LARGEST:
        return -math.inf
    rest = in_order(values) - in_order(lattice.to_samples(integers))
    counts = np.unique(rest, return_counts=True)[1] / len(rest)
    left = -float((counts * np.log2(counts)).sum())
    if counts.max() < 0.05:
        # More kinds than can be told from so few values.
        left = max(left, float(np.log2(1.0 + np.abs(rest.astype(np.float64))).mean()))
    step = float(lattice.steps[0])
    step = 1 / step if lattice.rule == QUOTIENT else step
    return math.log2(step / _digit(values)) - left


def _digit(values: npt.NDArray[Any]) -> float:
    """A median value's last binary digit, of those that are not zero throughout."""
    sizes = np.abs(values)
    joint = int(np.bitwise_or.reduce(sizes.view(f"u{sizes.itemsize}")))
    zeros = min((joint & -joint).bit_length() - 1, np.finfo(sizes.dtype).nmant)
    return math.ldexp(float(np.median(np.spacing(sizes))), zeros)


def _plausible(values: npt.NDArray[Any], dtype: np.dtype[Any], hints: Hints) -> Iterator[Lattice]:
    """Lattices to try, the plainest first."""
    for scale, offset in hints:
        if scale > 0 and math.isfinite(scale) and math.isfinite(offset):
            yield from _computed(dtype, scale, offset)
    levels = np.unique(values).astype(np.float64)
    digit = float(np.spacing(np.abs(values).max()))
    step = _fit(levels, digit)
    if step is None:
        return
    # So far off is a step that moves the outermost value by a digit.
    slack = (2 * digit / (levels[-1] - levels[0]) + 32 * _EPSILON) * step
    inverse = round(1 / step) if step < 1 else 0
    if inverse and abs(1 / inverse - step) <= slack:
        for offset in _offsets(levels, 1 / inverse, digit):
            yield _of(dtype, float(inverse), offset, QUOTIENT)
    plain = _shortest(step, slack)
    offsets = _offsets(levels, plain, digit)
    for offset in offsets:
        yield from _computed(dtype, plain, offset)
    if 0.0 in offsets:
        yield from _with_multiples(values, dtype, plain, inverse)
    yield _of(dtype, *_centred(levels, step, np.spacing(np.unique(values))))


def _with_multiples(
    values: npt.NDArray[Any], dtype: np.dtype[Any], step: float, inverse: int
) -> list[Lattice]:
    """Lattices whose plain offset is a multiple of the step: only how sums round tells of it."""
    found: list[Lattice] = []
    for offset in _PLAIN:
        if abs(offset / step - round(offset / step)) < _MULTIPLE:
            found += _computed(dtype, step, offset)
            if inverse:
                found.append(_of(dtype, float(inverse), offset, QUOTIENT))
    some = _some(values, 64)
    return sorted(found, key=lambda lattice: -_exact(lattice, some))[:4]


def _computed(dtype: np.dtype[Any], scale: float, offset: float) -> Iterator[Lattice]:
    """The ways in which readers compute floats of integers, a scale and an offset."""
    yield _of(dtype, scale, offset)
    if dtype.itemsize > 4:
        return
    single = float(np.float32(scale)), float(np.float32(offset))
    if single != (scale, offset):
        yield _of(dtype, *single)
    if offset:
        yield _of(dtype, *single, ROUNDED)


def _fit(levels: Float64Array, digit: float) -> float | None:
    """A step that the gaps between ordered values are multiples of, None where none shows."""
    gaps = np.diff(levels)
    wide = np.sort(gaps[gaps > 4 * digit])
    if len(wide) < 2 or len(wide) < (1 - _SMALL_GAPS) * len(gaps):
        return None
    # The smallest gaps are one step; what is longer is more steps, and makes them more precise.
    step, reach = float(wide[0]), 1.5
    while reach < 256:
        some = wide[wide < reach * step]
        numbers = np.maximum(np.rint(some / step), 1.0)
        step = float(some.sum() / numbers.sum())
        reach *= 2
    some = wide[wide < 128 * step]
    for parts in range(1, 9):
        numbers = some * parts / step
        if (np.abs(numbers - np.rint(numbers)) > 0.2).mean() < 0.05:
            step = _lengthened(levels, step / parts)
            return step if 4 * digit < step and levels[-1] - levels[0] < _LARGEST * step else None
    return None


def _lengthened(levels: Float64Array, step: float) -> float:
    """The step made precise: fitted over ranges that double, so that no number slips."""
    middle = levels[len(levels) // 2]
    reach = 8 * step
    while True:
        near = levels[np.abs(levels - middle) <= reach]
        numbers = np.rint((near - middle) / step)
        spread = numbers - numbers.mean()
        if np.any(spread):
            step = float(spread @ (near - near.mean()) / (spread @ spread))
        if len(near) == len(levels) or step <= 0:
            return abs(step)
        reach *= 2


def _shortest(value: float, slack: float) -> float:
    """The shortest decimal that is no further off."""
    for digits in range(1, 18):
        short = float(f"{value:.{digits}g}")
        if abs(short - value) <= slack:
            return short
    return value


def _offsets(levels: Float64Array, step: float, digit: float) -> list[float]:
    """Plain offsets of values with this step: nought, or decimals."""
    some = levels[:: max(1, len(levels) // 256)]

    def misfit(offset: Float64Array) -> Float64Array:
        numbers = (some - offset[:, None]) / step
        return np.asarray(np.abs(numbers - np.rint(numbers)).max(axis=1) * step)

    found = [0.0]
    if misfit(np.zeros(1))[0] <= 8 * digit:
        return found
    largest = float(np.abs(levels[[0, -1]]).max()) + float(levels[-1] - levels[0])
    if float(f"{step:.{_DIGITS}g}") != step and float(f"{1 / step:.{_DIGITS}g}") != 1 / step:
        return []
    for decimals in range(_DIGITS + 1):
        most = min(int(largest * 10**decimals), 1000)
        candidates = np.arange(-most, most + 1) / 10.0**decimals
        errors = misfit(candidates)
        good = np.flatnonzero(errors <= 8 * digit)
        if len(good):
            best = good[np.argsort(errors[good] + 1e-3 * digit * np.abs(good - most) / most)[:4]]
            return [float(offset) for offset in candidates[best]]
    return []


def _centred(levels: Float64Array, step: float, digits: npt.NDArray[Any]) -> tuple[float, float]:
    """Step and offset of which the values stray by the least of their digits.

    That is a linear programme; the numbers are as short as they may be.
    """
    chosen = slice(None, None, max(1, len(levels) // 512))
    some, digit = levels[chosen], float(np.abs(digits).max())
    numbers = np.rint((some - some[0]) / step)
    last = max(numbers[-1], 1.0)
    rise = (some[-1] - some[0]) / last
    # What is left of the line from the first value to the last is in digits.
    left = (some - some[0] - rise * numbers) / digit
    widths = np.abs(digits[chosen]) / digit
    lines = np.column_stack([numbers / last, np.ones_like(numbers)])
    sides = np.block([[-lines, -widths[:, None]], [lines, -widths[:, None]]])
    solved = linprog([0, 0, 1], sides, np.concatenate([-left, left]), bounds=[(None, None)] * 3)
    slope, shift = (0.0, 0.0) if solved.x is None else (solved.x[0], solved.x[1])
    spare = digit / 256
    return (
        _shortest(rise + slope * digit / last, spare / last),
        _shortest(float(some[0] + shift * digit), spare),
    )


def _fine(band: npt.NDArray[Any], dtype: np.dtype[Any], rule: int) -> Lattice:
    """A lattice for a band without one, beside bands that have theirs."""
    spread = float(np.ptp(band.astype(np.float64))) if len(band) else 0.0
    step = 2.0 ** math.floor(math.log2(spread / (1 << 16))) if spread > 0 else 1.0
    offset = float(band[0]) if len(band) else 0.0
    return _of(dtype, 1 / step if rule == QUOTIENT else step, offset, rule)
