"""AVIRIS-NG, HyMap and others in ENVI format: what their headers and names say beyond the bands."""

from __future__ import annotations

import re
from pathlib import Path

import xarray as xr

from xhsinr.scene.products.acquisition import acquisition
from xhsinr.scene.spectrum import numbers_of_text

__all__ = ["with_acquisition"]

# The start of the flight line in UTC, by which AVIRIS-NG names its files.
_AVIRIS_NG = re.compile(r"ang(\d{4})(\d\d)(\d\d)t(\d\d)(\d\d)(\d\d)(?=[_.]|$)")
_ZONED = re.compile(r".*(Z|[+-]\d\d:?\d\d)", re.IGNORECASE)


def with_acquisition(array: xr.DataArray, path: Path) -> xr.DataArray:
    """A scene from ENVI with its time, instrument and reflectance scale, where they are stated.

    Parameters
    ----------
    array : DataArray
        With the fields of the ENVI header as attributes.
    path : Path
        Of the data or the header.
    """
    attrs = array.attrs
    time = str(attrs.get("acquisition_time", ""))
    sensor = str(attrs.get("sensor_type", "")).strip()
    named = _AVIRIS_NG.match(path.name)
    if named is not None:
        year, month, day, hour, minute, second = named.groups()
        time = time or f"{year}-{month}-{day}T{hour}:{minute}:{second}Z"
        sensor = "AVIRIS-NG"
    attrs |= acquisition(
        # ENVI's header allows local times: only one with its zone is certain.
        time if _ZONED.fullmatch(time) else None,
        product_id=path.name.removesuffix(".hdr").split(".")[0] if named else None,
        instrument=None if sensor.lower() in ("", "unknown") else sensor,
    )
    # Reflectance is what is stored, divided by this.
    factor = numbers_of_text(str(attrs.get("reflectance_scale_factor", "")), 1)
    if factor is not None and factor[0] > 0 and attrs.get("scale_factor", 1.0) == 1.0:
        attrs["scale_factor"] = 1.0 / float(factor[0])
    array.attrs = attrs
    return array
