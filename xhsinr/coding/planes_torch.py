"""Score planes coded on a device of torch, into the same bytes as on the CPU.

Of a band, each group of coefficients is a few dozen operations on arrays. Numbers are integers,
or IEEE floats that go through the same operations in the same order as in the compiled code, and
what is summed over pixels is exact in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xhsinr.coding.planes_bands import ESCAPE, LARGEST, MOST_SAVED, SAVED_UNITS
from xhsinr.coding.planes_odds import MARGIN, SEEN, Neighbours
from xhsinr.coding.planes_prediction import GUIDES, RIDGE, STRENGTHS, WINDOW
from xhsinr.coding.planes_tile import NOTHING, ROUNDED_UP, PlaneEncoder
from xhsinr.entropy.rans import BITS
from xhsinr.network.prior import INPUTS, LARGEST_UNIT, ODDS_LIMIT, STICKS, Prior, odds_table
from xhsinr.transform.wavelet import gain
from xhsinr.transform.wavelet_torch import analyse, synthesise

__all__ = ["TorchPlaneEncoder"]

_TOTAL = 1 << BITS
_RINGS = 5  # inputs that are of the band itself
_BESIDE, _OVER = [(0, -1), (0, 1)], [(-1, 0), (1, 0)]
_CORNERS = [(-1, -1), (-1, 1), (1, -1), (1, 1)]
_STRAIGHT = [(-2, 0), (2, 0), (0, -2), (0, 2)]
_AROUND = [*_OVER, *_BESIDE, *_CORNERS]
_REST = [
    *((y, x) for y in (-2, 2) for x in (-2, -1, 1, 2)),
    *((y, x) for y in (-1, 1) for x in (-2, 2)),
]
# After the sticks: bits of the escape's length, two groups of raw bits, the sign.
_SLOTS = STICKS + 4
_DTYPES = {np.float32: torch.float32, np.float64: torch.float64}


class TorchPlaneEncoder(PlaneEncoder):
    """As `PlaneEncoder`, on a device.

    Parameters
    ----------
    planes : ndarray of float64, shape (components, rows, cols)
        In steps.
    device : str
        Of torch.
    """

    def __init__(self, planes: npt.NDArray[np.float64], prior: Prior, device: str) -> None:
        self._device = torch.device(device)
        super().__init__(self._tensor(planes), prior)  # type: ignore[arg-type]
        # Products are of integers that float64 holds, whatever a device makes of float32.
        self._weights_1 = self._tensor(prior.weights_1[:INPUTS], np.float64)
        self._weights_2 = self._tensor(prior.weights_2, np.float64)
        self._weights_3 = self._tensor(prior.weights_3[:, :STICKS], np.float64)
        self._bias_2 = self._tensor(prior.bias_2, np.float64)
        self._bias_3 = self._tensor(prior.bias_3[:STICKS], np.float64)
        self._odds = self._tensor(odds_table(), np.int64)
        # Few enough bits that float64 has their sums exactly.
        self._costs_of = self._tensor(self._costs, np.float64)

    def _tensor(self, values: npt.NDArray[Any], dtype: Any = None) -> Tensor:
        return torch.from_numpy(np.array(values, dtype)).to(self._device)

    def _zeros(self, shape: Sequence[int], dtype: Any = np.float64) -> Any:
        return torch.zeros(tuple(shape), dtype=_DTYPES[dtype], device=self._device)

    def _predictor(self, coarse: Any, level: int) -> Any:
        return _Predictor(coarse, level)

    def _analyse(self, plane: Any) -> Any:
        return analyse(plane)

    def _synthesise(self, coarse: Any, *bands: Any) -> Any:
        return synthesise(coarse, *bands)

    def _mean(self, target: Any) -> float:
        return float((target.abs() + ROUNDED_UP).floor().sum().item()) / int(target.numel())

    def _bits(self, targets: Any, predicted: Any) -> list[float]:
        sums = []
        for strength in STRENGTHS:
            for target, guess in zip(targets, predicted, strict=True):
                left = (target - strength * guess).to(torch.float32)
                logs = (1 + 2.25 * left * left).view(torch.int32)
                sums.append(logs.sum(dtype=torch.int64))
        pixels = sum(target.numel() for target in targets)
        totals = torch.stack(sums).reshape(len(STRENGTHS), -1).sum(1).tolist()
        return [total * 2.0**-23 - 127 * pixels for total in totals]

    def _encode(self, target: Any, near: Neighbours) -> tuple[Any, Any, int]:
        rows, cols = target.shape
        own: Any = near.level[near.component, near.orientation]
        still = _inputs(_still(near, rows, cols)) @ self._weights_1[_RINGS:]
        bias = self._tensor(near.bias, np.float64)
        values = torch.zeros_like(target)
        symbols, saved = [], torch.zeros((), dtype=torch.int64, device=self._device)
        for group, (top, left) in enumerate([(0, 0), (1, 1), (0, 1), (1, 0)]):
            here = slice(top, rows, 2), slice(left, cols, 2)
            exact = target[here].abs().clamp(max=LARGEST - 1.0)
            if not exact.numel():
                continue
            sums = _inputs(_rings(own, rows, cols, here)) @ self._weights_1[:_RINGS]
            shares = self._shares(sums + still[here] + bias[group])
            sizes, gained = self._quantise(exact.flatten(), shares)
            saved += gained
            symbols.append(_symbols(sizes, target[here].flatten() < 0, shares))
            magnitudes = sizes.reshape(exact.shape).to(torch.float64)
            values[here] = torch.where(target[here] < 0, -magnitudes, magnitudes)
            within = own[MARGIN:-MARGIN, MARGIN:-MARGIN]
            within[here] = magnitudes.clamp(max=SEEN).to(torch.float32)
        pairs = torch.cat(symbols).cpu().numpy().astype(np.uint16)
        return pairs, values, int(saved)

    def _shares(self, sums: Tensor) -> Tensor:
        """Share, in ``2**-15``, of each class among those not ruled out, shape (n, STICKS)."""
        first = _activated(sums.reshape(-1, sums.shape[-1]))
        second = _activated(first @ self._weights_2 + self._bias_2)
        odds = (second @ self._weights_3 + self._bias_3).to(torch.int64) >> 5
        return self._odds[(odds + ODDS_LIMIT).clamp(0, 2 * ODDS_LIMIT - 1)]

    def _quantise(self, exact: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Magnitudes, and what they save, in units, against zeros that cost nothing."""
        costs = torch.nn.functional.pad(self._costs_of[shares], (0, 1))
        before = torch.nn.functional.pad(self._costs_of[_TOTAL - shares].cumsum(1), (1, 0))
        costs += before

        def cost(sizes: Tensor) -> Tensor:
            kinds = _kinds(sizes)
            bits = _raw(sizes, kinds)[1] + (kinds == STICKS) * 5 + (kinds > 0)
            modelled = costs.gather(1, kinds[:, None])[:, 0]
            error = exact - sizes
            return error * error + self._worth * (bits + modelled)

        upper = (exact + 0.5).to(torch.int64)
        lower = (upper - 1).clamp(min=1)
        best, least = torch.zeros_like(upper), exact * exact + self._worth * costs[:, 0]
        for sizes in (lower, upper):
            found = cost(sizes)
            better = (upper > 0) & (found < least)
            best, least = torch.where(better, sizes, best), torch.where(better, found, least)
        gained = (exact * exact - least).clamp(max=MOST_SAVED) * SAVED_UNITS
        return best, gained.to(torch.int64).sum()


