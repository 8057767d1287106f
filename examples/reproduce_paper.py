"""Repeat the paper's Meta_learning rows (Tables 1 and 2), in-sample, as far as the data allow.

    python examples/reproduce_paper.py SCENES [--out reproduction.md] [--steps N]
                                       [--network NET.safetensors]

SCENES is a folder with any of the paper's benchmarks, or crops of them: Indian Pines, Jasper
Ridge, Pavia University and Cuprite, as the usual ``.mat`` files or as ``.npy`` (rows, cols,
bands). Of each the file with the most samples is taken; where tensorly is installed, the whole of
Indian Pines comes from it, into ``indian_pines.npy`` in the current folder. One base network for
all of them is trained into ``paper.safetensors`` with the settings of ``paper.json``, and one for
Cuprite into ``paper_cuprite.safetensors``, in the current folder. Run it again after a stop: it
goes on where it was. A network given with ``--network``, which may repeat, is measured and none is
trained.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from tqdm import tqdm

import xhsinr
from xhsinr import scene as scenes
from xhsinr.bench.cases import quoted
from xhsinr.bench.measure import one_thread
from xhsinr.bench.scenes import load_scene
from xhsinr.bench.tables import markdown
from xhsinr.errors import SceneError
from xhsinr.metrics import bpppb, bpppb_eq5, psnr
from xhsinr.network.places import load_network, provide_network
from xhsinr.network.siren_network import SirenNetwork
from xhsinr.training import SirenSettings, load_samples, read_settings, train_siren

RECIPE = Path(__file__).with_name("paper.json")
# How the names of the benchmarks' files begin, in lower case.
STARTS = {
    "indian_pines": ("indian_pines",),
    "jasper_ridge": ("jasper_ridge", "jasperridge"),
    "pavia_university": ("paviau",),
    "cuprite": ("cuprite",),
}
TOGETHER = "jasper_ridge", "indian_pines", "pavia_university"
# The paper's size of the network for Cuprite; 300 numbers of 32 bits make its 0.0001 bpppb.
CUPRITE: dict[str, Any] = {"layers": 5, "width": 60, "latents": 300}
WHOLE = Path("indian_pines.npy")
RUNS = 3
NONE = "–"
UNTIMED = "trained before, in a time that its file does not hold"
HEADER = (
    *("scene", "n_h, w_h", "PSNR (dB)", "encode (s)", "decode (s)", "numbers", "size (KB)"),
    *("bpppb by eq. 5", "bits a number, stored", "bpppb, real bytes", "bpppb with the network"),
)
NOTES = """\
- PSNR is that of the file as stored, latents quantised and entropy-coded. Real bytes are all of \
the file: latents, samples listed apart, header, wavelengths, report. With the network: its bytes \
counted once.
- Numbers are the latents of a scene, which is one patch. Equation 5 counts them at 32 bits and \
nothing else. The paper does not say how many it stores: 600 of 32 bits make its rates for Indian \
Pines, Jasper Ridge and Pavia University, rounded down; its sizes in KB are rate times samples.
- Seconds are those that one core was at work, median of {runs} runs of xhsinr {version}, from \
samples in memory to a verified file and back, latents fitted on {device}. The paper's are its \
own, on its own machine.
- A crop has as many numbers for fewer samples: its figures do not compare with those of the whole.
- The paper's networks (n_h, w_h) are three; here Indian Pines, Jasper Ridge and Pavia University \
share one. Its rate of Adam is 1e-6 or 3e-6, its inner one 1e-2."""
CUPRITE_NOTE = """\
- Cuprite has a network of its own, of the paper's 5 layers of 60, with 300 latents: all latent \
vectors of a network are of one length. The paper's 0.0001 bpppb, if rounded down as the other \
rates are, allow 221 to 440 numbers of 32 bits."""

T = TypeVar("T")


@dataclass(frozen=True)
class Trained:
    """A base network, the files it was trained on, and what is known of the training."""

    network: SirenNetwork
    paths: Sequence[Path]
    time: str

    def __str__(self) -> str:
        settings = self.network.recipe["settings"]
        return (
            f"- `{self.network.name}`, {self.network.file_bytes:,} bytes, trained on "
            f"{', '.join(path.stem for path in self.paths)}: {settings['steps']:,} steps of Adam "
            f"at a rate of {settings['rate']:g}, {settings['inner_steps']} inner steps at "
            f"{settings['inner_rate']:g}; {self.time}."
        )


@dataclass(frozen=True)
class Measured:
    """A scene in a file, and its decoded samples against the original."""

    path: Path
    network: SirenNetwork
    info: dict[str, Any]
    psnr_db: float
    encode_s: float
    decode_s: float


