"""What a scene says of itself besides its samples: JSON and arrays <-> bytes.

The JSON is deflated with a dictionary of what is usual; the arrays follow, see
`xhsinr.sidecar.vectors`. A scene that says nothing takes no bytes.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from xhsinr.entropy.cursor import Cursor, varint
from xhsinr.errors import DamagedSidecarError
from xhsinr.sidecar.vectors import read_array, write_array

__all__ = ["DICTIONARY", "Description", "read_description", "write_description"]

DICTIONARY = (
    b'{"arrays":["coords.time","coords.lat","coords.lon","coords.x","coords.y","coords.band",'
    b'"fwhm","wavelengths"],"attrs":{"AREA_OR_POINT":"Area","_FillValue":-9999.0,'
    b'"add_offset":0.0,"scale_factor":0.0001,"description":"","sensor":"","title":"","units":'
    b'"reflectance","source":"","history":"","long_name":["Band 1","Band 2"]},"band_names":'
    b'["band ",[1,1]," (",["wavelengths",3]," nm)"],"band_tags":true,"coords":{"band":{"dtype":'
    b'"<i8","steps":[1,1]},"fwhm":{"attrs":{"units":"nm"},"dims":["band"],"like":"fwhm"},'
    b'"spatial_ref":{"dims":[],"dtype":"<i8","value":0},"x":{"attrs":{"axis":"X","long_name":'
    b'"x coordinate of projection","standard_name":"projection_x_coordinate","units":"metre"},'
    b'"like":"x"},"y":{"attrs":{"axis":"Y","long_name":"y coordinate of projection",'
    b'"standard_name":"projection_y_coordinate","units":"metre"},"like":"y"}},"crs":"EPSG:4326",'
    b'"crs":"EPSG:32633","encoding":{"_FillValue":-32768,"dtype":"int16","scale_factor":0.0001,'
    b'"rasterio_dtype":"int16"},"gcps":[[0.0,0.0,0.0,0.0,0.0,"1",""]],"grid_mapping":{"name":'
    b'"spatial_ref"},"nodata":-9999,"nodata":-32768,"nodata":{"$float":"nan"},"transform":'
    b'[30.0,0.0,600000.0,0.0,-30.0,5800000.0],{"arrays":["wavelengths"],"axes":[2,0,1],"coords":'
    b'{"wavelength":{"attrs":{"units":"um"},"dims":["band"],"like":"wavelengths"}},"dims":'
    b'["y","x","bands"],"wavelength_units":"um"}{"axes":[2,0,1],"coords":{"wavelength":{"attrs":'
    b'{"units":"nm"},"dims":["band"],"like":"wavelengths"}},"dims":["y","x","band"],'
    b'"wavelength_units":"nm"}{"axes":[2,0,1],"dims":["y","x","band"]}'
)
"""What the deflated JSON may refer to; `docs/format.md` prints it."""

_RAW = -15
_MOST_DIGITS = 300

Description = tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]
"""A strict JSON object and small arrays, as `xhsinr.scene.Scene.describe` gives them."""


def write_description(
    description: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
) -> bytes:
    """Bytes for `read_description`."""
    if not description and not arrays:
        return b""
    names = sorted(arrays)
    whole = {**description, "arrays": names} if names else description
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"), allow_nan=False)
    packer = zlib.compressobj(9, zlib.DEFLATED, _RAW, 9, zdict=DICTIONARY)
    packed = packer.compress(text.encode()) + packer.flush()
    return b"".join([varint(len(packed)), packed, *(write_array(arrays[name]) for name in names)])


def read_description(content: bytes, most_bytes: int, most_array_bytes: int) -> Description:
    """What `write_description` wrote; JSON, and all arrays together, of at most so many bytes.

    Raises
    ------
    DamagedSidecarError
    """
    if not content:
        return {}, {}
    cursor = Cursor(content, "the description of the scene")
    packed = cursor.take(cursor.varint())
    try:
        inflater = zlib.decompressobj(_RAW, zdict=DICTIONARY)
        text = inflater.decompress(packed, most_bytes + 1)
        if len(text) > most_bytes:
            raise ValueError(f"it has more than {most_bytes} bytes")
        if not inflater.eof or inflater.unused_data:
            raise ValueError("it ends too early, or bytes are left over")
        description = json.loads(text, parse_int=_integer)
        if b"\\u" in text:
            # No halves of surrogate pairs, which nothing prints or writes.
            json.dumps(description, ensure_ascii=False).encode()
        names = description.pop("arrays", [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("its arrays have no names")
    except (zlib.error, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise DamagedSidecarError(f"the description of the scene is damaged: {error}") from error
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name in names:
        arrays[name] = read_array(cursor, most_array_bytes)
        most_array_bytes -= arrays[name].nbytes
    cursor.end()
    return description, arrays


def _integer(text: str) -> int:
    """No number is too large for a float."""
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"it has a number of {len(text)} digits")
    return int(text)