class _Predictor:
    """As `xhsinr.coding.planes_prediction.Predictor`."""

    def __init__(self, coarse: Sequence[Tensor], level: int) -> None:
        self._coarse, self._level, self._unit = coarse, level, 0.5**level
        self._guides = torch.stack(list(coarse[:GUIDES])) * self._unit
        self._means = _smooth(self._guides)
        self._factor = _factor(self._guides, self._means)

    def predict(self, component: int, finer: Sequence[Tensor]) -> list[Tensor]:
        k = min(component, GUIDES)
        target = self._coarse[component] * self._unit
        weights = _regress(target, self._guides[:k], self._means[:k], self._factor)
        rows, cols = finer[0].shape
        scales = weights.new_tensor([0.5] * k + [0.5 * (1 / (2 * self._unit))])
        y, x = (torch.arange(side, device=weights.device) for side in (rows, cols))
        last_row, last_col = weights.shape[1] - 1, weights.shape[2] - 1
        lines = weights[:, y >> 1] + weights[:, ((y + 1) >> 1).clamp(max=last_row)]
        lines = scales[:, None, None] * lines
        wide = 0.5 * (lines[..., x >> 1] + lines[..., ((x + 1) >> 1).clamp(max=last_col)])
        plane = wide[k]
        for weight, guide in zip(wide[:k], finer[:k], strict=True):
            plane = plane + weight * guide
        bands = analyse(plane)[1:]
        return [band * gain(self._level, o) for o, band in enumerate(bands, 1)]


