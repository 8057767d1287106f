"""Dependencies between packages point down: no circle, and nothing imports the benchmark."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import xhsinr

ROOT = Path(xhsinr.__file__).parent

LAYERS = (
    {"errors"},
    {"tiling", "metrics", "storage", "outputs", "devices", "progress"},
    {"folders"},
    {"target"},
    {"entropy", "transform"},
    {"scene"},
    {"spectral"},
    {"network"},
    {"coding"},
    {"sidecar"},
    {"running"},
    {"reading"},
    {"pictures", "backend"},
    {"handle"},
    {"compression"},
    {"training"},
    {"accessor", "stac"},
    {"archiving"},
    {"gdal", "serving", "zarr"},
    {"bench"},
    {"demo"},
    {"cli"},
)
"""Packages and modules from the lowest up; each imports from lower ones and from itself."""

RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def imports(path: Path) -> Iterator[str]:
    """First names below ``xhsinr`` that a module imports, those of type checkers left out."""
    for node in runtime(ast.parse(path.read_text("utf-8")).body):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "xhsinr":
            names = [f"xhsinr.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "xhsinr" and len(parts) > 1:
                yield parts[1]


def runtime(body: list[ast.stmt]) -> Iterator[ast.AST]:
    for node in body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield from ast.walk(node)


def edges() -> Iterator[tuple[str, str, Path]]:
    for path in sorted(ROOT.rglob("*.py")):
        own = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if own != "__init__":
            for other in imports(path):
                if other != own and not other.startswith("__"):
                    yield own, other, path.relative_to(ROOT)


def test_every_package_has_a_layer() -> None:
    names = {path.name.removesuffix(".py") for path in ROOT.iterdir() if path.suffix in ("", ".py")}
    names -= {"__init__", "__pycache__", "networks"}
    assert names <= set(RANK)


def test_imports_point_down() -> None:
    upward = [f"{path}: {other}" for own, other, path in edges() if RANK[other] >= RANK[own]]
    assert not upward


def test_nothing_imports_the_benchmark_but_its_command() -> None:
    assert {own for own, other, _ in edges() if other == "bench"} <= {"cli"}
