"""Products as their makers deliver them, in one table.

A row of `PRODUCTS` says how a product is recognised, by the name of its file or by what an HDF5
file holds, and what opens it as a DataArray: the stored samples, lazily, with wavelengths, fwhm,
bad bands (``bbl``), scale, offset and nodata from where the product keeps them, and what
`acquisition` names as attributes. To add a product, add a row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from xhsinr.scene.products import dlr, emit, layouts, prisma

__all__ = ["PRODUCTS", "Product", "names", "of_hdf5", "scene_files"]


@dataclass(frozen=True)
class Product:
    """A family of products.

    Attributes
    ----------
    name : str
        For people.
    open : callable
        Makes a DataArray of the path of the file with the samples.
    image : re.Pattern, optional
        The whole name of that file, for products of several files: ``id`` is the product's
        identifier, ``part`` which of several images it is, if there are several.
    holds : callable, optional
        Whether an open HDF5 file is such a product.
    """

    name: str
    open: Callable[[Path], xr.DataArray]
    image: re.Pattern[str] | None = None
    holds: Callable[[Any], bool] | None = None


PRODUCTS: tuple[Product, ...] = (
    Product("EnMAP L1B, L1C and L2A, DESIS", dlr.open_dlr, image=dlr.IMAGE),
    Product("PRISMA L2D", prisma.open_prisma, holds=lambda file: prisma.GROUP in file),
    Product("EMIT L1B and L2A", emit.open_emit, holds=emit.is_emit),
    *(Product(layout.name, layout.open, holds=layout.found_in) for layout in layouts.LAYOUTS),
)
"""All products that are read as they come; the first row that fits counts."""


def names() -> str:
    """The products, for people."""
    return ", ".join(product.name for product in PRODUCTS)


def of_hdf5(file: Any) -> Product | None:
    """The product that an open HDF5 file is; None if it is no known one."""
    return next((p for p in PRODUCTS if p.holds is not None and p.holds(file)), None)


def scene_files(files: Iterable[Path]) -> list[tuple[str, Path]]:
    """Of the files in some folders, those that are scenes, each with its identifier.

    Of a product of several files only the image is a scene: quicklooks, masks and metadata are
    not.
    """
    found: list[tuple[str, Path]] = []
    products: list[Path] = []
    rest: list[Path] = []
    for file in files:
        match = next(
            (m for p in PRODUCTS if p.image is not None and (m := p.image.fullmatch(file.name))),
            None,
        )
        if match is None:
            rest.append(file)
            continue
        part = match.groupdict().get("part")
        found.append((f"{match['id']}-{part}" if part else match["id"], file))
        products.append(file.with_name(match["id"]))
    for file in rest:
        inside = any(
            file.parent == product.parent and file.name.startswith(f"{product.name}-")
            for product in products
        )
        if not inside:
            found.append((file.stem, file))
    return sorted(found, key=lambda entry: entry[1])
