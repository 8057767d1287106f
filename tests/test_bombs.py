"""Small files that would unpack to huge ones: refused within 64 MB above what they declare.

Address space is limited to that, in a process of its own, so that nothing is overlooked: memory
of JPEG 2000, zlib and ZSTD counts as well as NumPy's.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import safetensors.numpy
from anatomy import Anatomy
from forgery import forge
from linear_network import linear_network, lowest_orders
from small_network import small_network

import xhsinr
from xhsinr.coding import entropy
from xhsinr.demo import synthetic_scene
from xhsinr.network.base import save_network

ABOVE = 64 << 20

# Reads each file named, with so much memory more than a whole file took; says what came of it.
READ = """
import json, resource, sys, time
from pathlib import Path
import xhsinr
from xhsinr.network.base import load_network
from xhsinr.reading.reader import Reader

def read(path):
    if path.suffix == ".safetensors":
        load_network(path)
        return
    handle = xhsinr.open(path)
    repr(handle), repr(handle.open())
    for overview in (1, 2):
        Reader(handle.sidecar, overview).tile(0)

warm, above, *paths = sys.argv[1:]
for path in sorted(Path(warm).iterdir()):
    read(path)
pages = int(Path("/proc/self/statm").read_text().split()[0])
most = pages * resource.getpagesize() + int(above)
resource.setrlimit(resource.RLIMIT_AS, (most, most))
for path in paths:
    start = time.monotonic()
    try:
        read(Path(path))
        found = "read"
    except BaseException as error:
        found = f"{type(error).__name__}: {error}"
    print(json.dumps([Path(path).stem, found, time.monotonic() - start]))
