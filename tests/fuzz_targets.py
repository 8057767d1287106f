"""What is fuzzed: every parser of untrusted bytes, below the checksums that would shield it.

A target takes bytes and either does what a reader does with them or raises one of the package's
own errors. Anything else that comes out of it is a defect.
"""

from __future__ import annotations

import json
import random
import re
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import safetensors.numpy
from anatomy import Anatomy
from fsspec.implementations.memory import MemoryFile
from linear_network import linear_network
from small_network import small_network

import xhsinr
from xhsinr import backend
from xhsinr.coding import bound, contexts, detail, floats, mask
from xhsinr.coding import old_latents as latents
from xhsinr.coding.latent_coding import LatentCoding
from xhsinr.demo import synthetic_scene
from xhsinr.errors import HsinrError
from xhsinr.gdal.vrt import described
from xhsinr.handle import Compressed
from xhsinr.network.base import CONTEXT_ARRAYS, BaseNetwork, parse_network, save_network
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.codec_header import codec_of
from xhsinr.sidecar.file import Sidecar
from xhsinr.spectral.basis import SpectralBasis
from xhsinr.tiling import Patching

__all__ = ["TARGETS", "Target", "mutate", "survives"]

BANDS, ROWS, COLS = 5, 6, 7
SHAPE = (BANDS, ROWS, COLS)
PATCHES = 4
TILE_OF_PATCHES = Patching(10, 9, 6, even=True)
MAX_ERROR = 2
FILES: dict[str, dict[str, Any]] = {
    "preview": {"quality": "preview"},
    "lossy": {"psnr": 40},
    "bounded": {"max_error": 3},
}

