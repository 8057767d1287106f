"""Products in HDF5 or netCDF-4 that a table describes: where samples, bands and place are."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj.exceptions
import rioxarray  # noqa: F401  (registers the rio accessor)
import xarray as xr
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.errors import CRSError

from xhsinr.errors import SceneError
from xhsinr.scene.grid import centre_coords
from xhsinr.scene.hdf5 import attributes, lazy_cube, open_hdf5
from xhsinr.scene.products.acquisition import acquisition
from xhsinr.scene.spectrum import with_spectrum

__all__ = ["LAYOUTS", "Layout", "ground_control_points"]

Floats = npt.NDArray[np.float64]
Grid = tuple[Affine, Any]
"""A transform and what rasterio takes for a CRS."""

# Ground control points along each side: enough to find the scene.
_POINTS = 5


@dataclass(frozen=True)
class Layout:
    """Where a product keeps what.

    Attributes
    ----------
    name : str
        For people.
    cubes : tuple of tuple of str
        Datasets of samples; the first tuple counts of which all are there, one behind the other.
        ``*`` stands for the one group that has the rest.
    axes : tuple of int
        Where bands, rows and columns stand in them.
    wavelengths, fwhm : tuple of str
        Datasets of them, one for each cube or one for all; ``@name`` is an attribute of the cube.
    location : tuple of str
        Datasets of the latitude and the longitude of each pixel; empty for scenes on a grid.
    grid : callable, optional
        Finds transform and CRS in an open file, given the cube's dataset.
    platform, instrument : str
    """

    name: str
    cubes: tuple[tuple[str, ...], ...]
    axes: tuple[int, int, int]
    wavelengths: tuple[str, ...]
    fwhm: tuple[str, ...] = ()
    location: tuple[str, str] | tuple[()] = ()
    grid: Callable[[Any, Any], Grid | None] | None = None
    platform: str = ""
    instrument: str = ""

    def found_in(self, file: Any) -> bool:
        """Whether an open HDF5 file is such a product."""
        name = self.wavelengths[0]
        described = name.startswith("@") or _path(file, name) is not None
        return described and bool(self._cubes(file))

    def _cubes(self, file: Any) -> list[str]:
        for names in self.cubes:
            paths = [_path(file, name) for name in names]
            if all(path is not None and hasattr(file[path], "shape") for path in paths):
                return [str(path) for path in paths]
        return []

    def open(self, path: Path) -> xr.DataArray:
        """The scene in such a product.

        Raises
        ------
        SceneError
            If the bands are not described.
        """
        with open_hdf5(path) as file:
            names = self._cubes(file)
            cube = file[names[0]]
            known, own = attributes(file), attributes(cube)
            wavelengths = self._spectrum(path, file, names, self.wavelengths)
            fwhm = self._spectrum(path, file, names, self.fwhm) if self.fwhm else None
            units = self._units(file, names)
            place = self.grid(file, cube) if self.grid is not None else None
            points = [] if place or not self.location else self._points(file)
            counts = [file[name].shape[self.axes[0]] for name in names]
        samples = lazy_cube(path, dict.fromkeys(names), self.axes)
        array = xr.DataArray(
            xr.Variable(("band", "y", "x"), samples), name=names[0].rpartition("/")[2]
        )
        if wavelengths is None or wavelengths.size != sum(counts):
            raise SceneError(
                f"{path}: {', '.join(self.wavelengths)} are not one number for each of the "
                f"{sum(counts)} bands; get the file again"
            )
        if fwhm is not None and fwhm.size != wavelengths.size:
            fwhm = None
        array = with_spectrum(array, wavelengths, fwhm, units)
        array.attrs = {
            name: value
            for name, value in (known | own).items()
            if not isinstance(value, np.ndarray) and not name.startswith(("_N", "Planet_", "DIM"))
        }
        _scale(array.attrs)
        array.attrs |= acquisition(
            known.get("time_coverage_start"),
            known.get("time_coverage_end"),
            product_id=path.stem,
            platform=str(known.get("platform", self.platform)),
            instrument=str(known.get("instrument", self.instrument)),
        )
        return _placed(path, array, place, points, self.location)

    def _spectrum(
        self, path: Path, file: Any, names: list[str], wanted: tuple[str, ...]
    ) -> Floats | None:
        found = []
        for number, name in enumerate(wanted):
            cube = file[names[min(number, len(names) - 1)]]
            if name.startswith("@"):
                value = cube.attrs.get(name[1:])
            else:
                inside = _path(file, name)
                value = None if inside is None else file[inside][()]
            if value is None:
                return None
            found.append(np.asarray(value, np.float64).ravel())
        return np.concatenate(found)

    def _units(self, file: Any, names: list[str]) -> str:
        name = self.wavelengths[0]
        inside = None if name.startswith("@") else _path(file, name)
        told = attributes(file[inside]) if inside is not None else {}
        units = next((told[key] for key in ("units", "Units") if key in told), "nm")
        return units if isinstance(units, str) else "nm"

    def _points(self, file: Any) -> list[GroundControlPoint]:
        lat, lon = (_path(file, name) for name in self.location)
        return [] if lat is None or lon is None else ground_control_points(file[lat], file[lon])


def _path(file: Any, name: str) -> str | None:
    """Where a dataset is, ``*`` being the one group that has the rest; None if it is not there."""
    if not name.startswith("*/"):
        return name if name in file else None
    groups = [group for group in file if hasattr(file[group], "keys") and name[2:] in file[group]]
    return f"{groups[0]}/{name[2:]}" if len(groups) == 1 else None


def _scale(attrs: dict[str, Any]) -> None:
    """NEON's divisor of stored samples, as the factor that others have."""
    divisor = attrs.get("Scale_Factor", attrs.get("Scale Factor"))
    if isinstance(divisor, int | float) and divisor > 0 and "scale_factor" not in attrs:
        attrs["scale_factor"] = 1.0 / float(divisor)


