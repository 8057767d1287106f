"""The accessor is registered when xarray is there, without importing xarray for it.

GDAL's programs read through the package without xarray, which takes longer to import than a map
takes to decode.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["register_accessor"]


def register_accessor() -> None:
    """Register ``.hsinr`` with xarray: now, or once somebody has imported it."""
    if "xarray" in sys.modules:
        import_module("xhsinr.accessor")
    else:
        sys.meta_path.insert(0, _Registering())


class _Registering(MetaPathFinder):
    """Lets the other finders find xarray, and has its loader register the accessor."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "xarray":
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        found = (finder.find_spec(name, path, target) for finder in others)
        spec = next(filter(None, found), None)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                load(module)
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                import_module("xhsinr.accessor")

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
