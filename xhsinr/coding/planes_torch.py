"""Score planes coded on a device of torch, into the same bytes as on the CPU.

Of a band, each group of coefficients is a few dozen operations on arrays. Numbers are integers,
or IEEE floats that go through the same operations in the same order as in the compiled code, and
what is summed over pixels is exact in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xhsinr.coding.planes_bands import ESCAPE, LARGEST, MOST_SAVED, SAVED_UNITS, kind_of
from xhsinr.coding.planes_odds import MARGIN, SEEN, Neighbours
from xhsinr.coding.planes_prediction import GUIDES, RIDGE, STRENGTHS, WINDOW
from xhsinr.coding.planes_tile import NOTHING, ROUNDED_UP, PlaneEncoder
from xhsinr.entropy.rans import BITS
from xhsinr.network.prior import INPUTS, LARGEST_UNIT, ODDS_LIMIT, STICKS, Prior, odds_table
from xhsinr.transform.wavelet import gain
from xhsinr.transform.wavelet_torch import analyse, synthesise

__all__ = ["TorchPlaneEncoder"]

Places = Sequence[tuple[int, int]]

_TOTAL = 1 << BITS
_RINGS = 5  # inputs that are of the band itself
_HERE: Places = [(0, 0)]
_BESIDE, _OVER = [(0, -1), (0, 1)], [(-1, 0), (1, 0)]
_CORNERS = [(-1, -1), (-1, 1), (1, -1), (1, 1)]
_CROSS, _AROUND = [*_OVER, *_BESIDE], [*_OVER, *_BESIDE, *_CORNERS]
_STRAIGHT = [(-2, 0), (2, 0), (0, -2), (0, 2)]
_FAR = [(y, x) for y in range(-2, 3) for x in range(-2, 3) if max(abs(y), abs(x)) == 2]
# Sums by the number of the plane that they are of: the band itself; the bands of lower
# orientation, and the band in three components before; in the level above, the band, both
# others, and three later components, and of the band what is closest to a child.
_OWN = [(0, p) for p in (_BESIDE, _OVER, _CORNERS, _STRAIGHT, [*(set(_FAR) - set(_STRAIGHT))])]
_RELATIVES = [
    *((0, places) for places in (_HERE, _AROUND)),
    *((back, places) for back in (1, 2, 3) for places in (_HERE, _CROSS, _CORNERS)),
]
_PARENTS = [
    *((0, _HERE), (0, _AROUND), (1, _HERE), (2, _HERE)),
    *((0, [(y, 0), (0, x)]) for y in (-1, 1) for x in (-1, 1)),
]
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
        on_device: Any = self._tensor(planes)
        super().__init__(on_device, prior)
        # Products are of integers that float64 holds, whatever a device makes of float32.
        self._weights_1 = self._tensor(prior.weights_1[:INPUTS].T, np.float64)
        self._weights_2 = self._tensor(prior.weights_2.T, np.float64)
        self._weights_3 = self._tensor(prior.weights_3[:, :STICKS].T, np.float64)
        self._bias_2 = self._tensor(prior.bias_2[:, None], np.float64)
        self._bias_3 = self._tensor(prior.bias_3[:STICKS, None], np.float64)
        self._rings = self._tensor(_kernels(_OWN, 1))
        self._relatives = self._tensor(_kernels(_RELATIVES, 4))
        self._parents = self._tensor(_kernels(_PARENTS, 3))
        self._odds = self._tensor(odds_table(), np.int64)
        self._kinds, self._raw_bits = map(self._tensor, _class_tables())
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
        own = own[: rows + 2 * MARGIN, : cols + 2 * MARGIN]
        still = self._still(near, rows, cols)
        bias = self._tensor(near.bias, np.float64)
        values = torch.zeros_like(target)
        groups, saved = [], torch.zeros((), dtype=torch.int64, device=self._device)
        for group, (top, left) in enumerate([(0, 0), (1, 1), (0, 1), (1, 0)]):
            here = slice(top, rows, 2), slice(left, cols, 2)
            exact = target[here].flatten()
            if not exact.numel():
                continue
            rings = _sums(own[None, top:, left:], self._rings, stride=2)
            first = self._weights_1[:, : len(rings)] @ _inputs(1 + 4 * rings).flatten(1)
            shares = self._shares(first + still[:, *here].flatten(1) + bias[group, :, None])
            sizes, gained = self._quantise(exact.abs().clamp(max=LARGEST - 1.0), shares)
            saved += gained
            groups.append((sizes, exact, shares))
            values[here] = torch.where(exact < 0, -sizes, sizes).reshape(values[here].shape)
            within = own[MARGIN:-MARGIN, MARGIN:-MARGIN]
            within[here] = values[here].abs().clamp(max=SEEN).to(torch.float32)
        parts = [torch.cat(part, -1) for part in zip(*groups, strict=True)]
        return self._pairs(*parts).cpu().numpy().astype(np.uint16), values, int(saved)

    def _still(self, near: Neighbours, rows: int, cols: int) -> Tensor:
        """What the first layer makes of all inputs but a band's own, shape (HIDDEN, rows, cols)."""
        c, o = near.component, near.orientation
        level: Any = near.level
        nothing = torch.zeros_like(level[c, o])
        before = [level[c - back, o] if back <= c else nothing for back in (1, 2, 3)]
        sums = torch.zeros((INPUTS, rows, cols), dtype=torch.float32, device=self._device)
        planes = torch.stack([level[c, :o].sum(0), *before])
        sums[9:20] = _sums(planes, self._relatives)[:, :rows, :cols]
        if len(near.parent):
            sums[5:9], sums[22] = self._of_parents(near, rows, cols)
        if near.expected is not NOTHING:
            expected: Any = near.expected
            sums[23] = expected.abs().clamp(max=SEEN)
        sums = 1 + 4 * sums
        if c > 3:
            share = float(np.float32(4) / np.float32(c - 3))
            earlier: Any = near.earlier
            above, here, below = (earlier[MARGIN + y :][:rows] for y in (-1, 0, 1))
            left, middle, right = (slice(MARGIN + x, MARGIN + x + cols) for x in (-1, 0, 1))
            cross = above[:, middle] + below[:, middle] + here[:, left] + here[:, right]
            sums[20] = 1 + share * here[:, middle]
            sums[21] = 1 + share * cross
        inputs = _inputs(sums[_RINGS:]).flatten(1)
        return (self._weights_1[:, _RINGS:] @ inputs).reshape(-1, rows, cols)

    def _of_parents(self, near: Neighbours, rows: int, cols: int) -> tuple[Tensor, Tensor]:
        """Sums 5 to 8, and 22, over the level above."""
        c, o = near.component, near.orientation
        parent: Any = near.parent
        others = parent[c].sum(0) - parent[c, o]
        planes = torch.stack([parent[c, o], others, parent[c + 1 : c + 4, o].sum(0)])
        # A parent may be past the last one.
        sums = _sums(torch.nn.functional.pad(planes, (0, 1, 0, 1)), self._parents)
        y, x = (torch.arange(side, device=self._device) for side in (rows, cols))
        closest = sums[4 + 2 * (y & 1)[:, None] + (x & 1), (y >> 1)[:, None], x >> 1]
        itself, ring, others, later = sums[:4, (y >> 1)[:, None], x >> 1]
        return torch.stack([itself, closest, ring - closest, others]), later

    def _shares(self, sums: Tensor) -> Tensor:
        """Share, in ``2**-15``, of each class among those not ruled out, shape (STICKS, n)."""
        second = _activated(self._weights_2 @ _activated(sums) + self._bias_2)
        odds = (self._weights_3 @ second + self._bias_3).to(torch.int64) >> 5
        return self._odds[(odds + ODDS_LIMIT).clamp(0, 2 * ODDS_LIMIT - 1)]

    def _quantise(self, exact: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Magnitudes, and what they save, in units, against zeros that cost nothing."""
        costs = self._costs_of[torch.nn.functional.pad(shares, (0, 0, 0, 1), value=_TOTAL)]
        costs[1:] += self._costs_of[_TOTAL - shares].cumsum(0)
        upper = (exact + 0.5).floor()
        sizes = torch.stack([(upper - 1).clamp(min=1), upper])
        kinds, bits = self._classes(sizes)
        bits += (sizes > 0) + 5 * (sizes >= ESCAPE)
        errors = exact - sizes
        total = errors * errors + self._worth * (bits + costs.gather(0, kinds))
        least, best = exact * exact + self._worth * costs[0], torch.zeros_like(upper)
        for size, cost in zip(sizes, total, strict=True):
            better = (upper > 0) & (cost < least)
            best, least = torch.where(better, size, best), torch.where(better, cost, least)
        gained = (exact * exact - least).clamp(max=MOST_SAVED) * SAVED_UNITS
        return best, gained.to(torch.int64).sum()

    def _classes(self, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Classes of magnitudes, and how many bits below the leading one are raw."""
        places = sizes.clamp(max=ESCAPE).to(torch.int64)
        return self._kinds[places], self._raw_bits[places] + _length(sizes - ESCAPE + 1) - 1

    def _pairs(self, sizes: Tensor, signed: Tensor, shares: Tensor) -> Tensor:
        """First and frequency of each symbol of magnitudes and signs, shape (symbols, 2)."""
        (kinds, counts), escaped = self._classes(sizes), sizes >= ESCAPE
        values = torch.where(escaped, sizes - ESCAPE + 1, sizes).to(torch.int64)
        values &= (1 << counts) - 1
        more = (counts - BITS).clamp(min=0)
        raw = (
            (counts, torch.where(escaped, 5, 0)),
            (values >> more, counts - more),
            (values & ((1 << more) - 1), more),
            ((signed < 0).to(torch.int64), (kinds > 0).to(torch.int64)),
        )
        sticks = torch.arange(STICKS, device=self._device)[:, None]
        first = [torch.where(sticks == kinds, 0, shares)]
        frequency = [torch.where(sticks == kinds, shares, _TOTAL - shares) * (sticks <= kinds)]
        for value, bits in raw:
            first.append((value << (BITS - bits))[None])
            frequency.append(((1 << (BITS - bits)) * (bits > 0))[None])
        pairs = torch.stack([torch.cat(first), torch.cat(frequency)], -1).transpose(0, 1)
        return pairs[pairs[..., 1] > 0]


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


@cache
def _class_tables() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Class of each magnitude up to `ESCAPE`, and its bits below the leading ones."""
    kinds = np.array([kind_of(size) for size in range(ESCAPE + 1)])
    bits = np.maximum(kinds - 2, 0) >> 1
    bits[ESCAPE] = 0
    return kinds, bits


def _kernels(rings: Sequence[tuple[int, Places]], planes: int) -> npt.NDArray[np.float64]:
    """What sums around a pixel are of so many planes, shape (sums, planes, 5, 5)."""
    kernels = np.zeros((len(rings), planes, 1 + 2 * MARGIN, 1 + 2 * MARGIN))
    for kernel, (plane, places) in zip(kernels, rings, strict=True):
        for y, x in places:
            kernel[plane, MARGIN + y, MARGIN + x] = 1
    return kernels


def _sums(planes: Tensor, kernels: Tensor, stride: int = 1) -> Tensor:
    """Sums around the pixels of planes with their margin; of integers, and exact."""
    found = torch.nn.functional.conv2d(planes.to(torch.float64)[None], kernels, stride=stride)
    return found[0].to(torch.float32)


def _inputs(sums: Tensor) -> Tensor:
    """Inputs of the network of sums: about ``16 log2``, see `xhsinr.coding.planes_odds`."""
    return ((sums.view(torch.int32) >> 19) - (127 << 4)).to(torch.float64)


def _activated(sums: Tensor) -> Tensor:
    return (sums.clamp(min=0) / 64).floor().clamp(max=LARGEST_UNIT)


def _length(sizes: Tensor) -> Tensor:
    """Bits of whole numbers, of those below 1 one."""
    return torch.frexp(sizes.clamp(min=1)).exponent.to(torch.int64)