def benchmark_of(path: Path) -> str:
    """Key of the benchmark that a file's name is of; empty for none, and for ground truths."""
    name = path.stem.lower()
    if path.suffix.lower() not in (".npy", ".mat") or name.endswith(("_gt", "_groundtruth")):
        return ""
    return next((key for key, starts in STARTS.items() if name.startswith(starts)), "")


def files_of(folder: Path) -> list[Path]:
    """Files of a folder, and the whole of Indian Pines as tensorly ships it."""
    if not WHOLE.exists():
        with suppress(SceneError):
            np.save(WHOLE, load_scene(folder, WHOLE.stem).cube)
    return [*sorted(folder.iterdir()), *([WHOLE] if WHOLE.exists() else [])]


def find_benchmarks(folder: Path) -> dict[str, Path]:
    """The file with the most samples of each benchmark that is there."""
    fullest: dict[str, tuple[int, Path]] = {}
    for path in files_of(folder):
        key = benchmark_of(path)
        if not key:
            continue
        scene = scenes.read(path)
        if scene.bands > quoted()[key]["shape"][2]:
            continue  # of the place, but of another sensor
        if scene.samples > fullest.get(key, (0,))[0]:
            fullest[key] = scene.samples, path
    return {key: fullest[key][1] for key in STARTS if key in fullest}


def train_all(found: dict[str, Path], settings: SirenSettings) -> Iterator[Trained]:
    """One network for all benchmarks, and one for Cuprite, which has fewer numbers."""
    together = [found[key] for key in TOGETHER if key in found]
    if together:
        shown = [path for path in found.values() if path in together]
        yield replace(trained(Path("paper.safetensors"), together, settings), paths=shown)
    if "cuprite" in found:
        own = replace(settings, **CUPRITE)
        yield trained(Path("paper_cuprite.safetensors"), [found["cuprite"]], own)


def trained(out: Path, paths: Sequence[Path], settings: SirenSettings) -> Trained:
    """Train a network, go on with a training that was stopped, or take one that is complete."""
    if out.exists():
        network = _siren(out)
        asked = asdict(settings), {path.stem: sha256(path) for path in paths}
        if (network.recipe.get("settings"), network.recipe.get("training")) != asked:
            raise SystemExit(
                f"{out} was trained with other settings or scenes: move it away to train anew, "
                "or name it with --network to measure it"
            )
        return Trained(network, paths, UNTIMED)
    goes_on = out.with_name(f"{out.name}.checkpoint").exists()
    loaded = [load_samples(path) for path in paths]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)  # other sums of floats lead to another network
    start = time.process_time()
    network = train_siren(loaded, [], settings, out, resume=True, device=device)
    minutes = (time.process_time() - start) / 60
    since = " since it was resumed" if goes_on else ""
    where = f"{device}, threads: {torch.get_num_threads()}"
    return Trained(network, paths, f"{minutes:.1f} minutes of work{since} on {where}")


def _siren(path: Path) -> SirenNetwork:
    network = load_network(path)
    if not isinstance(network, SirenNetwork):
        raise SystemExit(f"{path} is no network of the paper's kind")
    return network


def load_trained(path: Path, folder: Path) -> Trained:
    """A network that is there, with the very files that it was trained on."""
    network = _siren(path)
    found = []
    for name, digest in network.recipe.get("training", {}).items():
        files = [file for file in files_of(folder) if file.stem == name]
        file = next((file for file in files if sha256(file) == digest), None)
        if file is None:
            raise SystemExit(f"{folder} does not have the scene {name} that {path} was trained on")
        if not benchmark_of(file):
            raise SystemExit(f"{path} was trained on {name}, which is no benchmark of the paper")
        found.append(file)
    if not found:
        raise SystemExit(f"{path} does not say what scenes it was trained on")
    return Trained(network, found, UNTIMED)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def measure(path: Path, network: SirenNetwork, folder: Path) -> Measured:
    """Compress a scene from memory to a file, decode the file, and compare."""
    array = scenes.read(path).to_xarray().load()
    file = folder / f"{path.stem}.hsinr"
    network_file = network.path
    assert network_file is not None

    def encode() -> xhsinr.Compressed:
        return xhsinr.compress(
            array, file, quality="preview", network=network_file, overwrite=True, progress=False
        )

    compressed, encode_s = timed(encode)
    provide_network(network, file)
    decoded, decode_s = timed(lambda: xhsinr.open(file).open().load())
    before, after = (np.asarray(cube.transpose("band", "y", "x")) for cube in (array, decoded))
    return Measured(path, network, compressed.info, psnr(before, after), encode_s, decode_s)


