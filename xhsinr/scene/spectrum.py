"""What people call the wavelengths and widths of bands, and where a DataArray keeps them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xhsinr.storage import Place

__all__ = [
    "FWHM_NAMES",
    "WAVELENGTH_NAMES",
    "in_lower_case",
    "listed",
    "micrometres",
    "numbers_of_text",
    "units_of",
    "with_spectrum",
]

_UNIT_KEYS = ("wavelength_units", "wavelength_unit", "wavelengths_units", "wavelengths_unit")
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
    # "Nanometers (nm)", "[nm]", "nm."
    text = re.sub(r"(?<=\w)\s*[(\[].*", "", (units or "").lower()).strip("[]()., ")
    power = _POWER.fullmatch(text)
    exponent = _METRES.get(power[2].strip() if power else text)
    if exponent is None:
        return None
    exponent += int(power[1]) if power else 0
    return 10.0 ** (-6 - exponent) if exponent <= -6 else 1 / 10.0 ** (exponent + 6)


def in_lower_case(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Attributes or tags, under names that sources write in any case."""
    return {str(key).lower(): value for key, value in attrs.items()}


def units_of(coord: Mapping[Any, Any], scene: Mapping[Any, Any]) -> str | None:
    """Units of wavelengths by the attributes of their coordinate, else of the scene."""
    own, low = in_lower_case(coord), in_lower_case(scene)
    texts = (own.get("units"), own.get("unit"), *(low.get(key) for key in _UNIT_KEYS))
    return next((text for text in texts if isinstance(text, str) and text), None)


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
    values = np.array([_number(word) for word in _words(text)])
    return values if values.size == count and np.isfinite(values).all() else None


def listed(place: Place, name: str, text: str, count: int) -> npt.NDArray[np.float64] | None:
    """As `numbers_of_text`, warning of a list that is there and cannot be taken."""
    values = numbers_of_text(text, count)
    if values is None and text.strip():
        words = _words(text)
        odd = [(n, word) for n, word in enumerate(words, 1) if not np.isfinite(_number(word))]
        told = f"has {odd[0][1]!r} for band {odd[0][0]}, which is no number" if odd else ""
        if len(words) != count:
            told = f"lists {len(words)} values for {count} bands"
        warnings.warn(
            f"{place}: {name!r} {told}, so it is left out; mend the list to keep it", stacklevel=2
        )
    return values


def _words(text: str) -> list[str]:
    words = text.strip().strip("{}").strip().removesuffix(",").split(",")
    return [word.strip() for word in words]


def _number(word: str) -> float:
    """NaN where it is none."""
    try:
        return _FLAGS[word.lower()] if word.lower() in _FLAGS else float(word)
    except ValueError:
        return float("nan")
