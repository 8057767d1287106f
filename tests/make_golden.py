"""Golden files: what each version of the format has to read for ever, and how they were made.

    python tests/make_golden.py

adds to ``tests/golden`` the cases that have no file yet. Files of today's version never change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from small_networks import siren_network

import xhsinr
from xhsinr.demo import NODATA, synthetic_scene
from xhsinr.network.file import save_network
from xhsinr.network.prior import package_prior
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.file import Sidecar
from xhsinr.sidecar.header import FORMAT_VERSION

__all__ = ["CASES", "GOLDEN", "digest", "samples_of"]

GOLDEN = Path(__file__).parent / "golden"

Case = tuple[Callable[[], xr.DataArray], dict[str, Any]]


def samples_of(path: Path) -> Any:
    """All samples of a file."""
    return Reader(Sidecar.open(path))[:, :, :]


def digest(samples: Any) -> str:
    """SHA-256 of samples, little-endian, band by band and row by row."""
    little = samples.astype(samples.dtype.newbyteorder("<"))
    return hashlib.sha256(np.ascontiguousarray(little).tobytes()).hexdigest()


def _scene(rows: int = 20, cols: int = 18, bands: int = 8, **options: Any) -> xr.DataArray:
    return synthetic_scene(rows, cols, bands, **options)


def _as(dtype: str, factor: float = 1.0, **options: Any) -> xr.DataArray:
    scene = _scene(**options)
    return scene.copy(data=(scene.values * float(factor)).astype(dtype))


def _with_voids() -> xr.DataArray:
    """Nodata corners, a border that nobody declares, a band without samples, and one with few."""
    scene = _scene(nodata_corner=True)
    scene.values[:, :, -2:] = np.arange(8, dtype=np.int16)[:, None, None]
    scene.values[2] = NODATA
    scene.values[5, :11] = NODATA
    return scene


def _of_one_band() -> xr.DataArray:
    scene = _scene(9, 7, 2, nodata_corner=True)
    scene.values[0] = NODATA
    return scene


def _comb() -> xr.DataArray:
    """Flat fields whose counts were multiplied by a gain, of two kinds of spectra."""
    y, x, band = np.ogrid[:80, :80, :16]
    fields = (y // 20 + x // 20) % 2
    noise = np.random.default_rng(7).integers(0, 2, (80, 80, 16)) * (band % 8 == 0)
    counts = 200 + 40 * fields * np.where(band < 8, 1, -1) + x // 4 + 3 * band + noise
    return xr.DataArray((counts * 13 // 10).astype(np.uint16), dims=("y", "x", "band"))


def _of_clusters() -> xr.DataArray:
    """Three kinds of spectra, and bands of much noise with a fine comb."""
    y, x, band = np.ogrid[:100, :96, :16]
    kind = (y // 25 + 2 * (x // 32)) % 3
    first, second = np.array([40, -40, 0])[kind], np.array([0, 30, -50])[kind]
    noise = np.random.default_rng(7).normal(0, 40, (100, 96, 16)) * (band % 7 == 0)
    fields = first * np.where(band < 8, 1, -1) + second * (band % 2)
    counts = 400 + fields + x // 4 + 3 * band + np.rint(noise)
    return xr.DataArray((counts * 21 // 20).astype(np.int16), dims=("y", "x", "band"))


def _of_segments() -> xr.DataArray:
    """More samples than one segment has, all easy to foresee."""
    row, band = np.arange(330)[:, None] // 8, np.arange(11)
    scene = np.broadcast_to((row + band).astype(np.uint8), (340, 330, 11))
    return xr.DataArray(scene, dims=("y", "x", "band"))


def _noise(dtype: str) -> xr.DataArray:
    """Floats of many sizes and all digits, some without a number."""
    rng = np.random.default_rng(3)
    values = rng.normal(0, 1, (12, 13, 5)) * np.exp2(rng.integers(-20, 3, (12, 13, 5)))
    values[5, 6], values[0, 0, :2] = np.nan, (0.0, -0.0)
    return xr.DataArray(values.astype(np.float32).astype(dtype), dims=("y", "x", "band"))


def _of_a_product(dtype: str = "float32") -> xr.DataArray:
    """Floats that are counts times a scale; one of them was worked on."""
    scene = _scene()
    values = scene.values * np.float32(0.0001)
    values[3, 5, 7] *= 1.0001
    return scene.copy(data=values.astype(np.float32).astype(dtype))


def _of_a_quotient() -> xr.DataArray:
    scene = _scene()
    return scene.copy(data=(scene.values / 10_000).astype(np.float32))


def _of_a_reader() -> xr.DataArray:
    """Counts that were scaled, and then moved, in float32."""
    scene = _scene()
    scale, offset = np.float32(0.0001), np.float32(-0.1)
    moved = scene.copy(data=(scene.values * scale + offset).astype(np.float32))
    moved.encoding |= {"scale_factor": 0.0001, "add_offset": -0.1}
    return moved


def _of_bands() -> xr.DataArray:
    """Counts with a scale for each band."""
    scene = _scene()
    scales = 0.0001 * (1 + np.arange(8))[:, None, None]
    return scene.copy(data=(scene.values * scales).astype(np.float32))


CASES: dict[str, Case] = {
    "planes": (_scene, {}),
    "planes_psnr": (partial(_scene, 26, 24, 12), {"psnr": 66}),
    "planes_tiles": (_with_voids, {"psnr": 58, "tile": 11}),
    "planes_thin": (partial(_scene, 1, 13), {"psnr": 60, "tile": 9}),
    "planes_preview": (_scene, {"quality": "preview"}),
    "planes_angle": (partial(_as, "float32", 0.0001), {"sam_deg": 1 / 3}),
    "planes_rate": (partial(_as, "int32", 1000), {"bpppb": 9.5}),
    "planes_prior": (_scene, {"psnr": 55, "network": GOLDEN / "golden-prior.safetensors"}),
    "latents": (
        partial(_scene, 16, 16, 4),
        {"network": GOLDEN / "golden-siren.safetensors", "quality": "preview"},
    ),
    "bounded_lossless": (_scene, {"lossless": True}),
    "bounded_voids": (_with_voids, {"lossless": True, "tile": 11}),
    "bounded_band": (_of_one_band, {"lossless": True}),
    "bounded_error": (partial(_scene, nodata_corner=True), {"max_error": 3}),
    "bounded_base": (partial(_scene, 40, 40, 20), {"max_error": 120}),
    "bounded_analysis": (_scene, {"quality": "analysis"}),
    "bounded_comb": (_comb, {"lossless": True}),
    "bounded_clusters": (_of_clusters, {"lossless": True}),
    "bounded_segments": (_of_segments, {"lossless": True, "tile": 340}),
    "bounded_wide": (partial(_as, "int32", 99_991), {"max_error": 3}),
    "lattice_product": (_of_a_product, {"lossless": True}),
    "lattice_single": (partial(_of_a_product, "float64"), {"lossless": True}),
    "lattice_quotient": (_of_a_quotient, {"lossless": True}),
    "lattice_rounded": (_of_a_reader, {"lossless": True}),
    "lattice_bands": (_of_bands, {"lossless": True}),
    "lattice_coarse": (partial(_noise, "float32"), {"max_error": 0.01}),
    "lattice_error": (partial(_as, "float32", 0.37), {"max_error": 0.5}),
    "floats": (partial(_noise, "float32"), {"lossless": True}),
    "floats64": (partial(_noise, "float64"), {"lossless": True}),
}


def make(name: str, path: Path) -> Path:
    """Compress a case as it is done today."""
    scene, options = CASES[name]
    xhsinr.compress(scene(), path, progress=False, **options)
    return path


def _main() -> None:
    held = GOLDEN / "digests.json"
    content = json.loads(held.read_text()) if held.exists() else {"format": None}
    if content["format"] != FORMAT_VERSION:
        content = {"format": FORMAT_VERSION, "samples": {}}
        GOLDEN.mkdir(exist_ok=True)
        save_network(package_prior(), GOLDEN / "golden-prior.safetensors")
        save_network(siren_network(outputs=4), GOLDEN / "golden-siren.safetensors")
    for name in [name for name in CASES if name not in content["samples"]]:
        path = make(name, GOLDEN / f"{name}.hsinr")
        samples = samples_of(path)
        content["samples"][name] = digest(samples)
        if not Sidecar.open(path).codec_bytes.kind.exact:
            np.save(GOLDEN / f"{name}.npy", samples)
        print(f"{name}: {path.stat().st_size} bytes")
    content["samples"] = {name: content["samples"][name] for name in CASES}
    held.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    _main()
