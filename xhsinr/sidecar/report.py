"""What a sidecar says about itself: the figures of ``info``."""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, dataclass
from typing import Any

from xhsinr.metrics import bpppb
from xhsinr.sidecar.file import Sidecar
from xhsinr.sidecar.header import FORMAT_VERSION

__all__ = ["NetworkReport", "Report", "TileReport", "report"]

_NOISE = (
    "standard deviation of what a regression on all other bands leaves of a band, over the scene's "
    "spectra (Bioucas-Dias and Nascimento 2008); the bound is the median over bands"
)


@dataclass(frozen=True)
class NetworkReport:
    """The base network of a sidecar that is the user's own.

    Attributes
    ----------
    name, sha256 : str
    bytes : int
        Of its file.
    """

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class TileReport:
    """The tiles of a sidecar, a number each.

    Attributes
    ----------
    bytes : list of int
    rmse, max_error : list of float
        In the units of the samples, rounded up by a twelfth or less.
    """

    bytes: list[int]
    rmse: list[float]
    max_error: list[float]


@dataclass(frozen=True)
class Report:
    """Figures of a compressed scene, rates in bits per sample of all bytes of the file.

    Attributes
    ----------
    path : str
        Path or URL.
    bytes : int
        Of the file.
    bpppb, bpppb_with_network : float
        Without and with the bytes of a network of the user's own, counted with this one scene.
    ratio : float
        How many times smaller than the samples the file is.
    psnr_db, rmse, max_error, mean_sam_deg : float or None
        Of the decoded scene; None for a PSNR of no errors, and an angle that no pixel has.
    target : dict
        What was asked for, an argument of `xhsinr.compress`.
    noise : float or None
        The scene's estimated noise, where the target rests on it: the median over bands.
    noise_by_band : list of float or None
        That of each band; None in it for bands without a valid sample.
    noise_estimate : str or None
        What it is an estimate of.
    shape : list of int
        Bands, rows, columns.
    dtype : str
    tile, tiles : int
        Side of a tile in pixels, and how many there are.
    coding : str
    parts : dict
        Bytes of each part of all tiles.
    per_tile : TileReport
    codec_bytes, index_bytes, metadata_bytes : int
        Of the coding's parameters, of the index, of everything else before the tiles.
    network : NetworkReport or None
    crs : str or None
    transform : list of float or None
    nodata : int, float, str or None
        As text where it is not finite.
    software : str
    format_version : int
    """

    path: str
    bytes: int
    bpppb: float
    bpppb_with_network: float
    ratio: float
    psnr_db: float | None
    rmse: float | None
    max_error: float
    mean_sam_deg: float | None
    target: dict[str, Any]
    noise: float | None
    noise_by_band: list[float | None] | None
    noise_estimate: str | None
    shape: list[int]
    dtype: str
    tile: int
    tiles: int
    coding: str
    parts: dict[str, int]
    per_tile: TileReport
    codec_bytes: int
    index_bytes: int
    metadata_bytes: int
    network: NetworkReport | None
    crs: str | None
    transform: list[float] | None
    nodata: int | float | str | None
    software: str
    format_version: int

    def to_dict(self) -> dict[str, Any]:
        """In JSON's types."""
        return asdict(self)


def report(sidecar: Sidecar) -> Report:
    """The report of a sidecar.

    Raises
    ------
    DamagedSidecarError, UnsupportedVersionError
    """
    header, index, codec = sidecar.header, sidecar.index, sidecar.codec_bytes
    description, _ = sidecar.description
    use = sidecar.network_use
    network = None if use is None else NetworkReport(use.name, use.digest, use.file_bytes)
    sizes = index.sizes.sum(axis=0).tolist()
    codec_bytes = len(sidecar.codec_content)
    noise = [_figure(value) for value in header.noise_by_band]
    return Report(
        path=sidecar.name,
        bytes=sidecar.file_bytes,
        bpppb=bpppb(sidecar.file_bytes, sidecar.samples),
        bpppb_with_network=bpppb(
            sidecar.file_bytes + (network.bytes if network else 0), sidecar.samples
        ),
        ratio=sidecar.samples * sidecar.dtype.itemsize / sidecar.file_bytes,
        psnr_db=_psnr(codec.high - codec.low, header.rmse),
        rmse=_figure(header.rmse),
        max_error=header.max_error,
        mean_sam_deg=_figure(header.mean_sam_deg),
        target=header.target,
        noise=_median(noise),
        noise_by_band=noise or None,
        noise_estimate=_NOISE if noise else None,
        shape=list(header.shape),
        dtype=str(header.dtype),
        tile=header.tile,
        tiles=len(sidecar.tiling),
        coding=codec.kind.name,
        parts=dict(zip(sidecar.parts, sizes, strict=True)),
        per_tile=TileReport(
            index.sizes.sum(axis=1).tolist(), *(column.tolist() for column in index.errors.T)
        ),
        codec_bytes=codec_bytes,
        index_bytes=sidecar.index_bytes,
        metadata_bytes=sidecar.tiles_start - codec_bytes - sidecar.index_bytes,
        network=network,
        crs=description.get("crs"),
        transform=description.get("transform"),
        nodata=_json_number(codec.nodata),
        software=f"xhsinr {header.software}",
        format_version=FORMAT_VERSION,
    )


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _figure(statistics.median(known)) if known else None


def _figure(value: float) -> float | None:
    """Seven digits, which is what a file has; JSON has no infinity and no NaN."""
    return float(f"{value:.7g}") if math.isfinite(value) else None


def _psnr(span: float, rmse: float) -> float | None:
    """PSNR of equation 4 in dB."""
    if not (span > 0 and rmse > 0 and math.isfinite(rmse)):
        return None
    return float(f"{20 * (math.log10(span) - math.log10(rmse)):.7g}")


def _json_number(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)
