"""What an earlier version wrote decodes to what it was: see make_golden.py."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from make_golden import LATENT_LEVEL
from rasterio.crs import CRS

import xhsinr
from xhsinr.coding import latents
from xhsinr.network.base import load_network
from xhsinr.reading.reader import Reader
from xhsinr.sidecar.file import FORMAT_VERSION, Sidecar
from xhsinr.tiling import Patching

DATA = Path(__file__).parent / "data"
FILES = sorted(DATA.glob("golden-v*.hsinr"))


def test_every_format_version_has_its_golden_files() -> None:
    versions = {int(path.name.split("-")[1][1:]) for path in FILES}
    assert versions == set(range(1, FORMAT_VERSION + 1)), "run tests/make_golden.py"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_golden_file_decodes_to_what_it_was(path: Path) -> None:
    _, version, name = path.stem.split("-", 2)
    with np.load(DATA / f"golden-{version}.npz") as arrays:
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


def test_latents_of_a_golden_file_are_the_integers_that_they_were() -> None:
    reader = Reader(Sidecar.open(DATA / "golden-v1-preview.hsinr"))
    coding, digest = reader.codec.latents, hashlib.sha256()
    assert coding is not None
    for number in range(len(reader.tiling)):
        patches = len(Patching(*reader.tiling.shape(number), coding.network.patch))
        coded = reader.sidecar.payload(number)["latents"]
        digest.update(latents.decode(coded, patches, coding.network, coding.level).tobytes())
    assert digest.hexdigest() == (
        "62269db02de104500341e308a703e78e390b043afb3c40ac840f17a633e1982b"
    )
