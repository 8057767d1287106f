"""Assets of an archive's items: what lies in a file, with its size and checksum."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pystac
import rasterio

from xhsinr.pictures.preview import opened_preview
from xhsinr.scene import Scene
from xhsinr.stac.extension import MEDIA_TYPE
from xhsinr.storage import Place, read_range, size_of

__all__ = ["ASSETS", "data_asset", "file_asset", "multihash", "preview_asset", "valid_pixels"]

ASSETS = {
    "data": ("Compressed scene", MEDIA_TYPE, "data"),
    # As an "overview" it would be passed over by odc-stac.
    "preview": ("Preview in natural colours", pystac.MediaType.COG, "visual"),
    "metadata": ("Report of the compression", pystac.MediaType.JSON, "metadata"),
    "thumbnail": ("Thumbnail", pystac.MediaType.JPEG, "thumbnail"),
    "spectra": ("Spectra before and after, error of each band", "image/svg+xml", "metadata"),
}
"""Title, media type and role of each asset of a scene's item."""

_SHA256 = "1220"  # multihash: the function sha2-256, 32 bytes
_PIECE = 1 << 24
_PICOMETRE = 6  # decimals of a micrometre
_SCALES = (
    ("raster:scale", ("scale_factor", "scales"), 1.0),
    ("raster:offset", ("add_offset", "offsets"), 0.0),
)


def multihash(place: Place) -> str:
    """SHA-256 of a file as a multihash in hexadecimal, as ``file:checksum`` wants it."""
    found = hashlib.sha256()
    for start in range(0, size_of(place), _PIECE):
        found.update(read_range(place, start, start + _PIECE))
    return _SHA256 + found.hexdigest()


def data_asset(sidecar: Path, scene: Scene) -> pystac.Asset:
    """The compressed scene."""
    attrs = {**scene.encoding, **scene.attrs}
    fields: dict[str, Any] = {"data_type": scene.dtype.name}
    if scene.nodata is not None:
        finite = math.isfinite(scene.nodata)
        fields["nodata"] = scene.nodata if finite else str(float(scene.nodata))
    if isinstance(attrs.get("units"), str):
        fields["unit"] = attrs["units"]
    resolution = _resolution(scene)
    if resolution is not None:
        fields["raster:spatial_resolution"] = resolution
    fields["bands"] = _bands(scene)
    _set_scale(fields, attrs, scene.bands)
    # Without a transform, pixels have no place in the CRS of their ground control points.
    crs = None if scene.transform is None else scene.crs
    place = _projection((scene.rows, scene.cols), crs, scene.transform)
    return _asset("data", sidecar, {**place, **fields})


def preview_asset(preview: Path) -> pystac.Asset:
    """The small picture, a cloud-optimized GeoTIFF."""
    with opened_preview(preview) as picture:
        # Pictures with ground control points have a CRS and no transform.
        placed = picture.crs is not None and not picture.transform.is_identity
        crs, transform = (picture.crs, picture.transform) if placed else (None, None)
        fields = _projection(picture.shape, crs, transform)
        fields["data_type"] = picture.dtypes[0]
        fields["bands"] = [{"name": colour.name} for colour in picture.colorinterp]
    return _asset("preview", preview, fields)


def valid_pixels(preview: Path) -> npt.NDArray[np.bool_]:
    """Pixels of a preview that show something, shape (rows, cols)."""
    with opened_preview(preview) as picture:
        mask: npt.NDArray[np.bool_] = picture.dataset_mask() > 0
    return mask


def file_asset(key: str, path: Path) -> pystac.Asset:
    """A file of which nothing more is said: ``metadata``, ``thumbnail`` or ``spectra``."""
    return _asset(key, path, {})


def _projection(
    shape: Sequence[int], crs: rasterio.crs.CRS | None, transform: rasterio.Affine | None
) -> dict[str, Any]:
    """Fields of the projection extension (v2) of one raster."""
    fields: dict[str, Any] = {"proj:code": _code(crs)}
    if crs is not None and fields["proj:code"] is None:
        fields["proj:wkt2"] = crs.to_wkt(version="WKT2_2019")
    fields["proj:shape"] = [int(side) for side in shape]
    if transform is not None:
        fields["proj:transform"] = list(transform)[:6]
    return fields


def _code(crs: rasterio.crs.CRS | None) -> str | None:
    # Without a tolerance: a code stands for exactly this CRS.
    authority = None if crs is None else crs.to_authority(confidence_threshold=100)
    return None if authority is None else ":".join(authority)


def _asset(key: str, path: Path, fields: dict[str, Any]) -> pystac.Asset:
    title, media_type, role = ASSETS[key]
    facts = {"file:size": path.stat().st_size, "file:checksum": multihash(path)}
    return pystac.Asset(
        str(path.resolve()), title, media_type=media_type, roles=[role], extra_fields=facts | fields
    )


def _bands(scene: Scene) -> list[dict[str, Any]]:
    width = max(3, len(str(scene.bands)))
    bands: list[dict[str, Any]] = [{"name": f"B{n:0{width}}"} for n in range(1, scene.bands + 1)]
    names = scene.attrs.get("long_name")
    if isinstance(names, list) and len(names) == scene.bands:
        for band, name in zip(bands, names, strict=True):
            band["description"] = str(name)
    spectral: dict[str, npt.NDArray[np.float64] | None] = {
        "eo:center_wavelength": scene.wavelengths_um,
        "eo:full_width_half_max": scene.fwhm_um,
    }
    for key, values in spectral.items():
        for band, value in zip(bands, [] if values is None else values.tolist(), strict=False):
            if math.isfinite(value) and value > 0:
                band[key] = round(value, _PICOMETRE)
    return bands


def _set_scale(fields: dict[str, Any], attrs: Mapping[str, Any], bands: int) -> None:
    """Scale and offset, for the asset where all bands have the same; none where they do nothing."""
    for key, names, neutral in _SCALES:
        found = next((attrs[name] for name in names if attrs.get(name) is not None), neutral)
        try:
            values = np.broadcast_to(np.asarray(found, np.float64).ravel(), bands)
        except (TypeError, ValueError):  # attributes called so may hold anything
            continue
        if (values == neutral).all() or not np.isfinite(values).all():
            continue
        if (values == values[0]).all():
            fields[key] = float(values[0])
            continue
        for band, value in zip(fields["bands"], values.tolist(), strict=True):
            band[key] = value


def _resolution(scene: Scene) -> float | None:
    """Side of a square as large as a pixel, in metres."""
    if scene.transform is None or scene.crs is None or not scene.crs.is_projected:
        return None
    _, metres = scene.crs.linear_units_factor
    return float(round(metres * math.sqrt(abs(scene.transform.determinant)), 6))
