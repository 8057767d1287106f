"""Write the golden sidecars of this format version, which every later version has to decode.

    python tests/make_golden.py

They are made once for a format version and never again; existing ones are refused.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

import xhsinr
from xhsinr.coding import latents
from xhsinr.coding.entropy import TABLE_TOTAL
from xhsinr.demo import synthetic_scene
from xhsinr.network.base import BaseNetwork, save_network
from xhsinr.network.siren import Siren, random_parameters
from xhsinr.sidecar.file import FORMAT_VERSION

DATA = Path(__file__).parent / "data"
TARGETS = {
    "preview": {"quality": "preview"},
    "standard": {"quality": "standard"},
    "analysis": {"quality": "analysis"},
    "archive": {"quality": "archive"},
    "max-error": {"max_error": 4},
    "max-error-floats": {"max_error": 0.25},
    "lossless-floats": {"lossless": True},
}
LATENT_LEVEL = -5


def small_network() -> BaseNetwork:
    """A base network of its own, so that the package's may change."""
    siren = Siren(layers=2, width=8, latents=6, outputs=3, w0_first=10.0, w0=5.0)
    tables = np.ones((1, 17), np.uint16)
    tables[0, 8] += TABLE_TOTAL - tables.sum(dtype=np.int64)
    return BaseNetwork(
        siren=siren,
        head="scene",
        patch=8,
        parameters=random_parameters(siren, np.random.default_rng(1)),
        inner_steps=3,
        inner_rates=np.full(6, 0.1, np.float32),
        latent_steps=np.full(6, 0.05, np.float32),
        latent_tables=np.zeros(6, np.uint8),
        tables=tables,
        recipe={"of": "golden files"},
    )


def scene_of(name: str) -> xr.DataArray:
    """A small georeferenced scene with nodata; of floats also with NaN."""
    scene = synthetic_scene(22, 26, 9, seed=3, nodata_corner=True)
    if name.endswith("floats"):
        scene = (scene / np.float32(16)).where(scene != -32768, -32768).astype("f4")
        scene[4, 10:13, 10:15] = np.nan
        scene[6] = np.nan
        scene.attrs = {"units": "W m-2 sr-1 um-1", "_FillValue": np.float32(-32768)}
    return scene


def coded_latents() -> dict[str, np.ndarray]:
    """Latents of all classes, some beyond every table, and their bytes."""
    network = small_network()
    rng = np.random.default_rng(7)
    sizes = np.exp2(rng.uniform(-4, 6, (40, 1)))
    fitted = (rng.laplace(0, 1, (40, network.siren.latents)) * sizes * 0.05).astype(np.float32)
    payload, integers = latents.encode(fitted, network, LATENT_LEVEL)
    return {"payload": np.frombuffer(payload, np.uint8), "integers": integers}


def main() -> None:
    decoded = {}
    network = DATA / f"golden-v{FORMAT_VERSION}.safetensors"
    expected = DATA / f"golden-v{FORMAT_VERSION}.npz"
    coded = DATA / f"golden-v{FORMAT_VERSION}-latents.npz"
    for path in (network, expected, coded):
        if path.exists():
            raise SystemExit(f"{path} exists: golden files are made once")
    save_network(small_network(), network)
    for name, target in TARGETS.items():
        path = DATA / f"golden-v{FORMAT_VERSION}-{name}.hsinr"
        handle = xhsinr.compress(scene_of(name), path, tile=16, network=network.stem, **target)
        decoded[name] = handle.open().values
        print(f"{path.name}: {path.stat().st_size:,} bytes")
    np.savez_compressed(expected, **decoded)
    np.savez_compressed(coded, **coded_latents())


if __name__ == "__main__":
    main()