def _placed(
    path: Path,
    array: xr.DataArray,
    place: Grid | None,
    points: list[GroundControlPoint],
    location: tuple[str, ...],
) -> xr.DataArray:
    if place is not None:
        transform, crs = place
        coords = centre_coords(transform, array.sizes["y"], array.sizes["x"], ("y", "x"))
        array = array.assign_coords(coords).rio.write_transform(transform)
        try:
            return array.rio.write_crs(crs) if crs is not None else array
        except (CRSError, pyproj.exceptions.CRSError) as error:
            raise SceneError(
                f"{path}: its CRS is malformed ({error}); get the file again"
            ) from error
    if location:
        warnings.warn(
            f"{path}: the scene stays in sensor geometry, with {len(points)} ground control points "
            f"of {' and '.join(location)}; keep the product if you want to orthorectify it",
            stacklevel=2,
        )
    return array.rio.write_gcps(points, "EPSG:4326") if points else array


def ground_control_points(latitude: Any, longitude: Any) -> list[GroundControlPoint]:
    """A regular sample of the positions of pixel centres that are known, (rows, cols) in HDF5."""
    rows, cols = (
        np.unique(np.linspace(0, size - 1, _POINTS).astype(int)) for size in latitude.shape
    )

    def sampled(dataset: Any) -> Floats:
        values = np.stack([dataset[row][cols] for row in rows.tolist()]).astype(np.float64)
        fill = dataset.attrs.get("_FillValue", np.nan)
        return np.where(np.isin(values, fill) | (np.abs(values) > 360), np.nan, values)

    lat, lon = sampled(latitude), sampled(longitude)
    known = np.argwhere(np.isfinite(lat) & np.isfinite(lon)).tolist()
    return [
        # Without a name it would get a random one.
        GroundControlPoint(rows[i] + 0.5, cols[j] + 0.5, lon[i, j], lat[i, j], id=str(number))
        for number, (i, j) in enumerate(known, 1)
    ]


def _grid_of_mapping(file: Any, cube: Any) -> Grid | None:
    """CF: the grid mapping that the samples name, with GDAL's GeoTransform and a WKT."""
    name = attributes(cube).get("grid_mapping")
    variable = file.get(name) if isinstance(name, str) else None
    told = attributes(variable) if variable is not None else {}
    numbers = str(told.get("GeoTransform", "")).replace(",", " ").split()
    try:
        transform = Affine.from_gdal(*map(float, numbers[:6]))
    except (TypeError, ValueError):
        return None
    return transform, told.get("spatial_ref", told.get("crs_wkt"))


