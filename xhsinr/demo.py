"""A synthetic hyperspectral scene to try the package on, when no real one is at hand.

A linear mixing model: smooth reflectance spectra of seven materials, mixed by fractal
abundance maps with fields, roads, buildings and a river drawn over them, lit by a relief,
seen through an atmosphere by a sensor whose noise grows toward the ends of its range.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import rioxarray  # noqa: F401 - registers .rio
import xarray as xr
from rasterio.transform import Affine
from scipy.spatial import cKDTree

from xhsinr.compression.pipeline import compress
from xhsinr.errors import VerificationError
from xhsinr.pictures.figures import quality_figure
from xhsinr.reading.verification import verify
from xhsinr.scene import read, write_geotiff
from xhsinr.target import PROFILES

__all__ = ["run", "synthetic_scene"]

Floats = npt.NDArray[np.float64]

MATERIALS = ("vegetation", "dry grass", "soil", "carbonate", "water", "asphalt", "clay tiles")
VEGETATION, DRY_GRASS, SOIL, CARBONATE, WATER, ASPHALT, TILES = range(len(MATERIALS))

NODATA = -32768
FULL_SCALE = 10_000  # digital number of reflectance 1
PIXEL_M = 30.0


def synthetic_scene(
    rows: int = 192,
    cols: int = 256,
    bands: int = 180,
    seed: int = 0,
    *,
    nodata_corner: bool = False,
) -> xr.DataArray:
    """A realistic synthetic scene, the same for the same arguments.

    Parameters
    ----------
    rows, cols, bands : int
        Size of the scene; bands are evenly spaced from 420 to 2,450 nm.
    seed : int
        Seed of everything random in it.
    nodata_corner : bool
        Cut two opposite corners off, as the edge of a rotated swath does, and declare
        nodata -32768.

    Returns
    -------
    DataArray, (band, y, x), int16
        Top-of-atmosphere reflectance times 10,000, with coordinates `wavelength` and `fwhm`
        (nm) along `band`, in UTM zone 33N with pixels of 30 m. No file is read or written.

    Raises
    ------
    ValueError
        If a size is below 1.
    """
    if min(rows, cols, bands) < 1:
        raise ValueError(f"a scene of {rows} rows, {cols} cols, {bands} bands: each must be >= 1")
    rng = np.random.default_rng(seed)
    wavelength = np.linspace(420.0, 2450.0, bands)
    ground = _abundances(rng, rows, cols)
    ground = _blurred(ground * _illumination(rng, rows, cols))
    dn = _observe(rng, ground, wavelength)
    scene = xr.DataArray(
        dn,
        dims=("band", "y", "x"),
        coords={
            "band": np.arange(1, bands + 1),
            "wavelength": ("band", np.round(wavelength, 3), {"units": "nm"}),
            "fwhm": ("band", np.round(6.5 + wavelength / 500, 3), {"units": "nm"}),
            "y": 5_800_000.0 - PIXEL_M * (np.arange(rows) + 0.5),
            "x": 360_000.0 + PIXEL_M * (np.arange(cols) + 0.5),
        },
        name="reflectance",
        attrs={"long_name": "synthetic top-of-atmosphere reflectance x 10000", "units": "DN"},
    )
    if nodata_corner:
        scene = scene.where(_inside_swath(rows, cols), np.int16(NODATA))
        scene.rio.write_nodata(NODATA, inplace=True)
    scene.rio.write_crs("EPSG:32633", inplace=True)
    scene.rio.write_transform(
        Affine(PIXEL_M, 0.0, 360_000.0, 0.0, -PIXEL_M, 5_800_000.0), inplace=True
    )
    return scene


def _endmembers(wavelength: Floats) -> Floats:
    """Reflectance (bands, materials) between 0 and 1."""

    def step(at: float, width: float) -> Floats:
        """Rises from 0 to 1 around `at`."""
        return 1 / (1 + np.exp(-(wavelength - at) / width))

    def bell(at: float, width: float) -> Floats:
        return np.exp(-0.5 * ((wavelength - at) / width) ** 2)

    def dips(*features: tuple[float, float, float]) -> Floats:
        """Transmittance of absorption features (centre nm, width nm, depth)."""
        absorbed = np.ones_like(wavelength)
        for at, width, depth in features:
            absorbed = absorbed * (1 - depth * bell(at, width))
        return absorbed

    leaf_water = dips((970, 35, 0.08), (1200, 50, 0.18), (1450, 75, 0.60), (1940, 110, 0.75))
    drying = 1 - 0.62 * step(1750, 330)
    vegetation = (0.03 + 0.06 * bell(552, 32) + 0.45 * step(718, 14)) * leaf_water * drying
    cellulose = dips((1450, 60, 0.10), (1940, 70, 0.18), (2100, 60, 0.16), (2310, 40, 0.12))
    dry_grass = (
        0.05 + 0.07 * step(520, 30) + 0.29 * step(710, 80) - 0.06 * step(2000, 150)
    ) * cellulose
    clay = dips((1415, 25, 0.08), (1915, 40, 0.14), (2205, 25, 0.13))
    soil = (0.03 + 0.08 * step(545, 22) + 0.22 * step(760, 150) + 0.05 * step(1500, 250)) * clay
    iron = dips((490, 50, 0.20), (880, 90, 0.10))
    calcite = dips((1880, 35, 0.08), (1990, 40, 0.10), (2160, 30, 0.07), (2338, 38, 0.38))
    carbonate = (0.26 + 0.20 * step(620, 160)) * iron * calcite
    water = 0.012 + 0.055 * bell(545, 75) * (1 - step(640, 30)) + 0.02 * (1 - step(720, 25))
    asphalt = (0.13 + 0.07 * step(1000, 420)) * dips((1720, 20, 0.03), (2310, 35, 0.06))
    red_iron = dips((530, 40, 0.25), (870, 80, 0.22))
    tiles = (0.05 + 0.27 * step(600, 38) + 0.08 * step(1300, 200)) * red_iron
    return np.stack([vegetation, dry_grass, soil, carbonate, water, asphalt, tiles], axis=1)


def _fractal(rng: np.random.Generator, rows: int, cols: int, slope: float) -> Floats:
    """A random field of power spectrum 1/f**slope, mean 0 and standard deviation 1."""
    # On a domain twice as wide, as the Fourier series would join the scene's opposite edges.
    shape = (2 * rows, 2 * cols)
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal(shape)) * frequency ** (-slope / 2)
    field: Floats = np.fft.irfft2(spectrum, s=shape)[:rows, :cols]
    field -= field.mean()
    field /= max(float(field.std()), np.finfo(np.float64).tiny)
    return field


def _abundances(rng: np.random.Generator, rows: int, cols: int) -> Floats:
    """Share of each material in each pixel, (materials, rows, cols); sums to 1."""
    nature = np.stack([_fractal(rng, rows, cols, 2.6) for _ in MATERIALS])
    texture = 0.35 * np.stack([_fractal(rng, rows, cols, 2.0) for _ in MATERIALS])
    rarity = np.array([1.6, 0.5, 0.1, -1.6, -4.0, -3.0, -4.0])
    logits = 1.7 * nature + rarity[:, None, None]

    parcel, border = _parcels(rng, rows, cols)
    farmland = _fractal(rng, rows, cols, 3.2) > -0.35
    logits = np.where(farmland, texture + _crops(rng, parcel), logits)
    town = _fractal(rng, rows, cols, 3.4) > 1.25
    logits = np.where(town, texture + _buildings(rng, rows, cols), logits)
    river = np.abs(_fractal(rng, rows, cols, 4.2) + 0.2) < 0.05
    lake = _fractal(rng, rows, cols, 3.6) > 2.0
    wet = river | lake

    shares = np.exp(logits - logits.max(axis=0))
    shares /= shares.sum(axis=0)
    shares = _paint(shares, WATER, wet, 0.97)
    return _paint(shares, ASPHALT, farmland & border & ~wet & ~town, 0.75)


def _crops(rng: np.random.Generator, parcel: npt.NDArray[np.intp]) -> Floats:
    """Logits (materials, rows, cols) of farmland: one crop and one density a field."""
    fields = parcel.max() + 1
    crop = rng.choice([VEGETATION, DRY_GRASS, SOIL, CARBONATE], fields, p=[0.48, 0.28, 0.22, 0.02])
    density = rng.uniform(2.0, 4.5, fields)
    logits: Floats = _only(crop[parcel]) * density[parcel]
    logits[WATER:] -= 5
    return logits


def _buildings(rng: np.random.Generator, rows: int, cols: int) -> Floats:
    """Logits (materials, rows, cols) of a town: roofs, streets and gardens in oblique blocks."""
    row, col = np.indices((rows, cols))
    along, across = (3 * row + col) // 6, (3 * col - row) // 9
    number = np.ravel_multi_index((along, across - across.min()), (rows + cols, rows + cols))
    _, block = np.unique(number, return_inverse=True)
    kinds = [TILES, ASPHALT, VEGETATION, CARBONATE]
    use = rng.choice(kinds, block.max() + 1, p=[0.2, 0.4, 0.3, 0.1])
    logits: Floats = 2.0 * _only(use[block])
    return logits


def _only(material: npt.NDArray[np.int_]) -> Floats:
    """One-hot maps (materials, rows, cols) of a map of material numbers."""
    maps: npt.NDArray[np.bool_] = np.arange(len(MATERIALS))[:, None, None] == material
    return maps.astype(np.float64)


def _paint(shares: Floats, material: int, where: npt.NDArray[np.bool_], share: float) -> Floats:
    """Give `material` that share of the pixels; what was there keeps the rest."""
    painted = shares * (1 - share)
    painted[material] += share
    return np.where(where, painted, shares)


def _parcels(
    rng: np.random.Generator, rows: int, cols: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Number of the field that each pixel lies in, and the pixels along borders with a road."""
    count = max(2, rows * cols // 240)
    turn = np.deg2rad(24)
    # Fields are oblong and share a direction: cells of random seeds in a stretched frame.
    frame = np.array([[np.cos(turn), np.sin(turn)], [-1.9 * np.sin(turn), 1.9 * np.cos(turn)]])
    seeds = np.stack([rng.uniform(0, rows, count), rng.uniform(0, cols, count)])
    pixels = np.tensordot(frame, np.indices((rows, cols)), axes=1)
    # City-block distances give straight borders.
    tree = cKDTree((frame @ seeds).T)
    distance, number = tree.query(np.moveaxis(pixels, 0, -1), k=2, p=1)
    parcel = number[..., 0]
    with_road = rng.random(count)[parcel] < 0.5
    return parcel, (distance[..., 1] - distance[..., 0] < 2.4) & with_road


def _illumination(rng: np.random.Generator, rows: int, cols: int) -> Floats:
    """Light that falls on each pixel, around 1: a low sun on a gentle relief."""
    relief = np.pad(6.0 * _fractal(rng, rows, cols, 3.8), ((0, 1), (0, 1)), mode="edge")
    slope = np.diff(relief, axis=0)[:, :-1] + np.diff(relief, axis=1)[:-1, :]
    return np.clip(1 + 0.2 * slope, 0.45, 1.4) * (1 + 0.03 * _fractal(rng, rows, cols, 1.6))


def _blurred(ground: Floats) -> Floats:
    """As the optics see it: along rows and columns, neighbours lend a fifth each."""
    padded = np.pad(ground, ((0, 0), (1, 1), (1, 1)), mode="edge")
    along = 0.2 * padded[:, :-2] + 0.6 * padded[:, 1:-1] + 0.2 * padded[:, 2:]
    across: Floats = 0.2 * along[..., :-2] + 0.6 * along[..., 1:-1] + 0.2 * along[..., 2:]
    return across


def _observe(rng: np.random.Generator, ground: Floats, wavelength: Floats) -> npt.NDArray[np.int16]:
    """Digital numbers (bands, rows, cols) of lit materials, seen through the atmosphere."""
    gases = np.array(
        [
            # centre nm, width nm, optical depth: oxygen, water vapour, carbon dioxide
            [762, 5, 0.35], [820, 12, 0.08], [940, 22, 0.45], [1130, 28, 0.55],
            [1380, 38, 3.6], [1870, 45, 3.8], [2010, 14, 0.35], [2060, 12, 0.20],
        ]
    ).T  # fmt: skip
    depth = gases[2] * np.exp(-0.5 * ((wavelength[:, None] - gases[0]) / gases[1]) ** 2)
    haze = 0.055 * (wavelength / 450) ** -4
    through = np.exp(-depth.sum(axis=1) - 0.6 * haze)
    # Silicon ends in the blue, the infrared detector and the sunlight toward 2,450 nm.
    edges = np.exp(-(wavelength - 420) / 60) + np.exp((wavelength - 2450) / 180)
    noise = 6 + 22 * edges

    spectra = FULL_SCALE * through[:, None] * _endmembers(wavelength)
    dn = np.empty((len(wavelength), *ground.shape[1:]), np.int16)
    # Band by band, so that a large scene takes little more memory than it fills.
    for band, spectrum in enumerate(spectra):
        signal = FULL_SCALE * haze[band] + np.tensordot(spectrum, ground, axes=1)
        grain = rng.standard_normal(signal.shape)
        signal += grain * np.sqrt(noise[band] ** 2 + 0.05 * signal)
        dn[band] = np.clip(np.rint(signal), 1 - FULL_SCALE, 3 * FULL_SCALE)
    return dn


def _inside_swath(rows: int, cols: int) -> xr.DataArray:
    """True for pixels of the swath, False in the two corners that its tilt leaves empty."""
    row, col = np.indices((rows, cols)) / np.array([rows, cols])[:, None, None]
    tilt = col + 0.3 * row
    return xr.DataArray((tilt > 0.18) & (tilt < 1.12), dims=("y", "x"))


def run(out: Path) -> None:
    """Compress a synthetic scene at every named quality, verify each file, draw what changed.

    Writes the scene as GeoTIFF, its sidecars and figures of two of them into ``out``, and
    prints a report; files of an earlier run are replaced.
    """
    out.mkdir(parents=True, exist_ok=True)
    scene = synthetic_scene(nodata_corner=True)
    source = out / "scene.tif"
    # rioxarray would leave the wavelengths behind.
    write_geotiff(read(scene), scene.values, source)
    bands, rows, cols = scene.shape
    size = f"{rows} x {cols} pixels, {bands} bands, {scene.dtype}"
    click.echo(f"{source}: {size}, {source.stat().st_size:,} bytes\n")
    for quality, meaning in PROFILES.items():
        path = out / f"{quality}.hsinr"
        compressed = compress(scene, path, quality=quality, overwrite=True)
        found = verify(path, against=scene)
        if not found.valid:
            raise VerificationError("\n".join(found.errors))
        click.echo(f"{quality}: {meaning}\n{path}\n{compressed.text()}")
        click.echo("  verified against the original\n")
    for quality in ("preview", "standard"):
        figure = out / f"{quality}.png"
        title = f"Synthetic scene, quality '{quality}'"
        quality_figure(scene, out / f"{quality}.hsinr", figure, title)
        click.echo(f"{figure}: before and after, errors, spectra")
