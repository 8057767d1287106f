"""`xhsinr.transform.wavelet` on a device of torch: whole arrays in place of loops, the same bits.

Each operation is one of IEEE float64 on its own, in the order of the compiled loops; none is
fused with another.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xhsinr.transform.wavelet import HIGH, LOW, STEPS

__all__ = ["analyse", "synthesise"]


def analyse(plane: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """See `xhsinr.transform.wavelet.analyse`."""
    even, odd = _lifted(plane[0::2], plane[1::2], STEPS)
    down_low, down_high = _scales(plane.shape[0])
    across_low, across_high = _scales(plane.shape[1])
    bands = []
    for source, scale in ((even, down_low), (odd, down_high)):
        columns = (scale * source).T
        low, high = _lifted(columns[0::2], columns[1::2], STEPS)
        bands += [(low * across_low).T, (high * across_high).T]
    coarse, across, down, both = bands
    return coarse, across, down, both


def synthesise(coarse: Tensor, across: Tensor, down: Tensor, both: Tensor) -> Tensor:
    """See `xhsinr.transform.wavelet.synthesise`."""
    down_low, down_high = (1.0 / scale for scale in _scales(len(coarse) + len(down)))
    across_low, across_high = (1.0 / scale for scale in _scales(coarse.shape[1] + across.shape[1]))
    halves = []
    for first, second, scale in ((coarse, across, down_low), (down, both, down_high)):
        low, high = (scale * across_low * first).T, (scale * across_high * second).T
        halves.append(_woven(*_lifted(low, high, _BACK)).T)
    return _woven(*_lifted(halves[0], halves[1], _BACK))


# Lifting steps of the synthesis: factor, and whether odd samples are what it changes.
_BACK = tuple((-factor, into_odd) for factor, into_odd in reversed(STEPS))


def _scales(side: int) -> tuple[float, float]:
    """What even and odd samples of a side are multiplied by."""
    return (LOW, HIGH) if side > 1 else (1.0, 1.0)


def _lifted(
    even: Tensor, odd: Tensor, steps: tuple[tuple[float, bool], ...]
) -> tuple[Tensor, Tensor]:
    """Add to odd rows a factor times both even rows beside them, or the other way round."""
    if not len(odd):
        return even, odd
    for factor, into_odd in steps:
        if into_odd:
            after = torch.cat([even[1:], even[-1:]])[: len(odd)]
            odd = odd + factor * (even[: len(odd)] + after)
        else:
            before = torch.cat([odd[:1], odd])[: len(even)]
            after = torch.cat([odd, odd[-1:]])[: len(even)]
            even = even + factor * (before + after)
    return even, odd


def _woven(even: Tensor, odd: Tensor) -> Tensor:
    """Rows in turn."""
    rows = even.new_empty(len(even) + len(odd), even.shape[1])
    rows[0::2], rows[1::2] = even, odd
    return rows