INTERESTING = (0, 1, 2, 7, 8, 15, 16, 31, 32, 64, 100, 127, 128, 255)
LARGE = (2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
TOKENS = (
    b"null", b"true", b"-1", b"0", b"1", b"3", b"0.5", b"1e308", b"-1e-300", b"NaN", b"-Infinity",
    b"4294967296", b"18446744073709551616", b"9" * 400, b'""', b'"x"', b'"inf"', b'"EPSG:0"',
    b'"u2"', b'"f8"', b'"../a"', b'"\\ud800"', b"[]", b"[[]]", b"[0,2]", b"[[0,0]]", b"{}",
    b'{"a":1}', b'{"$float":"nan"}', b'{"$like":"x"}', b"[" * 3000,
)  # fmt: skip
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"(?!:)|-?\d[\d.eE+-]*|null|true|false|\[\]|\{\}')


@dataclass(frozen=True)
class Target:
    """A parser: bytes that it takes, from which mutations start, and what is done with them."""

    seeds: Callable[[], tuple[bytes, ...]]
    run: Callable[[bytes], Any]
    text: bool = False


def survives(target: Target, content: bytes) -> bool:
    """Run a target: whether it decoded, and did not refuse, the content."""
    try:
        with np.errstate(all="ignore"):
            target.run(content)
    except (HsinrError, FileNotFoundError):
        return False
    return True


def mutate(content: bytes, target: Target, rng: random.Random) -> bytes:
    """A few changes of a seed: bits, bytes, values, and pieces cut, doubled or put in."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 2 if target.text else 4)):
        size = len(changed)
        kind = rng.randrange(10) if size else 9
        at = rng.randrange(size) if size else 0
        run = slice(at, at + rng.randint(1, 1 + size // 4))
        if target.text and kind < 8:
            found = list(_TOKEN.finditer(changed))
            if found:
                token = rng.choice(found)
                changed[token.start() : token.end()] = rng.choice(TOKENS)
        elif kind < 3:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind < 5:
            changed[at] = rng.choice(INTERESTING)
        elif kind == 5:
            number = struct.pack("<Q", rng.choice(LARGE))[: rng.choice((2, 4, 8))]
            changed[at : at + len(number)] = number
        elif kind == 6:
            changed[run] = bytes(rng.randrange(256) for _ in range(rng.randrange(9)))
        elif kind == 7:
            del changed[run]
        elif kind == 8:
            changed[at:at] = changed[run]
        else:
            changed[at:at] = rng.randbytes(rng.randint(1, 16))
    return bytes(changed)


# The seeds, and what is done with their mutations.


@cache
def _samples() -> np.ndarray:
    return synthetic_scene(ROWS, COLS, BANDS, seed=5).values.astype(np.int64)


def _mask_seeds() -> tuple[bytes, ...]:
    states = np.zeros(SHAPE, np.uint8)
    states[:, 2:, 3:] = mask.NODATA
    states[1, 0] = mask.NAN
    return (mask.encode(states),)


def _latent_seeds() -> tuple[bytes, ...]:
    network = small_network()
    rng = np.random.default_rng(3)
    fitted = rng.normal(0, 1, (PATCHES, network.siren.latents)).astype(np.float32)
    return tuple(latents.encode(fitted * scale, network, 0)[0] for scale in (0.1, 100))


def _run_latents(content: bytes) -> None:
    network = _network()
    integers = latents.decode(content, PATCHES, network, 0)
    latents.dequantise(integers, network, 0)


@cache
def _network() -> BaseNetwork:
    return small_network()


@cache
def _linear_network() -> BaseNetwork:
    return linear_network()


@cache
def _context_seeds() -> tuple[bytes, ...]:
    """Latents of few steps, of many, and beyond all tables."""
    rng, model = np.random.default_rng(4), _linear_network().contexts
    assert model is not None
    rings = model.orders.sum(1, dtype=int)
    fitted = rng.laplace(0, 2.0 ** (2 - rings[:, None, None]), (3, len(rings), 2, 2))
    return tuple(
        contexts.encode(fitted * scale, model, TILE_OF_PATCHES.shape)[0] for scale in (1, 100, 1e7)
    )


def _run_contexts(content: bytes) -> None:
    LatentCoding(_linear_network(), 0, 1.0).decode(
        content, 3, TILE_OF_PATCHES.rows, TILE_OF_PATCHES.cols
    )


def _detail_seeds() -> tuple[bytes, ...]:
    scores = _samples()[:3].astype(np.float32)
    return tuple(detail.encode(scores, 20.0, integer=integer) for integer in (False, True))


def _run_detail(content: bytes) -> None:
    detail.decode(content, ROWS, COLS, 3)
    detail.decode_integer(content, ROWS, COLS, 3)


def _bound_seeds() -> tuple[bytes, ...]:
    samples = _samples()
    base = samples // 8 * 8
    some = np.where(np.arange(COLS) < 4, samples - base, 0)
    return (
        bound.encode(samples - base, base, MAX_ERROR),
        bound.encode(some, base, MAX_ERROR),
        bound.encode((samples - base) * 10_000, base, MAX_ERROR),
    )


def _run_bound(content: bytes) -> None:
    bound.decode(content, _samples() // 8 * 8, MAX_ERROR, SHAPE)


def _float_seeds() -> tuple[bytes, ...]:
    values = (_samples() / 8).astype(np.float32)
    return floats.encode_floats(values), floats.encode_floats(np.sqrt(np.abs(values)))


def _run_floats(content: bytes) -> None:
    floats.decode_floats(content, SHAPE, np.float32)


def _basis_seeds() -> tuple[bytes, ...]:
    flat = _samples().reshape(BANDS, -1).astype(np.float64)
    basis = SpectralBasis.from_statistics(
        flat.mean(1), np.cov(flat), components=3, distortion=20.0, pixels=flat.shape[1]
    )
    return (basis.to_bytes(),)


def _run_basis(content: bytes) -> None:
    basis = SpectralBasis.from_bytes(content, BANDS)
    basis.reconstruct_integer(np.ones((basis.components, 2, 2), np.int32), 0)


NETWORKS = {"version-1": small_network, "version-2": linear_network}


@cache
def _network_file(name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "n.safetensors"
        save_network(NETWORKS[name](), path)
        return path.read_bytes()


def _network_seeds() -> tuple[bytes, ...]:
    return tuple(map(_network_file, NETWORKS))


def _run_network(content: bytes) -> BaseNetwork:
    return parse_network(content, Path("n.safetensors"))


def _decode_with(network: BaseNetwork) -> None:
    """What a network with contexts makes of a payload that another one coded."""
    if network.contexts is not None:
        coding = LatentCoding(network, 0, 1.0)
        coding.decode(_context_seeds()[1], 3, TILE_OF_PATCHES.rows, TILE_OF_PATCHES.cols)


def _network_parts(name: str) -> tuple[dict[str, Any], bytes]:
    content = _network_file(name)
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def _settings_seeds() -> tuple[bytes, ...]:
    return tuple(_network_parts(name)[0]["__metadata__"]["hsinr"].encode() for name in NETWORKS)


def _run_settings(content: bytes) -> None:
    """Settings of a network in place of its own."""
    entries, rest = _network_parts("version-2" if b'"modulation":"o' in content else "version-1")
    entries["__metadata__"]["hsinr"] = content.decode("latin-1")
    raw = json.dumps(entries).encode()
    raw += b" " * (-len(raw) % 8)
    _decode_with(_run_network(struct.pack("<Q", len(raw)) + raw + rest))


@cache
def _context_arrays() -> dict[str, np.ndarray]:
    arrays = safetensors.numpy.load(_network_file("version-2"))
    return {name: array for name, array in arrays.items() if name in CONTEXT_ARRAYS}


def _arrays_seeds() -> tuple[bytes, ...]:
    return (b"".join(array.tobytes() for array in _context_arrays().values()),)


def _run_arrays(content: bytes) -> None:
    """Other integers of a network with contexts, in arrays of the right types and shapes."""
    entries, rest = _network_parts("version-2")
    changed, start = bytearray(rest), 0
    for name, array in _context_arrays().items():
        part = content[start : start + array.nbytes].ljust(array.nbytes, b"\0")
        changed[slice(*entries[name]["data_offsets"])] = part
        start += array.nbytes
    raw = json.dumps(entries).encode()
    _decode_with(_run_network(struct.pack("<Q", len(raw)) + raw + changed))


@cache
def _file(name: str) -> Anatomy:
    """A sidecar of two tiles with nodata, taken apart."""
    scene = synthetic_scene(6, 10, BANDS, seed=2, nodata_corner=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.hsinr"
        xhsinr.compress(scene, path, tile=6, progress=False, **FILES[name])
        return Anatomy.of(path.read_bytes())


def _container_seeds() -> tuple[bytes, ...]:
    return tuple(_file(name).to_bytes() for name in FILES)


def _open(content: bytes) -> Sidecar:
    """A sidecar in memory: writing a file would take most of the time."""
    fsspec.filesystem("memory").store["/a.hsinr"] = MemoryFile(None, "/a.hsinr", content)
    return Sidecar.open("memory://a.hsinr")


def _run_container(content: bytes) -> None:
    sidecar = _open(content)
    sidecar.check_size()
    for tile in range(min(len(sidecar.tiling), 4)):
        sidecar.payload(tile)


def _index_seeds() -> tuple[bytes, ...]:
    return (_file("lossy").arrays["index"],)


def _run_index(content: bytes) -> None:
    """An index in place of a file's own, signed anew."""
    _run_container(_file("lossy").with_array("index", content).to_bytes())


def _header_seeds(name: str) -> tuple[bytes, ...]:
    return (_file(name).header.encode(),)


def _run_header(content: bytes, name: str) -> None:
    """A header in place of a file's own, signed anew, and the first tile with it."""
    sidecar = _open(_file(name).with_header(content.decode("latin-1")).to_bytes())
    Compressed(sidecar).lines()
    codec_of(sidecar)
    if sidecar.samples < 1 << 16:
        Reader(sidecar).tile(0)


def _scene_parts() -> tuple[str, str, str]:
    """What stands before, in and behind a scene's description in its header."""
    before, _, rest = _file("lossy").header.partition('"scene":')
    end = rest.index(',"shape"')
    return f'{before}"scene":', rest[:end], rest[end:]


def _scene_seeds() -> tuple[bytes, ...]:
    return (_scene_parts()[1].encode(),)


def _run_scene(content: bytes) -> None:
    """A scene's description in place of a file's own, signed anew."""
    before, _, behind = _scene_parts()
    header = before + content.decode("latin-1") + behind
    sidecar = _open(_file("lossy").with_header(header).to_bytes())
    backend.lazy_scene(sidecar)
    described(Reader(sidecar).scene())


def _tile_seeds(name: str) -> tuple[bytes, ...]:
    return (_file(name).tiles,)


def _run_tiles(content: bytes, name: str) -> None:
    """Other bytes of all tiles, with checksums that are right again."""
    reader = Reader(_open(_file(name).with_tiles(content).to_bytes()))
    reader.tile(0)
    reader.tile(1, np.array([3, 0]))
    Reader(reader.sidecar, 2).tile(1)


TARGETS: dict[str, Target] = {
    "container": Target(_container_seeds, _run_container),
    "index": Target(_index_seeds, _run_index),
    "scene": Target(_scene_seeds, _run_scene, text=True),
    "basis": Target(_basis_seeds, _run_basis),
    "mask": Target(_mask_seeds, lambda content: mask.decode(content, *SHAPE)),
    "latents": Target(_latent_seeds, _run_latents),
    "contexts": Target(_context_seeds, _run_contexts),
    "detail": Target(_detail_seeds, _run_detail),
    "bound": Target(_bound_seeds, _run_bound),
    "floats": Target(_float_seeds, _run_floats),
    "network": Target(_network_seeds, _run_network),
    "network-arrays": Target(_arrays_seeds, _run_arrays),
    "network-settings": Target(_settings_seeds, _run_settings, text=True),
}
for _name in FILES:
    TARGETS[f"header-{_name}"] = Target(
        partial(_header_seeds, _name), partial(_run_header, name=_name), text=True
    )
    TARGETS[f"tiles-{_name}"] = Target(partial(_tile_seeds, _name), partial(_run_tiles, name=_name))
