"""What an earlier version wrote decodes to what it was: see make_golden.py.

Sidecars and base networks have versions of their own: ``contexts`` is a sidecar of version 1 with
a network of version 2.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from latent_integers import latent_integers
from make_golden import LATENT_GRID, LATENT_LEVEL, LATENT_PATCH
from rasterio.crs import CRS

import xhsinr
from xhsinr.coding import contexts
from xhsinr.coding import old_latents as latents
from xhsinr.network.base import NETWORK_VERSION, load_network
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.file import FORMAT_VERSION, Sidecar

DATA = Path(__file__).parent / "data"
FILES = sorted(DATA.glob("golden-v*.hsinr"))


def test_every_format_version_has_its_golden_files() -> None:
    versions = {int(path.name.split("-")[1][1:]) for path in FILES}
    assert versions == set(range(1, FORMAT_VERSION + 1)), "run tests/make_golden.py"
    assert {Sidecar.open(path).header["version"] for path in FILES} == versions


def test_every_network_version_has_its_golden_files() -> None:
    versions = {}
    for path in DATA.glob("golden-v*.safetensors"):
        content = path.read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        versions[path.stem] = json.loads(header["__metadata__"]["hsinr"])["version"]
    assert versions == {f"golden-v{number}": number for number in range(1, NETWORK_VERSION + 1)}
    used = {Sidecar.open(path).header.get("latents", {}).get("network") for path in FILES}
    assert used - {None} == set(versions), "run tests/make_golden.py"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_golden_file_decodes_to_what_it_was(path: Path) -> None:
    _, version, name = path.stem.split("-", 2)
    own = path.with_suffix(".npz")
    with np.load(own if own.exists() else DATA / f"golden-{version}.npz") as arrays:
        expected = arrays[name]
    assert xhsinr.verify(path, progress=False).errors == ()
    back = xhsinr.open(path).open()
    assert back.dtype == expected.dtype
    if "bound" in xhsinr.open(path).info["layers"]:
        assert back.values.tobytes() == expected.tobytes()
    else:
        # Without a bound, rounding may fall to the other side on another machine.
        assert np.abs(back.values.astype(float) - expected).max() <= 1
        assert np.array_equal(back.values == -32768, expected == -32768)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_golden_file_keeps_its_metadata(path: Path) -> None:
    back = xhsinr.open(path).open()
    assert back.dims == ("band", "y", "x")
    assert back.shape == (9, 22, 26)
    assert back.rio.crs == CRS.from_epsg(32633)
    assert back.rio.transform()[:6] == (30, 0, 360_000, 0, -30, 5_800_000)
    assert back.rio.nodata == -32768
    assert back["wavelength"].values[[0, -1]].tolist() == [420, 2450]
    assert back["wavelength"].attrs == {"units": "nm"}
    assert back["x"].values[0] == 360_015


def test_latents_decode_to_the_integers_that_they_were() -> None:
    with np.load(DATA / "golden-v1-latents.npz") as arrays:
        payload, integers = arrays["payload"].tobytes(), arrays["integers"]
    network = load_network(DATA / "golden-v1.safetensors")
    assert np.array_equal(latents.decode(payload, len(integers), network, LATENT_LEVEL), integers)
    assert np.abs(integers).max() > network.tables.shape[1]


def test_latents_with_contexts_decode_to_the_integers_that_they_were() -> None:
    with np.load(DATA / "golden-v2-latents.npz") as arrays:
        payload, integers = arrays["payload"].tobytes(), arrays["integers"]
    model = load_network(DATA / "golden-v2.safetensors").contexts
    assert model is not None
    back = contexts.decode(payload, len(integers), LATENT_GRID, model, LATENT_PATCH)
    assert np.array_equal(back, integers)
    assert np.abs(integers).max() > 100 * model.tables.shape[1]  # escapes and low bits


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("preview", "62269db02de104500341e308a703e78e390b043afb3c40ac840f17a633e1982b"),
        ("contexts", "6f9c0ad7a2fdc67d0021177e7e77db789fbe89c115ab5d6eb11fbf26e314e79e"),
    ],
)
def test_latents_of_a_golden_file_are_the_integers_that_they_were(name: str, expected: str) -> None:
    reader, digest = Reader(Sidecar.open(DATA / f"golden-v1-{name}.hsinr")), hashlib.sha256()
    for number in range(len(reader.tiling)):
        digest.update(latent_integers(reader, number).astype("<i4").tobytes())
    assert digest.hexdigest() == expected
