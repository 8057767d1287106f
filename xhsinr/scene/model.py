"""The canonical scene: samples, and all that their source says about them.

`Scene` is what every other module works on. It writes its metadata down for a file's header,
reads it back, and gives the scene as a DataArray laid out as it came.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC

from xhsinr.scene import header
from xhsinr.scene.chunks import read_where
from xhsinr.scene.grid import RotatedCentres, lazily, pixel_centres
from xhsinr.scene.lookup import Lookup
from xhsinr.scene.numbers import checked, expect, holds, vector_from_json, vector_to_json
from xhsinr.scene.parts import Coordinate, GridMapping, grid_mapping_from_json, nodata_of
from xhsinr.scene.spectrum import micrometres

__all__ = ["Scene", "as_dataset"]


# Values of coordinates that a description may make: rows and columns at their limits, twice.
_MOST_COORDS = 1 << 24
# Coordinates, each of which xarray looks at whenever one comes.
_MOST_NAMES = 1000


@dataclass(frozen=True, eq=False)
class Scene:
    """A hyperspectral scene with everything that its source says about it.

    Attributes
    ----------
    data : numpy or dask array, shape (bands, rows, cols)
        Samples in their original data type, never scaled; lazy for files and dask inputs.
    dims : tuple of str
        The original names of the dimensions in their original order.
    axes : tuple of int
        Where bands, rows and columns stand in ``dims``.
    name : str, optional
    wavelengths, fwhm : ndarray of float64, shape (bands,), optional
        As they came, in ``wavelength_units``.
    wavelength_units : str, optional
        As found: ``"nm"``, ``"Nanometers"``, ``"um"``, ...
    nodata : int or float, optional
        The value of samples that say nothing. NaN samples always are invalid as well.
    crs, transform, gcps : optional
        As in rasterio; ``transform`` is None where pixels have no place on the ground.
    attrs, encoding : dict
        Attributes in JSON's own types, and of the encoding what belongs to the data.
    coords : dict of str to `Coordinate`
        All coordinates, those of wavelengths and pixel centres among them.
    grid_mapping : GridMapping, optional
        How georeferencing was written down; None where the source had no such coordinate.
    lookup : Lookup, optional
        The way from sensor geometry to the ground.
    source : str
        The file that lazy samples are read from, for errors; empty where none is known.
    """

    data: Any
    dims: tuple[str, str, str] = ("band", "y", "x")
    axes: tuple[int, int, int] = (0, 1, 2)
    name: str | None = None
    wavelengths: npt.NDArray[np.float64] | None = None
    wavelength_units: str | None = None
    fwhm: npt.NDArray[np.float64] | None = None
    nodata: int | float | None = None
    crs: CRS | None = None
    transform: Affine | None = None
    gcps: tuple[GroundControlPoint, ...] | None = None
    attrs: Mapping[str, Any] = field(default_factory=dict)
    encoding: Mapping[str, Any] = field(default_factory=dict)
    coords: Mapping[str, Coordinate] = field(default_factory=dict)
    grid_mapping: GridMapping | None = None
    lookup: Lookup | None = None
    source: str = ""

    @property
    def bands(self) -> int:
        """How many bands there are."""
        return int(self.data.shape[0])

    @property
    def rows(self) -> int:
        """How many rows of pixels there are."""
        return int(self.data.shape[1])

    @property
    def cols(self) -> int:
        """How many columns of pixels there are."""
        return int(self.data.shape[2])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(bands, rows, cols)."""
        return self.bands, self.rows, self.cols

    @property
    def samples(self) -> int:
        """How many samples there are: bands x rows x cols."""
        return self.bands * self.rows * self.cols

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the samples."""
        dtype: np.dtype[Any] = self.data.dtype
        return dtype

    @property
    def band_dim(self) -> str:
        """Original name of the band dimension."""
        return self.dims[self.axes[0]]

    @property
    def row_dim(self) -> str:
        """Original name of the row dimension."""
        return self.dims[self.axes[1]]

    @property
    def col_dim(self) -> str:
        """Original name of the column dimension."""
        return self.dims[self.axes[2]]

    @property
    def wavelengths_um(self) -> npt.NDArray[np.float64] | None:
        """Wavelengths in micrometres; None where there are none or their units are unknown."""
        return self._in_micrometres(self.wavelengths)

    @property
    def fwhm_um(self) -> npt.NDArray[np.float64] | None:
        """Full widths at half maximum in micrometres; None as in `wavelengths_um`."""
        return self._in_micrometres(self.fwhm)

    def _in_micrometres(
        self, values: npt.NDArray[np.float64] | None
    ) -> npt.NDArray[np.float64] | None:
        divisor = micrometres(self.wavelength_units)
        return None if values is None or divisor is None else values / divisor

    @property
    def scaling(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
        """Scale and offset of each band: what is meant is ``scale * sample + offset``.

        From ``scale_factor`` and ``add_offset``, or ``scales`` and ``offsets`` where bands differ;
        None where there are none.
        """
        columns = []
        for one, many, neutral in (("scale_factor", "scales", 1.0), ("add_offset", "offsets", 0.0)):
            value = self.attrs.get(many, self.attrs.get(one, neutral))
            numbers = value if isinstance(value, list) else [value] * self.bands
            if len(numbers) != self.bands or not all(type(n) in (int, float) for n in numbers):
                return None
            columns.append(np.array(numbers, np.float64))
        scales, offsets = columns
        return None if (scales == 1).all() and (offsets == 0).all() else (scales, offsets)

    @property
    def rpcs(self) -> RPC | None:
        """Rational polynomial coefficients, from the attribute ``rpcs``: GDAL's tags as JSON."""
        try:
            return RPC.from_gdal(json.loads(self.attrs["rpcs"]))
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    def window(self, rows: slice, cols: slice) -> npt.NDArray[Any]:
        """Samples of a window, all bands, shape (bands, rows, cols); may be a view of the data."""
        with read_where(self.source, rows, cols):
            return np.asarray(self.data[:, rows, cols])

    def invalid(self, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Which of some samples of this scene say nothing: those equal to nodata, and NaN."""
        floats = values.dtype.kind == "f"
        mask = np.isnan(values) if floats else np.zeros(values.shape, np.bool_)
        if self.nodata is None:
            return mask
        with np.errstate(over="ignore"):
            nodata = values.dtype.type(self.nodata) if floats else self.nodata
        found: npt.NDArray[np.bool_] = mask | (values == nodata)
        return found

    def to_xarray(self, data: Any = None) -> xr.DataArray:
        """The scene as a DataArray, laid out as it came, with all coordinates and attributes.

        Parameters
        ----------
        data : array, shape (bands, rows, cols), optional
            Samples in place of the scene's own, for example decoded ones; a lazy array that
            xarray can wrap stays lazy.
        """
        samples = self.data if data is None else data
        if tuple(samples.shape) != self.shape:
            raise ValueError(f"data of shape {tuple(samples.shape)} for a scene of {self.shape}")
        canonical = (self.band_dim, self.row_dim, self.col_dim)
        array = xr.DataArray(samples, dims=canonical).transpose(*self.dims)
        array = array.assign_coords(
            {name: (c.dims, lazily(c.values), dict(c.attrs)) for name, c in self.coords.items()}
        )
        # Without a name of its own xarray gives it that of a dask array.
        array.name = self.name
        array.attrs = dict(self.attrs)
        array.encoding = dict(self.encoding)
        if self.lookup is not None:
            array.encoding["lookup"] = self.lookup
        if self.nodata is not None and nodata_of(array.attrs) is None:
            array.attrs["_FillValue"] = self.nodata
        if isinstance(array.attrs.get("_FillValue"), int | float):
            # The writers of netCDF and GeoTIFF want it in the data's own type.
            array.attrs["_FillValue"] = _as_sample(array.attrs["_FillValue"], array.dtype)
        mapping = self.grid_mapping
        if mapping is not None:
            written = header.grid_attrs(self.crs, self.transform, self.gcps)
            kept = {k: v for k, v in written.items() if k not in mapping.missing}
            place = xr.Variable((), mapping.value, {**kept, **mapping.extra})
            array = array.assign_coords({mapping.name: place})
            if "grid_mapping" not in array.attrs:
                array.encoding["grid_mapping"] = mapping.name
        return array

    def with_cf_nodata(self, array: xr.DataArray) -> xr.DataArray:
        """What `to_xarray` gave, with nodata where xarray and CF look for it, and nowhere else.

        Sources call it by many names, and some write it as text, which masks nothing.
        """
        array = array.copy(deep=False)
        for key in ("_FillValue", "missing_value"):
            value = array.attrs.get(key, 0)
            if isinstance(value, int | float | np.number) and not isinstance(value, bool):
                continue
            del array.attrs[key]
            if self.nodata is None:
                warnings.warn(
                    f"{key} = {value!r} is no number, so it masks nothing here", stacklevel=3
                )
        if self.nodata is not None:
            array.attrs["_FillValue"] = _as_sample(self.nodata, array.dtype)
        return array

    def describe(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """All but the samples, for a file's header: a strict JSON object and small arrays.

        Compact: there is no key where there is nothing to say. `from_description` is the exact
        inverse.
        """
        arrays: dict[str, npt.NDArray[Any]] = {}
        out: dict[str, Any] = {}
        if (self.dims, self.axes) != (Scene.dims, Scene.axes):
            out = {"dims": list(self.dims), "axes": list(self.axes)}
        known: dict[str, list[Any]] = {}
        for key in ("wavelengths", "fwhm"):
            values = getattr(self, key)
            if values is not None:
                arrays[key] = values.astype(np.float64)
                known[key] = values.tolist()
        if self.nodata is not None:
            out["nodata"] = header.to_json(self.nodata, {})
        if self.crs is not None:
            out["crs"] = header.crs_to_text(self.crs)
        if self.transform is not None:
            out["transform"] = list(self.transform)[:6]
        if self.gcps:
            out["gcps"] = header.gcps_to_json(self.gcps)
        if self.lookup is not None:
            out["lookup"], tables = self.lookup.describe()
            arrays |= tables
        attrs = dict(self.attrs)
        out.update(self._describe_names(attrs))
        mapping = self.grid_mapping
        if mapping is not None:
            own = GridMapping()
            out["grid_mapping"] = {
                k: list(v) if isinstance(v, tuple) else header.to_json(v, {})
                for k, v in vars(mapping).items()
                if k == "name" or v != getattr(own, k)
            }
        texts = {"name": self.name, "wavelength_units": self.wavelength_units}
        out.update({key: text for key, text in texts.items() if text is not None})
        parts = {"attrs": attrs, "encoding": dict(self.encoding)}
        out.update({k: header.to_json(part, known) for k, part in parts.items() if part})
        if self.coords:
            out["coords"] = {n: self._describe_coord(n, c, arrays) for n, c in self.coords.items()}
        return out, arrays

    def _describe_names(self, attrs: dict[str, Any]) -> dict[str, Any]:
        # GDAL and rioxarray repeat band names as "Band_1", ...; a rule often gives them all.
        names = attrs.get("long_name")
        if not (isinstance(names, list) and len(names) == self.bands):
            return {}
        if not all(isinstance(name, str) for name in names):
            return {}
        out: dict[str, Any] = {}
        tags = [f"Band_{band + 1}" for band in range(self.bands)]
        if [attrs.get(tag) for tag in tags] == names:
            out["band_tags"] = True
            for tag in tags:
                del attrs[tag]
        rule = header.names_to_template(names, self.wavelengths)
        if rule is not None:
            out["band_names"] = rule
            del attrs["long_name"]
        return out

    def _describe_coord(
        self, name: str, coord: Coordinate, arrays: dict[str, npt.NDArray[Any]]
    ) -> dict[str, Any]:
        out: dict[str, Any] = {}
        if coord.dims != (name,):
            out["dims"] = list(coord.dims)
        if coord.attrs:
            out["attrs"] = header.to_json(dict(coord.attrs), {})
        if isinstance(coord.values, RotatedCentres):
            return out | {"like": coord.values.axis}
        entry, array = vector_to_json(coord.values, self.derivable(coord.dims))
        if array is not None:
            arrays[f"coords.{name}"] = array
        return out | entry

    def derivable(self, dims: tuple[str, ...]) -> dict[str, npt.NDArray[np.float64]]:
        """Values that a coordinate on these dimensions may have and need not store."""
        if dims == (self.band_dim,):
            known = {"wavelengths": self.wavelengths, "fwhm": self.fwhm}
            return {key: values for key, values in known.items() if values is not None}
        place = self.transform
        rotated = place is not None and (place.b != 0 or place.d != 0)
        usual = [(self.row_dim, self.col_dim)] if rotated else [(self.row_dim,), (self.col_dim,)]
        if place is None or dims not in usual:
            return {}
        y, x = pixel_centres(place, self.rows, self.cols)
        if rotated:
            return {"y": y, "x": x}
        return {"y": y} if dims == (self.row_dim,) else {"x": x}

    @classmethod
    def from_description(
        cls, description: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]], data: Any
    ) -> Scene:
        """Scene of what `describe` gave.

        Parameters
        ----------
        description, arrays
            As `describe` gave them, after a trip through JSON and a file.
        data : array, shape (bands, rows, cols)
            Anything with a shape and a data type.

        Raises
        ------
        DamagedSidecarError
            If the description contradicts itself or the shape of the data.
        """
        expect(isinstance(description, Mapping), "it is no JSON object")
        text = header.reader(description)
        dims, axes = text("dims", list, list(cls.dims)), text("axes", list, list(cls.axes))
        expect(len(dims) == 3 and all(isinstance(d, str) for d in dims), "dims are not three names")
        expect(len(set(dims)) == 3, "two dimensions have one name")
        expect(
            all(type(a) is int for a in axes) and sorted(axes) == [0, 1, 2],
            "axes are not an order of the three dimensions",
        )
        bands = (int(data.shape[0]),)
        spectral = {
            key: checked(arrays[key], bands, key).astype(np.float64)
            for key in ("wavelengths", "fwhm")
            if key in arrays
        }
        known = {key: values.tolist() for key, values in spectral.items()}
        nodata = header.from_json(description.get("nodata"), {})
        expect(nodata is None or type(nodata) in (int, float), "nodata is not a number")
        expect(nodata is None or holds(data.dtype, nodata), f"nodata is no {data.dtype}")
        attrs = header.mapping_from_json(text("attrs", dict, {}), known)
        wavelengths = spectral.get("wavelengths")
        if "band_names" in description:
            rule = description["band_names"]
            attrs["long_name"] = header.names_from_template(rule, bands[0], wavelengths)
        if text("band_tags", bool, False):
            names = attrs.get("long_name", [])
            expect(isinstance(names, list) and len(names) == bands[0], "band names are missing")
            attrs.update({f"Band_{band + 1}": name for band, name in enumerate(names)})
        place, points = description.get("transform"), description.get("gcps")
        mapping = grid_mapping_from_json(text("grid_mapping", dict, None))
        lookup = None
        if "lookup" in description:
            lookup = Lookup.from_description(description["lookup"], arrays)
            expect(lookup.fits(*data.shape[1:]), "the lookup table is of another scene")
        expect(mapping is None or mapping.name not in dims, "the grid mapping is a dimension")
        scene = cls(
            data=data,
            dims=(dims[0], dims[1], dims[2]),
            axes=(axes[0], axes[1], axes[2]),
            name=text("name", str, None),
            wavelengths=wavelengths,
            wavelength_units=text("wavelength_units", str, None),
            fwhm=spectral.get("fwhm"),
            nodata=nodata,
            crs=header.crs_from_text(description["crs"]) if "crs" in description else None,
            transform=None if place is None else header.transform_from_json(place),
            gcps=None if points is None else header.gcps_from_json(points),
            attrs=attrs,
            encoding=header.mapping_from_json(text("encoding", dict, {}), known),
            grid_mapping=mapping,
            lookup=lookup,
        )
        coords = {}
        made, named = 0, text("coords", dict, {})
        expect(len(named) <= _MOST_NAMES, f"it has {len(named):,} coordinates, more than any")
        for name, entry in named.items():
            coords[name] = coord = scene._coord_from_json(name, entry, arrays)
            made += 0 if isinstance(coord.values, RotatedCentres) else coord.values.size
            expect(made <= _MOST_COORDS, f"it has {made:,} values of coordinates, more than any")
        return replace(scene, coords=coords)

    def _coord_from_json(
        self, name: str, entry: Any, arrays: Mapping[str, npt.NDArray[Any]]
    ) -> Coordinate:
        what = f"coordinate {name!r}"
        expect(isinstance(entry, dict), f"{what} is no JSON object")
        sizes = dict(
            zip(self.dims, (self.shape[self.axes.index(i)] for i in range(3)), strict=True)
        )
        dims = entry.get("dims", [name])
        expect(
            isinstance(dims, list) and all(isinstance(d, str) and d in sizes for d in dims),
            f"{what} is on dimensions that are not there",
        )
        expect(len(set(dims)) == len(dims), f"{what} has a dimension twice")
        expect(name not in sizes or dims == [name], f"{what} has the name of a dimension")
        shape = tuple(sizes[dim] for dim in dims)
        attrs = header.mapping_from_json(entry.get("attrs", {}), {})
        centres = self._rotated_centres(tuple(dims), entry.get("like"))
        if centres is not None:
            return Coordinate(tuple(dims), centres, attrs)  # type: ignore[arg-type]
        array = arrays.get(f"coords.{name}")
        values = vector_from_json(entry, array, shape, self.derivable(tuple(dims)), what)
        return Coordinate(tuple(dims), values, attrs)

    def _rotated_centres(self, dims: tuple[str, ...], axis: Any) -> RotatedCentres | None:
        """Coordinates of the pixels of a rotated grid, which are made when they are read."""
        place = self.transform
        if place is None or not (place.b or place.d) or dims != (self.row_dim, self.col_dim):
            return None
        return RotatedCentres(place, self.rows, self.cols, axis) if axis in ("x", "y") else None


def as_dataset(array: xr.DataArray) -> xr.Dataset:
    """A scene as the one variable of a Dataset, called ``scene`` where it has no name."""
    taken = {*array.coords, *array.dims, None}
    others = ("scene", *(f"scene_{number}" for number in range(1, len(taken) + 1)))
    return array.to_dataset(name=next(n for n in (array.name, *others) if n not in taken))


def _as_sample(value: float, dtype: np.dtype[Any]) -> Any:
    if dtype.kind in "iu" and not holds(dtype, value):
        return value
    with np.errstate(over="ignore"):
        return dtype.type(value)
