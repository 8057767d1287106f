"""ENVI headers, read as people write them, and what of their layout the samples have to fit."""

from __future__ import annotations

import re
from collections.abc import Mapping

from xhsinr.errors import SceneError
from xhsinr.storage import Place

__all__ = ["LAYOUT", "check_layout", "fields_of"]

Fields = Mapping[str, str]

LAYOUT = (
    {"samples", "lines", "bands", "header_offset", "file_type", "data_type", "interleave"}
    | {"byte_order", "map_info", "projection_info", "coordinate_system_string", "band_names"}
    | {"wavelength", "wavelengths", "wavelength_units", "fwhm", "bbl", "data_ignore_value"}
    | {"data_gain_values", "data_offset_values", "x_start", "y_start", "file_compression"}
    | {"major_frame_offsets", "minor_frame_offsets", "rpc_info", "geo_points"}
)
"""Keys about the file and its layout; a scene has what they say elsewhere."""

_FIELD = re.compile(r"^[ \t]*([^={}\n;]+?)[ \t]*=[ \t]*(\{[^}]*\}?|[^\n]*)", re.MULTILINE)
# Bytes of a sample by ENVI's number for its type.
_SIZES = {1: 1, 2: 2, 3: 4, 4: 4, 5: 8, 6: 8, 9: 16, 12: 2, 13: 4, 14: 8, 15: 8}


def fields_of(text: str) -> dict[str, str] | None:
    """Fields of a header by their names in small letters, words joined by ``_``.

    Lists keep their braces, on one line. None if the text is no ENVI header.

    >>> fields_of("ENVI\\nBand Names = {a,\\n b}")
    {'band_names': '{a, b}'}
    """
    if not text.lstrip("\ufeff \t\r\n").startswith("ENVI"):
        return None
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    return {
        re.sub(r"[\s_]+", "_", name.strip().lower()): re.sub(r"\s*\n\s*", " ", value).strip()
        for name, value in _FIELD.findall(plain)
    }


def check_layout(place: Place, header: Fields, size: int | None) -> None:
    """Refuse a file whose samples are not where its header says.

    Parameters
    ----------
    place : Path or str
        The data file.
    header : mapping
        As `fields_of` gives it.
    size : int, optional
        Bytes of the data file, where they are known.

    Raises
    ------
    SceneError
    """
    for key in ("major_frame_offsets", "minor_frame_offsets"):
        if any(_whole(word) for word in header.get(key, "").strip("{}").split(",")):
            raise SceneError(
                f"{place}: its header has {key.replace('_', ' ')} = {header[key]}, bytes between "
                "its lines that are not read: write it anew without them, for example with ENVI"
            )
    if _whole(header.get("file_compression", "")) or size is None:
        return
    numbers = [_whole(header.get(key, "")) for key in ("samples", "lines", "bands")]
    width = _SIZES.get(_whole(header.get("data_type", "")))
    if not all(numbers) or width is None:
        return
    # GDAL takes the header's word for it, and reads zeros behind the end.
    needed = _whole(header.get("header_offset", "")) + width * numbers[0] * numbers[1] * numbers[2]
    if size != needed:
        how = "cut short" if size < needed else "longer than that"
        raise SceneError(
            f"{place}: has {size:,} bytes, and its header describes {needed:,}: the file is "
            f"{how}, or the header is of another file"
        )


def _whole(text: str) -> int:
    """A whole number; 0 where there is none."""
    try:
        return int(text.strip())
    except ValueError:
        return 0
