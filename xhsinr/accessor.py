"""``.hsinr`` on DataArray and Dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy.typing as npt
import xarray as xr

from xhsinr.target import Options, takes_settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from xhsinr.handle import Compressed

__all__ = ["HsinrAccessor"]


@xr.register_dataset_accessor("hsinr")
@xr.register_dataarray_accessor("hsinr")
class HsinrAccessor:
    """The scene in a DataArray, or in the one such variable of a Dataset."""

    def __init__(self, obj: xr.DataArray | xr.Dataset) -> None:
        self._obj = obj

    @takes_settings
    def compress(
        self,
        path: str | Path | None = None,
        *,
        preview: bool = False,
        overwrite: bool = False,
        progress: bool = True,
        **options: Unpack[Options],
    ) -> Compressed:
        """Compress the scene into a sidecar, see `xhsinr.compress`.

        Parameters
        ----------
        path : str or Path, optional
            Of the ``.hsinr`` file to write; without it, one named after the source file or the
            variable, in the working folder.

        Returns
        -------
        Compressed
        """
        from xhsinr.compression.pipeline import compress

        return compress(
            self._obj,
            path,
            preview=preview,
            overwrite=overwrite,
            progress=progress,
            **options,
        )

    def sel_wavelength(
        self, wavelength: npt.ArrayLike | slice, *, tolerance: float | None = None
    ) -> xr.DataArray | xr.Dataset:
        """The bands nearest to some wavelengths, in whatever order the bands are.

        ``da.sel(wavelength=...)`` needs wavelengths that rise or fall throughout; those of
        instruments with overlapping detectors do not.

        Parameters
        ----------
        wavelength : float, sequence of float, or slice
            In nanometres; in the coordinate's own numbers if it does not say its units. A number
            gives one band, a sequence one for each, a slice all bands from its start to its
            stop, in their order.
        tolerance : float, optional
            Refuse bands that are further off; without it, wavelengths beyond the first or the last
            band by more than a band's width.

        Returns
        -------
        DataArray or Dataset
            Lazy as it was.

        Raises
        ------
        SceneError
            If there are no wavelengths, or no band is near enough.

        Examples
        --------
        >>> red = scene.hsinr.sel_wavelength(660)  # doctest: +SKIP
        >>> colours = scene.hsinr.sel_wavelength([660, 550, 470], tolerance=10)  # doctest: +SKIP
        """
        from xhsinr.scene.bands import at_wavelengths

        return at_wavelengths(self._obj, wavelength, tolerance)

    def orthorectify(self) -> xr.DataArray:
        """The scene on the ground, by the geometry lookup table of its product, lazily.

        Each cell of the table's grid has the pixel that is seen there, unchanged; cells where none
        is are nodata. For scenes in sensor geometry with such a table, as EMIT's.

        Raises
        ------
        SceneError
            If the scene has no table, or no value for cells without a pixel.

        Examples
        --------
        >>> ground = xhsinr.open("emit.hsinr").open().hsinr.orthorectify()  # doctest: +SKIP
        """
        from xhsinr import scene as scenes
        from xhsinr.scene.ortho import orthorectified

        return orthorectified(scenes.read(self._obj)).to_xarray()

    def plot_quality(
        self, decoded: Any, path: str | Path | None = None, *, title: str | None = None
    ) -> Figure:
        """Draw what compression changed: error map, RMSE of each band, spectra.

        Parameters
        ----------
        decoded : str, Path, Compressed or DataArray
            The sidecar of this scene, by its path or as `xhsinr.compress` returned it, or what
            it decodes to.
        path : str or Path, optional
            Where to save the figure as well, in the format of its suffix.
        title : str, optional
            Title; by default the name of the scene's file, or its own.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        HsinrError
            If matplotlib is not installed.
        SceneError
            If the two are not scenes of the same shape, or no sample of this one is valid.

        Examples
        --------
        >>> import xarray as xr
        >>> scene = xr.open_dataarray("scene.nc")  # doctest: +SKIP
        >>> scene.hsinr.plot_quality("scene.hsinr", "quality.png")  # doctest: +SKIP
        """
        from xhsinr.pictures.figures import quality_figure

        return quality_figure(self._obj, decoded, path, title)