def _grid_of_map_info(file: Any, cube: Any) -> Grid | None:
    """NEON: ENVI's map info and an EPSG code beside it."""
    group = cube.parent.get("Metadata/Coordinate_System")
    if group is None or "Map_Info" not in group:
        return None
    words = [word.strip() for word in _text(group["Map_Info"]).strip("{}").split(",")]
    try:
        col, row, left, top, width, height = map(float, words[1:7])
        turned = [float(w.partition("=")[2]) for w in words if w.lower().startswith("rotation")]
    except ValueError:
        return None
    if any(turned):
        return None
    code = _text(group["EPSG Code"]) if "EPSG Code" in group else ""
    crs = f"EPSG:{int(code)}" if code.strip().isdigit() else None
    left, top = left - (col - 1) * width, top + (row - 1) * height
    return Affine(width, 0, left, 0, -height, top), crs


def _grid_of_planet(file: Any, cube: Any) -> Grid | None:
    """Tanager: the framing of an ortho product as JSON."""
    if "GRIDS" not in str(cube.name):
        return None
    for holder in (cube, cube.parent, cube.parent.parent, file):
        text = attributes(holder).get("Planet_Ortho_Framing")
        try:
            framing = json.loads(text) if isinstance(text, str) else {}
            numbers = framing.get("geotransform", ())
            return Affine.from_gdal(*map(float, numbers)), f"EPSG:{int(framing['epsg_code'])}"
        except (AttributeError, KeyError, TypeError, ValueError):
            continue
    return None


def _text(dataset: Any) -> str:
    value = np.asarray(dataset[()]).ravel()[0]
    return value.decode() if isinstance(value, bytes) else str(value)


_HYP = "HDFEOS/{}/HYP/Data Fields/{}"

LAYOUTS = (
    Layout(
        "PACE OCI L1B",
        cubes=(tuple(f"observation_data/rhot_{name}" for name in ("blue", "red", "SWIR")),),
        axes=(0, 1, 2),
        wavelengths=tuple(
            f"sensor_band_parameters/{name}_wavelength" for name in ("blue", "red", "SWIR")
        ),
        location=("geolocation_data/latitude", "geolocation_data/longitude"),
        platform="PACE",
        instrument="OCI",
    ),
    Layout(
        "PACE OCI L2",
        cubes=tuple((f"geophysical_data/{name}",) for name in ("rhos", "Rrs", "nLw")),
        axes=(2, 0, 1),
        wavelengths=("sensor_band_parameters/wavelength_3d",),
        location=("navigation_data/latitude", "navigation_data/longitude"),
        platform="PACE",
        instrument="OCI",
    ),
    Layout(
        "Tanager",
        cubes=tuple(
            (_HYP.format(kind, name),)
            for kind in ("GRIDS", "SWATHS")
            for name in ("surface_reflectance", "toa_radiance")
        ),
        axes=(0, 1, 2),
        wavelengths=("@wavelengths",),
        fwhm=("@fwhm",),
        location=tuple(  # type: ignore[arg-type]
            f"HDFEOS/SWATHS/HYP/Geolocation Fields/{name}" for name in ("Latitude", "Longitude")
        ),
        grid=_grid_of_planet,
        platform="Tanager",
        instrument="Tanager",
    ),
    *(
        Layout(
            f"AVIRIS-3 {level}",
            cubes=((f"{name}/{name}",),),
            axes=(0, 1, 2),
            wavelengths=(f"{name}/wavelength",),
            fwhm=(f"{name}/fwhm",),
            location=("lat", "lon"),
            grid=_grid_of_mapping,
            instrument="AVIRIS-3",
        )
        for level, name in (("L2A", "reflectance"), ("L1B", "radiance"))
    ),
    *(
        Layout(
            f"NEON {name.lower()}",
            cubes=((f"*/{name}/{name}_Data",),),
            axes=(2, 0, 1),
            wavelengths=(f"*/{name}/Metadata/Spectral_Data/Wavelength",),
            fwhm=(f"*/{name}/Metadata/Spectral_Data/FWHM",),
            grid=_grid_of_map_info,
            platform="NEON AOP",
            instrument="NIS",
        )
        for name in ("Reflectance", "Radiance")
    ),
)
"""Products of one HDF5 or netCDF-4 file each."""