def _smooth(planes: Tensor) -> Tensor:
    """Means in a Gaussian window of each plane; the border is mirrored."""
    centre, near, far = WINDOW
    for _ in range(2):
        n = planes.shape[-2]
        places = torch.arange(n, device=planes.device)
        a, b, d, e = (planes[..., _mirrored(places + shift, n), :] for shift in (-2, -1, 1, 2))
        planes = (centre * planes + near * (b + d) + far * (a + e)).transpose(-1, -2)
    return planes


def _mirrored(places: Tensor, n: int) -> Tensor:
    places = torch.where(places < 0, -1 - places, places)
    return torch.where(places >= n, 2 * n - 1 - places, places).clamp(0, n - 1)


def _factor(guides: Tensor, means: Tensor) -> list[Tensor]:
    """Cholesky factors of the guides' covariances, column by column: from the diagonal on."""
    columns: list[Tensor] = []
    for j in range(len(guides)):
        column = _smooth(guides[j:] * guides[j]) - means[j:] * means[j]
        column[0] += RIDGE
        for m, before in enumerate(columns):
            column = column - before[j - m :] * before[j - m]
        diagonal = 1.0 / _root(column[0].clamp(min=RIDGE))
        columns.append(torch.cat([diagonal[None], column[1:] * diagonal]))
    return columns


def _root(values: Tensor) -> Tensor:
    """Square roots, correctly rounded: torch's on the CPU may be off by a bit."""
    if values.device.type == "cpu":
        return torch.from_numpy(np.sqrt(values.numpy()))
    return values.sqrt()


def _regress(target: Tensor, guides: Tensor, means: Tensor, factor: list[Tensor]) -> Tensor:
    """Weights of the guides around each pixel, and last the constant."""
    k = len(guides)
    mean = _smooth(target)
    weights = list(_smooth(guides * target) - means * mean)
    for i in range(k):
        weights[i] = weights[i] * factor[i][0]
        for j in range(i + 1, k):
            weights[j] = weights[j] - factor[i][j - i] * weights[i]
    for i in reversed(range(k)):
        for j in range(i + 1, k):
            weights[i] = weights[i] - factor[i][j - i] * weights[j]
        weights[i] = weights[i] * factor[i][0]
    constant = mean
    for weight, average in zip(weights, means, strict=True):
        constant = constant - weight * average
    return torch.stack([*weights, constant])


def _at(padded: Tensor, rows: int, cols: int, y: int, x: int) -> Tensor:
    """What is so many rows and columns away from each coefficient of a band."""
    return padded[MARGIN + y : MARGIN + y + rows, MARGIN + x : MARGIN + x + cols]


def _sum(padded: Tensor, rows: int, cols: int, places: Sequence[tuple[int, int]]) -> Tensor:
    (y, x), *others = places
    total = _at(padded, rows, cols, y, x)
    for y, x in others:
        total = total + _at(padded, rows, cols, y, x)
    return total


def _rings(own: Tensor, rows: int, cols: int, here: tuple[slice, slice]) -> Tensor:
    """Inputs 0 to 4 of a group as sums: the band itself."""
    rings = (_BESIDE, _OVER, _CORNERS, _STRAIGHT, _REST)
    return 1 + 4 * torch.stack([_sum(own, rows, cols, ring)[here] for ring in rings], -1)


def _still(near: Neighbours, rows: int, cols: int) -> Tensor:
    """The other inputs as sums, of all coefficients of a band, shape (rows, cols, 19)."""
    c, o = near.component, near.orientation
    level: Any = near.level
    zeros = torch.zeros((rows, cols), dtype=torch.float32, device=level.device)
    sums = [zeros] * INPUTS

    def around(padded: Any, places: Sequence[tuple[int, int]]) -> Tensor:
        return _sum(padded, rows, cols, places)

    if len(near.parent):
        sums[5:9], sums[22] = _parents(near, rows, cols)
    for other in range(o):
        sums[9] = sums[9] + around(level[c, other], [(0, 0)])
        sums[10] = sums[10] + around(level[c, other], _AROUND)
    for back in range(min(c, 3)):
        plane = level[c - 1 - back, o]
        sums[11 + 3 * back] = around(plane, [(0, 0)])
        sums[12 + 3 * back] = around(plane, [*_OVER, *_BESIDE])
        sums[13 + 3 * back] = around(plane, _CORNERS)
    if near.expected is not NOTHING:
        expected: Any = near.expected
        sums[23] = expected.abs().clamp(max=SEEN).to(torch.float32)
    still = 1 + 4 * torch.stack(sums[_RINGS:], -1)
    if c > 3:
        share = float(np.float32(4) / np.float32(c - 3))
        still[..., 20 - _RINGS] = 1 + share * around(near.earlier, [(0, 0)])
        still[..., 21 - _RINGS] = 1 + share * around(near.earlier, [*_OVER, *_BESIDE])
    return still


