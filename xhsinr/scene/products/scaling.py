"""Scale and offset of stored samples, as attributes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["scaling"]


def scaling(
    scales: npt.NDArray[np.float64], offsets: npt.NDArray[np.float64]
) -> dict[str, float | list[float]]:
    """Attributes for value = scale * stored + offset: one number each where all bands share it.

    Where they do not, lists under the names that rioxarray has for them.
    """
    found: dict[str, float | list[float]] = {}
    for one, many, values in (
        ("scale_factor", "scales", scales.tolist()),
        ("add_offset", "offsets", offsets.tolist()),
    ):
        if len(set(values)) == 1:
            found[one] = values[0]
        else:
            found[many] = values
    return found