"""


def compressed(path: Path, scene: Any, **target: Any) -> Path:
    xhsinr.compress(scene, path, progress=False, **target)
    return path


def repacked(path: Path, payload: Callable[[bytes], bytes], layer: str) -> None:
    """A layer of the only tile replaced, whatever size it takes."""
    parts = Anatomy.of(path.read_bytes())
    header = json.loads(parts.header)
    sizes = [parts.arrays["index"][at : at + 4] for at in range(0, len(parts.arrays["index"]), 8)]
    ends = np.cumsum([int.from_bytes(size, "little") for size in sizes])
    at = header["layers"].index(layer)
    start = int(ends[at - 1]) if at else 0
    new = payload(parts.tiles[start : ends[at]])
    index = bytearray(parts.arrays["index"])
    struct.pack_into("<I", index, 8 * at, len(new))
    tiles = parts.tiles[:start] + new + parts.tiles[ends[at] :]
    grown = replace(parts, arrays=parts.arrays | {"index": bytes(index)}, tiles=tiles)
    path.write_bytes(grown.with_tiles(tiles).to_bytes())


def huge_shape(folder: Path) -> None:
    path = compressed(folder / "huge_shape.hsinr", np.ones((4, 4, 2), "u1"))
    forge(path, lambda _, header: header.update(shape=[2, 10**6, 10**6], tile=10**6))
    assert path.stat().st_size < 2048


def mask_that_inflates(folder: Path) -> None:
    scene = synthetic_scene(8, 8, 6, nodata_corner=True)
    path = compressed(folder / "mask_that_inflates.hsinr", scene, psnr=40)
    repacked(path, lambda old: old[:2] + zlib.compress(bytes(1 << 28), 9), "mask")


def bound_mask_that_inflates(folder: Path) -> None:
    path = compressed(
        folder / "bound_mask_that_inflates.hsinr", synthetic_scene(8, 8, 6), lossless=True
    )
    bomb = zlib.compress(bytes(1 << 28), 9)
    repacked(path, lambda old: old[:5] + struct.pack("<I", len(bomb)) + bomb, "bound")


def floats_that_inflate(folder: Path) -> None:
    scene = np.sqrt(synthetic_scene(8, 8, 6).values.transpose(1, 2, 0).clip(1)).astype("f4")
    path = compressed(folder / "floats_that_inflate.hsinr", scene, lossless=True)
    bomb = imagecodecs.zstd_encode(bytes(1 << 28), level=19)
    repacked(path, lambda old: old[:4] + b"\xff" + bomb, "bound")


def planes_of_many_bits(folder: Path) -> None:
    """JPEG 2000 with the smallest code blocks and precincts, and the most levels and layers."""
    path = compressed(folder / "planes_of_many_bits.hsinr", synthetic_scene(64, 64, 6), psnr=40)

    def greedy(old: bytes) -> bytes:
        at = old.index(b"\xff\x52")
        count = 32
        coding = struct.pack(">HHBBHBBBBBB", 0xFF52, 13 + count, 1, 0, 65535, 0, 32, 0, 0, 0, 0)
        end = at + 2 + int.from_bytes(old[at + 2 : at + 4], "big")
        return old[:at] + coding + bytes(count + 1) + old[end:]

    repacked(path, greedy, "detail")


def basis_of_all_components(folder: Path, bands: int = 30_000) -> None:
    """A basis of as many components as bands: gigabytes, from a few bytes of zeros."""
    path = compressed(folder / "basis_of_all_components.hsinr", np.ones((1, 1, 2), "u1"))

    def change(entries: dict[str, Any], header: dict[str, Any]) -> None:
        header.update(shape=[bands, 1, 1])
        header.pop("invalid_bands", None)
        header["scene"] = {}

    parts = Anatomy.of(path.read_bytes())
    parts.arrays["basis"] = struct.pack("<HHb", bands, bands, 0)
    path.write_bytes(parts.to_bytes())
    forge(path, change)


def ranges_without_end(folder: Path) -> None:
    path = compressed(folder / "ranges_without_end.hsinr", np.ones((1, 1, 2), "u1"))
    ranges = [[0, 50_000 - 1]] * 200_000
    forge(
        path,
        lambda _, header: header.update(
            shape=[50_000, 1, 1], scene={}, invalid_bands={"mixed": ranges}
        ),
    )


def _with_settings(path: Path, tensors: dict[str, Any], **settings: Any) -> None:
    """Write a network with some settings and arrays in place of its own."""
    content = path.read_bytes()
    entries = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    changed = json.loads(entries["__metadata__"]["hsinr"]) | settings
    path.write_bytes(safetensors.numpy.save(tensors, {"hsinr": json.dumps(changed)}))


def network_of_huge_sizes(folder: Path) -> None:
    path = folder / "network_of_huge_sizes.safetensors"
    save_network(small_network(), path)
    tensors = safetensors.numpy.load(path.read_bytes())
    _with_settings(path, tensors, layers=64, width=4096, latents=8192, outputs=4096)


def network_of_many_tables(folder: Path) -> None:
    path = folder / "network_of_many_tables.safetensors"
    save_network(small_network(), path)
    tensors = safetensors.numpy.load(path.read_bytes())
    tensors["tables"] = np.full((2 << 20, 4), entropy.TABLE_TOTAL // 4, np.uint16)
    _with_settings(path, tensors)


def latents_of_every_pixel(folder: Path) -> None:
    """A network of one patch a pixel and thousands of latents in each."""
    network = folder / "networks" / "greedy.safetensors"
    network.parent.mkdir(exist_ok=True)
    siren = replace(small_network().siren, width=1, latents=4096)
    per_latent = np.ones(4096, np.float32)
    greedy = replace(
        small_network(),
        siren=siren,
        patch=1,
        parameters={name: np.zeros(shape, np.float32) for name, shape in siren.shapes().items()},
        inner_rates=per_latent,
        latent_steps=per_latent,
        latent_tables=np.zeros(4096, np.uint8),
    )
    digest = save_network(greedy, network).digest
    path = compressed(
        folder / "latents_of_every_pixel.hsinr", synthetic_scene(128, 128, 6), quality="preview"
    )
    size = network.stat().st_size
    forge(
        path,
        lambda _, header: header["latents"].update(
            network="greedy", sha256=digest, network_bytes=size, patch=1
        ),
    )


def network_of_dense_atoms(folder: Path) -> None:
    """Thousands of atoms, each with a value at all pixels of a tile: gigabytes, from one unit."""
    atoms, orders = 8000, lowest_orders(127, 8000)
    _linear(folder / "network_of_dense_atoms.safetensors", orders, latents=atoms, patch=256)


def network_of_many_rings(folder: Path) -> None:
    """Half a million runs of latents, one after another, in a tile of any size."""
    orders = np.stack([np.zeros(16), np.arange(0, 127, 8)], axis=1).astype(np.uint8)
    path = folder / "network_of_many_rings.safetensors"
    _linear(path, orders, latents=16 * 4096, outputs=4096, patch=127)


def _linear(path: Path, orders: np.ndarray, **settings: Any) -> None:
    save_network(linear_network(), path)
    tensors = safetensors.numpy.load(path.read_bytes())
    tensors |= {
        "first.weight": np.zeros((1, 2), np.float16),
        "first.bias": np.zeros(1, np.float16),
        "hidden.weight": np.zeros((0, 1, 1), np.float16),
        "hidden.bias": np.zeros((0, 1), np.float16),
        "atoms.weight": np.zeros((len(orders), 1), np.float16),
        "contexts.orders": orders,
    }
    _with_settings(path, tensors, **({"width": 1, "outputs": 1} | settings))


BOMBS = (
    huge_shape,
    mask_that_inflates,
    bound_mask_that_inflates,
    floats_that_inflate,
    planes_of_many_bits,
    basis_of_all_components,
    ranges_without_end,
    network_of_huge_sizes,
    network_of_many_tables,
    network_of_dense_atoms,
    network_of_many_rings,
    latents_of_every_pixel,
)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_bombs_are_refused_within_64_mb(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    scene = synthetic_scene(20, 20, 6, nodata_corner=True)
    for number, target in enumerate(({"quality": "preview"}, {"psnr": 40}, {"lossless": True})):
        compressed(whole / f"{number}.hsinr", scene, **target)
    floats = np.sqrt(scene.where(scene >= 0)).astype("f4")
    compressed(whole / "floats.hsinr", floats, lossless=True)
    save_network(small_network(), whole / "n.safetensors")
    save_network(linear_network(), whole / "linear.safetensors")
    for bomb in BOMBS:
        bomb(tmp_path)
    paths = [str(path) for path in sorted(tmp_path.iterdir()) if path.is_file()]
    assert len(paths) == len(BOMBS)
    done = subprocess.run(
        [sys.executable, "-c", READ, str(whole), str(ABOVE), *paths],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = list(map(json.loads, done.stdout.splitlines()))
    refused = {"LimitError", "DamagedSidecarError", "NetworkError"}
    assert {name for name, _, _ in found} == {bomb.__name__ for bomb in BOMBS}
    assert not [line for line in found if line[1].split(":")[0] not in refused or line[2] > 20], (
        found
    )