def _parents(near: Neighbours, rows: int, cols: int) -> tuple[list[Tensor], Tensor]:
    """Sums 5 to 8, and 22, over the level above."""
    c, o = near.component, near.orientation
    parent: Any = near.parent
    y, x = (torch.arange(side, device=parent.device) for side in (rows, cols))
    rows_above, cols_above = (y >> 1) + MARGIN, (x >> 1) + MARGIN

    def above(plane: Tensor, row: int | Tensor = 0, col: int | Tensor = 0) -> Tensor:
        return plane[rows_above + row][:, cols_above + col]

    plane = parent[c, o]
    closest = above(plane, 2 * (y & 1) - 1) + above(plane, 0, 2 * (x & 1) - 1)
    ring = sum(above(plane, row, col) for row, col in _AROUND)
    first, second = (other for other in range(3) if other != o)
    others = above(parent[c, first]) + above(parent[c, second])
    later = torch.zeros_like(others)
    for k in range(c + 1, min(c + 4, len(parent))):
        later = later + above(parent[k, o])
    return [above(plane), closest, ring - closest, others], later


def _inputs(sums: Tensor) -> Tensor:
    """Inputs of the network of sums: about ``16 log2``, see `xhsinr.coding.planes_odds`."""
    return ((sums.view(torch.int32) >> 19) - (127 << 4)).to(torch.float64)


def _activated(sums: Tensor) -> Tensor:
    return (sums.clamp(min=0) / 64).floor().clamp(max=LARGEST_UNIT)


def _length(sizes: Tensor) -> Tensor:
    """Bits of natural numbers: the exponent of a float64."""
    exponents: Tensor = (sizes.to(torch.float64).view(torch.int64) >> 52) - 1022
    return exponents.clamp(min=0)


def _kinds(sizes: Tensor) -> Tensor:
    """Classes of magnitudes."""
    low = (_length(sizes) - 2).clamp(min=0)
    kinds = torch.where(sizes < 2, sizes, 2 + 2 * low + ((sizes >> low) & 1))
    return torch.where(sizes >= ESCAPE, STICKS, kinds)


def _raw(sizes: Tensor, kinds: Tensor) -> tuple[Tensor, Tensor]:
    """Bits below the leading ones of magnitudes, and how many there are."""
    past = (sizes - ESCAPE + 1).clamp(min=1)
    counts = torch.where(kinds == STICKS, _length(past) - 1, ((kinds - 2) >> 1).clamp(min=0))
    values = torch.where(kinds == STICKS, past, sizes)
    return values & ((1 << counts) - 1), counts


def _symbols(sizes: Tensor, negative: Tensor, shares: Tensor) -> Tensor:
    """First and frequency of each symbol of magnitudes and signs, shape (symbols, 2)."""
    kinds = _kinds(sizes)
    values, counts = _raw(sizes, kinds)
    first = torch.zeros((len(sizes), _SLOTS), dtype=torch.int64, device=sizes.device)
    frequency = torch.zeros_like(first)
    sticks = torch.arange(STICKS, device=sizes.device)
    last = sticks == kinds[:, None]
    first[:, :STICKS] = torch.where(last, 0, shares)
    frequency[:, :STICKS] = torch.where(last, shares, _TOTAL - shares)
    frequency[:, :STICKS] *= sticks <= kinds[:, None]
    more = (counts - BITS).clamp(min=0)
    lengths = torch.where(kinds == STICKS, 5, 0)
    raw = (
        (counts, lengths),
        (values >> more, counts - more),
        (values & ((1 << more) - 1), more),
        (negative.to(torch.int64), (kinds > 0).to(torch.int64)),
    )
    for slot, (value, bits) in enumerate(raw, STICKS):
        first[:, slot] = value << (BITS - bits)
        frequency[:, slot] = torch.where(bits > 0, 1 << (BITS - bits), 0)
    there = frequency > 0
    return torch.stack([first[there], frequency[there]], 1)
