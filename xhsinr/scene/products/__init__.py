"""Products as their makers deliver them: one file a family.

Each module says how its product is recognised and opens it as a DataArray: the stored samples,
lazily, with wavelengths, fwhm, bad bands (``bbl``), scale, offset and nodata from where the
product keeps them, and what `acquisition` names as attributes.
"""
