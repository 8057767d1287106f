"""What people call the wavelengths and widths of bands, and where a DataArray keeps them."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xhsinr.storage import Place

__all__ = [
    "FWHM_NAMES",
    "UNIT_KEYS",
    "WAVELENGTH_NAMES",
    "listed",
    "micrometres",
    "numbers_of_text",
    "with_spectrum",
]

UNIT_KEYS = ("wavelength_units", "wavelength_unit", "wavelengths_units", "wavelengths_unit")
WAVELENGTH_NAMES = (
    {"wavelength", "wavelengths", "wavelen", "wl", "wvl", "lambda", "wavelength_3d"}
    | {"center_wavelength", "central_wavelength", "center_wavelengths"}
    | {"central_wavelengths", "band_center", "band_centers"}
)
"""What people call band centres, in lower case; so is the band dimension called at times."""

FWHM_NAMES = {"fwhm", "fwhms", "full_width_half_max", "full_width_at_half_maximum"}
"""What people call the full width at half maximum of a band, in lower case."""

# Metres, by the names that are not a power of ten.
_METRES = {
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 0),
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), -3),
    **dict.fromkeys(("um", "µm", "μm", "micron", "microns", "micrometer", "micrometers"), -6),
    **dict.fromkeys(("micrometre", "micrometres", "mu", "μ", "µ"), -6),
    **dict.fromkeys(("nm", "nanometer", "nanometers", "nanometre", "nanometres"), -9),
    **dict.fromkeys(("a", "å", "ang", "angstrom", "angstroms", "ångström", "ångstrom"), -10),
}
_POWER = re.compile(r"(?:1(?:\.0*)?e|10\s*(?:\^|\*\*)\s*\(?)\s*([+-]?\d{1,2})\)?\s*\*?\s*(\D*)")
_FLAGS = {"true": 1.0, "false": 0.0}


def micrometres(units: str | None) -> float | None:
    """How many of a unit of length make a micrometre; None if it is not known.

    >>> micrometres("Nanometers"), micrometres("1e-9 m"), micrometres("Angstrom")
    (1000.0, 1000.0, 10000.0)
    """
    text = (units or "").strip().lower()
    power = _POWER.fullmatch(text)
    exponent = _METRES.get(power[2].strip() if power else text)
    if exponent is None:
        return None
    exponent += int(power[1]) if power else 0
    return 10.0 ** (-6 - exponent) if exponent <= -6 else 1 / 10.0 ** (exponent + 6)


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
        flags = np.isin(good, (0, 1)).all()
        coords["bbl"] = (band, good.astype(np.uint8) if flags else good)
    return array.assign_coords(coords)


def numbers_of_text(text: str, count: int) -> npt.NDArray[np.float64] | None:
    """The numbers in ``{1.5, 2, ...}``; None unless there are ``count`` of them.

    A comma may follow the last; ``True`` and ``False`` are 1 and 0.
    """
    words = text.strip().strip("{}").strip().removesuffix(",").split(",")
    try:
        values = np.array([_number(word.strip()) for word in words])
    except ValueError:
        return None
    return values if values.size == count and np.isfinite(values).all() else None


def listed(place: Place, name: str, text: str, count: int) -> npt.NDArray[np.float64] | None:
    """As `numbers_of_text`, warning of a list that is there and cannot be taken."""
    values = numbers_of_text(text, count)
    if values is None and text.strip():
        words = text.strip().strip("{}").strip().removesuffix(",").split(",")
        warnings.warn(
            f"{place}: {name!r} lists {len(words)} values for {count} bands, or something that is "
            "no number, so it is left out; mend the list to keep it",
            UserWarning,
            stacklevel=2,
        )
    return values


def _number(word: str) -> float:
    flag = _FLAGS.get(word.lower())
    return float(word) if flag is None else flag
