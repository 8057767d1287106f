"""docs/format.md suffices to read a file: the reader written from it alone agrees with xhsinr."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from second_reader import Payload, decode, read_contexts, read_latents, read_safetensors

DATA = Path(__file__).parent / "data"
FILES = sorted(DATA.glob("golden-v1-*.hsinr"))
NETWORK, CONTEXT_NETWORK = (DATA / f"golden-v{number}.safetensors" for number in (1, 2))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_reads_the_golden_files(path: Path) -> None:
    own = path.with_suffix(".npz")
    with np.load(own if own.exists() else DATA / "golden-v1.npz") as arrays:
        expected = arrays[path.stem.removeprefix("golden-v1-")]
    exact = not path.stem.endswith(("preview", "standard", "contexts"))
    network = CONTEXT_NETWORK if path.stem.endswith("contexts") else NETWORK
    assert_same(decode(path, network), expected, exact)


def test_it_imports_nothing_of_the_package() -> None:
    code = (
        "import sys, second_reader\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'xhsinr', 'torch'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, check=True
    )
    assert done.stdout.strip() == b"[]"


@pytest.mark.parametrize(
    ("size", "tile", "target"),
    [
        ((70, 66, 5), 64, {"psnr": 45}),
        ((40, 50, 9), 64, {"max_error": 4}),  # two classes of pixels
        ((66, 49, 4), 16, {"lossless": True}),  # tiles of one column
        ((17, 17, 4), 16, {"psnr": 60}),  # a tile of one pixel
        ((33, 40, 12), 16, {"quality": "preview"}),
        ((20, 1, 45), 16, {"quality": "analysis"}),  # a scene of one column
        ((1, 30, 9), 16, {"lossless": True}),
        ((1, 1, 3), 16, {"psnr": 45}),
    ],
    ids=str,
)
def test_it_reads_fresh_scenes(
    tmp_path: Path, size: tuple[int, int, int], tile: int, target: dict[str, Any]
) -> None:
    from xhsinr.demo import synthetic_scene

    scene = synthetic_scene(*size, seed=3, nodata_corner=tile < min(size[:2]))
    compare(scene, tmp_path / "scene.hsinr", tile=tile, **target)


@pytest.mark.parametrize("target", [{"psnr": 90}, {"lossless": True}, {"max_error": 0.5}], ids=str)
@pytest.mark.parametrize("dtype", ["u1", "i4", "f4", "f8"])
def test_it_reads_every_kind_of_sample(tmp_path: Path, dtype: str, target: dict[str, Any]) -> None:
    """With nodata inside the range, invalid bands of every kind, and outliers."""
    from xhsinr.demo import synthetic_scene

    rng = np.random.default_rng(1)
    scene = synthetic_scene(36, 33, 8, seed=5)
    top = {"u1": 250, "i4": 2e9}.get(dtype, 320.0)
    values = (scene.values / scene.values.max() * top).astype(dtype)
    values[:, 2:9, 5] = rng.uniform(0, top, (8, 7)).astype(dtype)
    nodata = values[0, 0, 0]
    values[rng.random(values.shape) < 0.05] = nodata
    values[:, 20] = values[3] = nodata
    if np.dtype(dtype).kind == "f":
        values[6] = np.nan
        values[7] = np.where(rng.random(values[7].shape) < 0.5, nodata, np.nan)
    scene = scene.copy(data=values)
    scene.attrs = {"_FillValue": nodata}
    compare(scene, tmp_path / "scene.hsinr", tile=32, **target)


@pytest.mark.parametrize("head", ["scene", "shared"])
@pytest.mark.parametrize("modulation", ["shift", "shift+output"])
@pytest.mark.parametrize("patch", [12, None])
def test_it_reads_latents_of_every_network(
    tmp_path: Path, head: str, modulation: str, patch: int | None
) -> None:
    """Networks of random weights, whose latents say much."""
    from safetensors.numpy import save_file

    from xhsinr.demo import synthetic_scene

    rng, latents, width, bands = np.random.default_rng(4), 5, 8, 6
    settings, arrays = read_safetensors(NETWORK.read_bytes())
    changes = {"head": head, "modulation": modulation, "patch": patch}
    changes |= {"latents": latents, "outputs": bands}
    settings["hsinr"] = json.dumps(json.loads(settings["hsinr"]) | changes)
    shapes = {
        "output.weight": (bands, width),
        "output.bias": (bands,),
        "output_modulation.weight": (bands * width, latents),
        "shift.weight": (2 * width, latents),
    }
    for name, shape in shapes.items():
        arrays[name] = rng.normal(size=shape).astype(np.float16)
    if modulation == "shift":
        del arrays["output_modulation.weight"]
    arrays["tables"] = np.repeat(np.arange(1, 241, 10, np.uint16)[:, None], 129, axis=1)
    arrays["tables"][:, 63] += np.uint16(2**15) - arrays["tables"].sum(1, dtype=np.uint16)
    arrays["latent_tables"] = np.array([9, 10, 11, 12, 13], np.uint8)
    arrays["latent_steps"] = np.full(latents, 0.02, np.float32)
    arrays["inner_rates"] = np.full(latents, 0.3, np.float32)
    save_file(arrays, tmp_path / "network.safetensors", settings)
    scene = synthetic_scene(30, 28, bands, seed=7)
    file = tmp_path / "scene.hsinr"
    compare(scene, file, tmp_path / "network.safetensors", tile=16, quality="preview")


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(
    ("shape", "components"),
    [((35, 29), 8), ((7, 14), 4), ((8, 1), 3), ((3, 20), 5), ((1, 1), 1)],
    ids=str,
)
def test_it_reads_latents_with_contexts(
    tmp_path: Path, shape: tuple[int, int], components: int, layers: int
) -> None:
    """Of all sizes: in the tables, escaped, with low bits, at the edges of tiles and patches."""
    from xhsinr.coding import contexts
    from xhsinr.coding.latent_coding import LatentCoding
    from xhsinr.tiling import Patching

    network = context_network(tmp_path / "network.safetensors", layers)
    model, patching = network.contexts, Patching(*shape, network.patch, even=True)
    rng = np.random.default_rng(components)
    outputs = min(components, network.siren.outputs)
    fitted = rng.laplace(size=(outputs, len(model.orders), *patching.grid))
    fitted *= np.exp2(rng.uniform(-4, 12, (outputs, 1, 1, 1)))
    fitted[:, (model.orders >= patching.shape[::-1]).any(axis=1)] = 0
    payload, integers = contexts.encode(fitted, model, patching.shape)

    content = network.path.read_bytes()
    arrays = read_safetensors(content)[1]
    sizes = outputs, *patching.grid
    back = read_contexts(Payload(payload), arrays, sizes, *patching.shape)
    assert np.array_equal(back, integers)
    settings = {"sha256": network.digest, "patch": network.patch, "level": 3, "unit": 0.25}
    planes, shared = read_latents(settings, content, payload, shape, components)
    expected = LatentCoding(network, 3, 0.25).decode(payload, components, *shape)
    assert planes.shape == expected.shape == (outputs, *shape)
    assert not shared
    assert np.abs(planes - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("size", "tile"),
    [((35, 29, 6), 16), ((33, 17, 3), 16), ((21, 8, 9), 64)],
    ids=str,
)
def test_it_reads_scenes_with_contexts(
    tmp_path: Path, size: tuple[int, int, int], tile: int
) -> None:
    """Also with tiles of one row, of one column and of one pixel."""
    from xhsinr.demo import synthetic_scene

    network = context_network(tmp_path / "network.safetensors", layers=2)
    scene = synthetic_scene(*size, seed=8, nodata_corner=True)
    compare(scene, tmp_path / "scene.hsinr", network.path, tile=tile, quality="preview")


def test_it_reads_files_of_the_default_network(tmp_path: Path) -> None:
    from xhsinr.demo import synthetic_scene
    from xhsinr.network.base import load_network

    scene = synthetic_scene(52, 45, 12, seed=2, nodata_corner=True)
    network = load_network("default").path
    compare(scene, tmp_path / "scene.hsinr", network, tile=32, quality="preview")


def context_network(path: Path, layers: int) -> Any:
    """Random weights, atoms in no order, and any levels, tables and weights of contexts."""
    from xhsinr.coding.contexts import ContextModel
    from xhsinr.coding.entropy import frequencies
    from xhsinr.network.base import BaseNetwork, save_network
    from xhsinr.network.siren import Siren, random_parameters

    rng = np.random.default_rng(layers)
    orders = np.stack(np.indices((7, 7)), axis=-1).reshape(-1, 2)
    orders = rng.permutation(orders)[:40].astype(np.uint8)
    model = ContextModel(
        orders=orders,
        priors=rng.integers(-40, 10, 8).astype(np.int16),
        weights=rng.integers(0, 3000, (8, 6)).astype(np.uint16),
        levels=np.concatenate([np.arange(1, 11), np.cumsum(rng.integers(4, 1000, 40)) ** 2]),
        tables=frequencies(rng.random((7, 21)) ** 3),
    )
    siren = Siren(layers, 50, 5 * len(orders), 5, 8.0, 4.0, "output")
    parameters = random_parameters(siren, rng)
    return save_network(BaseNetwork(siren, "scene", 7, parameters, contexts=model), path)


@pytest.mark.parametrize("decimals", [2, None], ids=["decimals", "bits"])
def test_it_reads_exact_floats(tmp_path: Path, decimals: int | None) -> None:
    from xhsinr.demo import synthetic_scene

    scene = synthetic_scene(34, 35, 6, seed=1).astype("f4") / 7
    if decimals is None:
        scene = scene * np.random.default_rng(0).normal(size=scene.shape)
    else:
        scene = scene.round(decimals)
    scene.attrs = {}
    compare(scene.astype("f4"), tmp_path / "scene.hsinr", tile=32, lossless=True)


def compare(scene: Any, path: Path, network: Path = NETWORK, **options: Any) -> None:
    """Compress a scene and decode it with both."""
    import xhsinr

    xhsinr.compress(scene, path, network=network, progress=False, **options)
    file = xhsinr.open(path)
    exact = "bound" in file.info["layers"]
    assert_same(decode(path, network), file.open().values, exact)


def assert_same(back: np.ndarray, expected: np.ndarray, exact: bool) -> None:
    assert back.dtype == expected.dtype
    if exact:
        assert back.tobytes() == expected.tobytes()
    else:
        # A float32 sum depends on its order, and rounding to integers on the sum.
        largest = np.nanmax(np.abs(expected.astype(float)))
        limit = (expected.dtype.kind in "iu") + 2e-6 * largest
        assert np.array_equal(np.isnan(back), np.isnan(expected))
        assert np.nanmax(np.abs(back.astype(float) - expected.astype(float))) <= limit
