"""What a sidecar says about itself: the quality report and the figures of ``info``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import xhsinr
from xhsinr.coding.tile import TileCodec
from xhsinr.metrics import Quality, bpppb
from xhsinr.scene import Scene
from xhsinr.sidecar.codec_header import codec_bytes_of
from xhsinr.sidecar.file import Header, Sidecar
from xhsinr.target import Target
from xhsinr.tiling import Tiling

__all__ = ["describe", "info"]

_FIGURES = ("psnr_db", "rmse", "max_error", "mean_sam_deg")


def describe(
    scene: Scene,
    tiling: Tiling,
    target: Target,
    codec: TileCodec,
    qualities: Sequence[Quality],
    noise: float | None = None,
) -> tuple[Header, dict[str, npt.NDArray[Any]]]:
    """Header and arrays of a sidecar.

    Parameters
    ----------
    scene, tiling, target, codec
        What was compressed, and how.
    qualities : sequence of Quality
        Of each tile, measured on what was really decoded.
    noise : float, optional
        The scene's estimated noise, where the target rests on it.
    """
    description, scene_arrays = scene.describe()
    total = Quality.merge(qualities)
    header = {
        "software": f"xhsinr {xhsinr.__version__}",
        "shape": list(scene.shape),
        "dtype": scene.dtype.str.lstrip("<>=|"),
        "tile": tiling.tile,
        "target": target.to_header(),
        "quality": {
            "psnr_db": _finite(total.psnr_db),
            "rmse": _finite(total.rmse),
            "max_error": total.max_error,
            "mean_sam_deg": _finite(total.mean_sam_deg),
        },
        "scene": description,
    }
    if noise is not None:
        header["noise"] = noise
    errors = [(q.rmse if q.samples else 0.0, q.max_error) for q in qualities]
    arrays = {f"scene.{name}": value for name, value in scene_arrays.items()}
    coded = np.frombuffer(codec.to_bytes(), np.uint8)
    return header, {**arrays, "codec": coded, "quality": np.array(errors, np.float32)}


def info(sidecar: Sidecar) -> dict[str, Any]:
    """Figures of a compressed scene, rates in bits per sample of all bytes of the file.

    Returns
    -------
    dict
        ``bytes``, ``bpppb``, ``bpppb_with_network`` (the base network's file counted with this
        one scene), ``psnr_db`` (None if lossless), ``rmse``, ``max_error``, ``mean_sam_deg``,
        ``shape`` (bands, rows, cols), ``dtype``, ``coding`` and its ``parts`` (bytes of each),
        ``network``,
        ``per_tile`` (bytes, RMSE and largest error of each), and more.
    """
    sidecar.check_report()
    header = sidecar.header
    codec = codec_bytes_of(sidecar)
    use = codec.network_use
    network_bytes = use.file_bytes if use else 0
    sizes = sidecar.sizes.sum(axis=0)
    scene = header["scene"]
    out = {
        "path": sidecar.name,
        "bytes": sidecar.file_bytes,
        "bpppb": bpppb(sidecar.file_bytes, sidecar.samples),
        "bpppb_with_network": bpppb(sidecar.file_bytes + network_bytes, sidecar.samples),
        "ratio": sidecar.samples * sidecar.dtype.itemsize / sidecar.file_bytes,
        **{name: header["quality"][name] for name in _FIGURES},
        "target": header["target"],
        "shape": list(sidecar.shape),
        "dtype": str(sidecar.dtype),
        "tile": header["tile"],
        "tiles": len(sidecar.tiling),
        "coding": codec.kind.name,
        "parts": {name: int(size) for name, size in zip(sidecar.parts, sizes, strict=True)},
        "per_tile": {
            "bytes": sidecar.sizes.sum(axis=1).tolist(),
            "rmse": sidecar.arrays["quality"][:, 0].tolist(),
            "max_error": sidecar.arrays["quality"][:, 1].tolist(),
        },
        "codec_bytes": sidecar.arrays["codec"].nbytes,
        "index_bytes": sidecar.arrays["index"].nbytes,
        "metadata_bytes": sidecar.metadata_bytes,
        "network": None,
        "crs": scene.get("crs"),
        "transform": scene.get("transform"),
        "nodata": _json_number(codec.nodata),
        "software": header["software"],
        "format_version": header["version"],
    }
    if use:
        out["network"] = {"name": use.name, "sha256": use.digest, "bytes": network_bytes}
    if "noise" in header:
        out["noise"] = header["noise"]
    return out


def _json_number(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)


def _finite(value: float) -> float | None:
    """Seven digits, each a byte of the header; JSON has no infinity and no NaN."""
    return float(f"{value:.7g}") if math.isfinite(value) else None