def timed(task: Callable[[], T]) -> tuple[T, float]:
    """The result and the median of the seconds."""
    taken = []
    for _ in range(RUNS):
        start = time.process_time()
        result = task()
        taken.append(time.process_time() - start)
    return result, statistics.median(taken)


def rows(found: Measured) -> Iterator[list[str]]:
    """What was measured on a scene, and the paper's row: Table 2, the rest from Table 1."""
    siren, paper = found.network.siren, quoted()[benchmark_of(found.path)]
    bands, height, width = found.info["shape"]
    yield [
        f"**{paper['title']}**, {extent((height, width, bands), paper['shape'])}: "
        f"{found.path.name}",
        f"{siren.layers}, {siren.width}",
        f"{found.psnr_db:.2f}",
        f"{found.encode_s:.3f}",
        f"{found.decode_s:.4f}",
        *rates([found]),
    ]
    size, times = (
        next(entry for entry in paper[table] if entry["method"] == "Meta_learning")
        for table in ("compression", "times")
    )
    yield [
        f"*the paper, for {by(paper['shape'])} (quoted)*",
        ", ".join(map(str, size["size"])),
        *(f"{times[name]:g}" for name in ("psnr_db", "encode_s", "decode_s")),
        NONE,
        *(f"{value:g}" for value in (size["kilobytes"], times["bpppb"])),
        *(NONE, NONE, NONE),
    ]


def rates(measured: Sequence[Measured]) -> list[str]:
    """The columns from the numbers on, of scenes together; each network counts once."""
    networks = {found.network.digest: found.network.file_bytes for found in measured}
    numbers = sum(found.network.siren.latents for found in measured)
    samples = sum(math.prod(found.info["shape"]) for found in measured)
    size = sum(found.info["bytes"] for found in measured)
    coded = sum(found.info["parts"]["latents"] for found in measured)
    return [
        f"{numbers:,}",
        f"{size / 1000:.1f}",
        f"{bpppb_eq5(numbers, 32, samples, 1):.6f}",
        f"{8 * coded / numbers:.2f}",
        f"{bpppb(size, samples):.6f}",
        f"{bpppb(size + sum(networks.values()), samples):.4f}",
    ]


def extent(shape: tuple[int, int, int], whole: Sequence[int]) -> str:
    """A scene's size, and whether it is a crop of a benchmark; some copies are turned."""
    if sorted(shape[:2]) != sorted(whole[:2]):
        return f"{by(shape)}, a crop of {by(whole)}"
    return f"{by(shape)}, whole" if shape[2] == whole[2] else f"{by(shape)} of {by(whole)}"


def by(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))


def report(networks: Sequence[Trained], measured: Sequence[Measured]) -> str:
    here = {benchmark_of(found.path) for found in measured}
    absent = [paper["title"] for key, paper in quoted().items() if key not in here]
    together = f"**all {len(measured)} together**, each network counted once"
    body = [line for found in measured for line in rows(found)]
    device = "a GPU" if torch.cuda.is_available() else "the CPU"
    parts = [
        "# The paper's Meta_learning rows, in-sample",
        "**In-sample: every network here was trained on the very scenes that it is measured on, "
        "and remembers them.** No file decodes without its network. Nothing here compares with "
        "a codec that never saw the scenes, or tells how a new scene would fare.",
        markdown(HEADER, [*body, [together, *(NONE,) * 4, *rates(measured)]]),
        f"Not measured, for want of its file: {', '.join(absent)}." if absent else "",
        NOTES.format(runs=RUNS, device=device, version=xhsinr.__version__)
        + (f"\n{CUPRITE_NOTE}" if "cuprite" in here else ""),
        "Networks:",
        "\n".join(map(str, networks)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--out", type=Path, help="Markdown file to write as well")
    parser.add_argument("--network", type=Path, action="append", help="measure it, train none")
    parser.add_argument("--steps", type=int, help="steps of the training, for a trial")
    arguments = parser.parse_args(words)
    if arguments.network:
        networks = [load_trained(path, arguments.scenes) for path in arguments.network]
    else:
        found = find_benchmarks(arguments.scenes)
        if not found:
            raise SystemExit(f"{arguments.scenes} has none of the paper's benchmarks")
        networks = list(train_all(found, read_settings(RECIPE, arguments.steps)))
    pairs = [(path, made.network) for made in networks for path in made.paths]
    with tempfile.TemporaryDirectory() as folder, one_thread():
        measured = [
            measure(path, network, Path(folder)) for path, network in tqdm(pairs, "measure")
        ]
    text = report(networks, measured)
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
