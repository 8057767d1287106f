"""What people call the wavelengths and widths of bands, and where a DataArray keeps them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

__all__ = ["FWHM_NAMES", "WAVELENGTH_NAMES", "numbers_of_text", "with_spectrum"]

WAVELENGTH_NAMES = (
    {"wavelength", "wavelengths", "wavelen", "wl", "wvl", "lambda"}
    | {"center_wavelength", "central_wavelength", "center_wavelengths"}
    | {"central_wavelengths", "band_center", "band_centers"}
)
"""What people call band centres, in lower case; so is the band dimension called at times."""

FWHM_NAMES = {"fwhm", "fwhms", "full_width_half_max", "full_width_at_half_maximum"}
"""What people call the full width at half maximum of a band, in lower case."""


def with_spectrum(
    array: xr.DataArray,
    wavelengths: npt.NDArray[np.float64] | None,
    fwhm: npt.NDArray[np.float64] | None,
    units: str | None,
    good: npt.NDArray[Any] | None = None,
) -> xr.DataArray:
    """A scene with what is known of its bands as coordinates of its band dimension.

    Parameters
    ----------
    array : DataArray
        With a dimension called ``band`` or ``bands``.
    wavelengths, fwhm : ndarray of float64, shape (bands,), optional
        Become ``wavelength`` and ``fwhm``.
    units : str, optional
        Of both.
    good : ndarray, shape (bands,), optional
        0 for a bad band, 1 for a good one, as in ENVI's bad band list; becomes ``bbl``.
    """
    band = next(dim for dim in array.dims if dim in ("band", "bands"))
    attrs = {} if units is None else {"units": units}
    found = {"wavelength": wavelengths, "fwhm": fwhm}
    coords: dict[str, Any] = {
        name: (band, values, attrs) for name, values in found.items() if values is not None
    }
    if good is not None:
        coords["bbl"] = (band, good)
    return array.assign_coords(coords)


def numbers_of_text(text: str, count: int) -> npt.NDArray[np.float64] | None:
    """The numbers in ``{1.5, 2, ...}``; None unless there are ``count`` of them."""
    try:
        values = np.array([float(word) for word in text.strip().strip("{}").split(",")])
    except ValueError:
        return None
    return values if values.size == count else None
