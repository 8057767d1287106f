"""What `compress` returns: a compressed scene on disk, with its report."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import xarray as xr

from xhsinr import backend
from xhsinr.errors import printable
from xhsinr.pictures import picture, preview
from xhsinr.pictures.encoded import png_bytes
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.file import Sidecar
from xhsinr.sidecar.report import report
from xhsinr.target import decided_by

__all__ = ["Compressed", "open_sidecar"]

_QUICKLOOK = 256
_DECIDED = {"psnr": "PSNR", "sam_deg": "mean spectral angle"}
_SUSPECT_ANGLE = 3.0
_CAUTION = (
    "spectra are off by more than 3° on average, as those of dark or noisy pixels are first; ask "
    "for sam_deg or max_error if they matter, and declare fill values as nodata"
)


@dataclass(frozen=True, repr=False)
class Compressed:
    """A compressed scene.

    Attributes
    ----------
    sidecar : Sidecar
        The open file; its samples are decoded when they are asked for.
    peak_memory : int, optional
        Most memory that this process had held when it had compressed the scene, in bytes.
    passes : float, optional
        How often the samples of a lazy source were computed when it was compressed.
    cautions : tuple of str
        What is odd of the samples: outliers that the PSNR asked for did not count, and values that
        may be nodata which nobody declared.
    """

    sidecar: Sidecar
    peak_memory: int | None = None
    passes: float | None = None
    cautions: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """Path of the file; a scene behind a URL has none (SidecarError)."""
        return self.sidecar.path

    @cached_property
    def info(self) -> dict[str, Any]:
        """The figures of ``xhsinr info``, see `xhsinr.sidecar.report.Report`.

        ``decided_by`` says which of its two figures a file of the quality ``standard`` was made
        for.
        """
        found = report(self.sidecar)
        decided = decided_by(found.target, found.psnr_db, found.mean_sam_deg)
        return found.to_dict() | {"decided_by": decided}

    def open(self, overview: int = 1) -> xr.DataArray:
        """The scene, laid out as it came; samples are decoded when they are asked for.

        Parameters
        ----------
        overview : int
            Above one, read coarsely: see `xhsinr.backend.HsinrBackend.open_dataset`.
        """
        return backend.lazy_scene(self.sidecar, overview)

    def quicklook(self) -> bytes:
        """A small PNG picture in natural colours."""
        look = preview.quicklook(self.sidecar, _QUICKLOOK)
        return png_bytes(look.colours)

    def lines(self) -> list[tuple[str, str]]:
        """The report as labels and values, for people."""
        info = self.info
        bands, rows, cols = info["shape"]
        psnr = "lossless" if info["max_error"] == 0 else f"{_number(info['psnr_db'])} dB"
        parts = [f"{name} {size:,} B" for name, size in info["parts"].items()]
        rest = [f"{name} {info[f'{name}_bytes']:,} B" for name in ("codec", "index", "metadata")]
        rate = f"{info['bpppb']:.4f} bpppb"
        if info["network"]:
            rate += f" ({info['bpppb_with_network']:.4f} with the base network)"
        lines = [
            ("scene", f"{rows} x {cols} pixels, {bands} bands, {info['dtype']}"),
            ("asked for", ", ".join(f"{name}={value}" for name, value in info["target"].items())),
            *self._of_the_scene(),
            ("size", f"{info['bytes']:,} bytes, its samples take {info['ratio']:.1f} times that"),
            ("rate", rate),
            ("PSNR", psnr),
            ("RMSE", _number(info["rmse"])),
            ("largest error", _number(info["max_error"])),
            ("mean spectral angle", f"{_number(info['mean_sam_deg'])}°"),
            *([("decided by", _DECIDED[info["decided_by"]])] if info["decided_by"] else []),
            ("bytes", ", ".join([*parts, *rest])),
        ]
        if info["network"]:
            network = info["network"]
            lines.append(("base network", f"{network['name']} ({network['sha256'][:12]}…)"))
        if self.passes is not None:
            lines.append(("source", f"read {_times(self.passes)}"))
        if info["noise"] is not None:
            lines.append(("noise", _number(info["noise"])))
        if self.caution:
            lines.append(("caution", self.caution))
        return [(label, printable(value)) for label, value in lines]

    @property
    def caution(self) -> str:
        """What to be wary of; empty for nothing."""
        wide = (self.info["mean_sam_deg"] or 0) > _SUSPECT_ANGLE
        return "; ".join([*([_CAUTION] if wide else []), *self.cautions])

    def _of_the_scene(self) -> Iterator[tuple[str, str]]:
        """What is known of its wavelengths, its place and its nodata."""
        scene = Reader(self.sidecar).scene()
        if scene.wavelengths is not None and np.isfinite(scene.wavelengths).any():
            low, high = np.nanmin(scene.wavelengths), np.nanmax(scene.wavelengths)
            yield "wavelengths", f"{low:.6g} to {high:.6g} {scene.wavelength_units or ''}".rstrip()
        if scene.crs is not None:
            code = scene.crs.to_epsg()
            yield "CRS", pyproj.CRS(scene.crs.to_wkt()).name if code is None else f"EPSG:{code}"
        if scene.nodata is not None:
            yield "nodata", str(scene.nodata)

    def text(self) -> str:
        """The report as lines of text."""
        lines = self.lines()
        width = max(len(label) for label, _ in lines)
        return "\n".join(f"  {label:<{width}}  {value}" for label, value in lines)

    def __repr__(self) -> str:
        return f"<xhsinr.Compressed {printable(self.sidecar.name)}>\n{self.text()}"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(label)}</th>"
            f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
            for label, value in self.lines()
        )
        image = picture.image_html(self.quicklook(), _QUICKLOOK)
        return (
            "<div style='display:flex;gap:1.5em;align-items:flex-start'>"
            f"{image}<table><caption style='text-align:left'><b>"
            f"{html.escape(printable(self.sidecar.name))}</b></caption>{rows}</table></div>"
        )


def open_sidecar(path: str | Path) -> Compressed:
    """Open a compressed scene; reads its header only.

    Parameters
    ----------
    path : str or Path
        Of the ``.hsinr`` file, or a URL that fsspec knows.

    Raises
    ------
    FileNotFoundError, NotASidecarError, UnsupportedVersionError, DamagedSidecarError,
    LimitError, RemoteError
    """
    return Compressed(Sidecar.open(path))


def _times(count: float) -> str:
    return "once" if count == 1 else f"{count:.3g} times"


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.4g}"
