"""Write the golden files, which every later version has to decode.

    python tests/make_golden.py

They are made once for each version of the sidecar (v1 in ``golden-v1-preview.hsinr``) and of the
base network (v2 in ``golden-v2.safetensors``), and never again: existing ones are left alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import xhsinr
from xhsinr.coding import contexts
from xhsinr.coding import old_latents as latents
from xhsinr.coding.contexts import FEATURES, FRACTION, LEVELS, ContextModel
from xhsinr.coding.entropy import TABLE_TOTAL, frequencies
from xhsinr.demo import synthetic_scene
from xhsinr.network.base import NETWORK_VERSION, BaseNetwork, save_network
from xhsinr.network.siren import Siren, cosine_atoms, cosine_width, random_parameters
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
CONTEXT_TARGETS = {"contexts": {"quality": "preview"}}
LATENT_LEVEL = -5
LATENT_GRID, LATENT_PATCH = (3, 4), (6, 5)


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


def small_context_network() -> BaseNetwork:
    """A base network of version 2: most of the cosines of 6 x 6 pixels, and contexts made up."""
    rng = np.random.default_rng(2)
    u, v = np.indices((6, 6)).reshape(2, -1)
    orders = np.stack([u, v], axis=1)[np.lexsort((u, u + v))[:30]].astype(np.uint8)
    siren = Siren(
        layers=1,
        width=cosine_width(orders),
        latents=3 * len(orders),
        outputs=3,
        w0_first=math.pi / 2,
        modulation="output",
    )
    octaves = np.arange(7 * LEVELS) / LEVELS - 3
    magnitudes = np.abs(np.arange(-7, 9))  # the last one is the escape
    likely = np.exp(-magnitudes / 2 ** octaves[: 3 * LEVELS, None])
    rings = 6  # fewer than there are: the last serves the others
    model = ContextModel(
        orders=orders,
        priors=(-18 - 2 * np.arange(rings)).astype(np.int16),
        weights=rng.integers(0, 1500, (rings, FEATURES)).astype(np.uint16),
        levels=np.rint(2 ** (octaves + FRACTION)).astype(np.int64),
        tables=frequencies(likely * rng.uniform(0.5, 1.5, likely.shape)),
    )
    return BaseNetwork(
        siren=siren,
        head="scene",
        patch=6,
        parameters=cosine_atoms(siren, orders, 6),
        contexts=model,
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


def context_coded_latents() -> dict[str, np.ndarray]:
    """Latents of all sizes, some beyond every table and with low bits, and their bytes."""
    model = small_context_network().contexts
    assert model is not None
    rng = np.random.default_rng(8)
    shape = (3, len(model.orders), *LATENT_GRID)
    sizes = np.exp2(rng.uniform(-4, [[[[2]]], [[[8]]], [[[14]]]], shape))
    sizes /= 1 + model.orders.sum(1)[:, None, None]
    sizes[:, (model.orders >= LATENT_PATCH[::-1]).any(1)] = 0  # as these patches have none
    payload, integers = contexts.encode(rng.laplace(0, 1, shape) * sizes, model, LATENT_PATCH)
    return {"payload": np.frombuffer(payload, np.uint8), "integers": integers}


def write(
    network: BaseNetwork,
    path: Path,
    targets: Mapping[str, Mapping[str, Any]],
    samples: Path,
    coded: Mapping[str, np.ndarray],
) -> None:
    """A base network, sidecars that name it, what they decode to, and some latents."""
    if path.exists():
        print(f"{path.name} exists: golden files are made once")
        return
    save_network(network, path)
    decoded = {}
    for name, target in targets.items():
        file = DATA / f"golden-v{FORMAT_VERSION}-{name}.hsinr"
        handle = xhsinr.compress(scene_of(name), file, tile=16, network=path.stem, **target)
        decoded[name] = handle.open().values
        print(f"{file.name}: {file.stat().st_size:,} bytes")
    np.savez_compressed(samples, **decoded)
    np.savez_compressed(DATA / f"{path.stem}-latents.npz", **coded)


def main() -> None:
    first, second = DATA / "golden-v1.safetensors", DATA / f"golden-v{NETWORK_VERSION}.safetensors"
    samples = DATA / f"golden-v{FORMAT_VERSION}.npz"
    write(small_network(), first, TARGETS, samples, coded_latents())
    samples = DATA / f"golden-v{FORMAT_VERSION}-contexts.npz"
    write(small_context_network(), second, CONTEXT_TARGETS, samples, context_coded_latents())


if __name__ == "__main__":
    main()
