"""What is measured: every codec, at the targets that it takes, on every scene."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from xhsinr.bench.codecs import CODECS, Target, load, wsrc
from xhsinr.bench.scenes import BenchScene
from xhsinr.errors import TargetError
from xhsinr.network.places import load_network

__all__ = [
    "BOUNDS",
    "FITTED",
    "METHODS",
    "Case",
    "Plan",
    "cases",
    "paper_rate",
    "quoted",
]

_RATES = (0.02, 0.05, 0.1, 0.2, 0.5)
BOUNDS = (4, 16, 50)

# The paper's names of the codecs, as in its tables.
METHODS = {
    "jpeg": "JPEG",
    "jpeg2000": "JPEG2000",
    "jpeg2000_scene": "JPEG2000",
    "pca_dct": "PCA-DCT",
    "pca_jpeg2000": "PCA+JPEG2000",
    "fpca_jpeg2000": "FPCA+JPEG2000",
    "hevc": "HEVC",
    "rpm": "RPM",
    "speck3d": "3D SPECK",
    "dct3d": "3D DCT",
    "dwt_svr": "3D DWT+SVR",
    "wsrc": "WSRC",
    "inr": "INR",
    "hp_inr": "HP_INR",
    "inr_sampling": "INR_sampling",
    "hp_inr_sampling": "HP_INR_sampling",
    "meta_learning": "Meta_learning",
}
FITTED = ("inr", "hp_inr", "inr_sampling", "hp_inr_sampling")
# These have curves; any other codec stands at one rate, and at the paper's for its benchmark.
_CURVES = ("pca_jpeg2000", "xhsinr")
_ONE_RATE = 0.1
# Of scenes of more pixels than this, codecs that people use at such a size are measured.
_LARGE, _LARGEST = 1 << 17, 1 << 19
_FOR_LARGEST = ("xhsinr", "geotiff_lerc_zstd", "ccsds123_hybrid", "jpegls", "sz3", "pcodec")
_FOR_LARGE = (*_FOR_LARGEST, "pca_jpeg2000", "geotiff_zstd", "jpegxl", "zarr_blosc")
# Steps of a fit in a quick run.
_QUICK_STEPS = 150


@dataclass(frozen=True)
class Plan:
    """What a user asked the benchmark for.

    Attributes
    ----------
    codecs : sequence of str
        Keys of `xhsinr.bench.codecs.CODECS`.
    rates : sequence of float
        In bpppb. None: five for codecs that have curves, one or two for the others.
    protocol : {"held-out", "in-sample", "both"}
    network : str
        Path of a network that was trained on the scenes; empty for none.
    quick : bool
        One rate, one bound and short fits.
    """

    codecs: Sequence[str] = tuple(CODECS)
    rates: Sequence[float] = ()
    protocol: str = "both"
    network: str = ""
    quick: bool = False

    def __post_init__(self) -> None:
        for key in self.codecs:
            if key not in CODECS:
                raise TargetError(f"no codec is named {key!r}: choose from {', '.join(CODECS)}")

    @property
    def bounds(self) -> Sequence[int]:
        return (16,) if self.quick else BOUNDS


@dataclass(frozen=True)
class Case:
    """One codec, with its fields, at one target on one scene."""

    scene: BenchScene
    key: str
    target: Target
    protocol: str
    fields: dict[str, Any] = field(default_factory=dict)


def cases(plan: Plan, scenes: Sequence[BenchScene]) -> Iterator[Case]:
    """All cases of a plan, scene by scene in the order of the tables."""
    for scene in scenes:
        for key in plan.codecs:
            if key not in _measurable(scene):
                continue
            for protocol, fields in _arrangements(plan, scene, key):
                if plan.protocol in ("both", protocol):
                    for target in _targets(plan, scene, key):
                        yield Case(scene, key, target, protocol, fields)


def _measurable(scene: BenchScene) -> Collection[str]:
    """Codecs that do not take all day on a scene of this size."""
    pixels = scene.cube[..., 0].size
    if pixels > _LARGEST:
        return _FOR_LARGEST
    return _FOR_LARGE if pixels > _LARGE else CODECS


def _arrangements(plan: Plan, scene: BenchScene, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Protocol and fields of each way in which a codec is measured on a scene."""
    if key in FITTED:
        steps = {"steps": _QUICK_STEPS} if plan.quick else {}
        yield "held-out", {**_paper_size(scene, key), **steps}
    elif key == "meta_learning":
        yield _protocol(_trained("paper"), scene), {"network": "paper"}
        named = plan.network
        yield (_protocol(_trained(named), scene) if named else "in-sample"), {"network": named}
    elif key == "wsrc":
        yield _protocol(wsrc.training_scenes(), scene), {}
    else:
        yield "held-out", {}


def _protocol(trained: Collection[str], scene: BenchScene) -> str:
    """In-sample where a scene of the same site was trained on: crops of a site overlap."""
    return "held-out" if scene.same_site.isdisjoint(trained) else "in-sample"


def _trained(network: str) -> Collection[str]:
    """Names of the scenes that a network was trained on or chosen by."""
    recipe = load_network(network).recipe
    return [*recipe.get("training", {}), *recipe.get("validation", {})]


def _paper_size(scene: BenchScene, key: str) -> dict[str, int]:
    """Layers and width that the paper gives a benchmark; the codec's own for other scenes."""
    for entry in quoted().get(scene.benchmark, {}).get("compression", []):
        if entry["method"] == METHODS[key]:
            layers, width = entry["size"]
            return {"layers": layers, "width": width}
    return {}


def _targets(plan: Plan, scene: BenchScene, key: str) -> Iterator[Target]:
    try:
        # What kinds a codec takes is a fact of its class, whatever its fields.
        kinds = load(key).kinds
    except ImportError:
        kinds = frozenset({"native"})  # one row, which says what is not installed
    if "native" in kinds:
        yield Target("native")
    if "bpppb" in kinds:
        yield from (Target("bpppb", rate) for rate in plan.rates or _rates(plan, scene, key))
    if "max_error" in kinds:
        yield from (Target("max_error", bound) for bound in plan.bounds)
    if "lossless" in kinds:
        yield Target("lossless")


def _rates(plan: Plan, scene: BenchScene, key: str) -> Sequence[float]:
    if plan.quick or scene.cube[..., 0].size > _LARGE:
        return (_ONE_RATE,)
    return _RATES if key in _CURVES else sorted({_ONE_RATE, paper_rate(scene.benchmark)})


def paper_rate(benchmark: str) -> float:
    """The rate at which the paper compares codecs on a benchmark; 0.1 for other scenes."""
    paper = quoted().get(benchmark)
    return float(paper["compression"][0]["bpppb"]) if paper else _ONE_RATE


@cache
def quoted() -> dict[str, Any]:
    """The paper's tables: benchmark -> its compression rates (Table 1) and times (Table 2)."""
    content: dict[str, Any] = json.loads(files("xhsinr.bench").joinpath("quoted.json").read_text())
    return content
