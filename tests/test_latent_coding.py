"""The latents layer of a scene, whatever the shape of its tiles."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from make_golden import small_network

from xhsinr.coding import latents
from xhsinr.coding.latent_coding import LatentCoding
from xhsinr.network.base import load_network
from xhsinr.network.siren import Siren
from xhsinr.tiling import Patching


@pytest.mark.parametrize("planes", [1, 2, 8])
@pytest.mark.parametrize("shape", [(1000, 1000), (1, 3), (2049, 33)])
def test_a_tile_of_any_shape_and_few_planes_decodes(planes: int, shape: tuple[int, int]) -> None:
    network = load_network("default")
    coding = LatentCoding(network, 0, 1.0)
    patches = len(Patching(*shape, network.patch))
    payload = latents.encode(np.zeros((patches, network.siren.latents), np.float32), network, 0)[0]
    decoded = coding.decode(payload, planes, *shape, 4)
    assert decoded.shape == (planes, -(-shape[0] // 4), -(-shape[1] // 4))


@pytest.mark.parametrize(("layers", "width", "patch"), [(64, 1, 1), (1, 4096, 32), (8, 64, None)])
def test_no_network_takes_much_memory(layers: int, width: int, patch: int | None) -> None:
    siren = Siren(layers=layers, width=width, latents=2, outputs=3)
    parameters = {name: np.zeros(shape, np.float32) for name, shape in siren.shapes().items()}
    steps = np.ones(2, np.float32)
    network = replace(
        small_network(),
        siren=siren,
        patch=patch,
        parameters=parameters,
        latent_steps=steps,
        latent_tables=np.zeros(2, np.uint8),
    )
    coding = LatentCoding(network, 0, 1.0)
    tracemalloc.start()
    planes = coding.decode(b"", 3, 600, 500)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - planes.nbytes < 64 << 20
