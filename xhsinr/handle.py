"""What `compress` returns: a compressed scene on disk, with its report."""

from __future__ import annotations

import base64
import html
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xhsinr import backend, picture, report
from xhsinr.reading import Reader
from xhsinr.sidecar import Sidecar

__all__ = ["Compressed", "open_sidecar"]

_QUICKLOOK = 256


@dataclass(frozen=True, repr=False)
class Compressed:
    """A compressed scene.

    Attributes
    ----------
    sidecar : Sidecar
        The open file; its samples are decoded when they are asked for.
    """

    sidecar: Sidecar

    @property
    def path(self) -> Path:
        return self.sidecar.path

    @cached_property
    def info(self) -> dict[str, Any]:
        """The figures of ``xhsinr info``, see `xhsinr.report.info`."""
        return report.info(self.sidecar)

    def open(self) -> xr.DataArray:
        """The scene, laid out as it came; samples are decoded when they are asked for."""
        return backend.open_dataarray(self.path)

    def quicklook(self) -> bytes:
        """A small PNG picture in natural colours."""
        reader = Reader(self.sidecar)
        scene = reader.scene()
        micrometres = scene.wavelengths_um
        known = None if micrometres is None else 1000 * micrometres
        chosen = np.array(picture.picture_bands(reader.codec.live, known))
        step = max(1, -(-max(scene.rows, scene.cols) // _QUICKLOOK))
        samples = reader.window(
            chosen, np.arange(0, scene.rows, step), np.arange(0, scene.cols, step)
        )
        valid = ~scene.invalid(samples)
        return picture.png_bytes(picture.stretched(samples, valid, picture.limits(samples, valid)))

    def lines(self) -> list[tuple[str, str]]:
        """The report as labels and values, for people."""
        info = self.info
        bands, rows, cols = info["shape"]
        psnr = "lossless" if info["max_error"] == 0 else f"{_number(info['psnr_db'])} dB"
        layers = [f"{name} {size:,} B" for name, size in info["layers"].items()]
        rest = [f"{name} {info[f'{name}_bytes']:,} B" for name in ("basis", "index", "metadata")]
        rate = f"{info['bpppb']:.4f} bpppb"
        if info["network"]:
            rate += f" ({info['bpppb_with_network']:.4f} with the base network)"
        lines = [
            ("scene", f"{rows} x {cols} pixels, {bands} bands, {info['dtype']}"),
            ("size", f"{info['bytes']:,} bytes, {info['ratio']:.1f} times smaller"),
            ("rate", rate),
            ("PSNR", psnr),
            ("RMSE", _number(info["rmse"])),
            ("largest error", _number(info["max_error"])),
            ("mean spectral angle", f"{_number(info['mean_sam_deg'])}°"),
            ("layers", ", ".join([*layers, *rest])),
        ]
        if info["network"]:
            network = info["network"]
            lines.append(("base network", f"{network['name']} ({network['sha256'][:12]}…)"))
        if "noise" in info:
            lines.append(("noise", _number(info["noise"])))
        return lines

    def __repr__(self) -> str:
        lines = self.lines()
        width = max(len(label) for label, _ in lines)
        body = "\n".join(f"  {label:<{width}}  {value}" for label, value in lines)
        return f"<xhsinr.Compressed {self.path}>\n{body}"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(label)}</th>"
            f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
            for label, value in self.lines()
        )
        picture = base64.b64encode(self.quicklook()).decode()
        return (
            "<div style='display:flex;gap:1.5em;align-items:flex-start'>"
            f"<img src='data:image/png;base64,{picture}' style='max-width:256px' "
            f"alt='quicklook'><table><caption style='text-align:left'><b>"
            f"{html.escape(str(self.path))}</b></caption>{rows}</table></div>"
        )


def open_sidecar(path: str | Path) -> Compressed:
    """Open a compressed scene; reads its header only.

    Raises
    ------
    FileNotFoundError, NotASidecarError, UnsupportedVersionError, DamagedSidecarError
    """
    return Compressed(Sidecar.open(path))


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.4g}"
